"""Seconds and memory of a DARTS search step on a GPU, at the settings published for CIFAR-10.

`python -m tests.benchmarks.supernet_gpu_benchmark` runs it: 16 channels, 8 cells, batches of 64 images of
32x32. The plain baseline of the original's structure (`darts_baseline.py`, float32) and the supernet that
`nas.oneshot` trains (channels-last, passes in bfloat16) live side by side on the device and take turns step
by step. Printed are the median seconds of both, the peak of the memory that torch allocated for a step
beside what was there before, and the ratios. Without a GPU it says so and measures nothing; `--device cpu`
with small sizes shows that it works.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch

from tests.benchmarks.figures import line
from tests.benchmarks.supernet_benchmark import MAKERS, Implementation, Setting, batches

ASKED = 3.0  # times faster than the baseline, first order


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--batch", type=int, default=64)
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("no CUDA device: nothing is measured")
        return
    sizes = {"channels": arguments.channels, "cells": arguments.cells, "batch": arguments.batch}
    setting = Setting(side=32, device=arguments.device, **sizes)
    for second_order in (False, True):
        report(setting, arguments.repeats, second_order)


def report(setting: Setting, repeats: int, second_order: bool) -> None:
    print(f"{'second' if second_order else 'first'} order on {name_of(setting.device)}")
    made = {name: make(setting) for name, make in MAKERS.items()}
    seconds: dict[str, list[float]] = {name: [] for name in made}
    peaks = dict.fromkeys(made, 0.0)
    for repeat in range(repeats + 2):  # two to warm up
        for name, search in made.items():
            spent, peak = timed(search, setting, second_order)
            if repeat > 1:
                seconds[name].append(spent)
                peaks[name] = max(peaks[name], peak)
    base = next(iter(made))
    for name in made:
        ratio = statistics.median(seconds[base]) / statistics.median(seconds[name])
        times = f"{ratio:.2f} times faster" + ("" if second_order else f"; {ASKED:g} asked")
        print(line(name, seconds[name], "s a step", "" if name == base else times))
        if peaks[base]:
            share = "" if name == base else f"{peaks[name] / peaks[base]:.2f} x the baseline's; 1 allowed"
            print(line(f"{name}, memory", [peaks[name]], "MiB", share))


def timed(search: Implementation, setting: Setting, second_order: bool) -> tuple[float, float]:
    """Seconds of a step, and MiB that it took beside what was there; none on a CPU."""
    train, valid = batches(setting)
    cuda = setting.device == "cuda"
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated() if cuda else 0
    started = time.perf_counter()
    search.step(train, valid, second_order)
    if cuda:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    return seconds, (torch.cuda.max_memory_allocated() - before) / 2**20 if cuda else 0.0


def name_of(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else device


if __name__ == "__main__":
    main()
