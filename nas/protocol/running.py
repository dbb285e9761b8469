"""A study of protocols from its configuration to its report: one study for each variant, one after the other.

protocol.json                   the configuration; written first
VARIANT/events.jsonl            one study each, an ordinary run that can be resumed by itself
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from nas.config import Config, resolved
from nas.errors import ConfigError, EvaluationError, NasError
from nas.eventlog import plain
from nas.folder import PROTOCOL, has_trials, run_folder
from nas.protocol.variants import Variant, variants_of
from nas.provenance import versions
from nas.session import Components, build_space, compose, make_observers, make_study
from nas.study import Study
from nas.timed import write_json

FORMAT = 1


def carry_out_protocol(config: Config, job: int | None = None) -> int:
    """Runs or previews the study of protocols.

    Args:
        config: with variants in `protocol`.
        job: number in a multirun.

    Returns:
        The exit status: 0, or 130 after a signal.

    Raises:
        NasError: one line for the first thing that is wrong; nothing is started or written then.
    """
    variants = variants_of(config, build_space(config.space))
    composed = {variant.name: _composed(variant) for variant in variants}
    if config.dry_run:
        from nas.preview import preview_protocol

        print(preview_protocol(config, composed))
        return 0
    executor = composed[variants[0].name].executor
    del composed  # each holds its data
    if config.resume is not None and not (Path(config.resume).expanduser() / PROTOCOL).is_file():
        raise ConfigError(
            f"resume: the folder of a study of protocols is expected, {config.resume} has no {PROTOCOL}"
        )
    held = getattr(executor, "held", nullcontext)  # over all variants, if it takes a while to start
    with run_folder(config, job) as folder, held():
        return _run(config, variants, folder)


def _composed(variant: Variant) -> Components:
    """The variant's components; its mistakes are those of its place in the configuration."""
    try:
        return compose(variant.config)
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
    components = _composed(variant)
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
