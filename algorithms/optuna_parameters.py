"""The holes of a space as Optuna's parameters: their names, distributions and values.

| hole | distribution | value |
|---|---|---|
| real number | float, log scale where the space has it | the number, to six significant digits |
| integer | int, log scale where the space has it | the number |
| copies of a repeat | int | rank among the counts, from 0 |
| choice among three numbers or more | int | rank among the numbers, ascending, from 0 |
| every other choice, argument of a statement | categorical | the option |

Ranks keep the order of numbers and leave their distances out, as these are seldom the quantity that
matters (widths of 8, 16, 32 are steps alike). The order of two values says nothing; they are categorical.

A name is the hole's label, its site and the repeat elements and rule expansions on the way to it, e.g.
"stem.width#2" or "root[1].body#7/6.1" for the second copy of the repeat at site 6. A hole without its
usual options (near the depth bound of a rule; arguments, whose options are the values in scope) has them in
its name too, because Optuna takes one set of choices for each name: what was learnt in one scope
does not carry over to another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nas.architecture import Architecture
from nas.derivation import Derivation
from nas.errors import SpaceError
from nas.sites import REPEAT, USE, Site
from nas.term import Choice, Literal, Number

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.distributions import BaseDistribution

    from nas.space import SearchSpace


@dataclass(frozen=True, slots=True)
class Parameter:
    """What Optuna is asked for at one hole.

    Attributes:
        name: the same for the same hole with the same options.
        distribution: of the value.
        ranked: options by rank, where the value is a rank.
    """

    name: str
    distribution: BaseDistribution
    ranked: tuple[int, ...] = ()

    def suggested(self, trial: Trial) -> int | float:
        """The option that Optuna suggests; it is the trial's from then on."""
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


def derive(space: SearchSpace, trial: Trial) -> Architecture:
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

    Elements of a repeat go by their position: names that mutation gave them do not enter.

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
            got = f"no decision for this hole; got one of {architecture.space}"
            raise SpaceError(f"{space.name} at {derivation.label}: {got}")
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
