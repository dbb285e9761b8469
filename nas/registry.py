"""Components and their hooks; registries, how one is built from its section, how its options are checked."""

from __future__ import annotations

import difflib
import inspect
import math
from abc import ABC
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, partial
from numbers import Integral, Real
from typing import Any

from nas.callables import FORMER, load
from nas.errors import ConfigError, NasError, one_line
from nas.faults import own_code

_PLAIN: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
    "None": (type(None),),
}
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
_ALIKE = 0.82  # the similarity, as of difflib, from which a name is taken for a misspelt hook


class Component(ABC):  # noqa: B024 - its kinds have abstract methods
    """Base of the kinds of parts that a study is made of, such as `Searcher` and `Evaluator`.

    A kind is a class directly below this one. Its public methods and attributes are hooks: those without a
    default are abstract, or annotated only, and a subclass gives them; the others it may replace.

    A subclass is refused with a ConfigError when it is defined if its body has a public name that is nearly
    that of a hook which is not in the body too, as nobody would read what is misspelt; or if it has a method
    where a value is expected, or a value in place of a method.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for kind in cls.__mro__[1:]:
            if Component not in kind.__bases__:
                continue
            plain = [
                each
                for each in cls.__mro__[1:]
                if not issubclass(each, Component) and each not in kind.__mro__
            ]
            own = {name: value for each in (*plain, cls) for name, value in vars(each).items()}
            check_spelling(cls.__name__, own, own, kind)
            for name in own.keys() & vars(kind).keys():
                _check_form(f"{cls.__name__}.{name}", vars(kind)[name], own[name])


def check_spelling(where: str, names: Iterable[str], given: Collection[str], kind: type[Component]) -> None:
    """Refuses a public name that is nearly that of a hook with a default.

    Args:
        where: begins the message.
        names: to be checked.
        given: hooks that are there; what is like them is no misspelling of them.
        kind: with the hooks.

    Raises:
        ConfigError: one line with the name and the hook.
    """
    hooks = [
        name
        for name, value in vars(kind).items()
        if not (name.startswith("_") or name in given or getattr(value, "__isabstractmethod__", False))
    ]
    for name in names:
        close = [] if name.startswith("_") else difflib.get_close_matches(name, hooks, n=1, cutoff=_ALIKE)
        if close:
            raise ConfigError(
                f"{where}: expected hooks of {home_of(kind)}, got {name}; did you mean {close[0]}? Otherwise "
                "give it a name less alike"
            )


def _check_form(where: str, hook: Any, own: Any) -> None:
    if inspect.isfunction(own) and not inspect.isfunction(hook):
        raise ConfigError(f"{where}: expected a value, got a method; write @property above it")
    if not inspect.isfunction(hook):
        return
    if isinstance(own, property | cached_property) or not (callable(own) or hasattr(own, "__get__")):
        raise ConfigError(f"{where}: expected a method, got {one_line(repr(own), 80)}; write it as a method")


def home_of(kind: type) -> str:
    """Where a class is imported from, for messages: the room that its module lies in."""
    return f"{'.'.join(kind.__module__.split('.')[:2])}.{kind.__qualname__}"


@dataclass(frozen=True, slots=True)
class Registered:
    """One registered name.

    Attributes:
        name: as users write it.
        target: "module:attribute", imported on first use only, so that listing costs nothing.
        summary: one line, with the source.
        outline: "module:attribute" of a function of the same options that refuses bad values before anything
            heavy is loaded, and returns what is known by them; None for none.
        listed: whether it stands by itself; not what a comparison or an audit makes of others, nor what has
            no contents before it is given a file.
    """

    name: str
    target: str
    summary: str
    outline: str | None = None
    listed: bool = True

    def load(self) -> Any:
        """The registered object itself."""
        return load(self.target)


class Registry:
    """Names of one kind of thing; registering a thing makes the contract suites test it."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Registered] = {}

    def register(
        self, name: str, target: str, summary: str, outline: str | None = None, *, listed: bool = True
    ) -> None:
        """Adds `name`, which logs hold, so that it stays for good; raises ConfigError if it is taken."""
        if name in self._entries:
            raise ConfigError(f'{self.kind} "{name}" is registered already, as {self._entries[name].target}')
        self._entries[name] = Registered(name, target, summary, outline, listed)

    def names(self) -> tuple[str, ...]:
        """All names that are listed, sorted."""
        return tuple(sorted(name for name, entry in self._entries.items() if entry.listed))

    def __iter__(self) -> Iterator[Registered]:
        return iter(self._entries[name] for name in self.names())

    def outline(self, section: Mapping[str, Any]) -> Any:
        """What is known by the options of a section before its component is loaded; None where nothing is.

        Raises:
            ConfigError: an unknown option or a bad value.
        """
        entry = self._entries.get(str(section.get("name")))
        if entry is None or entry.outline is None:
            return None
        return load(entry.outline)(**{str(key): value for key, value in section.items() if key != "name"})

    def get(self, name: str) -> Any:
        """The object registered under `name`; raises ConfigError listing the names if there is none."""
        if name not in self._entries:
            close = difflib.get_close_matches(name, self.names(), n=1)
            hint = f'; did you mean "{close[0]}"?' if close else ""
            listed = ", ".join(self.names())
            raise ConfigError(f'{self.kind} "{name}" is not registered; registered: {listed}{hint}')
        return self._entries[name].load()


def build(registry: Registry, section: Mapping[str, Any], *given: Any, **fixed: Any) -> Any:
    """The component that a section names, called with `given`, `fixed` and the section's other entries."""
    return prepare(registry, section, len(given), **fixed)(*given)


def prepare(
    registry: Registry, section: Mapping[str, Any], positional: int = 0, **fixed: Any
) -> Callable[..., Any]:
    """The component that a section names, its options checked, still to be called with `positional` values.

    A name with a colon is "module:attribute" of one's own and needs no registration. Something
    that cannot be called, such as a finished space, is returned as it is.

    Raises:
        ConfigError: an unknown name or option, or a value of another type than the signature states.
    """
    options = {str(key): value for key, value in section.items() if key != "name"}
    name = section.get("name")
    if not isinstance(name, str) or not name:
        listed = ", ".join(registry.names())
        raise ConfigError(f"{registry.kind}.name: expected a name, got {name!r}; registered: {listed}")
    where = f'{registry.kind} "{name}"'
    factory = _own(registry.kind, name) if ":" in name else registry.get(name)
    if callable(factory):
        _check_options(where, factory, options, positional, fixed)
        make = partial(factory, **fixed, **options)
        return partial(_made, where, make) if ":" in name else make
    if options:
        raise ConfigError(f"{where}: expected no options, got {', '.join(options)}; leave them out")
    return lambda *_: factory


def _made(where: str, make: Callable[..., Any], *given: Any) -> Any:
    """A component of the user's own."""
    with own_code(where, "it to be made", kind=ConfigError):
        return make(*given)


def accepts(registry: Registry, section: Mapping[str, Any], parameter: str) -> bool:
    """Whether the component that a section names can be given a parameter of this name.

    Raises:
        ConfigError: an unknown name.
    """
    name = section.get("name")
    if not isinstance(name, str) or not name:
        return False  # `prepare` says so
    factory = _own(registry.kind, name) if ":" in name else registry.get(name)
    try:
        return parameter in inspect.signature(factory).parameters
    except (TypeError, ValueError):  # not callable, or one without a signature
        return False


def _own(kind: str, name: str) -> Any:
    if name in FORMER:
        raise ConfigError(
            f"{kind}.name: expected {FORMER[name]}, as it is called now, got {name}; write that"
        )
    try:
        return load(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f'{kind}.name: expected module:attribute, got "{name}": {one_line(error)}; correct it'
        ) from None


def _check_options(
    where: str, factory: Any, options: Mapping[str, Any], positional: int, fixed: Mapping[str, Any]
) -> None:
    try:
        signature = inspect.signature(factory)
    except ValueError:  # some built-in callables have none
        return
    parameters = list(signature.parameters.values())
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        return  # it checks its options itself
    taken = {p.name for p in parameters[:positional]} | set(fixed)
    known = [p.name for p in parameters if p.name not in taken and p.kind is not p.VAR_POSITIONAL]
    for option, value in options.items():
        if option not in known:
            raise ConfigError(f'{where}: has no option "{option}"; {listed_options(option, known)}')
        annotation = signature.parameters[option].annotation
        if not _fits(value, annotation):
            expected = _written(annotation).replace(" | ", " or ")
            raise ConfigError(
                f"{where}: {option}: expected {expected}, got {value!r}; {_remedy(value, annotation)}"
            )
    missing = [
        p.name for p in parameters if p.name in known and p.default is p.empty and p.name not in options
    ]
    if missing:
        raise ConfigError(f"{where}: expected the option {missing[0]}, got none; give it a value")
    try:
        signature.bind(*[None] * positional, **fixed, **options)
    except TypeError as error:
        raise ConfigError(
            f"{where}: expected {_signature_of(positional, fixed)}, got another signature: {error}; change it"
        ) from None


def listed_options(name: str, known: Sequence[str]) -> str:
    """The end of a message on an unknown name: all that there are, and the nearest."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"options: {', '.join(known) or 'none'}" + (f'; did you mean "{close[0]}"?' if close else "")


def _signature_of(positional: int, fixed: Mapping[str, Any]) -> str:
    arguments = [f"{positional} positional arguments"] * bool(positional) + [f"{name}=..." for name in fixed]
    return f"a callable of {' and '.join(arguments) or 'no arguments'}"


def _remedy(value: Any, annotation: Any) -> str:
    """What to do about a value of another type than the annotation's."""
    if isinstance(value, int | float) and "str" in _written(annotation):
        return "a text that looks like another value wants quotes of its own: '\"TEXT\"'"
    return "change it"


def _fits(value: Any, annotation: Any) -> bool:
    """Whether a configuration's value has the annotated type, as far as plain types state it."""
    names = [name.strip() for name in _written(annotation).split("|")]
    if any(name not in _PLAIN for name in names):
        return True  # richer types are the component's own to check
    return any(type(value) in _PLAIN[name] for name in names)


def _written(annotation: Any) -> str:
    """An annotation as it stands in the source, also where it was not kept as text."""
    if isinstance(annotation, str):
        return annotation
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


@dataclass(frozen=True, slots=True)
class SettingRule:
    """What a field accepts.

    Attributes:
        text: in words, to follow "expected".
        accepts: whether a value of the right type is admissible.
    """

    text: str
    accepts: Callable[[Any], bool]


def one_of(*names: str) -> SettingRule:
    """One of the names."""
    return SettingRule(f"one of {', '.join(names)}", lambda value: value in names)


def within(low: float, high: float = math.inf) -> SettingRule:
    """A number from `low` to `high`, both inclusive, infinity excluded."""
    text = f"a number from {low} to {high}" if high < math.inf else f"a number of at least {low}"
    return SettingRule(text, lambda value: low <= value <= high and value < math.inf)


def between(low: float, high: float) -> SettingRule:
    """A number strictly between `low` and `high`."""
    text = f"a number between {low} and {high}" if high < math.inf else f"a number above {low}"
    return SettingRule(text, lambda value: low < value < high)


def check_fields(where: str, instance: Any, rules: Mapping[str, SettingRule], error: type[NasError]) -> None:
    """Converts the fields of a frozen dataclass to the types of their defaults and checks them.

    Whole numbers pass as numbers, and numpy's numbers as Python's; nothing else is converted.

    Raises:
        error: the first field whose value has another type or breaks its rule.
    """
    for field in fields(instance):
        value = getattr(instance, field.name)
        kind = type(field.default)
        converted = convert_setting(value, kind)
        rule = rules.get(field.name)
        expected = rule.text if rule else _KINDS[kind]
        if converted is None or (rule and not rule.accepts(converted)):
            raise error(f'{where} "{field.name}": expected {expected}, got {value!r}')
        object.__setattr__(instance, field.name, converted)


def convert_setting(value: Any, kind: type) -> Any:
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
    return tuple(field.name for field in fields(kind))


def given(options: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The options of these names that have a value; one that is null (None) keeps its default."""
    return {name: options[name] for name in names if options.get(name) is not None}
