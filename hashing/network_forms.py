"""Normal form of networks: sequences and sums flattened, identities and needless zeros removed.

Strides and widths that parts inherit are resolved on the way, as `nas.layers.parts` and `nas.layers.wiring`
pass them on. In a chain every step counts, an identity too, as cells read the two previous outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from textwrap import shorten
from typing import Any

from nas.errors import CompileError
from nas.hashing import cell_forms
from nas.hashing.attributes import Scope, given_value, inlined, kept_attributes
from nas.hashing.forms import Form, lasting, single
from nas.hashing.leaf_forms import leaf_form
from nas.hashing.symbolic_shapes import INPUT, Around, Symbol
from nas.language import (
    INHERIT,
    Define,
    Law,
    Literal,
    Op,
    Primitive,
    Ref,
    Repeat,
    Seq,
    Term,
    Vocabulary,
    to_text,
)
from nas.layers import NETWORK

MAX_SIZE = 50_000  # operations of a form


def network_form(term: Term, vocabulary: Vocabulary, *, drop_path: bool = False) -> Term:
    """The normal form of a network, or of a network with training settings.

    Args:
        term: without holes.
        vocabulary: its primitives; all of networks.
        drop_path: keep apart what only drop-path tells apart: which branches of a sum are dropped together.

    Raises:
        CompileError: a part that is none of a network, or a form of more than 50,000 operations.
    """
    forms = Forms(vocabulary, drop_path=drop_path)
    scope = Scope(vocabulary)
    while isinstance(term, Define):
        scope, term = scope.defining(term.bindings), term.body
    if isinstance(term, Op) and term.name == "train" and forms.knows("train"):
        settings = tuple((name, inlined(value, scope)) for name, value in sorted(term.attributes))
        return Op("train", (forms.form(term.args[0], scope, Around(), INPUT).term,), settings)
    return forms.form(term, scope, Around(), INPUT).term


class Forms:
    """Makes the forms of one network's parts; those of definitions are kept, for each surroundings."""

    def __init__(self, vocabulary: Vocabulary, *, drop_path: bool) -> None:
        self.vocabulary = vocabulary
        self.drop_path = drop_path
        self._kept: dict[Any, Form] = {}
        self._scopes: dict[tuple[int, Scope], Scope] = {}
        self._lasting = lasting(vocabulary)

    def knows(self, name: str) -> bool:
        """Whether this is the standard vocabulary's word, and none of one's own of the same name."""
        words = self._lasting.words
        found = words.get(name)
        if found is None:
            there = name in NETWORK and name in self.vocabulary
            found = words[name] = there and self.vocabulary.get(name) == NETWORK.get(name)
        return found

    def form(self, term: Term, scope: Scope, around: Around, before: Symbol) -> Form:
        """The form of a part at its place."""
        key = (id(term), scope, around, before)
        found = self._kept.get(key)
        if found is None:
            found = self._form(term, scope, around, before)
            if found.size > MAX_SIZE:
                raise CompileError(
                    f"normal form: at most {MAX_SIZE:,} operations are expected; got {found.size:,} or more; "
                    "hash such networks by what they compute"
                )
            self._kept[key] = found
        return found

    def _form(self, term: Term, scope: Scope, around: Around, before: Symbol) -> Form:
        match term:
            case Define(body, _):
                return self.form(body, self._inner(term, scope), around, before)
            case Ref(name):
                body, inner = scope.resolve(name)
                return self.form(body, inner, around, before)
            case Seq(parts):
                return self._sequence(parts, scope, around, before)
            case Repeat(body, low, high) if low == high:
                return self._sequence((body,) * low, scope, around, before)
            case Op():
                return self._operation(term, scope, around, before)
        raise CompileError(f"normal form: a network is expected; got {shorten(str(term), 60)}")

    def _inner(self, term: Define, scope: Scope) -> Scope:
        key = (id(term), scope)
        if key not in self._scopes:
            self._scopes[key] = scope.defining(term.bindings)
        return self._scopes[key]

    def takes_stride(self, term: Term, scope: Scope) -> bool:
        """Whether a stride of the surroundings has an effect here."""
        match term:
            case Define(body, _):
                return self.takes_stride(body, self._inner(term, scope))
            case Ref(name):
                return self.takes_stride(*scope.resolve(name))
            case Seq(parts):
                return any(self.takes_stride(part, scope) for part in parts)
            case Repeat(body, low):
                return low > 0 and self.takes_stride(body, scope)
            case Op(name, args, attributes):
                stride = self._primitive(term).attribute("stride")
                if stride is not None:
                    return stride.default is INHERIT and "stride" not in dict(attributes)
                return any(self.takes_stride(part, scope) for part in args)
        return False

    def _primitive(self, op: Op) -> Primitive:
        reason = self.vocabulary.check(op.name, [name for name, _ in op.attributes], len(op.args))
        if reason is not None:
            raise CompileError(f"normal form: {reason}")
        return self.vocabulary.get(op.name)

    def _sequence(self, parts: tuple[Term, ...], scope: Scope, around: Around, before: Symbol) -> Form:
        steps: list[Term] = []
        found: list[Symbol] = []
        size, shape = 0, before
        branches: tuple[Form, ...] = ()
        for part in parts:
            form = self.form(part, scope, around, shape)
            steps += form.steps
            found += form.shapes
            shape, size = form.after, size + form.size
            branches = form.branches or branches
            if size > MAX_SIZE:
                break
            if around.stride != 1 and self.takes_stride(part, scope):
                around = replace(around, stride=1)
        steps, found = self._shortened(steps, found, before)
        return Form(tuple(steps), tuple(found), before, size, branches if len(steps) == 1 else ())

    def _shortened(
        self, steps: list[Term], found: list[Symbol], before: Symbol
    ) -> tuple[list[Term], list[Symbol]]:
        """Without what a step makes needless: before a zero, after a zero, and twice the same."""
        kept: list[tuple[Term, Symbol]] = []
        for step, shape in zip(steps, found, strict=True):
            last = kept[-1][1] if kept else before
            if kept and step == kept[-1][0] and self.has_law(step, Law.IDEMPOTENT):
                continue
            if kept and self.is_zero(kept[-1][0]) and shape == last and self.has_law(step, Law.KEEPS_ZERO):
                continue
            if self.is_zero(step):  # nothing before it matters from where the shape is the same
                start = next(
                    (i for i, at in enumerate([before, *(s for _, s in kept)]) if at == last), len(kept)
                )
                del kept[start:]
            kept.append((step, shape))
        return [step for step, _ in kept], [shape for _, shape in kept]

    def has_law(self, step: Term, law: Law) -> bool:
        """Whether a step is a layer that obeys a law."""
        return isinstance(step, Op) and not step.args and law in self.vocabulary.get(step.name).laws

    def is_zero(self, step: Term) -> bool:
        """Whether a step makes zeros of whatever comes in."""
        return isinstance(step, Op) and step.name == "zero" and self.knows("zero")

    def _operation(self, op: Op, scope: Scope, around: Around, before: Symbol) -> Form:
        if op.args:
            return self._made(op, scope, around, before)
        for _, value in op.attributes:
            if not isinstance(value, Literal):  # what a reference means depends on the scope
                return self._made(op, scope, around, before)
        key = op.name, op.attributes, around, before
        found = self._lasting.leaves.get(key)
        if found is None:
            found = self._made(op, scope, around, before)
            self._lasting.keep(key, found)
        return found

    def _made(self, op: Op, scope: Scope, around: Around, before: Symbol) -> Form:
        primitive = self._primitive(op)
        if self.knows(op.name) and primitive.arity != (0, 0):
            return self._composite(op, scope, around, before)
        if op.args:  # what a composite of one's own makes of its parts is not known here
            if around.ambient != 1 and self.takes_stride(op, scope):
                raise CompileError(f'normal form: "{op.name}" inherits a stride, which is not supported')
            term = inlined(op, scope)
            return single(term, ("after", to_text(term), before, around), before, 1)
        return leaf_form(op, primitive, scope, around, before, standard=self.knows(op.name))

    def _composite(self, op: Op, scope: Scope, around: Around, before: Symbol) -> Form:
        match op.name:
            case "add":
                return self._sum([self.form(part, scope, around, before) for part in op.args], before)
            case "concat":
                return self._joined([self.form(part, scope, around, before) for part in op.args], before)
            case "residual":
                body = self.form(op.args[0], scope, around, before)
                term = Op("residual", (body.term,))
                after = before if body.after == before else ("larger", before, body.after)
                return single(term, after, before, 1 + body.size)
            case "cell":
                return cell_forms.cell_form(self, op, scope, around, before)
            case "chain":
                return self._chain(op, scope, before)
        raise CompileError(f'normal form: "{op.name}" is expected elsewhere; got {shorten(str(op), 60)}')

    def _sum(self, forms: list[Form], before: Symbol) -> Form:
        """One sum of all branches, in the order of their texts."""
        branches = self.flat_branches(forms)
        kept = [form for form in branches if not self._is_zero_form(form)]
        present = {form.after for form in kept}
        for form in branches:
            if self._is_zero_form(form) and form.after not in present:
                kept.append(form)  # it decides the shape, or stands against another one
                present.add(form.after)
        if len(kept) == 1:
            return kept[0]
        kept.sort(key=lambda form: form.text)
        term = Op("add", tuple(form.term for form in kept))
        return Form((term,), (kept[0].after,), before, 1 + sum(form.size for form in kept), tuple(kept))

    def flat_branches(self, forms: Iterable[Form]) -> list[Form]:
        """Branches of sums among the branches in place of those sums."""
        given = list(forms)
        whole = self.drop_path and any(not form.steps for form in given)
        found: list[Form] = []
        for form in given:
            drops = self.drop_path and any(not branch.steps for branch in form.branches)
            found += [form] if not form.branches or whole or drops else form.branches
        return found

    def _is_zero_form(self, form: Form) -> bool:
        return len(form.steps) == 1 and self.is_zero(form.steps[0])

    def _joined(self, forms: list[Form], before: Symbol) -> Form:
        """One concatenation, in the order that is given."""
        parts: list[Term] = []
        for form in forms:
            inner = form.steps[0] if len(form.steps) == 1 else None
            parts += inner.args if isinstance(inner, Op) and inner.name == "concat" else (form.term,)
        if len(forms) == 1:
            return forms[0]
        after = (("joined", tuple(form.after for form in forms)), ())
        return single(Op("concat", tuple(parts)), after, before, 1 + sum(form.size for form in forms))

    def _chain(self, op: Op, scope: Scope, before: Symbol) -> Form:
        width = given_value(op, "width", scope)
        stem = given_value(op, "stem", scope) or 3
        shape: Symbol = (stem * width, before[1])
        steps, size = [], 1
        for part, inner in self._flat(op.args[0], scope):
            is_cell = part.name == "cell" and self.knows("cell")
            if is_cell and given_value(part, "stride", inner) == 2:
                width *= 2
            form = self.form(part, inner, Around(width), shape)
            alone = len(form.steps) == 1 and isinstance(form.steps[0], Op)
            same = alone and (form.steps[0].name == "cell") == is_cell  # type: ignore[union-attr]
            steps.append(form.steps[0] if same else Op("add", (form.term,)) if form.steps else form.term)
            shape, size = form.after, size + form.size + 1
        body = Form(tuple(steps), (shape,) * len(steps), before, size)
        term = Op("chain", (body.term if steps else Seq(()),), kept_attributes(op, scope))
        return single(term, shape, before, size)

    def _flat(self, term: Term, scope: Scope) -> Iterator[tuple[Op, Scope]]:
        """The operations of a sequence, each with its definitions."""
        match term:
            case Define(body, _):
                yield from self._flat(body, self._inner(term, scope))
            case Ref(name):
                yield from self._flat(*scope.resolve(name))
            case Seq(parts):
                for part in parts:
                    yield from self._flat(part, scope)
            case Repeat(body, low):
                for _ in range(low):
                    yield from self._flat(body, scope)
            case Op():
                yield term, scope
