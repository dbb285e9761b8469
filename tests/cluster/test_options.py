from __future__ import annotations

import math
import re
from contextlib import closing

import pytest

from nas.cluster.options import RayOptions
from nas.cluster.ray_executor import RayExecutor
from nas.errors import ConfigError
from tests.cluster.local_ray import local_ray  # noqa: F401
from tests.cluster.stand_ins import Scripted


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"cpus_per_trial": 64},
            r"expected a node with what one trial needs, 64 CPUs, 0 GPUs, got 2 CPUs, 0 GPUs and .+; lower",
        ),
        ({"gpus_per_trial": 0.5}, r"one trial needs, 1 CPUs, 0\.5 GPUs, got 2 CPUs"),
        ({"memory_per_trial": 1e6}, r"needs, 1 CPUs, 0 GPUs and 1e\+06 GB of memory, got"),
    ],
)
def test_what_no_node_has_is_said_before_the_run(options, message, local_ray):  # noqa: F811
    with pytest.raises(ConfigError, match=message), closing(RayExecutor(**options)) as executor:
        executor.open(Scripted())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"mode": "threads"},
            r'^executor\.mode: expected "actors" or "tasks", got .threads.; leave it out for the default$',
        ),
        (
            {"retries": -1},
            r"^executor\.retries: expected a number >= 0, got -1; leave it out for the default$",
        ),
        (
            {"max_in_flight": 0},
            r"^executor\.max_in_flight: expected a number >= 1, got 0; leave it out for the ",
        ),
        (
            {"time_limit": 0},
            r"^executor\.time_limit: expected a number > 0, got 0; leave it out for the d",
        ),
        (
            {"cpus_per_trial": 0},
            r"^executor\.cpus_per_trial: expected > 0 when .* is 0, got 0; leave it out for the d",
        ),
        (
            {"gpus_per_trial": 1.5},
            r"^executor\.gpus_per_trial: expected at most 1 or a whole number, got 1\.5; set it to 2$",
        ),
        (
            {"cpu_per_trial": 1},
            r"^executor\.cpu_per_trial: expected .*retries.*, got cpu_per_trial; did you mean cpus_",
        ),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ConfigError, match=message):
        RayExecutor(**options)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("workers", "abc", "a whole number"),
        ("workers", 1.5, "a whole number"),
        ("workers", True, "a whole number"),
        ("retries", 0.5, "a whole number"),
        ("retries", None, "a whole number"),
        ("recycle_after", 2.5, "a whole number"),
        ("num_cpus", [2], "a whole number"),
        ("cpus_per_trial", "x", "a number"),
        ("cpus_per_trial", math.nan, "a number <= 1e+09"),
        ("gpus_per_trial", math.inf, "a number <= 1e+09"),
        ("memory_per_trial", "4GB", "a number"),
        ("time_limit", math.nan, "a number <= 1e+09"),
        ("memory_per_trial", 10**400, "a number <= 1e+09"),
        ("num_cpus", 10**30, "a number <= 1e+09"),
        ("time_limit", True, "a number"),
        ("dashboard", "no", "true or false"),
        ("log_to_driver", 1, "true or false"),
        ("address", 5, "a text"),
        ("name", None, "a text"),
    ],
)
def test_options_of_another_kind_are_refused(name, value, expected):
    message = f"executor.{name}: expected {expected}, got {value!r}; leave it out for the default"
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        RayExecutor(**{name: value})


def test_options_of_each_kind_are_taken():
    options = RayOptions(workers=3, cpus_per_trial=2, time_limit=0.5, address="auto", dashboard=False)
    assert (options.workers, options.cpus_per_trial, options.time_limit) == (3, 2, 0.5)
    assert RayOptions(memory_per_trial=1e9).memory_bytes == 10**9 * 2**30 < 2**63


def test_the_demand_of_a_trial_names_what_it_needs_only():
    assert RayOptions().demand == {"CPU": 1}
    assert RayOptions(gpus_per_trial=0.5, memory_per_trial=2).demand == {
        "CPU": 1,
        "GPU": 0.5,
        "memory": 2 * 2**30,
    }
