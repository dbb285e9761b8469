"""The published DARTS search step on the plain supernet, with the published hyper-parameters.

Liu, Simonyan and Yang 2019 (https://arxiv.org/abs/1806.09055), algorithm 1 and equations 5 to 8, in the
structure of the authors' code: a second-order step builds a second network that holds the weights after one
step, and a central difference of gradients replaces the matrix of second derivatives. The learning rate of
the weights stays what it is at the start of a search; a schedule is its user's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.benchmarks.darts_baseline import KINDS, OPERATIONS, Shape, Supernet

Batch = tuple[Tensor, Tensor]  # images (n, 3, h, w), labels (n,)


@dataclass(frozen=True, slots=True)
class Settings:
    """Hyper-parameters of the search, as published."""

    rate: float = 0.025
    momentum: float = 0.9
    decay: float = 3e-4
    clip: float = 5.0
    alpha_rate: float = 3e-4
    alpha_betas: tuple[float, float] = (0.5, 0.999)
    alpha_decay: float = 1e-3
    alpha_scale: float = 1e-3  # standard deviation of the initial architecture weights
    radius: float = 0.01  # the perturbation's length, in the central difference


class BaselineSearch:
    """Architecture step and weight step, first or second order."""

    def __init__(
        self,
        shape: Shape,
        *,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        settings: Settings | None = None,
    ) -> None:
        self.shape = shape
        self.settings = settings = settings or Settings()
        self.network, self.alphas = _fresh(shape, seed, settings.alpha_scale)
        self.network.to(device=device, dtype=dtype)
        self.alphas = {
            kind: alpha.to(device=device, dtype=dtype).requires_grad_() for kind, alpha in self.alphas.items()
        }
        self.optimizer = torch.optim.SGD(
            self.network.parameters(), settings.rate, settings.momentum, weight_decay=settings.decay
        )
        self.alpha_optimizer = torch.optim.Adam(
            self.alphas.values(),
            settings.alpha_rate,
            betas=settings.alpha_betas,
            weight_decay=settings.alpha_decay,
        )

    def parameters(self) -> dict[str, Tensor]:
        """Weights by the names of `darts_baseline`."""
        return dict(self.network.named_parameters())

    def load(self, weights: Mapping[str, Tensor], alphas: Mapping[str, Tensor]) -> None:
        """Takes weights, by name and none missing, and architecture weights over."""
        own = self.parameters()
        if own.keys() != weights.keys():
            raise ValueError(f"names of weights differ: {sorted(own.keys() ^ weights.keys())[:3]}")
        with torch.no_grad():
            for name, value in weights.items():
                own[name].copy_(value)
            for kind in KINDS:
                self.alphas[kind].copy_(alphas[kind])

    def step(self, train: Batch, valid: Batch, second_order: bool = False) -> float:
        """One architecture step and one weight step; returns the training loss before the weight step."""
        self.architecture_step(train, valid, second_order)
        return self.weight_step(train)

    def architecture_step(self, train: Batch, valid: Batch, second_order: bool) -> None:
        self.alpha_optimizer.zero_grad()
        if second_order:
            self.second_order_gradient(train, valid)
        else:
            self._loss(valid).backward()  # reaches the weights as well, as in the authors' code
        self.alpha_optimizer.step()

    def weight_step(self, train: Batch) -> float:
        self.optimizer.zero_grad()
        loss = self._loss(train)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.settings.clip)
        self.optimizer.step()
        return float(loss.detach())

    def second_order_gradient(self, train: Batch, valid: Batch) -> None:
        """Sets the gradients of the architecture weights, by equations 7 and 8."""
        twin, alphas = self._unrolled(train)
        loss = functional.cross_entropy(twin(valid[0], alphas), valid[1])
        loss.backward()
        direction = [_gradient(parameter) for parameter in twin.parameters()]
        implicit = self._second_derivatives_times(direction, train)
        for kind, product in zip(KINDS, implicit, strict=True):
            self.alphas[kind].grad = _gradient(alphas[kind]) - self.settings.rate * product

    def _unrolled(self, train: Batch) -> tuple[Supernet, dict[str, Tensor]]:
        """A network after one unclipped step of the weights, and copies of the architecture weights."""
        parameters = list(self.network.parameters())
        gradients = torch.autograd.grad(self._loss(train), parameters)
        state = self.network.state_dict()
        for (name, weight), gradient in zip(self.network.named_parameters(), gradients, strict=True):
            buffer = self.optimizer.state[weight].get("momentum_buffer")
            moment = torch.zeros_like(weight) if buffer is None else self.settings.momentum * buffer
            update = moment + gradient + self.settings.decay * weight.detach()
            state[name] = weight.detach() - self.settings.rate * update
        twin = Supernet(self.shape).to(parameters[0])
        twin.load_state_dict(state)
        return twin, {kind: alpha.detach().clone().requires_grad_() for kind, alpha in self.alphas.items()}

    def _second_derivatives_times(self, direction: Sequence[Tensor], train: Batch) -> list[Tensor]:
        """d2 loss / (d alphas d weights) times `direction`, by a central difference."""
        length = torch.cat([part.flatten() for part in direction]).norm()
        radius = float(self.settings.radius / length)
        above = self._alpha_gradients_at(direction, radius, train)
        below = self._alpha_gradients_at(direction, -2 * radius, train)
        self._move(direction, radius)
        return [(a - b) / (2 * radius) for a, b in zip(above, below, strict=True)]

    def _alpha_gradients_at(self, direction: Sequence[Tensor], scale: float, train: Batch) -> list[Tensor]:
        self._move(direction, scale)
        alphas = [self.alphas[kind] for kind in KINDS]  # zeros for a kind of cell that a small net has not
        return list(torch.autograd.grad(self._loss(train), alphas, allow_unused=True, materialize_grads=True))

    @torch.no_grad()
    def _move(self, direction: Sequence[Tensor], scale: float) -> None:
        for parameter, part in zip(self.network.parameters(), direction, strict=True):
            parameter.add_(part, alpha=scale)

    def _loss(self, batch: Batch) -> Tensor:
        return functional.cross_entropy(self.network(batch[0], self.alphas), batch[1])


def _fresh(shape: Shape, seed: int, scale: float) -> tuple[Supernet, dict[str, Tensor]]:
    """A network with torch's default weights and architecture weights near zero, from a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Supernet(shape)
        rows = len(shape.edges)
        return network, {kind: scale * torch.randn(rows, len(OPERATIONS)) for kind in KINDS}


def _gradient(tensor: Tensor) -> Tensor:
    """A gradient that is expected to be there; zeros where nothing depends on the tensor."""
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
