"""DeepArchitect's `deepconv` space: convolutional networks with the settings of their training.

Negrinho and Gordon 2017, "DeepArchitect: Automatically Designing and Training Deep Architectures"
(https://arxiv.org/abs/1704.08792); the released experiment code is the source of the domains.
Size: 18 * 432 * 18 * 432 = 60,466,176 networks times 2 * 32 * 8 * 8 = 4,096 settings
= 247,669,456,896 (2.5e11), exactly the size of the released space.

Deviations: rates on a logarithmic grid are rounded to six significant digits; keep probabilities of
dropout are written as dropout rates. The fixed settings of the released trainer stand beside the others:
batches of 64, plateau schedule, a floor of 1e-9 on the rate, stop after 64 epochs without progress,
best epoch by validation restored.

Order of the choices: the network from input to output, then the settings.
"""

from __future__ import annotations

from nas.dsl import oneof, op, optional, permutation, repeat, train
from nas.errors import SpaceError
from nas.space import SearchSpace
from nas.term import Term

FILTERS = (48, 64, 80, 96, 112, 128)
REPEATS = (1, 2, 4, 8, 16, 32)


def space(filters: tuple[int, ...] = FILTERS, repeats: tuple[int, ...] = REPEATS) -> SearchSpace:
    """The search space; the defaults are the paper's.

    Args:
        filters: numbers of filters in the first half; twice as many in the second.
        repeats: numbers of tied copies of the inner module, ascending.
    """
    filters, repeats = tuple(filters), tuple(repeats)
    if not filters or not repeats:
        raise SpaceError("deepconv: filters and repeats are expected to be lists of integers, one is empty")
    network = _half(filters, repeats) >> _half(tuple(2 * n for n in filters), repeats) >> _affine()
    return SearchSpace("deepconv", train(network, **_settings()))


def _half(filters: tuple[int, ...], repeats: tuple[int, ...]) -> Term:
    """A strided convolution, then copies of one module that all take the same decisions."""
    module = (
        op.conv(width=oneof(*filters), kernel=oneof(3, 5))
        >> permutation(op.relu(), op.batchnorm())
        >> optional(op.dropout(rate=oneof(0.5, 0.1)))
    )
    reduction = op.conv(width=oneof(*filters), kernel=oneof(3, 5, 7), stride=2)
    return reduction >> repeat(module, repeats, tied=True)


def _affine() -> Term:
    """The paper's last layer flattens; there is no pooling over the image."""
    return op.flatten() >> op.head()


def _settings() -> dict[str, object]:
    return {
        "optimizer": oneof("adam", "sgd"),
        "lr": oneof(*_grid(1e-2, 1e-7, 32)),
        "rate_mult": oneof(*_grid(1e-2, 0.9, 8)),
        "rate_patience": oneof(*range(4, 33, 4)),
        "batch_size": 64,
        "schedule": "plateau",
        "lr_min": 1e-9,
        "stop_patience": 64,
        "restore_best": True,
    }


def _grid(first: float, last: float, number: int) -> list[float]:
    """Values evenly spaced in the logarithm, both ends included."""
    ratio = last / first
    return [float(f"{first * ratio ** (i / (number - 1)):.6g}") for i in range(number)]
