"""DeepArchitect's `deepconv` space: convolutional networks with the settings of their training.

Negrinho and Gordon 2017, "DeepArchitect: Automatically Designing and Training Deep Architectures"
(https://arxiv.org/abs/1704.08792); the released experiment code is the source of the domains.
Size: a reduction has 6 * 3 = 18 fillings and a repeated module 6 * 2 * 2 * 3 * 6 = 432, so there are
(18 * 432)^2 = 60,466,176 networks; times 2 * 32 * 8 * 8 = 4,096 settings these are
247,669,456,896 (2.5e11), exactly as many as in the released code.

Order of the choices: the network from input to output, then the settings.

The fixed settings of the released trainer stand beside the searched ones: batches of 64, momentum 0.99, no
weight decay, plateau schedule with a floor of 1e-9 on the rate, stop after 64 epochs without progress,
best epoch by validation restored. Its budget was 30 minutes a network and any number of epochs, and it
shifted images by up to 4 pixels and flipped them; here the evaluator sets these.

Differs from the released code:
- it decides the settings before the network;
- rates on a logarithmic grid are rounded to six significant digits, and keep probabilities of dropout are
  written as dropout rates;
- momentum is Nesterov's, as in all of this platform's trainings;
- batch normalisation has a learnt scale as well, and initial weights are torch's.
"""

from __future__ import annotations

from collections.abc import Sequence

from nas.errors import SpaceError
from nas.language import Term, oneof, op, optional, permutation, repeat, train
from nas.space import SearchSpace

FILTERS = (48, 64, 80, 96, 112, 128)
REPEATS = (1, 2, 4, 8, 16, 32)


def space(filters: Sequence[int] = FILTERS, repeats: Sequence[int] = REPEATS) -> SearchSpace:
    """The search space; the defaults are the paper's.

    Args:
        filters: numbers of filters; the second of the two modules has twice as many.
        repeats: numbers of tied copies of a module, ascending.

    Raises:
        SpaceError: no such lists of integers.
    """
    filters, repeats = _positive("filters", filters), _positive("repeats", repeats)
    network = (
        _reduction(filters)
        >> repeat(_module(filters), repeats, tied=True)
        >> _reduction(filters)
        >> repeat(_module([2 * number for number in filters]), repeats, tied=True)
        >> op.flatten()
        >> op.head()
    )
    return SearchSpace("deepconv", train(network, **_settings()))


def _positive(option: str, values: Sequence[int]) -> tuple[int, ...]:
    numbers = tuple(values) if isinstance(values, list | tuple) else ()
    if not numbers or not all(type(number) is int and number > 0 for number in numbers):
        raise SpaceError(
            f"deepconv: {option} is expected to be a list of integers of at least 1; got {values!r}"
        )
    return numbers


def _reduction(filters: Sequence[int]) -> Term:
    return op.conv(width=oneof(*filters), kernel=oneof(3, 5, 7), stride=2)


def _module(filters: Sequence[int]) -> Term:
    return (
        op.conv(width=oneof(*filters), kernel=oneof(3, 5))
        >> permutation(op.relu(), op.batchnorm())
        >> optional(op.dropout(rate=oneof(0.5, 0.1)))
    )


def _settings() -> dict[str, object]:
    return {
        "optimizer": oneof("adam", "sgd"),
        "lr": oneof(*_grid(1e-2, 1e-7, 32)),
        "rate_mult": oneof(*_grid(1e-2, 0.9, 8)),
        "rate_patience": oneof(*range(4, 33, 4)),
        "batch_size": 64,
        "momentum": 0.99,
        "weight_decay": 0.0,
        "schedule": "plateau",
        "lr_min": 1e-9,
        "stop_patience": 64,
        "restore_best": True,
        "warmup_epochs": 0.0,
        "label_smoothing": 0.0,
        "grad_clip": 0.0,
    }


def _grid(first: float, last: float, number: int) -> list[float]:
    """Values evenly spaced in the logarithm, both ends included."""
    ratio = last / first
    return [float(f"{first * ratio ** (i / (number - 1)):.6g}") for i in range(number)]
