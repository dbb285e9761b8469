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
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.errors import ConfigError, EvaluationError
from nas.evaluation import Evaluation, Fidelity, Objective, Status, Task, failure
from nas.training.checks import (
    check_names,
    file_path,
    function_name,
    given,
    load_function,
    objectives_from,
    reported_from,
)
from nas.training.outlines import Outline

_NAME = 'evaluator "table"'


@dataclass(frozen=True, slots=True)
class Table:
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


class TableEvaluator:
    """Looks each architecture up by its key; the cost is what the table says, not the time it takes.

    Time limits are the executor's: on a simulated clock they bound this cost. Where the table has several
    fidelities, the curve holds a row of values at each, up to the one asked for.

    Args:
        table: the file and its columns.
        key: `(architecture) -> str`, its key in the table, or its "module:function".
        objectives: what to search for, the first one decides: names (to maximise), mappings with
            name, direction and unit, or `Objective`s; one or a list.
        reported: the quantity of the report, given likewise; the first objective by default.

    Raises:
        ConfigError: an objective that no column answers.
        EvaluationError: a file, column or number that is missing, in one line.
    """

    def __init__(
        self,
        table: Table,
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
        content = _read(file_path(table.path))
        names = {column for columns in table.levels.values() for column in columns.values()}
        wanted = [*sorted(names), *([table.cost_column] if table.cost_column else [])]
        self._rows = _rows(table, content, wanted)
        self._layout = {
            level: tuple((name, wanted.index(column)) for name, column in columns.items())
            for level, columns in table.levels.items()
        }
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

    @property
    def fidelity_range(self) -> tuple[str, float, float] | None:
        if len(self._layout) == 1:
            return None
        return (self.table.fidelity, min(self._layout), max(self._layout))

    @property
    def levels(self) -> tuple[Fidelity, ...]:
        """The only fidelities that it has, lowest first."""
        return tuple(Fidelity(self.table.fidelity, level) for level in sorted(self._layout))

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
        if not self._rows:
            raise EvaluationError(f"table {self.table.path}: expected at least one row, found none")
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


def _check_columns(table: Table, objectives: Iterable[Objective]) -> None:
    for objective in objectives:
        for level, columns in table.levels.items():
            check_names(f"{_NAME}: columns of {level:g}", [objective.name], columns, ConfigError)


def _table(options: Mapping[str, Any]) -> Table:
    required = ("path", "key", "key_column", "columns")
    optional = ("cost_column", "fidelity", "continues", "objectives", "reported")
    check_names(_NAME, options, (*required, *optional), ConfigError)
    missing = [name for name in required if options.get(name) is None]
    if missing:
        raise ConfigError(
            f"{_NAME}: expected the options {', '.join(required)}; missing: {', '.join(missing)}"
        )
    return Table(
        str(options["path"]),
        str(options["key_column"]),
        levels_from(options["columns"]),
        **given(options, ("cost_column", "fidelity", "continues")),
    )


def levels_from(columns: Any) -> dict[float, dict[str, str]]:
    """`Table.levels` of the option `columns`, in either of its forms."""
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


def _read(path: Path) -> bytes:
    """The content of the file, unpacked if its name ends in .gz."""
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except FileNotFoundError as error:
        raise EvaluationError(
            f"table {path}: expected a CSV file, found none; put it there or set evaluator.path"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise EvaluationError(f"table {path}: cannot read it: {error}; replace the file") from error


def _rows(table: Table, content: bytes, wanted: list[str]) -> dict[str, tuple[float, ...]]:
    """Key -> the numbers of the wanted columns."""
    try:
        reader = csv.reader(io.StringIO(content.decode(), newline=""))
    except UnicodeDecodeError as error:
        raise EvaluationError(f"table {table.path}: expected a CSV file in UTF-8: {error}") from error
    header = next(reader, [])
    for column in (table.key_column, *wanted):
        if column not in header:
            raise EvaluationError(
                f'table {table.path}: expected a column "{column}", found {", ".join(header) or "none"}'
            )
    key_index, indices = header.index(table.key_column), [header.index(column) for column in wanted]
    rows: dict[str, tuple[float, ...]] = {}
    for row in filter(None, reader):
        try:
            numbers = tuple([float(row[index]) for index in indices])
            finite = all(map(math.isfinite, numbers))
        except (ValueError, IndexError):
            finite, numbers = False, ()
        if not finite:
            raise EvaluationError(
                f"table {table.path}, line {reader.line_num}: expected numbers in {', '.join(wanted)}, "
                f"got {', '.join(row[index] for index in indices if index < len(row))}"
            )
        if row[key_index] in rows:
            raise EvaluationError(
                f'table {table.path}, line {reader.line_num}: "{row[key_index]}" occurs a second time'
            )
        rows[row[key_index]] = numbers
    return rows
