from __future__ import annotations

import pytest
import torch

from nas.errors import CompileError, EvaluationError
from nas.evaluation import Fidelity, Status, failure_of
from nas.training.trial import requested_epochs


def allocate_too_much() -> None:
    torch.empty(2**60, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (CompileError("root: no\n such shape"), Status.INVALID, "root: no such shape"),
        (EvaluationError("training setting"), Status.INVALID, "training setting"),
        (ValueError("bad"), Status.ERROR, "ValueError: bad"),
        (ZeroDivisionError(), Status.ERROR, "ZeroDivisionError: no message"),
        (MemoryError(), Status.OUT_OF_MEMORY, "MemoryError: no message"),
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried"),
            Status.OUT_OF_MEMORY,
            "OutOfMemoryError: CUDA out of memory. Tried",
        ),
    ],
)
def test_failure_of_gives_status_and_reason_in_one_line(
    error: Exception, status: Status, reason: str
) -> None:
    evaluation = failure_of(error, 1.5)
    assert (evaluation.status, evaluation.reason, evaluation.cost_seconds) == (status, reason, 1.5)
    assert not evaluation.values


def test_failure_of_knows_how_torch_reports_a_full_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        allocate_too_much()
    assert failure_of(caught.value, 0.0).status is Status.OUT_OF_MEMORY


def test_failure_of_shortens_long_messages() -> None:
    assert len(failure_of(ValueError("x" * 9999), 0.0).reason or "") == 500


def test_requested_epochs() -> None:
    assert requested_epochs(None, 8) == 8
    assert requested_epochs(Fidelity("epochs", 2.6), 8) == 3


@pytest.mark.parametrize("fidelity", [Fidelity("epochs", 0), Fidelity("epochs", 9), Fidelity("samples", 2)])
def test_another_fidelity_is_an_error(fidelity: Fidelity) -> None:
    expected = (
        f'^fidelity: expected "epochs" from 1 to 8, got "{fidelity.name}" of {fidelity.value}; give a number'
    )
    with pytest.raises(EvaluationError, match=expected):
        requested_epochs(fidelity, 8)
