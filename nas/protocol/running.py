"""A study of protocols from its configuration to its report: one study for each variant, one after the other.

protocol.json                   the configuration; written first
VARIANT/events.jsonl            one study each, an ordinary run that can be resumed by itself
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from nas.config import Config, resolved
from nas.errors import EvaluationError, NasError
from nas.eventlog import FILE_NAME, plain
from nas.folder import has_trials
from nas.protocol.variants import Variant, variants_of
from nas.provenance import versions
from nas.session import build_executor, build_space, check_options, compose, make_observers, make_study
from nas.store import PROTOCOL
from nas.study import Study
from nas.timed import write_json

T = TypeVar("T")
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Protocols:
    """A study of protocols that can begin; see `nas.kinds.Execution`.

    Attributes:
        config: as composed.
        variants: in order.
    """

    config: Config
    variants: Sequence[Variant]

    def check(self, folder: Path) -> None:
        for variant in self.variants:
            if (folder / variant.name / FILE_NAME).exists():
                make_study(variant.config, _composed(variant, compose), folder / variant.name).check()

    def preview(self) -> str:
        from nas.preview import preview_protocol

        return preview_protocol(self.config, {each.name: _composed(each, compose) for each in self.variants})

    def run(self, folder: Path) -> int:
        """Runs or continues all variants; the exit status: 0, or 130 after a signal."""
        executor = build_executor(self.variants[0].config)
        held = getattr(executor, "held", nullcontext)  # over all variants, if it takes a while to start
        with held():
            return _run(self.config, self.variants, folder)


def prepare_protocol(config: Config) -> Protocols:
    """Checks and builds every variant once.

    Args:
        config: with variants in `protocol`.

    Raises:
        NasError: one line for the first thing that is wrong; nothing is started or written then.
    """
    variants = variants_of(config, build_space(config.space))
    for variant in variants:
        _composed(variant, check_options)  # before the data of any are read
    for variant in variants:
        _composed(variant, compose)  # and let go of, as each holds its data
    return Protocols(config, variants)


def _composed(variant: Variant, composing: Callable[[Config], T]) -> T:
    """What is composed of the variant; its mistakes are those of its place in the configuration."""
    try:
        return composing(variant.config)
    except NasError as error:
        raise type(error)(f"protocol.variants.{variant.name}: {error}") from error


class _Halt:
    """Stops the study that runs, and lets none begin after it."""

    def __init__(self) -> None:
        self.called = False
        self.study: Study | None = None

    def __call__(self) -> None:
        self.called = True
        print("stopping; once more to stop without a report", file=sys.stderr, flush=True)
        if self.study is not None:
            self.study.stop()


def _run(config: Config, variants: Sequence[Variant], folder: Path) -> int:
    from nas.signals import stop_on_signals

    manifest = {"format": FORMAT, "name": config.name, "versions": dict(versions())}
    write_json(folder / PROTOCOL, {**manifest, "config": plain(resolved(config))})
    halt = _Halt()
    with stop_on_signals(halt):
        for number, variant in enumerate(variants, start=1):
            if halt.called:
                break
            print(f"variant {variant.name} ({number} of {len(variants)})", flush=True)
            _run_variant(config, variant, folder, halt)
    status = _report(folder) if not halt.called or has_trials(folder) else 0
    if halt.called:
        print(f"stopped early; the same command with resume={folder} continues")
    return 130 if halt.called else status


def _run_variant(config: Config, variant: Variant, folder: Path, halt: _Halt) -> None:
    components = _composed(variant, compose)
    own = folder / variant.name
    own.mkdir(exist_ok=True)
    study = make_study(variant.config, components, own, make_observers(config, components))
    halt.study = study
    try:
        study.run()
    except EvaluationError:  # of the set-up, found out by trials: what is done is reported first
        if has_trials(folder):
            _report(folder)
        raise
    halt.called |= not study.finished


def _report(folder: Path) -> int:
    """Writes and prints it; 0, or 1 if some output of it is missing."""
    from nas.report import report_folders, write_report

    report = write_report(report_folders(folder), folder)
    report.show()
    return report.status
