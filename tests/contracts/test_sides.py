"""Images of any sides and channels either fit a space, or are refused with sides that do fit."""

from __future__ import annotations

import re

import numpy as np
import pytest

from nas.errors import CompileError, NasError
from nas.language import parse
from nas.layers import infer_shape
from nas.search_spaces import SPACES
from nas.space import Architecture, SearchSpace, sample
from nas.supernet import relax
from tests.contracts.test_tracing import SMALL

SIDES = r"sides of (\d+) do not fit: give images with sides of (at least )?([\d, or]+) pixels"
NARROW = {**SMALL, "macro": {"width": 4, "depth": 1}}


@pytest.mark.parametrize("name", NARROW)
def test_every_side_fits_or_is_told_which_sides_do(name: str) -> None:
    space = SPACES.get(name)(**NARROW[name])
    architectures = [sample(space, np.random.default_rng(seed)) for seed in range(2)]
    for side in range(1, 41):
        architecture, channels = architectures[side % 2], 1 + side % 3
        other = side + 4 * (side % 5 == 0)  # some are not square
        message = refusal(architecture, (channels, side, other))
        if message is None:
            continue
        found = re.search(SIDES, message)
        assert found is not None, message
        assert int(found[1]) in (side, other)
        assert message.startswith("root.")
        for fitting in map(int, re.findall(r"\d+", found[3])):
            assert refusal(architecture, (channels, fitting, fitting)) is None


def refusal(architecture: Architecture, shape: tuple[int, int, int]) -> str | None:
    try:
        infer_shape(architecture, shape, 5)
    except CompileError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("text", "shape", "message"),
    [
        (
            "add(conv(stride=2), maxpool()) >> head()",
            (1, 9, 9),
            "sides of 9 do not fit: .* 8, 10 or 12 pixels",
        ),
        ("add(conv(stride=2), maxpool()) >> head()", (1, 8, 5), "sides of 5 do not fit: .* 4, 6 or 8 pixels"),
        (
            "conv(kernel=7, padding='valid') >> head()",
            (3, 5, 9),
            "sides of 5 do not fit: .* at least 7 pixels",
        ),
        (
            "add(conv(stride=2), identity()) >> head()",
            (1, 8, 8),
            r"got \(1, 8, 8\); give all the same stride an",
        ),
        ("add(conv(width=2), identity()) >> head()", (1, 8, 8), "give all the same width$"),
        ("add(conv(width=2, stride=2), identity())", (1, 8, 8), "give all the same width and stride$"),
        ("add(flatten(), identity())", (1, 8, 8), r"end none or all of them with flatten\(\) or global_pool"),
        ("flatten() >> add(linear(width=2), linear(width=3))", (1, 8, 8), "the same number of features$"),
        ("conv(groups=2) >> head()", (1, 8, 8), "give groups that divide both$"),
        ("skip(stride=2) >> head()", (1, 8, 8), "widen the layer before it$"),
    ],
)
def test_each_cause_has_a_remedy_of_its_own(text: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(CompileError, match=message) as raised:
        infer_shape(parse(text), shape, None if "head" not in text else 5)
    assert type(raised.value) is CompileError


def test_a_supernet_is_told_the_sides_too() -> None:
    choice = "stem(width=4) >> add(conv(stride=2), maxpool()) >> (relu() | gelu()) >> head()"
    for space in (SearchSpace("x", choice), SPACES.get("nasbench201")(channels=4, cells=1)):
        with pytest.raises(NasError, match=SIDES):
            relax(space, (3, 9, 9), 5)
