from __future__ import annotations

from collections import Counter, defaultdict
from itertools import groupby, pairwise

import numpy as np
import pytest

from nas.algorithms.hyperband import Hyperband, bracket_sizes
from nas.errors import ConfigError
from nas.space import SearchSpace
from nas.study import SearchFinished, Suggestion
from tests.algorithms.wrapping_kit import OBJECTIVES, Script, ended, letters, one_by_one

# Li et al. 2018, Table 1 (R = 81, eta = 3): bracket s -> (n_i, r_i), lowest rung first.
TABLE = {
    4: [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
    3: [(34, 3), (11, 9), (3, 27), (1, 81)],
    2: [(15, 9), (5, 27), (1, 81)],
    1: [(8, 27), (2, 81)],
    0: [(5, 81)],
}
SPACE = SearchSpace("numbers", "conv(width=integer(1, 100000))")


def hyperband(space: SearchSpace = SPACE, full: float = 81, **options) -> Hyperband:
    section = {"searcher": {"name": "random"}, **options}
    return Hyperband(space, OBJECTIVES, seed=0, fidelity_range=("epochs", 1, full), **section)


def score(suggestion: Suggestion) -> float:
    """Differs between architectures; the same at each fidelity."""
    return float(int(suggestion.architecture.text.split("=")[1].rstrip(")")) * 7919 % 100_003)


def place(suggestion: Suggestion) -> tuple[int, float]:
    assert suggestion.fidelity is not None
    return suggestion.info["bracket"], suggestion.fidelity.value


@pytest.mark.parametrize("s", TABLE)
def test_bracket_sizes_are_those_of_the_paper(s):
    assert bracket_sizes(3, 4, s) == tuple(number for number, _ in TABLE[s])


def test_one_worker_goes_through_the_papers_table_and_begins_again():
    length = sum(number for rungs in TABLE.values() for number, _ in rungs)
    given = list(one_by_one(hyperband(), score, trials=length + 81))
    runs = [(at, len(list(group))) for at, group in groupby(map(place, given))]
    expected = [((s, r), n) for s, rungs in TABLE.items() for n, r in rungs]
    assert runs == [*expected, ((4, 1), 81)]


def drive(searcher: Hyperband, workers: int, trials: int) -> list[Suggestion]:
    """With many in flight that end in random order; what is in flight at the end is ended."""
    rng = np.random.default_rng(0)
    given: list[Suggestion] = []
    flying: list[int] = []
    while len(given) < trials or flying:
        if len(given) < trials and len(flying) < workers:
            (asked,) = searcher.ask(1)  # no worker waits for a straggler
            flying.append(len(given))
            given.append(asked)
        else:
            number = flying.pop(int(rng.integers(len(flying))))
            searcher.tell(ended(number, given[number], score(given[number])))
    return given


@pytest.mark.parametrize("workers", [2, 50])
def test_the_sets_that_go_up_are_the_papers_whatever_is_in_flight(workers):
    """Of each bracket the best third of each rung."""
    given = drive(hyperband(), workers, trials=1500)
    brackets: dict[tuple[int, int], dict[float, list[int]]] = defaultdict(lambda: defaultdict(list))
    root: dict[int, int] = {}
    begun: Counter[int] = Counter()
    for number, one in enumerate(given):
        s, epochs = place(one)
        if one.parent is None:
            root[number] = begun[s] // bracket_sizes(3, 4, s)[0]
            begun[s] += 1
        else:
            root[number] = root[one.parent]
        brackets[s, root[number]][epochs].append(number)
    for s in TABLE:
        rungs = brackets[s, 0]
        assert [(len(numbers), r) for r, numbers in sorted(rungs.items())] == TABLE[s]
        levels = [numbers for _, numbers in sorted(rungs.items())]
        for lower, upper in pairwise(levels):
            ranked = sorted(lower, key=lambda number: (-score(given[number]), number))
            assert {given[number].parent for number in upper} == set(ranked[: len(upper)])


def test_each_kind_of_bracket_has_a_searcher_of_its_own():
    given = list(one_by_one(hyperband(), score, trials=200))
    first = {s: next(one for one in given if place(one)[0] == s) for s in (4, 3, 2)}
    assert len({one.architecture for one in first.values()}) == 3
    with pytest.raises(
        ConfigError,
        match=r"expected a section with a name, .*, got Script; give its name and options$",
    ):
        hyperband(searcher=Script(letters(), "abc"))


def test_a_searcher_inside_that_ends_leaves_its_brackets_short():
    """Eight architectures, each once in each kind of bracket: 8, 8, 8, 8 and 5 at their lowest rungs."""
    space = SearchSpace("eight", "conv(width=integer(1, 8))")
    searcher = hyperband(space, searcher={"name": "no_repeats", "searcher": {"name": "random"}})
    given = list(one_by_one(searcher, score))
    lowest = Counter(place(one)[0] for one in given if one.info["rung"] == 0)
    assert lowest == {4: 8, 3: 8, 2: 8, 1: 8, 0: 8}
    with pytest.raises(SearchFinished):
        searcher.ask(1)


def test_a_searcher_inside_that_waits_opens_no_bracket_twice():
    searcher = hyperband(searcher={"name": "pending_limit", "limit": 1, "searcher": {"name": "random"}})
    given = searcher.ask(20)
    assert [place(one) for one in given] == [(4, 1), (3, 3), (2, 9), (1, 27), (0, 81)]
    for _ in range(3):
        assert searcher.ask(1) == []
    assert len(searcher._open) == 5


def test_two_levels_of_a_table():
    """K = 1: ceil(2 * 3 / 2) = 3 at 12 epochs, one of them at 200; then 2 at 200."""
    searcher = Hyperband(
        SPACE,
        OBJECTIVES,
        seed=0,
        searcher={"name": "random"},
        levels=[12, 200],
        fidelity_range=("epochs", 12, 200),
    )
    assert [place(one) for one in one_by_one(searcher, score, trials=6)] == [
        *[(1, 12)] * 3,
        (1, 200),
        *[(0, 200)] * 2,
    ]
