"""The registries of executors, which run trials, and of launchers, which run studies, and those on Ray."""

from nas.registry import Registry

EXECUTORS = Registry("executor")
EXECUTORS.register(
    "inline", "nas.evaluation.executors:InlineExecutor", "one trial at a time in this process, without Ray"
)
EXECUTORS.register(
    "simulated",
    "nas.evaluation.executors:SimulatedExecutor",
    "a virtual clock, for evaluators that look results up",
)
EXECUTORS.register("ray", "nas.cluster.ray_executor:RayExecutor", "Ray, from a laptop's cores to a cluster")

LAUNCHERS = Registry("launcher")
LAUNCHERS.register(
    "inline", "nas.run.jobs:InlineLauncher", "one study at a time in this process, without Ray"
)
LAUNCHERS.register("ray", "nas.cluster.batch:RayLauncher", "studies side by side on Ray")
