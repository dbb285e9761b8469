from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_model

from nas.errors import EvaluationError
from nas.evaluation import Fidelity, Task
from nas.training import Dataset, checkpoint_files, measure, resident
from nas.training.classification import ClassificationEvaluator
from tests.training.candidates import SETTINGS, compiled, same

MakeTask = Callable[..., Task]


@pytest.fixture
def evaluator(stripes: Dataset) -> ClassificationEvaluator:
    return ClassificationEvaluator(stripes, SETTINGS, device="cpu", compiler=compiled)


def test_the_weights_that_are_saved_are_those_that_were_measured(
    evaluator: ClassificationEvaluator, make_task: MakeTask, stripes: Dataset, tmp_path: Path
) -> None:
    path = str(tmp_path / "weights" / "0.safetensors")
    settings = {"lr": 1.0, "restore_best": True, "epochs": 8, "momentum": 0.5}
    evaluation = evaluator(make_task(settings=settings, save_to=path, seed=3))
    network = compiled(make_task().architecture, stripes.input_shape, 3, seed=0)
    load_model(network, path)
    data = resident(stripes, stripes.digest(), torch.device("cpu"))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert evaluation.checkpoint == path
    assert measure(network, data, data.test)[0] == evaluation.values["test_accuracy"]
    assert measure(network, data, data.validation)[0] == evaluation.values["validation_accuracy"]
    assert evaluation.values["validation_accuracy"] == evaluation.info["best_validation_accuracy"]
    with safe_open(path, "pt") as file:
        assert file.metadata()["architecture"] == "linear"
    assert [file.name for file in (tmp_path / "weights").iterdir()] == ["0.safetensors"]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": "adamw", "restore_best": True},
        {"schedule": "plateau", "rate_patience": 1, "stop_patience": 3, "cutout": 2},
    ],
)
def test_two_and_two_epochs_equal_four(
    evaluator: ClassificationEvaluator, make_task: MakeTask, tmp_path: Path, settings: dict[str, Any]
) -> None:
    whole = evaluator(make_task(settings=settings, seed=1))
    part = evaluator(
        make_task(settings=settings, seed=1, fidelity=Fidelity("epochs", 2), save_to=str(tmp_path / "a"))
    )
    rest = evaluator(make_task(settings=settings, seed=99, checkpoint=part.checkpoint))
    assert part.info["epochs"] == 2
    assert same(whole, rest)


def test_a_checkpoint_of_another_training_is_refused(
    evaluator: ClassificationEvaluator, make_task: MakeTask, tmp_path: Path
) -> None:
    path = str(tmp_path / "a")
    evaluator(make_task(fidelity=Fidelity("epochs", 1), save_to=path))
    with pytest.raises(EvaluationError, match=r"a: expected a training of 00000.*, got one of 00000"):
        evaluator(make_task("other", checkpoint=path))
    with pytest.raises(EvaluationError, match=r"a: expected lr = 0\.5, got 0\.05; continue a training"):
        evaluator(make_task(settings={"lr": 0.5}, checkpoint=path))
    with pytest.raises(EvaluationError, match=r"expected b.state beside it, .*, got none"):
        evaluator(make_task(checkpoint=str(tmp_path / "b")))


@pytest.mark.parametrize("what", ["none", "missing", "broken", "another"])
def test_a_continued_trial_without_a_usable_state_trains_from_the_start_and_says_so(
    evaluator: ClassificationEvaluator, make_task: MakeTask, tmp_path: Path, what: str
) -> None:
    path = str(tmp_path / "a")
    evaluator(
        make_task("other" if what == "another" else "linear", fidelity=Fidelity("epochs", 2), save_to=path)
    )
    if what == "missing":
        checkpoint_files(path)[1].unlink()
    if what == "broken":
        checkpoint_files(path)[1].write_bytes(b"half a sta")
    reasons = {
        "none": "no state was kept",
        "missing": "expected a.state beside it",
        "broken": "cannot be read",
        "another": "expected a training of",
    }
    done, checkpoint = Fidelity("epochs", 2), None if what == "none" else path
    again = evaluator(make_task(seed=1, done=done, checkpoint=checkpoint))
    assert reasons[what] in again.info["from_the_start"]
    assert again.info["continued_from"] == 0
    info = {
        name: value for name, value in again.info.items() if name not in ("from_the_start", "continued_from")
    }
    assert same(replace(again, info=info), evaluator(make_task(seed=1)))


def test_a_continued_trial_says_how_many_epochs_it_took_over(
    evaluator: ClassificationEvaluator, make_task: MakeTask, tmp_path: Path
) -> None:
    done, path = Fidelity("epochs", 2), str(tmp_path / "a")
    evaluator(make_task(seed=1, fidelity=done, save_to=path))
    rest = evaluator(make_task(seed=1, done=done, checkpoint=path))
    assert rest.info["continued_from"] == 2
    assert "from_the_start" not in rest.info


def test_a_place_that_cannot_be_written_is_an_error(
    evaluator: ClassificationEvaluator, make_task: MakeTask, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        EvaluationError,
        match=r"file/0: expected a file that can be written, got .*; check the folder and its free space$",
    ):
        evaluator(make_task(save_to=str(tmp_path / "file" / "0")))
