"""What a report shows of a run's chosen architecture, from its log alone: text, torch modules, picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nas.errors import NasError, SpaceError
from nas.records import Run, method_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def text(run: Run) -> str:
    """The text of the architecture, which its space parses back, and what is known of it."""
    name, chosen = run.record.directory.resolve().name, run.chosen
    if chosen is None:
        return f"# {name}: no completed search trial, so nothing is chosen\n"
    lines = [f"# {name}: {chosen.label} of {method_names([run])[0]}, seed {run.opened['seed']}"]
    lines += [f"# space {run.opened['space']['name']}, digest {chosen.digest}"]
    facts = {**(chosen.values or {}), **(chosen.evaluation_info or {})}
    lines += [f"# {key} = {value}" for key, value in facts.items()]
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


def picture(run: Run) -> Figure | None:
    """The expression as a figure; None if there is none, or in a language that is not today's."""
    from nas.dsl import parse
    from nas.picture import architecture_figure

    if run.chosen is None:
        return None
    try:
        term = parse(run.chosen.architecture)
    except SpaceError:
        return None
    space = run.opened["space"]["name"]
    return architecture_figure(term, f"{space} {run.chosen.digest[:8]}, {run.chosen.label}")
