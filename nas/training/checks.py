"""Checks of options: what a field accepts, the option names of a factory, "module:function" references."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from nas.callables import CALLABLES, FORMER, load
from nas.config import listed_options
from nas.errors import ConfigError, EvaluationError, NasError, ProtocolError, describe_error, one_line
from nas.evaluation import Objective
from nas.faults import check_call

_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


@dataclass(frozen=True, slots=True)
class Rule:
    """What a field accepts.

    Attributes:
        text: in words, to follow "expected".
        accepts: whether a value of the right type is admissible.
    """

    text: str
    accepts: Callable[[Any], bool]


def one_of(*names: str) -> Rule:
    """One of the names."""
    return Rule(f"one of {', '.join(names)}", lambda value: value in names)


def within(low: float, high: float = math.inf) -> Rule:
    """A number from `low` to `high`, both inclusive, infinity excluded."""
    text = f"a number from {low} to {high}" if high < math.inf else f"a number of at least {low}"
    return Rule(text, lambda value: low <= value <= high and value < math.inf)


def between(low: float, high: float) -> Rule:
    """A number strictly between `low` and `high`."""
    text = f"a number between {low} and {high}" if high < math.inf else f"a number above {low}"
    return Rule(text, lambda value: low < value < high)


def check_fields(where: str, instance: Any, rules: Mapping[str, Rule], error: type[NasError]) -> None:
    """Converts the fields of a frozen dataclass to the types of their defaults and checks them.

    Whole numbers pass as numbers, and numpy's numbers as Python's; nothing else is converted.

    Raises:
        error: the first field whose value has another type or breaks its rule.
    """
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        kind = type(field.default)
        converted = _convert(value, kind)
        rule = rules.get(field.name)
        expected = rule.text if rule else _KINDS[kind]
        if converted is None or (rule and not rule.accepts(converted)):
            raise error(f'{where} "{field.name}": expected {expected}, got {value!r}')
        object.__setattr__(instance, field.name, converted)


def _convert(value: Any, kind: type) -> Any:
    """The value as `kind`, or None if it is none."""
    if kind in (bool, str):
        return value if isinstance(value, kind) else None
    if isinstance(value, bool):
        return None
    if kind is int:
        return int(value) if isinstance(value, Integral) else None
    return float(value) if isinstance(value, Real) and not math.isnan(value) else None


def check_names(where: str, given: Iterable[Any], known: Iterable[str], error: type[NasError]) -> None:
    """Raises `error`, listing the known names, if one of the given names is not among them."""
    listed = tuple(known)
    for name in given:
        if name not in listed:
            raise error(f'{where}: unknown option "{name}"; {listed_options(str(name), listed)}')


def field_names(kind: Any) -> tuple[str, ...]:
    """The names of a dataclass's fields, in order."""
    return tuple(field.name for field in dataclasses.fields(kind))


def given(options: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The options of these names that have a value; one that is null (None) keeps its default."""
    return {name: options[name] for name in names if options.get(name) is not None}


def load_function(where: str, reference: str | Callable[..., Any]) -> Callable[..., Any]:
    """The callable that "module:function" or one of `CALLABLES` names; a callable stands for itself.

    Raises:
        ConfigError: no such name, module or attribute, or it cannot be called.
    """
    if callable(reference):
        return reference
    text = str(reference)
    if text in FORMER:
        raise ConfigError(f"{where}: expected {FORMER[text]}, as it is called now, got {text}; write that")
    module_name, colon, name = text.partition(":")
    if text not in CALLABLES and not (colon and module_name and name):
        named = ", ".join(CALLABLES)
        raise ConfigError(f'{where}: expected "module:function" or one of {named}; got {reference!r}')
    try:
        loaded = load(CALLABLES.get(text, text))
    except ImportError as error:
        raise ConfigError(f'{where}: cannot import "{module_name}" of "{reference}": {error}') from error
    except AttributeError as error:
        raise ConfigError(f'{where}: module "{module_name}" has no "{name}"') from error
    if not callable(loaded):
        raise ConfigError(f'{where}: "{reference}" is a {type(loaded).__name__} and cannot be called')
    return loaded


def check_takes(where: str, function: Callable[..., Any], shown: str, *given: Any, **named: Any) -> None:
    """Refuses a function that cannot be called in this way; see `nas.faults.check_call`.

    Raises:
        ConfigError: it takes other arguments, or returns no result but a coroutine or a generator.
    """
    try:
        check_call(where, function, shown, *given, **named)
    except ProtocolError as error:
        raise ConfigError(str(error)) from None


def file_path(text: str) -> Path:
    """The path that an option names, with ~ for the home folder; there need not be anything.

    Raises:
        EvaluationError: no system could have such a path, or nobody has that home folder.
    """
    try:
        path = Path(text).expanduser()
        path.exists()
    except (OSError, ValueError, RuntimeError) as error:
        raise EvaluationError(
            f"data {one_line(text)}: expected a path, got one that cannot be ({describe_error(error, 100)}); "
            "give another"
        ) from None
    return path


def objectives_from(where: str, values: Any) -> tuple[Objective, ...]:
    """Objectives from names or from mappings with name, direction and unit; one or a list of them.

    Raises:
        ConfigError: none, one of another form, or two of one name.
    """
    entries = values if isinstance(values, list | tuple) else [values]
    if not entries:
        raise ConfigError(f"{where}: expected at least one objective, got none")
    objectives = tuple(_objective(where, entry) for entry in entries)
    names = [objective.name for objective in objectives]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigError(f'{where}: expected each objective once, got "{twice}" {names.count(twice)} times')
    return objectives


def reported_from(where: str, value: Any, objectives: Sequence[Objective]) -> Objective:
    """The one quantity of the report: the first objective for None; the name of an objective means that one.

    Raises:
        ConfigError: more than one, or one of another form.
    """
    if value is None:
        return objectives[0]
    chosen = objectives_from(where, value)
    if len(chosen) > 1:
        raise ConfigError(f"{where}: expected one quantity, got {', '.join(each.name for each in chosen)}")
    named = [each for each in objectives if each.name == value]
    return (*named, *chosen)[0]


def _objective(where: str, value: Any) -> Objective:
    if isinstance(value, Objective):
        return value
    options = {"name": value} if isinstance(value, str) else value
    names = ("name", "direction", "unit")
    if not isinstance(options, Mapping) or not options.get("name"):
        raise ConfigError(f"{where}: expected a name or a mapping with {', '.join(names)}, got {value!r}")
    check_names(where, options, names, ConfigError)
    texts = given(options, names)
    for name, text in texts.items():
        if not isinstance(text, str):
            raise ConfigError(f"{where}: {name}: expected a text, got {text!r}")
    try:
        return Objective(**texts)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
