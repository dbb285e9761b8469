"""From an architecture to a torch module, with every shape inferred and every error placed in the expression.

Weights are never shared: each copy of a `repeat` and each use of a definition gets its own.

The cost of a network: parameters and multiply-adds, and constraints on them.

They are counted on torch's meta device, without weights and arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from nas.errors import CompileError, quoted, refusal
from nas.language import MAX_DEPTH, Context, Part, Shape, Term, Vocabulary, written_size
from nas.layers import NETWORK
from nas.layers.parts import Scope, at_sides, make_part
from nas.space import Architecture

if TYPE_CHECKING:
    from torch import nn

    from nas.language import Term
    from nas.space import Architecture


MAX_PRIMITIVES: Final = 6_000  # of a network, repeats and references written out

Mode: TypeAlias = Literal["standard", "search"]


def _root(
    architecture: Architecture | Term, num_classes: int | None, vocabulary: Vocabulary | None, mode: Mode
) -> tuple[Part, Context]:
    if isinstance(architecture, Term):
        term = architecture
    elif not isinstance(architecture, Architecture):
        remedy = "read one by space.parse(text), or a part by nas.language.dsl.parse(text)"
        raise CompileError(refusal("root", "an architecture or a term", quoted(architecture), remedy))
    else:
        term, vocabulary = architecture.term, vocabulary or architecture.vocabulary
    try:
        size = written_size(term)
    except RecursionError:
        raise CompileError(
            refusal("root", f"at most {MAX_DEPTH} levels", "more", "lower the depth of rules")
        ) from None
    if size > MAX_PRIMITIVES:
        got = size if size < 10**15 else "far more"
        remedy = "give repeat fewer copies, or the definitions fewer uses"
        raise CompileError(refusal("root", f"at most {MAX_PRIMITIVES} primitives in all", got, remedy))
    context = Context(num_classes, affine=mode == "standard", mode=mode)
    return make_part(term, Scope(vocabulary or NETWORK)), context


def infer_shape(
    architecture: Architecture | Term,
    input_shape: Shape,
    num_classes: int | None,
    *,
    vocabulary: Vocabulary | None = None,
    mode: Mode = "standard",
) -> Shape:
    """Shape that comes out, without the batch dimension; needs no torch.

    Raises:
        CompileError: the place in the expression, what was expected there, what was found, what to do.
    """
    part, context = _root(architecture, num_classes, vocabulary, mode)
    out = at_sides(lambda shape: part.shape(shape, context), checked_input(input_shape))
    if num_classes is not None and out != (num_classes,):
        remedy = "end the network with head()"
        raise CompileError(refusal("root", f"({num_classes},) for {num_classes} classes", out, remedy))
    return out


def checked_input(shape: Shape) -> Shape:
    whole = all(isinstance(side, int) and side >= 1 for side in shape)
    if len(shape) not in (1, 3) or not whole:
        raise CompileError(
            refusal("input", "(C, H, W) or (F,), each at least 1", tuple(shape), "give that of one image")
        )
    return tuple(shape)


def compile_network(
    architecture: Architecture | Term,
    input_shape: Shape,
    num_classes: int | None,
    *,
    vocabulary: Vocabulary | None = None,
    mode: Mode = "standard",
    seed: int = 0,
) -> nn.Module:
    """A new network, on the CPU and in training mode.

    Args:
        architecture: or a hole-free term, for parts and tests.
        input_shape: of one example, (C, H, W) or (F,).
        num_classes: None where a part is compiled that has no `head`.
        vocabulary: the primitives; by default the architecture's, for a term the standard ones.
        mode: "search" as in the papers' supernets, see `Context.mode`.
        seed: of the initial weights; the global random state is left as it was.

    Raises:
        CompileError: as `infer_shape`.
    """
    infer_shape(architecture, input_shape, num_classes, vocabulary=vocabulary, mode=mode)
    part, context = _root(architecture, num_classes, vocabulary, mode)
    with seeded(seed):
        return part.build(tuple(input_shape), context)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within, the CPU's generator, from which torch draws initial weights, is seeded.

    `torch.manual_seed` would also reseed every CUDA device, and permanently.
    """
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def listing(architecture: Architecture | Term, input_shape: Shape, num_classes: int | None) -> str:
    """The module tree as text: layer, output shape without the batch dimension, parameters.

    Nothing is computed: the network is built on torch's meta device. Drop-path, which is active in training
    alone, is left out.
    """
    import torch

    from nas.layers.modules import DropPath

    network = compile_on_meta(architecture, input_shape, num_classes)
    shapes: dict[int, str] = {}

    def watch(module: nn.Module, _: object, out: object) -> None:
        if isinstance(out, torch.Tensor):
            shapes.setdefault(id(module), str(tuple(out.shape[1:])))

    for module in network.modules():
        module.register_forward_hook(watch)
    run_on_meta(network, input_shape)
    shown = ((name, module) for name, module in network.named_modules() if not isinstance(module, DropPath))
    rows = [_row(name, module, shapes) for name, module in shown]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [f"{name:<{widths[0]}}  {shape:<{widths[1]}}  {count:>12}" for name, shape, count in rows]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _row(name: str, module: nn.Module, shapes: dict[int, str]) -> tuple[str, str, str]:
    """Indented name and kind, shape, parameters; containers show the sum of what they hold."""
    depth = name.count(".") + 1 if name else 0
    kind = type(module).__name__
    description = kind if list(module.children()) else f"{kind}({module.extra_repr()})"
    label = f"{name.rpartition('.')[2]}: {description}" if name else description
    count = sum(parameter.numel() for parameter in module.parameters())
    return "  " * depth + label, shapes.get(id(module), ""), f"{count:,}" if count else ""


def compile_on_meta(
    architecture: Architecture | Term, input_shape: Shape, num_classes: int | None
) -> nn.Module:
    """The network without memory for its weights, for counting; ready for evaluation mode."""
    import torch

    with torch.device("meta"):
        return compile_network(architecture, input_shape, num_classes).eval()


def run_on_meta(network: nn.Module, input_shape: Shape) -> None:
    """Passes one example of shape only through the network."""
    import torch

    with torch.no_grad():
        network(torch.empty(1, *input_shape, device="meta"))


Count = Callable[["Architecture | Term", Shape, int], int]


def parameters(architecture: Architecture | Term, input_shape: Shape, num_classes: int) -> int:
    """Number of trainable values; raises CompileError if the architecture is no network."""
    network = compile_on_meta(architecture, input_shape, num_classes)
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def multiply_adds(architecture: Architecture | Term, input_shape: Shape, num_classes: int) -> int:
    """Multiply-adds of one example in all matrix products and convolutions, attention included.

    As usual, biases, normalisation, pooling and activations are not counted. torch counts the operations that
    a forward pass calls, so that modules and functions in the user's primitives count as well.
    """
    from torch.utils.flop_counter import FlopCounterMode

    network = compile_on_meta(architecture, input_shape, num_classes)
    with FlopCounterMode(display=False) as counter:
        run_on_meta(network, input_shape)
    return counter.get_total_flops() // 2  # one multiplication and one addition each


@dataclass(frozen=True, slots=True)
class Limit:
    """A constraint on a count: None if it holds, else the reason. Picklable.

    A network that does not compile violates it, with the compiler's reason.
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
