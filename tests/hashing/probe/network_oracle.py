"""Whether two networks compute the same, judged on compiled networks; it shares nothing with the hash.

Modules of one description get equal weights, drawn here, so that no order or name plays a part: equal
networks then give equal outputs. Each module in turn then gets others, it alone: in equal networks the
outputs that change are the same, in some order.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from nas.language import Term
from nas.layers import compile_network

SIDE, EXAMPLES, CLASSES = 32, 3, 10
TOLERANCE = 1e-7  # of the largest number


def same_function(first: Term, second: Term, draws: int = 2) -> bool:
    """Whether nothing of this tells two networks on images of 3 channels apart."""
    return all(_agree(first, second, seed) for seed in range(draws))


@torch.no_grad()
def _agree(first: Term, second: Term, seed: int) -> bool:
    networks = [_compiled(term, seed) for term in (first, second)]
    x = _images(seed)
    a, b = (network(x) for network in networks)
    if not _close(a, b):
        return False
    changed, others = ([y for y in _alone(network, x, seed) if not _close(a, y)] for network in networks)
    if len(changed) != len(others):
        return False
    for y in changed:
        match = next((i for i, z in enumerate(others) if _close(y, z)), None)
        if match is None:
            return False
        del others[match]
    return True


def _compiled(term: Term, seed: int) -> nn.Module:
    network = compile_network(term, (3, SIDE, SIDE), CLASSES).to(torch.float64).train()
    for module in _owners(network):
        _draw(module, seed)
    return network


def _owners(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if list(module.parameters(recurse=False))]


def _alone(network: nn.Module, x: torch.Tensor, seed: int) -> Iterator[torch.Tensor]:
    for module in _owners(network):
        _draw(module, seed + 1000)
        yield network(x)
        _draw(module, seed)


def _draw(module: nn.Module, seed: int) -> None:
    """By its description alone; scales of normalisation from 1 to 5."""
    rng = np.random.default_rng([seed, zlib.crc32(repr(module).encode())])
    for name, parameter in module.named_parameters(recurse=False):
        if name == "weight" and parameter.dim() == 1:
            drawn = rng.uniform(1.0, 5.0, tuple(parameter.shape))
        else:
            fan_in = max(1, parameter[0].numel())
            drawn = 2.0 * rng.standard_normal(tuple(parameter.shape)) / fan_in**0.5
        parameter.copy_(torch.from_numpy(drawn))


def _images(seed: int) -> torch.Tensor:
    rng = np.random.default_rng([seed, 1])
    pixels = rng.standard_normal((EXAMPLES, 3, SIDE, SIDE)) + rng.uniform(-2.0, 2.0, (1, 3, 1, 1))
    return torch.from_numpy(pixels * np.array([1.0, 5.0, 20.0])[:, None, None, None])


def _close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and float((a - b).abs().max()) <= TOLERANCE * float(a.abs().max() + 1.0)
