"""The switches of a training protocol together, on networks of the standard vocabulary."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from nas.errors import ConfigError, EvaluationError, NasError
from nas.evaluation import EVALUATORS, Fidelity, Status, Task
from nas.layers import TrainSettings, compile_network
from nas.space import SearchSpace
from nas.training import DataOptions, Dataset
from nas.training.classification import ClassificationEvaluator
from nas.training.data import split
from nas.training.sources import joined
from tests.training.candidates import same

SWITCHES: dict[str, Any] = {"drop_path": 0.4, "auxiliary": 0.4, "cutout": 3, "autoaugment": "cifar10"}
SETTINGS = TrainSettings(epochs=4, batch_size=16, lr=0.05, flip=True, crop_padding=1)
BLOCK = "residual(conv(kernel=3) >> batchnorm()) >> relu()"
TEXT = f"stem(width=4) >> {BLOCK} >> {BLOCK} >> head()"
SPACE = SearchSpace("two", f"({TEXT}) | flatten() >> linear(width=3)")


@pytest.fixture(scope="module")
def columns() -> Dataset:
    """120 noisy grey images of 6x6; class k has a bright column k."""
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    images = rng.integers(0, 120, (120, 1, 6, 6)).astype(np.uint8)
    images[np.arange(120), :, :, labels] += 100
    options = DataOptions(validation_fraction=0.25, test_fraction=0.25)
    return split("columns", joined([(images, labels)], classes=3), options)


def evaluator(data: Dataset, **settings: Any) -> ClassificationEvaluator:
    return ClassificationEvaluator(data, replace(SETTINGS, **settings), device="cpu")


def task(text: str = TEXT, **options: Any) -> Task:
    return Task(0, SPACE.parse(text), **options)


@pytest.mark.parametrize(
    "settings",
    [
        SWITCHES,
        {**SWITCHES, "restore_best": True, "optimizer": "adamw"},
        {"drop_path": 0.4},
        {"auxiliary": 1.0},
    ],
    ids=["all", "best epoch", "drop-path", "auxiliary"],
)
@pytest.mark.parametrize("first", [1, 2])
def test_a_continued_training_equals_an_uninterrupted_one(
    columns: Dataset, tmp_path: Path, settings: dict[str, Any], first: int
) -> None:
    evaluate = evaluator(columns, **settings)
    whole = evaluate(task(seed=1))
    part = evaluate(task(seed=1, fidelity=Fidelity("epochs", first), save_to=str(tmp_path / "a")))
    rest = evaluate(task(seed=99, checkpoint=part.checkpoint))
    assert part.info["epochs"] == first
    assert whole.ok
    assert same(whole, rest)


@pytest.mark.parametrize("switch", SWITCHES)
def test_each_switch_changes_the_training_and_the_fingerprint(columns: Dataset, switch: str) -> None:
    off, on = evaluator(columns), evaluator(columns, **{switch: SWITCHES[switch]})
    assert off.fingerprint() != on.fingerprint()
    before, after = ([row["train_loss"] for row in evaluate(task(seed=1)).curve] for evaluate in (off, on))
    assert before[1:] != after[1:]
    assert (before[0] == after[0]) is (switch == "drop_path")  # its ramp begins at 0


def test_all_switches_are_off_by_default() -> None:
    settings = TrainSettings()
    assert (settings.cutout, settings.autoaugment, settings.drop_path, settings.auxiliary) == (
        0,
        "none",
        0,
        0,
    )


def test_the_auxiliary_head_is_neither_counted_nor_saved(columns: Dataset, tmp_path: Path) -> None:
    path = str(tmp_path / "weights")
    evaluation = evaluator(columns, auxiliary=0.4)(task(save_to=path))
    network = compile_network(SPACE.parse(TEXT), (1, 6, 6), 3)
    assert evaluation.info["parameters"] == sum(p.numel() for p in network.parameters())
    with safe_open(path, "pt") as file:
        assert set(file.keys()) <= set(network.state_dict())


def test_a_network_without_a_place_for_the_head_is_an_invalid_trial(columns: Dataset) -> None:
    evaluate, flat = evaluator(columns, auxiliary=0.4), task("flatten() >> linear(width=3)")
    reason = r"^auxiliary: expected a sequence of blocks between stem and classifier, .*; set auxiliary to 0$"
    with pytest.raises(NasError, match=reason):
        evaluate.check(flat)
    assert evaluate(flat).status is Status.INVALID
    evaluate.check(task())
    evaluator(columns).check(flat)


def test_images_that_autoaugment_does_not_take_are_refused(stripes: Dataset) -> None:
    evaluate = evaluator(stripes, autoaugment="cifar10")
    with pytest.raises(NasError, match=r"^autoaugment: expected images of 1 or 3 channels, got 2"):
        evaluate.check(task())
    assert evaluate(task()).status is Status.INVALID


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"droppath": 0.2}, r'"classification": unknown option "droppath"; options: .* mean "drop_path"\?$'),
        ({"drop_path": 1.0}, r'"drop_path": expected a number from 0 up to, not including, 1, got 1\.0$'),
        ({"auxiliary": -1}, r'"auxiliary": expected a number of at least 0, got -1$'),
        ({"autoaugment": "cifar"}, r'"autoaugment": expected one of none, cifar10, imagenet, svhn, got'),
    ],
)
def test_an_unknown_switch_or_value_is_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, EvaluationError), match=message) as error:
        EVALUATORS.get("classification")(dataset="digits", **options)
    assert "\n" not in str(error.value)


def test_an_optimizer_program_has_no_switches_of_networks() -> None:
    with pytest.raises(ConfigError, match=r'"optimizer_task": unknown option "auxiliary"; options: '):
        EVALUATORS.get("optimizer_task")(auxiliary=0.4)
