"""Optuna's samplers as searchers (Akiba et al. 2019, https://arxiv.org/abs/1907.10902), by its ask and tell.

- `tpe`: tree-structured Parzen estimator (Bergstra et al. 2011,
  https://papers.nips.cc/paper/4443-algorithms-for-hyper-parameter-optimization; Watanabe 2023,
  https://arxiv.org/abs/2304.11127).
- `gp`: Gaussian process, Matern 5/2 with a length scale for each parameter, logarithm of the expected
  improvement (Ament et al. 2023, https://arxiv.org/abs/2310.20708), over trials in flight too.
- `optuna`: any sampler of `SAMPLERS`, or the user's as "module:class".

All settings are Optuna's defaults, so that comparisons are with Optuna as people use it. This module decides
how a space becomes parameters (holes are suggested in the order of the derivation, conditional ones only
where they exist) and how trials without a value are told:

- Trials in flight are Optuna's running trials (`tpe`: option `constant_liar`, on by default).
- A failed trial, or one without a finite value of every objective, is told with the worst value so far of
  each objective: Optuna ignores failures, so that a sampler might propose it again and again. While the
  sampler draws at random (`n_startup_trials`), such trials stay in flight for Optuna, so that "worst" is
  meaningful when it is first used.
- A suggestion against a constraint is told in the same way, or as failed during that random start, and
  Optuna is asked again, up to 20 times for one ask; then a uniformly random architecture that meets the
  constraints takes its place. None of it is a trial of the study.
- If another architecture than the suggested one is told, it is told to Optuna, and the suggestion fails.
- Optuna may propose an architecture again; the wrapper `no_repeats` prevents that.

Conditions: `gp` models the parameters of all told trials and draws the others at random, or by the sampler
named with `independent_sampler`; `tpe` models each conditional parameter separately, or with `group=true`
those that occur together.

The holes of a space as Optuna's parameters:

| hole | distribution | value |
|---|---|---|
| real number | float, log scale where the space has it | the number, to six significant digits |
| integer | int, log scale where the space has it | the number |
| copies of a repeat | int | rank among the counts, from 0 |
| choice among three numbers or more | int | rank among the numbers, ascending, from 0 |
| every other choice, argument of a statement | categorical | the option |

Ranks keep the order of numbers but not their distances, which seldom matter (widths of 8, 16 and 32 are equal
steps). The order of two values carries no information; they are categorical.

A name is the hole's label, its site and the repeat elements and rule expansions on the way to it, e.g.
"stem.width#2" or "root[1].body#7/6.1" for the second copy of the repeat at site 6. If the options of a hole
vary (near the depth bound of a rule; arguments, whose options are the values in scope), they are part of its
name, because Optuna takes one set of choices for each name: nothing learnt in one scope is used in another.
"""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import logging
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.algorithms.shared.method import SearchMethod
from nas.errors import ConfigError, DeadEndError, SpaceError, one_line, refusal
from nas.evaluation import Evaluation, Objective
from nas.language import Choice, Literal, Number
from nas.registry import Registry, accepts, prepare
from nas.space import REPEAT, USE, Architecture, Derivation, Site, sample
from nas.study import Suggestion, Trial

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler

    from nas.space import SearchSpace


SAMPLERS = Registry("sampler")
SAMPLERS.register("tpe", "optuna.samplers:TPESampler", "tree-structured Parzen estimator")
SAMPLERS.register("gp", "optuna.samplers:GPSampler", "Gaussian process")
SAMPLERS.register("nsga2", "optuna.samplers:NSGAIISampler", "NSGA-II (Deb et al. 2002)")
SAMPLERS.register("nsga3", "optuna.samplers:NSGAIIISampler", "NSGA-III (Deb and Jain 2014)")
SAMPLERS.register("cmaes", "optuna.samplers:CmaEsSampler", "CMA-ES (Hansen 2016); numbers only")

_START = {  # of each sampler: the option for its number of random trials at first, and the default
    "tpe": ("n_startup_trials", 10),
    "gp": ("n_startup_trials", 10),
    "nsga2": ("population_size", 50),
    "nsga3": ("population_size", 50),
    "cmaes": ("n_startup_trials", 1),
}
_LARGEST = 1e100  # bound on the size of a value, so that its square does not overflow
_REDRAWS = 20  # suggestions against a constraint in one ask
_LEAST = {"n_startup_trials": 0, "n_ei_candidates": 1, "population_size": 2}


@dataclass(frozen=True, slots=True)
class Parameter:
    """The parameter of Optuna for one hole.

    Attributes:
        name: the same for the same hole with the same options.
        distribution: of the value.
        ranked: options by rank, where the value is a rank.
    """

    name: str
    distribution: BaseDistribution
    ranked: tuple[int, ...] = ()

    def suggested(self, trial: optuna.Trial) -> int | float:
        """The option that Optuna suggests, which its trial keeps."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        match self.distribution:
            case CategoricalDistribution(choices=choices):
                return trial.suggest_categorical(self.name, choices)  # type: ignore[return-value]
            case IntDistribution(low=low, high=high, log=log):
                value = trial.suggest_int(self.name, low, high, log=log)
                return self.ranked[value] if self.ranked else value
            case FloatDistribution(low=low, high=high, log=log):
                value = float(f"{trial.suggest_float(self.name, low, high, log=log):.6g}")
                return min(high, max(low, value))
        raise AssertionError("there are no other distributions here")

    def value(self, option: int | float) -> int | float:
        """Optuna's value of an option."""
        return self.ranked.index(int(option)) if self.ranked else option


def parameter_at(derivation: Derivation) -> Parameter:
    """The parameter of the leftmost hole."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    site, options = derivation.site, derivation.options
    assert site is not None
    number = site.term
    if isinstance(number, Number):
        if number.integer:
            bounds = int(number.low), int(number.high)
            return Parameter(_name(derivation), IntDistribution(*bounds, log=number.log))
        return Parameter(
            _name(derivation), FloatDistribution(float(number.low), float(number.high), log=number.log)
        )
    ranked = _ranked(site, options)
    if ranked:
        return Parameter(_name(derivation), IntDistribution(0, len(ranked) - 1), ranked)
    return Parameter(_name(derivation), CategoricalDistribution(tuple(options)))


def derive(space: SearchSpace, trial: optuna.Trial) -> Architecture:
    """The architecture that Optuna suggests, hole by hole.

    Raises:
        DeadEndError: the suggestions lead to a hole without an option.
    """
    derivation = space.start()
    while derivation.site is not None:
        derivation = derivation.take(parameter_at(derivation).suggested(trial))
    return derivation.architecture()


def values_of(space: SearchSpace, architecture: Architecture) -> dict[str, int | float]:
    """Parameter name -> value, for an architecture of the space; `derive` is the inverse.

    Elements of a repeat are named by their position, whatever identity mutation gave them.

    Raises:
        SpaceError: an architecture of another space.
    """
    if any(decision.ids for decision in architecture.decisions):
        architecture = space.parse(architecture.text)
    taken = {decision.key: decision.option for decision in architecture.decisions}
    values: dict[str, int | float] = {}
    derivation = space.start()
    while derivation.site is not None:
        option = taken.get(derivation.key)
        if option is None:
            where, got = f"{space.name} at {derivation.label}", f"none in one of {architecture.space}"
            remedy = "read its text with the parse() of this space"
            raise SpaceError(refusal(where, "an architecture with a decision for this hole", got, remedy))
        following = derivation.take(option)
        parameter = parameter_at(derivation)
        values[parameter.name] = parameter.value(option)
        derivation = following
    return values


def _name(derivation: Derivation) -> str:
    site, key = derivation.site, derivation.key
    assert site is not None
    steps = zip(key.prefix[::2], key.prefix[1::2], strict=True)
    path = "".join(f"/{place}.{element}" for place, element in steps)
    usual = len(derivation.options) == len(site.options) and site.kind != USE
    scope = "" if usual else " of " + ",".join(map(str, derivation.options))
    return f"{site.label}#{site.index}{path}{scope}"


def _ranked(site: Site, options: Sequence[int]) -> tuple[int, ...]:
    """The options in the order of their numbers; none where they have no order."""
    if site.kind == REPEAT:
        return tuple(options)
    term = site.term
    if not isinstance(term, Choice) or len(options) < 3:
        return ()
    numbers = {
        option: literal.value
        for option in options
        if isinstance(literal := term.options[option], Literal)
        and isinstance(literal.value, int | float)
        and not isinstance(literal.value, bool)
    }
    return tuple(sorted(numbers, key=numbers.__getitem__)) if len(numbers) == len(options) else ()


class OptunaSearcher(SearchMethod[tuple[int, Architecture]]):  # of a trial: Optuna's number, suggestion
    """A study of Optuna that is asked and told by one of this project.

    Args:
        space: to search.
        objectives: all of them count, each in its direction.
        seed: of all randomness; it is Optuna's seed up to 2^32 - 1, and hashed to one above.
        sampler: a name of `SAMPLERS`, or "module:class" of a sampler that takes `seed`.
        first_only: only the first objective counts.
        options: of the sampler, under Optuna's names; `independent_sampler` may be a name as well.

    Raises:
        ConfigError: an unknown sampler or option, a value that Optuna refuses, or several objectives for a
            sampler of one.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        seed: int,
        sampler: str = "tpe",
        first_only: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(space, objectives[:1] if first_only else objectives, seed=seed)
        for option in options:
            meant = difflib.get_close_matches(option, ("sampler", "first_only"), n=1)
            if meant and not accepts(SAMPLERS, {"name": sampler}, option):
                expected = "sampler, first_only or an option of the sampler"
                got, remedy = f'"{option}"', f"did you mean {meant[0]}?"
                raise ConfigError(refusal('searcher "optuna"', expected, got, remedy))
        optuna_seed = seed if seed < 2**32 else int(np.random.SeedSequence(seed).generate_state(1)[0])
        self._study = _study(sampler, _build(sampler, options, optuna_seed), self._objectives)
        self._origin = sampler
        self._startup = max(1, options.get("n_startup_trials", 10))
        start = _START.get(sampler)
        self._uninformed = None if start is None else max(1, options.get(start[0], start[1]))
        self._worst: list[float] = []  # value of each objective
        self._completed = 0
        self._held: list[int] = []  # Optuna's numbers of failed trials that are told later

    @property
    def study(self) -> optuna.Study:
        """Optuna's study, for Optuna's tools; telling it anything else breaks this searcher."""
        return self._study

    @property
    def uninformed(self) -> int | None:
        """The random start, or the first population; None for a sampler of the user's."""
        return self._uninformed

    def ask(self, count: int = 1) -> list[Suggestion]:
        with _quietly():
            return super().ask(count)

    def _take(self, trial: Trial, remembered: tuple[int, Architecture]) -> None:
        number, suggested = remembered
        if trial.architecture != suggested:
            self._drop(number)
            number = self._placed(trial.architecture)
        evaluation = trial.evaluation
        assert evaluation is not None
        values = self._values(evaluation)
        if values is not None:
            pairs = zip(self._objectives, values, self._worst or values, strict=True)
            self._worst = [max(value, worst, key=objective.loss) for objective, value, worst in pairs]
            self._completed += 1
            self._study.tell(number, values)
            if self._completed >= self._startup:
                for failed in self._held:
                    self._study.tell(failed, self._worst)
                self._held.clear()
        elif self._completed < self._startup:
            self._held.append(number)
        else:
            self._study.tell(number, self._worst)

    def _suggest(self) -> Suggestion:
        for _ in range(_REDRAWS):
            trial = self._study.ask()
            try:
                architecture = derive(self._space, trial)
            except DeadEndError:
                architecture = None
            if architecture is not None and self._space.violation(architecture) is None:
                return self._noted(trial.number, architecture, self._origin)
            if self._completed < self._startup:
                self._drop(trial.number)
            else:
                self._study.tell(trial.number, self._worst)
        architecture = sample(self._space, self._rng)
        return self._noted(self._placed(architecture), architecture, "random")

    def _noted(self, number: int, architecture: Architecture, origin: str) -> Suggestion:
        self._in_flight.add((number, architecture))
        return Suggestion(architecture, info={"origin": origin})

    def _placed(self, architecture: Architecture) -> int:
        """Optuna's number of a running trial with this architecture, whatever its sampler would suggest."""
        self._study.enqueue_trial(values_of(self._space, architecture))
        trial = self._study.ask()
        derive(self._space, trial)
        return trial.number

    def _drop(self, number: int) -> None:
        from optuna.trial import TrialState

        self._study.tell(number, state=TrialState.FAIL)

    def _values(self, evaluation: Evaluation) -> list[float] | None:
        """One for each objective; None where one is missing or not finite, or the evaluation failed."""
        if not evaluation.ok:
            return None
        values = [evaluation.values.get(objective.name, math.nan) for objective in self._objectives]
        if not all(map(math.isfinite, values)):
            return None
        return [max(-_LARGEST, min(_LARGEST, value)) for value in values]


def tpe(space: SearchSpace, objectives: Sequence[Objective], *, seed: int, **options: Any) -> OptunaSearcher:
    """Optuna's TPE; options as for `OptunaSearcher`, without `sampler`."""
    return OptunaSearcher(space, objectives, seed=seed, **_named("tpe", options))


def gp(space: SearchSpace, objectives: Sequence[Objective], *, seed: int, **options: Any) -> OptunaSearcher:
    """Optuna's Gaussian process; options as for `OptunaSearcher`, without `sampler`."""
    return OptunaSearcher(space, objectives, seed=seed, **_named("gp", options))


def _named(sampler: str, options: dict[str, Any]) -> dict[str, Any]:
    if "sampler" in options:
        where, remedy = f'searcher "{sampler}": sampler', "leave it out or take searcher=optuna"
        raise ConfigError(refusal(where, "no such option", repr(options["sampler"]), remedy))
    return {**options, "sampler": sampler}


def _build(name: str, options: Mapping[str, Any], seed: int) -> BaseSampler:
    """The sampler of that name; checks options that Optuna checks late or not at all."""
    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import BaseSampler

    options = dict(options)
    if isinstance(options.get("independent_sampler"), str):
        options["independent_sampler"] = _build(options["independent_sampler"], {}, seed)
    if options.get("group"):
        options.setdefault("multivariate", True)  # as Optuna does, with a warning
    make = prepare(SAMPLERS, {"name": name, **options}, 0, seed=seed)
    if "warn_independent_sampling" not in options and _warns_by_default(make):
        make = partial(make, warn_independent_sampling=False)  # conditional holes are usual here
    for option, least in _LEAST.items():
        given = options.get(option)
        if isinstance(given, int) and given < least:
            where, remedy = f'sampler "{name}": {option}', "leave it out for the default"
            raise ConfigError(refusal(where, f"{least} or more", given, remedy))
    if name == "cmaes" and importlib.util.find_spec("cmaes") is None:
        raise ConfigError(refusal('sampler "cmaes"', "the package cmaes", "none", "pip install cmaes"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            built = make()
    except (TypeError, ValueError) as error:
        expected, remedy = "options that it takes", "correct the option that is named"
        raise ConfigError(refusal(f'sampler "{name}"', expected, one_line(error), remedy)) from None
    if not isinstance(built, BaseSampler):
        got = type(built).__name__
        remedy = "name a class that inherits from optuna.samplers.BaseSampler"
        raise ConfigError(refusal(f'sampler "{name}"', "a sampler of Optuna", got, remedy))
    return built


def _warns_by_default(make: Any) -> bool:
    try:
        parameter = inspect.signature(make).parameters.get("warn_independent_sampling")
    except ValueError:  # some built-in classes have none
        return False
    return parameter is not None and parameter.default is True


def _study(name: str, sampler: BaseSampler, objectives: Sequence[Objective]) -> optuna.Study:
    """An empty study of Optuna's in memory; raises ConfigError for several objectives of a sampler of one."""
    from optuna import create_study
    from optuna.pruners import NopPruner
    from optuna.samplers import CmaEsSampler
    from optuna.storages import InMemoryStorage
    from optuna.study import StudyDirection

    if isinstance(sampler, CmaEsSampler) and len(objectives) > 1:
        listed = ", ".join(objective.name for objective in objectives)
        raise ConfigError(
            refusal(f'sampler "{name}"', "one objective", listed, "set first_only=true or take another")
        )
    with _quietly():
        return create_study(
            storage=InMemoryStorage(),
            sampler=sampler,
            pruner=NopPruner(),
            directions=[StudyDirection[objective.direction.upper()] for objective in objectives],
        )


@contextmanager
def _quietly() -> Iterator[None]:
    """Within, Optuna does not log usual events such as every new study."""
    logger = logging.getLogger("optuna")
    level = logger.level
    logger.setLevel(max(level, logging.ERROR))
    try:
        yield
    finally:
        logger.setLevel(level)
