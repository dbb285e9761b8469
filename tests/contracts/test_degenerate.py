"""Spaces, data and options of nothing or of one: each works, or is refused in one line before any work."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas import Budget, InlineExecutor, NasError, Plan, SearchSpace, Study, op, repeat
from nas.algorithms import SEARCHERS
from nas.algorithms.shared.wrapping import prepare_searcher
from nas.evaluation import SimulatedExecutor, Status
from nas.language import oneof
from nas.search_spaces import SPACES
from nas.space import sample
from nas.study import FILE_NAME, read_study
from nas.training.classification import create
from nas.training.optimizer_task import create as create_optimizer_task
from tests.contracts.searcher_kit import OPTIONS
from tests.study.test_needs import ONE_SHOT, TINY, Levels

STEM, HEAD = op.stem(width=4), op.head()
CHOICE = SearchSpace("two", STEM >> (op.relu() | op.gelu()) >> HEAD)
NO_CHOICE = {
    "none": SearchSpace("none", STEM >> op.relu() >> HEAD),
    "one option": SearchSpace("one", op.stem(width=oneof(4)) >> op.relu() >> HEAD),
    "one count": SearchSpace("count", STEM >> repeat(op.relu(), 1, 1) >> HEAD),
}
INSIDE = {"searcher": {"name": "random"}}
DEFAULTS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("asha", "hyperband", "no_repeats", "pending_limit", "bisection"), INSIDE),
    "listed": {"samples": 3},
}
OTHERS = [name for name in SEARCHERS.names() if name not in ONE_SHOT]


def outcome(folder: Path, space: SearchSpace, section: dict[str, Any], evaluator: Any, **plan: Any) -> str:
    """Empty where the study ends with completed trials alone; else the refusal, before any trial."""
    given = Plan(**{"seed": 0, "budget": Budget(trials=6), **plan})
    executor = SimulatedExecutor(3) if isinstance(evaluator, Levels) else InlineExecutor()

    def run() -> None:
        searcher = prepare_searcher(section, seed=0)(space, evaluator.objectives, evaluator.fidelity_range)
        Study(space, searcher, evaluator, executor, directory=folder, plan=given).run()

    refused = refusal(run)
    if refused:
        assert not (folder / FILE_NAME).exists(), f"refused after work: {refused}"
        return refused
    trials = read_study(folder).trials
    assert trials
    assert all(trial.status is Status.COMPLETED for trial in trials), trials
    return ""


def refusal(call: Callable[[], Any]) -> str:
    """The one line with which it is refused; empty where it is not."""
    try:
        call()
    except NasError as error:
        line = str(error)
    else:
        line = ""
    assert "\n" not in line
    return line


@pytest.mark.parametrize("trials", [1, 12])
@pytest.mark.parametrize("kind", NO_CHOICE)
@pytest.mark.parametrize("name", OTHERS)
def test_a_space_without_a_choice_is_evaluated(name: str, kind: str, trials: int, tmp_path: Path) -> None:
    options = {key: value for key, value in OPTIONS[name].items() if key != "limits"}
    for number, given in enumerate((options, DEFAULTS.get(name, {}))):
        budget = Budget(trials=trials)
        section = {"name": name, **given}
        assert not outcome(tmp_path / str(number), NO_CHOICE[kind], section, Levels(), budget=budget)


@pytest.mark.parametrize("kind", NO_CHOICE)
@pytest.mark.parametrize("name", ONE_SHOT)
def test_a_space_without_a_choice_has_no_supernet(name: str, kind: str, tmp_path: Path) -> None:
    evaluator = Levels()
    refused = outcome(tmp_path / "x", NO_CHOICE[kind], {"name": name}, evaluator)
    assert "which has nothing to choose; give it a choice" in refused
    assert not evaluator.tasks


@pytest.mark.parametrize("value", [0, 1, -1])
@pytest.mark.parametrize(
    ("name", "option"),
    [
        (name, option)
        for name, options in OPTIONS.items()
        for option, value in options.items()
        if not isinstance(value, dict | str | bool)
    ],
)
def test_numbers_of_searchers(name: str, option: str, value: int, tmp_path: Path) -> None:
    options = {key: each for key, each in OPTIONS[name].items() if key != "limits"}
    refused = outcome(tmp_path / "x", CHOICE, {"name": name, **options, option: value}, Levels())
    assert not refused or option in refused or "population" in refused
    assert refused or value >= 0


@pytest.mark.parametrize("value", [0, 1, -1])
@pytest.mark.parametrize(
    "option", ["epochs", "batch_size", "limit_steps", "searches", "epochs_per_work", "train_fraction", "lr"]
)
@pytest.mark.parametrize("name", ["darts", "single_path"])
def test_numbers_of_searches_on_a_supernet(name: str, option: str, value: int, tmp_path: Path) -> None:
    given = {"name": name, **TINY, **ONE_SHOT[name], "batch_size": 8, option: value}
    evaluator = images(tmp_path, count=24)
    refused = outcome(tmp_path / "x", CHOICE, given, evaluator)
    assert not refused or option in refused or (name, option) == ("single_path", "searches")
    assert refused or value == 1


def images(
    folder: Path, count: int, classes: int = 2, side: int = 4, channels: int = 1, **options: Any
) -> Any:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (count, channels, side, side), dtype=np.uint8)
    pixels = pixels.transpose(0, 2, 3, 1) if channels == 3 else pixels[:, 0] if channels == 1 else pixels
    path = folder / "images.npz"
    np.savez(path, images=pixels, labels=np.arange(count) % max(1, classes))
    return create(dataset="npz", root=str(path), device="cpu", **{"epochs": 2, **options})


FLAT = SearchSpace("flat", STEM >> (op.relu() | op.gelu()) >> op.global_pool() >> op.batchnorm() >> HEAD)
DATA: dict[str, tuple[dict[str, Any], str]] = {
    "none": ({"count": 0}, "expected"),
    "one image": ({"count": 1, "classes": 1}, "at least 2 classes"),
    "one class": ({"count": 20, "classes": 1}, "at least 2 classes"),
    "one image per class": ({"count": 10, "classes": 10}, "enough images of every class"),
    "three images per class": ({"count": 15, "classes": 5}, "enough images of every class"),
    "one validation image per class": ({"count": 20, "validation_fraction": 0.125}, ""),
    "no validation images": ({"count": 20, "validation_fraction": 0.0}, "validation_fraction"),
    "half a validation image": ({"count": 20, "validation_fraction": 0.001}, "enough images of every class"),
    "all images for validation": ({"count": 20, "validation_fraction": 0.99}, "enough images of every class"),
    "one training image": ({"count": 20, "limit_train": 1}, "enough images of every class"),
    "two training images": ({"count": 20, "limit_train": 2}, ""),
    "fewer images than a batch": ({"count": 20, "batch_size": 10**6}, ""),
    "sides of one": ({"count": 20, "side": 1}, ""),
    "two channels": ({"count": 20, "side": 2, "channels": 2}, ""),
    "padding over the sides": ({"count": 20, "side": 3, "crop_padding": 9}, "crop_padding"),
    "cutout over the sides": ({"count": 20, "side": 3, "cutout": 99}, "cutout"),
    "no time": ({"count": 20, "max_seconds": 1e-9}, ""),
    "batches of one": ({"count": 20, "batch_size": 1}, ""),
    "batches of one pixel": ({"count": 20, "batch_size": 1, "side": 1}, "batch: expected 2 images or more"),
    "batches of none": ({"count": 20, "batch_size": 0}, "batch_size"),
    "no epochs": ({"count": 20, "epochs": 0}, "epochs"),
    "negative limit": ({"count": 20, "limit_train": -1}, "limit_train"),
}


@pytest.mark.filterwarnings("ignore:data .* every image is of one colour")
@pytest.mark.parametrize("name", ["random", "darts"])
@pytest.mark.parametrize("case", DATA)
def test_images(case: str, name: str, tmp_path: Path) -> None:
    options, message = DATA[case]
    section = {
        "name": name,
        **({**TINY, "batch_size": min(8, options.get("batch_size", 8))} if name == "darts" else {}),
    }
    plan = {"baseline": 1, "final": 1, "budget": Budget(trials=2)}
    made: list[Any] = []
    refused = refusal(lambda: made.append(images(tmp_path, **options)))
    if made:
        refused = outcome(tmp_path / "x", CHOICE, section, made[0], **plan)
    assert re.search(message, refused)
    assert bool(message) == bool(refused)


def test_a_normalisation_of_features_needs_more_than_one_image(tmp_path: Path) -> None:
    refused = outcome(tmp_path / "x", FLAT, {"name": "random"}, images(tmp_path, count=20, batch_size=1))
    assert "batch: expected 2 images or more" in refused
    assert not outcome(tmp_path / "y", FLAT, {"name": "random"}, images(tmp_path, count=20, batch_size=2))
    split = {"train_fraction": 0.001, "batch_size": 8}
    refused = outcome(tmp_path / "z", FLAT, {"name": "darts", **TINY, **split}, images(tmp_path, count=20))
    assert "batch: expected 2 images or more" in refused


@pytest.mark.parametrize(
    "options", [{"width": 0}, {"width": -1}, {"epochs": 0}, {"batch_size": 0}, {"lr": 0.0}]
)
def test_numbers_of_the_tasks_of_optimizer_programs(options: dict[str, Any]) -> None:
    with pytest.raises(NasError, match=next(iter(options))):
        create_optimizer_task(dataset="digits", **options)


SIZES = {
    "nasbench201": ("channels", "cells"),
    "darts": ("channels", "layers"),
    "sharp_darts": ("channels", "layers"),
    "hypercuboid": ("channels", "layers", "last"),
    "deepconv": ("filters", "repeats"),
    "macro": ("width", "stages", "depth"),
}
SMALL = {"nasbench201": {"cells": 1}, "darts": {"layers": 3}, "sharp_darts": {"layers": 3}}


@pytest.mark.parametrize("value", [0, 1, -1, 2.5, "many", None, [], [0], [1]])
@pytest.mark.parametrize(("name", "option"), [(name, option) for name in SIZES for option in SIZES[name]])
def test_sizes_of_spaces(name: str, option: str, value: Any) -> None:
    given = {**SMALL.get(name, {}), option: value}
    made: list[SearchSpace] = []
    refused = refusal(lambda: made.append(SPACES.get(name)(**given)))
    least = {"layers": 3, "width": 4}.get(option, 1) if name != "hypercuboid" else 1
    listed = option == "filters" or option == "repeats" or (name, option) == ("hypercuboid", "channels")
    fits = value == [1] if listed else type(value) is int and value >= least
    assert bool(refused) != fits
    assert all(sample(space, np.random.default_rng(0)).text for space in made)
