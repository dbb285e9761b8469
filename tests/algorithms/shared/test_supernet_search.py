"""Options of the searchers on supernets that hang together: lowering one does not break the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from nas import SearchSpace, op
from nas.algorithms.shared.supernet_search import FOLLOWING, SupernetSearch
from nas.algorithms.shared.wrapping import prepare_searcher
from nas.errors import ConfigError
from nas.evaluation import Objective
from nas.language import oneof
from nas.supernet import OneShotSettings
from nas.training import DataOptions, load

FOLDER = Path(__file__).resolve().parents[3] / "experiments" / "searcher"
SPACE = SearchSpace("x", op.stem(width=4) >> oneof(op.relu(), op.gelu()) >> op.head())
PRESETS = ("darts", "darts_cifar10", "gdas", "pc_darts", "sharp_darts", "hypercuboid", "single_path")
PUBLISHED = {"pc_darts": (0, 15), "sharp_darts": (5, 0), "hypercuboid": (5, 0)}


def settings_of(preset: str, **options: Any) -> OneShotSettings:
    section = yaml.safe_load((FOLDER / f"{preset}.yaml").read_text(encoding="utf-8"))
    section = {**section, "proxy": None, **options}
    searcher = prepare_searcher(section, seed=0)(SPACE, (Objective("accuracy"),), None)
    assert isinstance(searcher, SupernetSearch)
    return searcher._settings


def test_own_options_are_among_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match=r"expected options among .*, got evaluation; did you mean evaluations\?$"
    ):
        settings_of("single_path", evaluation=3)


def test_the_suite_has_every_preset_of_a_supernet() -> None:
    names = {file.stem for file in FOLDER.glob("*.yaml") if "epochs_per_work" in file.read_text()}
    assert names == set(PRESETS)


@pytest.mark.parametrize("preset", PRESETS)
def test_phases_follow_the_number_of_epochs(preset: str) -> None:
    whole = settings_of(preset)
    assert (whole.warmup_epochs, whole.alpha_from) == PUBLISHED.get(preset, (0, 0))
    for epochs in (1, 2, 3, 10):
        fewer = settings_of(preset, epochs=epochs)
        for name in FOLLOWING:
            assert getattr(fewer, name) == round(getattr(whole, name) * epochs / whole.epochs)


@pytest.mark.parametrize(("preset", "name"), [("pc_darts", "alpha_from"), ("sharp_darts", "warmup_epochs")])
def test_what_is_given_stays_or_is_named(preset: str, name: str) -> None:
    assert getattr(settings_of(preset, **{name: 3, "epochs": 4}), name) == 3
    with pytest.raises(
        ConfigError, match=rf'"{name}": .* epochs = 3.*, got 4; lower {name} or raise epochs$'
    ):
        settings_of(preset, **{name: 4, "epochs": 3})


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("epochs", [0, -1, 1.5, "many", None, True])
def test_epochs_that_are_none_are_refused_as_such(preset: str, epochs: Any) -> None:
    with pytest.raises(ConfigError, match=r'"epochs": expected a number of at least 1, got'):
        settings_of(preset, epochs=epochs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"crop_padding": 8},
            'training setting "crop_padding": expected less than the 8 pixels of the images',
        ),
        ({"cutout": 9}, 'training setting "cutout": expected less than the 8 pixels of the images, got 9'),
        ({"data": {"dataset": "npz", "root": "no.npz"}}, "found none; set searcher.data.root to its path$"),
        ({"data": {"limit_train": 99999}}, "expected limit_train of at most 1293 training images"),
    ],
)
def test_images_that_do_not_do_are_refused_before_any_work(options: dict[str, Any], message: str) -> None:
    searcher = SupernetSearch(SPACE, (Objective("accuracy"),), seed=0, **options)
    with pytest.raises(ConfigError, match=f'^searcher "supernet": .*{message}'):
        searcher.check_images(load(DataOptions()))
