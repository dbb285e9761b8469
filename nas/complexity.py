"""What a network costs: parameters and multiply-adds, and constraints on them.

Counted on torch's meta device: no weights, no arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.compile import compile_on_meta, run_on_meta
from nas.errors import CompileError
from nas.primitives import Shape

if TYPE_CHECKING:
    from nas.architecture import Architecture
    from nas.term import Term

Count = Callable[["Architecture | Term", Shape, int], int]


def parameters(architecture: Architecture | Term, input_shape: Shape, num_classes: int) -> int:
    """Number of trainable values; raises CompileError where there is no network."""
    network = compile_on_meta(architecture, input_shape, num_classes)
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def multiply_adds(architecture: Architecture | Term, input_shape: Shape, num_classes: int) -> int:
    """Multiply-adds of one example in all matrix products and convolutions, attention included.

    As the field counts: biases, normalisation, pooling and activations are free. torch counts the operations
    that a forward pass calls, so that modules and functions in primitives of one's own count as well.
    """
    from torch.utils.flop_counter import FlopCounterMode

    network = compile_on_meta(architecture, input_shape, num_classes)
    with FlopCounterMode(display=False) as counter:
        run_on_meta(network, input_shape)
    return counter.get_total_flops() // 2  # one multiplication and one addition each


@dataclass(frozen=True, slots=True)
class Limit:
    """A constraint on a count: None if it holds, else the reason. Picklable.

    A network that does not compile breaks it, with the compiler's reason.
    """

    name: str
    count: Count
    limit: int
    input_shape: Shape
    num_classes: int

    def __call__(self, architecture: Architecture) -> str | None:
        try:
            count = self.count(architecture, self.input_shape, self.num_classes)
        except CompileError as error:
            return f"{self.name} cannot be counted: {error}"
        if count <= self.limit:
            return None
        return f"{count:,} {self.name}, more than the limit of {self.limit:,}"


def max_parameters(limit: int, input_shape: Shape, num_classes: int) -> Limit:
    """At most `limit` parameters, `limit` included."""
    return Limit("parameters", parameters, limit, tuple(input_shape), num_classes)


def max_multiply_adds(limit: int, input_shape: Shape, num_classes: int) -> Limit:
    """At most `limit` multiply-adds for one example, `limit` included."""
    return Limit("multiply-adds", multiply_adds, limit, tuple(input_shape), num_classes)
