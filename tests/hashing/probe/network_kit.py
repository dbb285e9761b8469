"""Networks, compiled as they are trained, under value-seeded weights: what the hash claims to compute."""

from __future__ import annotations

from typing import Any

import torch

from nas.hashing.functional import FunctionalHasher
from nas.hashing.probe.cells import CellGraph, CellHasher
from nas.hashing.probe.interpreter import Interpreter, inlined
from nas.hashing.probe.leaves import Leaf
from nas.hashing.probe.values import Values
from nas.language import Term, parse
from nas.layers import NETWORK, compile_network, infer_shape
from nas.space import SearchSpace
from nas.study import Hashed

SIDE = 12
IMAGE = (3, SIDE, SIDE)


def hashed(expression: Term | str, vocabulary: Any = NETWORK, hasher: Any = None, **options: Any) -> Hashed:
    """What a hasher, usually a fresh one, says of a network, or of a part of one."""
    term = parse(expression) if isinstance(expression, str) else expression
    architecture = SearchSpace("test", term, vocabulary=vocabulary).start().architecture()
    return (hasher or FunctionalHasher(**options)).hash(architecture)


def digest(expression: Term | str, vocabulary: Any = NETWORK, hasher: Any = None, **options: Any) -> str:
    """Functional digest of a network, or of a part of one."""
    found = hashed(expression, vocabulary, hasher, **options)
    assert found.digest is not None, found.reason
    return found.digest


def reason(expression: Term | str, vocabulary: Any = NETWORK, **options: Any) -> str | None:
    """Why a network has no digest."""
    return hashed(expression, vocabulary, **options).reason


class OpenWalk(CellHasher):
    """A pass that goes through cells."""

    def cell(self, term: Any, inputs: Any, context: Any, path: Any) -> Any:
        return CellGraph(self, term, inputs, context).output()


def compiled_output(term: Term, values: Values, trained: bool = True) -> torch.Tensor:
    """The whole compiled network on the probe, as one operation of its own."""
    shape = infer_shape(term, IMAGE, 10 if "head" in str(term) else None)
    classes = 10 if "head" in str(term) else None
    leaf = Leaf(
        0, "network", lambda _: compile_network(term, IMAGE, classes), (IMAGE, shape), values, trained=trained
    )
    x = values.generic(0, IMAGE).tensor
    assert x is not None
    with torch.no_grad():
        return leaf.run(x)[0]


def walked_output(term: Term, values: Values, trained: bool = True) -> torch.Tensor:
    """The network taken apart, cells as well."""
    machine = Interpreter(values, NETWORK, 10, trained=trained, scale_kept=True)
    with torch.no_grad():
        y = OpenWalk(machine).run(inlined(term), values.generic(0, IMAGE), machine.context, ())
    assert y.tensor is not None
    return y.tensor
