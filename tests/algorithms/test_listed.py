from __future__ import annotations

import numpy as np
import pytest

from nas.algorithms.listed import Listed
from nas.errors import ConfigError
from nas.evaluation import Evaluation, Objective, Status
from nas.search_spaces.darts import DARTS_V2, from_genotype, genotype
from nas.search_spaces.darts import space as darts
from nas.space import SearchSpace, sample
from nas.study import SearchFinished, Trial

OBJECTIVES = (Objective("accuracy"),)
SPACE = SearchSpace("small", "conv(kernel=oneof(1, 3, 5)) >> (relu() | gelu())")
TEXTS = ["conv(kernel=3) >> gelu()", "conv(kernel=1) >> relu()", "conv(kernel=3) >> gelu()"]


def proposed(searcher: Listed) -> list[str]:
    found = []
    while True:
        try:
            (suggestion,) = searcher.ask(1)
        except SearchFinished:
            return found
        found.append(suggestion.architecture.text)
        done = Evaluation(Status.COMPLETED, {"accuracy": 1.0})
        searcher.tell(Trial(len(found) - 1, suggestion, evaluation=done))


def test_texts_come_in_their_order_equal_ones_again() -> None:
    assert proposed(Listed(SPACE, OBJECTIVES, seed=0, architectures=TEXTS)) == TEXTS


def test_samples_are_those_of_the_uniform_sampler() -> None:
    rng = np.random.default_rng(3)
    expected = [sample(SPACE, rng).text for _ in range(7)]
    assert proposed(Listed(SPACE, OBJECTIVES, seed=3, samples=7)) == expected


def test_decisions_stand_for_the_same_choices_at_another_width_and_depth() -> None:
    given = [from_genotype(darts(36, 20), DARTS_V2).to_json()]
    small = darts(4, 5)
    (suggestion,) = Listed(small, OBJECTIVES, seed=0, architectures=given).ask()
    assert genotype(suggestion.architecture) == genotype(from_genotype(darts(36, 20), DARTS_V2))
    assert suggestion.architecture == from_genotype(small, DARTS_V2)


def test_fewer_come_near_the_end() -> None:
    searcher = Listed(SPACE, OBJECTIVES, seed=0, architectures=TEXTS)
    assert [len(searcher.ask(2)), len(searcher.ask(2))] == [2, 1]
    assert searcher.ask(0) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"expected architectures or a number of samples of at least 1, got none; give searcher.sam"),
        ({"samples": 0}, r"expected architectures or a number of samples of at least 1, got 0"),
        ({"architectures": []}, r"architectures: expected a list of at least one, got \[\]"),
        ({"architectures": "relu()"}, r"architectures: expected a list of at least one, got 'relu\(\)'"),
        ({"architectures": [*TEXTS, "relu()"]}, r'^searcher "listed": architectures\[3\]: small'),
        ({"architectures": [3]}, r'^searcher "listed": architectures\[0\]: '),
        (
            {"architectures": [{"space": "other", "decisions": []}]},
            r"architectures\[0\]: small: an architect",
        ),
    ],
)
def test_what_it_cannot_list_is_one_line(options, message) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        Listed(SPACE, OBJECTIVES, seed=0, **options)
    assert "\n" not in str(error.value)
