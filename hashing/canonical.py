"""The canonical hasher: expressions with equal normal forms are one candidate; nothing is run.

The normal form writes in one way what can be written in several. Rewritings keep the meaning of every
candidate: no two that compute different functions, or train different weights, get one form. The other way
round it is a sieve: what only arithmetic can tell equal (2x and x + x, two ReLUs around a sum of positive
values) keeps two forms, which the functional hash joins.

- Networks (`nas.hashing.normal_forms.networks`): definitions written
  out at each use, as each use has weights of its own; sequences and repeats flattened; identities removed;
  sums flattened, in one order, without zeros where the shape cannot depend on them; cells without dead
  nodes, zero edges and nodes that only hand on, in one numbering; attributes without those that equal what
  stands without them.
- Programs (`nas.hashing.normal_forms.programs`): dead statements removed, equal ones merged, one order.
- Other expressions (here): arguments that commute in one order, and the other laws of their primitives.

What a rewriting relies on are the laws that primitives and functions state (`nas.language.primitives`), and
the layers' own rules for shapes, strides and widths. Two readings are stated rather than derived: weights
that nothing reads (dead nodes) are no part of the function, although they are counted as parameters; and
training with drop-path or an auxiliary head, which look at how a network is written, may tell equal forms
apart.
"""

from __future__ import annotations

from textwrap import shorten
from typing import TYPE_CHECKING

from nas.errors import ConfigError, NasError
from nas.hashing.digests import Digest, hex_of, settings_digest
from nas.hashing.normal_forms.attributes import Bindings, inlined, kept_attributes
from nas.hashing.normal_forms.networks import lasting, network_form
from nas.hashing.normal_forms.programs import program_form
from nas.language import Define, Law, Op, Program, Ref, Repeat, Seq, Term, Vocabulary, seq, to_text
from nas.study import Hashed, Hasher

if TYPE_CHECKING:
    from nas.space import Architecture


VERSION = 1


def normal_form(term: Term, vocabulary: Vocabulary, *, drop_path: bool = False) -> Term:
    """The normal form of an expression without holes.

    Args:
        term: the expression.
        vocabulary: its primitives.
        drop_path: as in `network_form`.

    Raises:
        CompileError: an expression that has no meaning as far as the form depends on it, or one that is
            too large when it is written out.
    """
    root = term
    while isinstance(root, Define):
        root = root.body
    if isinstance(root, Program):
        return program_form(root, vocabulary)
    if all(primitive.kind == "network" for primitive in vocabulary):
        return network_form(term, vocabulary, drop_path=drop_path)
    return _expression(term, Bindings(vocabulary))


def _expression(term: Term, scope: Bindings) -> Term:
    match term:
        case Define(body, bindings):
            return _expression(body, scope.defining(bindings))
        case Ref(name):
            body, inner = scope.resolve(name)
            return _expression(body, inner)
        case Seq(parts):
            return seq(*(_expression(part, scope) for part in parts))
        case Repeat(body, low, high) if low == high:
            return seq(*[_expression(body, scope)] * low)
        case Op(name, args) if name in scope.vocabulary:
            laws = scope.vocabulary.get(name).laws
            return _lawful(
                Op(name, tuple(_expression(a, scope) for a in args), kept_attributes(term, scope)),
                laws,
                scope,
            )
        case _:
            return inlined(term, scope)


def _lawful(op: Op, laws: frozenset[Law], scope: Bindings) -> Term:
    """An operation on normal forms, rewritten by its laws."""
    inner = op.args[0] if len(op.args) == 1 else None
    if isinstance(inner, Op):
        if Law.IGNORES_SIGN in laws and Law.NEGATES in _laws(inner, scope):
            return _lawful(Op(op.name, inner.args, op.attributes), laws, scope)
        same = (inner.name, inner.attributes) == (op.name, op.attributes)
        if same and Law.INVOLUTION in laws:
            return inner.args[0]
        if same and Law.IDEMPOTENT in laws:
            return inner
    if len(op.args) == 2 and Law.IDEMPOTENT in laws and op.args[0] == op.args[1]:
        return op.args[0]
    if Law.COMMUTES in laws:
        return Op(op.name, tuple(sorted(op.args, key=to_text)), op.attributes)
    return op


def _laws(op: Op, scope: Bindings) -> frozenset[Law]:
    return scope.vocabulary.get(op.name).laws if op.name in scope.vocabulary else frozenset()


KIND = "normal-form"  # no number in it is rounded, hence 0 bits


class CanonicalHasher(Hasher):
    """The digest of the normal form of the network or program; training settings have their own.

    Args:
        drop_path: for trainings with drop-path, under which sums are dropped as they are written: sums with
            an identity are not flattened then.

    Raises:
        ConfigError: an option of another type.
    """

    name = "canonical"

    def __init__(self, drop_path: bool = False) -> None:
        if not isinstance(drop_path, bool):
            raise ConfigError(f'hashing "canonical": drop_path: expected true or false; got {drop_path!r}')
        self.drop_path = drop_path

    def hash(self, architecture: Architecture) -> Hashed:
        """The digest, or the reason why there is none."""
        try:
            form = normal_form(architecture.network, architecture.vocabulary, drop_path=self.drop_path)
        except (NasError, RecursionError) as error:
            reason = str(error) if isinstance(error, NasError) else "normal form: nested too deep"
            return Hashed(None, reason=shorten(" ".join(reason.split()), 300, placeholder=" ..."))
        value = hex_of(
            architecture.vocabulary.name,
            str(self.drop_path),
            to_text(form, lasting(architecture.vocabulary).texts),
        )
        return Hashed(str(Digest(KIND, VERSION, 0, value)), settings_digest(architecture.term))


def no_hasher() -> None:
    """No hasher at all, which switches the study's cache off."""
    return
