"""A study of protocols: the same architectures under several variants, one study each, one after the other.

protocol.json                   the configuration; written first
VARIANT/events.jsonl            one study each, an ordinary run that can be resumed by itself
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from nas.errors import ConfigError, NasError, nearest, one_line, refusal
from nas.report.tables import format_duration
from nas.run.compose import (
    build_executor,
    build_space,
    check_options,
    compose,
    composition_lines,
    evaluation_seconds,
    mistakes_at,
)
from nas.run.config import (
    BaselineSection,
    BudgetSection,
    Config,
    FinalSection,
    ProtocolSection,
    SearchSection,
    of_one_study,
    resolved,
)
from nas.run.folder import MAX_NAME
from nas.run.single import make_observers, make_study, run_studies
from nas.space import sample
from nas.study import FILE_NAME, baseline_rng, plain, versions, write_json
from nas.study.record import PROTOCOL

if TYPE_CHECKING:
    from nas.space import Architecture, SearchSpace
    from nas.study import Study

T = TypeVar("T")
FORMAT = 1
FEWEST = 3  # architectures; `nas.report.protocol.MIN_PAIRS`, whose import would load all of reporting
SECTIONS = ("space", "evaluator", "search", "seed")
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.+-]{{0,{MAX_NAME - 1}}}")  # which is a folder's too


@dataclass(frozen=True, slots=True)
class ProtocolRun:
    """A study of protocols that can begin; see `nas.run.__main__.Execution`.

    Attributes:
        config: as composed.
        variants: in order.
    """

    config: Config
    variants: Sequence[Variant]

    def check(self, folder: Path) -> None:
        for variant in self.variants:
            if (folder / variant.name / FILE_NAME).exists():
                make_study(variant.config, _composed(variant, compose), folder / variant.name).check()

    def preview(self) -> str:
        """The composition, and what each variant costs."""
        lines, total = composition_lines(self.config), 0.0
        for variant in self.variants:
            components = _composed(variant, compose)
            unit = evaluation_seconds(components, self.config.seed)
            trials = components.plan.budget.trials or 0
            if unit is None:
                lines.append(f"variant {variant.name}: {trials} evaluations, but no sample of them completed")
                continue
            total += trials * unit
            lines.append(f"variant {variant.name}: {trials} evaluations of {format_duration(unit)}")
        lines.append(f"cost: {format_duration(total)} of work in all, shared among the workers")
        return "\n".join(lines)

    def run(self, folder: Path) -> int:
        """Runs or continues all variants; the exit status: 0, or 130 after a signal."""
        executor = build_executor(self.variants[0].config)
        manifest = {"format": FORMAT, "name": self.config.name, "versions": dict(versions())}
        with executor.held():  # for all variants, as it may take long to start
            write_json(folder / PROTOCOL, {**manifest, "config": plain(resolved(self.config))})
            return run_studies(self._studies(folder), folder)

    def _studies(self, folder: Path) -> Iterator[Study]:
        for number, variant in enumerate(self.variants, start=1):
            print(f"variant {variant.name} ({number} of {len(self.variants)})", flush=True)
            components, own = _composed(variant, compose), folder / variant.name
            own.mkdir(exist_ok=True)
            yield make_study(variant.config, components, own, make_observers(self.config, components))


def prepare_protocol(config: Config) -> ProtocolRun:
    """Checks and builds every variant once.

    Args:
        config: with variants in `protocol`.

    Raises:
        NasError: one line for the first thing that is wrong; nothing is started or written then.
    """
    variants = variants_of(config, build_space(config.space))
    for variant in variants:
        _composed(variant, check_options)  # before any data are read
    for variant in variants:
        _composed(variant, compose)  # and dropped, as each holds its data
    return ProtocolRun(config, variants)


def _composed(variant: Variant, composing: Callable[[Config], T]) -> T:
    """Composes a variant; mistakes are reported at its place in the configuration."""
    with mistakes_at(f"protocol.variants.{variant.name}"):
        return composing(variant.config)


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to evaluate the architectures.

    Attributes:
        name: of its folder and its row.
        config: of its study alone: `resume` with its folder continues it like any other run.
    """

    name: str
    config: Config


def variants_of(config: Config, space: SearchSpace) -> tuple[Variant, ...]:
    """All variants, or the one that `protocol.variant` names.

    Args:
        config: with variants in `protocol`.
        space: of `config.space`, in which architectures are drawn, those of the random baseline of a run with
            this seed; every variant evaluates the same decisions.

    Raises:
        ConfigError: a bad name, section, option or number; too few architectures.
    """
    section = config.protocol
    given = _architectures(config, space)
    for name in section.variants:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            expected = f"a name of at most {MAX_NAME} letters, digits and _ . + -"
            raise ConfigError(refusal("protocol.variants", expected, one_line(repr(name)), "rename it"))
    found = tuple(
        Variant(name, _alone(config, name, changes, given)) for name, changes in section.variants.items()
    )
    if section.variant is None:
        return found
    chosen = tuple(variant for variant in found if variant.name == section.variant)
    if not chosen:
        names = [variant.name for variant in found]
        remedy = nearest(section.variant, names, "name one of these")
        raise ConfigError(refusal("protocol.variant", f"one of {', '.join(names)}", section.variant, remedy))
    return chosen


def _architectures(config: Config, space: SearchSpace) -> list[Architecture]:
    """The given ones, then the random ones."""
    section = config.protocol
    texts = section.architectures
    if section.random < 0 or (texts is None and section.random):
        expected = "0 or more, and only beside protocol.architectures"
        raise ConfigError(refusal("protocol.random", expected, section.random, "leave it out"))
    drawn = section.samples if texts is None else section.random
    key, number = ("samples", drawn) if texts is None else ("architectures", len(texts) + drawn)
    if number < FEWEST:
        expected = f"at least {FEWEST} architectures, as the rank correlation of fewer means little"
        raise ConfigError(refusal(f"protocol.{key}", expected, number, "ask for more"))
    found = []
    for index, text in enumerate(texts or ()):
        try:
            found.append(space.parse(text))
        except NasError as error:
            raise ConfigError(f"protocol.architectures[{index}]: {error}") from error
    return [*found, *(sample(space, baseline_rng(config.seed, index)) for index in range(drawn))]


def _alone(config: Config, name: str, changes: Any, given: Sequence[Architecture]) -> Config:
    """The configuration of one variant's study."""
    where = f"protocol.variants.{name}"
    changes = {} if changes is None else changes
    if not isinstance(changes, Mapping):
        expected = f"a mapping of {', '.join(SECTIONS)}"
        raise ConfigError(refusal(where, expected, repr(changes), "write it as {section: {option: value}}"))
    unknown = next((key for key in changes if key not in SECTIONS), None)
    if unknown is not None:
        remedy = nearest(str(unknown), SECTIONS, "leave it out")
        raise ConfigError(refusal(where, f"sections among {', '.join(SECTIONS)}", unknown, remedy))
    space = _merged(where, "space", config.space, changes)
    listed = _same_choices(where, space, config.space, given)
    return of_one_study(
        config,
        seed=_seed(where, changes.get("seed", config.seed)),
        space=space,
        evaluator=_merged(where, "evaluator", config.evaluator, changes),
        search=_search(where, config.search, changes),
        searcher={"name": "listed", "architectures": listed},
        hashing={"name": "none"},
        budget=BudgetSection(len(given)),
        baseline=BaselineSection(0),
        final=FinalSection(0),
        protocol=ProtocolSection(
            samples=config.protocol.samples, random=config.protocol.random, variant=name
        ),
    )


def _merged(where: str, key: str, section: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A section with the variant's options; one that names another component has these options only."""
    own = changes.get(key) or {}
    if not isinstance(own, Mapping):
        raise ConfigError(
            refusal(f"{where}.{key}", "a mapping of options", repr(own), "write it as {option: value}")
        )
    return dict(own) if own.get("name", section.get("name")) != section.get("name") else {**section, **own}


def _same_choices(
    where: str, section: Mapping[str, Any], before: Mapping[str, Any], given: Sequence[Architecture]
) -> list[dict[str, Any]]:
    """The same choices in a variant's space, which may be another one with the same holes."""
    if section.get("name") == before.get("name"):
        return [architecture.to_json() for architecture in given]
    with mistakes_at(where):
        spaces = build_space(before), build_space(section)
        return [_chosen_in(*spaces, architecture).to_json() for architecture in given]


def _chosen_in(own: SearchSpace, other: SearchSpace, architecture: Architecture) -> Architecture:
    """The architecture of another space whose choices, in order, are these."""
    one, two = own.start(), other.start()
    decided = {decision.key: decision for decision in architecture.decisions}
    while one.site is not None and two.site is not None and list(one.options) == list(two.options):
        decision = decided[one.key]
        one, two = (each.take(decision.option, decision.ids) for each in (one, two))
    if one.site is not None or two.site is not None:
        expected = f"a space with the same options of every choice as {own.name}, to make the same choices"
        remedy = "vary options of the space that leave its choices"
        raise ConfigError(refusal("space", expected, f"{other.name}, which has others", remedy))
    return two.architecture()


def _search(where: str, section: SearchSection, changes: Mapping[str, Any]) -> SearchSection:
    own = changes.get("search") or {}
    fidelity = own.get("fidelity", section.fidelity) if isinstance(own, Mapping) else own
    known = isinstance(own, Mapping) and set(own) <= {"fidelity"}
    if not known or isinstance(fidelity, bool) or not isinstance(fidelity, int | float | None):
        raise ConfigError(
            refusal(f"{where}.search", "fidelity with a number", repr(own), "write it as {fidelity: NUMBER}")
        )
    return SearchSection(None if fidelity is None else float(fidelity))


def _seed(where: str, seed: Any) -> int:
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        remedy = "leave it out for the seed of the study"
        raise ConfigError(refusal(f"{where}.seed", "a whole number of at least 0", repr(seed), remedy))
    return seed
