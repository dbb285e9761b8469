"""What every searcher on a supernet promises; registering one is enough to have it tested here."""

from __future__ import annotations

import json
import pickle
import re
import warnings

import pytest

from nas.algorithms import SEARCHERS
from nas.errors import ConfigError, ProtocolError
from nas.evaluation import FIRST_TRIAL, Evaluator, SimulatedExecutor, Stage, Status, failure
from nas.language import oneof, op, real, ref, rule, train
from nas.search_spaces import SPACES as REGISTERED
from nas.space import SearchSpace
from nas.study import FILE_NAME, Budget, Plan, SearchFinished, Study, read_study
from nas.supernet import SharedWeights, SupernetTraining, loaded
from nas.training import DataOptions
from tests.contracts.one_shot_kit import (
    CHAINS_ONLY,
    OPTIONS,
    Numbering,
    answer,
    drive,
    make,
    spaces,
    spaces_of,
)
from tests.contracts.searcher_kit import OBJECTIVES, ONE_SHOT, evaluate

SPACES = spaces()
each_searcher = pytest.mark.parametrize("name", ONE_SHOT)
PAIRS = {f"{key}-{name}": (name, space) for name in ONE_SHOT for key, space in spaces_of(name).items()}
each_pair = pytest.mark.parametrize(("name", "space"), PAIRS.values(), ids=PAIRS.keys())


def asked(name, space, seed=7, order=0):
    trials = drive(make(name, space, seed), space, order)
    return [
        (trial.number, trial.suggestion.architecture.text, trial.suggestion.parent, trial.suggestion.work)
        for trial in trials
    ]


def test_the_suite_runs_over_all_of_them():
    assert set(ONE_SHOT) == set(OPTIONS) <= set(SEARCHERS.names())


@each_pair
def test_seed_and_order_of_tells_determine_the_asks(name, space):
    assert asked(name, space, order=1) == asked(name, space, order=1)
    assert asked(name, space, seed=8) != asked(name, space, seed=7)


@each_pair
@pytest.mark.parametrize("order", range(3))
def test_works_form_chains_and_candidates_come_last(name, space, order):
    """Each training goes on where its parent stopped, until the epochs are done."""
    searcher = make(name, space)
    trials = list(drive(searcher, space, order))
    trainings = {
        t.number: t.suggestion.work for t in trials if isinstance(t.suggestion.work, SupernetTraining)
    }
    chains = {}
    for trial in trials:
        assert space.check(trial.suggestion.architecture) is None
        json.dumps(trial.suggestion.info)
        work, parent = trial.suggestion.work, trial.suggestion.parent
        if isinstance(work, SupernetTraining):
            before = trainings[parent].until if parent is not None else 0
            assert work.since == before < work.until
            chains[work.seed] = work.until
            assert trial.suggestion.resumable
        elif isinstance(work, SharedWeights):
            assert trainings[parent].until == OPTIONS[name]["epochs"]
            assert not trial.suggestion.resumable
    epochs = OPTIONS[name]["epochs"]
    assert list(chains.values()) == [epochs] * OPTIONS[name].get("searches", 1)
    candidates = [trial for trial in trials if trial.suggestion.work is None]
    assert len(candidates) == OPTIONS[name].get("top", len(chains))


@each_searcher
def test_a_candidate_is_what_its_search_chose(name):
    space = list(spaces_of(name).values())[-1]
    trials = list(drive(make(name, space), space))
    candidates = [trial.suggestion.architecture for trial in trials if trial.suggestion.work is None]
    if name == "single_path":  # the best by shared weights
        shared = {
            t.suggestion.architecture: t.evaluation.values["shared_accuracy"]
            for t in trials
            if isinstance(t.suggestion.work, SharedWeights)
        }
        assert [shared[each] for each in candidates] == sorted(shared.values(), reverse=True)[
            : len(candidates)
        ]
        return
    last = [t for t in trials if t.suggestion.work and t.suggestion.work.until == OPTIONS[name]["epochs"]]
    chosen = [space.architecture_from_json(trial.evaluation.info["decisions"]) for trial in last]
    assert set(candidates) == set(chosen)


@each_searcher
def test_an_early_stop_ends_the_chain(name):
    space = SPACES["choices"]
    searcher = make(name, space, searches=1) if name != "single_path" else make(name, space)
    (suggestion,) = searcher.ask(1)
    evaluation = answer(space, suggestion)
    evaluation.info["stopped"] = "skips"
    searcher.tell(Numbering().trial(suggestion, evaluation))
    (after,) = searcher.ask(1)
    assert not isinstance(after.work, SupernetTraining)


@each_searcher
def test_a_failed_training_ends_the_search(name):
    space = SPACES["choices"]
    searcher, numbering = make(name, space), Numbering()
    for _ in range(OPTIONS[name].get("searches", 1)):
        (suggestion,) = searcher.ask(1)
        assert suggestion.work is not None
        searcher.tell(numbering.trial(suggestion, failure(Status.DIVERGED, "loss is nan")))
    with pytest.raises(SearchFinished):
        searcher.ask(1)


@each_searcher
def test_nothing_more_comes_while_a_chain_is_in_flight(name):
    searcher = make(name, SPACES["choices"])
    assert len(searcher.ask(9)) == OPTIONS[name].get("searches", 1)
    assert len(searcher.ask(1)) == 0
    assert len(searcher.ask(0)) == 0


@each_searcher
def test_tell_twice_unknown_or_too_early_is_an_error(name):
    space = SPACES["choices"]
    searcher, numbering = make(name, space), Numbering()
    (suggestion,) = searcher.ask(1)
    trial = numbering.trial(suggestion, answer(space, suggestion))
    with pytest.raises(ProtocolError, match="expected an evaluation, got none"):
        searcher.tell(Numbering().trial(suggestion, None))
    searcher.tell(trial)
    with pytest.raises(ProtocolError, match="was told before"):
        searcher.tell(trial)


@each_pair
def test_a_pickled_searcher_goes_on_alike(name, space):
    searcher, numbering = make(name, space), Numbering()
    for _ in range(2):
        for suggestion in searcher.ask(1):
            searcher.tell(numbering.trial(suggestion, answer(space, suggestion)))
    copy = pickle.loads(pickle.dumps(searcher))
    assert [s.architecture for s in searcher.ask(3)] == [s.architecture for s in copy.ask(3)]


REFUSED = {
    "recursive": SearchSpace("r", rule("r", op.relu() | (op.relu() >> ref("r")), depth=3) >> op.head()),
    "settings": SearchSpace("s", train(op.head(), lr=oneof(0.1, 0.2))),
    "real": SearchSpace("n", op.dropout(rate=real(0.1, 0.5)) >> op.head()),
    "program": REGISTERED.get("update_rule")(),
}


@each_searcher
@pytest.mark.parametrize("kind", REFUSED)
def test_a_space_without_a_supernet_is_refused_in_one_line(name, kind):
    with pytest.raises(ConfigError, match=f'searcher "{name}": supernet of .+ at .*: expected ') as caught:
        make(name, REFUSED[kind])
    assert "\n" not in str(caught.value)


@each_searcher
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs"),
        ({"nonsense": 1}, "expected options among .*, got nonsense"),
        ({"epochs_per_work": 0}, "epochs_per_work: expected a whole number of at least 1"),
        ({"data": {"nonsense": 1}}, 'data: unknown option "nonsense"; options: dataset'),
    ],
)
def test_a_bad_option_is_refused_in_one_line(name, options, message):
    with pytest.raises(ConfigError, match=message) as caught:
        make(name, SPACES["choices"], **options)
    assert "\n" not in str(caught.value)


class MadeUp(Evaluator):
    """An evaluator whose works are answered without training."""

    objectives = OBJECTIVES
    reported = OBJECTIVES[0]
    fidelity_range = None
    dataset = loaded(DataOptions(dataset="digits"))

    def fingerprint(self):
        return "made up"

    def __call__(self, task):
        return evaluate(task.architecture)


@pytest.fixture
def without_training(monkeypatch):
    def call(work, task, evaluator):
        del evaluator
        space = work.space
        from nas.study import Suggestion

        return answer(space, Suggestion(task.architecture, work=work))

    monkeypatch.setattr(SupernetTraining, "__call__", call)
    monkeypatch.setattr(SharedWeights, "__call__", call)


def study(name, space, folder, workers=2):
    plan = Plan(seed=1, budget=Budget(trials=10))
    return Study(space, make(name, space), MadeUp(), SimulatedExecutor(workers), directory=folder, plan=plan)


@pytest.mark.usefixtures("without_training")
@each_pair
def test_replay_of_every_part_of_a_log_goes_on_to_the_same_end(tmp_path, name, space):
    """Killed after each of its lines, a study ends as the one that was not."""
    whole = tmp_path / "whole"
    study(name, space, whole).run()
    lines = (whole / FILE_NAME).read_text().splitlines(keepends=True)
    expected = {row.number: row.architecture for row in read_study(whole).trials}
    assert any(number >= FIRST_TRIAL[Stage.SUPERNET] for number in expected)
    for cut in range(2, len(lines), 5):
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / FILE_NAME).write_text("".join(lines[:cut]))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            study(name, space, folder).run()
        assert {row.number: row.architecture for row in read_study(folder).trials} == expected


KIND = {"hypercuboid": "hypercuboid"}
LARGER = {"hypercuboid": {"channels": [16, 32]}}


@each_searcher
def test_a_smaller_supernet_chooses_for_the_same_decisions(name):
    registered = REGISTERED.get(KIND.get(name, "nasbench201"))
    smaller = {"channels": [4, 5], "last": 6} if name in CHAINS_ONLY else {"channels": 4, "cells": 1}
    space, proxy = registered(**LARGER.get(name, {})), registered(**smaller)
    searcher, numbering = make(name, space, proxy=proxy), Numbering()
    (suggestion,) = searcher.ask(1)
    assert suggestion.work.space is proxy
    evaluation = answer(proxy, suggestion)
    evaluation.info["stopped"] = "enough"
    searcher.tell(numbering.trial(suggestion, evaluation))
    chosen = searcher._chains[0].choice
    assert chosen.to_json() == evaluation.info["decisions"]
    assert space.check(chosen) is None
    assert re.search(r"stem\(width=(16|32)\)", chosen.text)


@each_searcher
def test_a_proxy_of_another_space_is_refused(name):
    kind = KIND.get(name, "nasbench201")
    proxy = REGISTERED.get(kind)(layers=2) if name in CHAINS_ONLY else REGISTERED.get("darts")(channels=4)
    with pytest.raises(
        ConfigError, match=f"proxy: expected the space {kind} with the same decisions and other channels"
    ):
        make(name, REGISTERED.get(kind)(), proxy=proxy)


@pytest.mark.parametrize("wrapper", ["no_repeats", "asha", "pending_limit"])
def test_no_wrapper_takes_a_searcher_on_a_supernet(wrapper):
    from nas.algorithms.shared.wrapping import prepare_searcher

    section = {"name": wrapper, "searcher": {"name": "darts"}}
    with pytest.raises(ConfigError, match="which trains a supernet; set searcher="):
        prepare_searcher(section, seed=0)(SPACES["choices"], OBJECTIVES, ("epochs", 1, 9))
