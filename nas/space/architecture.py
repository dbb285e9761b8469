"""Architecture, which one: a frozen value with its text, JSON form and digest; Decision and Key.

Its term is what the decisions leave when every hole is filled; it is made when it is asked for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from nas.errors import SpaceError, quoted
from nas.language import (
    Choice,
    Define,
    Let,
    Literal,
    Name,
    Number,
    Op,
    Program,
    Repeat,
    Seq,
    Shared,
    Term,
    resolved,
    seq,
    to_text,
)
from nas.space.sites import (
    CHOICE,
    EXPAND,
    FIXED,
    LET,
    NODE,
    NUMBER,
    PROGRAM,
    REPEAT,
    RULE,
    SHARED,
    USE,
    Site,
    value_number,
)

if TYPE_CHECKING:
    from nas.language import Vocabulary
    from nas.space.counting import Counter
    from nas.space.sites import Layout


class Key(NamedTuple):
    """Stable address of a hole.

    Attributes:
        hole: number of the hole's site in its space.
        prefix: pairs (repeat's site, element) and (reference's site, 0) on the way to it, flat.
    """

    hole: int
    prefix: tuple[int, ...] = ()


class Decision(NamedTuple):
    """What filled one hole.

    Attributes:
        hole: number of the hole's site in its space.
        prefix: as in `Key`.
        option: index of a choice's option, number of copies of a repeat, number of a program's
            value, or the number itself.
        ids: names of a repeat's elements, when they are not 0, 1, ..., option - 1.
    """

    hole: int
    prefix: tuple[int, ...]
    option: int | float
    ids: tuple[int, ...] = ()

    @property
    def key(self) -> Key:
        return Key(self.hole, self.prefix)

    def to_json(self) -> list[Any]:
        """[hole, option], then prefix, then ids, as far as there are any."""
        data: list[Any] = [self.hole, self.option]
        if self.prefix or self.ids:
            data.append(list(self.prefix))
        if self.ids:
            data.append(list(self.ids))
        return data

    @classmethod
    def from_json(cls, data: Any) -> Decision:
        """Inverse of `to_json`; raises SpaceError for data of another form. Replay checks the values."""
        lists = data[2:] if isinstance(data, list) else None
        if lists is None or not 2 <= len(data) <= 4 or not all(isinstance(part, list) for part in lists):
            raise SpaceError(f"decision: [hole, option, prefix, ids] is expected; got {quoted(data, 80)}")
        prefix, ids = (*lists, [], [])[:2]
        if not all(type(number) is int for number in (data[0], *prefix, *ids)):
            raise SpaceError(
                f"decision: hole, prefix and ids are expected to be integers; got {quoted(data)}"
            )
        return cls(data[0], tuple(prefix), data[1], tuple(ids))


class Grammar(Protocol):
    """What architectures and derivations know of their space, a `nas.space.space.SearchSpace`."""

    name: str
    layout: Layout
    counter: Counter

    def architecture(self, decisions: Sequence[Decision]) -> Architecture: ...

    def check(self, architecture: Architecture) -> SpaceError | None: ...


class Architecture:
    """One point of a space: an expression without holes, and the decisions that led to it.

    Frozen and picklable; two architectures are equal when space and expression are, also where
    different decisions led there. The expression is made when first asked for.
    """

    __slots__ = ("_digest", "_source", "_term", "_text", "decisions", "space", "vocabulary")

    def __init__(
        self,
        space: str,
        vocabulary: Vocabulary,
        decisions: tuple[Decision, ...],
        source: Grammar | Term,
    ) -> None:
        self.space = space
        self.vocabulary = vocabulary
        self.decisions = decisions
        self._source = source
        self._term: Term | None = source if isinstance(source, Term) else None
        self._text: str | None = None
        self._digest: str | None = None

    @property
    def term(self) -> Term:
        """The expression without holes."""
        if self._term is None:
            try:
                self._term = unfold(self._source, self.decisions)  # type: ignore[arg-type]
            except RecursionError:
                raise self._too_deep() from None
        return self._term

    @property
    def text(self) -> str:
        """The expression as text; `SearchSpace.parse` reads it back."""
        if self._text is None:
            term = self.term
            known = {} if isinstance(self._source, Term) else self._source.layout.texts
            try:
                self._text = to_text(term, known)
            except RecursionError:
                raise self._too_deep() from None
        return self._text

    def is_of(self, space: Grammar) -> bool:
        """Whether the space has it; at once if it was made from this very object."""
        return self._source is space or (self.space == space.name and space.check(self) is None)

    def _too_deep(self) -> SpaceError:
        return SpaceError(
            f"{self.space}: an architecture nested too deep to be written; lower the depth of rules"
        )

    @property
    def network(self) -> Term:
        """The expression inside `train(...)`, or all of it where there is none."""
        match self.term:
            case Op("train", (network,)):
                return network
            case Define(Op("train", (network,)), bindings):
                return Define(network, bindings)
            case term:
                return term

    @property
    def settings(self) -> dict[str, Any]:
        """Training settings beside the network, by name; empty where there are none.

        A setting may be a part of the definition around it.
        """
        root, parts = self.term, dict[str, Term]()
        if isinstance(root, Define):
            root, parts = root.body, dict(root.bindings)
        if not isinstance(root, Op) or root.name != "train":
            return {}
        values = {name: resolved(value, parts) for name, value in root.attributes}
        return {name: value.value for name, value in values.items() if isinstance(value, Literal)}

    def digest(self) -> str:
        """Identity of the text in this space, 32 hex digits; the first 8 name it in tables."""
        if self._digest is None:
            content = f"{self.space}\n{self.text}".encode()
            self._digest = hashlib.blake2b(content, digest_size=16).hexdigest()
        return self._digest

    def to_json(self) -> dict[str, Any]:
        """JSON values; `SearchSpace.architecture_from_json` is the inverse."""
        return {"space": self.space, "decisions": [decision.to_json() for decision in self.decisions]}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Architecture):
            return NotImplemented
        if self.space != other.space:
            return False
        return (
            self._source is other._source and self.decisions == other.decisions
        ) or self.term == other.term

    def __hash__(self) -> int:
        return hash((self.space, self.text))

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Architecture({self.space!r}, {self.text!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # the space stays behind: a worker needs the expression and its vocabulary only
        return Architecture, (self.space, self.vocabulary, self.decisions, self.term)


def unfold(space: Grammar, decisions: Iterable[Decision]) -> Term:
    """The expression without holes that the decisions describe; they are trusted to be complete."""
    found = {(decision.hole, decision.prefix): decision for decision in decisions}
    return _Unfolder(space, found).build(space.layout.root, ())


def plain(term: Term) -> Term:
    """A hole-free term in the form architectures have: no Shared, no single choice, no tied flag."""
    match term:
        case Shared(_, body) | Choice((body,)):
            return plain(body)
        case Seq(parts):
            return seq(*map(plain, parts))
        case Repeat(body, low):
            return copies(plain(body), low)
        case Op(name, args, attributes):
            return Op(name, tuple(map(plain, args)), tuple((key, plain(value)) for key, value in attributes))
        case Define(body, bindings):
            return Define(plain(body), tuple((key, plain(value)) for key, value in bindings))
        case _:
            return term


def fixed(site: Site) -> Term:
    """The term of a FIXED site as architectures have it."""
    if site.plain is None:
        site.plain = plain(site.term)
    return site.plain


def _remember(term: Term, texts: dict[int, str]) -> None:
    """Keeps the texts of a term that lives as long as its space, and of the steps it may be spliced into."""
    for part in (term, *(term.parts if isinstance(term, Seq) else ())):
        texts[id(part)] = to_text(part)


def copies(body: Term, number: int) -> Term:
    """`number` copies of a hole-free term in sequence, in the shortest form."""
    if number == 0 or body == Seq(()):
        return Seq(())
    return body if number == 1 else Repeat(body, number, number)


class _Unfolder:
    def __init__(self, space: Grammar, decisions: dict[tuple[int, tuple[int, ...]], Decision]) -> None:
        self.space = space
        self.texts = space.layout.texts
        self.decisions = decisions
        self.shared: dict[int, Term] = {}
        self.values: dict[int, Name] = {}  # of a program
        self.statements = 0

    def build(self, site: Site, prefix: tuple[int, ...]) -> Term:
        while site.kind == CHOICE:
            site = site.children[int(self.decisions[site.index, prefix].option)]
        kind = site.kind
        if kind == FIXED:
            return self.whole(site)
        if kind in (NODE, PROGRAM):
            return self.node(site, prefix)
        if kind == USE:
            return self.values[int(self.decisions[site.index, prefix].option)]
        if kind == LET:
            return self.statement(site, prefix)
        if kind == NUMBER:
            return self.number(site, prefix)
        if kind == REPEAT:
            return self.repeat(site, prefix)
        if kind == SHARED:
            if site.index not in self.shared:
                self.shared[site.index] = self.build(site.children[0], ())
            return self.shared[site.index]
        if kind == RULE:
            return self.build(site.children[0], prefix)
        assert kind == EXPAND
        return self.build(site.children[0].children[0], (*prefix, site.index, 0))

    def whole(self, site: Site) -> Term:
        term = fixed(site) if site.plain is None else site.plain
        if id(term) not in self.texts:
            _remember(term, self.texts)
        return term

    def number(self, site: Site, prefix: tuple[int, ...]) -> Term:
        term = site.term
        assert isinstance(term, Number)
        value = self.decisions[site.index, prefix].option
        return Literal(int(value) if term.integer else float(value))

    def repeat(self, site: Site, prefix: tuple[int, ...]) -> Term:
        term, body = site.term, site.children[0]
        assert isinstance(term, Repeat)
        decision = self.decisions.get((site.index, prefix))
        number = term.low if decision is None else int(decision.option)
        if body.kind == FIXED or term.tied:
            return copies(self.build(body, prefix), number) if number else Seq(())
        ids = range(number) if decision is None or not decision.ids else decision.ids
        return seq(*(self.build(body, (*prefix, site.index, element)) for element in ids))

    def statement(self, site: Site, prefix: tuple[int, ...]) -> Term:
        assert isinstance(site.term, Let)
        body = self.build(site.children[0], prefix)
        self.values[value_number(self.space.layout, site.slot, prefix)] = Name(f"x{self.statements}")
        self.statements += 1
        return body

    def node(self, site: Site, prefix: tuple[int, ...]) -> Term:
        term = site.term
        if isinstance(term, Program):
            self.values.update((i, Name(name)) for i, (name, _) in enumerate(term.inputs))
        built = [self.build(child, prefix) for child in site.children]
        match term:
            case Op(name, args, attributes):
                values = zip(attributes, built[len(args) :], strict=True)
                named = tuple((key, value) for (key, _), value in values)
                return Op(name, tuple(built[: len(args)]), named)
            case Seq():
                return seq(*built)
            case Define(_, bindings):
                named = tuple((key, value) for (key, _), value in zip(bindings, built, strict=False))
                return Define(built[-1], named)
            case Program(inputs, _, outputs):
                named = tuple((key, value) for (key, _), value in zip(outputs, built[1:], strict=True))
                return Program(inputs, built[0], named)
            case _:
                raise AssertionError(f"{type(term).__name__} has no parts to build")
