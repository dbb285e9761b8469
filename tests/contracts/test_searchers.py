"""What every registered searcher has to keep; see `nas.study.searcher.Searcher`."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import pickle
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nas.algorithms.shared.wrapping import prepare_searcher
from nas.errors import ProtocolError
from nas.evaluation import Evaluation, Evaluator, SimulatedExecutor, Stage, Status, failure
from nas.space import SearchSpace
from nas.study import (
    FILE_NAME,
    Budget,
    Plan,
    SearchFinished,
    Study,
    Suggestion,
    Trial,
    read_events,
    read_study,
)
from nas.study.cache import TextHasher
from nas.study.replay import Replay
from nas.study.state import StudyState
from tests.contracts import searcher_kit
from tests.contracts.searcher_kit import (
    OBJECTIVES,
    asks,
    drive,
    evaluate,
    informed,
    make,
    refusal,
    spaces,
    written,
)

SPACES = spaces()
NAMES = searcher_kit.names()
SLOW = {"gp"}  # an ask takes a tenth of a second
each_searcher = pytest.mark.parametrize(
    "name",
    [  # in one process, which drives it once
        pytest.param(
            name, marks=[pytest.mark.xdist_group(f"searcher {name}"), *[pytest.mark.slow] * (name in SLOW)]
        )
        for name in NAMES
    ],
)
each_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES.keys())


@pytest.fixture(autouse=True)
def _is_taken(request: pytest.FixtureRequest) -> None:
    """Leaves out the spaces that a searcher refuses; that every one takes some is tested without this."""
    given = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    if "name" in given and "space" in given and (error := refusal(given["name"], given["space"])):
        pytest.skip(str(error))


@functools.cache
def driven(name: str, key: str, order: int = 0) -> tuple[Suggestion, ...]:
    """What a searcher asks in a space of `SPACES`."""
    return tuple(drive(make(name, SPACES[key]), order=order))


@each_searcher
def test_a_refused_space_is_named_in_one_line(name):
    refused = {key: error for key, space in SPACES.items() if (error := refusal(name, space))}
    for key, error in refused.items():
        message = str(error)
        assert message.startswith(f'searcher "{name}": '), "the searcher is named first"
        assert key in message, "so is the space"
        assert "\n" not in message
    assert not {"choices", "repeat"} & set(refused), "finite and small: every searcher takes them"


@pytest.mark.slow
def test_another_process_asks_the_same():
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": str(root)}
    output = subprocess.run(
        [sys.executable, searcher_kit.__file__], env=environment, capture_output=True, text=True, check=True
    ).stdout
    found = json.loads(output)
    assert {key.split()[0] for key in found} == set(NAMES)
    for key, asked in found.items():
        name, space = key.split()
        assert asked == json.loads(json.dumps(written(driven(name, space)))), key


@each_searcher
@each_space
def test_seed_and_order_of_tells_determine_the_asks(name, space):
    assert asks(name, space, order=1) == written(driven(name, space.name, order=1))
    assert asks(name, space, seed=8) != written(driven(name, space.name))


NEVER = {"random", "listed", "exhaustive"}


@each_searcher
@each_space
def test_the_trials_that_are_said_to_be_uninformed_are_and_others_are_not(name, space):
    """The first asks are the same whatever is told, as many as `uninformed` says; some later ones are not."""
    learnt, seed = False, 0
    while seed < 2 or (not learnt and seed < 10):
        searchers = [make(name, space, seed) for _ in range(2)]
        trials = int(min(searchers[0].uninformed or 0, 40)) + 8
        one, other = (informed(each, salt, trials) for each, salt in zip(searchers, "ab", strict=True))
        first, second = (each.uninformed for each in searchers)  # a wrapper knows by now what was no trial
        assert first is not None
        assert second is not None
        assert min(first, second) >= 1
        same = len(one) if math.inf in (first, second) else int(min(first, second))
        assert one[:same] == other[:same]
        learnt, seed = learnt or one != other, seed + 1
    blind = (name, space.name) == (
        "ngram_smbo",
        "numbers",
    )  # its features are names, which are all alike there
    assert learnt is (name not in NEVER and not blind)


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ({"name": "surrogate"}, 5),
        ({"name": "regularized_evolution"}, 100),
        ({"name": "regularized_evolution", "population": 9, "sample": 1}, math.inf),
        ({"name": "mu_plus_lambda", "parents": 7}, 7),
        ({"name": "mu_plus_lambda", "parents": 1, "children": 6}, 7),
        ({"name": "nsga2"}, 20),
        ({"name": "tpe"}, 10),
        ({"name": "tpe", "n_startup_trials": 0}, 1),
        ({"name": "gp", "first_only": True}, 10),
        ({"name": "optuna", "sampler": "nsga2"}, 50),
        ({"name": "optuna", "sampler": "optuna.samplers:RandomSampler"}, None),
        ({"name": "ngram_smbo", "exploration": 1.0}, math.inf),
        ({"name": "mcts"}, 5),  # the root and its four children
        ({"name": "local_search"}, 2),
        ({"name": "asha", "eta": 4, "searcher": {"name": "random"}}, 4),
        ({"name": "asha", "searcher": {"name": "local_search"}}, 2),
        ({"name": "hyperband", "searcher": {"name": "random"}}, 9),
        ({"name": "pending_limit", "searcher": {"name": "surrogate", "initial": 8}}, 8),
        ({"name": "no_repeats", "searcher": {"name": "random"}}, math.inf),
        ({"name": "no_repeats", "searcher": {"name": "asha", "searcher": {"name": "random"}}}, 3),
    ],
    ids=str,
)
def test_how_many_first_trials_are_uninformed(section, expected):
    searcher = prepare_searcher(section, seed=0)(SPACES["choices"], OBJECTIVES, searcher_kit.FIDELITIES)
    assert searcher.uninformed == expected


@pytest.mark.parametrize(
    ("expression", "options"),
    [
        ("conv(width=integer(4, 64)) >> dropout(rate=real(0.0, 0.5))", {}),
        ("conv(width=integer(4, 64)) >> dropout(rate=real(0.0, 0.5))", {"widening": 2.5}),
        ("repeat(relu() | gelu(), 1, 5)", {}),
        ("relu() >> (gelu() | relu() | tanh())", {"branching": 1}),
    ],
)
def test_tree_search_counts_its_uninformed_trials_in_any_space(expression, options):
    section, same, learnt = {"name": "mcts", **options}, 0, []
    for seed in range(12):
        made = [
            prepare_searcher(section, seed=seed)(SearchSpace("any", expression), OBJECTIVES) for _ in "ab"
        ]
        same = int(made[0].uninformed or 0)
        one, other = (searcher_kit.informed(each, salt) for each, salt in zip(made, "ab", strict=True))
        assert one[:same] == other[:same]
        learnt.append(
            next((n for n, pair in enumerate(zip(one, other, strict=True)) if len(set(pair)) > 1), 99)
        )
    assert min(learnt) <= same + 3, "the number is no idle lower bound"


EXTREMES = (1e308, -1e308, 1.7e308, 5e-324, 1e160, -1e200, 0.0, math.inf, -math.inf, math.nan)


@each_searcher
def test_values_of_any_size_are_accepted(name):
    """Without a warning, which is an error here, such as that of an overflow."""
    searcher, rng = make(name, SPACES["choices"]), np.random.default_rng(0)
    for number in range(25):
        try:
            given = searcher.ask(1)
        except SearchFinished:
            break
        values = {objective.name: EXTREMES[rng.integers(len(EXTREMES))] for objective in OBJECTIVES}
        for suggestion in given:
            searcher.tell(Trial(number, suggestion, evaluation=Evaluation(Status.COMPLETED, values, 1.0)))


@pytest.mark.slow
@each_searcher
@each_space
def test_global_random_state_is_neither_read_nor_changed(name, space):
    expected = written(driven(name, space.name))
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - the global state is what is tested
    before = random.getstate(), repr(np.random.get_state())  # noqa: NPY002
    assert asks(name, space) == expected
    assert (random.getstate(), repr(np.random.get_state())) == before  # noqa: NPY002


@each_searcher
@each_space
@pytest.mark.parametrize("order", [0, *(pytest.param(order, marks=pytest.mark.slow) for order in (1, 2))])
def test_every_suggestion_is_in_the_space(name, space, order):
    suggested = driven(name, space.name, order)
    assert suggested
    for suggestion in suggested:
        assert space.check(suggestion.architecture) is None


@each_searcher
@each_space
def test_information_is_json_and_parents_are_earlier_trials(name, space):
    for number, suggestion in enumerate(driven(name, space.name)):
        json.dumps(suggestion.info)
        assert suggestion.parent is None or 0 <= suggestion.parent < number


@each_searcher
def test_at_most_count_suggestions_come(name):
    searcher = make(name, SPACES["choices"])
    assert len(searcher.ask(0)) == 0
    assert 0 < len(searcher.ask(3)) <= 3


@each_searcher
@each_space
def test_progress_comes_after_tells(name, space):
    """Asked until it has nothing, told all of it, it has more or is finished."""
    searcher = make(name, space)
    open_trials: list[Trial] = []
    for _ in range(200):
        try:
            given = searcher.ask(1)
        except SearchFinished:
            break
        if not given:
            break
        open_trials.append(Trial(len(open_trials), given[0], evaluation=evaluate(given[0].architecture)))
    assert open_trials
    for trial in reversed(open_trials):
        searcher.tell(trial)
    with contextlib.suppress(SearchFinished):
        assert searcher.ask(1)


@each_searcher
def test_failures_only_are_accepted(name):
    searcher = make(name, SPACES["repeat"])
    for number in range(30):
        (suggestion,) = searcher.ask(1)
        reason = failure(list(Status)[1 + number % 6], "bad luck")
        searcher.tell(Trial(number, suggestion, evaluation=reason))


@each_searcher
def test_tell_twice_unknown_or_too_early_is_an_error(name):
    space = SPACES["choices"]
    searcher = make(name, space)
    (suggestion,) = searcher.ask(1)
    done = Trial(0, suggestion, evaluation=evaluate(suggestion.architecture))
    with pytest.raises(ProtocolError, match=r"tell: trial 0: expected an evaluation, got none"):
        searcher.tell(Trial(0, suggestion))
    searcher.tell(done)
    with pytest.raises(ProtocolError, match="in flight, got trial 0, which was told before; tell each"):
        searcher.tell(done)
    with pytest.raises(ProtocolError, match="in flight, got trial 99, which was never asked for; tell"):
        searcher.tell(Trial(99, suggestion, evaluation=done.evaluation))


@each_searcher
def test_a_space_with_one_architecture_is_searched_to_the_end(name):
    searcher = make(name, SearchSpace("one", "relu() >> gelu()"))
    for number in range(150):
        try:
            (suggestion,) = searcher.ask(1)
        except SearchFinished:
            break
        assert suggestion.architecture.text == "relu() >> gelu()"
        evaluation = evaluate(suggestion.architecture)
        searcher.tell(Trial(number, suggestion, evaluation=evaluation))


@each_searcher
def test_another_architecture_than_suggested_may_be_told(name):
    """A replayed log may hold what an earlier version suggested."""
    space = SPACES["choices"]
    searcher = make(name, space)
    other = space.parse("relu() >> relu() >> relu() >> relu()")
    for number in range(20):
        searcher.ask(1)
        searcher.tell(Trial(number, Suggestion(other), evaluation=evaluate(other)))
    assert searcher.ask(1)


@each_searcher
@each_space
def test_a_pickled_searcher_goes_on_alike(name, space):
    searcher = make(name, space)
    for number in range(12):
        (suggestion,) = searcher.ask(1)
        searcher.tell(Trial(number, suggestion, evaluation=evaluate(suggestion.architecture)))
    copy = pickle.loads(pickle.dumps(searcher))
    for number in range(12, 24):
        (one,), (other,) = searcher.ask(1), copy.ask(1)
        assert one.architecture == other.architecture
        for each in (searcher, copy):
            each.tell(Trial(number, one, evaluation=evaluate(one.architecture)))


class Hashed(Evaluator):
    """An evaluator of the outcomes above."""

    objectives = OBJECTIVES
    reported = OBJECTIVES[0]
    fidelity_range = None

    def fingerprint(self) -> str:
        return "hashed"

    def __call__(self, task):
        return evaluate(task.architecture)


@each_searcher
@each_space
def test_replay_of_a_log_reproduces_the_asks(tmp_path, name, space):
    plan = Plan(seed=1, budget=Budget(trials=35))  # the smallest space has 39 texts
    Study(
        space,
        make(name, space),
        Hashed(),
        SimulatedExecutor(4),
        directory=tmp_path,
        plan=plan,
        hasher=TextHasher(),
    ).run()
    assert len(read_study(tmp_path).stage(Stage.SEARCH)) == 35
    ledger = StudyState(OBJECTIVES[0])
    replay = Replay(
        space,
        make(name, space),
        ledger,
        evaluator="hashed",
        search_fidelity=None,
        looks_up=True,
        path=tmp_path / FILE_NAME,
    )
    replay.run(
        read_events(tmp_path / FILE_NAME)
    )  # a suggestion that differs would warn, which is an error here
    assert ledger.over[Stage.SEARCH] == 35
