"""The typed schema of a run's configuration, and how a named component is built from its section."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Optional

from nas.callables import FORMER, load
from nas.errors import ConfigError, one_line
from nas.faults import own_code
from nas.registry import Registry

# Optional[...] instead of `X | None`: the schema's reader, OmegaConf, knows the older form only.
# ruff: noqa: UP045


@dataclass
class BudgetSection:
    """When the search ends: at whichever comes first."""

    trials: Optional[int] = 24  # search trials
    seconds: Optional[float] = None  # on the executor's clock


@dataclass
class SearchSection:
    """How search trials are evaluated."""

    fidelity: Optional[float] = None  # of the evaluator's own kind, e.g. epochs; null: full


@dataclass
class BaselineSection:
    """The random architectures that a result is compared with."""

    samples: int = 8


@dataclass
class FinalSection:
    """The retraining of the chosen architecture."""

    seeds: int = 8


@dataclass
class TrialSection:
    """Limits of a single evaluation."""

    time_limit: Optional[float] = None  # seconds


@dataclass
class CacheSection:
    """How search trials that hash alike are answered."""

    evaluations: int = 1  # of each class before its mean is served
    forget: float = 0.0  # probability with which a class is forgotten after it has answered
    capacity: Optional[int] = 100_000  # classes; null: no bound
    hash_seconds: Optional[float] = None  # of a worker's hash on a simulated clock; null: 0.01


@dataclass
class CheckpointSection:
    """Which weights of final trials stay on disk."""

    keep: int = 1  # best by validation
    max_mb: Optional[float] = 500.0  # bound on all of them together


@dataclass
class CompareSection:
    """Several searchers on equal terms; with any listed, a run is their comparison."""

    searchers: dict[str, Any] = field(default_factory=dict)  # label -> section of a searcher
    only: list[str] = field(default_factory=list)  # labels to run, slow ones too; empty: all
    skip: list[str] = field(default_factory=list)  # labels to leave out
    slow: list[str] = field(default_factory=list)  # labels left out without `with_slow`
    with_slow: bool = False
    seeds: int = 30  # studies of each searcher
    first_seed: int = 0
    budgets: list[int] = field(default_factory=lambda: [10, 25, 50, 100, 200])  # of the report's tables
    default: Optional[str] = None  # label of the method that the others are held against
    more_trials: dict[str, float] = field(default_factory=dict)  # label -> budget.trials times this for it
    hashing: dict[str, Any] = field(default_factory=dict)  # label -> section of a hasher of its own
    cache: dict[str, Any] = field(default_factory=dict)  # label -> options of the cache of its own
    reference: dict[str, float] = field(default_factory=dict)  # objective -> its worst value that counts
    launcher: str = "ray"  # or inline: in this process, one study after the other
    workers: Optional[int] = None  # studies at the same time; null: as many as the resources hold
    cpus_per_study: float = 1.0
    gpus_per_study: float = 0.0
    address: Optional[str] = None  # of a running Ray cluster; null starts a local Ray
    dashboard: bool = True


@dataclass
class ProtocolSection:
    """The same architectures under several protocols; with any variant, a run is their study."""

    variants: dict[str, Any] = field(default_factory=dict)  # name -> sections that it changes
    samples: int = 8  # random architectures of the space
    architectures: Optional[list[str]] = None  # texts of the space, in place of samples
    random: int = 0  # random architectures after the given ones
    variant: Optional[str] = None  # the only one to run; null: all


@dataclass
class AuditSection:
    """A hasher held against an exact one on all candidates; with `exact` named, a run is that audit."""

    exact: Optional[str] = None  # name of the exact hasher
    readings: dict[str, Any] = field(default_factory=dict)  # option of both hashers -> its values
    bits: list[int] = field(default_factory=list)  # of the audited hasher; empty: as it is configured
    beside: dict[str, Any] = field(default_factory=dict)  # label -> section of another audited hasher
    counted: dict[str, Any] = field(default_factory=dict)  # label -> section of a hasher, counted beside
    notes: list[str] = field(default_factory=list)  # of the report
    strict: bool = True  # whether a class that is joined or split makes the run fail
    sample: Optional[int] = None  # random architectures; null: all of the space
    chunk: int = 250  # architectures of one job
    permutations: int = 999  # of the test of the spread within classes
    searchers: dict[str, Any] = field(default_factory=dict)  # label -> section: searches with a cache
    noise: list[float] = field(default_factory=list)  # std added to their first objective
    caches: dict[str, Any] = field(default_factory=dict)  # label -> sections hashing and cache
    seeds: int = 30  # searches of each kind


@dataclass
class RunSection:
    """Where a run leaves its files."""

    dir: Optional[str] = None  # null: runs/<experiment>/<time>


@dataclass
class Config:
    """Everything that determines a run; a section named after a group holds that component's options too."""

    name: str = ""  # of the experiment, set by its file
    seed: int = 0
    space: dict[str, Any] = field(default_factory=dict)
    searcher: dict[str, Any] = field(default_factory=dict)
    evaluator: dict[str, Any] = field(default_factory=dict)
    executor: dict[str, Any] = field(default_factory=dict)
    hashing: dict[str, Any] = field(default_factory=dict)
    budget: BudgetSection = field(default_factory=BudgetSection)
    search: SearchSection = field(default_factory=SearchSection)
    baseline: BaselineSection = field(default_factory=BaselineSection)
    final: FinalSection = field(default_factory=FinalSection)
    trial: TrialSection = field(default_factory=TrialSection)
    cache: CacheSection = field(default_factory=CacheSection)
    checkpoints: CheckpointSection = field(default_factory=CheckpointSection)
    compare: CompareSection = field(default_factory=CompareSection)
    protocol: ProtocolSection = field(default_factory=ProtocolSection)
    audit: AuditSection = field(default_factory=AuditSection)
    run: RunSection = field(default_factory=RunSection)
    resume: Optional[str] = None  # folder of a run to continue
    accept: Optional[str] = None  # what may have changed since: "evaluator"
    trust: bool = False  # whether code that a folder to continue names may run, without the run's command
    dry_run: bool = False  # show what would be done and what it would cost


_OF_THIS_PROCESS = ("resume", "accept", "trust", "dry_run")


def resolved(config: Config) -> dict[str, Any]:
    """The configuration as JSON values, without what only says how this process was started."""
    data = asdict(config)
    return {key: value for key, value in data.items() if key not in _OF_THIS_PROCESS}


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


_PLAIN: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "bool": (bool,),
    "None": (type(None),),
}


def _written(annotation: Any) -> str:
    """An annotation as it stands in the source, also where it was not kept as text."""
    if isinstance(annotation, str):
        return annotation
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)
