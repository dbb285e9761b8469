"""The report of runs: tables and figures from the logs of one or many, also in progress."""

from __future__ import annotations

import contextlib
import gc
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nas.errors import StoreError, one_line
from nas.evaluation import Stage
from nas.report import cache, chosen, overview, protocol
from nas.report.output import Output, Writer, Written, csv_part, figure_parts, text_part
from nas.report.protocol import variant_of, variant_tables
from nas.report.records import Run, failures, method_names
from nas.report.results import ResultTable, result_tables
from nas.report.tables import format_duration, format_value, latex, markdown, trials_table
from nas.study import FILE_NAME, StudyRecord, read_study

_NEEDED = (
    *("seed", "space.name", "space.fingerprint", "evaluator.name", "searcher.name", "searcher.options"),
    *("baseline.samples", "baseline.sampler", "budget.trials", "final.seeds"),
)


@dataclass(frozen=True, slots=True)
class Report(Written):
    """A report of runs; its text has the state of each, then the tables as Markdown.

    Methods by data sets come first, where there are several data sets; studies of protocols last.

    Attributes:
        tables: one for each setting.
    """

    tables: tuple[ResultTable, ...] = ()


def write_report(directories: Sequence[Path | str], output: Path | str) -> Report:
    """Writes all tables, figures and listings of the runs in `directories` to `output`.

    Each file is replaced as a whole, never half-written, and by itself: what cannot be made is named in
    `failures` and keeps no other from being written.

    Raises:
        StoreError: a folder without a log, or with a log that cannot be read.
        ConfigError: `output` cannot be written to.
    """
    folders = {Path(folder).resolve(): Path(folder) for folder in directories}
    writer = Writer(Path(output))
    with _uncollected(), np.errstate(over="ignore", invalid="ignore"):  # infinite is said as that
        runs = [Run.of(_read(folder)) for folder in folders.values()]
        searches = [run for run in runs if variant_of(run) is None]
        variants = [run for run in runs if variant_of(run) is not None]
        tables = writer.attempt("result tables", partial(result_tables, searches), ())
        studies = writer.attempt("tables of protocols", partial(variant_tables, variants), ())
        view = writer.attempt("overview of data sets", partial(overview.overview, tables), None)
        writer.write(_contents(runs, tables))
        writer.write(_overview(view))
        writer.write(protocol.contents(studies))
        writer.close()
        said: list[Callable[[], str]] = [partial(_states, runs)]
        said += [partial(overview.markdown, view)] if view else []
        said += [partial(markdown, table) for table in tables]
        said += [lambda: cache.text(cache.cache_tables(tables))] if len(runs) > 1 else []
        said += [partial(protocol.markdown, study) for study in studies]
        first, *others = [writer.attempt("text on the screen", part, "") for part in said]
    text = "\n".join([first, "", *filter(None, others)])
    written = writer.written(text)
    return Report(written.output, written.files, written.text, written.failures, tables)


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


def _states(runs: Sequence[Run]) -> str:
    """The state of each run; of several runs that are done the first line."""
    states = [(state(run), run.record.in_progress or len(runs) == 1) for run in runs]
    return "\n".join([text if full else text.split("\n")[0] for text, full in states])


def state(run: Run, now: float | None = None) -> str:
    """What is done, in flight and failed, the best so far and, of a run without an end, its last event's age.

    Args:
        run: finished or not.
        now: unix seconds; None for this moment.
    """
    (method,) = method_names([run])
    head = f"{one_line(method)}, seed {run.opened['seed']}: {_phase(run, now)}"
    lines = [f"{run.record.directory}: {head}"]
    lines += [f"  {_stage_state(run, stage)}" for stage in _stages(run)]
    lines += [f"  {one_line(line, 2000)}" for line in cache.lines(run)]
    if run.chosen is not None:
        best = format_value(run.chosen.value(run.objective.name), run.objective)
        said = f"best {run.objective.name} {best}: {run.chosen.label}, {run.chosen.digest[:8]}"
        lines.append(f"  {one_line(said)}")
    return "\n".join(lines)


def report_folders(folder: Path) -> list[Path]:
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
            f"{folder / FILE_NAME}: expected a log of this platform; reading failed with "
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
        again = "" if reason == "finished" else f"; {_continuing(record)} continues it"
        return f"{reason}{f' ({one_line(message, 2000)})' if message else ''}{again}"
    age = (time.time() if now is None else now) - (record.directory / FILE_NAME).stat().st_mtime
    ago = format_duration(max(age, 0.0))
    return f"in progress or killed, {_current_stage(run)} stage; last event {ago} ago"


def _continuing(record: StudyRecord) -> str:
    """What continues a run: a study of a program's own is continued by that program."""
    if not record.opened.get("config"):
        return "the program that began it, run again,"
    return f"python -m nas.run resume={record.directory}, or its whole command with that,"


def _current_stage(run: Run) -> Stage:
    """The earliest stage with trials to finish, as far as the log tells."""
    for stage in _stages(run):
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
    }.get(stage)


def _stages(run: Run) -> list[Stage]:
    """Those that every study has, and works where a searcher asked for some."""
    return [stage for stage in Stage if stage is not Stage.SUPERNET or run.stages[stage]]


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


def _contents(runs: Sequence[Run], tables: Sequence[ResultTable]) -> Iterator[Output]:
    """All files."""
    from nas.report.figures import comparison_figure, progress_figure

    yield csv_part("trials.csv", lambda: trials_table([run.record for run in runs]))
    searches = [run for run in runs if variant_of(run) is None]
    if searches:
        yield text_part("chosen.txt", lambda: "\n\n".join(map(chosen.text, searches)))
        if len(runs) == 1:
            yield from _shown(runs[0])
    if not tables:
        return
    yield text_part("results.md", lambda: "\n".join(map(markdown, tables)))
    yield text_part("results.tex", lambda: "\n".join(map(latex, tables)))
    for number, table in enumerate(tables, start=1):
        suffix = "" if number == 1 else f"_{number}"
        yield from figure_parts(f"best_so_far{suffix}", partial(progress_figure, table))
        yield from figure_parts(f"final_comparison{suffix}", partial(comparison_figure, table))
    yield from cache.contents(tables)


def _overview(view: overview.Overview | None) -> Iterator[Output]:
    """Methods by data sets."""
    if view is not None:
        yield text_part("datasets.md", partial(overview.markdown, view))
        yield text_part("datasets.tex", partial(overview.latex, view))
        yield csv_part("datasets.csv", partial(overview.long_table, view))


def _shown(run: Run) -> Iterator[Output]:
    """The run's configuration, modules and picture of its choice, where there are such."""
    config = run.opened.get("config")
    if config:
        yield text_part("config.yaml", partial(to_yaml, config))
    modules = chosen.torch_modules(run)
    if modules is not None:
        yield text_part("chosen_torch.txt", lambda: modules)
    if chosen.has_picture(run):
        yield from figure_parts("chosen", partial(chosen.picture, run), "svg", "png")


def to_yaml(config: Mapping[str, Any]) -> str:
    """As YAML; what OmegaConf takes for a broken interpolation as JSON, which is YAML too."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.to_yaml(OmegaConf.create(dict(config)))
    except OmegaConfBaseException:
        return json.dumps(config, indent=2) + "\n"
