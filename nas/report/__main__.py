"""python -m nas.report DIR...: tables and figures from the logs of one or many runs, also in progress."""

from __future__ import annotations

import signal

if __name__ == "__main__":  # before the other imports, so that an early Ctrl-C gives no traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from nas.errors import ConfigError, NasError, StoreError, describe_error, one_line
from nas.report.comparison.logs import is_comparison
from nas.report.comparison.report import write_comparison
from nas.report.output import Written, show
from nas.report.report import Report, report_folders, write_report
from nas.signals import command_streams, was_interrupted
from nas.study import AUDIT, folder_at, manifest_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns its exit status.

    0; 1 with a line for each output that is missing; 2 with one line for a user's mistake.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with command_streams():
        try:
            return _carried_out(arguments)
        except NasError as error:
            show(describe_error(error, 4000), sys.stderr)
            return 2
        except BaseException as error:
            if was_interrupted(error):
                return 130
            raise


class _Parser(argparse.ArgumentParser):
    """Refuses in one line."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"command: {message}; python -m nas.report --help shows how it is written")


def _carried_out(arguments: Sequence[str] | None) -> int:
    parser = _Parser(prog="python -m nas.report", description="Rebuilds a report from event logs.")
    parser.add_argument(
        "directories", nargs="+", type=Path, metavar="DIR", help="folder of a run, of runs or of a comparison"
    )
    parser.add_argument("--output", type=Path, help="default: DIR itself, for several runs ./report")
    given = parser.parse_args(arguments)
    for folder in (*given.directories, *([] if given.output is None else [given.output])):
        folder_at("command", str(folder))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        report = _written(given.directories, given.output)
    for warning in caught:
        show(f"note: {one_line(warning.message, 2000)}", sys.stderr)
    report.show()
    return report.status


def _written(folders: Sequence[Path], output: Path | None) -> Report | Written:
    """What was written; a comparison of searchers has a report of its own kind."""
    for folder in folders:
        if (folder / AUDIT).is_file():
            raise StoreError(
                f"{folder}: expected runs, got an audit; python -m nas.run resume={folder} reports it again"
            )
    if len(folders) == 1 and is_comparison(folders[0]):
        return write_comparison(folders[0], output)
    runs = [run for folder in folders for run in report_folders(folder)]
    return write_report(runs, output or _own_place(folders, runs))


def _own_place(directories: Sequence[Path], runs: Sequence[Path]) -> Path:
    """The folder of the only run or the only study of protocols; ./report for several."""
    if len(runs) == 1:
        return runs[0]
    return directories[0] if len(directories) == 1 and manifest_of(directories[0]) else Path("report")


if __name__ == "__main__":
    sys.exit(main())
