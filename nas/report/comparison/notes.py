"""What qualifies the tables of a comparison: what is missing, how it was counted, what the tests assume."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from nas.report.comparison.analysis import TOLERANCE, Analysis, Shortage, Tests, View
from nas.report.comparison.logs import State
from nas.report.statistics import seeds_needed

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
    """Studies that are not finished, by method, and what could not be tested."""
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
    evaluators: dict[tuple[str, ...], int] = defaultdict(int)
    for history in (history for histories in comparison.histories.values() for history in histories):
        if history.evaluators:
            evaluators[history.evaluators] += 1
    if len(evaluators) > 1 or any(len(its) > 1 for its in evaluators):
        listed = "; ".join(f"{number} of {', then '.join(its)}" for its, number in evaluators.items())
        said.append(
            f"The evaluator changed between studies or sessions, which accept=evaluator allowed: {listed}."
        )
    if comparison.random is None:
        said.append("Random search: no method of that name, so there is no improvement over it.")
    return [*said, *shortages(analysis)]


def shortages(analysis: Analysis) -> list[str]:
    """Methods of which too few runs got somewhere to be tested there, and seeds too few for any test."""
    return [line for view in analysis.views for line in (*_not_reached(analysis, view), *_untestable(view))]


def _not_reached(analysis: Analysis, view: View) -> list[str]:
    """One line for methods left out of tests at the same points, with the fewest runs."""
    lacks: dict[str, Shortage] = {}
    places: dict[str, set[int]] = defaultdict(set)
    for place, s in ((i, s) for its in view.tests.values() for i, t in enumerate(its) for s in t.shortages):
        lacks[s.method] = min(s, lacks.get(s.method, s), key=lambda one: one.got)
        places[s.method].add(place)
    alike: dict[tuple[int, int, tuple[int, ...]], list[str]] = defaultdict(list)
    for method, s in lacks.items():
        alike[s.needed, s.got, tuple(sorted(places[method]))].append(method)
    seeds = len(analysis.comparison.seeds)
    return [
        f"{', '.join(methods)}: not tested {_moments(view, at)}, which {got} of {seeds} runs reached; at "
        f"least {needed} are needed."
        for (needed, got, at), methods in alike.items()
    ]


def _untestable(view: View) -> list[str]:
    """One line for the points at which the seeds are too few for any pairwise test."""
    lacks: dict[str, set[int]] = defaultdict(set)
    for place, tests in ((i, t) for its in view.tests.values() for i, t in enumerate(its)):
        if tests.pairs and not any(map(tests.can_tell, tests.methods)):
            lacks[untestable(tests)].add(place)
    return [
        f"Pairwise tests {_moments(view, sorted(at))}: {words}; run more with a larger compare.seeds."
        for words, at in lacks.items()
    ]


def untestable(tests: Tests) -> str:
    """How many seeds there are and how many it takes."""
    seeds, methods, needed = tests.seeds, len(tests.methods), seeds_needed(len(tests.pairs))
    return f"not testable with {seeds} seed{'s' * (seeds > 1)}; {needed} are needed for {methods} methods"


def _moments(view: View, places: Sequence[int]) -> str:
    """E.g. "at 10, 25 evaluations", "at 300, 700 s of work"."""
    shown = [view.moments[place].partition(" ") for place in places]
    return f"at {', '.join(number for number, _, _ in shown)} {shown[0][2]}"


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
    return [
        *said,
        *_uninformed(analysis),
        *_cheaper(analysis),
        *_volumes(analysis),
        *_beyond(analysis),
        *_ended(analysis),
    ]


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


def _uninformed(analysis: Analysis) -> list[str]:
    """Methods that no result steers, up to which budget."""
    said = []
    for method, histories in analysis.comparison.histories.items():
        starts = [history.uninformed for history in histories if history.uninformed is not None]
        start = min(starts, default=0.0)
        within = [budget for budget in analysis.comparison.budgets if budget <= start]
        if math.isinf(start):
            said.append(f"No result steers {method}: it asks for all of its trials without knowing any.")
        elif within and method not in analysis.comparison.mixed:  # whose trials are no evaluations
            listed = ", ".join(map(str, within))
            said.append(
                f"Up to {listed} evaluations {method} is random search: it asks for its first {start:.0f} "
                "trials without knowing any result."
            )
    return said


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
            "architecture is evaluated at the highest one. These methods are therefore neither ranked nor "
            "tested by evaluations, but at equal cost, where all of their trials count."
        )
        said += _costs(analysis)
    if only:
        said.append(f"Nothing at the highest fidelity, so nothing to compare: {', '.join(only)}.")
    return said


def _costs(analysis: Analysis) -> list[str]:
    """What the costs stand for."""
    listed = [
        f"{cost.seconds:.6g} s ({'less than ' * cost.bounded}{cost.budget} evaluations)"
        for cost in analysis.costs
    ]
    if not listed:
        return ["Nothing to compare at equal cost: no other method has evaluations at a cost yet."]
    return [
        f"Equal cost: {', '.join(listed)}: seconds of work that the median run of the methods with one "
        "fidelity has spent after so many evaluations, or, where that is less, what the cheapest such run "
        "has spent in all. A run counts there if it spent as much or its searcher had nothing left."
    ]


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
    """Finished studies of one fidelity with less evaluations than the largest budget."""
    horizon, mixed = analysis.comparison.horizon, analysis.comparison.mixed
    short: dict[bool, list[str]] = {True: [], False: []}
    for method, runs in ((m, its) for m, its in analysis.runs.items() if m not in mixed):
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
