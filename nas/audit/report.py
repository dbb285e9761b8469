"""The files of an audit: `audit.md`, `.tex`, classes, mismatches and spreads as CSV, and a figure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.audit.findings import Findings, find
from nas.audit.labels import Labels
from nas.audit.studies import read_studies
from nas.audit.study_tables import NOTES, hit_lines, study_frame, study_lines
from nas.audit.tables import agreement_lines, counted_lines, spread_lines, spread_notes
from nas.report import (
    Output,
    Writer,
    Written,
    csv_part,
    figure_parts,
    latex_grid,
    markdown_grid,
    markdown_list,
    markdown_text,
    text_part,
)

if TYPE_CHECKING:
    import pandas as pd

    from nas.audit.compare import Mismatch
    from nas.audit.labels import Reading
    from nas.evaluation import Evaluator
    from nas.run.config import Config
    from nas.space import Architecture, SearchSpace
    from nas.study import Hasher

MOST_EXAMPLES = 5  # of joins and of splits in a reading's text; the CSV has all
_AROUND = 12  # characters that examples show around what differs


@dataclass(frozen=True, slots=True)
class AuditWritten(Written):
    """A report of an audit.

    Attributes:
        sound: whether classes and exact classes agree, if they should.
    """

    sound: bool = True


def write_audit(
    config: Config,
    labels: Labels,
    architectures: Sequence[Architecture],
    space: SearchSpace,
    table: Evaluator | None,
    hasher_of: Callable[[Mapping[str, Any]], Hasher],
    output: Path,
) -> AuditWritten:
    """Writes all files of an audit whose parts are all there; each is replaced as a whole.

    Raises:
        StoreError: the log of a search is missing or damaged.
        ConfigError: `output` cannot be written to.
    """
    searched = read_studies(config, output, space, table) if table is not None else []
    found = find(config, labels, architectures, table, searched)
    names = (table.objectives[0].name, table.reported.name) if table is not None else ("", "")
    report = _Report(config, found, labels, architectures, names, hasher_of)
    writer = Writer(output)
    with np.errstate(over="ignore", invalid="ignore"):  # infinite is said as that
        writer.write(report.contents())
        writer.close()
        text = writer.attempt("text on the screen", report.markdown, "")
    written = writer.written(text)
    sound = found.sound or not config.audit.strict
    return AuditWritten(written.output, written.files, written.text, written.failures, sound)


class _Report:
    def __init__(
        self,
        config: Config,
        found: Findings,
        labels: Labels,
        architectures: Sequence[Architecture],
        objectives: tuple[str, str],
        hasher_of: Callable[[Mapping[str, Any]], Hasher],
    ) -> None:
        self.config = config
        self.hasher_of = hasher_of
        self.objectives = objectives
        self.found = found
        self.labels = labels
        self.architectures = architectures

    def contents(self) -> Iterator[Output]:
        from nas.audit.figures import figures

        yield text_part("audit.md", self.markdown)
        yield text_part("audit.tex", self.latex)
        yield csv_part("audit_classes.csv", self.classes)
        yield csv_part("audit_mismatches.csv", self.mismatches)
        yield csv_part("audit_spreads.csv", self.spreads)
        if self.found.studies:
            yield csv_part("audit_searches.csv", partial(study_frame, self.found))
        for name, draw in figures(self.config, self.found):
            yield from figure_parts(name, draw)

    def markdown(self) -> str:
        found = self.found
        lines = [f"# {markdown_text(self.title)}", "", markdown_text(self.verdict), ""]
        lines += ["## Classes", "", *markdown_grid(agreement_lines(found)), ""]
        if found.counted:
            lines += ["Other notions of equality", "", *markdown_grid(counted_lines(found)), ""]
        lines += [*markdown_list(self.config.audit.notes), ""] if self.config.audit.notes else []
        if self.labels.reasons:
            reasons = [f"{column}: {reason}" for column, reason in self.labels.reasons.items()]
            lines += ["Why some have no digest, one of them each", "", *markdown_list(reasons), ""]
        for reading, agreement in found.readings if self.config.audit.strict else ():
            for kind, listed in (("joins", agreement.joins), ("splits", agreement.splits)):
                if listed:
                    lines += [f"### {kind.capitalize()}: {markdown_text(reading.name)}", ""]
                    shown = [self.example(reading, mismatch) for mismatch in listed[:MOST_EXAMPLES]]
                    lines += [*markdown_list(shown), ""]
        if found.spreads:
            lines += ["## Measured results within classes", "", *markdown_grid(spread_lines(found)), ""]
            lines += [*markdown_list(spread_notes(found)), ""]
        if found.studies:
            lines += ["## Searches", "", *markdown_grid(study_lines(found, self.objectives)), ""]
            lines += ["Hit rate in percent after so many trials", "", *markdown_grid(hit_lines(found)), ""]
            lines += [*markdown_list(NOTES), ""]
        return "\n".join(lines)

    def latex(self) -> str:
        tables = [latex_grid(f"{self.title}: classes", agreement_lines(self.found), self.config.audit.notes)]
        if self.found.counted:
            tables.append(latex_grid("Other notions of equality", counted_lines(self.found)))
        if self.found.spreads:
            notes = spread_notes(self.found)
            tables.append(latex_grid("Measured results within classes", spread_lines(self.found), notes))
        if self.found.studies:
            tables.append(latex_grid("Searches", study_lines(self.found, self.objectives), NOTES))
            tables.append(latex_grid("Hit rate in percent after so many trials", hit_lines(self.found)))
        return "\n".join(tables)

    @property
    def title(self) -> str:
        return f"{self.config.name}: {self.config.hashing['name']} held against {self.config.audit.exact}"

    @property
    def verdict(self) -> str:
        found = self.found
        wrong = [reading.name for reading, agreement in found.readings if not agreement.sound]
        said = f"{found.candidates:,} architectures; "
        if not wrong:
            return said + "in every reading the classes are the exact ones: none joined, none split."
        return said + f"the classes are not the exact ones in: {'; '.join(wrong)}."

    def example(self, reading: Reading, mismatch: Mismatch) -> str:
        """The parts of a mismatch by their first members: what differs in their texts, and why."""
        texts = [self.architectures[n].text for n in mismatch.examples]
        start = max(0, _common(texts) - _AROUND)
        end = max(0, _common([text[::-1] for text in texts]) - _AROUND)
        said = []
        exact = self.hasher_of(reading.exact)
        for count, n, text in zip(mismatch.parts, mismatch.examples, texts, strict=True):
            core = text[start : len(text) - end][:400]
            meaning = exact.explain(self.architectures[n])
            said.append(f"{count} like ..{core}..{f' = {meaning}' if meaning else ''}")
        return "; ".join(said[:4]) + ("; and others" if len(said) > 4 else "")

    def classes(self) -> pd.DataFrame:
        """One row for each architecture: its decisions, its label in every column."""
        import pandas as pd

        decisions = [json.dumps([d.to_json() for d in a.decisions]) for a in self.architectures]
        return pd.DataFrame({"decisions": decisions, **self.labels.columns})

    def mismatches(self) -> pd.DataFrame:
        """One row for each part of each join and split."""
        import pandas as pd

        rows: list[tuple[Any, ...]] = []
        for reading, agreement in self.found.readings:
            for kind, listed in (("join", agreement.joins), ("split", agreement.splits)):
                for number, mismatch in enumerate(listed):
                    rows += [
                        (reading.name, kind, number, mismatch.label, count, self.architectures[n].text)
                        for count, n in zip(mismatch.parts, mismatch.examples, strict=True)
                    ]
        return pd.DataFrame(rows, columns=["reading", "kind", "number", "class", "members", "example"])

    def spreads(self) -> pd.DataFrame:
        import pandas as pd

        names = ("members", "copies", "classes", "overall", "within", "median_range", "largest_range")
        names = (*names, "replicate", "replicates", "extra", "f", "degrees", "p")
        rows = [
            (reading.name, quantity.name, *(getattr(spread, name) for name in names))
            for reading, quantity, spread in self.found.spreads
        ]
        return pd.DataFrame(rows, columns=["reading", "quantity", *names])


def _common(texts: Sequence[str]) -> int:
    """Length of what all texts begin with."""
    return next(
        (n for n, letters in enumerate(zip(*texts, strict=False)) if len(set(letters)) > 1),
        min(map(len, texts)),
    )
