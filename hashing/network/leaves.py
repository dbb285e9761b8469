"""Leaves of a network: primitives that run as torch modules, their weights seeded by what they receive.

Each module that owns parameters draws them from its own description (class and settings) and from the
digest of the value that reaches it. So equal operations on equal values meet equal weights in whatever order
and under whatever name they are built. A normalisation draws scale and shift from the normalised value,
since it is all that its scale and shift ever see: of a constant, nothing is left but the shift.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from hashing.network.values import UnhashableError, Values, generator, is_noise_around_zero, key_of

if TYPE_CHECKING:
    from nas.primitives import Shape

Keys = tuple[bytes, ...]
_OWN_MODULES = ("torch.nn.", "nas.layers.")  # without randomness but torch's, and without state that shows
_RANDOM = (_DropoutNd, nn.RReLU)
_GAIN = 1.4  # of weights, so that a rectified input of spread 3 gives an output of about 3


class Leaf:
    """A primitive at an input shape, ready to run on any value.

    Args:
        number: tells it from every other one in the process.
        name: of the primitive, for messages.
        build: makes the module; called again where its stability is in doubt.
        out_shape: of one example.
        values: of the probe.
        trained: whether shifts are drawn, as after training, or zero, as at initialisation.

    Attributes:
        description: of the module; equal ones compute the same function of input and weights.
        identity: gives what it receives.
        has_instances: two of them on one value differ, by their weights or by their dropout masks.
        ignores_scale: a positive factor on the input does not change the output.
    """

    def __init__(
        self, number: int, name: str, build: Any, out_shape: Shape, values: Values, *, trained: bool
    ) -> None:
        self.number = number
        self.name = name
        self.out_shape = out_shape
        self._build = build
        self._values = values
        self._trained = trained
        self._module = self._made()
        modules = list(self._module.modules())
        self.description = f"{type(self._module).__qualname__} {self._module!r}"
        self.identity = isinstance(self._module, nn.Identity)
        self._trusted = all(type(module).__module__.startswith(_OWN_MODULES) for module in modules)
        self._owners = [module for module in modules if _owns_weights(module)]
        self._random = not self._trusted or any(isinstance(module, _RANDOM) for module in modules)
        self.has_instances = bool(self._owners) or self._random
        self.ignores_scale = False
        self.nbytes = 8 * sum(parameter.numel() for parameter in self._module.parameters())
        self._keys: list[bytes] = []
        self._salt = ""
        self._seen: set[int] = set()
        self._hook(self._module)

    def run(self, x: torch.Tensor, salt: str) -> tuple[torch.Tensor, Keys]:
        """The output on `x`, and a key for each draw of weights: equal keys drew equal weights.

        Args:
            x: (batch, *shape).
            salt: another one draws other weights.

        Raises:
            UnhashableError: a module with randomness or state of its own gave two different results.
        """
        y, keys = self._run(self._module, x, salt)
        if not self._trusted:
            again = self._made()
            self._hook(again)
            for module in (self._module, again):
                if self._values.key(self._run(module, x, salt)[0]) != self._values.key(y):
                    raise UnhashableError(
                        f'primitive "{self.name}" gives different results on the same input with the same '
                        "weights: it has randomness or state of its own; draw from torch's generator"
                    )
        return y, keys

    def _run(self, module: nn.Module, x: torch.Tensor, salt: str) -> tuple[torch.Tensor, Keys]:
        self._keys, self._salt = [], salt
        self._seen.clear()
        if self._random:
            torch.default_generator.manual_seed(_seed(self.description, salt, self._input_key(x)))
            self._keys.append(key_of(self.description, self._input_key(x)))
        return module(x), tuple(self._keys)

    def _input_key(self, x: torch.Tensor) -> bytes:
        return self._values.key(x) or b"zero"

    def _made(self) -> nn.Module:
        torch.default_generator.manual_seed(0)  # buffers may be drawn
        module: nn.Module = self._build()
        return module.to(device=self._values.device, dtype=torch.float64).train().requires_grad_(False)

    def is_scale_free(self, x: torch.Tensor) -> bool:
        """Tried out: whether four times the input gives the same output, but for a normalisation's eps."""
        y, _ = self._run(self._module, x, "")
        again = self._module(4.0 * x)  # the weights stay
        return bool((again - y).abs().max() <= 1e-3 * y.abs().max())

    def _hook(self, module: nn.Module) -> None:
        for each in module.modules():
            if _owns_weights(each):
                each.register_forward_pre_hook(self._seed_weights)

    def _seed_weights(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Before a module runs for the first time on this input."""
        if id(module) in self._seen:  # used twice in one pass: the weights stay
            return
        self._seen.add(id(module))
        received = _normalised(module, inputs[0])
        if received is None:
            key = self._values.key(inputs[0])
        else:
            key = is_noise_around_zero(self._values, received)
        drawn_by = key_of(repr(module), key or b"zero")
        self._keys.append(drawn_by)
        self._draw(module, drawn_by)

    def _draw(self, module: nn.Module, seed: bytes) -> None:
        """Matrices scaled by their fan-in, scales of normalisation around 3, shifts as the reading says."""
        numbers = generator(seed, self._salt)
        is_norm = _is_norm(module)
        for name, parameter in module.named_parameters(recurse=False):
            if name.endswith("bias") and not self._trained:
                parameter.zero_()
                continue
            drawn = numbers.random(parameter.numel())
            if name == "weight" and is_norm:
                drawn = 2.0 + 2.0 * drawn
            else:
                fan_in = math.prod(parameter.shape[1:]) if parameter.dim() > 1 else 1
                drawn = (_GAIN * math.sqrt(12.0 / fan_in)) * (drawn - 0.5)
            parameter.copy_(torch.from_numpy(np.reshape(drawn, tuple(parameter.shape))))


def _owns_weights(module: nn.Module) -> bool:
    return any(True for _ in module.parameters(recurse=False))


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, _BatchNorm | nn.GroupNorm | nn.LayerNorm)


def _normalised(module: nn.Module, x: torch.Tensor) -> torch.Tensor | None:
    """What a normalisation's scale and shift see; None for other modules."""
    if isinstance(module, _BatchNorm):
        return F.batch_norm(x, None, None, training=True, eps=module.eps)
    if isinstance(module, nn.GroupNorm):
        return F.group_norm(x, module.num_groups, eps=module.eps)
    if isinstance(module, nn.LayerNorm):
        return F.layer_norm(x, module.normalized_shape, eps=module.eps)
    return None


def _seed(*parts: bytes | str) -> int:
    return int.from_bytes(key_of(*parts)[:7], "little")
