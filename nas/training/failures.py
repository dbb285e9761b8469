"""A candidate's exception as the outcome of its evaluation, and the epochs that a task asks for."""

from __future__ import annotations

from collections.abc import Callable

from nas.errors import EvaluationError
from nas.evaluation import Fidelity


def requested_epochs(fidelity: Fidelity | None, full: int) -> int:
    """The epochs of a fidelity; `full` without one.

    Raises:
        EvaluationError: a fidelity in another quantity, or out of 1..full.
    """
    if fidelity is None:
        return full
    epochs = round(fidelity.value)
    if fidelity.name != "epochs" or not 1 <= epochs <= full:
        raise EvaluationError(
            f'fidelity: expected "epochs" from 1 to {full}, got "{fidelity.name}" of {fidelity.value}'
        )
    return epochs


def check_batch_of_one(forward: Callable[[], object]) -> None:
    """Raises EvaluationError if a training step of a single image cannot be taken.

    Args:
        forward: such a step of a network in training mode, on the meta device.
    """
    try:
        forward()
    except ValueError as error:  # torch's normalisation of a single value in each channel
        raise EvaluationError(
            "batch: expected 2 images or more, as a normalisation of the network sees one value in each; "
            "got 1; raise batch_size or give more training images"
        ) from error
