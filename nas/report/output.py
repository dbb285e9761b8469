"""Files of a report: each written as a whole or not at all, by itself; the same content the same bytes."""

from __future__ import annotations

import contextlib
import csv
import math
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from nas.errors import ConfigError, NasError, describe_error, one_line

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

T = TypeVar("T")
Output = tuple[str, Callable[[], bytes]]  # the name of a file, and what makes its content

FIGURE_DPI = 200
MAX_PIXELS = 6000  # a side, of a bitmap
LABEL = 80  # characters of a name in a figure
_FORMULA = re.compile(r"[=+\-@\t\r\n]")  # what a spreadsheet takes for the beginning of a formula, or of none


@dataclass(frozen=True, slots=True)
class Written:
    """A report.

    Attributes:
        output: the folder of the files.
        files: their paths.
        text: what a terminal shows.
        failures: one line for each output that could not be made; the others are there.
    """

    output: Path
    files: tuple[Path, ...]
    text: str
    failures: tuple[str, ...] = ()

    @property
    def status(self) -> int:
        """What a command ends with: 0, or 1 if an output is missing."""
        return 1 if self.failures else 0

    def show(self) -> None:
        """Prints the text, on standard error what is missing, and the folder."""
        show(self.text, sys.stdout)
        for line in self.failures:
            show(f"warning: {line}", sys.stderr)
        show(f"files: {self.output}", sys.stdout)


class Writer:
    """Writes the files of a report into a folder; an output that fails is named and stops no other.

    Attributes:
        files: what was written.
        failures: one line for each output that is missing, with the reason.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[Path] = []
        self.failures: list[str] = []
        self._refusal: ConfigError | None = None

    def write(self, parts: Iterable[Output]) -> None:
        """Writes each of these files."""
        try:
            for name, make in parts:
                self._write(name, make)
        except Exception as error:
            self._note("other files", error)

    def attempt(self, name: str, make: Callable[[], T], instead: T) -> T:
        """What `make` gives; where it fails, that is noted under this name, and `instead` is given.

        Raises:
            NasError: from `make`, which is about what the user gave.
        """
        try:
            return make()
        except NasError:
            raise
        except Exception as error:
            self._note(name, error)
            return instead

    def close(self) -> None:
        """Says that all was tried.

        Raises:
            ConfigError: not a single file could be written to the folder.
        """
        if self._refusal is not None and not self.files:
            raise self._refusal

    def written(self, text: str) -> Written:
        """What was written, and what was not."""
        return Written(self.folder, tuple(self.files), text, tuple(dict.fromkeys(self.failures)))

    def _write(self, name: str, make: Callable[[], bytes]) -> None:
        try:
            content = make()
        except Exception as error:  # whatever a value in a log leads to, the other outputs are right
            self._note(name, error)
            return
        try:
            replace(self.folder / name, content)
        except ConfigError as error:
            self._refusal = self._refusal or error
            self.failures.append(str(error))
        else:
            self.files.append(self.folder / name)

    def _note(self, name: str, error: Exception) -> None:
        self.failures.append(f"{name}: not written; {describe_error(error)}; the other outputs are there")


def text_part(name: str, make: Callable[[], str]) -> Output:
    """A file of text."""
    return name, lambda: encoded(make())


def csv_part(name: str, make: Callable[[], pd.DataFrame]) -> Output:
    """A table as CSV (RFC 4180)."""
    return name, lambda: csv_of(make())


def figure_parts(name: str, draw: Callable[[], Figure], *kinds: str) -> Iterator[Output]:
    """A figure, drawn once, in each of these formats; PNG and PDF by default."""
    drawn = cache(draw)
    for kind in kinds or ("png", "pdf"):
        yield f"{name}.{kind}", lambda kind=kind: image(drawn(), kind)


def encoded(text: str) -> bytes:
    """UTF-8; what is none, such as half of a pair of surrogates, is written as its escape."""
    return text.encode("utf-8", "backslashreplace")


def show(text: str, stream: Any) -> None:
    """Prints a text of any characters to a stream of any encoding."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)


def csv_of(frame: pd.DataFrame) -> bytes:
    """The table as CSV; see `csv_rows`."""
    rows = frame.astype(object).where(frame.notna(), None).itertuples(index=False, name=None)
    return encoded(csv_rows([str(name) for name in frame.columns], rows))


def csv_rows(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """CSV (RFC 4180): numbers exactly, nothing for NaN, texts as `csv_text` has them."""
    stream = StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow([csv_text(name) for name in header])
    writer.writerows([_cell(value) for value in row] for row in rows)
    return stream.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return csv_text(value)
    if isinstance(value, float):  # numpy's are such too
        return "" if math.isnan(value) else repr(float(value))
    return value


def csv_text(text: str) -> str:
    """A text as a cell that spreadsheets show and never compute: with an apostrophe where they would.

    Numbers are not texts, so that -0.5 stays one.
    """
    return f"'{text}" if _FORMULA.match(text) else text


def figure_text(text: object, limit: int = LABEL) -> str:
    """A name as matplotlib writes it letter by letter: one line, no formulas, never hidden from a legend."""
    line = one_line(text, limit).replace("$", r"\$")
    return f" {line}" if line.startswith("_") else line


def file_name(text: str) -> str:
    """A name as part of the name of a file, of letters, digits and `_.+-` alone."""
    return re.sub(r"[^\w.+-]", "_", text, flags=re.ASCII)[:100].lstrip(".") or "_"


def image(figure: Figure, kind: str) -> bytes:
    """The figure's file; the same figure gives the same bytes."""
    import matplotlib as mpl

    undated: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    dpi = min(FIGURE_DPI, MAX_PIXELS / max(figure.get_size_inches()))
    content = BytesIO()
    with mpl.rc_context({"svg.hashsalt": "nas"}), warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # of letters that the font lacks and labels that are long
        figure.savefig(content, format=kind, dpi=dpi, metadata=undated.get(kind))
    return content.getvalue()


def replace(path: Path, content: bytes) -> None:
    """Writes a file beside its place and moves it there.

    Raises:
        ConfigError: the folder cannot be written to.
    """
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
