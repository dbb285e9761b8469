"""Plain callables for the tests of hashers: a space of losses, and callables that cannot be hashed."""

from __future__ import annotations

import itertools

import numpy as np
import torch

from nas.language import Primitive, Vocabulary, parse
from nas.space import Architecture

WORDS = (
    "square",
    "absolute",
    "by_parts",
    "logistic",
    "mean",
    "sum",
    "noisy",
    "counting",
    "failing",
    "text",
    "nothing",
)
LOSSES = Vocabulary("losses", tuple(Primitive(word, arity=(0, 1), kind="loss") for word in WORDS))
_calls = itertools.count()


def loss(text: str) -> Architecture:
    return Architecture("losses", LOSSES, (), parse(text))


def compile_loss(architecture):
    """`(prediction, target) -> loss` of names such as mean(square())."""
    return FUNCTIONS[architecture.text]


def _counting(x, y):
    return (x - y).sum() + next(_calls)


def _writing(x, y):
    x += 1.0  # what it was given
    return x * y


FUNCTIONS = {
    "mean(square())": lambda x, y: ((x - y) ** 2).mean(),
    "mean(by_parts())": lambda x, y: (x * x - 2 * x * y + y * y).mean(),
    "sum(square())": lambda x, y: ((y - x) ** 2).sum(),
    "mean(absolute())": lambda x, y: abs(x - y).mean(),
    "mean(logistic())": lambda x, y: torch.nn.functional.softplus(-x * y).mean(),
    "noisy()": lambda x, y: x + np.random.default_rng().normal(),
    "counting()": _counting,
    "failing()": lambda x, y: 1 / 0,
    "text()": lambda x, y: "a number",
    "nothing()": lambda x, y: [],
    "square()": _writing,
}


def examples(seed: int):
    """Predictions and targets of a small batch."""
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(8, generator=draws, dtype=torch.float64), torch.sign(
        torch.randn(8, generator=draws)
    ).double()
