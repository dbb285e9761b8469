"""The Ray executor beside a bare `ray.wait` loop over the same actors, in one run.

Prints trials a second and the driver's processor time a trial. `process` counts all threads of the
driver, those of Ray's own library included; `thread` the one that the study runs in. Both contain
what Ray needs for any call, which the bare loop shows; the difference is the executor's own.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # everything stays on the loopback interface

from cluster.actors import ActorPool
from cluster.ray_executor import RayExecutor
from cluster.worker import encode_task
from tests.cluster.stand_ins import Scripted, task


@dataclass(frozen=True)
class Figures:
    rate: float  # trials a second
    process: float  # ms of all threads of the driver, a trial
    thread: float  # ms of the study's thread, a trial


def measure(work: Callable[[int], None], trials: int) -> Figures:
    start, process, thread = time.perf_counter(), time.process_time(), time.thread_time()
    work(trials)
    seconds = time.perf_counter() - start
    return Figures(
        trials / seconds,
        1e3 * (time.process_time() - process) / trials,
        1e3 * (time.thread_time() - thread) / trials,
    )


def bare_loop(actors: list[Any], instruction: tuple[Any, ...]) -> Callable[[int], None]:
    """The least that a driver can do: one call in flight at each actor, sent again as it ends."""
    import ray

    def work(trials: int) -> None:
        pending = {actor.run.remote(encode_task(task(0, *instruction))): actor for actor in actors}
        sent = len(pending)
        while pending:
            ready, _ = ray.wait(list(pending))
            for ref in ready:
                actor = pending.pop(ref)
                ray.get(ref)
                if sent < trials:
                    pending[actor.run.remote(encode_task(task(sent, *instruction)))] = actor
                    sent += 1

    return work


def executor_loop(executor: RayExecutor, instruction: tuple[Any, ...]) -> Callable[[int], None]:
    """What a study does, without its searcher and its log."""

    def work(trials: int) -> None:
        sent = ended = 0
        while ended < trials:
            while sent < trials and sent - ended < executor.capacity:
                executor.submit(task(sent, *instruction))
                sent += 1
            ended += len(executor.wait())

    return work


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    executor = RayExecutor(dashboard=False)
    executor.open(Scripted())
    try:
        pool = executor._pool
        assert isinstance(pool, ActorPool)
        for label, instruction in {"10 ms": ("sleep", 0.01), "no-op": ("value", 1.0)}.items():
            loops = {
                "bare loop": bare_loop([lane.actor for lane in pool._lanes], instruction),
                "executor": executor_loop(executor, instruction),
            }
            report(label, loops, arguments.trials, arguments.repeats)
    finally:
        executor.close()


def report(label: str, loops: dict[str, Callable[[int], None]], trials: int, repeats: int) -> None:
    """Runs the loops in turn, so that both meet the same state of the machine; prints medians."""
    runs: dict[str, list[Figures]] = {name: [] for name in loops}
    for work in loops.values():
        work(100)  # the rate of the trials becomes known, processes are warm
    for _ in range(repeats):
        for name, work in loops.items():
            runs[name].append(measure(work, trials))
    middle = {name: sorted(figures, key=lambda f: f.rate)[repeats // 2] for name, figures in runs.items()}
    print(f"{label} trials, {trials} at a time, median of {repeats}")
    for name, figures in middle.items():
        print(
            f"  {name:10} {figures.rate:7.0f} trials/s   driver: process {figures.process:.3f} ms, "
            f"thread {figures.thread:.3f} ms a trial"
        )
    bare, ours = middle["bare loop"], middle["executor"]
    print(
        f"  executor / bare rate {ours.rate / bare.rate:.3f}   own time of the executor: process "
        f"{ours.process - bare.process:+.3f} ms, thread {ours.thread - bare.thread:+.3f} ms a trial"
    )


if __name__ == "__main__":
    main()
