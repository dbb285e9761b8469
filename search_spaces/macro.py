"""Macro: residual and inverted-residual networks that grow by repeats, for images of 8x8 to 64x64 pixels.

The space of this project's own experiments, made of the usual blocks: basic residual blocks (He et al. 2016,
https://arxiv.org/abs/1512.03385), inverted residuals with squeeze-excite (Sandler et al. 2018,
https://arxiv.org/abs/1801.04381; Tan and Le 2019, https://arxiv.org/abs/1905.11946), separable and plain
convolutions. A stem, then stages; each stage after the first halves the resolution; each block makes
its own decisions. The activation is one decision for the whole network; inverted residuals keep their own.

Size: with b = 22 blocks and d = `depth`, a stage has r = b + b^2 + ... + b^d fillings; with w = 3 widths and
2 reductions the space has 3 activations * w * r * (2 * w * r)^(stages - 1) derivations: 449,611,002,805,536
(4.5e14) with the defaults, no two of them the same network. (One stage alone has fewer: where all its
blocks are inverted residuals there is no activation to decide.)

Order of the choices: from the stem to the head, as the data flow; the activation where it is first met.
"""

from __future__ import annotations

from collections.abc import Sequence

from nas.errors import SpaceError
from nas.language import Term, oneof, op, repeat, residual, seq, shared
from nas.layers import max_parameters as at_most
from nas.space import Constraint, SearchSpace


def space(
    width: int = 16,
    stages: int = 3,
    depth: int = 3,
    *,
    max_parameters: int | None = None,
    image: Sequence[int] | None = None,
    classes: int | None = None,
) -> SearchSpace:
    """The search space.

    Args:
        width: middle choice of channels in the first stage, a multiple of 4; doubled with each stage.
        stages: resolutions; an image needs at least 2^(stages - 1) pixels a side.
        depth: most blocks in a stage; each has at least one.
        max_parameters: bound on a network's parameters. Of random networks with the defaults, about one
            in eight has at most 50,000 and half have at most 130,000 (grey images, ten classes).
        image: shape (C, H, W) of the task's images, for the count of parameters.
        classes: of the task, for the count of parameters.

    Raises:
        SpaceError: an option out of range, or a bound without image and classes.
    """
    whole = all(type(number) is int for number in (width, stages, depth))
    if not whole or width < 4 or width % 4 or stages < 1 or depth < 1:
        raise SpaceError(
            "macro: width a positive multiple of 4, stages and depth of at least 1 are expected; "
            f"got width={width!r}, stages={stages!r}, depth={depth!r}; change them"
        )
    activation = shared("activation", op.relu() | op.silu() | op.hardswish())
    stage = repeat(_block(activation), 1, depth)
    parts = [op.stem(width=_widths(width)), stage]
    for number in range(1, stages):
        parts += [_reduction(_widths(width * 2**number), activation), stage]
    return SearchSpace(
        "macro", seq(*parts, op.head()), constraints=_constraints(max_parameters, image, classes)
    )


def _constraints(limit: int | None, image: Sequence[int] | None, classes: int | None) -> list[Constraint]:
    if limit is None:
        return []
    shape = tuple(image) if isinstance(image, list | tuple) else ()
    whole = all(type(number) is int and number > 0 for number in (limit, *shape, classes))
    if len(shape) != 3 or not whole or classes is None:
        raise SpaceError(
            "macro: max_parameters is expected with image=[C, H, W] and classes=N of the task, all positive "
            f"integers; got max_parameters={limit}, image={image}, classes={classes}"
        )
    return [at_most(limit, shape, classes)]


def _widths(middle: int) -> Term:
    return oneof(middle // 2, middle, 3 * middle // 2)


def _block(activation: Term) -> Term:
    kernel = oneof(3, 5)
    conv = op.conv(kernel=kernel, bias=False) >> op.batchnorm()
    basic = residual(conv >> activation >> op.conv(kernel=3, bias=False) >> op.batchnorm()) >> activation
    inverted = op.mbconv(kernel=kernel, expansion=oneof(1, 2, 4, 6), squeeze_excite=oneof(False, True))
    separable = op.separable(kernel=kernel, bias=False) >> op.batchnorm() >> activation
    return basic | inverted | separable | (conv >> activation)


def _reduction(width: Term, activation: Term) -> Term:
    """Half the resolution at another width, by a strided convolution or by pooling first."""
    strided = op.conv(kernel=3, stride=2, bias=False, width=width)
    pooled = op.maxpool(kernel=2) >> op.pointwise(width=width, bias=False)
    return (strided | pooled) >> op.batchnorm() >> activation
