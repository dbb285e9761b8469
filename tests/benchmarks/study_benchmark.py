"""A study of 100,000 table look-ups by regularized evolution, its log included, on one core.

`python tests/benchmarks/study_benchmark.py` runs it. The table is NAS-Bench-201 on CIFAR-10 where
`NAS_TEST_DATA` or `../shared/data` has it, and otherwise one of the same size with made-up numbers.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import tempfile
import time
from pathlib import Path

from nas.algorithms.regularized_evolution import RegularizedEvolution
from nas.evaluation import Fidelity, SimulatedExecutor
from nas.evaluation.tables import LookupTable, TableEvaluator
from nas.search_spaces.nasbench201 import benchmark_string
from nas.search_spaces.nasbench201 import space as nasbench201
from nas.space import enumerate_architectures
from nas.study import Budget, Plan, Study, read_study
from tests.benchmarks.figures import line, timed

SECONDS_ASKED = 60.0  # for 100,000 look-ups
COLUMNS = {12.0: {"validation_accuracy": "c10_valid_12"}, 200.0: {"validation_accuracy": "c10_valid_200"}}
COST = "c10_epoch_runtime_s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = real_table() or made_up_table(Path(folder) / "table.csv")
        evaluator = TableEvaluator(LookupTable(str(path), "arch_str", COLUMNS, COST), benchmark_string)
        print(
            f"{arguments.trials:,} look-ups in {path.name} ({len(evaluator):,} rows), regularized evolution"
        )
        report(evaluator, Path(folder), arguments.trials, arguments.repeats)


def report(evaluator: TableEvaluator, folder: Path, trials: int, repeats: int) -> None:
    """Runs the studies one after another and prints their medians."""
    walls, processors, readings, sizes = [], [], [], []
    for repeat in range(repeats):
        directory = folder / str(repeat)
        started = time.process_time()
        walls.append(timed(make_study(evaluator, directory, trials, seed=repeat).run))
        processors.append(time.process_time() - started)
        readings.append(timed(lambda directory=directory: read_study(directory)))
        sizes.append((directory / "events.jsonl").stat().st_size / 1e6)
    allowed = SECONDS_ASKED * trials / 100_000
    print(line("study", walls, "s", f"{statistics.median(walls) / allowed:.2f} x the {allowed:g} s allowed"))
    print(line("of them processor time", processors, "s"))
    print(line("a trial", [1e6 * seconds / trials for seconds in walls], "us"))
    print(line("reading the log for a report", readings, "s"))
    print(line("log", sizes, "MB"))


def make_study(evaluator: TableEvaluator, directory: Path, trials: int, *, seed: int) -> Study:
    """Without a cache, so that every trial is looked up."""
    space = nasbench201()
    searcher = RegularizedEvolution(space, evaluator.objectives, seed=seed)
    plan = Plan(seed, Budget(trials=trials), search_fidelity=Fidelity("epochs", 12))
    return Study(space, searcher, evaluator, SimulatedExecutor(), directory=directory, plan=plan)


def real_table() -> Path | None:
    """The benchmark's own numbers, if they are at hand."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    path = Path(os.environ.get("NAS_TEST_DATA", beside)) / "nasbench201_cifar10.csv.gz"
    return path if path.is_file() else None


def made_up_table(path: Path) -> Path:
    """As many rows, with numbers that mean nothing."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["arch_str", "c10_valid_12", "c10_valid_200", COST])
        for number, architecture in enumerate(enumerate_architectures(nasbench201())):
            accuracy = 10 + number * 7919 % 8000 / 100
            writer.writerow([benchmark_string(architecture), accuracy, accuracy + 1, 10.0])
    return path


if __name__ == "__main__":
    main()
