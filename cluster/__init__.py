"""Where trials run: the registry of executors, and the one that runs them on Ray."""

from nas.registry import Registry

EXECUTORS = Registry("executor")
EXECUTORS.register(
    "inline", "nas.executor:InlineExecutor", "one trial at a time in this process, without Ray"
)
EXECUTORS.register(
    "simulated", "nas.executor:SimulatedExecutor", "a virtual clock, for evaluators that look results up"
)
EXECUTORS.register("ray", "cluster.ray_executor:RayExecutor", "Ray, from a laptop's cores to a cluster")
