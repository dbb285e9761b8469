from __future__ import annotations

import importlib.util
import logging
import pickle
import subprocess
import sys

import numpy as np
import optuna
import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import GPSampler, NSGAIIISampler, NSGAIISampler, TPESampler
from optuna.trial import TrialState
from scipy.stats import mannwhitneyu

from nas.algorithms import SEARCHERS
from nas.algorithms.optuna_sampler import OptunaSearcher, Parameter, derive, gp, parameter_at, tpe, values_of
from nas.algorithms.random_search import RandomSearch
from nas.errors import ConfigError, DeadEndError, SpaceError
from nas.evaluation import Evaluation, Objective, Status, failure
from nas.search_spaces import SPACES
from nas.space import Architecture, SearchSpace, mutate, sample
from nas.study import Searcher, Suggestion, Trial
from tests.space.toy_spaces import SPACES as TOYS

SCALES = SearchSpace(
    "scales",
    "repeat(conv(kernel=oneof(7, 3, 5), width=oneof(8, 16)) | relu(), 1, 2) >> "
    "conv(width=integer(4, 64, log=True)) >> dropout(rate=real(0.0, 0.5))",
)


def first(space: SearchSpace) -> Parameter:
    return parameter_at(space.start())


def along(space: SearchSpace, *options: int) -> list[Parameter]:
    """The parameters of the holes met when these options are taken."""
    derivation, met = space.start(), []
    for option in options:
        met.append(parameter_at(derivation))
        derivation = derivation.take(option)
    return met


@pytest.fixture(autouse=True)
def quiet(caplog):
    """For studies of Optuna's that a test makes itself."""
    caplog.set_level(logging.ERROR, logger="optuna")


def asked_for(space: SearchSpace, values: dict[str, int | float]):
    study = optuna.create_study()
    study.enqueue_trial(values)
    trial = study.ask()
    return derive(space, trial), trial.params


def test_each_kind_of_hole_has_its_distribution():
    found = along(SCALES, 2, 0, 1, 0, 1, 32)
    assert [parameter.name for parameter in found] == [
        "root[0]#1",
        "root[0].body#2/1.0",
        "root[0].body.conv.kernel#4/1.0",
        "root[0].body.conv.width#8/1.0",
        "root[0].body#2/1.1",
        "conv.width#13",
    ]
    assert [parameter.distribution for parameter in found] == [
        IntDistribution(0, 1),  # copies, by rank
        CategoricalDistribution((0, 1)),
        IntDistribution(0, 2),  # kernels 3, 5, 7, by rank
        CategoricalDistribution((0, 1)),  # two values have no order
        CategoricalDistribution((0, 1)),
        IntDistribution(4, 64, log=True),
    ]


def test_ranks_ascend_with_the_numbers_whatever_the_order_of_the_options():
    kernel = along(SCALES, 1, 0, 0)[-1]
    assert [kernel.value(option) for option in (0, 1, 2)] == [2, 0, 1]  # 7, 3, 5
    counts = first(SearchSpace("counts", "repeat(relu(), (1, 2, 8))"))
    assert [counts.value(option) for option in (1, 2, 8)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "distribution"),
    [
        ("dropout(rate=real(0.1, 0.5, log=True))", FloatDistribution(0.1, 0.5, log=True)),
        ("dropout(rate=real(0.1, 0.5))", FloatDistribution(0.1, 0.5)),
        ("mbconv(squeeze_excite=oneof(False, True))", CategoricalDistribution((0, 1))),
        ("relu() | gelu() | silu()", CategoricalDistribution((0, 1, 2))),
        ("conv(width=oneof(8, 64, 16))", IntDistribution(0, 2)),
    ],
)
def test_distributions_follow_the_term(text, distribution):
    assert first(SearchSpace("one", text)).distribution == distribution


def test_real_numbers_have_six_significant_digits_and_stay_in_range():
    space = SearchSpace("real", "dropout(rate=real(0.12345612, 0.5))")
    name = first(space).name
    architecture, _ = asked_for(space, {name: 0.33333333333})
    assert architecture.text == "dropout(rate=0.333333)"
    lowest, _ = asked_for(space, {name: 0.12345612})  # six digits would fall below the range
    assert lowest.text == "dropout(rate=0.12345612)"


def test_options_that_depend_on_the_way_are_in_the_name():
    """Near the depth bound a rule offers less; in a program a later statement can read more."""
    grammar = SearchSpace("grammar", "rule('r', relu() | gelu() | residual(ref('r')), depth=2)")
    names = [parameter.name for parameter in along(grammar, 2, 0)]
    assert " of " not in names[0]
    assert names[1].endswith(" of 0,1")
    program = SPACES.get("update_rule")()
    derivation = program.start().take(2)  # statements
    for _ in range(2):
        derivation = derivation.take(3)  # of the fourth kind
        derivation = derivation.take(derivation.options[-1])
        scope = parameter_at(derivation).name.partition(" of ")[2]
        assert scope == ",".join(map(str, derivation.options))
        derivation = derivation.take(derivation.options[0])


@pytest.mark.parametrize("name", [*TOYS, *SPACES.names()])
def test_values_lead_back_to_the_architecture(name):
    """Also to mutated ones, whose repeat elements have other names; no name has two distributions."""
    space = TOYS[name] if name in TOYS else SPACES.get(name)()
    rng = np.random.default_rng(0)
    study = optuna.create_study()  # refuses other choices for a name that it knows
    for _ in range(8):
        architecture = sample(space, rng)
        for each in (architecture, mutate(space, architecture, rng)):
            values = values_of(space, each)
            study.enqueue_trial(values)
            trial = study.ask()
            assert derive(space, trial) == each
            assert trial.params == values


def test_an_architecture_of_another_space_is_refused():
    other = SearchSpace("other", "repeat(tanh() | gelu(), 1, 4)")
    with pytest.raises(
        SpaceError,
        match=r"scales at .*: expected an architecture with a decision .*, got none in one of other",
    ):
        values_of(SCALES, sample(other, np.random.default_rng(0)))


ACCURACY, LATENCY = Objective("accuracy"), Objective("latency", "minimize", "ms")
FOUR = "(relu() | gelu() | silu() | tanh())"
CHAIN = SearchSpace("chain", " >> ".join([FOUR] * 4))
MIXED = SearchSpace(
    "mixed", "conv(width=integer(4, 64, log=True), kernel=oneof(7, 3, 5)) >> dropout(rate=real(0.0, 0.5))"
)


def outcome(accuracy: float, latency: float = 0.0) -> Evaluation:
    return Evaluation(Status.COMPLETED, {"accuracy": accuracy, "latency": latency}, 1.0)


def tell(searcher: Searcher, number: int, suggestion: Suggestion, evaluation: Evaluation) -> None:
    searcher.tell(Trial(number, suggestion, evaluation=evaluation))


def run(searcher: Searcher, trials: int, evaluate) -> list[Architecture]:
    """One at a time."""
    asked = []
    for number in range(trials):
        (suggestion,) = searcher.ask(1)
        asked.append(suggestion.architecture)
        tell(searcher, number, suggestion, evaluate(suggestion.architecture))
    return asked


def quality(architecture: Architecture) -> tuple[float, float]:
    """Two different functions of an architecture of any space here."""
    letters = [ord(letter) for letter in architecture.text]
    return float(sum(letters) % 101), float(sum(i * c for i, c in enumerate(letters)) % 37)


DIRECTIONS = {ACCURACY: "maximize", LATENCY: "minimize"}
SAMPLERS = {"tpe": TPESampler, "gp": GPSampler, "nsga2": NSGAIISampler, "nsga3": NSGAIIISampler}


def states(searcher: OptunaSearcher) -> list[TrialState]:
    return [trial.state for trial in searcher.study.trials]


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


def test_several_objectives_count_each_in_its_direction_or_the_first_alone():
    both = OptunaSearcher(CHAIN, (LATENCY, ACCURACY), seed=0)
    assert [direction.name for direction in both.study.directions] == ["MINIMIZE", "MAXIMIZE"]
    run(both, 1, lambda a: outcome(7, 3))
    assert both.study.trials[0].values == [3, 7]
    first = OptunaSearcher(CHAIN, (LATENCY, ACCURACY), seed=0, first_only=True)
    assert [direction.name for direction in first.study.directions] == ["MINIMIZE"]
    run(first, 1, lambda a: Evaluation(Status.COMPLETED, {"latency": 3.0}))
    assert first.study.trials[0].values == [3]


def test_samplers_of_ones_own_and_seeds_of_any_size():
    named = OptunaSearcher(CHAIN, (ACCURACY,), seed=5, sampler="tpe")
    own = OptunaSearcher(CHAIN, (ACCURACY,), seed=5, sampler="optuna.samplers:TPESampler")
    large = [OptunaSearcher(CHAIN, (ACCURACY,), seed=seed) for seed in (2**32 + 5, 2**32 + 5, 2**40)]
    asked = [run(each, 14, lambda a: outcome(*quality(a))) for each in (named, own, *large)]
    assert asked[0] == asked[1]
    assert asked[2] == asked[3]
    assert len({str(each) for each in asked}) == 3


def test_the_sampler_for_conditions_has_a_name():
    searcher = gp(CHAIN, (ACCURACY,), seed=0, independent_sampler="tpe")
    assert isinstance(searcher.study.sampler, GPSampler)
    assert isinstance(searcher.study.sampler._independent_sampler, TPESampler)


@pytest.mark.parametrize("sampler", ["nsga3", "optuna.samplers:QMCSampler"])
def test_what_optuna_calls_experimental_is_no_warning_here(sampler):
    run(OptunaSearcher(CHAIN, (ACCURACY,), seed=0, sampler=sampler), 2, lambda a: outcome(1.0))


def test_groups_take_several_objectives_without_a_warning():
    space = SearchSpace("group", "repeat(conv(kernel=oneof(1, 3, 5)) | relu(), 1, 3)")
    searcher = tpe(space, (ACCURACY, LATENCY), seed=0, group=True, n_startup_trials=4)
    run(searcher, 12, lambda a: outcome(*quality(a)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampler": "tp"}, r'sampler "tp" is not registered; registered: cmaes, gp, .*; did you mean "tpe"'),
        ({"sampler": "math:floor"}, 'sampler "math:floor": .*expected'),
        ({"sampler": "types:SimpleNamespace"}, "expected a sampler of Optuna, got SimpleNamespace"),
        ({"gama": 3}, 'sampler "tpe": has no option "gama"; options: .*n_startup_trials'),
        ({"n_startup_trials": "many"}, "n_startup_trials: expected int, got 'many'"),
        ({"n_startup_trials": -1}, "n_startup_trials: expected 0 or more, got -1"),
        ({"n_ei_candidates": 0}, "n_ei_candidates: expected 1 or more, got 0"),
        ({"group": True, "multivariate": False}, "``group`` option can only be enabled when"),
        ({"sampler": "nsga2", "population_size": 1}, "population_size: expected 2 or more, got 1"),
        (
            {"sampler": "nsga2", "crossover_prob": 2.0},
            '"nsga2": expected options that it takes, got `crossover_prob` must be a float',
        ),
        ({"sampler": "gp", "independent_sampler": "x"}, 'sampler "x" is not registered'),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ConfigError, match=message) as caught:
        OptunaSearcher(CHAIN, (ACCURACY,), seed=0, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", [tpe, gp])
def test_a_named_searcher_takes_no_other_sampler(make):
    with pytest.raises(
        ConfigError,
        match=f'"{make.__name__}": sampler: expected no such option, got .*; leave it out or take searcher=',
    ):
        make(CHAIN, (ACCURACY,), seed=0, sampler="nsga2")


def test_cmaes_needs_its_package_and_one_objective(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="expected the package cmaes, got none; pip install cmaes"):
        OptunaSearcher(MIXED, (ACCURACY,), seed=0, sampler="cmaes")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    with pytest.raises(ConfigError, match="expected one objective, got accuracy, latency; set first_only"):
        OptunaSearcher(MIXED, (ACCURACY, LATENCY), seed=0, sampler="cmaes")


def test_the_users_process_stays_as_it_is(capfd):
    logger, generator = logging.getLogger("optuna"), torch.get_rng_state()
    level = logger.level
    logger.setLevel(logging.DEBUG)
    try:
        searcher = gp(MIXED, (ACCURACY,), seed=0, n_startup_trials=2)
        run(searcher, 4, lambda a: outcome(*quality(a)))
        assert logger.level == logging.DEBUG
    finally:
        logger.setLevel(level)
    assert torch.equal(torch.get_rng_state(), generator)
    assert capfd.readouterr() == ("", "")


def test_optuna_is_imported_by_the_first_searcher_of_its():
    code = "import sys, algorithms.optuna_sampler; print('optuna' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_the_registered_names_are_these():
    assert (SEARCHERS.get("tpe"), SEARCHERS.get("gp"), SEARCHERS.get("optuna")) == (tpe, gp, OptunaSearcher)
