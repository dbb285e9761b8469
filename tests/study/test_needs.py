"""What a searcher needs, a study in Python gives or refuses before any work is spent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nas import (
    Budget,
    Fidelity,
    FunctionEvaluator,
    InlineExecutor,
    Plan,
    SearchFinished,
    SearchSpace,
    Study,
    Suggestion,
    Task,
    Trial,
    op,
    ref,
)
from nas.algorithms import SEARCHERS
from nas.algorithms.random_search import RandomSearch
from nas.algorithms.shared.supernet_search import SupernetSearch
from nas.algorithms.shared.wrapping import prepare_searcher
from nas.errors import ConfigError, NasError, ProtocolError
from nas.evaluation import Evaluation, Evaluator, Objective, Stage, Status
from nas.language import define, oneof
from nas.study import FILE_NAME, Searcher, read_study
from nas.supernet import OneShotSettings, SupernetTraining
from nas.training.classification import create

CHOICE = op.relu() | op.gelu()
SPACE = SearchSpace("x", op.stem(width=4) >> CHOICE >> op.head())
SCORE = Objective("score")
DIGITS = {"dataset": "digits", "epochs": 1, "limit_train": 200, "device": "cpu"}
TINY = {"epochs": 3, "batch_size": 50, "limit_steps": 1, "skip_limit": None}
ONE_SHOT: dict[str, dict[str, Any]] = {
    "darts": {"order": 2},
    "gdas": {},
    "pc_darts": {"alpha_from": 1},
    "sharp_darts": {"warmup_epochs": 1},
    "hypercuboid": {"warmup_epochs": 1},
    "single_path": {"evaluations": 2, "searcher": {"name": "random"}},
}


class Levels(Evaluator):
    """Remembers its tasks; costs a second an epoch."""

    objectives = (SCORE,)
    reported = SCORE
    fidelity_range = ("epochs", 1, 9)

    def __init__(self) -> None:
        self.tasks: list[Task] = []

    def fingerprint(self) -> str:
        return "levels"

    def value_names(self, fidelity: Fidelity | None) -> tuple[str, ...]:
        return ("score",)

    def __call__(self, task: Task) -> Evaluation:
        self.tasks.append(task)
        if task.save_to:
            Path(task.save_to).write_text("state")
        return Evaluation(Status.COMPLETED, {"score": float(len(task.architecture.text))}, 1.0)


def length(architecture: Any) -> float:
    return len(architecture.text)


def study(folder: Path, searcher: Any, evaluator: Any, space: SearchSpace = SPACE, **plan: Any) -> Study:
    given = Plan(**{"seed": 0, "budget": Budget(trials=12), **plan})
    return Study(space, searcher, evaluator, InlineExecutor(), directory=folder, plan=given)


def made(name: str, evaluator: Any, space: SearchSpace = SPACE, **options: Any) -> Any:
    make = prepare_searcher({"name": name, **options}, seed=0)
    return make(space, evaluator.objectives, evaluator.fidelity_range)


@pytest.mark.parametrize("name", ONE_SHOT)
def test_states_of_a_supernet_are_kept_without_being_asked_for(name: str, tmp_path: Path) -> None:
    evaluator = create(**DIGITS)
    folder = tmp_path / "run"
    options = {key: value for key, value in TINY.items() if name != "hypercuboid" or key != "skip_limit"}
    study(folder, made(name, evaluator, **options, **ONE_SHOT[name]), evaluator, final=1).run()
    trials = read_study(folder).trials
    assert all(trial.status is Status.COMPLETED for trial in trials)
    assert {trial.stage for trial in trials} == {Stage.SUPERNET, Stage.SEARCH, Stage.FINAL}
    assert [file.name for file in folder.iterdir()] == [FILE_NAME]  # used up, and no weights asked for


def test_the_suite_has_every_searcher_that_trains_a_supernet() -> None:
    loaded = {entry.name: entry.load() for entry in SEARCHERS}
    supernets = {
        n for n, kind in loaded.items() if isinstance(kind, type) and issubclass(kind, SupernetSearch)
    }
    assert supernets == set(ONE_SHOT)


@pytest.mark.parametrize(
    "section",
    [
        {"name": "asha", "searcher": {"name": "random"}},
        {"name": "hyperband", "searcher": {"name": "random"}},
        {"name": "no_repeats", "searcher": {"name": "asha", "searcher": {"name": "random"}}},
        {"name": "pending_limit", "limit": 2, "searcher": {"name": "asha", "searcher": {"name": "random"}}},
    ],
    ids=lambda section: section["name"],
)
def test_trainings_are_continued_without_being_asked_for(section: dict[str, Any], tmp_path: Path) -> None:
    space = SearchSpace("wide", op.conv(kernel=oneof(1, 3, 5, 7), width=oneof(4, 8, 16)) >> op.head())
    evaluator = Levels()
    study(tmp_path / "run", made(evaluator=evaluator, space=space, **section), evaluator, space).run()
    continued = [task for task in evaluator.tasks if task.done is not None]
    assert continued
    assert all(task.checkpoint for task in continued)
    assert [file.name for file in (tmp_path / "run").iterdir()] == [FILE_NAME]


def test_a_searcher_that_needs_no_states_leaves_no_folder(tmp_path: Path) -> None:
    study(tmp_path / "run", made("random", Levels()), Levels()).run()
    assert [file.name for file in (tmp_path / "run").iterdir()] == [FILE_NAME]


FUNCTION = FunctionEvaluator(length)
LARGE = SearchSpace("large", op.conv(kernel=9, padding="valid") >> CHOICE >> op.head())
CELL = op.cell(op.node(oneof(op.skip(), op.sep_conv(kernel=3)), inputs=(0,)))


@pytest.mark.parametrize(
    ("name", "options", "evaluator", "space", "plan", "message"),
    [
        ("darts", {}, FUNCTION, SPACE, {}, 'searcher "darts": expected an evaluator with images, to train'),
        ("single_path", {}, FUNCTION, SPACE, {}, 'searcher "single_path": expected an evaluator with images'),
        (
            "nsga2",
            {"limits": {"latency": 1}},
            Levels(),
            SPACE,
            {},
            r"values that are reported \(score\), got",
        ),
        (
            "no_repeats",
            {"searcher": {"name": "nsga2", "limits": {"latency": 1}}},
            Levels(),
            SPACE,
            {},
            r"values that are reported \(score\), got latency",
        ),
        (
            "random",
            {},
            Levels(),
            SPACE,
            {"search_fidelity": Fidelity("epochs", 10)},
            "expected 1 to 9 epo",
        ),
        (
            "random",
            {},
            Levels(),
            SPACE,
            {"search_fidelity": Fidelity("steps", 3)},
            'one of epochs; got "steps"',
        ),
        (
            "random",
            {},
            FUNCTION,
            SPACE,
            {"search_fidelity": Fidelity("epochs", 3)},
            "has no fidelity, got 3",
        ),
        ("random", {}, "digits", LARGE, {}, "space large: none of 16 samples fits the evaluator"),
        (
            "darts",
            {"data": {"dataset": "digits"}},
            FUNCTION,
            LARGE,
            {},
            "expected sides of at least 9 for its window, got 8; ",
        ),
        ("darts", {"data": {"dataset": "npz", "root": "none"}}, FUNCTION, SPACE, {}, "expected an .npz file"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    name: str,
    options: dict[str, Any],
    evaluator: Any,
    space: SearchSpace,
    plan: dict[str, Any],
    message: str,
    tmp_path: Path,
) -> None:
    evaluator = create(**DIGITS) if evaluator == "digits" else evaluator
    with pytest.raises(NasError, match=message) as raised:
        study(tmp_path / "run", made(name, evaluator, space, **options), evaluator, space, **plan).run()
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_partial_channels_that_do_not_divide_are_refused_when_the_searcher_is_made() -> None:
    space = SearchSpace("cells", define(op.stem(width=6) >> ref("cell") >> op.head(), cell=CELL))
    with pytest.raises(ConfigError, match=r"a multiple of partial = 4, got 6 in and 6 out; give"):
        made("pc_darts", FUNCTION, space)


class Works(Searcher):
    """Asks for one work that leaves a state, and does not say so."""

    def ask(self, count: int = 1) -> list[Suggestion]:
        work = SupernetTraining(SPACE, OneShotSettings(epochs=2), 0, 1, 0)
        derivation = SPACE.start()
        while derivation.site is not None:
            derivation = derivation.take(0)
        return [Suggestion(derivation.architecture(), resumable=True, work=work)]

    def tell(self, trial: Trial) -> None:
        raise SearchFinished


def test_works_that_leave_a_state_are_declared(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match=r"works which leave a state to declare needs_states; got none;"):
        study(tmp_path / "run", Works(), Levels()).run()


def test_what_asks_and_tells_without_inheriting_is_told_from_what_to_inherit(tmp_path: Path) -> None:
    class Choosing:
        fidelities = (Fidelity("epochs", 1),)

        def ask(self, count: int = 1) -> list[Suggestion]:
            raise SearchFinished

        def tell(self, trial: Trial) -> None: ...

    message = r"^searcher: expected a nas\.study\.Searcher, got <.*>; inherit .*: class Choosing\(Searcher\)$"
    with pytest.raises(ConfigError, match=message):
        study(tmp_path / "run", Choosing(), Levels())
    assert RandomSearch(SPACE, (SCORE,), seed=0).fidelities == ()
