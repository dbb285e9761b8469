"""Feature maps are large enough for what they are to show, or the network has no digest."""

import pytest

from nas.hashing.probe.leaves import enlarged
from tests.hashing.probe.network_kit import digest, reason

REDUCED = "conv(stride=2) >> conv(stride=2)"  # 12 pixels a side become 3


@pytest.mark.parametrize("kind", ["maxpool", "avgpool"])
@pytest.mark.parametrize(("before", "small", "large"), [(REDUCED, 5, 7), ("relu()", 23, 25)])
def test_windows_larger_than_the_map_are_told_apart(kind, before, small, large):
    pool = f"{before} >> {kind}(kernel={{}}, stride=1, padding='same')"
    assert digest(pool.format(small)) != digest(pool.format(large))


@pytest.mark.parametrize("where", [REDUCED + " >> {}", "cell(node(" + REDUCED + " >> {}))"])
def test_maxima_of_maxima_do_not_cover_the_map(where):
    pools = [where.format(f"repeat(max_pool_3x3(), {count})") for count in (2, 3, 4)]
    assert len(set(map(digest, pools))) == 3
    assert digest(where.format("repeat(max_pool_3x3(), 2)")) == digest(
        where.format("maxpool(kernel=5, stride=1, padding='same')")
    )


def test_maps_inside_a_cell_count():
    """A cell's output may be larger than what it goes through."""
    cell = "cell(node(residual({}repeat(conv(stride=2), 4) >> {})))"
    assert digest(cell.format("", "max_pool_3x3()")) != digest(cell.format("", "identity()"))
    after = "conv(stride=2) >> conv(stride=2) >> "
    assert digest(after + cell.format("", "max_pool_3x3()")) != digest(after + cell.format("", "identity()"))


def test_primitives_behind_a_cell_are_seen_on_large_maps():
    pool = "cell(node(conv())) >> conv(stride=4) >> avgpool(kernel={}, stride=1, padding='same')"
    assert digest(pool.format(5)) != digest(pool.format(7))


def test_a_map_that_stays_too_small_is_a_reason():
    found = reason("repeat(conv(stride=2), 6) >> max_pool_3x3()")
    assert found is not None
    assert "expected feature maps of at least 3 pixels" in found
    inside = reason("cell(node(residual(repeat(conv(stride=2), 6))))")
    assert inside is not None
    assert inside.startswith("cell: expected feature maps")


def test_a_branch_without_effect_does_not_ask_for_large_maps():
    assert digest("add(tanh(), max_pool_3x3() >> max_pool_3x3() >> zero())") == digest("tanh()")


def test_inputs_that_belong_together_grow_together():
    assert enlarged(((4, 3, 3), (8, 2, 2))) == ((4, 12, 12), (8, 6, 6))
    assert enlarged(((4, 12, 12), (8, 6, 6))) == ((4, 24, 24), (8, 12, 12))
    assert enlarged(((4, 48, 48),)) is None
    assert enlarged(((4,),)) is None
