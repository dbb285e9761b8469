"""Callables that a user names or hands over: loaded from "module:attribute", and told apart by their code."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from importlib import import_module
from types import CodeType
from typing import Any

from nas.faults import interrupts, named, place_of, traceback_of

# What configurations name as "module:attribute" that is the platform's own: safe whoever wrote the name.
OWN_TARGETS = frozenset(
    (
        "nas.run.single:NoSearch",
        "nas.spacefile:read_space",
        "nas.training.noise:NoisyEvaluator",
        "search_spaces.nasbench201:benchmark_string",
        "search_spaces.activated_network:compile_network",
    )
)


def load(target: str) -> Any:
    """The object that "module:attribute" names; the only way by which a name becomes an import.

    Raises:
        ImportError: no such module, or one whose code raises when it is imported, whatever that is.
        AttributeError: the module has no such attribute.
    """
    name, _, attribute = target.partition(":")
    if not is_target(target):  # before anything is imported, so that `is_target` tells all that ever is
        if not all(part.isidentifier() for part in name.split(".")):
            raise ImportError(f'no module is called "{name}"')
        raise AttributeError(f"{target!r} does not name a module and something in it, with a colon between")
    try:
        module = import_module(name)
    except BaseException as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if interrupts(error) or (missing and f"{name}.".startswith(f"{missing}.")):
            raise
        place = place_of(error)
        at = "" if place is None else f" at {place}"
        failed = ImportError(f"its import ended with {named(error)}{at}")
        failed.add_note(traceback_of(error))
        raise failed from error
    return getattr(module, attribute)


def is_target(text: str) -> bool:
    """Whether `load` would import by this text."""
    module, _, attribute = text.partition(":")
    return attribute.isidentifier() and all(part.isidentifier() for part in module.split("."))


def foreign_targets(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Where in a configuration texts stand by which code that is not the platform's would be imported.

    Args:
        value: JSON values; names may stand in any option, also of a section inside a section.
        place: of the value.

    Returns:
        Places such as "searcher.searcher.name", with the texts.
    """
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, str) and is_target(value) and value not in OWN_TARGETS:
        yield place, value
    elif isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    for key, item in items:
        yield from foreign_targets(item, f"{place}.{key}" if place else str(key))


def describe(function: Callable[..., Any]) -> str:
    """Text that tells a callable from others, the same in every process: its state and its code.

    The code is the source, or the bytecode of lambdas and of what has no source; the state are values
    of the closure, defaults and attributes, by their `repr`. What it calls is not followed.
    """
    if isinstance(function, partial):
        return f"partial({describe(function.func)}, {stable(function.args)}, {stable(function.keywords)})"
    if inspect.ismethod(function):
        return f"{stable(function.__self__)}.{describe(function.__func__)}"
    if inspect.isfunction(function):
        return f"{function.__module__}:{function.__qualname__} {_function_state(function)} {_code(function)}"
    call = inspect.getattr_static(type(function), "__call__", None)
    own = describe(call) if inspect.isfunction(call) else ""
    return f"{stable(function)} {own}".rstrip()


def stable(value: Any) -> str:
    """`repr` without what differs between processes: addresses, and the order of sets."""
    match value:
        case CodeType():
            code = (value.co_code.hex(), value.co_names, value.co_varnames, value.co_freevars)
            return f"code({code}, {stable(value.co_consts)})"
        case set() | frozenset():
            return f"{{{', '.join(sorted(map(stable, value)))}}}"
        case list() | tuple():
            return f"({', '.join(map(stable, value))})"
        case dict():
            return f"{{{', '.join(f'{stable(key)}: {stable(item)}' for key, item in value.items())}}}"
    attributes = vars(value) if type(value).__repr__ is object.__repr__ and hasattr(value, "__dict__") else ""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", f"{value!r}{attributes}")


def _function_state(function: Any) -> str:
    names = function.__code__.co_freevars
    cells = function.__closure__ or ()
    closure = {name: _content(cell) for name, cell in zip(names, cells, strict=True)}
    return stable((closure, function.__defaults__, function.__kwdefaults__))


def _content(cell: Any) -> Any:
    """The value of a variable of the closure; functions by their names, as they may hold themselves."""
    try:
        value = cell.cell_contents
    except ValueError:  # not set yet
        return None
    return getattr(value, "__qualname__", value)


def _code(function: Any) -> str:
    if function.__name__ == "<lambda>":  # several may share a line, and so their source
        return stable(function.__code__)
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):  # typed at a prompt
        return stable(function.__code__)
