from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nas.errors import EvaluationError
from nas.layers import TrainSettings
from nas.training import checkpoint_files
from nas.training.schedules import Plateau
from nas.training.train import Training
from nas.training.trial import check_state, load_state, restore, save_state, save_weights

SETTINGS = TrainSettings(epochs=5)


def training(seed: int) -> Training:
    network = nn.Linear(3, 2)
    nn.init.constant_(network.weight, seed)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return Training(network, optimizer, seed)


def test_restore_gives_back_all_that_was_saved(tmp_path: Path) -> None:
    path = str(tmp_path / "deep" / "0")
    saved = training(1)
    saved.epoch, saved.curve, saved.plateau = 2, [{"epoch": 1.0}], Plateau(50.0, 1, 2, 1, 0.5)
    saved.best = {"weight": torch.ones(2, 3)}
    save_state(path, saved, SETTINGS, "id")
    restored = training(2)
    restore(restored, load_state(path))
    assert torch.equal(restored.network.weight, saved.network.weight)  # type: ignore[arg-type]
    momenta = [state["momentum_buffer"] for state in restored.optimizer.state_dict()["state"].values()]
    assert all(torch.equal(momentum, torch.ones_like(momentum)) for momentum in momenta)
    assert (restored.seed, restored.epoch, restored.curve, restored.plateau) == (
        1,
        2,
        saved.curve,
        saved.plateau,
    )
    assert restored.best is not None
    assert torch.equal(restored.best["weight"], torch.ones(2, 3))


def test_files_appear_complete_or_not_at_all(tmp_path: Path) -> None:
    path = str(tmp_path / "0")
    save_weights(path, nn.Linear(2, 2), {"architecture": "a"})
    complete = checkpoint_files(path)[0].read_bytes()

    class Unsavable(nn.Module):
        def state_dict(self, *args: Any, **kwargs: Any) -> Any:
            raise OSError("disk full")

    with pytest.raises(
        EvaluationError, match=r"0: expected a file that can be written, got disk full; check the folder"
    ):
        save_weights(path, Unsavable(), {})
    assert checkpoint_files(path)[0].read_bytes() == complete
    assert [file.name for file in tmp_path.iterdir()] == ["0"]


class Harmful:
    def __reduce__(self) -> Any:
        return os.mkdir, ("harm",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read"),
        (b"PK\x03\x04 broken", "cannot be read"),
        (pickle.dumps(Harmful(), protocol=2), "cannot be read"),
    ],
    ids=["empty", "broken", "harmful"],
)
def test_a_state_of_another_content_is_an_error_and_runs_no_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "0.state").write_bytes(content)
    with pytest.raises(
        EvaluationError,
        match=f"^checkpoint .*0.state: expected a state .* 1, got .*{message}.*; train from the start$",
    ) as e:
        load_state(str(tmp_path / "0"))
    assert "\n" not in str(e.value)
    assert not (tmp_path / "harm").exists()


def test_a_state_with_harmful_content_inside_runs_no_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"format": 1, "optimizer": Harmful()}, tmp_path / "0.state")
    with pytest.raises(EvaluationError, match=r"cannot be read"):
        load_state(str(tmp_path / "0"))
    assert not (tmp_path / "harm").exists()


def test_a_state_of_another_format_or_without_a_part_is_an_error(tmp_path: Path) -> None:
    path = str(tmp_path / "0")
    save_state(path, training(1), SETTINGS, "a" * 32)
    state = load_state(path)
    damaged = [
        {"format": 99},
        [1],
        {**state, "format": 99},
        {**state, "identity": 3},
        {**state, "curve": None},
    ]
    damaged += [{key: value for key, value in state.items() if key != name} for name in state]
    for content in damaged:
        torch.save(content, tmp_path / "0.state")
        with pytest.raises(
            EvaluationError, match=r"expected a state of format 1, got another content; train from the start$"
        ):
            load_state(path)


def test_check_state_compares_identity_and_settings() -> None:
    state = {"identity": "a" * 32, "settings": {"lr": 0.1, "epochs": 5}}
    check_state("p", state, SETTINGS, "a" * 32)
    with pytest.raises(
        EvaluationError, match=r"^checkpoint p: expected a training of bbbbbbbbbbbb, got one of a"
    ):
        check_state("p", state, SETTINGS, "b" * 32)
    with pytest.raises(EvaluationError, match=r"^checkpoint p: expected epochs = 6, got 5; "):
        check_state("p", state, TrainSettings(epochs=6), "a" * 32)
