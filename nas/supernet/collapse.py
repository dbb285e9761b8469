"""Signs that a search ends in skips, and rules that stop it before.

Skips in a cell: P-DARTS, Chen et al. 2019 (https://arxiv.org/abs/1904.12760), limits them at discretisation;
DARTS+, Liang et al. 2019 (https://arxiv.org/abs/1909.06035), stops the search when a cell has too many.
Eigenvalue: Zela et al. 2020, "Understanding and Robustifying Differentiable Architecture Search"
(https://arxiv.org/abs/1909.09656), the largest one of the validation loss' Hessian in the architecture
weights, and DARTS-ES' stop by its growth.

Deviations. Both rules on skips (`skip_limit`, `skip_stop`) hold for every cell, not for normal cells alone;
a cell is what one definition names. DARTS+ is not applied in the first fifth of the epochs that train alphas,
whose order is still that of their initial values then, and stops after three epochs with too many skips, as
the order may change again.
The Hessian's products are central differences of gradients, so that operations need no second derivative, and
Lanczos' iteration replaces the full matrix.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from nas.errors import DeadEndError
from nas.supernet.relaxation import Gate, Hole
from nas.supernet.settings import OneShotSettings
from nas.supernet.supernet import chosen_options, heaviest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nas.space import Architecture, SearchSpace

    Floats = NDArray[np.float64]

PATIENCE = 3  # epochs with too many skips after which a search stops
WINDOW = 5  # epochs that an eigenvalue is averaged over, and looked back at
GROWTH = 0.75  # ratio of the earlier mean to the present one under which DARTS-ES stops
_UNWANTED = 1e-200  # factor on the strength of zero: it is less than any other
_WIDTH = 1e-2  # length of the move of the alphas in a central difference
_PRODUCTS = 12  # of the Hessian with a direction, at most
_TOLERANCE = 1e-4  # share of a product that is new, under which nothing more is to be found


def cell_of(hole: Hole) -> str:
    """The definition that contains the hole."""
    found = re.match(r"\w+", hole.label)
    return found.group() if found else hole.label


def taken_skips(
    space: SearchSpace, holes: Sequence[Hole], gates: Sequence[Gate], architecture: Architecture
) -> list[tuple[Hole, int]]:
    """Each hole at which the architecture takes a skip, and which option that is."""
    options = chosen_options(space, holes, gates, architecture)
    decided = {decision.key for decision in architecture.decisions}
    pairs = zip(holes, options, strict=True)
    return [(h, o) for h, o in pairs if o in h.skips and (h.kind == "edge" or h.key in decided)]


def skips_by_cell(found: Sequence[tuple[Hole, int]]) -> Counter[str]:
    """Skips in each cell that has any."""
    return Counter(cell_of(hole) for hole, _ in found)


def limited_choice(
    space: SearchSpace,
    holes: Sequence[Hole],
    gates: Sequence[Gate],
    strengths: Sequence[Floats],
    limit: int | None,
) -> Architecture:
    """The heaviest architecture with at most `limit` skips in a cell; the weakest skips give way.

    A hole takes zero only where it has nothing else: before a normalisation, the weight of zero scales the
    others and changes nothing (Liu et al. 2019, section 2.4). A hole of skips and zeros alone keeps its skip.
    All that stands in no definition is one cell.

    Raises:
        DeadEndError: the constraints of the space refuse the heaviest architectures.
    """
    left = [each.copy() for each in strengths]
    for hole in holes:
        left[hole.number][list(hole.zeros)] *= _UNWANTED
    while True:
        try:
            architecture = heaviest(space, holes, gates, left)
        except DeadEndError:  # of constraints that need zeros: those have their own strength then
            wanted = [each.copy() for each in left]
            for hole in holes:
                wanted[hole.number][list(hole.zeros)] /= _UNWANTED
            architecture = heaviest(space, holes, gates, wanted)
        found = taken_skips(space, holes, gates, architecture)
        counts = skips_by_cell(found)
        over = [
            (left[hole.number][option], hole.number, option)
            for hole, option in found
            if limit is not None and counts[cell_of(hole)] > limit
            if left[hole.number][option] > 0 and len(hole.options) > len({*hole.skips, *hole.zeros})
        ]
        if not over:
            return architecture
        _, number, option = min(over)
        left[number][option] = 0.0


def too_many_skips(curve: Sequence[Mapping[str, float]], settings: OneShotSettings) -> str | None:
    """Why DARTS+ stops after the last epoch of the curve, if it does."""
    limit, latest, begun = settings.skip_stop, curve[-PATIENCE:], settings.alpha_from
    early = 5 * (latest[0]["epoch"] - begun) < settings.epochs - begun
    if limit is None or early or len(latest) < PATIENCE:
        return None
    if not all(row.get("skips", 0) > limit for row in latest):
        return None
    last = latest[-1]
    return f"epoch {last['epoch']:.0f}: a cell has {last['skips']:.0f} skips, more than skip_stop = {limit}"


def eigenvalue_grew(eigenvalues: Sequence[float]) -> str | None:
    """Why DARTS-ES stops after the last of these epochs, if it does."""
    if len(eigenvalues) < 2 * WINDOW:
        return None
    now = float(np.mean(eigenvalues[-WINDOW:]))
    before = float(np.mean(eigenvalues[-2 * WINDOW : -WINDOW]))
    if not (0 < before < GROWTH * now):
        return None
    return f"the dominant eigenvalue grew from {before:.3g} to {now:.3g} within {WINDOW} epochs"


def largest_eigenvalue(
    gradient: Callable[[], list[Tensor]], alphas: Sequence[Tensor], generator: torch.Generator
) -> float:
    """Largest eigenvalue of the Hessian whose gradient is given.

    Args:
        gradient: at the present values of the alphas.
        alphas: are moved and restored.
        generator: of the CPU, for the first direction.
    """
    kept = [alpha.detach().clone() for alpha in alphas]

    @torch.no_grad()
    def move(direction: Tensor, scale: float) -> None:
        parts = direction.split([alpha.numel() for alpha in kept])
        for alpha, origin, part in zip(alphas, kept, parts, strict=True):
            alpha.copy_(origin + scale * part.view_as(origin))

    def slope(direction: Tensor, scale: float) -> Tensor:
        move(direction, scale)
        return torch.cat([each.flatten() for each in gradient()])

    first = torch.randn(sum(alpha.numel() for alpha in kept), generator=generator).to(kept[0])
    try:
        return _lanczos(lambda v: (slope(v, _WIDTH) - slope(v, -_WIDTH)) / (2 * _WIDTH), first)
    finally:
        move(first, 0.0)


def _lanczos(product: Callable[[Tensor], Tensor], vector: Tensor) -> float:
    """Largest Ritz value of the Krylov space of a symmetric product."""
    basis = [vector / vector.norm()]
    images: list[Tensor] = []
    while True:
        images.append(product(basis[-1]))
        left = images[-1]
        for _ in range(2):  # twice is enough to be orthogonal to the last digit
            for each in basis:
                left = left - (each @ left) * each
        if len(basis) == min(_PRODUCTS, len(vector)) or left.norm() <= _TOLERANCE * images[-1].norm():
            projected = torch.stack(basis) @ torch.stack(images).T
            return float(torch.linalg.eigvalsh((projected + projected.T).double().cpu() / 2)[-1])
        basis.append(left / left.norm())
