"""Weights of a probe: drawn for one module, at scales at which activations show what they are."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from nas.hashing.network.values import generator

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
