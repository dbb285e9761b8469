from __future__ import annotations

from nas.evaluation import Evaluation, Stage, Status, failure
from nas.study import Suggestion
from nas.study.cache import CacheKey
from nas.study.state import PendingTrial, StudyState, TrialPhase
from tests.study.study_kit import OBJECTIVE, tiny_space


def entry(ledger: StudyState, number: int, text: str = "relu()", stage: Stage = Stage.SEARCH) -> PendingTrial:
    """An asked trial."""
    architecture = tiny_space().parse(text)
    made = PendingTrial(number, Suggestion(architecture), stage, architecture.digest(), None, 0)
    ledger.ask(made)
    return made


def done(accuracy: float) -> Evaluation:
    return Evaluation(Status.COMPLETED, {"accuracy": accuracy}, 1.0)


def start(ledger: StudyState, made: PendingTrial) -> PendingTrial:
    if made.stage is Stage.SEARCH:
        ledger.make_ready(made)
    ledger.start(made)
    return made


def test_equal_values_choose_the_earlier_trial_whatever_ends_first():
    ledger = StudyState(OBJECTIVE)
    trials = [start(ledger, entry(ledger, number)) for number in range(3)]
    for number in (2, 0, 1):
        ledger.evaluate(trials[number], done(50.0), 1.0)
    assert ledger.chosen is not None
    assert ledger.chosen.number == 0


def test_failed_and_unmeasured_trials_are_never_chosen():
    ledger = StudyState(OBJECTIVE)
    ledger.evaluate(start(ledger, entry(ledger, 0)), failure(Status.TIMEOUT, "late"), 1.0)
    ledger.evaluate(start(ledger, entry(ledger, 1)), done(float("nan")), 1.0)
    ledger.evaluate(start(ledger, entry(ledger, 10_000_000, stage=Stage.BASELINE)), done(99.0), 1.0)
    assert ledger.chosen is None
    assert ledger.failed == 1


def test_recovered_trials_come_before_the_promoted_and_those_not_admitted_are_returned():
    ledger = StudyState(OBJECTIVE)
    holder, waiter, running, asked = (entry(ledger, number) for number in range(4))
    key = CacheKey("d", "", None, "e")
    ledger.admit(holder, key)
    ledger.start(holder)
    ledger.admit(waiter, key)
    start(ledger, running)
    ledger.evaluate(holder, failure(Status.DIVERGED, "nan"), 1.0)
    assert waiter.state is TrialPhase.PROMOTED
    assert ledger.recover() == [asked]
    assert list(ledger.ready) == [running, waiter]
    assert list(ledger.untold) == [holder]
    assert (ledger.running, ledger.waiting) == (0, 0)


def test_only_a_search_evaluation_ends_a_row_of_cached_answers_and_the_longest_row_is_kept():
    ledger = StudyState(OBJECTIVE)
    key = CacheKey("d", "", None, "e")
    first = entry(ledger, 0)
    ledger.admit(first, key)
    ledger.start(first)
    ledger.evaluate(first, done(1.0), 1.0)
    for number in range(1, 4):
        ledger.admit(entry(ledger, number), key)
    ledger.evaluate(start(ledger, entry(ledger, 10_000_000, stage=Stage.BASELINE)), done(1.0), 2.0)
    assert (ledger.hits_in_a_row, ledger.most_hits_in_a_row) == (3, 3)
    ledger.evaluate(start(ledger, entry(ledger, 4)), done(1.0), 3.0)
    assert (ledger.hits_in_a_row, ledger.most_hits_in_a_row) == (0, 3)


def test_faults_of_the_set_up_are_counted_apart_from_failed_candidates():
    ledger = StudyState(OBJECTIVE)
    for number, status_and_reason in enumerate(
        [(Status.ERROR, "EvaluationError: no GPU"), (Status.DIVERGED, "nan"), (Status.TIMEOUT, "late")]
    ):
        ledger.evaluate(start(ledger, entry(ledger, number)), failure(*status_and_reason), 1.0)
    ledger.evaluate(start(ledger, entry(ledger, 3)), done(1.0), 1.0)
    assert (ledger.completed, ledger.failed, ledger.faults, ledger.last_failure) == (1, 3, 1, "late")


def test_memory_is_kept_for_open_trials_only():
    ledger = StudyState(OBJECTIVE)
    for number in range(5):
        made = start(ledger, entry(ledger, number))
        ledger.evaluate(made, done(1.0), float(number))
        ledger.tell(made, float(number))
    assert not ledger.open
    assert not ledger.ready
    assert not ledger.untold
    assert ledger.over[Stage.SEARCH] == 5
    assert ledger.clock == 4.0
