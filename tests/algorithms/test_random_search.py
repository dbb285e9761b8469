from __future__ import annotations

from collections import Counter

import pytest
from scipy.stats import chisquare

from nas.algorithms.random_search import RandomSearch
from nas.errors import ConfigError
from nas.evaluation import Objective
from nas.space import SearchSpace

OBJECTIVES = (Objective("accuracy"),)


def skewed() -> SearchSpace:
    """Four derivations, one of them behind half of the options."""
    return SearchSpace("skewed", "relu() | conv(kernel=oneof(1, 3, 5))")


@pytest.mark.parametrize(
    ("by", "shares"),
    [("options", {"relu()": 1 / 2, "conv": 1 / 6}), ("derivations", {"relu()": 1 / 4, "conv": 1 / 4})],
)
def test_samples_follow_the_stated_distribution(by, shares):
    """Chi-squared test; fails by chance once in 1000 seeds, and the seed is fixed."""
    searcher = RandomSearch(skewed(), OBJECTIVES, seed=0, by=by)
    counts = Counter(s.architecture.text for s in searcher.ask(4000))
    expected = [4000 * (shares["relu()"] if text == "relu()" else shares["conv"]) for text in counts]
    assert len(counts) == 4
    assert chisquare(list(counts.values()), expected).pvalue > 0.001


def test_derivations_of_an_unbounded_space_are_refused():
    space = SearchSpace("unbounded", "dropout(rate=real(0.0, 0.5))")
    with pytest.raises(ConfigError, match='by: expected "options", as unbounded is unbounded'):
        RandomSearch(space, OBJECTIVES, seed=0, by="derivations")


def test_unknown_distribution_is_refused():
    with pytest.raises(ConfigError, match='by: expected "options" or "derivations", got \'texts\''):
        RandomSearch(skewed(), OBJECTIVES, seed=0, by="texts")  # type: ignore[arg-type]
