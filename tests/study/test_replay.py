from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.algorithms.random_search import RandomSearch
from nas.algorithms.regularized_evolution import RegularizedEvolution
from nas.errors import StoreError
from nas.evaluation import Fidelity, InlineExecutor, Objective, SimulatedExecutor, Stage
from nas.report import write_report
from nas.space import SearchSpace
from nas.study import FILE_NAME, Budget, Plan, read_study
from tests.study.study_kit import (
    OBJECTIVE,
    FakeEvaluator,
    OvertakingExecutor,
    Scripted,
    events_of,
    make_study,
    small_space,
    story,
    tiny_space,
)


def fails_sometimes(task) -> bool:
    return task.trial % 4 == 1


def evolution_with_failures(directory: Path, evaluator: FakeEvaluator):
    return make_study(directory, evaluator=evaluator)


def random_with_repeats(directory: Path, evaluator: FakeEvaluator):
    space = tiny_space()
    return make_study(
        directory, space=space, searcher=RandomSearch(space, (OBJECTIVE,), seed=0), evaluator=evaluator
    )


def scripted_with_gaps(directory: Path, evaluator: FakeEvaluator):
    space = tiny_space()
    return make_study(
        directory,
        space=space,
        searcher=Scripted(space, ["relu()", None, "gelu()", "silu()"]),
        evaluator=evaluator,
        executor=OvertakingExecutor(2, seed=0),
        plan=Plan(seed=1, budget=Budget(trials=9), baseline=2, final=2),
    )


@pytest.mark.parametrize("make", [evolution_with_failures, random_with_repeats])
def test_a_log_cut_anywhere_continues_to_the_same_story(tmp_path, make):
    make(tmp_path / "whole", FakeEvaluator(fails_sometimes)).run()
    whole = (tmp_path / "whole" / FILE_NAME).read_bytes()
    expected = story(tmp_path / "whole")
    lines = whole.splitlines(keepends=True)
    ends = [sum(map(len, lines[:n])) for n in range(len(lines) + 1)]
    for end, line in zip(ends, [*lines, b""], strict=True):
        for torn in {0, len(line) // 2, max(len(line) - 1, 0)}:
            directory = tmp_path / f"{end}-{torn}"
            directory.mkdir()
            (directory / FILE_NAME).write_bytes(whole[: end + torn])
            with warnings.catch_warnings():
                if torn:
                    warnings.filterwarnings("ignore", message=".*torn and is dropped")
                finished = {event["trial"] for event in events_of(directory) if event["event"] == "evaluated"}
                evaluator = FakeEvaluator(fails_sometimes)
                make(directory, evaluator).run()
            assert story(directory) == expected
            assert not finished & set(evaluator.calls)
            assert set(evaluator.calls.values()) <= {1}


def parallel(directory: Path, seed: int, evaluator: FakeEvaluator, space: SearchSpace):
    searcher = RegularizedEvolution(space, (OBJECTIVE,), seed=5, population=4, sample=2)
    return make_study(
        directory,
        space=space,
        searcher=searcher,
        evaluator=evaluator,
        executor=OvertakingExecutor(1 + seed % 4, seed),
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    cuts=st.lists(st.floats(0, 1), min_size=1, max_size=3),
    space=st.sampled_from([small_space(), tiny_space()]),
)
def test_out_of_order_studies_survive_any_cuts(tmp_path_factory, seed, cuts, space):
    """What was logged stands, nothing finished is repeated, and the last log replays without a word."""
    directory = tmp_path_factory.mktemp("study")
    path = directory / FILE_NAME
    parallel(directory, seed, FakeEvaluator(fails_sometimes), space).run()
    for number, cut in enumerate(cuts):
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * cut)])
        evaluator = FakeEvaluator(fails_sometimes)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*torn and is dropped")
            kept = story(directory)
            parallel(directory, seed + number, evaluator, space).run()
        assert story(directory)[: len(kept)] == kept
        assert not {trial for what, trial, *_ in kept if what == "evaluated"} & set(evaluator.calls)
        assert set(evaluator.calls.values()) <= {1}
    check_complete(directory)
    before = path.read_bytes()
    parallel(directory, seed, FakeEvaluator(), space).run()
    assert path.read_bytes() == before


def check_complete(directory: Path) -> None:
    record = read_study(directory)
    assert not record.in_progress
    assert [len(record.stage(stage)) for stage in (Stage.SEARCH, Stage.BASELINE)] == [12, 3]
    assert len(record.final) == 2
    told = Counter(event["trial"] for event in events_of(directory) if event["event"] == "told")
    assert told == Counter(range(12))
    evaluated = Counter(event["trial"] for event in events_of(directory) if event["event"] == "evaluated")
    assert set(evaluated.values()) == {1}
    assert all(row.status is not None for row in record.trials)


@pytest.mark.parametrize("cut", range(4, 30, 3))
def test_a_searcher_that_paused_pauses_again(tmp_path, cut):
    scripted_with_gaps(tmp_path, FakeEvaluator()).run()
    expected = story(tmp_path)
    path = tmp_path / FILE_NAME
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:cut]))
    kept = story(tmp_path)
    scripted_with_gaps(tmp_path, FakeEvaluator()).run()
    assert story(tmp_path)[: len(kept)] == kept
    assert sorted(map(repr, story(tmp_path))) == sorted(map(repr, expected))


class Unopened(InlineExecutor):
    def open(self, evaluator):
        raise AssertionError("nothing is left to run")


def test_a_finished_study_is_left_alone(tmp_path):
    make_study(tmp_path).run()
    before = (tmp_path / FILE_NAME).read_bytes()
    make_study(tmp_path, executor=Unopened()).run()
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_a_larger_budget_continues_a_finished_study_and_retrains_a_new_choice(tmp_path):
    make_study(tmp_path).run()
    first = read_study(tmp_path)
    evaluator = FakeEvaluator()
    larger = Plan(seed=1, budget=Budget(trials=60), baseline=4, final=3)
    make_study(tmp_path, evaluator=evaluator, plan=larger).run()
    record = read_study(tmp_path)
    assert record.sessions == 2
    assert [len(record.stage(stage)) for stage in (Stage.SEARCH, Stage.BASELINE)] == [60, 4]
    assert [row.number for row in record.stage(Stage.SEARCH)] == list(range(60))
    assert first.chosen is not None
    assert record.chosen is not None
    assert record.chosen.digest != first.chosen.digest
    assert len(record.final) == 3
    assert len(record.stage(Stage.FINAL)) == 5
    assert record.opened["budget"]["trials"] == 60
    uninterrupted = tmp_path / "uninterrupted"
    make_study(uninterrupted, plan=larger).run()
    assert [r.architecture for r in read_study(uninterrupted).stage(Stage.SEARCH)] == [
        r.architecture for r in record.stage(Stage.SEARCH)
    ]


def test_the_clock_goes_on_where_the_last_session_stopped(tmp_path):
    plan = Plan(seed=1, budget=Budget(seconds=40.0))
    make_study(tmp_path, plan=plan, executor=SimulatedExecutor(1), hasher=None).run()
    path = tmp_path / FILE_NAME
    whole = read_study(tmp_path)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:21]))
    make_study(tmp_path, plan=plan, executor=SimulatedExecutor(1), hasher=None).run()
    resumed = read_study(tmp_path)
    assert [(r.architecture, r.finished) for r in resumed.trials] == [
        (r.architecture, pytest.approx(r.finished)) for r in whole.trials
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": SearchSpace("small", "relu() | gelu()")}, r"space: expected \['small', '.*'\], as logged"),
        ({"plan": Plan(seed=2, budget=Budget(trials=12))}, "seed: expected 1, as logged; got 2; continue"),
        ({"searcher_options": {"population": 9}}, "searcher: expected .*'RegularizedEvolution', {}"),
        ({"searcher_name": "other"}, "searcher: expected .* got .*'other'"),
        ({"hasher": None}, "hashing: expected 'text', as logged; got 'none'"),
        (
            {"plan": Plan(seed=1, budget=Budget(trials=12), search_fidelity=Fidelity("epochs", 2))},
            "fidelity: expected None, as logged",
        ),
    ],
    ids=["space", "seed", "options", "searcher", "hashing", "fidelity"],
)  # fmt: skip
def test_another_study_is_refused_before_anything_is_written(tmp_path, changes, message):
    make_study(tmp_path).run()
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(StoreError, match=message):
        make_study(tmp_path, executor=Unopened(), **changes).run()
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_another_evaluator_is_refused(tmp_path):
    make_study(tmp_path).run()
    evaluator = FakeEvaluator()
    evaluator.fingerprint = lambda: "fake-2"  # type: ignore[method-assign]
    message = r"evaluator: expected .*fake-1.* got .*fake-2.*add accept=evaluator if it was repaired"
    with pytest.raises(StoreError, match=message):
        make_study(tmp_path, evaluator=evaluator).run()


class Repaired(FakeEvaluator):
    """Fails nowhere, and says by its name that it is another one."""

    def fingerprint(self):
        return "fake-2"


@pytest.mark.parametrize("space", [small_space(), tiny_space()], ids=["small", "tiny"])
def test_a_repaired_evaluator_keeps_what_is_finished_if_the_user_says_so(tmp_path, space):
    searcher = lambda: RandomSearch(space, (OBJECTIVE,), seed=0)  # noqa: E731
    broken = FakeEvaluator(lambda task: task.trial == 3)
    make_study(tmp_path, space=space, searcher=searcher(), evaluator=broken).run()
    path = tmp_path / FILE_NAME
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:34]))
    kept = story(tmp_path)
    finished = [trial for what, trial, *_ in kept if what == "evaluated"]
    repaired = Repaired()
    make_study(tmp_path, space=space, searcher=searcher(), evaluator=repaired, accept=("evaluator",)).run()
    assert story(tmp_path)[: len(kept)] == kept
    assert not set(finished) & set(repaired.calls)
    opened = [event for event in events_of(tmp_path) if event["event"] == "opened"]
    assert "accepted" not in opened[0]
    assert opened[1]["accepted"] == {
        "evaluator": {"was": ["FakeEvaluator", "fake-1"], "is": ["Repaired", "fake-2"], "kept": len(finished)}
    }
    hits = {event["trial"] for event in events_of(tmp_path) if event.get("cached_from") in finished}
    assert bool(hits - {trial for _, trial, *_ in kept}) is (space.name == "tiny")  # old ones answer new ones
    text = " ".join(write_report([tmp_path], tmp_path).text.split())
    assert f"by accept=evaluator: the first {len(finished)} evaluations of its log are of the old one" in text
    larger = Plan(seed=1, budget=Budget(trials=14), baseline=3, final=2)  # from now on it is this study's
    make_study(tmp_path, space=space, searcher=searcher(), evaluator=Repaired(), plan=larger).run()
    assert "accepted" not in read_study(tmp_path).opened
    with pytest.raises(StoreError, match=r"evaluator: expected .*fake-2.* got .*fake-1"):
        make_study(tmp_path, space=space, searcher=searcher(), plan=larger).run()


def test_nothing_else_is_accepted_with_an_evaluator(tmp_path):
    make_study(tmp_path).run()
    evaluator = Repaired()
    evaluator.objectives = (Objective("accuracy", "minimize", "%"),)
    with pytest.raises(StoreError, match=r"evaluator\.objectives: expected"):
        make_study(tmp_path, evaluator=evaluator, accept=("evaluator",)).run()
    with pytest.raises(StoreError, match="seed: expected 1"):
        make_study(tmp_path, plan=Plan(seed=2), accept=("evaluator",)).run()


@pytest.mark.parametrize("attribute", ["objectives", "reported"])
def test_other_objectives_are_refused(tmp_path, attribute):
    make_study(tmp_path).run()
    evaluator = FakeEvaluator()
    other = Objective("accuracy", "minimize", "%")
    setattr(evaluator, attribute, (other,) if attribute == "objectives" else other)
    with pytest.raises(
        StoreError, match=rf"evaluator\.{attribute}: expected .*'maximize'.* got .*'minimize'"
    ):
        make_study(tmp_path, evaluator=evaluator, executor=Unopened()).run()


def test_a_log_of_another_format_is_refused(tmp_path):
    make_study(tmp_path).run()
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes().replace(b'"format":2', b'"format":9'))
    with pytest.raises(
        StoreError, match="expected a format from 1 to 2; got 9; continue it with the version that wrote it"
    ):
        make_study(tmp_path).run()


def test_a_log_of_an_earlier_format_is_reported_and_not_continued(tmp_path):
    make_study(tmp_path).run()
    path = tmp_path / FILE_NAME
    before = read_study(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"format":2', b'"format":1'))
    assert read_study(tmp_path).trials == before.trials
    with pytest.raises(StoreError) as refused:
        make_study(tmp_path).run()
    assert str(refused.value) == (
        f"{path}: expected a log of format 2 to continue, got one of format 1; python -m nas.report still "
        "reports it: start anew in another run.dir"
    )


def test_a_searcher_that_suggests_otherwise_gives_way_to_the_log_with_one_warning(tmp_path):
    make_study(tmp_path).run()
    path = tmp_path / FILE_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:31]))
    kept = story(tmp_path)
    space = small_space()
    changed = RegularizedEvolution(space, (OBJECTIVE,), seed=6, population=4, sample=2)
    with pytest.warns(UserWarning, match="line 2: trial 0: the searcher suggests another") as caught:
        make_study(tmp_path, searcher=changed).run()
    assert len(caught) == 1
    assert story(tmp_path)[: len(kept)] == kept
    check_complete(tmp_path)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (["relu()", "gelu()", "silu()"], "expected a searcher that has nothing to suggest, as logged"),
        ([None], "expected a suggestion, as logged; the searcher has nothing to suggest"),
    ],
)
def test_a_searcher_that_would_number_trials_otherwise_is_refused(tmp_path, script, message):
    scripted_with_gaps(tmp_path, FakeEvaluator()).run()
    space = tiny_space()
    plan = Plan(seed=1, budget=Budget(trials=9), baseline=2, final=2)
    with pytest.raises(StoreError, match=message):
        make_study(tmp_path, space=space, searcher=Scripted(space, script), plan=plan).run()


@pytest.mark.parametrize(
    ("line", "old", "new", "message"),
    [
        (1, b'"decisions":[[', b'"decisions":[[99,0],[', "line 2: expected decisions of space small"),
        (4, b'"trial":0', b'"trial":7', "line 5: expected a trial that was asked and is not over; got 7"),
        (2, b'"outcome":"miss"', b'"outcome":"hit"', "line 3: expected cache outcome miss; got hit"),
    ],
)
def test_a_log_that_contradicts_itself_is_refused(tmp_path, line, old, new, message):
    make_study(tmp_path).run()
    path = tmp_path / FILE_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    assert old in lines[line]
    lines[line] = lines[line].replace(old, new)
    path.write_bytes(b"".join(lines))
    with pytest.raises(StoreError, match=message):
        make_study(tmp_path).run()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write the log"):
        make_study(tmp_path / "file" / "run").run()
