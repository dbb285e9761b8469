"""Seconds and memory of a DARTS search step: architecture step and weight step, first and second order.

`python -m tests.benchmarks.supernet_benchmark` runs it: 8 channels, 5 cells, batches of 32 images of 16x16,
on the CPU. Every implementation runs in a process of its own for each number of threads, since libraries take
that number when they start; the processes live side by side and take turns step by step, so that other work
on the machine slows all of them alike. Processor seconds, of all threads, are printed too: at one thread
they hardly depend on other work; at more they count waiting threads. Memory is the peak of the process's
resident set above what it was before the implementation was made, a new process for each order and number
of threads, read from Linux's /proc: unlike counts of tensors it holds the libraries' workspaces too.

Printed are, for each order and number of threads, the three figures of the plain baseline
(`darts_baseline.py`) and of the supernet that `nas.oneshot` trains, with its speed and memory beside the
baseline's; then how far the weights of both are apart, in double precision and from the same start, after 10
steps of either order: the largest distance of a tensor from the baseline's, relative to its norm.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Protocol

from tests.benchmarks.figures import line

if TYPE_CHECKING:
    from torch import Tensor

    from tests.benchmarks.darts_baseline_search import Batch

KIB = 1024.0  # in a MiB
TIMES_ASKED = {False: 2.0, True: 1.0}  # faster than the baseline, by second order


class Implementation(Protocol):
    """A supernet under search."""

    def step(self, train: Batch, valid: Batch, second_order: bool = False) -> float:
        """One architecture step and one weight step; the training loss before the weight step."""
        ...

    def parameters(self) -> Mapping[str, Tensor]:
        """Weights by the names of `darts_baseline`."""
        ...

    def load(self, weights: Mapping[str, Tensor], alphas: Mapping[str, Tensor]) -> None:
        """Takes weights by those names, and architecture weights, over."""
        ...


@dataclass(frozen=True, slots=True)
class Setting:
    """What is timed; architecture weights, images and initial weights follow from seed 0."""

    channels: int = 8
    cells: int = 5
    classes: int = 10
    nodes: int = 4
    batch: int = 32
    side: int = 16
    precision: str = "float32"
    device: str = "cpu"


def make_baseline(setting: Setting) -> Implementation:
    import torch

    from tests.benchmarks.darts_baseline import Shape
    from tests.benchmarks.darts_baseline_search import BaselineSearch

    shape = Shape(setting.channels, setting.cells, setting.classes, setting.nodes)
    return BaselineSearch(shape, dtype=getattr(torch, setting.precision), device=setting.device)


def make_supernet(setting: Setting) -> Implementation:
    import torch

    from tests.benchmarks.darts_baseline import Shape
    from tests.supernet.darts_pair import PlatformSearch

    shape = Shape(setting.channels, setting.cells, setting.classes, setting.nodes)
    dtype = getattr(torch, setting.precision)
    return PlatformSearch(shape, side=setting.side, dtype=dtype, device=setting.device)


# the first is what the others are compared with
MAKERS = {"baseline": make_baseline, "supernet": make_supernet}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--sides", type=int, nargs="+", default=[16])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--orders", choices=("first", "second"), nargs="+", default=["first", "second"])
    arguments = parser.parse_args()
    for side in arguments.sides:
        setting = Setting(side=side)
        for threads in arguments.threads:
            for order in arguments.orders:
                report(setting, threads, order == "second", arguments.repeats)
    agreement(Setting(precision="float64", batch=8))


def report(setting: Setting, threads: int, second_order: bool, repeats: int) -> None:
    """Times all implementations in turn and prints seconds and memory, beside the baseline's."""
    order = "second" if second_order else "first"
    print(f"{order} order, {setting.side}x{setting.side}, {threads} threads")
    workers = [Worker(name, setting, threads, second_order) for name in MAKERS]
    try:
        for _ in range(repeats):
            for worker in workers:
                worker.step()
        base = workers[0]
        for worker in workers:
            times, share, asked = "", "", TIMES_ASKED[second_order]
            if worker is not base:
                ratio = statistics.median(base.seconds) / statistics.median(worker.seconds)
                times = f"{ratio:.2f} times faster; {asked:g} asked"
                share = f"{worker.peak / base.peak:.2f} x the baseline's; 1 allowed"
            print(line(worker.name, worker.seconds, "s a step", times))
            print(line(f"{worker.name}, processor", worker.processor, "s a step"))
            print(line(f"{worker.name}, memory", [worker.peak], "MiB", share))
    finally:
        for worker in workers:
            worker.close()


@dataclass(slots=True)
class Worker:
    """A process that holds one implementation and steps when told to."""

    name: str
    setting: Setting
    threads: int
    second_order: bool
    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    peak: float = 0.0  # MiB above the memory before the implementation was made
    _end: Any = None
    _process: Any = None

    def __post_init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._end, other = context.Pipe()
        arguments = (other, self.name, self.setting, self.second_order)
        before = os.environ.get("OMP_NUM_THREADS")
        os.environ["OMP_NUM_THREADS"] = str(self.threads)  # the child inherits it
        try:
            self._process = context.Process(target=serve, args=arguments, daemon=True)
            self._process.start()
        finally:
            _restore("OMP_NUM_THREADS", before)
        other.close()
        self._end.recv()  # warm

    def step(self) -> None:
        self._end.send("step")
        seconds, processor, self.peak = self._end.recv()
        self.seconds.append(seconds)
        self.processor.append(processor)

    def close(self) -> None:
        self._end.close()
        self._process.join()


def serve(end: Connection, name: str, setting: Setting, second_order: bool) -> None:
    """The child: two steps to warm up, then one for each word that comes, until the pipe closes."""
    train, valid = batches(setting)
    before = memory("VmRSS")
    search = MAKERS[name](setting)
    for _ in range(2):
        search.step(train, valid, second_order)
    end.send("warm")
    try:
        while end.recv():
            started, processor = time.perf_counter(), time.process_time()
            search.step(train, valid, second_order)
            spent = time.perf_counter() - started, time.process_time() - processor
            end.send((*spent, memory("VmHWM") - before))
    except EOFError:
        return


def batches(setting: Setting) -> Sequence[Batch]:
    """A training and a validation batch."""
    import torch

    generator = torch.Generator().manual_seed(0)
    shape = (setting.batch, 3, setting.side, setting.side)
    dtype = getattr(torch, setting.precision)
    return [
        (
            torch.randn(shape, generator=generator, dtype=dtype).to(setting.device),
            torch.randint(setting.classes, (setting.batch,), generator=generator).to(setting.device),
        )
        for _ in range(2)
    ]


def agreement(setting: Setting, steps: int = 10) -> None:
    """Prints the largest relative error of a weight tensor after some steps in double precision."""
    import torch

    train, valid = batches(setting)
    for second_order in (False, True):
        base = make_baseline(setting)
        weights = {name: value.detach().clone() for name, value in base.parameters().items()}
        alphas = {kind: value.detach().clone() for kind, value in base.alphas.items()}  # type: ignore[attr-defined]
        for _ in range(steps):
            base.step(train, valid, second_order)
        expected = base.parameters()
        for name in list(MAKERS)[1:]:
            other = MAKERS[name](setting)
            other.load(weights, alphas)
            for _ in range(steps):
                other.step(train, valid, second_order)
            found = other.parameters()
            worst = max(
                float((torch.dist(found[n], expected[n]) / expected[n].norm()).detach()) for n in expected
            )
            order = "second" if second_order else "first"
            print(f"  {name}: relative error {worst:.1e} after {steps} steps of {order} order; 1e-4 allowed")


def memory(key: str) -> float:
    """MiB of this process, now ("VmRSS") or at most so far ("VmHWM")."""
    with open("/proc/self/status") as file:
        values = dict(entry.split(":", 1) for entry in file)
    return float(values[key].split()[0]) / KIB


def _restore(name: str, value: str | None) -> None:
    if value is None:
        del os.environ[name]
    else:
        os.environ[name] = value


if __name__ == "__main__":
    main()
