"""Cells by brute force: evaluated with numbers, under all ways to hand out weights; no algebra.

Written for the tests from the definition of the cell's operations, in numpy; it shares nothing with the
platform's layers but the reader of cells.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np

from nas.hashing.audit.isomorphism import Cell, OperationEdge

CHANNELS, BATCH, SIDE, POOL = 3, 2, 4, 6
SAME = 1e-9  # outputs nearer than this are equal; rounding errors are about 1e-13


class Weights:
    """So many weights to hand out to convolutions: both kernels, scale and shift of the normalisation.

    Args:
        seed: of the draw.
        shifts: whether shifts are learnt, or still 0.
        epsilon: of the normalisation.
    """

    def __init__(self, seed: int, *, shifts: bool = False, epsilon: float = 0.1, count: int = POOL) -> None:
        rng = np.random.default_rng(seed)
        self.epsilon = epsilon
        self.kernels = {
            1: rng.normal(size=(count, 1, 1, CHANNELS, CHANNELS)),
            3: rng.normal(size=(count, 3, 3, CHANNELS, CHANNELS)) / 2,
        }
        self.scale = rng.uniform(0.5, 1.5, (count, CHANNELS))
        self.shift = rng.normal(size=(count, CHANNELS)) * shifts
        self.shift[:, 0] = np.abs(self.shift[:, 0])  # the ReLU leaves something of each sum of shifts
        self.x = rng.normal(size=(CHANNELS, BATCH, SIDE, SIDE))
        self.direction = rng.normal(size=self.x.size)


def convolutions(cell: Cell) -> list[int]:
    """Numbers of the edges that are convolutions."""
    edges = [edge for node in cell for edge in node]
    return [number for number, edge in enumerate(edges) if edge.operation == "conv"]


def outputs(cell: Cell, weights: Weights, assigned: np.ndarray) -> np.ndarray:
    """The cell's output for each row of `assigned`: which weight each convolution has, edge by edge."""
    ways = len(assigned)
    values = [np.broadcast_to(weights.x, (ways, *weights.x.shape))]
    column = iter(range(assigned.shape[1]))
    for node in cell:
        value = np.zeros_like(values[0])
        for edge in node:
            chosen = assigned[:, next(column)] if edge.operation == "conv" else None
            value = value + _edge(edge, values[edge.source], weights, chosen)
        values.append(value)
    return values[-1]


def fingerprint(cell: Cell, weights: Weights) -> float:
    """The least projection of the output over all ways to hand out the weights; no name decides it."""
    ways = np.array(list(permutations(range(POOL), len(convolutions(cell)))), int)
    found = outputs(cell, weights, ways.reshape(len(ways), -1))
    return float((found.reshape(len(ways), -1) @ weights.direction).min())


def _edge(edge: OperationEdge, x: np.ndarray, weights: Weights, chosen: np.ndarray | None) -> np.ndarray:
    if edge.operation == "none":
        return np.zeros_like(x)
    if edge.operation == "skip":
        return x
    if edge.operation == "pool":
        ones = np.ones((1, *x.shape[1:]))
        return _window_sums(x) / _window_sums(ones)
    assert chosen is not None
    return _relu_conv_norm(x, edge.kernel, weights, chosen)


def _window_sums(x: np.ndarray) -> np.ndarray:
    padded = np.pad(x, [(0, 0)] * 3 + [(1, 1), (1, 1)])
    return sum(padded[..., i : i + SIDE, j : j + SIDE] for i in range(3) for j in range(3))


def _relu_conv_norm(x: np.ndarray, kernel: int, weights: Weights, chosen: np.ndarray) -> np.ndarray:
    half = kernel // 2
    padded = np.pad(np.maximum(x, 0), [(0, 0)] * 3 + [(half, half), (half, half)])
    total = np.zeros((*x.shape[:2], BATCH * SIDE * SIDE))
    for i in range(kernel):
        for j in range(kernel):
            window = np.ascontiguousarray(padded[..., i : i + SIDE, j : j + SIDE])
            total += weights.kernels[kernel][chosen, i, j] @ window.reshape(total.shape)
    centred = total - total.mean(axis=2, keepdims=True)
    variance = (centred**2).mean(axis=2, keepdims=True)
    nothing = variance < 1e-18  # a constant map, whose deviations are rounding errors
    normal = np.where(nothing, 0.0, centred / np.sqrt(np.where(nothing, 1.0, variance + weights.epsilon)))
    shifted = normal * weights.scale[chosen][..., None] + weights.shift[chosen][..., None]
    return shifted.reshape(x.shape)
