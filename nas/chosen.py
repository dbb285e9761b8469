"""What a report shows of a run's chosen architecture, from its log alone: text, torch modules, picture."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from nas.callables import load
from nas.errors import NasError, SpaceError, one_line
from nas.records import Run, method_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nas.primitives import Vocabulary
    from nas.term import Term

_VOCABULARIES = (
    "nas.layers:NETWORK",
    "search_spaces.update_rule:UPDATE_RULES",
    "search_spaces.activation:ACTIVATIONS",
)


def text(run: Run) -> str:
    """The text of the architecture, which its space parses back, and what is known of it."""
    name, chosen = run.record.directory.resolve().name, run.chosen
    if chosen is None:
        return one_line(f"# {name}: no completed search trial, so nothing is chosen") + "\n"
    method = method_names([run])[0]
    lines = [one_line(f"# {name}: {chosen.label} of {method}, seed {run.opened['seed']}")]
    lines += [one_line(f"# space {run.opened['space']['name']}, digest {chosen.digest}")]
    facts = {**(chosen.values or {}), **(chosen.evaluation_info or {})}
    lines += [one_line(f"# {key} = {value}") for key, value in facts.items()]
    home = run.opened["space"].get("vocabulary")
    if home and run.opened["evaluator"].get("input_shape") and _vocabulary(run) is None:
        lines += [f"# no torch modules: {home} is no vocabulary of the platform, and a log imports nothing"]
    return "\n".join([*lines, chosen.architecture, ""])


def torch_modules(run: Run) -> str | None:
    """The network as torch modules with shapes and parameters; None if there is none, or not in this version.

    Programs are no networks, and an evaluator without data says nothing of shapes. Nothing is imported by
    the words of the log: a vocabulary is the platform's own or one that this process has imported already.
    """
    from nas.architecture import Architecture
    from nas.compile import listing
    from nas.dsl import parse

    shape, vocabulary = run.opened["evaluator"].get("input_shape"), _vocabulary(run)
    if run.chosen is None or shape is None or vocabulary is None:
        return None
    try:
        term = parse(run.chosen.architecture)
        network = Architecture(run.opened["space"]["name"], vocabulary, (), term)
        return listing(network, tuple(shape), run.opened["evaluator"].get("num_classes"))
    except (NasError, ImportError, AttributeError):
        return None


def _vocabulary(run: Run) -> Vocabulary | None:
    from nas.primitives import Vocabulary

    home = run.opened["space"].get("vocabulary")
    if home in _VOCABULARIES:
        return load(home)
    module, _, name = (home or "").partition(":")
    found = vars(sys.modules[module]).get(name) if module in sys.modules else None
    return found if isinstance(found, Vocabulary) else None


def has_picture(run: Run) -> bool:
    """Whether there is a chosen architecture in today's language."""
    return _term(run) is not None


def picture(run: Run) -> Figure:
    """The expression of the chosen architecture as a figure, of a run that has one."""
    from nas.picture import architecture_figure

    term, chosen = _term(run), run.chosen
    assert term is not None
    assert chosen is not None
    space = run.opened["space"]["name"]
    return architecture_figure(term, one_line(f"{space} {chosen.digest[:8]}, {chosen.label}"))


def _term(run: Run) -> Term | None:
    from nas.dsl import parse

    if run.chosen is None:
        return None
    try:
        return parse(run.chosen.architecture)
    except SpaceError:
        return None
