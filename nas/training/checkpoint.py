"""Files a training leaves: its weights (safetensors) and, while epochs are left, what goes on from there.

Both are written beside their place and moved there in one step. The state is a dictionary of tensors,
numbers and texts, read by `torch.load(weights_only=True)`, which runs no code from the file.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_model
from torch import nn

from nas.callables import renamed
from nas.errors import EvaluationError, one_line
from nas.layers import TrainSettings
from nas.training.schedules import Plateau
from nas.training.train import Training

_FORMAT = 1
_NO_FACTS: Mapping[str, str] = MappingProxyType({})
_SAVED = {  # what a state holds, with its types
    "identity": str,
    "facts": dict,
    "settings": dict,
    "seed": int,
    "epoch": int,
    "plateau": dict,
    "curve": list,
    "network": dict,
    "optimizer": dict,
    "best": dict | None,
    "auxiliary": dict | None,
}


def checkpoint_files(path: str | Path) -> tuple[Path, Path]:
    """The weights at `path` and the state to continue from beside them; either may not exist."""
    weights = Path(path)
    return weights, weights.with_name(weights.name + ".state")


def save_weights(path: str, network: nn.Module, metadata: Mapping[str, str]) -> None:
    """Writes weights and buffers, with these texts in the head of the file.

    Raises:
        EvaluationError: the place cannot be written.
    """
    write_whole(checkpoint_files(path)[0], lambda part: save_model(network, part, dict(metadata)))


def save_state(
    path: str,
    training: Training,
    settings: TrainSettings,
    identity: str,
    facts: Mapping[str, str] = _NO_FACTS,
) -> None:
    """Writes what `restore` needs, beside the weights at `path`.

    Args:
        path: of the weights.
        training: its weights must be those of its last epoch.
        settings: of the training.
        identity: digest of what is trained.
        facts: of the images and of what builds the network (`nas.training.trial.facts_of`).

    Raises:
        EvaluationError: the place cannot be written.
    """
    state = {
        "format": _FORMAT,
        "identity": identity,
        "facts": dict(facts),
        "settings": asdict(settings),
        "seed": training.seed,
        "epoch": training.epoch,
        "plateau": asdict(training.plateau),
        "curve": training.curve,
        "network": training.network.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "best": training.best,
        "auxiliary": training.auxiliary and training.auxiliary.head.state_dict(),
    }
    write_whole(checkpoint_files(path)[1], lambda part: torch.save(state, part))


def load_state(path: str) -> dict[str, Any]:
    """The state beside the weights at `path`, on the CPU.

    Raises:
        EvaluationError: no such file, or not one that `save_state` wrote.
    """
    file = checkpoint_files(path)[1]
    if not file.is_file():
        raise EvaluationError(
            f"checkpoint {path}: expected {file.name} beside it to continue from, found none; "
            f"it is left only by a training that has epochs left"
        )
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # no code of the file runs: whatever is raised says that it is damaged
        reason = " ".join(str(error).split())[:200]
        raise EvaluationError(f"checkpoint {file}: cannot read it: {reason}; train from the start") from error
    complete = isinstance(state, dict) and all(
        name in state and isinstance(state[name], kind) for name, kind in _SAVED.items()
    )
    if not complete or state.get("format") != _FORMAT:
        raise EvaluationError(
            f"checkpoint {file}: expected a state of format {_FORMAT}; train from the start"
        )
    return state


def check_state(
    path: str,
    state: Mapping[str, Any],
    settings: TrainSettings,
    identity: str,
    facts: Mapping[str, str] = _NO_FACTS,
) -> None:
    """Raises EvaluationError if the state is of another architecture, other images or other settings."""
    if state["identity"] != identity:
        raise EvaluationError(
            f"checkpoint {path}: expected a training of {identity[:12]}, got one of {state['identity'][:12]}"
        )
    saved = renamed(state.get("facts", _NO_FACTS))
    for name in {**saved, **facts}:
        if saved.get(name) != facts.get(name):
            own, other = (one_line(each.get(name), 100) for each in (facts, saved))
            raise EvaluationError(
                f"checkpoint {path}: expected {name} = {own}, got {other}; a training is continued on the "
                "images it began with"
            )
    current = asdict(settings)
    for name, value in state["settings"].items():
        if current.get(name) != value:
            raise EvaluationError(
                f"checkpoint {path}: expected {name} = {current.get(name)}, got {value}; "
                f"a training is continued with the settings it began with"
            )


def restore(training: Training, state: Mapping[str, Any]) -> None:
    """Puts a fresh training of the same network where the saved one stopped."""
    training.network.load_state_dict(state["network"])
    training.optimizer.load_state_dict(state["optimizer"])
    training.seed = state["seed"]
    training.epoch = state["epoch"]
    training.plateau = Plateau(**state["plateau"])
    training.curve = list(state["curve"])
    training.best = state["best"]
    if training.auxiliary is not None:
        training.auxiliary.head.load_state_dict(state["auxiliary"])


def write_whole(file: Path, write: Callable[[str], None]) -> None:
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write(str(part))
        os.replace(part, file)
    except (OSError, RuntimeError, SafetensorError) as error:  # a full disk is a RuntimeError to torch
        reason = " ".join(str(error).split())[:200]
        raise EvaluationError(
            f"cannot write {file}: {reason}; check the folder and its free space"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
