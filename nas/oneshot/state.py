"""Searches on disk: a dictionary of tensors, numbers and texts, read by `torch.load(weights_only=True)`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from nas.errors import EvaluationError, describe_error
from nas.oneshot.search import OneShot
from nas.oneshot.settings import OneShotSettings
from nas.training.checkpoint import _write

_FORMAT = 1
_NEEDED = {"space", "identity", "alphas"}  # before it is taken over


def save(path: str | Path, state: OneShot, settings: OneShotSettings) -> None:
    """Writes what `load` needs, in one step.

    Raises:
        EvaluationError: the place cannot be written.
    """
    content = {
        "format": _FORMAT,
        "space": [state.space.name, state.space.fingerprint()],
        "identity": _identity(state, settings),
        "epoch": state.epoch,
        "curve": state.curve,
        "past": state.past,
        "stopped": state.stopped,
        "supernet": state.supernet.state_dict(),
        "alphas": state.alphas.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "alpha_optimizer": state.alpha_optimizer.state_dict(),
    }
    _write(Path(path), lambda part: torch.save(content, part))


def load(path: str | Path, state: OneShot, settings: OneShotSettings) -> None:
    """Puts a fresh state where the saved one stopped.

    Args:
        path: that `save` wrote.
        state: changed in place.
        settings: of the search.

    Raises:
        EvaluationError: no such file, a damaged one, or a search of another space, of other settings, of
            another seed or on other images.
    """
    content = _read(Path(path))
    _check(path, content, state, settings)
    try:
        _take(state, content)
    except Exception as error:  # torch raises several kinds for weights of another form
        raise EvaluationError(
            f"checkpoint {path}: cannot continue from it: {describe_error(error)}; start anew"
        ) from error


def _take(state: OneShot, content: dict[str, Any]) -> None:
    state.supernet.load_state_dict(content["supernet"])
    state.alphas.load_state_dict(content["alphas"])
    state.optimizer.load_state_dict(content["optimizer"])
    state.alpha_optimizer.load_state_dict(content["alpha_optimizer"])
    state.epoch, state.curve, state.stopped = content["epoch"], list(content["curve"]), content["stopped"]
    device = state.halves[0].device
    state.past = [{name: value.to(device) for name, value in each.items()} for each in content["past"]]


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise EvaluationError(f"checkpoint {path}: expected the state of a search, found no file; start anew")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # no code of the file runs: whatever is raised says that it is damaged
        reason = " ".join(str(error).split())[:200]
        raise EvaluationError(f"checkpoint {path}: cannot read it: {reason}; start anew") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT or not set(content) >= _NEEDED:
        raise EvaluationError(
            f"checkpoint {path}: expected the state of a search, format {_FORMAT}; start anew"
        )
    return content


def _check(path: str | Path, content: dict[str, Any], state: OneShot, settings: OneShotSettings) -> None:
    try:
        (name, fingerprint), saved = content["space"], dict(content["identity"])
    except (TypeError, ValueError):
        raise EvaluationError(f"checkpoint {path}: expected the state of a search; start anew") from None
    own = state.space.fingerprint()
    if fingerprint != own:
        raise EvaluationError(
            f"checkpoint {path}: expected a search of {state.space.name} ({own}), got one of {name} "
            f"({fingerprint}); start anew"
        )
    current = _identity(state, settings)
    for setting in {**current, **saved}:
        if current.get(setting) != saved.get(setting):
            raise EvaluationError(
                f"checkpoint {path}: expected {setting} = {current.get(setting)}, got {saved.get(setting)}; "
                f"a search is continued with the settings and the images it began with"
            )


def _identity(state: OneShot, settings: OneShotSettings) -> dict[str, Any]:
    """What must be the same to continue, by name."""
    images = {"images": sum(map(len, state.halves)), "shape": list(state.shape), "classes": state.classes}
    images["contents"] = list(state.contents)
    return {**asdict(settings), "seed": state.seed, **images}
