"""Rates of the operators on NAS-Bench-201, and what imports cost.

`python tests/benchmarks/core_benchmark.py` runs it.
One process, one core. The times of imports are those of whole processes, bare Python's in turn with them.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable

import numpy as np

from nas.search_spaces.nasbench201 import space as nasbench201
from nas.space import Architecture, crossover, mutate, sample
from tests.benchmarks.figures import line, seconds_of, timed

RATE_ASKED = 20_000  # samples, and mutations, a second
IMPORT_ASKED = 0.3  # seconds of `import nas` above bare Python

IMPORTS = {
    "import numpy": "import numpy",
    "import nas": "import nas",
    "import space, operators, study": "import nas.space.space, nas.space.operators, nas.study.study",
    "import torch": "import torch",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=5000, help="architectures a repeat")
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    operators(arguments.count, arguments.repeats)
    imports(arguments.repeats)


def operators(count: int, repeats: int) -> None:
    """Architectures a second of each operator, with and without the text."""
    space, rng = nasbench201(), np.random.default_rng(0)
    parents = [sample(space, rng) for _ in range(count)]
    mates = parents[1:] + parents[:1]
    works: dict[str, Callable[[], object]] = {
        "sample": lambda: [sample(space, rng) for _ in range(count)],
        "mutate": lambda: [mutate(space, parent, rng) for parent in parents],
        "crossover": lambda: [crossover(space, a, b, rng) for a, b in zip(parents, mates, strict=True)],
        "sample and write the text": lambda: [sample(space, rng).text for _ in range(count)],
        "sample, text and digest": lambda: [sample(space, rng).digest() for _ in range(count)],
        "sample by derivation count": lambda: [sample(space, rng, by="derivations") for _ in range(count)],
        "parse a text": lambda: _parse_some(parents[: count // 20]),
    }
    print(f"operators on {space.name} ({space.size():,} cells), one core, {count:,} a repeat")
    for label, work in works.items():
        done = count // 20 if label == "parse a text" else count
        rates = [done / seconds for seconds in seconds_of(work, repeats)]
        asked = f"{statistics.median(rates) / RATE_ASKED:.2f} x the {RATE_ASKED:,} asked for"
        print(line(label, rates, "a second", asked if label in ("sample", "mutate") else ""))


def _parse_some(architectures: list[Architecture]) -> None:
    space = nasbench201()
    for architecture in architectures:
        space.parse(architecture.text)


def imports(repeats: int) -> None:
    """Seconds of whole processes; the figure is what an import adds to bare Python's, pair by pair."""
    print(f"imports, seconds above bare Python, which takes {_bare():.3f} s")
    for label, statement in IMPORTS.items():
        _process(statement)
        added = [_process(statement) - _process("pass") for _ in range(repeats)]
        asked = f"{statistics.median(added) / IMPORT_ASKED:.2f} x the {IMPORT_ASKED} s allowed"
        print(line(label, added, "s", asked if " nas" in statement else ""))


def _bare() -> float:
    return statistics.median(_process("pass") for _ in range(5))


def _process(statement: str) -> float:
    return timed(lambda: subprocess.run([sys.executable, "-c", statement], check=True))


if __name__ == "__main__":
    main()
