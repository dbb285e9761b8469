"""How well shared weights rank the cells of NAS-Bench-201, and which cell each one-shot method picks.

`python -m tests.benchmarks.one_shot_ranking --images cifar10.npz --table nasbench201_cifar10.csv.gz` trains a
supernet for each method and seed on small cells and prints, for each: the accuracy in the table of the cell
that it picks and how many per cent of all cells are better, Kendall's tau between the accuracy with inherited
weights and the table's over random cells, the most skips in the cell, and seconds. The baselines are the
parameters and the multiply-adds of a cell, which rank without any training. The rate of the architecture
weights is `--alpha-lr`: the published 3e-4 is for 20,000 steps, many more than a CPU makes.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from nas.algorithms.shared.supernet_search import settings_of
from nas.algorithms.shared.wrapping import SEARCHERS
from nas.evaluation import Task
from nas.evaluation.tables import create as make_table
from nas.report import kendall_tau
from nas.search_spaces.nasbench201 import benchmark_string
from nas.search_spaces.nasbench201 import space as nasbench201
from nas.space import sample
from nas.supernet.measure import inherited_accuracy
from nas.supernet.selection import choose
from nas.supernet.training import OneShot, start, train
from nas.training import DataOptions, load, resident, resolve

METHODS: dict[str, dict[str, Any]] = {
    "darts, no safeguard": {"name": "darts", "skip_limit": None},
    "darts": {"name": "darts"},
    "darts, second order": {"name": "darts", "order": 2},
    "darts, perturbation": {"name": "darts", "selection": "perturbation", "skip_limit": None},
    "pc_darts": {"name": "pc_darts", "batch_size": 64, "lr": 0.025, "alpha_from": 10},
    "gdas": {"name": "gdas"},
    "sharp_darts": {"name": "sharp_darts", "warmup_epochs": 2},
    "single_path": {"name": "single_path"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", required=True, help="an .npz file of images and labels, or digits")
    parser.add_argument("--table", required=True, help="the table of all cells")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--cells", type=int, default=60, help="random cells whose ranks are compared")
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--alpha-lr", type=float, default=3e-3)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    arguments = parser.parse_args()
    table = Table(arguments.table)
    dataset = load(data_options(arguments.images))
    data = resident(dataset, dataset.digest(), resolve("cpu"))
    drawn = cells(table.space, arguments.cells)
    truth = [table.accuracy(cell) for cell in drawn]
    for name in ("parameters", "flops"):
        print(f"tau of {name}: {kendall_tau([table.values(cell)[name] for cell in drawn], truth):+.2f}")
    print(f"{len(data.train.labels)} training and {len(data.validation.labels)} validation images")
    for method in arguments.methods:
        for seed in range(arguments.seeds):
            print(line(method, seed, data, table, arguments), flush=True)


def data_options(images: str) -> DataOptions:
    if images == "digits":
        return DataOptions(dataset="digits")
    return DataOptions(dataset="npz", root=images, validation_fraction=0.2, test_fraction=0.01)


class Table:
    """Accuracy of every cell after 200 epochs; ranks."""

    def __init__(self, path: str) -> None:
        self.space = nasbench201()
        section: Any = OmegaConf.to_container(OmegaConf.load("experiments/evaluator/nasbench201.yaml"))
        del section["name"]
        self._evaluator = make_table(**{**section, "path": path})
        rng = np.random.default_rng(0)
        found = [self.accuracy(sample(self.space, rng)) for _ in range(3000)]
        self._sorted = np.sort(found)

    def accuracy(self, architecture: Any) -> float:
        return self.values(architecture)["test_accuracy"]

    def values(self, architecture: Any) -> Any:
        own = self.space.architecture_from_json(architecture.to_json())
        return self._evaluator(Task(0, own)).values

    def better(self, accuracy: float) -> float:
        """Per cent of 3,000 random cells with more than that."""
        return 100.0 * float((self._sorted > accuracy + 1e-9).mean())


def line(method: str, seed: int, data: Any, table: Table, arguments: argparse.Namespace) -> str:
    options = dict(METHODS[method])
    searcher: Any = SEARCHERS.get(options.pop("name"))
    given = {
        "epochs": arguments.epochs,
        "crop_padding": 1 if arguments.images == "digits" else 2,
        "flip": arguments.images != "digits",
        "alpha_lr": arguments.alpha_lr,
        **options,
    }
    settings = settings_of(method, searcher.defaults, given)
    space = nasbench201(channels=arguments.channels, cells=1)
    began = time.perf_counter()
    state = start(space, data, settings, seed)
    train(state, data, settings)
    ranked = ranks(state, data, settings, table, arguments.cells) if settings.partial == 1 else None
    if method == "single_path":
        picked = max(ranked, key=lambda pair: pair[0])[2] if ranked else None
    else:
        picked = choose(state, data, settings)
    accuracy = table.accuracy(picked)
    cell = benchmark_string(table.space.architecture_from_json(picked.to_json()))  # type: ignore[union-attr]
    tau = kendall_tau([r[0] for r in ranked], [r[1] for r in ranked]) if ranked else float("nan")
    return (
        f"{method:22} seed {seed}: {accuracy:6.2f} % ({table.better(accuracy):4.1f} % better), "
        f"tau {tau:+.2f}, "
        f"skips {cell.count('skip_connect')}, stopped {state.stopped or 'no'}, epoch {state.epoch}, "
        f"{time.perf_counter() - began:.0f} s, {cell}"
    )


def ranks(
    state: OneShot, data: Any, settings: Any, table: Table, count: int
) -> list[tuple[float, float, Any]]:
    """Accuracy with inherited weights, that of the table, cell; of the same random cells for all methods."""
    drawn = cells(state.space, count)
    return [(inherited_accuracy(state, each, data, settings), table.accuracy(each), each) for each in drawn]


def cells(space: Any, count: int) -> list[Any]:
    rng = np.random.default_rng(1)
    return [sample(space, rng) for _ in range(count)]


if __name__ == "__main__":
    main()
