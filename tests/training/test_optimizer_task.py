from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import nn

from nas.errors import CompileError, ConfigError, EvaluationError
from nas.evaluation import Fidelity, Status, Task
from nas.layers import TrainSettings
from nas.training import Dataset, derived_seed, forked_seed, resident
from nas.training.optimizer_task import OptimizerEvaluator, create
from nas.training.train import standard_optimizer, start, train

MakeTask = Callable[..., Task]
SETTINGS = TrainSettings(lr=0.05, epochs=4, batch_size=16, schedule="constant")


class Signed(torch.optim.Optimizer):
    """w -= lr * sign(g), as a program might say it."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float) -> None:
        super().__init__(parameters, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.sub_(group["lr"] * parameter.grad.sign())


class Exploding(Signed):
    """w *= 1e30."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for parameter in self.param_groups[0]["params"]:
            parameter.mul_(1e30)


def compiled(program: Any) -> Callable[[list[nn.Parameter], float], torch.optim.Optimizer]:
    """The optimizer that a test's program names."""
    if program.text == "impossible":
        raise CompileError("root: expected a program; got nothing")
    if program.text == "explode":
        return Exploding
    if program.text == "signed":
        return Signed
    return lambda parameters, lr: torch.optim.SGD(parameters, lr=lr, momentum=0.9, nesterov=True)


@pytest.fixture
def evaluator(stripes: Dataset) -> OptimizerEvaluator:
    return OptimizerEvaluator(stripes, SETTINGS, width=16, device="cpu", compiler=compiled)


def test_a_program_that_descends_learns(evaluator: OptimizerEvaluator, make_task: MakeTask) -> None:
    for text in ("signed", "momentum"):
        evaluation = evaluator(make_task(text))
        assert evaluation.status is Status.COMPLETED
        assert evaluation.values["validation_accuracy"] > 60.0  # chance is 33
        assert evaluation.info["parameters"] == 32 * 16 + 16 + 16 * 3 + 3
    assert evaluator.objectives[0].name == "validation_accuracy"
    assert evaluator.reported.name == "test_accuracy"
    assert evaluator.fidelity_range == ("epochs", 1, 4)


def test_the_program_alone_updates_the_weights(
    evaluator: OptimizerEvaluator, make_task: MakeTask, stripes: Dataset
) -> None:
    # the same network, batches and rate under torch's own SGD give the same curve
    settings = SETTINGS.with_overrides({"weight_decay": 0.0, "momentum": 0.9})
    data = resident(stripes, stripes.digest(), torch.device("cpu"))
    with forked_seed(derived_seed(3), data.device):
        network = nn.Sequential(nn.Flatten(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 3))
        training = start(network, data, settings, 3, standard_optimizer)
        train(training, data, settings, epochs=4)
    curve = evaluator(make_task("momentum", seed=3)).curve
    losses = [[row["train_loss"] for row in rows] for rows in (curve, training.curve)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_every_program_starts_from_the_same_weights(
    evaluator: OptimizerEvaluator, make_task: MakeTask
) -> None:
    def first_loss(text: str) -> float:
        settings = SETTINGS.with_overrides({"lr": 1e-12})
        still = OptimizerEvaluator(evaluator.dataset, settings, width=16, compiler=compiled)
        return still(make_task(text, seed=1, fidelity=Fidelity("epochs", 1))).curve[0]["train_loss"]

    assert first_loss("signed") == pytest.approx(first_loss("momentum"), rel=1e-6)


def test_programs_that_fail_are_recorded(evaluator: OptimizerEvaluator, make_task: MakeTask) -> None:
    diverged = evaluator(make_task("explode"))
    assert diverged.status is Status.DIVERGED
    invalid = evaluator(make_task("impossible"))
    assert (invalid.status, invalid.reason) == (Status.INVALID, "root: expected a program; got nothing")


def test_a_device_that_is_not_there_is_no_fault_of_the_program(
    stripes: Dataset, make_task: MakeTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    evaluator = OptimizerEvaluator(stripes, SETTINGS, device="cuda:1", compiler=compiled)
    with pytest.raises(
        EvaluationError, match=r'^device "cuda:1": expected a CUDA device .*, got 0 of them; set'
    ):
        evaluator(make_task("signed"))


def test_the_conv_network_trains_too(stripes: Dataset, make_task: MakeTask) -> None:
    evaluator = OptimizerEvaluator(stripes, SETTINGS, network="conv", width=4, compiler=compiled)
    evaluation = evaluator(make_task("momentum"))
    assert evaluation.info["parameters"] == (2 * 9 + 1) * 4 + (4 * 9 + 1) * 8 + 9 * 3
    assert evaluation.status is Status.COMPLETED


def test_the_attention_network_trains_too(stripes: Dataset, make_task: MakeTask) -> None:
    evaluator = OptimizerEvaluator(stripes, SETTINGS, network="attention", width=8, compiler=compiled)
    evaluation = evaluator(make_task("signed"))
    block = (8 * 24 + 24) + (8 * 8 + 8) + (8 * 16 + 16) + (16 * 8 + 8) + 4 * 8
    assert evaluation.info["parameters"] == (8 * 8 + 8) + 4 * 8 + 2 * block + 2 * 8 + (8 * 3 + 3)
    assert evaluation.curve[-1]["train_loss"] < evaluation.curve[0]["train_loss"]


def test_a_task_is_checked_without_training(evaluator: OptimizerEvaluator, make_task: MakeTask) -> None:
    evaluator.check(make_task("signed"))
    with pytest.raises(CompileError, match=r"^root: expected a program; got nothing$"):
        evaluator.check(make_task("impossible"))
    with pytest.raises(EvaluationError, match='expected "epochs" from 1 to 4'):
        evaluator.check(make_task("signed", fidelity=Fidelity("epochs", 5)))


def test_it_travels_by_pickle_and_its_fingerprint_covers_the_network(
    evaluator: OptimizerEvaluator, make_task: MakeTask, stripes: Dataset
) -> None:
    arrived = pickle.loads(pickle.dumps(evaluator))
    assert arrived(make_task("signed")).values == evaluator(make_task("signed")).values
    others = [
        OptimizerEvaluator(stripes, SETTINGS, width=width, network=network, compiler=compiled)
        for width, network in ((16, "mlp"), (17, "mlp"), (16, "conv"))
    ]
    assert len({other.fingerprint() for other in others}) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 0.9}, '^evaluator "optimizer_task": unknown option "momentum"; options: dataset,'),
        (
            {"network": "vit"},
            '^evaluator "optimizer_task": network: expected one of mlp, .*, got "vit"; name one of these$',
        ),
        ({"width": 0}, "width: expected a whole number of at least 1, got 0; leave it out"),
        ({"width": True}, "width: expected a whole number of at least 1, got True; leave it out"),
        ({"device": "gpu"}, '^evaluator "optimizer_task": device: expected auto, cpu, cuda or cuda:N, got'),
        ({"network": "attention", "width": 6}, "width: expected a multiple of 4 heads, got 6; set it to 4$"),
        ({"lr": -1}, '^evaluator "optimizer_task": training setting "lr": expected a number above 0, got -1'),
    ],
)
def test_bad_options_are_errors_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        create(**options, compiler=compiled)
