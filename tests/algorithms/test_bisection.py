from __future__ import annotations

import itertools
import math
import pickle
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from nas.algorithms import SEARCHERS
from nas.algorithms.bisection import BisectedSpace, Bisection
from nas.algorithms.mcts import MonteCarloTreeSearch
from nas.algorithms.random_search import RandomSearch
from nas.errors import ConfigError, DeadEndError, SpaceError
from nas.evaluation import Evaluation, Objective, Status
from nas.language import Number
from nas.search_spaces import SPACES
from nas.space import (
    Architecture,
    Derivation,
    Encoder,
    SearchSpace,
    crossover,
    enumerate_architectures,
    mutate,
    neighbours,
    sample,
)
from nas.space.operators import replay
from nas.study import Searcher, Suggestion, Trial
from tests.contracts import searcher_kit
from tests.contracts.searcher_kit import OBJECTIVES, ONE_SHOT, OPTIONS, drive, refusal, spaces
from tests.space.toy_spaces import SPACES as TOYS

MAXIMIZE = Objective("accuracy")
INSIDE = [name for name in SEARCHERS.names() if name not in ("bisection", *ONE_SHOT)]
REGISTERED = {name: SPACES.get(name)() for name in SPACES.names()}
TEXT = "conv(kernel=oneof(1, 3, 5, 7, 9)) >> repeat(relu() | gelu(), 1, 4)"


def section(name: str) -> dict[str, Any]:
    return {"name": name, **OPTIONS.get(name, {})}


def outcome(value: float) -> Evaluation:
    return Evaluation(Status.COMPLETED, {"accuracy": value}, 1.0)


def run(searcher: Searcher, trials: int, value: Any) -> list[Architecture]:
    asked = []
    for number in range(trials):
        (suggestion,) = searcher.ask(1)
        asked.append(suggestion.architecture)
        searcher.tell(Trial(number, suggestion, evaluation=outcome(value(suggestion.architecture))))
    return asked


def suggested_around(name: str, space: SearchSpace, trials: int, **options: Any) -> list[Suggestion]:
    """What the wrapper around a searcher asks for; nothing where the searcher itself takes no such space."""

    def make() -> Bisection:
        ranged = {"fidelity_range": searcher_kit.FIDELITIES}
        return Bisection(space, OBJECTIVES, seed=3, searcher=section(name), **ranged, **options)

    if refusal(name, space) is not None:
        with pytest.raises(ConfigError, match=f'searcher "{name}"'):
            make()
        return []
    suggested = list(drive(make(), trials=trials))
    assert suggested
    return suggested


@pytest.mark.parametrize("name", INSIDE)
@pytest.mark.parametrize("key", searcher_kit.spaces())
def test_every_searcher_works_inside_on_every_kind_of_space(name, key):
    space = searcher_kit.spaces()[key]
    for suggestion in suggested_around(name, space, 16, all_choices=True, depth=3):
        assert suggestion.architecture.space == space.name
        assert space.check(suggestion.architecture) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", INSIDE)
@pytest.mark.parametrize("key", REGISTERED)
def test_every_searcher_works_inside_on_every_registered_space(name, key):
    space = REGISTERED[key]
    for suggestion in suggested_around(name, space, 6, all_choices=not BisectedSpace(space).halves):
        assert space.check(suggestion.architecture) is None


def test_inside_stands_what_searches_the_bisected_space():
    """Suggestion for suggestion what the searcher itself asks on the bisected space, in other terms."""
    space = SearchSpace("s", TEXT)
    view = BisectedSpace(space)
    built = MonteCarloTreeSearch(view, (MAXIMIZE,), seed=5)
    wrapper = Bisection(space, (MAXIMIZE,), seed=0, searcher=MonteCarloTreeSearch(view, (MAXIMIZE,), seed=5))
    value = lambda architecture: float(architecture.text.count("relu"))  # noqa: E731
    inside = run(built, 60, value)
    outside = run(wrapper, 60, value)
    assert [architecture.text for architecture in inside] == [architecture.text for architecture in outside]
    assert [view.restored(a).decisions for a in inside] == [a.decisions for a in outside]


def test_the_tree_is_binary():
    view = BisectedSpace(SearchSpace("s", "conv(width=integer(1, 64))"))
    inside = MonteCarloTreeSearch(view, (MAXIMIZE,), seed=0)
    wrapper = Bisection(view.original, (MAXIMIZE,), seed=0, searcher=inside)
    run(wrapper, 300, lambda architecture: 1.0)
    tree = inside.tree()
    assert len(tree) == 2 * 64 - 1
    assert {len(node.children) for node in tree.values()} == {0, 2}
    assert max(map(len, tree)) == 6


def test_random_search_inside_is_uniform_over_halves():
    """Of three values the first has probability 1/2; 3 standard deviations of 900 draws are 45."""
    space = SearchSpace("s", "conv(kernel=oneof(1, 3, 5))")
    wrapper = Bisection(space, (MAXIMIZE,), seed=0, searcher={"name": "random"})
    drawn = [suggestion.architecture.text for suggestion in wrapper.ask(900)]
    assert abs(drawn.count("conv(kernel=1)") - 450) < 45


def test_exhaustive_search_inside_meets_every_architecture_once():
    space = SearchSpace("s", TEXT)
    wrapper = Bisection(space, (MAXIMIZE,), seed=0, searcher={"name": "exhaustive"})
    asked = {suggestion.architecture.text for suggestion in wrapper.ask(1000)}
    assert asked == {architecture.text for architecture in enumerate_architectures(space)}


def test_parents_and_information_come_through():
    space = SearchSpace("s", TEXT)
    inside = {"name": "regularized_evolution", "population": 3, "sample": 2}
    wrapper = Bisection(space, (MAXIMIZE,), seed=0, searcher=inside)
    suggested = list(drive(wrapper, trials=12))
    assert [s.info["origin"] for s in suggested[:3]] == ["random"] * 3
    assert all(s.parent is not None and s.parent < n for n, s in enumerate(suggested) if n > 8)


def test_what_was_evaluated_instead_is_told_inside():
    view = BisectedSpace(SearchSpace("s", TEXT))
    inside = MonteCarloTreeSearch(view, (MAXIMIZE,), seed=0)
    wrapper = Bisection(view.original, (MAXIMIZE,), seed=0, searcher=inside)
    run(wrapper, 3, lambda architecture: 1.0)
    before = {path: node.told for path, node in inside.tree().items()}
    (suggestion,) = wrapper.ask(1)
    lower = suggestion.architecture.decisions[0].option < 2  # kernel 1 or 3
    other = view.original.parse(f"conv(kernel={9 if lower else 1}) >> relu()")
    wrapper.tell(Trial(3, Suggestion(other), evaluation=outcome(1.0)))
    after = inside.tree()
    assert after[int(lower),].told == before[int(lower),] + 1
    assert after[int(not lower),].told == before[int(not lower),]
    assert after[()].pending == 0


def test_constraints_that_nothing_meets_are_reported():
    space = SearchSpace("s", TEXT, constraints=(lambda architecture: "never",))
    with pytest.raises(DeadEndError, match=r"s bisected to depth 5: nothing admissible in 1000 draws.*never"):
        Bisection(space, (MAXIMIZE,), seed=0, searcher={"name": "mcts"}).ask(1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"searcher": {"name": "mtcs"}}, r'searcher "mtcs" is not registered.*did you mean "mcts"'),
        ({"searcher": {"name": "mcts", "c": 1}}, r'searcher "mcts": has no option "c"'),
        (
            {"searcher": {"name": "mcts", "exploration": -1}},
            r'searcher "mcts": exploration: expected 0 or more',
        ),
        ({"searcher": 3}, r"expected a section with a name"),
        (
            {"searcher": {"name": "mcts"}, "depth": -1},
            r'searcher "bisection": depth: expected 0 to 40, got -1; leave it out for the default',
        ),
        (
            {"searcher": {"name": "bisection", "searcher": {"name": "mcts"}}},
            r'searcher "bisection": expected a space that is not bisected, got one that is; nest it once',
        ),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ConfigError, match=message):
        Bisection(SearchSpace("s", TEXT), (MAXIMIZE,), seed=0, **options)


def test_a_space_with_nothing_to_halve_is_refused_where_all_choices_helps():
    space = SearchSpace("cells", "(relu() | gelu() | silu()) >> conv(kernel=oneof(1, 3))")
    options = {"seed": 0, "searcher": {"name": "random"}}
    with pytest.raises(
        ConfigError,
        match=r'^searcher "bisection": space cells: expected ordered choices to halve, got none; set all_ch',
    ):
        Bisection(space, (MAXIMIZE,), **options)
    assert Bisection(space, (MAXIMIZE,), all_choices=True, **options).ask(1)
    assert Bisection(SearchSpace("halves", "conv(kernel=oneof(1, 3))"), (MAXIMIZE,), **options).ask(1)


def test_a_searcher_of_the_space_itself_is_refused():
    space = SearchSpace("s", TEXT)
    wrapper = Bisection(space, (MAXIMIZE,), seed=0, searcher=RandomSearch(space, (MAXIMIZE,), seed=0))
    message = 'expected a searcher built on "s bisected to depth 5", got one of "s"; give the section'
    with pytest.raises(ConfigError, match=message):
        wrapper.ask(1)


def test_bisection_helps_tree_search_on_ordered_values():
    """One-sided rank test at alpha = 0.001 over 12 seeds each, which are fixed; the mean of 64 trials.

    As in DeepArchitect's 64 evaluations: with 64 values of one choice a plain tree search visits each once,
    while halves lead to the better ones.
    """
    space = SearchSpace("ordered", f"conv(width=oneof({', '.join(map(str, range(1, 65)))}))")

    def mean(searcher: Searcher) -> float:
        asked = run(searcher, 64, lambda a: -abs(math.log(int(a.text[11:-1]) / 40)))
        return float(np.mean([-abs(math.log(int(a.text[11:-1]) / 40)) for a in asked]))

    plain = [mean(MonteCarloTreeSearch(space, (MAXIMIZE,), seed=s)) for s in range(12)]
    halves = [mean(Bisection(space, (MAXIMIZE,), seed=s, searcher={"name": "mcts"})) for s in range(12)]
    assert mannwhitneyu(halves, plain, alternative="greater").pvalue < 0.001


def take(space: SearchSpace, *options: int | float) -> Derivation:
    derivation = space.start()
    for option in options:
        derivation = derivation.take(option)
    return derivation


def bits_of(space: BisectedSpace, text: str) -> tuple[int | float, ...]:
    """The decisions about halves that lead to an architecture."""
    return tuple(d.option for d in space.parse(text).decisions if d.hole >= len(space.original.layout.sites))


def leaves(space: SearchSpace) -> dict[str, Fraction]:
    """Probability of each architecture's text when every decision is uniform."""
    found: dict[str, Fraction] = Counter()  # type: ignore[assignment]
    stack = [(space.start(), Fraction(1))]
    while stack:
        derivation, weight = stack.pop()
        if derivation.site is None:
            found[derivation.architecture().text] += weight
        for option in derivation.options:
            stack.append((derivation.take(option), weight / len(derivation.options)))
    return found


def test_halves_of_five_values_by_hand():
    """Mid is rounded down: [0, 2) and [2, 5); {0} and {1}; {2} and [3, 5); {3} and {4}."""
    space = BisectedSpace(SearchSpace("s", "conv(kernel=oneof(1, 3, 5, 7, 9))"))
    paths = {1: (0, 0), 3: (0, 1), 5: (1, 0), 7: (1, 1, 0), 9: (1, 1, 1)}
    assert {kernel: bits_of(space, f"conv(kernel={kernel})") for kernel in paths} == paths
    for kernel, path in paths.items():
        derivation = take(space, *path)
        assert derivation.site is None
        assert derivation.architecture().text == f"conv(kernel={kernel})"
        assert space.restored(derivation.architecture()).decisions == (
            space.original.parse(f"conv(kernel={kernel})").decisions
        )


def test_numbers_are_halved_in_ascending_order_however_they_are_written():
    space = BisectedSpace(SearchSpace("s", "conv(kernel=oneof(7, 1, 9, 3, 5))"))
    assert [bits_of(space, f"conv(kernel={k})") for k in (1, 3, 5)] == [(0, 0), (0, 1), (1, 0)]


def test_copies_of_a_repeat_keep_their_decisions_when_the_count_changes():
    space = BisectedSpace(SearchSpace("s", "repeat(relu() | gelu(), (1, 2, 4, 8))"))
    four = space.parse("relu() >> gelu() >> gelu() >> relu()")
    assert bits_of(space, four.text) == (1, 0)
    (half,) = [d for d in four.decisions if d.hole >= 3 and d.prefix[-1] == 1]  # 1 or 2, or 4 or 8
    changed = [d for d in four.decisions if d.hole in (1, 2)] + [half._replace(option=0)]
    shorter = replay(space, changed)
    assert four.text.startswith(shorter.text)


def test_log_integers_are_halved_on_their_scale_and_others_by_position():
    """Of 1 to 64 the middle of the logarithms of 1 and 65 is 8.06."""
    linear, log = (
        BisectedSpace(SearchSpace("s", f"conv(width=integer(1, 64{how}))")) for how in ("", ", log=True")
    )
    assert bits_of(linear, "conv(width=32)")[0] == 0
    assert bits_of(linear, "conv(width=33)")[0] == 1
    assert bits_of(log, "conv(width=7)")[0] == 0
    assert bits_of(log, "conv(width=8)")[0] == 1
    assert len(bits_of(linear, "conv(width=40)")) == 6
    widths = [bits_of(log, f"conv(width={width})") for width in range(1, 65)]
    assert len(set(widths)) == 64
    assert widths == sorted(widths)


def test_real_numbers_are_halved_to_a_depth_and_then_real():
    space = BisectedSpace(SearchSpace("s", "dropout(rate=real(0.0, 0.8))"), depth=2)
    derivation = take(space, 1, 0)
    number = derivation.choice
    assert isinstance(number, Number)
    assert (number.low, number.high, derivation.options) == (0.4, 0.6, ())
    architecture = derivation.take(0.5).architecture()
    assert architecture.text == "dropout(rate=0.5)"
    assert space.adopted(space.original.parse(architecture.text)) == architecture
    assert bits_of(space, "dropout(rate=0.4)")[:2] == (0, 1)  # on the border: the lower one
    with pytest.raises(SpaceError, match=r"option 0.7 is not one of"):
        derivation.take(0.7)
    none = BisectedSpace(space.original, depth=0).start().choice
    assert none == space.original.start().choice


def test_log_real_numbers_are_halved_on_their_scale():
    space = BisectedSpace(SearchSpace("s", "train(relu(), lr=real(1e-4, 1.0, log=True))"), depth=1)
    number = take(space, 0).choice
    assert isinstance(number, Number)
    assert (number.low, number.high, number.log) == (1e-4, 0.01, True)


@pytest.mark.parametrize("low", [0.5, 0.6999999999999998])
def test_real_intervals_too_small_to_halve_stay(low):
    space = BisectedSpace(SearchSpace("s", f"dropout(rate=real({low!r}, 0.7))"), depth=40)
    rng = np.random.default_rng(0)
    for _ in range(50):
        architecture = sample(space, rng)
        assert space.original.check(space.restored(architecture)) is None
        assert space.adopted(space.restored(architecture)) == architecture


def test_only_ordered_choices_are_halved_unless_all_are():
    text = "(relu() | gelu() | silu() | tanh()) >> conv(kernel=oneof(1, 3, 5))"
    space = SearchSpace("s", text)
    assert list(BisectedSpace(space).start().options) == [0, 1, 2, 3]
    assert bits_of(BisectedSpace(space), "tanh() >> conv(kernel=5)") == (1, 1)
    assert bits_of(BisectedSpace(space, all_choices=True), "tanh() >> conv(kernel=5)") == (1, 1, 1, 1)


def test_two_options_are_halves_already():
    space = SearchSpace("s", "conv(kernel=oneof(1, 3)) >> repeat(relu(), 1, 2)")
    assert BisectedSpace(space, all_choices=True).halves == {}


def test_arguments_are_never_halved():
    space = SPACES.get("update_rule")()
    uses = {site.index for site in space.layout.sites if str(site.term).startswith("use")}
    assert uses
    assert not uses & set(BisectedSpace(space, all_choices=True).halves)


def test_three_values_are_one_half_and_two_quarters():
    """Uniform over halves is not uniform over options, as the module says."""
    space = SearchSpace("s", "conv(kernel=oneof(1, 3, 5))")
    assert list(leaves(space).values()) == [Fraction(1, 3)] * 3
    found = leaves(BisectedSpace(space))
    assert found == {
        "conv(kernel=1)": Fraction(1, 2),
        "conv(kernel=3)": Fraction(1, 4),
        "conv(kernel=5)": Fraction(1, 4),
    }


def test_powers_of_two_stay_uniform():
    space = spaces()["choices"]
    assert leaves(BisectedSpace(space, all_choices=True)) == leaves(space)


def test_sampling_by_derivations_is_the_same():
    """Chi-squared against uniform: 8 derivations, 1,600 draws; alpha = 0.001, a fixed seed."""
    space = BisectedSpace(
        SearchSpace("s", "conv(kernel=oneof(1, 3, 5)) | repeat(relu(), 1, 5)"), all_choices=True
    )
    rng = np.random.default_rng(0)
    drawn = Counter(sample(space, rng, by="derivations").text for _ in range(1600))
    statistic = sum((count - 200) ** 2 / 200 for count in drawn.values())
    assert len(drawn) == 8
    assert statistic < 24.32  # the 0.999 quantile with 7 degrees of freedom


def test_a_large_range_costs_no_more_than_its_digits():
    space = BisectedSpace(SearchSpace("s", "conv(width=integer(1, 9007199254740992))"))
    width = 123_456_789_012
    assert len(bits_of(space, f"conv(width={width})")) == 53
    assert len(space.layout.sites) < 10


def test_views_differ_by_their_options_in_name_and_fingerprint():
    space = spaces()["repeat"]
    views = [BisectedSpace(space), BisectedSpace(space, all_choices=True), BisectedSpace(space, depth=3)]
    assert len({view.fingerprint() for view in [space, *views]}) == 4
    assert len({view.name for view in [space, *views]}) == 4


@pytest.mark.parametrize(("option", "got"), [(2, "2"), (0.5, "0.5"), (True, "True")])
def test_only_two_halves_are_admissible(option, got):
    with pytest.raises(SpaceError, match=rf"at conv.kernel: option {got} is not one of 0, 1"):
        BisectedSpace(SearchSpace("s", "conv(kernel=oneof(1, 3, 5))")).start().take(option)


def test_errors_are_one_line():
    space = SearchSpace("s", "conv(kernel=oneof(1, 3, 5))")
    with pytest.raises(
        SpaceError, match="s bisected to depth 5: expected a space that is not bisected, got one"
    ):
        BisectedSpace(BisectedSpace(space))
    with pytest.raises(SpaceError, match="s: depth: expected 0 to 40 halvings, got 41"):
        BisectedSpace(space, depth=41)
    other = SearchSpace("other", "relu()").parse("relu()")
    with pytest.raises(
        SpaceError, match=r"s bisected to depth 5 at conv.kernel: expected a decision for this hole, got none"
    ):
        BisectedSpace(space).adopted(other)
    with pytest.raises(SpaceError, match="ids are expected of a repeat"):
        BisectedSpace(space).start().take(1, (0, 1))


EVERY = {
    **{name: SPACES.get(name)() for name in SPACES.names()},
    **{f"toy {name}": toy for name, toy in TOYS.items()},
    **{f"kit {name}": space for name, space in spaces().items()},
}
SMALL = {name: space for name, space in EVERY.items() if 0 < (space.size() or 0) <= 5000}
each_space = pytest.mark.parametrize("name", EVERY)
each_small = pytest.mark.parametrize("name", SMALL)
each_kind = pytest.mark.parametrize("all_choices", [False, True], ids=["ordered", "all"])


@each_small
@each_kind
def test_derivations_are_those_of_the_space(name, all_choices):
    space = SMALL[name]
    view = BisectedSpace(space, all_choices=all_choices)
    assert view.size() == view.start().count() == space.size()
    found = [view.restored(architecture).decisions for architecture in enumerate_architectures(view)]
    expected = [architecture.decisions for architecture in enumerate_architectures(space)]
    assert len(found) == len(set(found))
    assert set(found) == set(expected)


@each_space
@each_kind
def test_operators_stay_inside(name, all_choices):
    space = EVERY[name]
    view = BisectedSpace(space, all_choices=all_choices)
    rng = np.random.default_rng(1)
    parent, other = (sample(view, rng) for _ in range(2))
    foreign = view.adopted(mutate(space, mutate(space, view.restored(parent), rng), rng))
    found = [parent, other, foreign, *itertools.islice(neighbours(view, parent, rng), 8)]
    found += [child for one in (parent, foreign) for child in (mutate(view, one, rng),) if child != one]
    assert len(found) > 5 or name in ("toy choice", "toy ambiguous", "toy rules")
    found += [crossover(view, parent, foreign, rng)]
    for architecture in found:
        assert view.check(architecture) is None
        assert_restored(view, architecture)


def assert_restored(view: BisectedSpace, architecture: Architecture) -> None:
    """The outer architecture is in the space, is the same expression, and leads back."""
    space = view.original
    outer = view.restored(architecture)
    assert space.check(outer) is None
    assert (outer.term, outer.space) == (architecture.term, space.name)
    assert view.adopted(outer).decisions == architecture.decisions
    assert space.architecture_from_json(outer.to_json()) == outer
    assert view.architecture_from_json(architecture.to_json()) == architecture
    assert replay(view, architecture.decisions, exact=True).decisions == architecture.decisions
    assert view.parse(architecture.text).term == architecture.term


@each_space
@each_kind
def test_mutation_changes_the_architecture(name, all_choices):
    view = BisectedSpace(EVERY[name], all_choices=all_choices)
    rng = np.random.default_rng(2)
    for _ in range(5):
        parent = sample(view, rng)
        assert mutate(view, parent, rng) != parent


@each_space
def test_encodings_tell_architectures_apart(name):
    view = BisectedSpace(EVERY[name], all_choices=True)
    rng = np.random.default_rng(3)
    drawn = list({(a.text, a.decisions): a for a in (sample(view, rng) for _ in range(12))}.values())
    rows = Encoder(view, ("one_hot", "numeric")).fit(drawn).transform(drawn)
    assert np.isfinite(rows).all()
    texts = {row.tobytes(): architecture.text for row, architecture in zip(rows, drawn, strict=True)}
    assert len(set(texts.values())) == len({architecture.text for architecture in drawn})


def test_elements_with_names_of_their_own_are_adopted():
    """Deletion and insertion name a repeat's elements anew; the copies keep their decisions."""
    space = EVERY["kit repeat"]
    view = BisectedSpace(space)
    rng = np.random.default_rng(0)
    architecture, named = sample(space, rng), 0
    for _ in range(60):
        architecture = mutate(space, architecture, rng)
        named += any(decision.ids for decision in architecture.decisions)
        inner = view.adopted(architecture)
        assert view.check(inner) is None
        assert view.restored(inner).decisions == architecture.decisions
    assert named > 10


def even_only(architecture: Architecture) -> str | None:
    if architecture.space != "even" or len(architecture.decisions) != 1:
        return f"a constraint sees the architecture of its own space, not {architecture!r}"
    return None if int(architecture.decisions[0].option) % 2 == 0 else "odd"


def test_constraints_are_carried_over():
    view = BisectedSpace(SearchSpace("even", "conv(width=integer(1, 9))", constraints=(even_only,)))
    rng = np.random.default_rng(0)
    assert {sample(view, rng).text for _ in range(60)} == {f"conv(width={w})" for w in (2, 4, 6, 8)}
    assert len(list(enumerate_architectures(view))) == 4
    error = view.check(view.parse("conv(width=3)"))
    assert error is not None
    assert "odd" in str(error)
    impossible = BisectedSpace(
        SearchSpace("s", "conv(width=integer(1, 9))", constraints=(lambda a: "never",))
    )
    with pytest.raises(DeadEndError, match=r"s bisected to depth 5: nothing admissible.*never"):
        sample(impossible, rng)


@each_kind
def test_pickled_views_and_derivations_go_on_alike(all_choices):
    view = BisectedSpace(EVERY["macro"], all_choices=all_choices)
    architecture = sample(view, np.random.default_rng(0))
    start, copy = pickle.loads(pickle.dumps((view.start(), view)))
    assert copy.fingerprint() == view.fingerprint()
    assert replay(copy, architecture.decisions, exact=True).text == architecture.text
    while start.site is not None:
        start = start.take(start.options[0])
    assert copy.check(start.architecture()) is None
