"""A search on a supernet in progress, and how it begins.

On disk it is a dictionary of tensors, numbers and texts, read by `torch.load(weights_only=True)`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam

from nas.errors import EvaluationError, describe_error, refusal
from nas.space import SearchSpace
from nas.supernet.alphas import Alphas, Weighting, weighting_of
from nas.supernet.layered import relax_grid
from nas.supernet.settings import OneShotSettings
from nas.supernet.supernet import Supernet, relax
from nas.training import DeviceData, derived_seed, write_file


@dataclass(slots=True)
class OneShot:
    """A search in progress: everything that the next epoch depends on, besides data and settings.

    Attributes:
        supernet: on the device of the data.
        alphas: its architecture weights.
        weighting: how they weigh.
        optimizer: of the supernet's weights.
        alpha_optimizer: of the architecture weights.
        seed: of batch order, augmentation, draws of options and drop-path.
        halves: positions among the training images, for the weights and for the alphas.
        shape: (C, H, W) of an image.
        classes: outputs of the networks.
        contents: sums of the training images' pixels and labels, which identify them.
        epoch: epochs done.
        curve: one row of numbers per epoch.
        past: the alphas after the last epochs, the oldest first, for the eigenvalue's rule to return to.
        stopped: why the search ended before its last epoch; None if it did not.
    """

    supernet: Supernet
    alphas: Alphas
    weighting: Weighting
    optimizer: SGD
    alpha_optimizer: Adam
    seed: int
    halves: tuple[Tensor, Tensor]
    shape: tuple[int, ...]
    classes: int
    contents: tuple[int, int] = (0, 0)
    epoch: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)
    past: list[dict[str, Tensor]] = field(default_factory=list)
    stopped: str | None = None

    @property
    def space(self) -> SearchSpace:
        return self.supernet.space


def start(
    space: SearchSpace, data: DeviceData, settings: OneShotSettings, seed: int, *, classes: int | None = None
) -> OneShot:
    """A search before its first epoch.

    Args:
        space: to be relaxed.
        data: on the device.
        settings: of the search.
        seed: of the weights and of everything drawn.
        classes: outputs of the networks; None for as many as the labels have.

    Raises:
        RelaxError: the space has no supernet.
        CompileError: its networks do not fit the images.
    """
    shape = tuple(data.train.images.shape[1:])
    classes = classes or 1 + max(
        int(split.labels.max()) for split in (data.train, data.validation, data.test)
    )
    if settings.grid:
        supernet = relax_grid(space, shape, classes, seed=derived_seed(seed, 0))
    else:
        supernet = relax(space, shape, classes, seed=derived_seed(seed, 0), partial=settings.partial)
    supernet.to(data.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    edges = settings.weighting == "edge_softmax"
    alphas = Alphas(
        supernet.holes, supernet.gates, scale=settings.alpha_init, seed=derived_seed(seed, 1), edges=edges
    ).to(data.device)
    halves = _halves(data, settings, derived_seed(seed, 2))
    sgd, adam = optimizers(supernet, alphas, settings)
    weighting, contents = weighting_of(settings), _contents(data)
    return OneShot(supernet, alphas, weighting, sgd, adam, seed, halves, shape, classes, contents)


def _contents(data: DeviceData) -> tuple[int, int]:
    """Sums of pixels and of labels, each times the position of its image."""
    images, labels = data.train.images, data.train.labels
    places = torch.arange(1, len(labels) + 1, device=labels.device)
    pixels = images.flatten(1).sum(1, dtype=torch.int64)
    return int((pixels * places).sum()), int((labels * places).sum())


def _halves(data: DeviceData, settings: OneShotSettings, seed: int) -> tuple[Tensor, Tensor]:
    """The training images in two parts, neither empty; the same on every device."""
    count = len(data.train.labels)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).to(data.device)
    cut, _ = settings.halves(count)
    return order[:cut], order[cut:]


def optimizers(supernet: Supernet, alphas: Alphas, settings: OneShotSettings) -> tuple[SGD, Adam]:
    """Of the weights and of the architecture weights."""
    momentum, decay = settings.momentum, settings.weight_decay
    sgd = SGD(supernet.parameters(), settings.lr, momentum=momentum, weight_decay=decay, fused=True)
    for weight in supernet.parameters() if momentum else ():
        # a first step from zero equals one without a buffer; fused steps need buffers of all weights or none
        sgd.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
    betas = (settings.alpha_beta1, settings.alpha_beta2)
    rows = [*alphas.parameters()] or [nn.Parameter(torch.empty(0))]  # a space without choices
    return sgd, Adam(rows, settings.alpha_lr, betas=betas, weight_decay=settings.alpha_weight_decay)


def trains_alphas(state: OneShot, settings: OneShotSettings) -> bool:
    """Whether the next epoch does."""
    return state.weighting.trains and state.epoch >= settings.alpha_from


_FORMAT = 1


def save(path: str | Path, state: OneShot, settings: OneShotSettings) -> None:
    """Writes what `load` needs, atomically; raises EvaluationError if the file cannot be written."""
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
    write_file(Path(path), lambda part: torch.save(content, part))


def load(path: str | Path, state: OneShot, settings: OneShotSettings) -> None:
    """Continues a fresh state where the saved one stopped.

    Args:
        path: that `save` wrote.
        state: changed in place.
        settings: of the search.

    Raises:
        EvaluationError: no such file, a damaged one, or a search of another space, of other settings, of
            another seed or on other images.
    """
    where, remedy = f"checkpoint {path}", "remove it and start anew"
    content = _read(Path(path), where, remedy)
    name, fingerprint = content["space"]
    if fingerprint != (own := state.space.fingerprint()):
        expected = f"a search of {state.space.name} ({own})"
        raise EvaluationError(refusal(where, expected, f"one of {name} ({fingerprint})", remedy))
    current, saved = _identity(state, settings), content["identity"]
    for setting in {**current, **saved}:
        if current.get(setting) != saved.get(setting):
            expected, got = f"{setting} = {current.get(setting)}", saved.get(setting)
            remedy = "continue a search with the settings and the images it began with"
            raise EvaluationError(refusal(where, expected, got, remedy))
    try:
        state.supernet.load_state_dict(content["supernet"])
        state.alphas.load_state_dict(content["alphas"])
        state.optimizer.load_state_dict(content["optimizer"])
        state.alpha_optimizer.load_state_dict(content["alpha_optimizer"])
        state.epoch, state.curve, state.stopped = content["epoch"], list(content["curve"]), content["stopped"]
        device = state.halves[0].device
        state.past = [{name: value.to(device) for name, value in each.items()} for each in content["past"]]
    except Exception as error:  # torch raises several kinds for weights of another form
        message = refusal(where, "a state that fits this search", describe_error(error), remedy)
        raise EvaluationError(message) from error


def _read(path: Path, where: str, remedy: str) -> dict[str, Any]:
    expected = f"the state of a search, format {_FORMAT}"
    if not path.is_file():
        raise EvaluationError(refusal(where, expected, "no file", "start anew"))
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # no code of the file runs: whatever is raised says that it is damaged
        message = refusal(
            where, expected, f"a file that cannot be read ({describe_error(error, 200)})", remedy
        )
        raise EvaluationError(message) from error
    if (
        not isinstance(content, dict)
        or content.get("format") != _FORMAT
        or not isinstance(content.get("space"), list)
        or len(content["space"]) != 2
        or not isinstance(content.get("identity"), dict)
    ):
        raise EvaluationError(refusal(where, expected, "another content", remedy))
    return content


def _identity(state: OneShot, settings: OneShotSettings) -> dict[str, Any]:
    """What must be the same to continue, by name."""
    images = {"images": sum(map(len, state.halves)), "shape": list(state.shape), "classes": state.classes}
    images["contents"] = list(state.contents)
    return {**asdict(settings), "seed": state.seed, **images}
