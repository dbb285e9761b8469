"""The notes under a result table: how the numbers came about and what they do not say.

Of supernets they say how long they trained, whether they collapse, and why they ended.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from nas.errors import describe_error
from nas.evaluation import Objective, Stage
from nas.report.records import Run, failures, measured, method_names, study_names
from nas.report.statistics import sign_is_unclear
from nas.study import TrialRow

_SAID = {"epoch", "train_accuracy", "validation_accuracy"}  # what the work of others may not have


def supernet_notes(runs: Sequence[Run]) -> Iterator[str]:
    """A sentence for each supernet that was trained, and one for the works that failed."""
    names = study_names(run.record.directory for run in runs)
    for run, name in zip(runs, names, strict=True):
        where = f" of {name}" if len(runs) > 1 else ""
        works = run.ended(Stage.SUPERNET)
        for number, chain in enumerate(_chains(works), start=1):
            yield f"Supernet {number}{where}: {_said(chain)}."
        failed = [row for row in works if not row.ok]
        if failed:
            last = failed[-1].reason or failed[-1].status
            yield f"Work on supernets{where} failed {len(failed)} times, the last with {last}."


def _chains(works: Sequence[TrialRow]) -> list[list[TrialRow]]:
    """Trainings that continue each other."""
    found: dict[int, list[TrialRow]] = {}
    for row in works:
        if row.ok and row.curve and row.curve[-1].keys() >= _SAID:
            chain = found.pop(row.parent, []) if row.parent is not None else []
            found[row.number] = [*chain, row]
    return sorted(found.values(), key=lambda chain: chain[0].number)


def _said(chain: Sequence[TrialRow]) -> str:
    rows = [row for trial in chain for row in trial.curve]
    last = rows[-1]
    parts = [
        f"{last['epoch']:.0f} epochs, {last['train_accuracy']:.1f} % of its training images right and "
        f"{last['validation_accuracy']:.1f} % of those of the architecture weights"
    ]
    skips = [row["skips"] for row in rows if "skips" in row]
    if skips:
        parts.append(
            f"the heaviest architecture has {skips[-1]:.0f} skips in a cell at the end, in all epochs at "
            f"most {max(skips):.0f}, before any limit"
        )
    if "eigenvalue" in last:
        values = [row["eigenvalue"] for row in rows if "eigenvalue" in row]
        parts.append(f"dominant eigenvalue {values[0]:.3g} at first, {values[-1]:.3g} at last")
    stopped = (chain[-1].evaluation_info or {}).get("stopped")
    if stopped:
        parts.append(f"stopped: {stopped}")
    return "; ".join(parts)


def notes(runs: Sequence[Run], sample: Sequence[TrialRow], *, over_runs: bool) -> tuple[str, ...]:
    """Everything that qualifies a table, whole sentences in order of weight.

    Args:
        runs: all of the table.
        sample: the ended trials of random sampling.
        over_runs: whether some row is about several runs of a method.
    """
    parts: tuple[Callable[[], Iterable[str]], ...] = (
        lambda: [_baseline_note(runs, sample), _protocol_note(runs[0]), _scope_note(over_runs=over_runs)],
        lambda: _uninformed_notes(runs),
        lambda: _repeat_notes(runs),
        lambda: [_method_note(runs[0].record.reported)],
        lambda: _ratio_notes(runs, sample),
        lambda: _fidelity_notes(runs),
        lambda: _failure_notes(runs),
        lambda: supernet_notes(runs),
        lambda: _code_notes(runs),
        lambda: _session_notes(runs),
        lambda: _seed_notes(runs),
        lambda: _state_notes(runs),
    )
    return tuple(note for part in parts for note in _made(part))


def _made(part: Callable[[], Iterable[str]]) -> list[str]:
    """The notes of one kind; what a strange value in a log makes of them leaves the table and the others."""
    try:
        return list(part())
    except Exception as error:
        return [f"A note is missing: {describe_error(error)}."]


def _baseline_note(runs: Sequence[Run], sample: Sequence[TrialRow]) -> str:
    if not sample:
        return "Random sampling: no architecture has been evaluated, so nothing is compared."
    sampler = runs[0].opened["baseline"]["sampler"]
    ended = [row for run in runs for row in run.ended(Stage.BASELINE)]
    pooled = f" of {len(runs)} runs" if len(runs) > 1 else ""
    same = f"; {len(ended) - len(sample)} drawn again by another run count once" * (len(ended) > len(sample))
    return (
        f"Random sampling: {_number(len(sample), 'architecture')}{pooled}, drawn at random ({sampler}), each "
        f"evaluated once with the protocol of the final trials, never from a cache{same}."
    )


def _protocol_note(run: Run) -> str:
    chooses, reported = run.objective.name, run.record.reported.name
    if chooses == reported:
        return f"The search saw {chooses}, which is also what is reported, with fresh seeds."
    return (
        f"Validation chooses, test reports: the search and every choice of an epoch saw {chooses} only; "
        f"{reported} is that of the last epoch, or of the best epoch by validation where the method says so."
    )


def _scope_note(*, over_runs: bool) -> str:
    if over_runs:
        return (
            "Rows over several runs speak about the method: n is the number of searches, each value the "
            "mean over the final seeds of one. Rows of one run describe that run alone."
        )
    return (
        "One search describes this run, not the method: n counts retrainings of the one architecture "
        "that it chose."
    )


def _method_note(objective: Objective) -> str:
    sign = "; the sign is turned, so that positive is better" if objective.direction == "minimize" else ""
    return (
        "Mean ± sample standard deviation (n). RI = 100 (mean - mean of random sampling) / |mean of random "
        f"sampling| (Yang et al. 2020){sign}, with a bootstrap 95 % interval (percentiles; too narrow at "
        "small n). Two-sided Mann-Whitney rank test. Bold: better than all others at p < 0.05."
    )


def _uninformed_notes(runs: Sequence[Run]) -> list[str]:
    """Searches that no result steered: their method did nothing that random search would not."""
    said: dict[str, None] = {}
    names, studies = method_names(runs), study_names(run.record.directory for run in runs)
    for run, method, study in zip(runs, names, studies, strict=True):
        start, trials = run.uninformed, len(run.ended(Stage.SEARCH))
        if start is None or not trials or trials > start:
            continue
        if math.isinf(start):
            said[f"No result steers {method}: it asks for all of its trials without knowing any."] = None
        else:
            said[
                f"Random search: {method} asks for its first {_number(int(start), 'trial')} without "
                f"knowing any result, and {study} ended after {_number(trials, 'trial')}, so no "
                f"result steered that search."
            ] = None
    return list(said)


def _repeat_notes(runs: Sequence[Run]) -> list[str]:
    """What n stands for where final trials all gave one number, or should have."""
    once: list[str] = []
    alike: list[str] = []
    differing: list[str] = []
    for run, study in zip(runs, study_names(run.record.directory for run in runs), strict=True):
        values = measured(run.stages[Stage.FINAL], run.record.reported.name)
        listed = f"{_number(len(values), 'final trial')} of {study}"
        if len(values) > 1 and run.deterministic:
            (once if len(set(values)) == 1 else differing).append(listed)
        elif len(values) > 1 and len(set(values)) == 1 and run.deterministic is None:
            alike.append(listed)
    said = []
    if once:
        said.append(
            f"The evaluator is deterministic, so the {'; the '.join(once)} repeat one training: n = 1 each."
        )
    if differing:
        said.append(
            f"The evaluator says that it is deterministic, but the {'; the '.join(differing)} differ, so "
            "each counts as a training."
        )
    if alike:
        said.append(
            f"The {'; the '.join(alike)} gave the same value each time, and each counts as a training; n "
            "says nothing if the evaluator has no randomness, of which the log does not tell (an evaluator "
            "tells by the attribute deterministic)."
        )
    return said


def _ratio_notes(runs: Sequence[Run], sample: Sequence[TrialRow]) -> list[str]:
    """Why there is no relative improvement, where random sampling lies around 0."""
    if not sign_is_unclear(measured(sample, runs[0].record.reported.name)):
        return []
    return [
        "No RI: the mean of random sampling is 0 or its sign differs between resamples, so a ratio to it "
        "means nothing."
    ]


def _fidelity_notes(runs: Sequence[Run]) -> list[str]:
    found = sorted(
        {f"{f.name} = {f.value:g}" for run in runs for row in run.stages[Stage.SEARCH] if (f := row.fidelity)}
    )
    listed = ", ".join(found[:6]) + (", ..." if len(found) > 6 else "")
    return [f"Search trials ran at {listed}; baseline and final trials fully."] if found else []


def _failure_notes(runs: Sequence[Run]) -> list[str]:
    """Failed trials of all runs by stage: they count as trials and as cost, and have no value."""
    parts = []
    for stage in Stage:
        ended = [row for run in runs for row in run.ended(stage)]
        failed = failures(ended)
        if failed:
            kinds = ", ".join(f"{number} {kind}" for kind, number in failed.most_common())
            parts.append(f"{failed.total()} of {len(ended)} {stage} trials ({kinds})")
    unmeasured = sum(
        row.ok and not measured([row], run.record.reported.name)
        for run in runs
        for row in (*run.stages[Stage.BASELINE], *run.stages[Stage.FINAL])
    )
    found = (
        [f"Failed: {'; '.join(parts)}; they count as trials and as cost, and enter no mean."] if parts else []
    )
    if unmeasured:
        said = "has no finite value and enters" if unmeasured == 1 else "have no finite value and enter"
        found.append(f"{_number(unmeasured, 'completed trial')} {said} no mean.")
    return found


def _code_notes(runs: Sequence[Run]) -> list[str]:
    """What the runs were made with in all their sessions, as far as their logs say."""
    openings = [opened for run in runs for opened in run.record.openings]
    commits = dict.fromkeys(opened.get("commit") for opened in openings)
    parts = [f"commit {commit}" for commit in commits if commit]
    for name in ("python", "torch"):
        found = dict.fromkeys((opened.get("versions") or {}).get(name) for opened in openings)
        parts += [f"{name} {version}" for version in found if version]
    return [f"Made with {', '.join(parts)}."] if parts else []


def _session_notes(runs: Sequence[Run]) -> list[str]:
    """Time limits, evaluators, devices and threads that are not the same for all trials of a run."""
    found = []
    for run, study in zip(runs, study_names(run.record.directory for run in runs), strict=True):
        limits = list(dict.fromkeys(opened.get("time_limit") for opened in run.record.openings))
        if len(limits) > 1:
            listed = ", then ".join("none" if limit is None else f"{limit:g} s" for limit in limits)
            found.append(f"The time limit of a trial changed between sessions of {study}: {listed}.")
        for opened in run.record.openings:
            for part, fact in (opened.get("accepted") or {}).items():
                found.append(_accepted_note(study, part, fact))
        for name, words, many in (
            ("device", "on", "on different devices"),
            ("hardware", "on", "on different hardware"),
            ("threads", "with", "with different numbers of threads, which may change results"),
        ):
            infos = (row.evaluation_info or {} for row in run.record.trials)
            counts = Counter(str(info[name]) for info in infos if info.get(name) is not None)
            if len(counts) > 1:
                listed = ", ".join(f"{number} {words} {value}" for value, number in counts.items())
                found.append(f"Trials of {study} ran {many}: {listed}.")
    return found


def _accepted_note(study: str, part: str, fact: Mapping[str, Any]) -> str:
    was, now = (" ".join(map(str, fact[name])) for name in ("was", "is"))
    return (
        f"The {part} of {study} was changed from {was} to {now} by accept={part}: the first "
        f"{_number(fact['kept'], 'evaluation')} of its log are of the old one, and still answer equal trials."
    )


def _seed_notes(runs: Sequence[Run]) -> list[str]:
    seeds = (run.opened["seed"] for run in runs)
    count = Counter(zip(method_names(runs), seeds, strict=True))
    again = [f"{method}, seed {seed}" for (method, seed), number in count.items() if number > 1]
    said = f"Several runs of {'; '.join(again)}: they are not independent; the first one counts."
    return [said] if again else []


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _state_notes(runs: Sequence[Run]) -> list[str]:
    records = [run.record for run in runs]
    names = study_names(record.directory for record in records)
    open_runs = [
        name
        for record, name in zip(records, names, strict=True)
        if record.closed is None or record.closed.get("reason") != "finished"
    ]
    return [f"Not finished, so preliminary: {', '.join(open_runs)}."] * bool(open_runs)
