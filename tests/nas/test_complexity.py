import pickle

import pytest

from nas.complexity import max_multiply_adds, max_parameters, multiply_adds, parameters
from nas.dsl import parse
from nas.errors import CompileError
from nas.space import SearchSpace

SHAPE = (3, 8, 10)
NETWORK = "stem(width=4) >> conv(kernel=5, width=6, groups=2, stride=2) >> batchnorm() >> head()"
SPACE = SearchSpace("tiny", f"{NETWORK} | {NETWORK.replace('width=6', 'width=60')} | linear(width=10)")
SMALL = SPACE.parse(NETWORK)


def test_parameters_count_weights_biases_and_normalisation():
    expected = (4 * 3 * 9 + 8) + (6 * 2 * 25 + 6) + 12 + (6 * 10 + 10)
    assert parameters(parse(NETWORK), SHAPE, 10) == parameters(SMALL, SHAPE, 10) == expected


def test_multiply_adds_count_each_position_of_convolutions_and_linear_layers():
    expected = 80 * 4 * 3 * 9 + 20 * 6 * 2 * 25 + 60
    assert multiply_adds(parse(NETWORK), SHAPE, 10) == multiply_adds(SMALL, SHAPE, 10) == expected


def test_counting_what_does_not_compile_raises():
    with pytest.raises(CompileError, match=r'root "linear": expected \(F,\)'):
        parameters(parse("linear(width=10)"), SHAPE, 10)


@pytest.mark.parametrize(
    ("factory", "count", "noun"),
    [(max_parameters, 504, "parameters"), (max_multiply_adds, 14_700, "multiply-adds")],
)
def test_limits_include_their_bound_and_give_their_reason(factory, count, noun):
    assert factory(count, SHAPE, 10)(SMALL) is None
    reason = f"{count:,} {noun}, more than the limit of {count - 1:,}"
    assert factory(count - 1, SHAPE, 10)(SMALL) == reason


def test_limit_refuses_what_does_not_compile():
    reason = max_parameters(10**9, SHAPE, 10)(SPACE.parse("linear(width=10)"))
    assert reason is not None
    assert reason.startswith('parameters cannot be counted: root "linear": expected (F,)')


def test_limit_pickles():
    limit = max_parameters(5, SHAPE, 10)
    assert pickle.loads(pickle.dumps(limit)) == limit
