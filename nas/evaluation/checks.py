"""Checks of own functions: references "module:function", how they are called, objectives that they report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nas.callables import CALLABLES, FORMER, load
from nas.errors import ConfigError, EvaluationError, ProtocolError, describe_error, one_line
from nas.evaluation.evaluator import Objective
from nas.faults import check_call
from nas.registry import check_names, given


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


def existing(path: str | Path, kind: str, remedy: str, *, folder: bool = False, what: str = "data") -> Path:
    """The path with `~` replaced, if there is a file (or a folder); pipes and devices are none.

    Args:
        path: as it was given.
        kind: what is expected there, e.g. "an .npz file".
        remedy: ends the message.
        folder: whether a folder is expected.
        what: begins the message.

    Raises:
        EvaluationError: nothing there, something else, or a path that the system refuses.
    """
    try:
        found = Path(path).expanduser()
        if found.is_dir() if folder else found.is_file():
            return found
        got = "found none" if not found.exists() else "found something else"
    except (OSError, RuntimeError, ValueError) as error:  # too long, no permission, "~" of no such user
        got = f"cannot read it: {one_line(error)}"
    raise EvaluationError(f"{what} {path}: expected {kind}, {got}; {remedy}")
