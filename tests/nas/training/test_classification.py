from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_model
from torch import nn

from nas.errors import CompileError, ConfigError, EvaluationError
from nas.evaluation import Evaluation, Fidelity, Objective, Status, Task
from nas.training.classification import ClassificationEvaluator, create
from nas.training.data import DataOptions, Dataset, load
from nas.training.device import resident
from nas.training.settings import TrainSettings
from nas.training.train import measure

SETTINGS = TrainSettings(epochs=4, batch_size=16, lr=0.05, flip=True, crop_padding=1)
MakeTask = Callable[..., Task]


class Broken(nn.Module):
    """Raises in the forward pass what its candidate asks for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.linear = nn.Linear(32, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.text == "memory":
            torch.empty(2**60, dtype=torch.uint8)
        raise ValueError("no forward\npass")


def compiled(candidate: Any, input_shape: tuple[int, int, int], num_classes: int, *, seed: int) -> nn.Module:
    """The network that a test's candidate names."""
    assert seed >= 0
    if candidate.text == "impossible":
        raise CompileError("root: expected a network; got nothing")
    if candidate.text in ("memory", "broken"):
        return Broken(candidate.text)
    channels, height, width = input_shape
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(8 * height * width, num_classes),
    )


@pytest.fixture
def evaluator(stripes: Dataset) -> ClassificationEvaluator:
    return ClassificationEvaluator(stripes, SETTINGS, device="cpu", compiler=compiled)


def same(a: Evaluation, b: Evaluation) -> bool:
    """Equal in everything but the seconds."""
    rows = [[{**row, "seconds": 0} for row in e.curve] for e in (a, b)]
    return (a.status, a.values, a.info, rows[0]) == (b.status, b.values, b.info, rows[1])


def test_it_answers_with_values_facts_and_a_curve(
    evaluator: ClassificationEvaluator, make_task: MakeTask
) -> None:
    evaluation = evaluator(make_task(seed=5))
    assert evaluation.status is Status.COMPLETED
    assert set(evaluation.values) == {"validation_accuracy", "validation_loss", "test_accuracy"}
    assert evaluation.values["validation_accuracy"] == evaluation.curve[-1]["validation_accuracy"]
    assert 60.0 < evaluation.values["test_accuracy"] <= 100.0
    assert evaluation.info["parameters"] == 8 * 2 * 9 + 8 + 16 + 128 * 3 + 3
    assert evaluation.info["epochs"] == len(evaluation.curve) == 4
    assert evaluation.info["best_validation_accuracy"] == max(
        r["validation_accuracy"] for r in evaluation.curve
    )
    assert evaluation.cost_seconds > evaluation.curve[-1]["seconds"]
    assert evaluation.checkpoint is None
    assert Evaluation.from_json(evaluation.to_json()) == evaluation


def test_its_objectives_and_fidelity(evaluator: ClassificationEvaluator) -> None:
    assert evaluator.objectives == (Objective("validation_accuracy", "maximize", "%"),)
    assert evaluator.reported == Objective("test_accuracy", "maximize", "%")
    assert evaluator.fidelity_range == ("epochs", 1, 4)


def test_the_seed_of_the_task_decides(evaluator: ClassificationEvaluator, make_task: MakeTask) -> None:
    first = evaluator(make_task(seed=1, trial=3))
    torch.manual_seed(9)
    before = torch.get_rng_state()
    assert same(first, evaluator(make_task(seed=1, trial=4)))
    assert torch.equal(torch.get_rng_state(), before)
    assert not same(first, evaluator(make_task(seed=2)))


def test_settings_of_the_architecture_replace_those_of_the_evaluator(
    evaluator: ClassificationEvaluator, make_task: MakeTask
) -> None:
    assert evaluator(make_task(settings={"epochs": 2, "lr": 0.01})).info["epochs"] == 2
    assert evaluator(make_task(settings={"epochs": 6})).info["epochs"] == 6
    bad = evaluator(make_task(settings={"lr": -1.0}))
    assert (bad.status, bad.reason) == (
        Status.INVALID,
        'training setting "lr": expected a number above 0, got -1.0',
    )
    unknown = evaluator(make_task(settings={"rate": 1.0}))
    assert unknown.status is Status.INVALID
    assert (unknown.reason or "").startswith(
        'training settings: unknown option "rate"; options: optimizer, lr'
    )


def test_a_lower_fidelity_is_the_beginning_of_the_full_training(
    evaluator: ClassificationEvaluator, make_task: MakeTask
) -> None:
    full, part = evaluator(make_task()), evaluator(make_task(fidelity=Fidelity("epochs", 2)))
    losses = [[row["validation_loss"] for row in evaluation.curve] for evaluation in (full, part)]
    assert losses[1] == losses[0][:2]
    with pytest.raises(EvaluationError, match='expected "epochs" from 1 to 4, got "epochs" of 5'):
        evaluator(make_task(fidelity=Fidelity("epochs", 5)))


@pytest.mark.parametrize(
    ("text", "status", "reason"),
    [
        ("impossible", Status.INVALID, "root: expected a network; got nothing"),
        ("broken", Status.ERROR, "ValueError: no forward pass"),
        ("memory", Status.OUT_OF_MEMORY, "RuntimeError: "),
    ],
)
def test_a_candidate_that_fails_is_recorded_with_its_reason(
    evaluator: ClassificationEvaluator, make_task: MakeTask, text: str, status: Status, reason: str
) -> None:
    evaluation = evaluator(make_task(text))
    assert evaluation.status is status
    assert (evaluation.reason or "").startswith(reason)
    assert evaluation.cost_seconds > 0


def test_divergence_and_time_limit_are_recorded(
    evaluator: ClassificationEvaluator, make_task: MakeTask
) -> None:
    diverged = evaluator(make_task(settings={"lr": 1e38}))
    assert (diverged.status, diverged.values) == (Status.DIVERGED, {})
    late = evaluator(make_task(time_limit=1e-9))
    assert (late.status, late.reason) == (Status.TIMEOUT, "over the time limit in epoch 1")


def test_it_travels_by_pickle_with_its_arrays_out_of_band(
    evaluator: ClassificationEvaluator, make_task: MakeTask, stripes: Dataset
) -> None:
    buffers: list[pickle.PickleBuffer] = []
    head = pickle.dumps(evaluator, protocol=5, buffer_callback=buffers.append)
    assert len(head) < 2000
    assert sum(buffer.raw().nbytes for buffer in buffers) >= stripes.images.nbytes
    arrived = pickle.loads(head, buffers=[bytes(buffer.raw()) for buffer in buffers])
    assert not arrived.dataset.images.flags.writeable
    assert arrived.fingerprint() == evaluator.fingerprint()
    assert same(arrived(make_task(seed=7)), evaluator(make_task(seed=7)))


def test_the_fingerprint_is_that_of_data_settings_and_compiler(stripes: Dataset) -> None:
    def fingerprint(dataset: Dataset = stripes, settings: TrainSettings = SETTINGS, **options: Any) -> str:
        return ClassificationEvaluator(dataset, settings, **{"compiler": compiled, **options}).fingerprint()

    digits = load(DataOptions(limit_train=100))
    more_decay = SETTINGS.with_overrides({"weight_decay": 0.1})
    others = (
        fingerprint(digits),
        fingerprint(settings=more_decay),
        fingerprint(device="cpu"),
        fingerprint(compiler=Broken),
    )
    assert len({fingerprint(), *others}) == 5
    assert fingerprint() == fingerprint()


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
    with pytest.raises(EvaluationError, match=r"a: expected lr = 0\.5, got 0\.05; a training is continued"):
        evaluator(make_task(settings={"lr": 0.5}, checkpoint=path))
    with pytest.raises(EvaluationError, match=r"expected b.state beside it to continue from, found none"):
        evaluator(make_task(checkpoint=str(tmp_path / "b")))


def test_a_place_that_cannot_be_written_is_an_error(
    evaluator: ClassificationEvaluator, make_task: MakeTask, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        EvaluationError, match=r"^cannot write .*file/0: .*; check the folder and its free space$"
    ):
        evaluator(make_task(save_to=str(tmp_path / "file" / "0")))


def test_real_digits_are_learnt_in_a_few_epochs(make_task: MakeTask) -> None:
    options = {
        "dataset": "digits",
        "epochs": 4,
        "device": "cpu",
        "compiler": compiled,
        "lr": 0.05,
        "flip": None,
    }
    evaluation = create(**options)(make_task())
    assert evaluation.values["test_accuracy"] > 93.0


def test_an_architecture_of_the_platform_is_compiled_and_trained() -> None:
    from nas.dsl import oneof, op, real, train
    from nas.operators import sample
    from nas.space import SearchSpace

    net = op.stem(width=8) >> op.conv(kernel=oneof(3, 5), width=8) >> op.relu() >> op.head()
    space = SearchSpace("tests", train(net, lr=real(1e-2, 1e-1, log=True), epochs=1))
    evaluation = create(limit_train=200)(Task(0, sample(space, np.random.default_rng(0))))
    assert evaluation.status is Status.COMPLETED
    assert evaluation.info["epochs"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"epochs": 0},
            '^evaluator "classification": training setting "epochs": expected a number of at least 1',
        ),
        ({"dataset": "mnist"}, '^data option "dataset": expected one of digits'),
        (
            {"device": "gpu"},
            '^evaluator "classification": device: expected auto, cpu, cuda or cuda:N, got "gpu"$',
        ),
        ({"compiler": "nas.no_such:f"}, '^evaluator "classification": compiler: cannot import "nas.no_such"'),
        ({"learning_rate": 1}, 'unknown option "learning_rate"; options: dataset, root, .*, lr, .*, device'),
    ],
)
def test_bad_options_are_errors_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        create(**options)
    assert "\n" not in str(caught.value)


def test_threads_and_warnings_are_left_as_they_are() -> None:
    code = (
        "import torch; before = torch.get_num_threads(), torch.backends.cudnn.benchmark\n"
        "from nas.training.classification import create\n"
        "create(limit_train=100, compiler='math:sqrt')\n"
        "assert before == (torch.get_num_threads(), torch.backends.cudnn.benchmark) and before[0] == 1"
    )
    environment = {"OMP_NUM_THREADS": "1", "PATH": ""}
    subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, check=True)
