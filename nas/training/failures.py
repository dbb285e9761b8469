"""A candidate's exception as the outcome of its evaluation, and the epochs that a task asks for."""

from __future__ import annotations

from nas.errors import CompileError, EvaluationError, SpaceError
from nas.evaluation import Evaluation, Fidelity, Status, failure
from nas.executor import failed


def failure_of(error: Exception, cost_seconds: float) -> Evaluation:
    """How an evaluation ended whose candidate raised `error`."""
    if isinstance(error, CompileError | SpaceError | EvaluationError):
        return failure(Status.INVALID, str(error) or "no message", cost_seconds)
    return failed(error, cost_seconds)


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
