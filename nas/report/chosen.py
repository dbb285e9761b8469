"""What a report shows of a run's chosen architecture, from its log alone: text, torch modules, picture."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from nas.callables import load, renamed
from nas.errors import NasError, SpaceError, describe_error, one_line
from nas.language import VOCABULARIES, Vocabulary
from nas.report.records import Run, method_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nas.language import Term


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
    words = run.opened["space"].get("vocabulary")
    known = renamed(words) in VOCABULARIES or _found(words) is not None
    if words and run.opened["evaluator"].get("input_shape") and not known:
        lines += [f"# no torch modules: {words} is no vocabulary of the platform, and a log imports nothing"]
    return "\n".join([*lines, chosen.architecture, ""])


def torch_modules(run: Run) -> str | None:
    """The network as torch modules with shapes and parameters, or one line on why this version has none.

    None where nothing is missing: programs are no networks, and an evaluator without data says nothing of
    shapes. Nothing is imported by the words of the log: a vocabulary is the platform's own or one that this
    process has imported already, and `text` says so of any other.
    """
    shape = run.opened["evaluator"].get("input_shape")
    if run.chosen is None or shape is None:
        return None
    name = renamed(run.opened["space"].get("vocabulary"))
    try:
        vocabulary = load(VOCABULARIES[name]) if name in VOCABULARIES else _found(name)
        if vocabulary is None or vocabulary.meaning is not None:
            return None
        from nas.language import parse
        from nas.layers import listing
        from nas.space import Architecture

        term = parse(run.chosen.architecture)
        network = Architecture(run.opened["space"]["name"], vocabulary, (), term)
        return listing(network, tuple(shape), run.opened["evaluator"].get("num_classes"))
    except (NasError, ImportError) as error:
        return f"# no torch modules: {describe_error(error)}\n"


def _found(home: str | None) -> Vocabulary | None:
    """A vocabulary of the user's that this process has imported already."""
    module, _, name = (home or "").partition(":")
    found = vars(sys.modules[module]).get(name) if module in sys.modules else None
    return found if isinstance(found, Vocabulary) else None


def has_picture(run: Run) -> bool:
    """Whether there is a chosen architecture in today's language."""
    return _term(run) is not None


def picture(run: Run) -> Figure:
    """The expression of the chosen architecture as a figure, of a run that has one."""
    from nas.report.diagram import architecture_figure

    term, chosen = _term(run), run.chosen
    assert term is not None
    assert chosen is not None
    space = run.opened["space"]["name"]
    return architecture_figure(term, one_line(f"{space} {chosen.digest[:8]}, {chosen.label}"))


def _term(run: Run) -> Term | None:
    from nas.language import parse

    if run.chosen is None:
        return None
    try:
        return parse(run.chosen.architecture)
    except SpaceError:
        return None
