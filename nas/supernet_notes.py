"""What a report says of the supernets of its searches: how long, whether they collapse, why they ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nas.evaluation import Stage
from nas.records import Run, study_names
from nas.store import TrialRow

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
