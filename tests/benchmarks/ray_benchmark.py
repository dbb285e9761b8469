"""The Ray executor, and a whole study on it, beside a bare `ray.wait` loop over the same actors, in one run.

The study is random search on the cells of NAS-Bench-201, its log included. Prints trials a second and
the driver's processor time a trial. `process` counts all threads of the driver, those of Ray's own
library included; `thread` the one that the study runs in. Both contain what Ray needs for any call,
which the bare loop shows; the difference is the platform's own, printed beside what is asked for.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # everything stays on the loopback interface

from nas.algorithms.random_search import RandomSearch
from nas.cluster.actors import ActorPool
from nas.cluster.ray_executor import RayExecutor
from nas.cluster.worker import encode_task
from nas.evaluation import Evaluation, Evaluator, Fidelity, Status, Task
from nas.search_spaces.nasbench201 import space as nasbench201
from nas.space import sample
from nas.study import Budget, Plan, Study
from tests.cluster.stand_ins import StandIn

OWN_MS_ASKED = 0.3  # of the driver's time a trial
RATE_ASKED = 0.9  # of the bare loop's, with trials of 10 ms
SPACE = nasbench201()
KIND = "milliseconds"  # the fidelity: how long a trial takes


class Sleeping(StandIn):
    """Sleeps for as long as the fidelity says."""

    fidelity_range = (KIND, 0.0, 1000.0)

    def __call__(self, task: Task) -> Evaluation:
        assert task.fidelity is not None
        if task.fidelity.value:
            time.sleep(task.fidelity.value / 1e3)
        return Evaluation(Status.COMPLETED, {"score": 1.0}, 0.001)


class KeptOpen(RayExecutor):
    """Keeps its actors from one study to the next."""

    def open(self, evaluator: Evaluator) -> None:
        if self._pool is None:
            super().open(evaluator)

    def close(self) -> None:
        assert not self._in_flight


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


def tasks(milliseconds: float) -> Iterator[Task]:
    """Endless; architectures were drawn before."""
    rng = np.random.default_rng(0)
    architectures = [sample(SPACE, rng) for _ in range(100)]
    for trial in count():
        yield Task(trial, architectures[trial % 100], fidelity=Fidelity(KIND, milliseconds))


def bare_loop(actors: list[Any], milliseconds: float) -> Callable[[int], None]:
    """The least that a driver can do: one call in flight at each actor, sent again as it ends."""
    import ray

    def work(trials: int) -> None:
        line = islice(tasks(milliseconds), trials)
        pending = {actor.run.remote(encode_task(next(line))): actor for actor in actors}
        while pending:
            ready, _ = ray.wait(list(pending))
            for ref in ready:
                actor = pending.pop(ref)
                ray.get(ref)
                if (following := next(line, None)) is not None:
                    pending[actor.run.remote(encode_task(following))] = actor

    return work


def executor_loop(executor: RayExecutor, milliseconds: float) -> Callable[[int], None]:
    """What a study does, without its searcher and its log."""

    def work(trials: int) -> None:
        line = islice(tasks(milliseconds), trials)
        sent = ended = 0
        while ended < trials:
            while sent < trials and sent - ended < executor.capacity:
                executor.submit(next(line))
                sent += 1
            ended += len(executor.wait())

    return work


def whole_study(executor: KeptOpen, milliseconds: float) -> Callable[[int], None]:
    """Searcher, executor and log, without a cache, so that every trial is carried out."""

    def work(trials: int) -> None:
        evaluator = Sleeping()
        searcher = RandomSearch(SPACE, evaluator.objectives, seed=0)
        plan = Plan(0, Budget(trials=trials), search_fidelity=Fidelity(KIND, milliseconds))
        with tempfile.TemporaryDirectory() as folder:
            study = Study(SPACE, searcher, evaluator, executor, directory=Path(folder), plan=plan)
            study.run()

    return work


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    executor = KeptOpen(dashboard=False)
    executor.open(Sleeping())
    try:
        pool = executor._pool
        assert isinstance(pool, ActorPool)
        for label, milliseconds in {"10 ms": 10.0, "no-op": 0.0}.items():
            loops = {
                "bare loop": bare_loop([lane.actor for lane in pool._lanes], milliseconds),
                "executor": executor_loop(executor, milliseconds),
                "study": whole_study(executor, milliseconds),
            }
            report(label, loops, arguments.trials, arguments.repeats)
    finally:
        RayExecutor.close(executor)


def report(label: str, loops: dict[str, Callable[[int], None]], trials: int, repeats: int) -> None:
    """Runs the loops in turn, so that all meet the same state of the machine; prints medians."""
    runs: dict[str, list[Figures]] = {name: [] for name in loops}
    for work in loops.values():
        work(100)  # the rate of the trials becomes known, processes are warm
    for _ in range(repeats):
        for name, work in loops.items():
            runs[name].append(measure(work, trials))
    middle = {name: median(figures) for name, figures in runs.items()}
    print(f"{label} trials, {trials} at a time, median of {repeats}")
    for name, figures in middle.items():
        print(
            f"  {name:10} {figures.rate:7.0f} trials/s   driver: process {figures.process:.3f} ms, "
            f"thread {figures.thread:.3f} ms a trial"
        )
    bare = middle.pop("bare loop")
    for name, figures in middle.items():
        print(f"  {name:10} beside the bare loop: {against(figures, bare)}")


def median(figures: list[Figures]) -> Figures:
    """Of each figure on its own."""
    rows = zip(*(astuple(each) for each in figures), strict=True)
    return Figures(*(statistics.median(row) for row in rows))


def against(ours: Figures, bare: Figures) -> str:
    """What is ours beyond the bare loop's, as multiples of what is asked for."""
    process, thread = ours.process - bare.process, ours.thread - bare.thread
    rate = ours.rate / bare.rate
    return (
        f"process {process:+.3f} ms = {process / OWN_MS_ASKED:.2f} x, thread {thread:+.3f} ms = "
        f"{thread / OWN_MS_ASKED:.2f} x the {OWN_MS_ASKED} ms; rate {rate:.3f} = "
        f"{rate / RATE_ASKED:.2f} x the {100 * RATE_ASKED:.0f} %"
    )


if __name__ == "__main__":
    main()
