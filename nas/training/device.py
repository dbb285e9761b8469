"""The device of a training, the data that are kept on it, and the seeding of torch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from nas.errors import EvaluationError, refusal
from nas.training.data import Dataset

_KEPT = 2  # data sets kept on devices by one process
_RESIDENT: dict[tuple[str, str, bool], DeviceData] = {}  # digest, device, augmentable; the oldest first


class Split(NamedTuple):
    """Images (N, C, H, W) uint8 and labels (N,) int64 on the device."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True, slots=True)
class DeviceData:
    """A data set on its device; `mean` and `std` have shape (1, C, 1, 1), `extra` is a second test set.

    `augmentable` as in `nas.training.data.Dataset`.
    """

    train: Split
    validation: Split
    test: Split
    mean: Tensor
    std: Tensor
    extra: Split | None = None
    augmentable: bool = False

    @property
    def device(self) -> torch.device:
        return self.mean.device

    def normalized(self, images: Tensor) -> Tensor:
        """Raw pixels as float32 of mean 0 and standard deviation 1 in every channel, channels last."""
        return ((images.float() - self.mean) / self.std).contiguous(memory_format=torch.channels_last)


def resolve(device: str) -> torch.device:
    """The device of that name; "auto" is the GPU if there is one.

    Raises:
        EvaluationError: there is no CUDA device, or none of that number.
    """
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        device = "cuda" if available else "cpu"
    if device == "cpu":
        return torch.device("cpu")
    index = torch.device(device).index
    if (index or 0) >= available:
        expected, got = "a CUDA device that this process sees", f"{available} of them"
        remedy = "set evaluator.device to cpu or auto"
        raise EvaluationError(refusal(f'device "{device}"', expected, got, remedy))
    return torch.device("cuda", torch.cuda.current_device() if index is None else index)


def surroundings(device: torch.device) -> dict[str, Any]:
    """Facts for the info of an evaluation on which, besides the seed, its last digits depend.

    `device`; `threads` of torch within an operation, which change the order of sums; `hardware`, the vector
    instructions of the CPU that torch uses, or the GPU's name.
    """
    on_cpu = device.type == "cpu"
    hardware = torch.backends.cpu.get_cpu_capability() if on_cpu else torch.cuda.get_device_name(device)
    return {"device": str(device), "threads": torch.get_num_threads(), "hardware": hardware}


def resident(dataset: Dataset, digest: str, device: torch.device) -> DeviceData:
    """The data on the device, moved there once per process, however often the data set is unpickled."""
    key = (digest, str(device), dataset.augmentable)
    if key not in _RESIDENT:
        while len(_RESIDENT) >= _KEPT:
            del _RESIDENT[next(iter(_RESIDENT))]
        _RESIDENT[key] = _moved(dataset, device)
    return _RESIDENT[key]


def _moved(dataset: Dataset, device: torch.device) -> DeviceData:
    import torch._dynamo  # torch.optim imports it at its first use, which would count for the first trial

    def moved(images: np.ndarray, labels: np.ndarray) -> Split:
        return Split(torch.from_numpy(images).to(device), torch.from_numpy(labels).to(device))

    def split(positions: np.ndarray) -> Split:
        # indexing copies: arrays from Ray's store are read-only, about which torch warns
        return moved(dataset.images[positions], dataset.labels[positions])

    def per_channel(values: tuple[float, ...]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=device)[None, :, None, None]

    splits = (split(dataset.train), split(dataset.validation), split(dataset.test))
    extra = None if dataset.extra is None else moved(*(array.copy() for array in dataset.extra))
    return DeviceData(
        *splits, per_channel(dataset.mean), per_channel(dataset.std), extra, dataset.augmentable
    )


@contextlib.contextmanager
def forked_seed(seed: int, device: torch.device) -> Iterator[None]:
    """Within, torch's global generators are seeded; they are restored afterwards."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        seed_global(seed, device)
        yield


def seed_global(seed: int, device: torch.device) -> None:
    """Seeds torch's generators of the CPU and of this device only; to be used inside `forked_seed`."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index].manual_seed(seed)


def derived_seed(seed: int, *key: int) -> int:
    """A seed of 63 bits for one part of a training, e.g. one epoch."""
    return int(np.random.SeedSequence(seed, spawn_key=key).generate_state(1, np.uint64)[0] >> 1)
