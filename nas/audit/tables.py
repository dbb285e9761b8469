"""Tables of an audit as lines of cells."""

from __future__ import annotations

import math

from nas.audit.findings import Findings
from nas.report import fixed, format_p

ALPHA = 0.05


def agreement_lines(found: Findings) -> list[list[str]]:
    """One line for each reading; "a class": its architectures, on average."""
    head = ["reading", "classes", "exact classes", "a class", "joins", "splits", "no digest"]
    lines = [[*head, "pairs joined", "pairs split", "hashes/s"]]
    for (reading, agreement), rate in zip(found.readings, found.rates, strict=True):
        equal = max(1, agreement.equal_pairs)
        lines.append(
            [
                reading.name,
                f"{agreement.hashed:,}",
                f"{agreement.exact:,}",
                f"{agreement.members / max(1, agreement.hashed):.3g}",
                f"{len(agreement.joins):,}",
                f"{len(agreement.splits):,}",
                f"{agreement.unlabelled:,}",
                f"{agreement.joined_pairs:,}",
                f"{agreement.split_pairs:,} ({100 * agreement.split_pairs / equal:.2g} %)",
                f"{rate:,.0f}",
            ]
        )
    return lines


def counted_lines(found: Findings) -> list[list[str]]:
    """One line for each other hasher, the candidates themselves first."""
    rows = [["every architecture by itself", found.candidates], *map(list, found.counted.items())]
    return [["notion", "classes"], *([str(label), f"{count:,}"] for label, count in rows)]


def spread_lines(found: Findings) -> list[list[str]]:
    """One line for each reading and quantity."""
    head = ["reading", "quantity", "classes", "range", "std in a class", "std trained again", "std of all"]
    lines = [[*head, "beyond training", "F", "p"]]
    for reading, quantity, s in found.spreads:
        unit = f" {quantity.unit}" if quantity.unit else ""
        lines.append(
            [
                reading.name,
                quantity.name,
                f"{s.classes:,}",
                f"{fixed(s.median_range, 2)} (up to {fixed(s.largest_range, 2)}){unit}",
                fixed(s.within, 3),
                fixed(s.replicate, 3),
                fixed(s.overall, 2),
                fixed(s.extra, 3),
                "-" if math.isnan(s.f) else f"{s.f:.2f} ({s.degrees[0]}, {s.degrees[1]})",
                format_p(s.p),
            ]
        )
    return lines


def spread_notes(found: Findings) -> list[str]:
    """What a reader must know of the spreads; whole sentences."""
    *_, last = (s for *_, s in found.spreads)
    exceeding = [s for *_, s in found.spreads if s.p < ALPHA]
    notes = [
        "Range: median of the classes' ranges, and the largest. Standard deviations are pooled over groups. "
        "Trained again: among architectures that are one network by every other notion here "
        f"({last.replicates:,} such groups), each trained for itself: with one number for each architecture "
        "in the table, these repetitions are its training seeds.",
        "Architectures that share two results with an earlier one of their class "
        f"({last.copies:,} in the last line) were trained from the same initial weights in the same order: "
        "they are copies, counted once.",
        "F compares, inside classes, groups of repetitions with one another, each class scaled to variance "
        "1; p is by permutation within classes. Beyond training: the standard deviation between such groups "
        "that training again does not explain.",
        "Results that are means over several seeds may share a run without being equal, which lets F exceed "
        "1 where classes are right.",
    ]
    if exceeding:
        most = max((s.extra / s.overall for s in exceeding if s.overall > 0), default=math.nan)
        notes.append(
            f"In {len(exceeding)} of {len(found.spreads)} lines classes spread more than training again "
            f"explains (p < {ALPHA:g}), by at most {100 * most:.1f} % of the standard deviation of all."
        )
    else:
        notes.append(f"Nowhere do classes spread more than training again explains (p >= {ALPHA:g}).")
    return notes
