from __future__ import annotations

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from nas.bisection import BisectedSpace, bisected
from nas.derivation import Derivation
from nas.errors import SpaceError
from nas.operators import replay, sample
from nas.space import SearchSpace
from nas.term import Number
from search_spaces import SPACES
from tests.contracts.searcher_kit import spaces


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
    space = bisected(SearchSpace("s", "conv(kernel=oneof(1, 3, 5, 7, 9))"))
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
    space = bisected(SearchSpace("s", "conv(kernel=oneof(7, 1, 9, 3, 5))"))
    assert [bits_of(space, f"conv(kernel={k})") for k in (1, 3, 5)] == [(0, 0), (0, 1), (1, 0)]


def test_copies_of_a_repeat_keep_their_decisions_when_the_count_changes():
    space = bisected(SearchSpace("s", "repeat(relu() | gelu(), (1, 2, 4, 8))"))
    four = space.parse("relu() >> gelu() >> gelu() >> relu()")
    assert bits_of(space, four.text) == (1, 0)
    (half,) = [d for d in four.decisions if d.hole >= 3 and d.prefix[-1] == 1]  # 1 or 2, or 4 or 8
    changed = [d for d in four.decisions if d.hole in (1, 2)] + [half._replace(option=0)]
    shorter = replay(space, changed)
    assert four.text.startswith(shorter.text)


def test_log_integers_are_halved_on_their_scale_and_others_by_position():
    """Of 1 to 64 the middle of the logarithms of 1 and 65 is 8.06."""
    linear, log = (
        bisected(SearchSpace("s", f"conv(width=integer(1, 64{how}))")) for how in ("", ", log=True")
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
    space = bisected(SearchSpace("s", "dropout(rate=real(0.0, 0.8))"), depth=2)
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
    none = bisected(space.original, depth=0).start().choice
    assert none == space.original.start().choice


def test_log_real_numbers_are_halved_on_their_scale():
    space = bisected(SearchSpace("s", "train(relu(), lr=real(1e-4, 1.0, log=True))"), depth=1)
    number = take(space, 0).choice
    assert isinstance(number, Number)
    assert (number.low, number.high, number.log) == (1e-4, 0.01, True)


@pytest.mark.parametrize("low", [0.5, 0.6999999999999998])
def test_real_intervals_too_small_to_halve_stay(low):
    space = bisected(SearchSpace("s", f"dropout(rate=real({low!r}, 0.7))"), depth=40)
    rng = np.random.default_rng(0)
    for _ in range(50):
        architecture = sample(space, rng)
        assert space.original.check(space.restored(architecture)) is None
        assert space.adopted(space.restored(architecture)) == architecture


def test_only_ordered_choices_are_halved_unless_all_are():
    text = "(relu() | gelu() | silu() | tanh()) >> conv(kernel=oneof(1, 3, 5))"
    space = SearchSpace("s", text)
    assert list(bisected(space).start().options) == [0, 1, 2, 3]
    assert bits_of(bisected(space), "tanh() >> conv(kernel=5)") == (1, 1)
    assert bits_of(bisected(space, all_choices=True), "tanh() >> conv(kernel=5)") == (1, 1, 1, 1)


def test_two_options_are_halves_already():
    space = SearchSpace("s", "conv(kernel=oneof(1, 3)) >> repeat(relu(), 1, 2)")
    assert bisected(space, all_choices=True).halves == {}


def test_arguments_are_never_halved():
    space = SPACES.get("update_rule")()
    uses = {site.index for site in space.layout.sites if str(site.term).startswith("use")}
    assert uses
    assert not uses & set(bisected(space, all_choices=True).halves)


def test_three_values_are_one_half_and_two_quarters():
    """Uniform over halves is not uniform over options, as the module says."""
    space = SearchSpace("s", "conv(kernel=oneof(1, 3, 5))")
    assert list(leaves(space).values()) == [Fraction(1, 3)] * 3
    found = leaves(bisected(space))
    assert found == {
        "conv(kernel=1)": Fraction(1, 2),
        "conv(kernel=3)": Fraction(1, 4),
        "conv(kernel=5)": Fraction(1, 4),
    }


def test_powers_of_two_stay_uniform():
    space = spaces()["choices"]
    assert leaves(bisected(space, all_choices=True)) == leaves(space)


def test_sampling_by_derivations_is_the_same():
    """Chi-squared against uniform: 8 derivations, 1,600 draws; alpha = 0.001, a fixed seed."""
    space = bisected(SearchSpace("s", "conv(kernel=oneof(1, 3, 5)) | repeat(relu(), 1, 5)"), all_choices=True)
    rng = np.random.default_rng(0)
    drawn = Counter(sample(space, rng, by="derivations").text for _ in range(1600))
    statistic = sum((count - 200) ** 2 / 200 for count in drawn.values())
    assert len(drawn) == 8
    assert statistic < 24.32  # the 0.999 quantile with 7 degrees of freedom


def test_a_large_range_costs_no_more_than_its_digits():
    space = bisected(SearchSpace("s", "conv(width=integer(1, 9007199254740992))"))
    width = 123_456_789_012
    assert len(bits_of(space, f"conv(width={width})")) == 53
    assert len(space.layout.sites) < 10


def test_views_differ_by_their_options_in_name_and_fingerprint():
    space = spaces()["repeat"]
    views = [bisected(space), bisected(space, all_choices=True), bisected(space, depth=3)]
    assert len({view.fingerprint() for view in [space, *views]}) == 4
    assert len({view.name for view in [space, *views]}) == 4


@pytest.mark.parametrize(("option", "got"), [(2, "2"), (0.5, "0.5"), (True, "True")])
def test_only_two_halves_are_admissible(option, got):
    with pytest.raises(SpaceError, match=rf"at conv.kernel: option {got} is not one of 0, 1"):
        bisected(SearchSpace("s", "conv(kernel=oneof(1, 3, 5))")).start().take(option)


def test_errors_are_one_line():
    space = SearchSpace("s", "conv(kernel=oneof(1, 3, 5))")
    with pytest.raises(
        SpaceError, match="s bisected to depth 5: a space that is not bisected yet is expected"
    ):
        bisected(bisected(space))
    with pytest.raises(SpaceError, match="s: depth: 0 to 40 halvings are expected; got 41"):
        bisected(space, depth=41)
    other = SearchSpace("other", "relu()").parse("relu()")
    with pytest.raises(SpaceError, match=r"s bisected to depth 5 at conv.kernel: no decision for this hole"):
        bisected(space).adopted(other)
    with pytest.raises(SpaceError, match="ids are expected of a repeat"):
        bisected(space).start().take(1, (0, 1))
