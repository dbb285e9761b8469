"""A table of finished evaluations as an evaluator: CSV look-up with simulated cost.

For NAS-Bench-201 (Dong and Yang 2020) and tables like it: one row for each architecture, columns of
results after so many epochs.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import math
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nas.callables import function_name
from nas.errors import ConfigError, EvaluationError, describe_error
from nas.evaluation.evaluator import (
    Evaluation,
    Evaluator,
    Fidelity,
    Objective,
    Outline,
    Status,
    Task,
    failure,
)
from nas.evaluation.functions import (
    check_takes,
    existing,
    load_function,
    objectives_from,
    reported_from,
)
from nas.registry import check_names, given

_NAME = 'evaluator "table"'
_MOST_BYTES = 2**29
_BOOL = "true or false"


@dataclass(frozen=True, slots=True)
class LookupTable:
    """Where the numbers are.

    Attributes:
        path: a CSV file with a header, plain or gzipped.
        key_column: column of the architectures' keys.
        levels: fidelity -> name of a value -> column that holds it; what does not depend on the
            fidelity is named under each. A table with one kind of result has the one level 1.
        cost_column: seconds per unit of fidelity, e.g. per epoch; without it the cost is 0.
        fidelity: name of the fidelity.
        continues: whether the levels are points of one training, so that a trial which continues an
            earlier one costs the difference only. In NAS-Bench-201 they are not: its 12 epochs follow a
            schedule of their own.
    """

    path: str
    key_column: str
    levels: Mapping[float, Mapping[str, str]]
    cost_column: str | None = None
    fidelity: str = "epochs"
    continues: bool = False


class TableEvaluator(Evaluator):
    """Looks each architecture up by its key; the cost is what the table says, not the time it takes.

    Time limits are the executor's: on a simulated clock they bound this cost. Where the table has several
    fidelities, the curve holds a row of values at each, up to the one asked for.

    Args:
        table: the file and its columns.
        key: `(architecture) -> str`, its key in the table, its "module:function", or a name of
            `nas.callables.CALLABLES`.
        objectives: what to search for, the first one decides: names (to maximise), mappings with
            name, direction and unit, or `Objective`s; one or a list.
        reported: the quantity of the report, given likewise; the first objective by default.

    Raises:
        ConfigError: an objective that no column answers.
        EvaluationError: a file, column or number that is missing, in one line.
    """

    deterministic = True  # a look-up
    keeps_process = True

    def __init__(
        self,
        table: LookupTable,
        key: str | Callable[[Any], str],
        *,
        objectives: Any = "validation_accuracy",
        reported: Any = None,
    ) -> None:
        self.table = table
        self.objectives = objectives_from(f"{_NAME}: objectives", objectives)
        self.reported = reported_from(f"{_NAME}: reported", reported, self.objectives)
        _check_columns(table, (*self.objectives, self.reported))
        self._key = load_function(f"{_NAME}: key", key)
        check_takes(f"{_NAME}: key", self._key, "f(architecture)", None)
        content = _read(table.path)
        names = {column for columns in table.levels.values() for column in columns.values()}
        wanted = [*sorted(names), *([table.cost_column] if table.cost_column else [])]
        self._rows = _rows(table, content, wanted)
        self._layout = {
            level: tuple((name, wanted.index(column)) for name, column in columns.items())
            for level, columns in table.levels.items()
        }
        self.levels = tuple(Fidelity(table.fidelity, level) for level in sorted(self._layout))
        if len(self.levels) > 1:
            self.fidelity_range = (table.fidelity, self.levels[0].value, self.levels[-1].value)
        self._curves = {
            level: tuple((lower, self._layout[lower]) for lower in sorted(self._layout) if lower <= level)
            for level in self._layout
        }
        described = repr(
            (
                table.key_column,
                sorted(self._layout.items()),
                table.cost_column,
                table.fidelity,
                table.continues,
            )
        )
        self._fingerprint = hashlib.sha256(
            b"\n".join(
                (hashlib.sha256(content).digest(), described.encode(), function_name(self._key).encode())
            )
        ).hexdigest()

    def value_names(self, fidelity: Fidelity | None) -> tuple[str, ...]:
        """The values of every completed evaluation at a fidelity."""
        return tuple(name for name, _ in self._layout[self._level(fidelity)])

    def fingerprint(self) -> str:
        """Digest of the file, the columns and the key's name."""
        return self._fingerprint

    def __len__(self) -> int:
        return len(self._rows)

    def check(self, task: Task) -> None:
        """Raises NasError if the table has no answer to the task."""
        self._level(task.fidelity)
        key = self._key(task.architecture)
        if key not in self._rows:
            raise EvaluationError(self._unlisted(key))

    def __call__(self, task: Task) -> Evaluation:
        """Looks the architecture of the task up.

        Raises:
            EvaluationError: a fidelity that the table does not have.
        """
        level = self._level(task.fidelity)
        key = self._key(task.architecture)
        row = self._rows.get(key)
        if row is None:
            return failure(Status.ERROR, self._unlisted(key))
        done = task.done.value if self.table.continues and task.done is not None else 0.0
        cost = row[-1] * (level - done) if self.table.cost_column else 0.0
        values = {name: row[i] for name, i in self._layout[level]}
        return Evaluation(Status.COMPLETED, values, cost, curve=self._curve(level, row))

    def _curve(self, level: float, row: tuple[float, ...]) -> tuple[dict[str, float], ...]:
        """Nothing where it would only repeat the values: a study of look-ups logs each of them."""
        levels = self._curves[level]
        if len(levels) == 1:
            return ()
        return tuple([{"epoch": lower} | {name: row[i] for name, i in layout} for lower, layout in levels])

    def _unlisted(self, key: str) -> str:
        return f'{self.table.path}: no row with {self.table.key_column} = "{key}"'

    def optimum(self, quantity: Objective, fidelity: Fidelity | None = None) -> float:
        """The best value of a quantity over all rows, at the full fidelity by default."""
        values = self.values_of(quantity, fidelity)
        return max(values) if quantity.direction == "maximize" else min(values)

    def values_of(self, quantity: Objective, fidelity: Fidelity | None = None) -> list[float]:
        """A quantity in all rows, in their order, at the full fidelity by default."""
        columns = dict(self._layout[self._level(fidelity)])
        check_names(f"{_NAME}: columns", [quantity.name], columns, ConfigError)
        return [row[columns[quantity.name]] for row in self._rows.values()]

    def _level(self, fidelity: Fidelity | None) -> float:
        if fidelity is None:
            return max(self._layout)
        if fidelity.name != self.table.fidelity or fidelity.value not in self._layout:
            known = ", ".join(f"{level:g}" for level in sorted(self._layout))
            raise EvaluationError(
                f'{_NAME}: expected "{self.table.fidelity}" of {known}, '
                f'got "{fidelity.name}" of {fidelity.value:g}; {self.table.path} has no others'
            )
        return fidelity.value


def create(**options: Any) -> TableEvaluator:
    """The evaluator of these options: path, key ("module:function"), key_column, columns, and others.

    `columns` maps names of values to columns, or fidelities to such mappings:
    `{12: {validation_accuracy: c10_valid_12}, 200: {validation_accuracy: c10_valid_200}}`.

    Raises:
        ConfigError: an unknown option or a bad value, in one line.
        EvaluationError: a file, column or number that is missing.
    """
    return TableEvaluator(_table(options), options["key"], **given(options, ("objectives", "reported")))


def outline(**options: Any) -> Outline:
    """What is known of such an evaluator before its file is read.

    Raises:
        ConfigError: an unknown option or a bad value, in one line.
    """
    table, objectives = _table(options), given(options, ("objectives",))
    levels = sorted(table.levels)
    found = objectives_from(f"{_NAME}: objectives", objectives.get("objectives", "validation_accuracy"))
    _check_columns(table, (*found, reported_from(f"{_NAME}: reported", options.get("reported"), found)))
    return Outline(
        found,
        (table.fidelity, levels[0], levels[-1]) if len(levels) > 1 else None,
        tuple(Fidelity(table.fidelity, level) for level in levels),
        {level: tuple(columns) for level, columns in table.levels.items()},
    )


def _check_columns(table: LookupTable, objectives: Iterable[Objective]) -> None:
    for objective in objectives:
        for level, columns in table.levels.items():
            check_names(f"{_NAME}: columns of {level:g}", [objective.name], columns, ConfigError)


def _table(options: Mapping[str, Any]) -> LookupTable:
    required = ("path", "key", "key_column", "columns")
    optional = ("cost_column", "fidelity", "continues", "objectives", "reported")
    check_names(_NAME, options, (*required, *optional), ConfigError)
    missing = [name for name in required if options.get(name) is None]
    if missing:
        raise ConfigError(
            f"{_NAME}: expected the options {', '.join(required)}; missing: {', '.join(missing)}"
        )
    for name, kind, text in (
        ("cost_column", str, "a text"),
        ("fidelity", str, "a text"),
        ("continues", bool, _BOOL),
    ):
        if not isinstance(options.get(name, kind()), kind | None):
            raise ConfigError(f"{_NAME}: {name}: expected {text}, got {options[name]!r}")
    return LookupTable(
        str(options["path"]),
        str(options["key_column"]),
        levels_from(options["columns"]),
        **given(options, ("cost_column", "fidelity", "continues")),
    )


def levels_from(columns: Any) -> dict[float, dict[str, str]]:
    """`LookupTable.levels` of the option `columns`, in either of its forms."""
    expected = f"{_NAME}: columns: expected a mapping from names to columns, or from fidelities to such"
    if not isinstance(columns, Mapping) or not columns:
        raise ConfigError(f"{expected}, got {columns!r}")
    nested = columns if all(isinstance(value, Mapping) for value in columns.values()) else {1: columns}
    levels: dict[float, dict[str, str]] = {}
    for level, names in nested.items():
        try:
            number = float(level)
        except (TypeError, ValueError):
            number = math.nan
        if not 0 < number < math.inf or not all(isinstance(name, str) for name in names.values()):
            raise ConfigError(f"{expected}, got {level!r}: {names!r}")
        levels[number] = {str(name): column for name, column in names.items()}
    return levels


def _read(path: str) -> bytes:
    """The content of the file, unpacked if it is gzipped."""
    file = existing(path, "a CSV file", "put it there or set evaluator.path", what="table")
    try:
        with file.open("rb") as stream:
            packed = stream.read(2) == b"\x1f\x8b"
            stream.seek(0)
            unpacked = gzip.GzipFile(fileobj=stream) if packed else stream
            content = unpacked.read(_MOST_BYTES + 1)  # a few kilobytes can be packed that unpack to terabytes
    except (OSError, EOFError, zlib.error) as error:
        raise EvaluationError(
            f"table {path}: cannot read it: {describe_error(error)}; replace the file"
        ) from error
    if len(content) > _MOST_BYTES:
        raise EvaluationError(
            f"table {path}: expected at most {_MOST_BYTES >> 20} MiB, unpacked; leave out columns or rows"
        )
    return content


def _rows(table: LookupTable, content: bytes, wanted: list[str]) -> dict[str, tuple[float, ...]]:
    """Key -> the numbers of the wanted columns."""
    where = f"table {table.path}"
    try:
        # with the mark that spreadsheets begin their files with, or without
        reader = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    except UnicodeDecodeError as error:
        raise EvaluationError(
            f"{where}: expected a CSV file in UTF-8, plain or gzipped: {error}; save it as such"
        ) from error
    rows: dict[str, tuple[float, ...]] = {}
    try:
        indices = _indices(where, next(reader, []), (table.key_column, *wanted))
        for row in filter(None, reader):
            key, numbers = _numbers(f"{where}, line {reader.line_num}", row, indices, table, wanted)
            if key in rows:
                raise EvaluationError(
                    f'{where}, line {reader.line_num}: "{key}" occurs a second time; keep one row of each key'
                )
            rows[key] = numbers
    except csv.Error as error:
        raise EvaluationError(
            f"{where}, line {reader.line_num}: cannot read it: {error}; save it as a CSV file, with "
            "quotes around what holds commas"
        ) from error
    if not rows:
        raise EvaluationError(f"{where}: expected at least one row below its header, found none; add rows")
    return rows


def _indices(where: str, header: list[str], columns: Sequence[str]) -> list[int]:
    for column in columns:
        if header.count(column) == 1:
            continue
        if column in header:
            raise EvaluationError(
                f'{where}: expected one column "{column}", found {header.count(column)}; rename or remove one'
            )
        remedy = "set evaluator.key_column, columns and cost_column to names in its header"
        if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
            remedy = "separate its columns by commas"
        raise EvaluationError(
            f'{where}: expected a column "{column}", found {", ".join(header) or "none"}; {remedy}'
        )
    return [header.index(column) for column in columns]


def _numbers(
    where: str, row: list[str], indices: list[int], table: LookupTable, wanted: list[str]
) -> tuple[str, tuple[float, ...]]:
    """The key of a row and its numbers."""
    key = ""
    try:
        key, *texts = (row[index] for index in indices)
        numbers = tuple(map(float, texts))
    except (ValueError, IndexError):
        numbers = (math.nan,)
    if not all(map(math.isfinite, numbers)):
        got = ", ".join(row[index] for index in indices[1:] if index < len(row))
        raise EvaluationError(
            f"{where}: expected numbers in {', '.join(wanted)}, got {got or 'none'}; complete the row or "
            "remove it"
        )
    if table.cost_column and numbers[-1] < 0:
        raise EvaluationError(
            f"{where}: expected a cost of at least 0 in {table.cost_column}, got {numbers[-1]:g}; correct it"
        )
    return key, numbers
