"""A promoted trial continues its parent: what it is given, what stays on disk, what a resumed study does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from nas.algorithms.asha import Asha
from nas.algorithms.random_search import RandomSearch
from nas.evaluation import Evaluation, Fidelity, Stage, Status, Task, failure
from nas.study import Checkpoints, Searcher, SearchFinished, Suggestion, Trial, read_study
from tests.study.study_kit import (
    OBJECTIVE,
    FakeEvaluator,
    Watcher,
    events_of,
    make_study,
    score,
    short_plan,
    small_space,
    story,
    tiny_space,
)

SPACE = tiny_space()
RELU, GELU = (SPACE.parse(text) for text in ("relu()", "gelu()"))
FULL = 9.0


def ask(architecture, epochs: float, parent: int | None = None) -> Suggestion:
    return Suggestion(architecture, Fidelity("epochs", epochs), parent, resumable=epochs < FULL)


class Listed(Searcher):
    """Suggests these in turn, each once the one before was told."""

    def __init__(self, *suggestions: Suggestion) -> None:
        self._suggestions = list(suggestions)
        self._waits = False
        self.told: list[Trial] = []

    def ask(self, count: int = 1) -> Sequence[Suggestion]:
        if self._waits:
            return ()
        if not self._suggestions:
            raise SearchFinished
        self._waits = True
        return (self._suggestions.pop(0),)

    def tell(self, trial: Trial) -> None:
        self._waits = False
        self.told.append(trial)


class Saving(FakeEvaluator):
    """Leaves ten bytes where it may; notes which states were there when it was called."""

    def __init__(self, fails=lambda task: False) -> None:
        super().__init__(fails)
        self.found: dict[int, bool] = {}
        self.most = 0

    def __call__(self, task: Task) -> Evaluation:
        if task.checkpoint is not None:
            self.found[task.trial] = Path(task.checkpoint).is_file()
        evaluation = super().__call__(task)
        if not evaluation.ok:
            return failure(Status.DIVERGED, "loss is nan", 1.0)
        if task.save_to is not None:
            Path(task.save_to).write_bytes(bytes(10))
            self.most = max(self.most, len(list(Path(task.save_to).parent.iterdir())))
        return Evaluation(Status.COMPLETED, evaluation.values, 1.0, checkpoint=task.save_to)


def study(directory: Path, searcher, evaluator: FakeEvaluator, **changes):
    given = {
        "space": SPACE,
        "checkpoints": Checkpoints(
            directory / "checkpoints", keep=1, max_bytes=changes.pop("max_bytes", None)
        ),
        "plan": short_plan(20),
    }
    return make_study(directory, searcher=searcher, evaluator=evaluator, **{**given, **changes})


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("checkpoints/*")}


def climb() -> Listed:
    return Listed(ask(RELU, 1), ask(GELU, 1), ask(RELU, 3, parent=0), ask(RELU, 9, parent=2))


def test_a_promoted_trial_is_given_its_parents_state_fidelity_and_seed(tmp_path):
    evaluator = Saving()
    study(tmp_path, climb(), evaluator).run()
    tasks = evaluator.tasks
    assert [tasks[n].done for n in range(4)] == [None, None, Fidelity("epochs", 1), Fidelity("epochs", 3)]
    assert tasks[0].checkpoint is tasks[1].checkpoint is None
    assert tasks[2].checkpoint == tasks[0].save_to == str(tmp_path / "checkpoints/search-0.safetensors")
    assert tasks[3].checkpoint == tasks[2].save_to == str(tmp_path / "checkpoints/search-2.safetensors")
    assert tasks[3].save_to is None
    assert evaluator.found == {2: True, 3: True}
    assert tasks[0].seed == tasks[2].seed == tasks[3].seed != tasks[1].seed
    assert [row.seed for row in read_study(tmp_path).trials] == [tasks[n].seed for n in range(4)]
    assert [event.get("resumable") for event in events_of(tmp_path) if event["event"] == "asked"] == [
        *[True, True, True, False],
        None,
    ]


def test_states_go_once_they_were_continued_and_when_the_search_ends(tmp_path):
    seen: dict[int, set[str]] = {}

    def look(event) -> None:
        if event["event"] == "started":
            seen[event["trial"]] = names(tmp_path)

    plan = short_plan(20, baseline=1, final=1)
    study(tmp_path, climb(), Saving(), plan=plan, observers=[Watcher(look)]).run()
    state = "search-{}.safetensors".format
    assert seen[2] == {state(0), state(1)}
    assert seen[3] == {state(1), state(2)}
    assert seen[20_000_000] == set()
    assert names(tmp_path) == {"final-0.safetensors"}


def test_nothing_is_continued_but_the_same_architecture_at_a_higher_fidelity(tmp_path):
    child = Listed(
        ask(RELU, 3),
        ask(GELU, 9, parent=0),  # a mutation
        ask(RELU, 3, parent=0),  # the same fidelity: a repeat, from the cache
        ask(RELU, 1, parent=0),  # a lower one
        Suggestion(GELU, Fidelity("epochs", 1)),  # leaves nothing
        ask(GELU, 3, parent=4),
    )
    evaluator = Saving()
    study(tmp_path, child, evaluator).run()
    assert {number: task.done for number, task in evaluator.tasks.items()} == dict.fromkeys((0, 1, 3, 4, 5))
    assert len({task.seed for task in evaluator.tasks.values()}) == 5


def test_a_trial_answered_from_the_cache_is_continued_from_its_holders_state(tmp_path):
    """Trial 1 repeats trial 0; what continues 1 continues 0's state. To continue 0 then is a repeat."""
    searcher = Listed(ask(RELU, 1), ask(RELU, 1), ask(RELU, 3, parent=1), ask(RELU, 3, parent=0))
    evaluator = Saving()
    study(tmp_path, searcher, evaluator).run()
    assert set(evaluator.tasks) == {0, 2}
    assert evaluator.tasks[2].checkpoint == evaluator.tasks[0].save_to
    assert evaluator.tasks[2].seed == evaluator.tasks[0].seed
    assert evaluator.found == {2: True}
    assert [trial.cached_from for trial in searcher.told] == [None, 0, None, 2]


def test_a_state_that_was_used_up_by_a_failure_is_not_looked_for(tmp_path):
    """The continuation of 0 fails; the one of its repeat 1 is not in the cache and finds no state."""
    searcher = Listed(ask(RELU, 1), ask(RELU, 1), ask(RELU, 3, parent=0), ask(RELU, 3, parent=1))
    evaluator = Saving(fails=lambda task: task.trial == 2)
    study(tmp_path, searcher, evaluator).run()
    last = evaluator.tasks[3]
    assert (last.done, last.checkpoint, last.seed) == (Fidelity("epochs", 1), None, evaluator.tasks[0].seed)


def test_without_a_folder_for_checkpoints_the_fidelity_that_was_reached_is_still_known(tmp_path):
    evaluator = FakeEvaluator()
    study(tmp_path, climb(), evaluator, checkpoints=None).run()
    assert all(task.checkpoint is task.save_to is None for task in evaluator.tasks.values())
    assert evaluator.tasks[3].done == Fidelity("epochs", 3)


@pytest.mark.parametrize("keep", [0, 1])
def test_the_folder_stays_within_its_bound(tmp_path, keep):
    """Room for three states and, for a moment, the one that is written; those gone are done without."""
    space = small_space()
    evaluator = Saving()
    searcher = Asha(
        space,
        (OBJECTIVE,),
        seed=0,
        eta=2,
        searcher=RandomSearch(space, (OBJECTIVE,), seed=0),
        fidelity_range=("epochs", 1, 4),
    )
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=keep, max_bytes=30)
    study(
        tmp_path, searcher, evaluator, space=space, plan=short_plan(60), checkpoints=checkpoints, hasher=None
    ).run()
    assert evaluator.most == 4
    continued = [task for task in evaluator.tasks.values() if task.done is not None]
    gone = [task for task in continued if task.checkpoint is None]
    assert 0 < len(gone) < len(continued)
    assert all(evaluator.found.values())
    assert names(tmp_path) == set()


@pytest.mark.parametrize("lost", [False, True], ids=["kept", "lost"])
@pytest.mark.parametrize("at", range(1, 22, 2))
def test_a_study_stopped_anywhere_goes_on_with_what_is_there(tmp_path, at, lost):
    """The story is that of an uninterrupted study, with the states and without."""

    def parts():
        return climb(), Saving()

    whole = tmp_path / "whole"
    searcher, evaluator = parts()
    study(whole, searcher, evaluator, plan=short_plan(20, final=1)).run()
    directory = tmp_path / "stopped"
    searcher, first = parts()
    interrupted = study(directory, searcher, first, plan=short_plan(20, final=1))
    count = iter(range(100))
    interrupted.observers = interrupted._journal._observers = [
        Watcher(lambda event: interrupted.stop() if next(count) == at else None)
    ]
    interrupted.run()
    stale = directory / "checkpoints" / "search-17.safetensors.state.5.part"
    stale.parent.mkdir(exist_ok=True)
    stale.write_bytes(b"half")
    if lost:
        for path in (directory / "checkpoints").glob("search-*"):
            path.unlink()
    searcher, second = parts()
    study(directory, searcher, second, plan=short_plan(20, final=1)).run()
    assert story(directory) == story(whole)
    assert names(directory) == {"final-0.safetensors"}
    for task in second.tasks.values():
        before = evaluator.tasks[task.trial]
        assert (task.seed, task.done) == (before.seed, before.done)
        if not lost and before.checkpoint is not None:
            assert second.found[task.trial]


def test_the_choice_is_the_best_of_the_highest_fidelity(tmp_path):
    """GELU is better after one epoch, but RELU alone was trained fully."""
    assert score("gelu()") != score("relu()")
    worse, better = sorted((RELU, GELU), key=lambda one: score(one.text))
    searcher = Listed(ask(worse, 1), ask(better, 1), ask(better, 3, parent=1), ask(worse, 9, parent=0))
    study(tmp_path, searcher, Saving(), plan=short_plan(20, final=1)).run()
    record = read_study(tmp_path)
    assert record.chosen is not None
    assert record.chosen.number == 3
    assert [row.architecture for row in record.stage(Stage.FINAL)] == [worse.text]
