"""Architectures as vectors for surrogates; generic over spaces, conditional and recursive ones included.

Five kinds of features, which an `Encoder` combines:
- "one_hot": one per (hole, option); holes that an architecture does not have give zeros. A number
  gives its share of the range along its scale.
- "numeric": the share in [0, 1] of numbers, of choices among numbers (by rank) and of repeats.
- "count": how often each primitive occurs and each plain value of its attributes, with repeats written out;
  where they stand does not matter.
- "path": how often each sequence of operations leads from an input to the output of a cell (White et al.
  2021, BANANAS, section 3; there only whether it does, and "skip" is a step like others), and the steps of
  each sequence of the expression outside cells. "zero" ends a path, "skip" adds nothing to it.
- "ngram": runs of 1 to 4 primitive names in depth-first order (Negrinho and Gordon 2017, SMBO features),
  plus the number of primitives, with repeats written out.

Elements of a repeat are told apart by their position; the stable names of their decisions do not enter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nas.errors import SpaceError
from nas.language import (
    Choice,
    Define,
    Literal,
    Name,
    Number,
    Op,
    Repeat,
    Seq,
    Term,
    children,
    length,
    unrolled,
)
from nas.space.architecture import Decision
from nas.space.operators import share_of
from nas.space.sites import EXPAND, LET, REPEAT, USE, Site

if TYPE_CHECKING:
    from nas.space.architecture import Architecture
    from nas.space.space import SearchSpace

KINDS = ("one_hot", "numeric", "count", "path", "ngram")
MAX_NGRAM = 4
MAX_LENGTH = 100_000  # primitives of an architecture
MAX_PATHS = 10_000  # of one cell; more is refused rather than silently cut

Features = dict[str, float]
_Placed = tuple[int, tuple[int, ...], int | float]  # a decision without ids, its prefix with positions

_Positions = Mapping[tuple[int, tuple[int, ...]], Mapping[int, int]]  # of a repeat's elements, by its key


class _Option(NamedTuple):
    """What an option adds wherever it is taken at one place; only the last two, its share, if it has one."""

    hole: str
    number: str
    share: float | None


class Encoder:
    """Maps architectures of one space to rows of a matrix.

    Args:
        space: the architectures' space.
        kinds: features to use, of `KINDS`.

    Raises:
        SpaceError: an unknown kind.
    """

    def __init__(self, space: SearchSpace, kinds: Sequence[str] = ("one_hot",)) -> None:
        unknown = [kind for kind in kinds if kind not in KINDS]
        if unknown or not kinds:
            raise SpaceError(f"encoding: kinds are expected from {', '.join(KINDS)}; got {list(kinds)}")
        self.space = space
        self.kinds = tuple(kinds)
        self.columns: dict[str, int] = {}
        self._statements = _repeat_of_statements(space)
        self._options: dict[_Placed, _Option] = {}  # made at the first use, as making names takes long
        self._numbers: dict[tuple[int, tuple[int, ...]], tuple[str, str, str]] = {}

    def fit(self, architectures: Sequence[Architecture]) -> Encoder:
        """Adds a column for every feature that occurs; columns already there keep their place."""
        for architecture in architectures:
            for name in self.features(architecture):
                self.columns.setdefault(name, len(self.columns))
        return self

    def transform(self, architectures: Sequence[Architecture]) -> np.ndarray:
        """Matrix (architectures, columns) of float64; features without a column are left out."""
        matrix = np.zeros((len(architectures), len(self.columns)))
        for row, architecture in zip(matrix, architectures, strict=True):
            for name, value in self.features(architecture).items():
                column = self.columns.get(name)
                if column is not None:
                    row[column] = value
        return matrix

    def features(self, architecture: Architecture) -> Features:
        """Feature name -> value; what is not named is zero."""
        found: Features = {}
        for features in self.by_kind(architecture).values():
            found.update(features)
        return found

    def by_kind(self, architecture: Architecture) -> dict[str, Features]:
        """The features of each kind apart."""
        found: dict[str, Features] = {}
        if "one_hot" in self.kinds or "numeric" in self.kinds:
            decided = zip(("one_hot", "numeric"), self._of_decisions(architecture.decisions), strict=True)
            found.update((kind, features) for kind, features in decided if kind in self.kinds)
        if {"count", "path", "ngram"} & {*self.kinds}:
            _check_length(architecture)
        operations: list[Op] = []
        if "count" in self.kinds or "ngram" in self.kinds:
            _add_operations(operations, architecture.network)
        if "count" in self.kinds:
            found["count"] = _counts(operations)
        if "path" in self.kinds:
            found["path"] = {}
            for path in _paths(architecture.network):
                _count(found["path"], f"path:{path}")
        if "ngram" in self.kinds:
            found["ngram"] = _ngrams(operations)
        return found

    def _of_decisions(self, decisions: tuple[Decision, ...]) -> tuple[Features, Features]:
        """Of the kinds "one_hot" and "numeric"."""
        one_hot: Features = {}
        numeric: Features = {}
        for placed in _positional(self.space, self._statements, decisions):
            known = self._options.get(placed)
            if known is None:
                site = self.space.layout.sites[placed[0]]
                if isinstance(site.term, Number):
                    self._add_number(site.term, placed, one_hot, numeric)
                    continue
                known = self._options[placed] = _option_features(site, placed)
            one_hot[known.hole] = 1.0
            if known.share is not None:
                numeric[known.number] = known.share
        return one_hot, numeric

    def _add_number(self, number: Number, placed: _Placed, one_hot: Features, numeric: Features) -> None:
        hole, prefix, value = placed
        if (names := self._numbers.get((hole, prefix))) is None:
            address = f"{hole}{list(prefix)}"
            names = self._numbers[hole, prefix] = (f"hole:{address}", f"has:{address}", f"number:{address}")
        share = share_of(number, float(value))
        one_hot[names[0]] = numeric[names[2]] = share
        one_hot[names[1]] = 1.0  # tells a number at its lower bound from a hole that is absent


def _check_length(architecture: Architecture) -> None:
    if (number := length(architecture.network)) > MAX_LENGTH:
        got = number if number < 10**15 else "far more"
        raise SpaceError(
            f"encoding: at most {MAX_LENGTH} primitives, with repeats written out, are expected; got {got}; "
            "use the kinds one_hot and numeric, or give repeat fewer copies"
        )


def _option_features(site: Site, placed: _Placed) -> _Option:
    address, option = f"{placed[0]}{list(placed[1])}", placed[2]
    share = _share(site.term, option, site.options)
    return _Option(f"hole:{address}={option}", f"number:{address}", share)


def _repeat_of_statements(space: SearchSpace) -> dict[int, int]:
    """Number of a program's statement -> the site of the repeat that it stands in."""
    sites = space.layout.sites
    return {s.slot: r.index for r in sites if r.kind == REPEAT for s in _statements(r)}


def _positional(
    space: SearchSpace, repeats: Mapping[int, int], decisions: tuple[Decision, ...]
) -> Iterator[_Placed]:
    """The decisions with positions of a repeat's elements for their names, so that order counts."""
    positions = {(d.hole, d.prefix): {e: i for i, e in enumerate(d.ids)} for d in decisions if d.ids}
    if not positions:
        yield from (decision[:3] for decision in decisions)
        return
    inputs, lets = len(space.layout.inputs), len(space.layout.lets)
    places: dict[tuple[int, ...], tuple[int, ...]] = {}
    for hole, prefix, option, _ in decisions:
        place = places.get(prefix)
        if place is None:
            place = places[prefix] = _place(prefix, positions)
        if space.layout.sites[hole].kind == USE and option >= inputs:
            element, slot = divmod(int(option) - inputs, lets)
            option = inputs + lets * positions.get((repeats[slot], ()), {}).get(element, element) + slot
        yield hole, place, option


def _place(prefix: tuple[int, ...], positions: _Positions) -> tuple[int, ...]:
    place: tuple[int, ...] = ()
    for i in range(0, len(prefix), 2):
        site, element = prefix[i : i + 2]
        place += (site, positions.get((site, prefix[:i]), {}).get(element, element))
    return place


def _statements(site: Site) -> Iterator[Site]:
    if site.kind == LET:
        yield site
    else:
        yield from (found for child in site.children if site.kind != EXPAND for found in _statements(child))


def _share(term: Term, option: int | float, options: Sequence[int]) -> float | None:
    match term:
        case Number():
            return share_of(term, float(option))
        case Repeat():
            return options.index(int(option)) / max(1, len(options) - 1)
        case Choice(values) if all(
            isinstance(v, Literal) and isinstance(v.value, int | float) and not isinstance(v.value, bool)
            for v in values
        ):
            ordered = sorted(values, key=lambda v: v.value)  # type: ignore[union-attr]
            return ordered.index(values[int(option)]) / max(1, len(values) - 1)
        case _:
            return None


def _add_operations(found: list[Op], term: Term) -> None:
    """Depth first, repeats written out."""
    if isinstance(term, Repeat) and term.low == term.high:
        body: list[Op] = []
        _add_operations(body, term.body)
        found += body * term.low
        return
    if isinstance(term, Op):
        found.append(term)
    for part in children(term):
        if not isinstance(part, Literal | Name):
            _add_operations(found, part)


def _counts(operations: Sequence[Op]) -> Features:
    found: Features = {}
    several = Counter(map(id, operations))
    for operation in {id(each): each for each in operations}.values():
        times = several[id(operation)]
        _count(found, f"count:{operation.name}", times)
        for key, value in operation.attributes:
            if isinstance(value, Literal):
                _count(found, f"count:{operation.name}.{key}={value.value}", times)
    return found


def _ngrams(operations: Sequence[Op]) -> Features:
    names = [operation.name for operation in operations]
    found: Features = {"primitives": float(len(names))}
    for n in range(1, MAX_NGRAM + 1):
        for run, times in Counter(zip(*(names[i:] for i in range(n)), strict=False)).items():
            found["ngram:" + ">".join(run)] = float(times)
    return found


def _paths(term: Term, part: str = "") -> Iterator[str]:
    """Operation sequences: of every cell along its edges, of every other sequence step by step."""
    match term:
        case Define(body, bindings):
            for name, value in bindings:
                yield from _paths(value, f"{name}:")
            yield from _paths(body, part)
        case Op("cell"):
            yield from (part + ">".join(path) for path in _cell_paths(term))
        case Seq() | Repeat() if steps := unrolled(term):
            yield part + ">".join(map(_word, steps))
            for step in steps:
                yield from _paths(step, part)
        case _:
            for child in children(term):
                yield from _paths(child, part)


def _cell_paths(cell: Op) -> Iterator[tuple[str, ...]]:
    attributes = {name: value.value for name, value in cell.attributes if isinstance(value, Literal)}
    sources = int(attributes.get("inputs", 1))  # type: ignore[arg-type]
    reaching: list[list[tuple[str, ...]]] = [[(f"in{i}",)] for i in range(sources)]
    for node in cell.args:
        arriving = []
        for source, edge in zip(_edge_sources(node), children(node), strict=False):
            if source >= len(reaching):
                known = f"there are {len(reaching)} before it, numbered from 0"
                raise SpaceError(
                    f"encoding: a node of a cell reads value {source}, but {known}; lower its inputs"
                )
            step = _word(edge)
            if step != "zero":
                arriving += [path if step in ("", "skip") else (*path, step) for path in reaching[source]]
        if len(arriving) > MAX_PATHS:
            raise SpaceError(f"encoding: a cell with over {MAX_PATHS} paths; use another kind than path")
        reaching.append(arriving)
    ends = reaching[sources:] if attributes.get("output") == "concat" else reaching[-1:]
    yield from (path for paths in ends for path in paths)


def _edge_sources(node: Term) -> tuple[int, ...]:
    given = dict(node.attributes).get("inputs") if isinstance(node, Op) else None
    return given.value if isinstance(given, Literal) and isinstance(given.value, tuple) else (0,)  # type: ignore[return-value]


def _word(term: Term) -> str:
    """An operation with its plain attributes, e.g. "conv(kernel=3)"; parts inside are not spelled out."""
    match term:
        case Op(name, _, attributes):
            given = [f"{key}={value.value}" for key, value in attributes if isinstance(value, Literal)]
            return f"{name}({','.join(given)})" if given else name
        case Name(name):
            return name
        case _:
            return (
                "+".join(_word(step) for step in unrolled(term)) if unrolled(term) != (term,) else str(term)
            )


def _count(found: Features, name: str, times: int = 1) -> None:
    found[name] = found.get(name, 0.0) + times
