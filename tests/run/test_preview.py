from __future__ import annotations

import re
from dataclasses import replace

import pytest

from nas.algorithms.differentiable import Darts
from nas.evaluation import Evaluation, Evaluator, Fidelity, InlineExecutor, Objective, Status, Task, failure
from nas.language import op
from nas.run.compose import Components, preview
from nas.run.config import Config
from nas.run.single import NoSearch
from nas.space import SearchSpace
from nas.study import Budget, Plan, Searcher, SearchFinished, Suggestion, Trial
from nas.training import DataOptions, load
from tests.study.hashing_kit import Moody

SPACE = SearchSpace("three", "relu() | gelu() | silu()")
UNBOUNDED = SearchSpace("rates", "train(relu(), lr=real(0.1, 1.0))")


class Costly(Evaluator):
    """Two seconds an epoch."""

    objectives = (Objective("accuracy"),)
    reported = objectives[0]
    fidelity_range: tuple[str, float, float] | None = ("epochs", 1, 10)

    def __init__(self, fails: bool = False) -> None:
        self.tasks: list[Task] = []
        self.fails = fails

    def fingerprint(self) -> str:
        return ""

    def __call__(self, task: Task) -> Evaluation:
        self.tasks.append(task)
        if self.fails:
            return failure(Status.ERROR, "no")
        return Evaluation(
            Status.COMPLETED, {"accuracy": 1.0}, 2.0 * (task.fidelity.value if task.fidelity else 10)
        )


class Whole(Costly):
    fidelity_range = None


def parts(evaluator: Costly, space: SearchSpace = SPACE, **plan) -> Components:
    given = Plan(seed=1, budget=Budget(trials=30), baseline=6, final=4, time_limit=60.0)
    searcher = NoSearch(space, evaluator.objectives, seed=0)
    return Components(space, searcher, evaluator, InlineExecutor(), None, replace(given, **plan))  # pyright: ignore


def shown(components: Components) -> str:
    return preview(Config(name="mine", seed=1), components)


def test_it_says_what_hashing_takes_and_what_has_no_hash():
    assert "hashing" not in shown(parts(Costly())).partition("space three")[2]
    text = shown(replace(parts(Costly()), hasher=Moody()))
    assert re.search(r"^hashing alike: [0-9.e-]+ ms a candidate, by the workers$", text, re.MULTILINE)
    samples = text.count("sample: silu()")
    assert text.count("sample without a hash: hidden randomness") == samples
    silu = SearchSpace("silu", "silu() | silu()")
    assert shown(replace(parts(Costly(), silu), hasher=Moody())).count("hidden randomness") == 3


def test_it_shows_composition_size_and_samples():
    text = shown(parts(Costly()))
    assert text.startswith("name: mine\nseed: 1\n")
    assert "dry_run" not in text
    assert "space three: 3 derivations" in text
    assert len(re.findall(r"^  sample: (relu|gelu|silu)\(\)$", text, re.MULTILINE)) == 3
    assert "space rates: unbounded" in shown(parts(Costly(), UNBOUNDED))


def test_samples_are_evaluated_at_the_lowest_fidelity_within_a_limit():
    evaluator = Costly()
    shown(parts(evaluator))
    assert [task.fidelity for task in evaluator.tasks] == [Fidelity("epochs", 1)] * 3
    assert {task.time_limit for task in evaluator.tasks} == {30.0}
    assert all(task.save_to is None for task in evaluator.tasks)


def test_the_cost_follows_from_the_plan():
    text = shown(parts(Costly(), search_fidelity=Fidelity("epochs", 3)))
    assert "cost: 2.00 s an evaluation at 1 epochs (mean of 3 samples, one worker of this machine)" in text
    assert "search 3 min 00 s, baseline and final 3 min 20 s of work in all" in text  # 30 x 6 s, 10 x 20 s
    full = shown(parts(Costly()))
    assert "search 10 min 00 s, " in full


def test_without_a_fidelity_an_evaluation_is_a_whole_one():
    text = shown(parts(Whole()))
    assert "cost: 20.00 s an evaluation (mean of 3 samples" in text
    assert "search 10 min 00 s, baseline and final 3 min 20 s" in text


def test_a_bound_in_seconds_is_said():
    text = shown(parts(Costly(), budget=Budget(seconds=90)))
    assert "the search stage ends after 1 min 30 s at the latest" in text


def test_the_cost_of_a_search_that_chooses_fidelities_is_a_bound():
    class Choosing(Searcher):
        def ask(self, count: int = 1) -> list[Suggestion]:
            raise SearchFinished

        def tell(self, trial: Trial) -> None:
            return

        @property
        def fidelities(self) -> tuple[Fidelity, ...]:
            return (Fidelity("epochs", 1), Fidelity("epochs", 10))

    components = replace(parts(Costly()), searcher=Choosing())
    bound = (
        "search at most that: the searcher chooses among 1, 10 epochs, and every trial counts as a full one"
    )
    assert "  search 10 min 00 s, baseline and final 3 min 20 s of work in all, shared" in shown(components)
    assert f"shared among the workers\n  {bound}" in shown(components)
    assert "at most" not in shown(parts(Costly()))


def test_the_training_of_a_supernet_comes_on_top():
    space = SearchSpace("two", op.stem(width=2) >> (op.relu() | op.gelu()) >> op.head())
    components = replace(parts(Costly()), searcher=Darts(space, Costly.objectives, seed=0))
    assert "the training of the supernet comes on top" in shown(components)
    assert "supernet" not in shown(parts(Costly()))


def test_samples_that_fail_are_said():
    text = shown(parts(Costly(fails=True)))
    assert text.count("  sample failed: no\n") == 3
    assert text.endswith("cost: no sample could be evaluated, so there is no estimate")


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_seed_shows_the_same_samples(seed):
    components = parts(Costly(), UNBOUNDED)
    config = Config(name="mine", seed=seed)
    assert preview(config, components) == preview(config, components)


def test_it_shows_how_many_images_are_for_what():
    evaluator = Costly()
    evaluator.dataset = load(DataOptions())
    text = shown(parts(evaluator))
    assert "\ndata digits: 1293 images to train, 144 to validate, 360 to test, of 1x8x8; 10 classes: " in text
    evaluator.dataset = object()  # of a user's own evaluator
    assert "\ndata " not in shown(parts(evaluator))
