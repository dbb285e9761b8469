"""The notes under a result table: how the numbers came about and what they do not say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from nas.evaluation import Objective, Stage
from nas.records import Run, failures, measured, method_names, study_names
from nas.store import TrialRow


def notes(runs: Sequence[Run], sample: Sequence[TrialRow], *, over_runs: bool) -> tuple[str, ...]:
    """Everything that qualifies a table, whole sentences in order of weight.

    Args:
        runs: all of the table.
        sample: the ended trials of random sampling.
        over_runs: whether some row is about several runs of a method.
    """
    found = [_baseline_note(runs, sample), _protocol_note(runs[0]), _scope_note(over_runs=over_runs)]
    found += [_method_note(runs[0].record.reported), *_fidelity_notes(runs), *_failure_notes(runs)]
    return (*found, *_code_notes(runs), *_seed_notes(runs), *_state_notes(runs))


def _baseline_note(runs: Sequence[Run], sample: Sequence[TrialRow]) -> str:
    sampler = runs[0].opened["baseline"]["sampler"]
    ended = [row for run in runs for row in run.ended(Stage.BASELINE)]
    pooled = f" of {len(runs)} runs" if len(runs) > 1 else ""
    same = f"; {len(ended) - len(sample)} drawn again by another run count once" * (len(ended) > len(sample))
    return (
        f"Random sampling: {len(sample)} architectures{pooled}, drawn at random ({sampler}), each "
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
        f"Mean ± sample standard deviation (n). RI = 100 (mean - mean of random sampling) / mean of random "
        f"sampling (Yang et al. 2020){sign}, with a bootstrap 95 % interval (percentiles; too narrow at "
        "small n). Two-sided Mann-Whitney rank test. Bold: better than all others at p < 0.05."
    )


def _fidelity_notes(runs: Sequence[Run]) -> list[str]:
    found = sorted(
        {f"{f.name} = {f.value:g}" for run in runs for row in run.record.trials if (f := row.fidelity)}
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
    found = [f"Failed: {'; '.join(parts)}; they count as trials and as cost."] if parts else []
    if unmeasured:
        found.append(f"{unmeasured} completed trials have no finite value and are left out.")
    return found


def _code_notes(runs: Sequence[Run]) -> list[str]:
    """What the runs were made with, as far as their logs say."""
    commits = dict.fromkeys(run.opened.get("commit") for run in runs)
    parts = [f"commit {commit}" for commit in commits if commit]
    for name in ("python", "torch"):
        found = dict.fromkeys(run.opened.get("versions", {}).get(name) for run in runs)
        parts += [f"{name} {version}" for version in found if version]
    return [f"Made with {', '.join(parts)}."] if parts else []


def _seed_notes(runs: Sequence[Run]) -> list[str]:
    seeds = (run.opened["seed"] for run in runs)
    count = Counter(zip(method_names(runs), seeds, strict=True))
    again = [f"{method}, seed {seed}" for (method, seed), number in count.items() if number > 1]
    said = f"Several runs of {'; '.join(again)}: they are not independent; the first one counts."
    return [said] if again else []


def _state_notes(runs: Sequence[Run]) -> list[str]:
    records = [run.record for run in runs]
    names = study_names(record.directory for record in records)
    open_runs = [
        name
        for record, name in zip(records, names, strict=True)
        if record.closed is None or record.closed.get("reason") != "finished"
    ]
    return [f"Not finished, so preliminary: {', '.join(open_runs)}."] * bool(open_runs)
