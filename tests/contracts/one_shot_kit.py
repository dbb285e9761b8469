"""The searchers on supernets, driven without training: what their works answer is made up here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from nas.algorithms.shared.wrapping import prepare_searcher
from nas.evaluation import FIRST_TRIAL, Evaluation, Stage, Status
from nas.language import choose, define, oneof, op, ref
from nas.space import SearchSpace, sample
from nas.study import SearchFinished, Suggestion, Trial
from nas.supernet import SHARED_ACCURACY, SharedWeights, SupernetTraining
from tests.contracts.searcher_kit import OBJECTIVES, evaluate

OPTIONS: dict[str, dict[str, Any]] = {
    "darts": {"epochs": 4},
    "gdas": {"epochs": 4, "searches": 2},
    "pc_darts": {"epochs": 5, "alpha_from": 1, "epochs_per_work": 2},
    "sharp_darts": {"epochs": 6, "warmup_epochs": 1, "epochs_per_work": 4},
    "hypercuboid": {"epochs": 4, "warmup_epochs": 1},
    "single_path": {"epochs": 3, "evaluations": 8, "top": 2, "searcher": {"name": "random"}},
}
CHAINS_ONLY = ("hypercuboid",)  # searchers that take no cells


def spaces() -> dict[str, SearchSpace]:
    """Choices along a chain, and a cell whose node chooses its inputs."""
    edge = oneof(op.skip(), op.relu_conv_bn(kernel=3), op.avg_pool_3x3())
    cell = op.cell(op.node(edge, inputs=(0,)), op.node(edge, inputs=choose(1, 0, 1)))
    return {
        "choices": SearchSpace("choices", op.conv(kernel=oneof(1, 3, 5), width=oneof(4, 8)) >> op.head()),
        "gated": SearchSpace(
            "gated", define(op.stem(width=4) >> ref("cell") >> op.head(), cell=cell), gate="none"
        ),
    }


def spaces_of(name: str) -> dict[str, SearchSpace]:
    """Those that the searcher takes."""
    return {key: space for key, space in spaces().items() if key == "choices" or name not in CHAINS_ONLY}


def make(name: str, space: SearchSpace, seed: int = 7, **options: Any) -> Any:
    section = {"name": name, **OPTIONS[name], **options}
    return prepare_searcher(section, seed=seed)(space, OBJECTIVES, None)


def answer(space: SearchSpace, suggestion: Suggestion) -> Evaluation:
    """Made up, the same for the same suggestion."""
    work = suggestion.work
    if isinstance(work, SupernetTraining):
        choice = sample(space, np.random.default_rng([work.seed, work.until]))
        info = {"decisions": choice.to_json(), "epochs": work.until, "stopped": None}
        return Evaluation(Status.COMPLETED, {}, 1.0, info=info)
    if isinstance(work, SharedWeights):
        value = len(suggestion.architecture.text) + suggestion.architecture.text.count("3") / 10
        return Evaluation(Status.COMPLETED, {SHARED_ACCURACY: value}, 1.0)
    return evaluate(suggestion.architecture)


class Numbering:
    """Numbers of trials as a study gives them."""

    def __init__(self) -> None:
        self._next = {Stage.SEARCH: 0, Stage.SUPERNET: FIRST_TRIAL[Stage.SUPERNET]}

    def trial(self, suggestion: Suggestion, evaluation: Evaluation | None) -> Trial:
        stage = Stage.SEARCH if suggestion.work is None else Stage.SUPERNET
        number = self._next[stage]
        self._next[stage] += 1
        return Trial(number, suggestion, stage, evaluation=evaluation)


def drive(searcher: Any, space: SearchSpace, order: int = 0) -> Iterator[Trial]:
    """Up to three trials in flight, told in an order drawn from `order`; yields them as they are asked."""
    rng, numbering = np.random.default_rng(order), Numbering()
    flying: list[Trial] = []
    more = True
    while more or flying:
        given: list[Suggestion] = []
        if more and len(flying) < 3:
            try:
                given = list(searcher.ask(1))
            except SearchFinished:
                more = False
        for suggestion in given:
            flying.append(numbering.trial(suggestion, answer(space, suggestion)))
            yield flying[-1]
        if flying and (not given or rng.random() < 0.4):
            searcher.tell(flying.pop(int(rng.integers(len(flying)))))
