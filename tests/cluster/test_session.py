from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from nas.cluster.environment import import_paths
from nas.cluster.options import RayOptions
from nas.cluster.session import Session, connect, places
from nas.errors import ConfigError
from tests.cluster.local_ray import local_ray  # noqa: F401

ROOT = Path(__file__).parents[2]


def script(folder: Path, text: str) -> Path:
    """A user's program: its evaluator in `__main__`, a module of its own beside it."""
    (folder / "own_module.py").write_text("def score(task):\n    return float(task.architecture.width)\n")
    path = folder / "program.py"
    path.write_text(textwrap.dedent(PROGRAM) + textwrap.dedent(text))
    return path


PROGRAM = f"""
import os, signal, sys, time
sys.path.append({str(ROOT)!r})
from dataclasses import dataclass
from nas.cluster.ray_executor import RayExecutor
from nas.evaluation import Evaluation, Evaluator, Objective, Status, Task

@dataclass(frozen=True)
class Network:
    width: int

class Widths(Evaluator):
    objectives = (Objective("score"),)
    reported = objectives[0]
    fidelity_range = None
    def fingerprint(self): return "own"
    def __call__(self, task):
        import own_module
        if task.architecture.width < 0:
            time.sleep(1000)
        return Evaluation(Status.COMPLETED, {{"score": own_module.score(task)}})
"""


def environment(**changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "PYTHONPATH"))}
    return {**kept, **changes}


@pytest.mark.slow
def test_another_program_joins_a_running_ray(local_ray, tmp_path):  # noqa: F811
    import ray

    program = script(
        tmp_path,
        """
        executor = RayExecutor(address=sys.argv[1], workers=1, cpus_per_trial=0.5)
        executor.open(Widths())
        print(executor.describe()[0])
        executor.submit(Task(0, Network(32)))
        print(executor.wait()[0].evaluation)
        executor.close()
        """,
    )
    address = ray.get_runtime_context().gcs_address
    command = [sys.executable, "-W", "error", str(program), address]
    variables = environment(RAY_AUTH_MODE="disabled")
    ended = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr == ""
    assert ended.stdout.startswith("ray: joined; 1 trials at a time (actors), 0.5 CPUs, 0 GPUs each\n")
    assert "status=<Status.COMPLETED: 'completed'>, values={'score': 32.0}" in ended.stdout
    assert ray.is_initialized()
    assert ray.cluster_resources()["CPU"] == 2


@pytest.mark.ray  # beside others it did not always end in time
@pytest.mark.slow
def test_ctrl_c_ends_a_local_ray_without_noise(tmp_path):
    program = script(
        tmp_path,
        """
        signal.signal(signal.SIGINT, signal.default_int_handler)  # also below a shell that ignores it
        executor = RayExecutor(num_cpus=2)
        try:
            executor.open(Widths())
            print(*executor.describe(), sep="\\n", flush=True)
            executor.submit(Task(0, Network(16)))
            print(executor.wait()[0].evaluation.values, flush=True)
            executor.submit(Task(1, Network(-1)))
            executor.submit(Task(2, Network(-1)))
            print("waiting", flush=True)
            executor.wait()
        except KeyboardInterrupt:
            executor.close()
            print("closed")
        """,
    )
    running = subprocess.Popen(
        [sys.executable, "-W", "error", str(program)],
        cwd=tmp_path,
        env=environment(HOME=str(tmp_path)),  # where Ray leaves its token
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert running.stdout is not None
    lines = []
    while not lines or (lines[-1] and lines[-1] != "waiting\n"):
        lines.append(running.stdout.readline())
    assert lines[-1] == "waiting\n", running.communicate()
    listening = outer_ports(running.pid)
    started = time.monotonic()
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to all processes of the group
    try:
        output, errors = running.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        running.kill()  # so that no later test stumbles over it
        pytest.fail(f"it goes on after 30 s; it said {running.communicate()}")
    assert time.monotonic() - started < 15
    assert (output, errors) == ("closed\n", "")
    head, *rest = lines
    assert head == "ray: started here; 2 trials at a time (actors), 1 CPUs, 0 GPUs each\n"
    assert rest[0].startswith("dashboard: http://127.0.0.1:")
    assert rest[1] == "it asks for a token, which `ray get-auth-token` prints (~/.ray/auth_token)\n"
    assert rest[-2] == "{'score': 16.0}\n"
    assert (tmp_path / ".ray" / "auth_token").exists()
    assert listening == []


def outer_ports(process: int) -> list[Any]:
    """Listening sockets of a process and its descendants that others than this machine can reach."""
    pytest.importorskip("ray")  # brings psutil along
    psutil = pytest.importorskip("psutil")
    parent = psutil.Process(process)
    return [
        connection
        for each in [parent, *parent.children(recursive=True)]
        for connection in each.net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN
        and connection.laddr.ip not in ("127.0.0.1", "::1", "::ffff:127.0.0.1")
    ]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (
            "127.0.0.1:1",
            r"expected a running Ray at 127\.0\.0\.1:1, got none \(\[Errno 111\] Connection refused\); start",
        ),
        (
            "localhost",
            r'got none \(not an address of the form "host:port"\); start one with `ray start --head`',
        ),
        (
            "ray://localhost:10001",
            r"got none \(an address of Ray Client; run on a node of the cluster, or by",
        ),
    ],
)
def test_an_address_without_ray_is_one_line(address, message, monkeypatch):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with pytest.raises(ConfigError, match=rf"^executor\.address: .*{message}") as info:
        connect(RayOptions(address=address))
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("how", ["option", "environment"])
def test_resources_of_a_local_ray_do_not_go_with_an_address(how, monkeypatch):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    if how == "environment":
        monkeypatch.setenv("RAY_ADDRESS", "somewhere:6379")
    with pytest.raises(
        ConfigError,
        match="expected a local Ray, got an address, somewhere:6379, whose cluster is joined; leave",
    ):
        connect(RayOptions(num_cpus=2, address="somewhere:6379" if how == "option" else None))


NODES = [
    {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0, "memory": 16 * 2.0**30}},
    {"Alive": True, "Resources": {"CPU": 4.0, "memory": 8 * 2.0**30}},
    {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0, "memory": 1e12}},
]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 12),
        ({"cpus_per_trial": 3}, 3),
        ({"cpus_per_trial": 0.1}, 120),
        ({"gpus_per_trial": 0.25}, 8),
        ({"gpus_per_trial": 1, "cpus_per_trial": 8}, 1),
        ({"memory_per_trial": 5}, 4),
        ({"workers": 5}, 5),
    ],
)
def test_places_are_counted_node_by_node(options, expected, monkeypatch):
    monkeypatch.setattr("ray.nodes", lambda: NODES)
    assert places(RayOptions(**options), Session(ours=True, local=True, dashboard="", logs="")) == expected


def test_a_local_ray_runs_no_more_workers_than_fit_while_a_cluster_may_grow(monkeypatch):
    monkeypatch.setattr("ray.nodes", lambda: NODES)
    options = RayOptions(workers=13)
    with pytest.raises(ConfigError, match=r"^executor\.workers: expected at most 12, .*, got 13; lower it"):
        places(options, Session(ours=True, local=True, dashboard="", logs=""))
    assert places(options, Session(ours=True, local=False, dashboard="", logs="")) == 13


def test_import_paths_are_what_this_python_alone_would_not_have(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", ["", str(tmp_path), str(tmp_path), "/nowhere", *sys.path])
    paths = import_paths()
    assert paths[:2] == [os.getcwd(), str(tmp_path)]
    assert paths.count(str(tmp_path)) == 1
    assert not any("site-packages" in path or path.endswith("lib-dynload") for path in paths)
    assert "/nowhere" not in paths
