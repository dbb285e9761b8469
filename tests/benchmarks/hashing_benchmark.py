"""How many candidates a second are hashed on one core, and what a hash costs beside a training.

`python tests/benchmarks/hashing_benchmark.py` runs it. Processor time, so that other work on the machine
counts little; hashers are fresh, so that every candidate is new to them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from nas.hashing.functional import FunctionalHasher
from nas.layers import compile_network
from nas.search_spaces import SPACES
from nas.search_spaces.update_rule import INITIAL
from nas.space import Architecture, enumerate_architectures, mutate, sample
from nas.study import Hasher
from tests.benchmarks.figures import line

CELLS_ASKED, DARTS_ASKED, RULES_ASKED = 1000.0, 10.0, 5000.0  # a second
SHARE_ASKED = 1.0  # % of one epoch on Fashion-MNIST
FASHION_MNIST = (1, 28, 28)
STEPS = 60_000 // 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cells", type=int, default=15_625)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("hashed a second, on one core")
    kinds = (
        ("nasbench201 cells", cells(arguments.cells), CELLS_ASKED),
        ("full darts architectures", random_ones("darts", 40), DARTS_ASKED),
        ("update rules", rules(5000), RULES_ASKED),
    )
    for label, candidates, asked in kinds:
        rates = [rate(candidates) for _ in range(arguments.repeats)]
        print(line(label, rates, "a second", f"{statistics.median(rates) / asked:.2f} x the {asked:g} asked"))
    print(f"a hash beside one epoch of training on images of {FASHION_MNIST}, {STEPS} batches of 128")
    for name in ("nasbench201", "macro", "deepconv"):
        shares = [share_of_an_epoch(candidate) for candidate in random_ones(name, 5, seed=1)]
        asked = f"{max(shares) / SHARE_ASKED:.2f} x the {SHARE_ASKED:g} % allowed"
        print(line(name, shares, "%", asked))


def cells(count: int) -> list[Architecture]:
    """Cells of the benchmark in random order, without repeats."""
    found = list(enumerate_architectures(SPACES.get("nasbench201")()))
    order = np.random.default_rng(0).permutation(len(found))[:count]
    return [prepared(found[i]) for i in order]


def random_ones(name: str, count: int, seed: int = 0) -> list[Architecture]:
    space, rng = SPACES.get(name)(), np.random.default_rng(seed)
    return [prepared(sample(space, rng)) for _ in range(count)]


def rules(count: int) -> list[Architecture]:
    """Mutants of mutants of AdamW, up to 40 generations."""
    space, rng = SPACES.get("update_rule")(), np.random.default_rng(0)
    found: list[Architecture] = []
    while len(found) < count:
        current = space.parse(INITIAL)
        for _ in range(40):
            current = mutate(space, current, rng)
            found.append(prepared(current))
    return found[:count]


def prepared(architecture: Architecture) -> Architecture:
    """With its expression made, which is no part of hashing."""
    architecture.term  # noqa: B018 - kept by the architecture
    return architecture


def rate(candidates: Sequence[Architecture]) -> float:
    """Candidates a second of a fresh hasher."""
    hasher: Hasher = FunctionalHasher()
    hasher.hash(candidates[0])  # what a process does once

    def work() -> None:
        for candidate in candidates:
            assert hasher.hash(candidate).digest is not None

    return len(candidates) / processor_seconds(work)


def processor_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def share_of_an_epoch(architecture: Architecture) -> float:
    """Processor time of a fresh hasher's hash in % of an epoch's forward and backward passes."""
    hasher = FunctionalHasher(channels=FASHION_MNIST[0])
    hashing = processor_seconds(lambda: hasher.hash(architecture))
    network = compile_network(architecture.network, FASHION_MNIST, 10)
    images, labels = torch.randn(128, *FASHION_MNIST), torch.zeros(128, dtype=torch.long)

    def step() -> None:
        torch.nn.functional.cross_entropy(network(images), labels).backward()

    step()
    return 100.0 * hashing / (STEPS * processor_seconds(step))


if __name__ == "__main__":
    main()
