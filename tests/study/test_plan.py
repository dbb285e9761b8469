from __future__ import annotations

import pytest

from nas.errors import ConfigError
from nas.study import Budget, Plan


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Budget(), "expected trials, seconds or both; got neither"),
        (lambda: Budget(trials=0), "budget.trials: expected 1 to 10000000; got 0"),
        (lambda: Budget(seconds=0.0), "budget.seconds: expected more than 0; got 0.0"),
        (lambda: Plan(seed=-1), "seed: expected 0 or more; got -1"),
        (lambda: Plan(seed=0, baseline=-1), r"^baseline\.samples: expected 0 to 10000000; got -1"),
        (lambda: Plan(seed=0, baseline=10_000_001), "baseline.samples: expected 0 to 10000000; got 10000001"),
        (lambda: Plan(seed=0, final=10_000_001), r"^final\.seeds: expected 0 to 10000000; got 10000001"),
        (lambda: Plan(seed=0, time_limit=0.0), r"^trial\.time_limit: expected more than 0 seconds; got 0.0"),
    ],
)
def test_plans_are_checked(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
