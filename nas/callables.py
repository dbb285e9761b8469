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

# The platform's own callables in options, fingerprints and heads of weights. A name is for good: what it
# stands for may move to another module, as long as the name stays.
CALLABLES: Mapping[str, str] = {
    "compile_network": "nas.layers.compile:compile_network",
    "compile_activated_network": "nas.search_spaces.activated_network:compile_network",
    "compile_optimizer": "nas.search_spaces.update_rule:compile_optimizer",
    "limit": "nas.layers.compile:Limit",
    "nasbench201_string": "nas.search_spaces.nasbench201:benchmark_string",
}
# What logs of format 1, and commands and weights of that time, call what has a name now: the place where it
# lay then. Nothing is ever added here, as no place is an identity any more.
FORMER: Mapping[str, str] = {
    "nas.compile:compile_network": "compile_network",
    "nas.jobs:NoSearch": "none",
    "nas.layers:NETWORK": "network",
    "nas.spacefile:read_space": "file",
    "nas.training.noise:NoisyEvaluator": "noise",
    "nas.training.optimizer_task:attention": "optimizer_task/attention",
    "nas.training.optimizer_task:conv": "optimizer_task/conv",
    "nas.training.optimizer_task:mlp": "optimizer_task/mlp",
    "search_spaces.activated_network:compile_network": "compile_activated_network",
    "search_spaces.activation:ACTIVATIONS": "activation functions",
    "search_spaces.nasbench201:benchmark_string": "nasbench201_string",
    "search_spaces.update_rule:UPDATE_RULES": "update rules",
    "search_spaces.update_rule:compile_optimizer": "compile_optimizer",
}


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
    """Where in a configuration texts stand by which code would be imported.

    Args:
        value: JSON values; names may stand in any option, also of a section inside a section.
        place: of the value.

    Returns:
        Places such as "searcher.searcher.name", with the texts.
    """
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, str) and is_target(value):
        yield place, value
    elif isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    for key, item in items:
        yield from foreign_targets(item, f"{place}.{key}" if place else str(key))


def renamed(value: Any) -> Any:
    """JSON values of a folder or a file in which what has a name now may have a former one (`FORMER`)."""
    if isinstance(value, str):
        return FORMER.get(value, value)
    if isinstance(value, Mapping):
        return {key: renamed(item) for key, item in value.items()}
    return [renamed(item) for item in value] if isinstance(value, list) else value


def function_name(function: Callable[..., Any]) -> str:
    """What a function, a class, or the class of a callable object is called in fingerprints and files.

    The platform's own have names (`CALLABLES`); of all others, module and name are the identity.
    """
    has_name = hasattr(function, "__qualname__") and hasattr(function, "__module__")
    named = function if has_name else type(function)
    place = f"{named.__module__}:{named.__qualname__}"
    own = next((name for name, target in CALLABLES.items() if target == place), None)
    return own if own is not None and load(place) is named else place  # a wrapper may bear another's name


def describe(function: Callable[..., Any]) -> str:
    """Text that tells a callable from others, the same in every process: its state and its code.

    The code is the source, or the bytecode of lambdas and of what has no source; the state are values
    of the closure, defaults and attributes, by their `repr`. What it calls is not followed. The platform's
    own have their names in place of code.
    """
    if isinstance(function, partial):
        return f"partial({describe(function.func)}, {stable(function.args)}, {stable(function.keywords)})"
    if inspect.ismethod(function):
        return f"{stable(function.__self__)}.{describe(function.__func__)}"
    if inspect.isfunction(function):
        name = function_name(function)
        return name if name in CALLABLES else f"{name} {_function_state(function)} {_code(function)}"
    name = function_name(type(function))
    if name in CALLABLES:
        return f"{name} {stable(function)}"
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
