"""The connection to Ray: a local one is started and stopped, a running one is joined."""

from __future__ import annotations

import logging
import math
import os
import socket
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from nas.cluster.environment import (
    import_paths,
    inherited_import_path,
    kept_sigterm,
    loopback_only,
    quiet,
    show_worker_logs,
)
from nas.cluster.options import GIGABYTE, RayOptions
from nas.errors import ConfigError, refusal

_CONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Session:
    """A connection to Ray.

    Attributes:
        ours: whether this process connected, so that it disconnects in the end.
        local: whether this process started Ray.
        dashboard: "host:port" of the dashboard, or empty.
        logs: folder of Ray's logs, with the output of workers.
    """

    ours: bool
    local: bool
    dashboard: str
    logs: str

    def runtime_env(self) -> dict[str, Any]:
        """Ray's environment for workers that import the same modules as this process.

        A local Ray inherits the import path; a running cluster gets it for nodes that see the same files.
        Nothing is uploaded: `ray job submit --working-dir` does that.
        """
        paths = import_paths()
        if self.local or not paths:
            return {}
        return {"env_vars": {"PYTHONPATH": os.pathsep.join([*paths, "${PYTHONPATH}"])}}

    def describe(self) -> list[str]:
        """Lines on the dashboard, on how to open it, and on the output of workers."""
        lines = []
        if self.dashboard:
            lines.append(f"dashboard: http://{self.dashboard}")
            if os.environ.get("RAY_AUTH_MODE", "").lower() == "token":
                lines.append("it asks for a token, which `ray get-auth-token` prints (~/.ray/auth_token)")
        if self.logs:
            lines.append(f"what the workers print: {self.logs}")
        return lines

    def close(self) -> None:
        """Ends the connection, and with it a local Ray; safe to call twice."""
        import ray

        if self.ours and ray.is_initialized():
            ray.shutdown()
            show_worker_logs(True)


def connect(options: RayOptions) -> Session:
    """Joins the cluster that the options or RAY_ADDRESS name, or starts a local Ray.

    Raises:
        ConfigError: there is no such cluster, or options of a local Ray are given with an address.
    """
    import ray

    if ray.is_initialized():
        return _session(ours=False, local=False, dashboard="")
    address = options.address or os.environ.get("RAY_ADDRESS")
    if address and (options.num_cpus is not None or options.num_gpus is not None):
        got = f"an address, {address}, whose cluster is joined"
        raise ConfigError(refusal("executor.num_cpus, num_gpus", "a local Ray", got, "leave them out"))
    with quiet(options.log_to_driver), kept_sigterm():
        if address:
            return _join(address, options)
        return _start(options)


def _start(options: RayOptions) -> Session:
    import ray

    with loopback_only(), inherited_import_path():
        context = ray.init(
            address="local",
            num_cpus=options.num_cpus,
            num_gpus=options.num_gpus,
            include_dashboard=options.dashboard,
            dashboard_host="127.0.0.1",
            log_to_driver=options.log_to_driver,
            logging_level=logging.ERROR,
        )
    return _session(ours=True, local=True, dashboard=context.dashboard_url or "")


def _join(address: str, options: RayOptions) -> Session:
    import ray
    from ray.exceptions import RayError

    try:
        with loopback_only() if _on_loopback(address) else nullcontext():
            context = ray.init(address, log_to_driver=options.log_to_driver, logging_level=logging.ERROR)
    except (ConnectionError, TimeoutError, ValueError, RuntimeError, OSError, RayError) as error:
        expected = f"a running Ray at {address}"
        remedy = "start one with `ray start --head`, or leave the address out for a local Ray"
        message = refusal("executor.address", expected, f"none ({_reason(error)})", remedy)
        raise ConfigError(message) from error
    return _session(ours=True, local=False, dashboard=context.dashboard_url or "")


def _reason(error: BaseException) -> str:
    """The first sentence, or the remedy for a missing token, which Ray mentions only at the chain's end."""
    if "InvalidAuthToken" in f"{error} {error.__cause__}" or "AuthenticationError" in type(error).__name__:
        return "it asks for a token: set RAY_AUTH_MODE=token and have the token in ~/.ray/auth_token"
    return str(error).split("\n")[0].split(". ")[0].rstrip(".") or type(error).__name__


def _on_loopback(address: str) -> bool:
    """Whether the Ray at this address listens on the loopback interface only.

    Ray takes 127.0.0.1 for this node's outer address, and tries an address without an answer for minutes.

    Raises:
        ValueError: not an address.
        OSError: nothing answers there.
    """
    import ray.util
    from ray._private.services import get_ray_address_from_environment

    if "://" in address:
        raise ValueError("an address of Ray Client; run on a node of the cluster, or by `ray job submit`")
    if address == "auto":
        address = str(get_ray_address_from_environment(address, None))
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError('not an address of the form "host:port"')
    here = host in ("localhost", "127.0.0.1")
    if here and _answers(ray.util.get_node_ip_address(), int(port)):
        return False
    socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
    return here


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=_CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def _session(*, ours: bool, local: bool, dashboard: str) -> Session:
    from ray._private import worker

    node = worker._global_node  # Ray has no public function for the folder of its logs
    return Session(ours, local, dashboard, node.get_logs_dir_path() if node else "")


def places(options: RayOptions, session: Session) -> int:
    """Number of trials that run at the same time: as the options say, or as many as fit the nodes.

    Raises:
        ConfigError: no node has what one trial needs, or a local Ray cannot run that many. A cluster may
            grow, so that any number of workers is accepted there.
    """
    import ray

    if options.workers is not None and not session.local:
        return options.workers
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    fits = sum(_fits(options.demand, node) for node in nodes)
    have = "; ".join(amounts(node) for node in nodes) or "no node"
    if fits == 0:
        expected = f"a node with what one trial needs, {amounts(options.demand)}"
        remedy = "lower executor.cpus_per_trial, gpus_per_trial or memory_per_trial"
        raise ConfigError(refusal("executor", expected, have, remedy))
    if options.workers is not None and options.workers > fits:
        expected, remedy = f"at most {fits}, which fit into {have}", "lower it, or what one trial needs"
        raise ConfigError(refusal("executor.workers", expected, options.workers, remedy))
    return options.workers or fits


def _fits(demand: dict[str, float], node: dict[str, float]) -> int:
    """How often the demand fits into a node, with a tolerance for rounded fractions."""
    return min(math.floor(node.get(name, 0.0) / need + 1e-9) for name, need in demand.items())


def amounts(resources: dict[str, float]) -> str:
    cpus, gpus = resources.get("CPU", 0), resources.get("GPU", 0)
    memory = resources.get("memory")
    tail = "" if memory is None else f" and {memory / GIGABYTE:.3g} GB of memory"
    return f"{cpus:g} CPUs, {gpus:g} GPUs{tail}"
