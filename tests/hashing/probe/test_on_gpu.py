"""Digests on a GPU are those on the CPU: both compute in float64 and round far above their errors."""

import numpy as np
import pytest
import torch

from nas.hashing.probe.probe import NetworkProbe
from nas.search_spaces import SPACES
from nas.space import sample

COUNTS = {"nasbench201": 400, "darts": 12, "macro": 25, "deepconv": 12}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", sorted(COUNTS))
def test_digests_on_a_gpu_are_those_on_the_cpu(name):
    space, rng = SPACES.get(name)(), np.random.default_rng(0)
    architectures = [sample(space, rng) for _ in range(COUNTS[name])]
    on_cpu, on_gpu = NetworkProbe(bits=24), NetworkProbe(bits=24, device="cuda")
    for each in architectures:
        network, vocabulary = each.network, each.vocabulary
        assert on_gpu.digest(network, vocabulary) == on_cpu.digest(network, vocabulary)
