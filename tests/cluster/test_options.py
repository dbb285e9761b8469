from __future__ import annotations

from contextlib import closing

import pytest

from cluster.options import RayOptions
from cluster.ray_executor import RayExecutor
from nas.errors import ConfigError
from tests.cluster.local_ray import local_ray  # noqa: F401
from tests.cluster.stand_ins import Scripted


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"cpus_per_trial": 64},
            r"one trial needs 64 CPUs, 0 GPUs, but the nodes have 2 CPUs, 0 GPUs and .+; lower",
        ),
        ({"gpus_per_trial": 0.5}, r"one trial needs 1 CPUs, 0\.5 GPUs, but the nodes have 2 CPUs"),
        ({"memory_per_trial": 1e6}, r"needs 1 CPUs, 0 GPUs and 1e\+06 GB of memory, but the nodes have"),
    ],
)
def test_what_no_node_has_is_said_before_the_run(options, message, local_ray):  # noqa: F811
    with pytest.raises(ConfigError, match=message), closing(RayExecutor(**options)) as executor:
        executor.open(Scripted())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "threads"}, r'^executor\.mode: expected "actors" or "tasks", got \'threads\'$'),
        ({"retries": -1}, r"^executor\.retries: expected a number >= 0, got -1$"),
        ({"max_in_flight": 0}, r"^executor\.max_in_flight: expected a number >= 1, got 0$"),
        ({"time_limit": 0}, r"^executor\.time_limit: expected a number > 0, got 0$"),
        ({"cpus_per_trial": 0}, r"^executor\.cpus_per_trial: expected > 0 when gpus_per_trial is 0, got 0$"),
        (
            {"gpus_per_trial": 1.5},
            r"^executor\.gpus_per_trial: expected at most 1 or a whole number, got 1\.5$",
        ),
        ({"cpu_per_trial": 1}, r"^executor\.cpu_per_trial: unknown option of ray; known: address, .*retries"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ConfigError, match=message):
        RayExecutor(**options)


def test_the_demand_of_a_trial_names_what_it_needs_only():
    assert RayOptions().demand == {"CPU": 1}
    assert RayOptions(gpus_per_trial=0.5, memory_per_trial=2).demand == {
        "CPU": 1,
        "GPU": 0.5,
        "memory": 2 * 2**30,
    }
