from __future__ import annotations

import logging
import pickle

import optuna
import pytest
from optuna.samplers import GPSampler, NSGAIIISampler, NSGAIISampler, TPESampler
from optuna.trial import TrialState
from scipy.stats import mannwhitneyu

from algorithms.optuna_sampler import OptunaSearcher, gp, tpe
from algorithms.random_search import RandomSearch
from nas.architecture import Architecture
from nas.errors import DeadEndError
from nas.evaluation import Evaluation, Status, failure
from nas.searcher import Searcher, Suggestion
from nas.space import SearchSpace
from search_spaces import SPACES
from tests.algorithms.optuna_kit import ACCURACY, CHAIN, FOUR, LATENCY, MIXED, outcome, quality, run, tell

DIRECTIONS = {ACCURACY: "maximize", LATENCY: "minimize"}
SAMPLERS = {"tpe": TPESampler, "gp": GPSampler, "nsga2": NSGAIISampler, "nsga3": NSGAIIISampler}


def states(searcher: OptunaSearcher) -> list[TrialState]:
    return [trial.state for trial in searcher.study.trials]


@pytest.fixture
def quiet(caplog):
    """For studies of Optuna's that a test makes itself."""
    caplog.set_level(logging.ERROR, logger="optuna")


# what Optuna itself would ask, written by hand for two spaces


def ask_chain(trial: optuna.Trial) -> str:
    names = [f"root[{i}]#{1 + 5 * i}" for i in range(4)]
    words = ("relu()", "gelu()", "silu()", "tanh()")
    return " >> ".join(words[trial.suggest_categorical(name, (0, 1, 2, 3))] for name in names)


def ask_mixed(trial: optuna.Trial) -> str:
    width = trial.suggest_int("conv.width#2", 4, 64, log=True)
    kernel = (3, 5, 7)[trial.suggest_int("conv.kernel#3", 0, 2)]
    rate = float(f"{trial.suggest_float('dropout.rate#8', 0.0, 0.5):.6g}")
    return MIXED.parse(f"conv(width={width}, kernel={kernel}) >> dropout(rate={rate})").text


@pytest.mark.usefixtures("quiet")
@pytest.mark.filterwarnings("ignore:NSGAIIISampler is experimental")  # of the bare study
@pytest.mark.parametrize("objectives", [(ACCURACY,), (LATENCY, ACCURACY)], ids=["one", "two"])
@pytest.mark.parametrize(("space", "ask"), [(CHAIN, ask_chain), (MIXED, ask_mixed)], ids=["chain", "mixed"])
@pytest.mark.parametrize(
    ("name", "options", "trials"),
    [
        ("tpe", {}, 40),
        ("tpe", {"multivariate": False, "constant_liar": False, "n_ei_candidates": 7}, 30),
        ("gp", {"n_startup_trials": 5}, 8),
        ("nsga2", {"population_size": 4}, 30),
        ("nsga3", {"population_size": 4}, 30),
    ],
    ids=["tpe", "tpe-options", "gp", "nsga2", "nsga3"],
)
def test_asks_are_those_of_a_bare_study_of_optuna(name, options, trials, space, ask, objectives):
    """Up to three trials in flight, told last first."""
    study = optuna.create_study(
        sampler=SAMPLERS[name](seed=11, **options), directions=[DIRECTIONS[each] for each in objectives]
    )
    searcher = OptunaSearcher(space, objectives, seed=11, sampler=name, **options)
    flying = []
    for number in range(trials):
        trial, (suggestion,) = study.ask(), searcher.ask(1)
        assert suggestion.architecture.text == ask(trial), number
        flying.append((trial, number, suggestion))
        while len(flying) > number % 3:
            trial, told, suggestion = flying.pop()
            accuracy, latency = quality(suggestion.architecture)
            values = {ACCURACY: accuracy, LATENCY: latency}
            study.tell(trial, [values[each] for each in objectives])
            tell(searcher, told, suggestion, outcome(accuracy, latency))


def test_the_process_is_relative_to_all_six_edges_of_nasbench201():
    """The Gaussian process, not the sampler for conditions, decides all of them after the random start."""
    searcher = gp(SPACES.get("nasbench201")(), (ACCURACY,), seed=0, n_startup_trials=3)
    run(searcher, 5, lambda architecture: outcome(*quality(architecture)))
    searcher.ask(1)
    by_process = [sum(key.startswith("gp:") for key in t.system_attrs) for t in searcher.study.trials]
    assert by_process == [0, 0, 0, 1, 1, 1]
    sampler, last = searcher.study.sampler, searcher.study.trials[-1]
    assert len(sampler.infer_relative_search_space(searcher.study, last)) == len(last.params) == 6


@pytest.mark.parametrize("name", ["nasbench201", "darts", "deepconv", "macro", "update_rule"])
@pytest.mark.parametrize(("make", "trials"), [(tpe, 20), (gp, 7)], ids=["tpe", "gp"])
def test_suggestions_are_in_the_space_whatever_its_conditions(name, make, trials):
    space = SPACES.get(name)()
    searcher = make(space, (ACCURACY,), seed=1, n_startup_trials=4)
    for architecture in run(searcher, trials, lambda a: outcome(*quality(a))):
        assert space.check(architecture) is None
    for trial, frozen in enumerate(searcher.study.trials):
        assert frozen.state is TrialState.COMPLETE, trial


def test_holes_of_a_condition_are_asked_for_only_where_it_holds():
    space = SearchSpace("condition", "conv(kernel=oneof(3, 5, 7)) | relu() >> dropout(rate=real(0.1, 0.5))")
    searcher = tpe(space, (ACCURACY,), seed=0)
    asked = run(searcher, 40, lambda a: outcome(*quality(a)))
    for architecture, frozen in zip(asked, searcher.study.trials, strict=True):
        (condition,) = [name for name in frozen.params if name != "root#0"]
        assert condition.startswith("conv.kernel" if "conv" in architecture.text else "root[1].dropout")


def test_failures_are_told_with_the_worst_values_once_the_random_start_is_over():
    searcher = OptunaSearcher(CHAIN, (ACCURACY, LATENCY), seed=0, n_startup_trials=3)
    results = [
        failure(Status.DIVERGED, "nan"),
        outcome(50, 9),
        outcome(float("nan"), 1),  # no accuracy: a failure too
        outcome(70, 4),
        outcome(20, 2),  # the third result
        failure(Status.TIMEOUT, "slow"),
        outcome(10, 30),
        Evaluation(Status.COMPLETED, {"accuracy": 99.0}, 1.0),  # no latency
    ]
    numbers = iter(range(8))
    for result in results[:4]:
        tell(searcher, next(numbers), searcher.ask(1)[0], result)
    held = [trial.values for trial in searcher.study.trials]
    assert held == [None, [50, 9], None, [70, 4]]
    assert [state.is_finished() for state in states(searcher)] == [False, True, False, True]
    for result in results[4:]:
        tell(searcher, next(numbers), searcher.ask(1)[0], result)
    told = [trial.values for trial in searcher.study.trials]
    assert told == [[20, 9], [50, 9], [20, 9], [70, 4], [20, 2], [20, 9], [10, 30], [10, 30]]


@pytest.mark.parametrize("make", [tpe, gp])
def test_a_failing_region_is_left(make):
    """The other way, failures ignored, the process would ask for its optimum again and again."""
    searcher = make(CHAIN, (ACCURACY,), seed=0, n_startup_trials=8)

    def evaluate(architecture: Architecture) -> Evaluation:
        tanh = architecture.text.count("tanh")
        return failure(Status.DIVERGED, "nan") if tanh > 2 else outcome(float(tanh))

    asked = run(searcher, 24, evaluate)
    failed = [a.text for a in asked[8:] if a.text.count("tanh") > 2]
    assert len(failed) < 8
    assert make is tpe or len(failed) == len(set(failed))


def test_trials_in_flight_are_running_trials():
    searcher = gp(CHAIN, (ACCURACY,), seed=0, n_startup_trials=4)
    run(searcher, 6, lambda a: outcome(*quality(a)))
    suggested = searcher.ask(4)
    assert len({each.architecture.text for each in suggested}) == 4  # each knows of those before it
    assert states(searcher)[6:] == [TrialState.RUNNING] * 4
    for number in (8, 6, 9, 7):
        tell(searcher, number, suggested[number - 6], outcome(float(number)))
    assert [trial.value for trial in searcher.study.trials[6:]] == [6, 7, 8, 9]


def no_tanh(architecture: Architecture) -> str | None:
    return "tanh" if "tanh" in architecture.text else None


@pytest.mark.parametrize("make", [tpe, gp])
def test_suggestions_against_a_constraint_leave_no_trial_in_flight(make):
    space = SearchSpace("few", " >> ".join([FOUR] * 3), constraints=(no_tanh,))
    searcher = make(space, (ACCURACY,), seed=3, n_startup_trials=4)
    asked = run(searcher, 12, lambda a: outcome(*quality(a)))
    assert all("tanh" not in architecture.text for architecture in asked)
    trials = searcher.study.trials
    rejected = [t for t in trials if 3 in t.params.values()]
    assert len(trials) - len(rejected) == 12
    assert all(trial.state.is_finished() for trial in trials)
    fourth = [t.number for t in trials if t not in rejected][3]
    early = [t.state for t in rejected if t.number < fourth]
    assert early
    assert set(early) == {TrialState.FAIL}
    worst = {t.value for t in rejected if t.number > fourth}
    values = [quality(a)[0] for a in asked]
    assert worst <= {min(values[:told]) for told in range(4, 13)}


def only_tanh(architecture: Architecture) -> str | None:
    return None if architecture.text.count("tanh") == 4 else "not all tanh"


def test_after_twenty_rejections_a_random_architecture_takes_the_place():
    space = SearchSpace("rare", " >> ".join([FOUR] * 4), constraints=(only_tanh,))  # one in 256
    searcher = tpe(space, (ACCURACY,), seed=0)
    (suggestion,) = searcher.ask(1)
    assert suggestion.info == {"origin": "random"}
    assert states(searcher) == [TrialState.FAIL] * 20 + [TrialState.RUNNING]
    assert set(searcher.study.trials[-1].params.values()) == {3}
    tell(searcher, 0, suggestion, outcome(1.0))
    assert searcher.study.trials[-1].value == 1.0


def never(architecture: Architecture) -> str | None:
    return "never"


def test_a_constraint_that_nothing_meets_is_a_dead_end():
    searcher = tpe(SearchSpace("none", FOUR, constraints=(never,)), (ACCURACY,), seed=0)
    with pytest.raises(DeadEndError, match="none: nothing admissible in 1000 draws; the last reason: never"):
        searcher.ask(1)
    assert TrialState.RUNNING not in states(searcher)


def test_what_was_evaluated_is_told_not_what_was_suggested():
    searcher = tpe(CHAIN, (ACCURACY,), seed=0)
    searcher.ask(1)
    other = CHAIN.parse("tanh() >> relu() >> tanh() >> silu()")
    tell(searcher, 0, Suggestion(other), outcome(5.0))
    suggested, told = searcher.study.trials
    assert suggested.state is TrialState.FAIL
    assert (told.value, list(told.params.values())) == (5.0, [3, 0, 3, 2])


def test_a_pickled_process_goes_on_alike():
    searcher = gp(CHAIN, (ACCURACY,), seed=0, n_startup_trials=3)
    run(searcher, 5, lambda a: outcome(*quality(a)))
    copy = pickle.loads(pickle.dumps(searcher))
    for number in range(5, 8):
        (one,), (other,) = searcher.ask(1), copy.ask(1)
        assert one.architecture == other.architecture
        for each in (searcher, copy):
            tell(each, number, one, outcome(float(number)))


@pytest.mark.slow
@pytest.mark.parametrize(("make", "trials", "seeds"), [(tpe, 100, 10), (gp, 32, 7)], ids=["tpe", "gp"])
def test_models_beat_random_search(make, trials, seeds):
    """One-sided rank test at alpha 0.001, seeds fixed; how many of 12 places hold one operation of 4."""
    space = SearchSpace("long", " >> ".join([FOUR] * 12))

    def best(searcher: Searcher) -> int:
        asked = run(searcher, trials, lambda a: outcome(float(a.text.count("tanh"))))
        return max(a.text.count("tanh") for a in asked)

    model = [best(make(space, (ACCURACY,), seed=seed)) for seed in range(seeds)]
    chance = [best(RandomSearch(space, (ACCURACY,), seed=seed)) for seed in range(seeds)]
    assert mannwhitneyu(model, chance, alternative="greater").pvalue < 0.001
