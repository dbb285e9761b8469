"""One training as the evaluation of a task: seeds, time limit, checkpoints, results.

It leaves its weights (safetensors) and, while epochs are left, the state to continue from. Both are written
atomically. The state is a dictionary of tensors, numbers and texts, read by `torch.load(weights_only=True)`,
which runs no code from the file.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_model
from torch import nn

from nas.callables import renamed
from nas.errors import EvaluationError, describe_error, one_line, refusal
from nas.evaluation import Evaluation, Fidelity, Status, Task, failure_of
from nas.layers import TrainSettings
from nas.training.device import DeviceData, derived_seed, forked_seed, surroundings
from nas.training.image_evaluator import EXTRA, MEASURED, TEST
from nas.training.schedules import Plateau
from nas.training.train import MakeOptimizer, Stopped, Training, measure, reported_row, start, train

if TYPE_CHECKING:
    from nas.training.data import Dataset


_FORMAT = 1
_NO_FACTS: Mapping[str, str] = MappingProxyType({})
_SAVED = {  # entries of a state, with their types
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
    """Writes weights and buffers with these metadata; raises EvaluationError if that fails."""
    write_file(checkpoint_files(path)[0], lambda part: save_model(network, part, dict(metadata)))


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
        EvaluationError: the file cannot be written.
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
    write_file(checkpoint_files(path)[1], lambda part: torch.save(state, part))


def load_state(path: str) -> dict[str, Any]:
    """The state beside the weights at `path`, on the CPU.

    Raises:
        EvaluationError: no such file, or not one that `save_state` wrote.
    """
    file = checkpoint_files(path)[1]
    if not file.is_file():
        expected = f"{file.name} beside it, which a training leaves while it has epochs left"
        raise EvaluationError(refusal(f"checkpoint {path}", expected, "none", "train from the start"))
    where, expected, remedy = f"checkpoint {file}", f"a state of format {_FORMAT}", "train from the start"
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # no code of the file runs: whatever is raised says that it is damaged
        got = f"a file that cannot be read ({describe_error(error, 200)})"
        raise EvaluationError(refusal(where, expected, got, remedy)) from error
    complete = isinstance(state, dict) and all(
        name in state and isinstance(state[name], kind) for name, kind in _SAVED.items()
    )
    if not complete or state.get("format") != _FORMAT:
        raise EvaluationError(refusal(where, expected, "another content", remedy))
    return state


def check_state(
    path: str,
    state: Mapping[str, Any],
    settings: TrainSettings,
    identity: str,
    facts: Mapping[str, str] = _NO_FACTS,
) -> None:
    """Raises EvaluationError if the state is of another architecture, other images or other settings."""
    where = f"checkpoint {path}"
    if state["identity"] != identity:
        expected, got = f"a training of {identity[:12]}", f"one of {state['identity'][:12]}"
        raise EvaluationError(refusal(where, expected, got, "train from the start"))
    saved = renamed(state.get("facts", _NO_FACTS))
    for name in {**saved, **facts}:
        if saved.get(name) != facts.get(name):
            own, other = (one_line(each.get(name), 100) for each in (facts, saved))
            remedy = "continue a training on the images it began with"
            raise EvaluationError(refusal(where, f"{name} = {own}", other, remedy))
    current = asdict(settings)
    for name, value in state["settings"].items():
        if current.get(name) != value:
            remedy = "continue a training with the settings it began with"
            raise EvaluationError(refusal(where, f"{name} = {current.get(name)}", value, remedy))


def restore(training: Training, state: Mapping[str, Any]) -> None:
    """Continues a fresh training of the same network where the saved one stopped."""
    training.network.load_state_dict(state["network"])
    training.optimizer.load_state_dict(state["optimizer"])
    training.seed = state["seed"]
    training.epoch = state["epoch"]
    training.plateau = Plateau(**state["plateau"])
    training.curve = list(state["curve"])
    training.best = state["best"]
    if training.auxiliary is not None:
        training.auxiliary.head.load_state_dict(state["auxiliary"])


def write_file(file: Path, write: Callable[[str], None]) -> None:
    """Writes a file atomically; `write` gets a path beside it. Raises EvaluationError if that fails."""
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write(str(part))
        os.replace(part, file)
    except (OSError, RuntimeError, SafetensorError) as error:  # a full disk is a RuntimeError to torch
        got, remedy = one_line(error, 200), "check the folder and its free space"
        raise EvaluationError(refusal(f"{file}", "a file that can be written", got, remedy)) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Recipe:
    """The network, optimizer and settings of a trial.

    Attributes:
        settings: of the training.
        build: seed -> network, for images of the data's shape.
        make_optimizer: parameters and settings -> optimizer.
        facts: metadata of the file of weights (`nas.training.trial.facts_of`).
    """

    settings: TrainSettings
    build: Callable[[int], nn.Module]
    make_optimizer: MakeOptimizer
    facts: Mapping[str, str]


def run_trial(task: Task, data: DeviceData, recipe: Recipe, *, epochs: int, started: float) -> Evaluation:
    """Trains for the task until `epochs` epochs are done, then measures the test images once.

    A continued training keeps the seed of its first part, so that it equals an uninterrupted one.

    Args:
        task: to be evaluated.
        data: on the device.
        recipe: of the training.
        epochs: after which to stop, including those of a checkpoint.
        started: when the evaluation began, on `time.perf_counter`.

    Raises:
        EvaluationError: a checkpoint that cannot be read, written or used.
    """
    state, missing = _earlier(task, recipe)
    deadline = math.inf if task.time_limit is None else started + task.time_limit
    training = None
    with forked_seed(derived_seed(task.seed), data.device):
        try:
            network = recipe.build(derived_seed(task.seed))
            training = start(network, data, recipe.settings, task.seed, recipe.make_optimizer)
            if state is not None:
                restore(training, state)
            begun = training.epoch
            train(training, data, recipe.settings, epochs=epochs, deadline=deadline)
            evaluation = _completed(task, data, recipe, training, started)
            if task.done is None:
                return evaluation
            continued = {"continued_from": begun, **({"from_the_start": missing} if missing else {})}
            return replace(evaluation, info={**evaluation.info, **continued})
        except Stopped as stop:
            curve = tuple(training.curve) if training else ()
            return Evaluation(stop.status, {}, time.perf_counter() - started, str(stop), curve)
        except EvaluationError:
            raise  # a checkpoint that cannot be written
        except Exception as error:  # the candidate's code runs here: its exceptions are results
            if data.device.type == "cuda":  # it may have taken all memory, which others on this GPU need
                torch.cuda.empty_cache()
            return failure_of(error, time.perf_counter() - started)


def _earlier(task: Task, recipe: Recipe) -> tuple[dict[str, Any] | None, str | None]:
    """The state to continue from, if any, or why there is none although there should be.

    Raises:
        EvaluationError: it cannot be used, and the task does not say what was done.
    """
    if not task.checkpoint:
        return None, "no state was kept"
    try:
        state = load_state(task.checkpoint)
        identity = (task.architecture.digest(), recipe.facts)
        check_state(task.checkpoint, state, recipe.settings, *identity)
    except EvaluationError as error:
        if task.done is None:
            raise
        return None, str(error)  # such as on a worker without the study's folder
    return state, None


def _completed(
    task: Task, data: DeviceData, recipe: Recipe, training: Training, started: float
) -> Evaluation:
    settings = recipe.settings
    if task.save_to and training.epoch < settings.epochs:
        save_state(task.save_to, training, settings, task.architecture.digest(), recipe.facts)
    row = reported_row(training, settings)
    test_accuracy, _ = measure(training.network, data, data.test)
    values = {name: row[name] for name in MEASURED}
    values[TEST.name] = test_accuracy
    if data.extra is not None:
        values[EXTRA] = measure(training.network, data, data.extra)[0]
    if task.save_to:
        measured = {name: f"{value:.6g}" for name, value in values.items()}
        named = {"architecture": task.architecture.text, "space": one_line(task.architecture.space)}
        save_weights(task.save_to, training.network, {**named, **recipe.facts, **measured})
    plateau = training.plateau
    info = {
        "parameters": sum(parameter.numel() for parameter in training.network.parameters()),
        "epochs": training.epoch,
        "best_epoch": plateau.best_epoch,
        "best_validation_accuracy": plateau.best,
        "last_validation_accuracy": training.curve[-1]["validation_accuracy"],
        **surroundings(data.device),
    }
    seconds, curve = time.perf_counter() - started, tuple(training.curve)
    return Evaluation(Status.COMPLETED, values, seconds, curve=curve, info=info, checkpoint=task.save_to)


def facts_of(dataset: Dataset, built_by: str, **options: Any) -> dict[str, str]:
    """Metadata of a file of weights besides the architecture and its results; JSON except for texts.

    Args:
        dataset: on which the network is trained.
        built_by: name of the function that builds the network, e.g. "compile_network".
        options: of that function, JSON values.
    """
    return {
        "dataset": one_line(dataset.name),
        "input_shape": json.dumps(dataset.input_shape),
        "num_classes": json.dumps(dataset.classes),
        "class_names": json.dumps(dataset.class_names),
        "pixel_range": json.dumps(dataset.pixel_range),
        "mean": json.dumps(dataset.mean),
        "std": json.dumps(dataset.std),
        "built_by": one_line(built_by),
        "options": json.dumps(options),
    }


def requested_epochs(fidelity: Fidelity | None, full: int) -> int:
    """The epochs of a fidelity; `full` without one.

    Raises:
        EvaluationError: a fidelity of another name, or out of 1..full.
    """
    if fidelity is None:
        return full
    epochs = round(fidelity.value)
    if fidelity.name != "epochs" or not 1 <= epochs <= full:
        got, remedy = f'"{fidelity.name}" of {fidelity.value}', "give a number of epochs in that range"
        raise EvaluationError(refusal("fidelity", f'"epochs" from 1 to {full}', got, remedy))
    return epochs


def check_batch_of_one(forward: Callable[[], object]) -> None:
    """Raises EvaluationError if a training step on a single image is impossible.

    Args:
        forward: such a step of a network in training mode, on the meta device.
    """
    try:
        forward()
    except ValueError as error:  # torch's normalisation of a single value in each channel
        expected = "2 images or more, as a normalisation of the network sees one value in each"
        remedy = "raise batch_size or give more training images"
        raise EvaluationError(refusal("batch", expected, "1", remedy)) from error
