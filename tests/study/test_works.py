"""Works that a searcher asks for besides its candidates: chained states, costs, resume, reports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from nas.errors import EvaluationError
from nas.evaluation import (
    FIRST_TRIAL,
    Evaluation,
    Evaluator,
    Fidelity,
    InlineExecutor,
    Objective,
    Stage,
    Status,
    failure,
)
from nas.language import oneof, op
from nas.report import write_report
from nas.space import SearchSpace
from nas.study import (
    Budget,
    Checkpoints,
    Observer,
    Plan,
    Searcher,
    SearchFinished,
    Study,
    Suggestion,
    read_study,
)

SPACE = SearchSpace("works", op.conv(kernel=oneof(1, 3, 5, 7)) >> op.head())
FIRST = FIRST_TRIAL[Stage.SUPERNET]


@dataclass(frozen=True)
class Counting:
    """Adds one to the number in its state; its answer names the option to choose."""

    fails_at: int | None = None

    def __call__(self, task, evaluator):
        found = int(Path(task.checkpoint).read_text()) if task.checkpoint else 0
        if found == self.fails_at:
            return failure(Status.DIVERGED, "planted", 1.0)
        Path(task.save_to).write_text(str(found + 1))
        info = {"option": (found + 1) % 4, "data": evaluator.data}
        return Evaluation(Status.COMPLETED, {}, 2.0, info=info)


class Chain(Searcher):
    """Three works, each on the state of the last one; then the architecture that the last one named."""

    def __init__(self, works=3, fails_at=None):
        self.works, self.fails_at, self.told, self.asked = works, fails_at, [], 0

    def ask(self, count=1):
        del count
        if self.told and not self.told[-1].evaluation.ok:
            raise SearchFinished
        if self.asked > len(self.told):
            return []
        if self.asked > self.works:
            raise SearchFinished
        self.asked += 1
        option = self.told[-1].evaluation.info["option"] if self.told else 0
        architecture = SPACE.start().take(option).architecture()
        if self.asked > self.works:
            return [Suggestion(architecture)]
        parent = self.told[-1].number if self.told else None
        fidelity = Fidelity("works", self.asked)
        return [Suggestion(architecture, fidelity, parent, resumable=True, work=Counting(self.fails_at))]

    def tell(self, trial):
        self.told.append(trial)


class Kernel(Evaluator):
    objectives = (Objective("kernel"),)
    reported = Objective("kernel")
    fidelity_range = None
    data = "given"

    def fingerprint(self):
        return "kernel"

    def __call__(self, task):
        assert task.work is None
        return Evaluation(Status.COMPLETED, {"kernel": float(task.architecture.text[12])}, 1.0)


def study(folder, searcher, executor=None, observers=(), trials=5):
    plan = Plan(0, Budget(trials=trials), baseline=2, final=1)
    checkpoints = Checkpoints(folder / "checkpoints")
    executor = executor or InlineExecutor()
    return Study(
        SPACE,
        searcher,
        Kernel(),
        executor,
        directory=folder,
        plan=plan,
        checkpoints=checkpoints,
        observers=observers,
    )


def works_of(folder):
    return [row for row in read_study(folder).trials if row.stage is Stage.SUPERNET]


def test_works_pass_their_state_on_and_are_no_candidates(tmp_path):
    searcher = Chain()
    study(tmp_path, searcher).run()
    record = read_study(tmp_path)
    assert [row.number for row in works_of(tmp_path)] == [FIRST, FIRST + 1, FIRST + 2]
    assert [row.evaluation_info["option"] for row in works_of(tmp_path)] == [1, 2, 3]
    assert {row.evaluation_info["data"] for row in works_of(tmp_path)} == {"given"}
    assert [trial.stage for trial in searcher.told] == [Stage.SUPERNET] * 3 + [Stage.SEARCH]
    assert record.chosen is not None
    assert record.chosen.number == 0
    assert record.chosen.values == {"kernel": 7.0}
    assert not list(tmp_path.glob("checkpoints/supernet*"))  # used up


def test_the_cost_of_works_counts_in_the_report_of_the_method(tmp_path):
    study(tmp_path, Chain()).run()
    text = write_report([tmp_path], tmp_path).text
    assert "supernet: 3 done, 0 failed, cost 6.0 s" in text
    assert "cost 1.0 s" in text  # of the search trial
    row = next(line for line in text.splitlines() if line.startswith("| Chain"))
    assert row.endswith("7.0 s |")  # of both
    assert "works =" not in text  # no fidelity of a candidate


class _Killed(KeyboardInterrupt):
    """As a kill: nothing more is written."""


@dataclass
class _Killer(Observer):
    event: str
    number: int

    def observe(self, event, progress):
        del progress
        if event["event"] == self.event and event.get("trial") == self.number:
            raise _Killed

    def close(self):
        return


@pytest.mark.parametrize("event", ["asked", "started", "evaluated", "told"])
@pytest.mark.parametrize("number", [FIRST, FIRST + 1, FIRST + 2, 0])
def test_a_killed_study_goes_on_from_the_last_state(tmp_path, event, number):
    with pytest.raises(_Killed):
        study(tmp_path, Chain(), observers=[_Killer(event, number)]).run()
    study(tmp_path, Chain()).run()
    assert [row.evaluation_info["option"] for row in works_of(tmp_path)] == [1, 2, 3]
    record = read_study(tmp_path)
    assert record.closed["reason"] == "finished"
    assert record.chosen.values == {"kernel": 7.0}


def test_a_failed_work_ends_the_search_and_is_named(tmp_path):
    with pytest.raises(EvaluationError, match=r"no candidate, as its work on the supernet failed: planted$"):
        study(tmp_path, Chain(fails_at=1)).run()
    assert [row.status for row in works_of(tmp_path)] == [Status.COMPLETED, Status.DIVERGED]
    assert read_study(tmp_path).chosen is None
    text = " ".join(write_report([tmp_path], tmp_path).text.split())
    assert "1 of 2 supernet trials (1 diverged)" in text
    assert "Work on supernets failed 1 times, the last with planted." in text
