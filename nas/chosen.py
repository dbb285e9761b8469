"""What a report shows of a run's chosen architecture, from its log alone: text, torch modules, picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.errors import NasError, SpaceError, one_line
from nas.records import Run, method_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nas.term import Term


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
    return "\n".join([*lines, chosen.architecture, ""])


def torch_modules(run: Run) -> str | None:
    """The network as torch modules with shapes and parameters; None if there is none, or not in this version.

    Programs are no networks, and an evaluator without data says nothing of shapes.
    """
    from nas.architecture import Architecture
    from nas.compile import listing
    from nas.dsl import parse
    from nas.primitives import load

    shape, home = run.opened["evaluator"].get("input_shape"), run.opened["space"].get("vocabulary")
    if run.chosen is None or shape is None or home is None:
        return None
    try:
        term = parse(run.chosen.architecture)
        network = Architecture(run.opened["space"]["name"], load(home), (), term)
        return listing(network, tuple(shape), run.opened["evaluator"]["num_classes"])
    except (NasError, ImportError, AttributeError):
        return None


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
