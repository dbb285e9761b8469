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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nas.architecture import Decision
from nas.draws import share_of
from nas.errors import SpaceError
from nas.sites import EXPAND, LET, REPEAT, USE, Site
from nas.term import Choice, Define, Literal, Name, Number, Op, Repeat, Seq, Term, children, unrolled

if TYPE_CHECKING:
    from nas.architecture import Architecture
    from nas.space import SearchSpace

KINDS = ("one_hot", "numeric", "count", "path", "ngram")
MAX_NGRAM = 4
MAX_PATHS = 10_000  # of one cell; more is refused rather than silently cut

Features = dict[str, float]


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
        if "one_hot" in self.kinds or "numeric" in self.kinds:
            decisions = _positional(self.space, self._statements, architecture.decisions)
            if "one_hot" in self.kinds:
                found.update(_one_hot(self.space, decisions))
            if "numeric" in self.kinds:
                found.update(_numeric(self.space, decisions))
        if "count" in self.kinds:
            _add_counts(found, architecture.network, 1)
        if "path" in self.kinds:
            for path in _paths(architecture.network):
                _count(found, f"path:{path}")
        if "ngram" in self.kinds:
            found.update(_ngrams(architecture.network))
        return found


def _one_hot(space: SearchSpace, decisions: Iterable[Decision]) -> Features:
    found: Features = {}
    for decision in decisions:
        term = space.layout.sites[decision.hole].term
        address = f"{decision.hole}{list(decision.prefix)}"
        if isinstance(term, Number):
            found[f"hole:{address}"] = share_of(term, float(decision.option))
            found[f"has:{address}"] = 1.0  # tells a number at its lower bound from a hole that is absent
        else:
            found[f"hole:{address}={decision.option}"] = 1.0
    return found


def _numeric(space: SearchSpace, decisions: Iterable[Decision]) -> Features:
    found: Features = {}
    for decision in decisions:
        site = space.layout.sites[decision.hole]
        share = _share(site.term, decision.option, site.options)
        if share is not None:
            found[f"number:{decision.hole}{list(decision.prefix)}"] = share
    return found


def _repeat_of_statements(space: SearchSpace) -> dict[int, int]:
    """Number of a program's statement -> the site of the repeat that it stands in."""
    sites = space.layout.sites
    return {s.slot: r.index for r in sites if r.kind == REPEAT for s in _statements(r)}


def _positional(
    space: SearchSpace, repeats: Mapping[int, int], decisions: tuple[Decision, ...]
) -> tuple[Decision, ...]:
    """The decisions with positions of a repeat's elements for their names, so that order counts."""
    positions = {(d.hole, d.prefix): {e: i for i, e in enumerate(d.ids)} for d in decisions if d.ids}
    if not positions:
        return decisions
    inputs, lets = len(space.layout.inputs), len(space.layout.lets)

    def moved(decision: Decision) -> Decision:
        hole, prefix, option, _ = decision
        place: tuple[int, ...] = ()
        for i in range(0, len(prefix), 2):
            site, element = prefix[i : i + 2]
            place += (site, positions.get((site, prefix[:i]), {}).get(element, element))
        if space.layout.sites[hole].kind == USE and option >= inputs:
            element, slot = divmod(int(option) - inputs, lets)
            option = inputs + lets * positions.get((repeats[slot], ()), {}).get(element, element) + slot
        return Decision(hole, place, option)

    return tuple(map(moved, decisions))


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
            return list(options).index(int(option)) / max(1, len(options) - 1)
        case Choice(values) if all(
            isinstance(v, Literal) and isinstance(v.value, int | float) and not isinstance(v.value, bool)
            for v in values
        ):
            ordered = sorted(values, key=lambda v: v.value)  # type: ignore[union-attr]
            return ordered.index(values[int(option)]) / max(1, len(values) - 1)
        case _:
            return None


def _add_counts(found: Features, term: Term, copies: int) -> None:
    if isinstance(term, Op):
        _count(found, f"count:{term.name}", copies)
        for key, value in term.attributes:
            if isinstance(value, Literal):
                _count(found, f"count:{term.name}.{key}={value.value}", copies)
    if isinstance(term, Repeat) and term.low == term.high:
        copies *= term.low
    for child in children(term):
        _add_counts(found, child, copies)


def _ngrams(network: Term) -> Features:
    names = _primitives(network)
    found: Features = {"primitives": float(len(names))}
    for n in range(1, MAX_NGRAM + 1):
        for run, times in Counter(zip(*(names[i:] for i in range(n)), strict=False)).items():
            found["ngram:" + ">".join(run)] = float(times)
    return found


def _primitives(term: Term) -> list[str]:
    """Names depth first, repeats written out."""
    if isinstance(term, Repeat) and term.low == term.high:
        return _primitives(term.body) * term.low
    names = [term.name] if isinstance(term, Op) else []
    for part in children(term):
        if not isinstance(part, Literal):
            names += _primitives(part)
    return names


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
