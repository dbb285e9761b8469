"""What qualifies the tables of a comparison: what is missing, how it was counted, what the tests assume."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from nas.comparison.analysis import Analysis, Shortage
from nas.comparison.curves import TOLERANCE
from nas.comparison.history import State

_STATES: dict[State, str] = {
    "missing": "not there",
    "unfinished": "not finished, so preliminary",
    "failed": "ended by an error",
    "unreadable": "cannot be read",
}


def state_line(analysis: Analysis) -> str:
    """How many studies there are and how many are finished."""
    comparison = analysis.comparison
    states = [history.state for histories in comparison.histories.values() for history in histories]
    done = states.count("finished")
    return (
        f"{len(comparison.methods)} methods, {len(comparison.seeds)} seeds: {done} of {len(states)} studies "
        "finished."
    )


def missing(analysis: Analysis) -> list[str]:
    """Studies that are not finished, by method, and methods with fewer seeds than a test needs."""
    comparison = analysis.comparison
    said = []
    for method in comparison.methods:
        pairs = list(zip(comparison.seeds, comparison.histories[method], strict=True))
        for state, words in _STATES.items():
            seeds = [seed for seed, history in pairs if history.state == state]
            message = next((h.message for _, h in pairs if h.state == state and h.message), "")
            if seeds:
                said.append(
                    f"{method}: {_studies(seeds, len(pairs))} {words}{': ' * bool(message)}{message}."
                )
    if comparison.baseline.message:
        said.append(f"Random architectures: {comparison.baseline.message}.")
    elif not len(comparison.baseline.values):
        said.append("Random architectures: none evaluated, so there is no improvement over their average.")
    if comparison.random is None:
        said.append("Random search: no method of that name, so there is no improvement over it.")
    return [*said, *shortages(analysis)]


def shortages(analysis: Analysis) -> list[str]:
    """One line for methods with fewer seeds than a test needs, its worst case."""
    lacks: dict[str, Shortage] = {}
    budgets: dict[str, set[int]] = defaultdict(set)
    for tests in (t for its in analysis.tests.values() for t in its):
        for s in tests.shortages:
            lacks[s.method] = max(s, lacks.get(s.method, s), key=lambda one: (one.needed, -one.got))
            budgets[s.method].add(tests.budget)
    alike: dict[tuple[int, int, tuple[int, ...]], list[str]] = defaultdict(list)
    for method, s in lacks.items():
        alike[s.needed, s.got, tuple(sorted(budgets[method]))].append(method)
    return [
        f"{', '.join(methods)}: tests at {', '.join(map(str, at))} evaluations: expected at least {needed} "
        f"seeds; got {got}; run more with compare.seeds={needed}."
        for (needed, got, at), methods in alike.items()
    ]


def explanations(analysis: Analysis) -> list[str]:
    """How it was counted and tested, whole sentences."""
    comparison = analysis.comparison
    chooser, reported = comparison.chooser.name, comparison.reported.name
    level = "full fidelity" if comparison.level == math.inf else f"fidelity {comparison.level:g}"
    never = f", and {reported} of that choice never steers a search" if reported != chooser else ""
    said = [
        f"An evaluation is a search trial that ended at {level}, failed ones included; after each, the "
        f"choice is the best so far by {chooser}{never}.",
        *_TESTS,
    ]
    return [*said, *_cheaper(analysis), *_volumes(analysis), *_beyond(analysis), *_ended(analysis)]


_TESTS = (
    "Ranks: blocks are the seeds that all methods have, ties share their mean rank. Friedman's test "
    "(corrected for ties, with Iman and Davenport's F) and Nemenyi's critical difference assume that seeds "
    "are independent; they speak about this task only, and a mean rank depends on which other methods are in "
    "the table.",
    "Pairs: two-sided Mann-Whitney tests (exact up to 100 values, ties included) with Holm's correction over "
    "all pairs of one budget and one quantity; budgets and quantities are not corrected for one another. "
    "Unpaired, as a seed means nothing to another method, except that some draw the same first architectures "
    "from it; that makes the test cautious, never bold.",
)


def _cheaper(analysis: Analysis) -> list[str]:
    """Which methods also evaluated at lower fidelities, or only there."""
    comparison, level = analysis.comparison, analysis.comparison.level
    mixed, only = [], []
    for method, histories in comparison.histories.items():
        fidelity = np.concatenate([history.fidelity for history in histories] or [np.empty(0)])
        lower = fidelity < level
        if lower.any():
            (only if lower.all() else mixed).append(method)
    said = []
    if mixed:
        said.append(
            f"Trials at lower fidelities ({', '.join(mixed)}) count as no evaluation until their "
            "architecture is evaluated at the highest one; against time all their cost counts."
        )
    if only:
        said.append(f"Nothing at the highest fidelity, so nothing to compare: {', '.join(only)}.")
    return said


def _volumes(analysis: Analysis) -> list[str]:
    volumes, comparison = analysis.volumes, analysis.comparison
    if volumes is None:
        return []
    point = ", ".join(
        f"{objective.name} {value:g}"
        for objective, value in zip(comparison.objectives, volumes.reference, strict=True)
    )
    origin = "as stated" if volumes.given else "the worst values that any run measured"
    whole = "the true front" if volumes.known else "the union front of all runs"
    return [
        f"Hypervolume: exact, of all evaluations so far, up to the reference point {point} ({origin}), "
        f"divided by that of {whole} ({volumes.whole:.6g})."
    ]


def _beyond(analysis: Analysis) -> list[str]:
    """A stated optimum that some run beats is none."""
    comparison = analysis.comparison
    said = []
    for objective in (comparison.chooser, comparison.reported):
        optimum = comparison.optimum.get(objective.name)
        column = comparison.names.index(objective.name)
        if optimum is None:
            continue
        loss = objective.loss(optimum) - TOLERANCE * max(1.0, abs(optimum))
        values = (h.values[:, column] for histories in comparison.histories.values() for h in histories)
        beaten = sum(int(sum(objective.loss(v) < loss for v in column_values)) for column_values in values)
        if beaten:
            said.append(
                f"The stated optimum of {objective.name}, {optimum:g}, is beaten by {beaten} trials: correct "
                "it, as regrets are measured from it."
            )
    return said


def _ended(analysis: Analysis) -> list[str]:
    """Finished studies with less evaluations than the largest budget."""
    horizon = analysis.comparison.horizon
    short: dict[bool, list[str]] = {True: [], False: []}
    for method, runs in analysis.runs.items():
        for exhausted in short:
            ended = [r for r in runs if r.history.state == "finished" and r.position.size < horizon]
            if any(run.history.exhausted == exhausted for run in ended):
                short[exhausted].append(method)
    said = []
    if short[True]:
        names = ", ".join(short[True])
        said.append(f"Runs of {names} ended as nothing was left to propose; they keep their last value.")
    if short[False]:
        said.append(
            f"Finished with less than {horizon} evaluations: runs of {', '.join(short[False])}; they count "
            "at the budgets that they reached."
        )
    return said


def _studies(seeds: Sequence[int], of: int) -> str:
    """E.g. "2 of 30 studies (seeds 3, 7)"."""
    if len(seeds) == of:
        return "all studies" if of > 1 else f"the study of seed {seeds[0]}"
    shown = ", ".join(map(str, seeds[:8])) + (", ..." if len(seeds) > 8 else "")
    return f"{len(seeds)} of {of} studies (seed{'s' * (len(seeds) > 1)} {shown})"
