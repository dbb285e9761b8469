from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from nas.errors import ConfigError, EvaluationError
from nas.evaluation import Evaluation, Fidelity, Objective, Status, Task
from nas.layers import TrainSettings
from nas.training import DataOptions, Dataset, load
from nas.training.classification import ClassificationEvaluator, create
from tests.training.candidates import SETTINGS, compiled, same

MakeTask = Callable[..., Task]


@pytest.fixture
def evaluator(stripes: Dataset) -> ClassificationEvaluator:
    return ClassificationEvaluator(stripes, SETTINGS, device="cpu", compiler=compiled)


def test_it_answers_with_values_facts_and_a_curve(
    evaluator: ClassificationEvaluator, make_task: MakeTask
) -> None:
    evaluation = evaluator(make_task(seed=5))
    assert evaluation.status is Status.COMPLETED
    assert set(evaluation.values) == {"validation_accuracy", "validation_loss", "test_accuracy"}
    assert set(evaluator.value_names(None)) == set(evaluation.values)
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
    blank = make_task(settings={"cutout": 4})
    assert (evaluator(blank).reason or "").startswith(
        'training setting "cutout": expected less than the 4 pix'
    )
    with pytest.raises(EvaluationError, match="expected less than the 4 pixels of the images, got 4"):
        evaluator.check(blank)
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


def test_a_device_that_is_not_there_is_no_fault_of_the_candidate(
    stripes: Dataset, make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    evaluator = ClassificationEvaluator(stripes, SETTINGS, device="cuda", compiler=compiled)
    expected = (
        '^device "cuda": expected a CUDA device .*, got 0 of them; set evaluator.device to cpu or auto$'
    )
    for text in ("linear", "impossible"):
        with pytest.raises(EvaluationError, match=expected):
            evaluator(make_task(text))


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
    def another(architecture, input_shape, num_classes, seed=0):
        return compiled(architecture, input_shape, num_classes, seed=seed)

    def fingerprint(dataset: Dataset = stripes, settings: TrainSettings = SETTINGS, **options: Any) -> str:
        return ClassificationEvaluator(dataset, settings, **{"compiler": compiled, **options}).fingerprint()

    def other(candidate: Any, shape: Any, classes: int, seed: int) -> Any:
        return compiled(candidate, shape, classes, seed=seed)

    digits = load(DataOptions(limit_train=100))
    more_decay = SETTINGS.with_overrides({"weight_decay": 0.1})
    others = (
        fingerprint(digits),
        fingerprint(settings=more_decay),
        fingerprint(device="cpu"),
        fingerprint(compiler=another),
    )
    assert len({fingerprint(), *others}) == 5
    assert fingerprint() == fingerprint()


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
    from nas.language import oneof, op, real, train
    from nas.space import SearchSpace, sample

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
            '^evaluator "classification": device: expected auto, .*, got "gpu"; leave it out for auto$',
        ),
        ({"compiler": "nas.no_such:f"}, '^evaluator "classification": compiler: cannot import "nas.no_such"'),
        ({"learning_rate": 1}, 'unknown option "learning_rate"; options: dataset, root, .*, lr, .*, device'),
    ],
)
def test_bad_options_are_errors_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        create(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_threads_and_warnings_are_left_as_they_are() -> None:
    code = (
        "import torch; before = torch.get_num_threads(), torch.backends.cudnn.benchmark\n"
        "from nas.training.classification import create\n"
        "create(limit_train=100)\n"
        "assert before == (torch.get_num_threads(), torch.backends.cudnn.benchmark) and before[0] == 1"
    )
    environment = {"OMP_NUM_THREADS": "1", "PATH": ""}
    subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, check=True)
