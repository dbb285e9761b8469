"""Architectures as vectors for surrogates; generic over spaces, conditional and recursive ones included.

Four kinds of features, which an `Encoder` combines:
- "one_hot": one per (hole, option); holes that an architecture does not have give zeros. A number
  gives its share of the range along its scale.
- "numeric": the share in [0, 1] of numbers, of choices among numbers (by rank) and of repeats.
- "path": sequences of operations from input to output of each cell (White et al. 2021, BANANAS,
  section 3), and of each chain of the expression outside cells.
- "ngram": runs of 1 to 4 primitive names in depth-first order (Negrinho and Gordon 2017, SMBO features),
  plus the number of primitives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nas.draws import share_of
from nas.errors import SpaceError
from nas.term import Choice, Literal, Name, Number, Op, Repeat, Term, children, unrolled, walk

if TYPE_CHECKING:
    from nas.architecture import Architecture
    from nas.space import SearchSpace

KINDS = ("one_hot", "numeric", "path", "ngram")
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
        """Feature name -> value, zeros left out."""
        found: Features = {}
        if "one_hot" in self.kinds:
            found.update(_one_hot(self.space, architecture))
        if "numeric" in self.kinds:
            found.update(_numeric(self.space, architecture))
        if "path" in self.kinds:
            for path in _paths(architecture.network):
                _count(found, "path:" + ">".join(path))
        if "ngram" in self.kinds:
            found.update(_ngrams(architecture.network))
        return found


def _one_hot(space: SearchSpace, architecture: Architecture) -> Features:
    found: Features = {}
    for decision in architecture.decisions:
        term = space.layout.sites[decision.hole].term
        address = f"{decision.hole}{list(decision.prefix)}"
        if isinstance(term, Number):
            found[f"hole:{address}"] = share_of(term, float(decision.option))
            found[f"has:{address}"] = 1.0  # tells a number at its lower bound from a hole that is absent
        else:
            found[f"hole:{address}={decision.option}"] = 1.0
    return found


def _numeric(space: SearchSpace, architecture: Architecture) -> Features:
    found: Features = {}
    for decision in architecture.decisions:
        term = space.layout.sites[decision.hole].term
        share = _share(term, decision.option, space.layout.sites[decision.hole].options)
        if share is not None:
            found[f"number:{decision.hole}{list(decision.prefix)}"] = share
    return found


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


def _ngrams(network: Term) -> Features:
    names = [term.name for term in walk(network) if isinstance(term, Op)]
    found: Features = {"primitives": float(len(names))}
    for n in range(1, MAX_NGRAM + 1):
        for start in range(len(names) - n + 1):
            _count(found, "ngram:" + ">".join(names[start : start + n]))
    return found


def _paths(term: Term) -> Iterator[tuple[str, ...]]:
    """Operation sequences: of every cell along its edges, of every other chain step by step."""
    for part in walk(term):
        if isinstance(part, Op) and part.name == "cell":
            yield from _cell_paths(part)
    chain = tuple(_word(step) for step in unrolled(term))
    if len(chain) > 1:
        yield chain


def _cell_paths(cell: Op) -> Iterator[tuple[str, ...]]:
    attributes = {name: value.value for name, value in cell.attributes if isinstance(value, Literal)}
    sources = int(attributes.get("inputs", 1))  # type: ignore[arg-type]
    reaching: list[list[tuple[str, ...]]] = [[(f"in{i}",)] for i in range(sources)]
    for node in cell.args:
        inputs = _edge_sources(node)
        arriving = []
        for source, edge in zip(inputs, children(node)[: len(inputs)], strict=False):
            step = _word(edge)
            if step not in ("none", "zero"):
                arriving += [path if step in ("", "skip") else (*path, step) for path in reaching[source]]
        if len(arriving) > MAX_PATHS:
            raise SpaceError(f"encoding: a cell with over {MAX_PATHS} paths; use another kind than path")
        reaching.append(arriving)
    ends = reaching[sources:] if attributes.get("output") == "concat" else reaching[-1:]
    yield from (path for paths in ends for path in paths)


def _edge_sources(node: Term) -> tuple[int, ...]:
    given = dict(node.attributes).get("inputs") if isinstance(node, Op) else None
    return given.value if isinstance(given, Literal) and isinstance(given.value, tuple) else ()  # type: ignore[return-value]


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


def _count(found: Features, name: str) -> None:
    found[name] = found.get(name, 0.0) + 1.0
