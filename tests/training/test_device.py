from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from nas.errors import EvaluationError
from nas.training import Dataset, derived_seed, forked_seed, resident, resolve
from nas.training import device as device_module

CPU = torch.device("cpu")


def test_resolve_names_the_devices_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve("auto") == resolve("cpu") == CPU
    for name in ("cuda", "cuda:1"):
        with pytest.raises(
            EvaluationError,
            match=f'^device "{name}": expected a CUDA device .*, got 0 of them; set evaluator.device',
        ):
            resolve(name)


def test_resident_moves_data_once_and_forgets_the_oldest(
    stripes: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_module, "_RESIDENT", {})
    first = resident(stripes, "a", CPU)
    assert resident(dataclasses.replace(stripes), "a", CPU) is first
    second = resident(stripes, "b", CPU)
    assert resident(stripes, "a", CPU) is first
    third = resident(stripes, "c", CPU)
    assert resident(stripes, "b", CPU) is second
    assert resident(stripes, "c", CPU) is third
    assert resident(stripes, "a", CPU) is not first


def test_resident_copies_the_read_only_arrays_split_by_split(stripes: Dataset) -> None:
    data = resident(stripes, stripes.digest(), CPU)
    assert not stripes.images.flags.writeable
    for part, positions in zip(
        (data.train, data.validation, data.test),
        (stripes.train, stripes.validation, stripes.test),
        strict=True,
    ):
        assert np.array_equal(part.images.numpy(), stripes.images[positions])
        assert np.array_equal(part.labels.numpy(), stripes.labels[positions])
    normalized = data.normalized(data.train.images)
    assert normalized.mean((0, 2, 3)).tolist() == pytest.approx([0, 0], abs=1e-5)
    assert normalized.std((0, 2, 3), unbiased=False).tolist() == pytest.approx([1, 1], abs=1e-5)


def test_forked_seed_repeats_and_restores() -> None:
    before = torch.get_rng_state()
    with forked_seed(3, CPU):
        first = torch.rand(2)
    with forked_seed(3, CPU):
        assert torch.equal(torch.rand(2), first)
    assert torch.equal(torch.get_rng_state(), before)


def test_derived_seeds_differ_by_seed_and_key_and_fit_in_63_bits() -> None:
    seeds = [
        derived_seed(seed, *key) for seed in (0, 1, 2**100) for key in ((), (0,), (0, 0), (0, 1), (1, 0))
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derived_seed(0, 1) == derived_seed(0, 1)
