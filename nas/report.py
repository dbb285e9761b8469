"""python -m nas.report DIR...: tables and figures from the logs of one or many runs, also in progress."""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas import chosen
from nas.display import format_duration, format_value
from nas.errors import ConfigError, NasError, StoreError
from nas.evaluation import Stage
from nas.eventlog import FILE_NAME, FORMAT
from nas.records import Run, failures, method_names
from nas.results import ResultTable, result_tables
from nas.store import StudyRecord, read_study
from nas.tables import latex, markdown, trials_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURE_DPI = 200
_NEEDED = (
    *("seed", "space.name", "space.fingerprint", "evaluator.name", "searcher.name", "searcher.options"),
    *("baseline.samples", "baseline.sampler", "budget.trials", "final.seeds"),
)
MAX_PIXELS = 6000  # a side, of a bitmap


@dataclass(frozen=True, slots=True)
class Report:
    """What was written, and what a terminal shows.

    Attributes:
        output: the folder of the files.
        files: their paths.
        tables: one for each setting.
        text: state of each run, then the tables as Markdown.
    """

    output: Path
    files: tuple[Path, ...]
    tables: tuple[ResultTable, ...]
    text: str


def write_report(directories: Sequence[Path | str], output: Path | str) -> Report:
    """Writes all tables, figures and listings of the runs in `directories` to `output`.

    Each file is replaced as a whole, never half-written.

    Raises:
        StoreError: a folder without a log, or with a log that cannot be read.
        ConfigError: `output` cannot be written to.
    """
    folders = {Path(folder).resolve(): Path(folder) for folder in directories}
    output = Path(output)
    with _uncollected():
        runs = [Run.of(_read(folder)) for folder in folders.values()]
        tables = result_tables(runs)
        files = []
        for name, content in _contents(runs, tables):
            _replace(output / name, content)
            files.append(output / name)
    text = "\n".join([*_states(runs), "", *map(markdown, tables)])
    return Report(output, tuple(files), tables, text)


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """No cyclic garbage collection: it would walk over millions of rows that stay, again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _states(runs: Sequence[Run]) -> list[str]:
    """The state of each run; of several runs that are done the first line."""
    states = [(state(run), run.record.in_progress or len(runs) == 1) for run in runs]
    return [text if full else text.split("\n")[0] for text, full in states]


def state(run: Run, now: float | None = None) -> str:
    """What is done, in flight and failed, the best so far and, of a run without an end, its last event's age.

    Args:
        run: finished or not.
        now: unix seconds; None for this moment.
    """
    (method,) = method_names([run])
    lines = [f"{run.record.directory}: {method}, seed {run.opened['seed']}: {_phase(run, now)}"]
    lines += [f"  {_stage_state(run, stage)}" for stage in Stage]
    if run.chosen is not None:
        best = format_value(run.chosen.value(run.objective.name), run.objective)
        lines.append(f"  best {run.objective.name} {best}: {run.chosen.label}, {run.chosen.digest[:8]}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit status: 0, or 2 with one line for a user's mistake."""
    parser = argparse.ArgumentParser(
        prog="python -m nas.report", description="Rebuilds a report from event logs."
    )
    parser.add_argument(
        "directories", nargs="+", type=Path, metavar="DIR", help="a run's folder, or one of runs"
    )
    parser.add_argument("--output", type=Path, help="default: DIR itself, for several runs ./report")
    given = parser.parse_args(arguments)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            runs = [run for folder in given.directories for run in _runs(folder)]
            report = write_report(runs, given.output or (runs[0] if len(runs) == 1 else Path("report")))
    except NasError as error:
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    for warning in caught:
        print(f"note: {warning.message}", file=sys.stderr)
    try:
        print(f"{report.text}\nfiles: {report.output}", flush=True)
    except BrokenPipeError:  # the reader, e.g. head, has enough; the files are written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the exit
    return 0


def _runs(folder: Path) -> list[Path]:
    """The folder itself, or the runs directly inside one that holds no log."""
    inside = sorted(path.parent for path in folder.glob(f"*/{FILE_NAME}"))
    return inside if inside and not (folder / FILE_NAME).exists() else [folder]


def _read(folder: Path) -> StudyRecord:
    """The record of a run, checked for what a report needs."""
    if not folder.is_dir():
        raise StoreError(f"{folder}: expected the folder of a run; there is none; check the path")
    try:
        record = read_study(folder)
        _check(record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StoreError(
            f"{folder / FILE_NAME}: expected a log of format {FORMAT} of this platform; reading failed with "
            f"{type(error).__name__} {error}; was it written by another program or version?"
        ) from error
    return record


def _check(record: StudyRecord) -> None:
    """Touches everything that a report takes for granted; raises what a foreign log makes it raise."""
    _ = record.objectives[0], record.reported
    for path in _NEEDED:
        value: Any = record.opened
        for key in path.split("."):
            value = value[key]


def _phase(run: Run, now: float | None) -> str:
    record = run.record
    if record.closed is not None:
        reason, message = record.closed.get("reason", "closed"), record.closed.get("message")
        again = "" if reason == "finished" else f"; resume={record.directory} continues it"
        return f"{reason}{f' ({message})' if message else ''}{again}"
    age = (time.time() if now is None else now) - (record.directory / FILE_NAME).stat().st_mtime
    ago = format_duration(max(age, 0.0))
    return f"in progress or killed, {_current_stage(run)} stage; last event {ago} ago"


def _current_stage(run: Run) -> Stage:
    """The earliest stage with trials to finish, as far as the log tells."""
    for stage in Stage:
        planned, ended = _planned(run, stage), len(run.ended(stage))
        under_way = len(run.stages[stage]) > ended
        later = bool(run.stages[Stage.FINAL]) and planned is None
        if under_way or (not later and (planned is None or ended < planned)):
            return stage
    return Stage.FINAL


def _planned(run: Run, stage: Stage) -> int | None:
    opened = run.opened
    return {
        Stage.SEARCH: opened["budget"]["trials"],
        Stage.BASELINE: opened["baseline"]["samples"],
        Stage.FINAL: opened["final"]["seeds"],
    }[stage]


def _stage_state(run: Run, stage: Stage) -> str:
    rows, ended, planned = run.stages[stage], run.ended(stage), _planned(run, stage)
    failed = failures(ended)
    kinds = ", ".join(f"{number} {kind}" for kind, number in failed.most_common())
    if planned is not None and len(ended) > planned:  # continued with less
        parts = [f"{stage}: {len(ended)} done, {planned} planned by now"]
    else:
        parts = [f"{stage}: {len(ended)}{'' if planned is None else f'/{planned}'} done"]
    if len(rows) > len(ended):
        parts.append(f"{len(rows) - len(ended)} {'in flight' if run.record.in_progress else 'not finished'}")
    parts.append(f"{failed.total()} failed" + f" ({kinds})" * bool(kinds))
    cached = sum(row.cached_from is not None for row in ended)
    if cached:
        parts.append(f"{cached} from cache")
    parts.append(f"cost {format_duration(sum(row.cost_seconds for row in ended))}")
    return ", ".join(parts)


def _contents(runs: Sequence[Run], tables: Sequence[ResultTable]) -> Iterator[tuple[str, bytes]]:
    """Names and contents of all files."""
    from nas.figures import comparison_figure, progress_figure

    trials = trials_table([run.record for run in runs])
    yield "trials.csv", trials.to_csv(index=False, lineterminator="\r\n").encode()  # RFC 4180
    yield "results.md", "\n".join(map(markdown, tables)).encode()
    yield "results.tex", "\n".join(map(latex, tables)).encode()
    for number, table in enumerate(tables, start=1):
        suffix = "" if number == 1 else f"_{number}"
        for name, figure in (
            ("best_so_far", progress_figure(table)),
            ("final_comparison", comparison_figure(table)),
        ):
            yield f"{name}{suffix}.png", _image(figure, "png")
            yield f"{name}{suffix}.pdf", _image(figure, "pdf")
    yield "chosen.txt", "\n\n".join(map(chosen.text, runs)).encode()
    if len(runs) == 1:
        yield from _shown(runs[0])


def _shown(run: Run) -> Iterator[tuple[str, bytes]]:
    """The run's configuration, modules and picture of its choice."""
    config = run.opened.get("config")
    if config:
        from nas.session import to_yaml

        yield "config.yaml", to_yaml(config).encode()
    modules, picture = chosen.torch_modules(run), chosen.picture(run)
    if modules is not None:
        yield "chosen_torch.txt", modules.encode()
    if picture is not None:
        yield "chosen.svg", _image(picture, "svg")
        yield "chosen.png", _image(picture, "png")


def _image(figure: Figure, kind: str) -> bytes:
    """The figure's file; the same figure gives the same bytes."""
    import matplotlib as mpl

    undated: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    dpi = min(FIGURE_DPI, MAX_PIXELS / max(figure.get_size_inches()))
    content = BytesIO()
    with mpl.rc_context({"svg.hashsalt": "nas"}):
        figure.savefig(content, format=kind, dpi=dpi, metadata=undated.get(kind))
    return content.getvalue()


def _replace(path: Path, content: bytes) -> None:
    """Writes a file beside its place and moves it there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        reason = error.strerror or error
        raise ConfigError(f"{path}: cannot write the report; {reason}; give another --output") from error


if __name__ == "__main__":
    sys.exit(main())
