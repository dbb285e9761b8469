"""The variants of a protocol, from the configuration: each a run of its own on the same architectures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nas.config import (
    BaselineSection,
    BudgetSection,
    Config,
    FinalSection,
    ProtocolSection,
    RunSection,
    SearchSection,
)
from nas.errors import ConfigError, NasError, one_line
from nas.folder import MAX_NAME
from nas.operators import sample
from nas.protocol.agreement import MIN_PAIRS
from nas.session import build_space
from nas.stages import baseline_rng

if TYPE_CHECKING:
    from nas.architecture import Architecture
    from nas.space import SearchSpace

SECTIONS = ("space", "evaluator", "search", "seed")
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_.+-]{{0,{MAX_NAME - 1}}}")  # it is a folder's too


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
        space: of `config.space`; architectures are drawn there, those of the random baseline of a run with
            this seed, and every variant takes over their decisions.

    Raises:
        ConfigError: a name, section, option or number that is none; too few architectures.
    """
    section = config.protocol
    given = _architectures(config, space)
    found = tuple(
        Variant(_name(name), _alone(config, name, changes, given))
        for name, changes in section.variants.items()
    )
    if section.variant is None:
        return found
    chosen = tuple(variant for variant in found if variant.name == section.variant)
    if not chosen:
        listed = ", ".join(variant.name for variant in found)
        raise ConfigError(f"protocol.variant: expected one of {listed}, got {section.variant}")
    return chosen


def _architectures(config: Config, space: SearchSpace) -> list[Architecture]:
    """The given ones, then the random ones."""
    section = config.protocol
    texts = section.architectures
    if section.random < 0 or (texts is None and section.random):
        raise ConfigError(
            "protocol.random: expected 0 or more, and only beside protocol.architectures, "
            f"got {section.random}"
        )
    drawn = section.samples if texts is None else section.random
    key, number = ("samples", drawn) if texts is None else ("architectures", len(texts) + drawn)
    if number < MIN_PAIRS:
        raise ConfigError(
            f"protocol.{key}: expected at least {MIN_PAIRS} architectures, as fewer have no rank "
            f"correlation to speak of, got {number}"
        )
    found = []
    for index, text in enumerate(texts or ()):
        try:
            found.append(space.parse(text))
        except NasError as error:
            raise ConfigError(f"protocol.architectures[{index}]: {error}") from error
    return [*found, *(sample(space, baseline_rng(config.seed, index)) for index in range(drawn))]


def _name(name: Any) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigError(
            f"protocol.variants: expected a name of at most {MAX_NAME} letters, digits and _ . + -, "
            f"got {one_line(repr(name))}"
        )
    return name


def _alone(config: Config, name: str, changes: Any, given: Sequence[Architecture]) -> Config:
    """The configuration of one variant's study."""
    where = f"protocol.variants.{name}"
    changes = {} if changes is None else changes
    if not isinstance(changes, Mapping):
        raise ConfigError(f"{where}: expected a mapping of {', '.join(SECTIONS)}, got {changes!r}")
    unknown = next((key for key in changes if key not in SECTIONS), None)
    if unknown is not None:
        raise ConfigError(f'{where}: unknown section "{unknown}"; sections: {", ".join(SECTIONS)}')
    space = _merged(where, "space", config.space, changes)
    listed = _taken_over(where, space, config.space, given)
    return replace(
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
        run=RunSection(),
        resume=None,
        dry_run=False,
    )


def _merged(where: str, key: str, section: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A section with the variant's options; one that names another component has these options only."""
    own = changes.get(key) or {}
    if not isinstance(own, Mapping):
        raise ConfigError(f"{where}.{key}: expected a mapping of options, got {own!r}")
    return dict(own) if own.get("name", section.get("name")) != section.get("name") else {**section, **own}


def _taken_over(
    where: str, section: Mapping[str, Any], before: Mapping[str, Any], given: Sequence[Architecture]
) -> list[dict[str, Any]]:
    """The same choices in a variant's space, which may be another one that asks the same questions."""
    if section.get("name") == before.get("name"):
        return [architecture.to_json() for architecture in given]
    try:
        spaces = build_space(before), build_space(section)
        return [_chosen_in(*spaces, architecture).to_json() for architecture in given]
    except NasError as error:
        raise type(error)(f"{where}: {error}") from error


def _chosen_in(own: SearchSpace, other: SearchSpace, architecture: Architecture) -> Architecture:
    """The architecture of another space whose choices, in order, are these."""
    one, two = own.start(), other.start()
    decided = {decision.key: decision for decision in architecture.decisions}
    while one.site is not None and two.site is not None and list(one.options) == list(two.options):
        decision = decided[one.key]
        one, two = (each.take(decision.option, decision.ids) for each in (one, two))
    if one.site is not None or two.site is not None:
        raise ConfigError(
            f"space: one with as many options of every choice as {own.name} has is expected, as {own.name} "
            f"and {other.name} are to be given the same choices; {other.name} has others"
        )
    return two.architecture()


def _search(where: str, section: SearchSection, changes: Mapping[str, Any]) -> SearchSection:
    own = changes.get("search") or {}
    fidelity = own.get("fidelity", section.fidelity) if isinstance(own, Mapping) else own
    known = isinstance(own, Mapping) and set(own) <= {"fidelity"}
    if not known or isinstance(fidelity, bool) or not isinstance(fidelity, int | float | None):
        raise ConfigError(f"{where}.search: expected fidelity with a number, got {own!r}")
    return SearchSection(None if fidelity is None else float(fidelity))


def _seed(where: str, seed: Any) -> int:
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise ConfigError(f"{where}.seed: expected a whole number of at least 0, got {seed!r}")
    return seed
