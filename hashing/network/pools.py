"""Whether feature maps are large enough to tell apart what a primitive's windows do.

At 1x1 every pooling is the identity; where a window covers the map from every place, each larger one is equal
to it; and maxima over maxima may cover the map between them. A few flat numbers may all be where two
activations agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn
from torch.nn.modules.pooling import _AvgPoolNd, _MaxPoolNd

from nas.hashing.network.values import EXAMPLES, FEW, SMALL, Value
from nas.language import Shape

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
