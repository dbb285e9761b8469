"""Leaves of a network: primitives that run as torch modules, their weights seeded by what they receive.

Each module that owns parameters draws them from its own description (class and settings) and from the
digest of the value that reaches it. So equal operations on equal values meet equal weights in whatever order
and under whatever name they are built. A normalisation draws scale and shift from the normalised value,
since it is all that its scale and shift ever see: of a constant, nothing is left but the shift.
Where a module's weights are read past it, they are seeded by its name and what the leaf receives.

Weights are drawn at scales at which activations show what they are.

Feature maps have to be large enough to tell apart what a primitive's windows do: at 1x1 every pooling is the
identity; where a window covers the map from every place, each larger one is equal to it; and maxima over
maxima may cover the map between them. A few flat numbers may all be where two activations agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.pooling import _AvgPoolNd, _MaxPoolNd

from nas.errors import NasError
from nas.hashing.probe.values import (
    EXAMPLES,
    FEW,
    SMALL,
    UnhashableError,
    Value,
    Values,
    generator,
    is_noise_around_zero,
    key_of,
)
from nas.language import Shape

_TARGET = 16.0  # spread of what a matrix gives, whatever the spread of what it receives
_SHIFT = 8.0  # of biases, at most
_SCALES = (12.0, 20.0)  # of a normalisation


def owns_weights(module: nn.Module) -> bool:
    return any(True for _ in module.parameters(recurse=False))


def is_norm(module: nn.Module) -> bool:
    return isinstance(module, _BatchNorm | nn.GroupNorm | nn.LayerNorm)


def normalised(module: nn.Module, x: torch.Tensor) -> torch.Tensor | None:
    """What a normalisation's scale and shift see; None for other modules."""
    if isinstance(module, _BatchNorm):
        return F.batch_norm(x, None, None, training=True, eps=module.eps)
    if isinstance(module, nn.GroupNorm):
        return F.group_norm(x, module.num_groups, eps=module.eps)
    if isinstance(module, nn.LayerNorm):
        return F.layer_norm(x, module.normalized_shape, eps=module.eps)
    return None


def draw(module: nn.Module, x: torch.Tensor | None, seed: tuple[bytes, str], trained: bool) -> None:
    """Gives a module weights of its own.

    Matrices are scaled by their fan-in and by what they receive, so that the outputs of a deep network
    neither shrink to where every activation is linear nor grow to where its bends are out of sight.

    Args:
        module: its own parameters are set, not those of its parts.
        x: what it receives, if that is known.
        seed: digest that the draw follows, and a salt.
        trained: whether shifts are drawn; otherwise they are zero.
    """
    numbers = generator(*seed)
    scales = is_norm(module)
    gain = _gain(x) if not scales else 0.0
    for name, parameter in module.named_parameters(recurse=False):
        if name.endswith("bias") and not trained:
            parameter.zero_()
            continue
        drawn = numbers.random(parameter.numel())
        if name == "weight" and scales:
            drawn = _SCALES[0] + (_SCALES[1] - _SCALES[0]) * drawn
        elif parameter.dim() > 1:
            fan_in = math.prod(parameter.shape[1:])
            drawn = (gain * math.sqrt(12.0 / fan_in)) * (drawn - 0.5)
        else:
            drawn = (2.0 * _SHIFT) * (drawn - 0.5)
        parameter.copy_(torch.from_numpy(np.reshape(drawn, tuple(parameter.shape))))


def _gain(x: torch.Tensor | None) -> float:
    """What brings `x` to the spread that is wanted."""
    if x is None or not x.is_floating_point():
        return 1.0
    spread = float(torch.linalg.vector_norm(x)) / math.sqrt(max(1, x.numel()))
    return _TARGET / spread if spread > 0.0 else 1.0


SMALLEST = 3  # pixels a side of a map
_ENOUGH = 128  # numbers of a flat value that an activation is seen on
_ROOM = 2  # pixels more a side than a window reaches: one of its own, one that it does not see


class Pools:
    """The windows of one primitive that have no weights; those with weights differ by their weights.

    Args:
        modules: of the primitive, in order.
        in_shape: of one example.
        out_shape: of one example.
        examples: of the probe.
        weighted: whether the primitive has weights.
    """

    def __init__(
        self,
        modules: Sequence[nn.Module],
        in_shape: Shape,
        out_shape: Shape,
        examples: int,
        *,
        weighted: bool,
    ) -> None:
        self._side = min(in_shape[1:], default=0) if len(in_shape) == 3 else 0
        out = min(out_shape[1:], default=0) if len(out_shape) == 3 else 0
        self._large = not out or out >= SMALLEST
        self._shrinks = max(1, round(self._side / out)) if out else 0  # 0: no map is left
        self._maxima = [_reach(module) for module in modules if isinstance(module, _MaxPoolNd)]
        self._means = [_reach(module) for module in modules if isinstance(module, _AvgPoolNd)]
        self._resets = weighted or bool(self._means)
        self._few = len(in_shape) == 1 and not weighted and examples * in_shape[0] < _ENOUGH
        self._few &= examples < EXAMPLES[-1]

    def lacks(self, x: Value) -> int:
        """What a result on `x` lacks to tell apart what it should."""
        return x.lacks | FEW * self._few | SMALL * (not self._fit(x))

    def _fit(self, x: Value) -> bool:
        if not self._large:
            return False
        if not self._side:
            return True
        longest = max(self._means, default=0)
        if self._maxima:
            before = 0 if self._resets else x.reach
            longest = max(longest, before + sum(self._maxima))
        return not longest or self._side >= longest + _ROOM

    def reach(self, x: Value) -> int:
        """Of the maxima in the result."""
        if self._resets or not self._shrinks:
            return 0
        return (x.reach + sum(self._maxima)) // self._shrinks


def _reach(module: Any) -> int:
    """Pixels from the middle of a window to its farther end."""
    sides = module.kernel_size if isinstance(module.kernel_size, tuple) else (module.kernel_size,)
    dilation = getattr(module, "dilation", 1)
    return max(sides) // 2 * (max(dilation) if isinstance(dilation, tuple) else dilation)


Keys = tuple[bytes, ...]
Salts = tuple[tuple[int | None, str], ...]  # by the place of a draw among the leaf's; None: of all of them
Build = Callable[[Shape], nn.Module]
_OWN_MODULES = ("torch.nn.", "nas.layers.")  # without randomness but torch's, and without state that shows
_RANDOM = (_DropoutNd, nn.RReLU)
_LOOKS = 4  # at two inputs in turn, in search of state


@dataclass(slots=True)
class _Pass:
    """One run of a leaf: the draws so far."""

    salts: dict[int | None, str]
    keys: list[bytes] = field(default_factory=list)
    called: set[int] = field(default_factory=set)
    drawn: set[int] = field(default_factory=set)  # parameters

    def salt(self) -> str:
        """Of the draw that comes next."""
        return self.salts.get(len(self.keys), self.salts.get(None, ""))


class Leaf:
    """A primitive at an input shape, ready to run on any value.

    Args:
        number: tells it from every other one in the process.
        name: of the primitive, for messages.
        build: makes the module for an input shape; called again where its stability is in doubt.
        shapes: of one example, in and out.
        values: of the probe.
        trained: whether shifts are drawn, as after training, or zero, as at initialisation.

    Attributes:
        description: of the module; equal ones compute the same function of input and weights.
        identity: gives what it receives.
        has_instances: two of them on one value differ, by their weights or by their dropout masks.
        ignores_scale: a positive factor on the input does not change the output.
        pools: its windows without weights.
        signature: digest of the function, and what the probe lacked for it, once it was asked for.
        larger: makes the same primitive for another input shape.

    Raises:
        UnhashableError: the module cannot be made.
    """

    def __init__(
        self,
        number: int,
        name: str,
        build: Build,
        shapes: tuple[Shape, Shape],
        values: Values,
        *,
        trained: bool,
    ) -> None:
        self.number = number
        self.name = name
        self.in_shape, self.out_shape = shapes
        self._build = build
        self._values = values
        self._trained = trained
        self._module = self._made()
        modules = list(self._module.modules())
        self.description = f"{type(self._module).__qualname__} {self._module!r}"
        self.identity = isinstance(self._module, nn.Identity)
        self._trusted = all(type(module).__module__.startswith(_OWN_MODULES) for module in modules)
        self._owners = sum(map(owns_weights, modules))
        self._random = not self._trusted or any(isinstance(module, _RANDOM) for module in modules)
        self.has_instances = bool(self._owners) or self._random
        self.ignores_scale = False
        self.nbytes = 8 * sum(parameter.numel() for parameter in self._module.parameters())
        self.pools = Pools(modules, *shapes, values.examples, weighted=bool(self._owners))
        self.signature: tuple[bytes, int] | None = None
        self.larger: Callable[[Shape], Leaf]
        self._pass = _Pass({})
        self._by_name = self._looked = False
        self._hook(self._module)

    def run(self, x: torch.Tensor, salts: Salts = ()) -> tuple[torch.Tensor, Keys]:
        """The output on `x`, and a key for each draw of weights: equal keys drew equal weights.

        Args:
            x: (batch, *shape).
            salts: others draw other weights.

        Raises:
            UnhashableError: the module raised, gave another shape than its primitive says, or, with
                randomness or state of its own, two different results.
        """
        if not (self._trusted or self._looked):
            self._looked = True
            self._look_closer(x)
        y, keys = self._run(self._module, x, salts)
        if not self._by_name and len(self._pass.called) < self._owners and self._trusted:
            self._by_name = True
            y, keys = self._run(self._module, x, salts)
        if not self._trusted:
            again = self._made()
            self._hook(again)
            for module in (self._module, again):
                self._same(self._values.key(y), self._run(module, x, salts)[0])
        return y, keys

    def _look_closer(self, x: torch.Tensor) -> None:
        """At a module of unknown make: weights that it reads past their owners, and state that shows late."""
        stale = []
        for salt in ("before", "between"):
            for module in self._module.modules():
                draw(module, None, (b"", salt), trained=True)
            stale.append(self._values.key(self._run(self._module, x, ())[0]))
        self._by_name = stale[0] != stale[1]
        inputs = (x, x.flip(0))
        first = [self._values.key(self._run(self._module, each, ())[0]) for each in inputs]
        for _ in range(_LOOKS):
            for each, key in zip(inputs, first, strict=True):
                self._same(key, self._run(self._module, each, ())[0])

    def _same(self, key: bytes | None, y: torch.Tensor) -> None:
        if self._values.key(y) != key:
            raise UnhashableError(
                f'primitive "{self.name}" gives different results on the same input with the same '
                "weights: it has randomness or state of its own; draw from torch's generator"
            )

    def _run(self, module: nn.Module, x: torch.Tensor, salts: Salts) -> tuple[torch.Tensor, Keys]:
        current = self._pass = _Pass(dict(salts))
        if self._random:
            key = key_of(self.description, self._key(x))
            torch.default_generator.manual_seed(_seed(key, current.salt()))
            current.keys.append(key)
        if self._by_name:
            self._draw_by_name(module, x)
        y = self._called(lambda: module(x))
        expected = (x.shape[0], *self.out_shape)
        if not isinstance(y, torch.Tensor) or tuple(y.shape) != expected:
            got = str(tuple(y.shape)) if isinstance(y, torch.Tensor) else type(y).__name__
            raise UnhashableError(
                f'primitive "{self.name}": expected a tensor of shape {expected}; got {got}'
            )
        return y, tuple(current.keys)

    def _called(self, function: Callable[[], Any]) -> Any:
        """The result, or an error that names the primitive."""
        try:
            return function()
        except (UnhashableError, NasError):
            raise
        except Exception as error:  # a user's module may raise anything
            text = " ".join(f"{type(error).__name__}: {error}".split())
            raise UnhashableError(f'primitive "{self.name}": {text}') from error

    def _key(self, x: torch.Tensor) -> bytes:
        return self._values.key(x) or b"zero"

    def _made(self) -> nn.Module:
        torch.default_generator.manual_seed(0)  # buffers may be drawn
        module: nn.Module = self._called(lambda: self._build(self.in_shape))
        return module.to(device=self._values.device, dtype=torch.float64).train().requires_grad_(False)

    def is_scale_free(self, x: torch.Tensor) -> bool:
        """Tried out: whether four times the input gives the same output, but for a normalisation's eps."""
        y, _ = self._run(self._module, x, ())
        again = self._called(lambda: self._module(4.0 * x))  # the weights stay
        return bool((again - y).abs().max() <= 1e-3 * y.abs().max())

    def _hook(self, module: nn.Module) -> None:
        for each in module.modules():
            if owns_weights(each):
                each.register_forward_pre_hook(self._seed_weights, with_kwargs=True)

    def _seed_weights(self, module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Before a module runs for the first time on this input."""
        current = self._pass
        if self._by_name or id(module) in current.called:  # used twice in one pass: the weights stay
            return
        current.called.add(id(module))
        received = [x for x in (*inputs, *named.values()) if isinstance(x, torch.Tensor)]
        first = received[0] if received else None
        unit = None if first is None else normalised(module, first)
        if unit is None:
            keys = [self._values.key(x.to(torch.float64)) or b"zero" for x in received]
        else:
            keys = [is_noise_around_zero(self._values, unit) or b"zero"]
        self._draw(module, key_of(repr(module), *keys), first)

    def _draw_by_name(self, module: nn.Module, x: torch.Tensor) -> None:
        key = self._key(x)
        for name, each in module.named_modules():
            if owns_weights(each):
                self._draw(each, key_of(self.description, name, key), x)

    def _draw(self, module: nn.Module, seed: bytes, x: torch.Tensor | None) -> None:
        """Draws weights, unless they are those of another module that drew them already."""
        current, own = self._pass, {id(parameter) for parameter in module.parameters(recurse=False)}
        if own <= current.drawn:
            return
        current.drawn |= own
        draw(module, x, (seed, current.salt()), self._trained)
        current.keys.append(seed)


def _seed(*parts: bytes | str) -> int:
    return int.from_bytes(key_of(*parts)[:7], "little")


_LARGEST = 48  # pixels a side of a cell's or a primitive's input
SIDES = (12, 24, 48, 96)  # of the images; the first at which every map is large enough


def enlarged(shapes: tuple[Shape, ...]) -> tuple[Shape, ...] | None:
    """The next larger shapes of inputs that belong together; None beyond the largest.

    Where one has half the sides of another, rounded up, it has half of them afterwards.
    """
    maps = [shape for shape in shapes if len(shape) == 3]
    if not maps:
        return None
    smallest = min(min(shape[1:]) for shape in maps)
    side = 6
    while side <= smallest:
        side *= 2
    if side > _LARGEST:
        return None
    return tuple(_at(shape, smallest, side) if len(shape) == 3 else shape for shape in shapes)


def _at(shape: Shape, smallest: int, side: int) -> Shape:
    return (shape[0], *(side * _ratio(length, smallest) for length in shape[1:]))


def _ratio(length: int, smallest: int) -> int:
    """The power of two that brings one side down to another."""
    ratio = 1
    while -(-length // ratio) > smallest:
        ratio *= 2
    return ratio


def too_small(what: str) -> str:
    return (
        f"{what}: expected feature maps of at least 3 pixels a side, and larger than its windows reach; got "
        f"smaller ones on the largest images that are tried, of {SIDES[-1]} pixels; hash such networks by a "
        "normal form"
    )
