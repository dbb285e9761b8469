from __future__ import annotations

import pytest

from nas.errors import ConfigError
from nas.evaluation import Evaluation, Task
from nas.layers import TrainSettings
from nas.training import Dataset
from nas.training.image_evaluator import ImageEvaluator, checked_device, data_options, settings_from
from tests.training.candidates import SETTINGS, compiled


class Untrained(ImageEvaluator):
    def __call__(self, task: Task) -> Evaluation:
        raise NotImplementedError


def evaluator(dataset: Dataset, settings: TrainSettings = SETTINGS, *identity: str) -> ImageEvaluator:
    return Untrained("here", dataset, settings, device="cpu", compiler=compiled, identity=identity)


def test_what_the_subclass_adds_is_part_of_the_identity(stripes: Dataset) -> None:
    others = (
        evaluator(stripes, SETTINGS, "a"),
        evaluator(stripes, SETTINGS, "b"),
        evaluator(stripes, SETTINGS, "a", "b"),
        evaluator(stripes, SETTINGS.with_overrides({"lr": 0.5})),
    )
    assert len({each.fingerprint() for each in (evaluator(stripes), *others)}) == 5
    assert evaluator(stripes, SETTINGS, "a").fingerprint() == others[0].fingerprint()


def test_messages_begin_with_the_name_of_the_evaluator(stripes: Dataset) -> None:
    for device in ("gpu", "cuda:", "cpu:0", 0):
        with pytest.raises(
            ConfigError, match=f'^here: device: expected auto, .*, got "{device}"; leave it out for auto$'
        ):
            checked_device("here", device)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r'^here: training setting "lr": expected'):
        settings_from("here", {"lr": -1})
    with pytest.raises(ConfigError, match=r'^here: compiler: cannot import "nas.no_such"'):
        Untrained("here", stripes, SETTINGS, device="cpu", compiler="nas.no_such:f")
    with pytest.raises(
        ConfigError, match=r'^here: training setting "cutout": expected less than the 4 pixels'
    ):
        evaluator(stripes, SETTINGS.with_overrides({"cutout": 4}))


def test_data_options_are_those_of_the_data() -> None:
    assert data_options({"dataset": "npz", "lr": 0.1, "root": "x", "image_size": None}).root == "x"
    with pytest.raises(ConfigError, match=r'^data option "dataset": expected one of'):
        data_options({"dataset": "none"})
