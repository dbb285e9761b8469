"""Milliseconds of an ask, its tell included, of every searcher, in one process and without any training.

`python tests/benchmarks/searcher_benchmark.py` runs it: so many trials one after the other, on a made-up
objective that a model can learn. Wrappers are measured around random search.
"""

from __future__ import annotations

import argparse
import zlib

from nas.algorithms import SEARCHERS
from nas.errors import ConfigError
from nas.evaluation import Evaluation, Objective, Status
from nas.search_spaces import SPACES
from nas.space import Architecture, SearchSpace
from nas.study import SearchFinished, Trial
from tests.benchmarks.figures import timed

ASKED_MS = 30.0  # of the default searcher, on average up to 500 trials
OBJECTIVES = (Objective("score"),)
DEFAULT = "surrogate"
RANDOM = {"searcher": {"name": "random"}}
RANGE = {"fidelity_range": ("epochs", 1.0, 27.0)}
OPTIONS = {
    "no_repeats": RANDOM,
    "pending_limit": RANDOM,
    "bisection": RANDOM | {"all_choices": True},
    "asha": RANDOM | RANGE,
    "hyperband": RANDOM | RANGE,
    "listed": {"samples": 1000},
}


def score(architecture: Architecture) -> Evaluation:
    """Threes and convolutions are good, up to a fixed noise."""
    text = architecture.text
    noise = zlib.crc32(text.encode()) / 2**32
    value = text.count("3") + 0.5 * text.count("conv") - 0.1 * text.count("zero") + 0.3 * noise
    return Evaluation(Status.COMPLETED, {"score": value})


def milliseconds(name: str, space: SearchSpace, trials: int) -> float:
    """On average, the first trials included.

    Raises:
        ConfigError: the searcher cannot handle the space.
    """
    searcher = SEARCHERS.get(name)(space, OBJECTIVES, seed=0, **OPTIONS.get(name, {}))
    done = 0

    def work() -> None:
        nonlocal done
        for number in range(trials):
            try:
                (suggestion,) = searcher.ask(1)
            except SearchFinished:
                return
            searcher.tell(Trial(number, suggestion, evaluation=score(suggestion.architecture)))
            done = number + 1

    return 1e3 * timed(work) / max(1, done)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trials", type=int, default=100, help="of every searcher on nasbench201")
    parser.add_argument("--default-trials", type=int, default=500, help=f"of {DEFAULT} on each space")
    parser.add_argument("--searchers", nargs="*", default=SEARCHERS.names())
    arguments = parser.parse_args()
    cells = SPACES.get("nasbench201")()
    print(f"nasbench201, {arguments.trials} trials: ms an ask and tell")
    for name in arguments.searchers:
        try:
            print(f"  {name:24}{milliseconds(name, cells, arguments.trials):8.2f}", flush=True)
        except ConfigError as error:
            print(f"  {name:24}{error}", flush=True)
    if DEFAULT not in arguments.searchers:
        return
    print(f"{DEFAULT}, {arguments.default_trials} trials: ms an ask and tell, beside {ASKED_MS:g}")
    for space in SPACES.names():
        found = milliseconds(DEFAULT, SPACES.get(space)(), arguments.default_trials)
        print(f"  {space:24}{found:8.2f} = {found / ASKED_MS:.2f} x", flush=True)


if __name__ == "__main__":
    main()
