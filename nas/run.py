"""python -m nas.run +experiment=NAME [key=value ...]: searches, compares with random, reports.

The one place that reads Hydra's configuration and that knows all groups of components.
"""

from __future__ import annotations

import atexit
import difflib
import os
import re
import shutil
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nas.config import Config
from nas.errors import ConfigError, NasError, StoreError, one_line
from nas.faults import notes_of

ConfigStore.instance().store(name="schema", node=Config)

EXPERIMENTS = "pkg://experiments"


@hydra.main(version_base="1.3", config_path=EXPERIMENTS, config_name="config")
def _start(cfg: DictConfig) -> None:
    try:
        with _noted_warnings():
            status = _carry_out(_to_config(cfg))
    except (NasError, OmegaConfBaseException) as error:  # here, as Hydra prints a banner and passes it on
        _fail(error)
    if status:
        sys.exit(status)


@contextmanager
def _noted_warnings() -> Iterator[None]:
    """Shows each warning once, as one line without the place in the source."""
    shown: set[str] = set()

    def note(message: Warning | str, *_: Any, **__: Any) -> None:
        line = one_line(message, 2000)
        if line not in shown:
            shown.add(line)
            print(f"note: {line}", file=sys.stderr, flush=True)

    with warnings.catch_warnings():
        warnings.showwarning = note
        yield


def _carry_out(config: Config) -> int:
    if config.resume is not None and not config.name:
        config = _logged_config(config)
    if not config.name:
        raise ConfigError(
            f"experiment: one is expected, none came; add +experiment=NAME, one of {_experiments()}, "
            "or name=NAME for a composition of your own"
        )
    from nas.session import carry_out

    settings = HydraConfig.get()
    if config.compare.searchers:
        _refuse_searcher(settings.overrides.task)
    return carry_out(config, job=settings.job.num if settings.mode is RunMode.MULTIRUN else None)


def _refuse_searcher(overrides: Sequence[str]) -> None:
    """Says what a comparison would ignore."""
    for item in overrides:
        if re.match(r"[+~]*searcher[=.]", item):
            raise ConfigError(
                f"searcher: a comparison has several, in compare.searchers; {item} came; "
                "+searcher@compare.searchers.LABEL=OPTION adds one, compare.only=[LABEL] chooses"
            )


def _to_config(cfg: DictConfig) -> Config:
    """The composed configuration as the typed schema."""
    for key in _unknown_keys(cfg, Config()):
        raise ConfigError(_unknown_key(key))
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        raise ConfigError(f"{missing[0]}: a value is expected; add {missing[0]}=VALUE to the command")
    config = OmegaConf.to_object(cfg)
    assert isinstance(config, Config)
    return config


def _logged_config(given: Config) -> Config:
    """The configuration of the run to resume; what the command gives beyond the resume folder is refused."""
    from nas.folder import logged_config

    assert given.resume is not None
    beside = ("resume=", "accept=", "trust=")
    overrides = [item for item in HydraConfig.get().overrides.task if not item.startswith(beside)]
    if overrides:
        raise ConfigError(
            f"resume: the folder alone or the run's whole command is expected; {overrides[0]} came with it"
        )
    logged = logged_config(Path(given.resume).expanduser(), trust=given.trust)
    own = {"resume": given.resume, "accept": given.accept, "trust": given.trust}
    try:
        merged = OmegaConf.merge(OmegaConf.structured(Config), logged, own)
        return OmegaConf.to_object(merged)  # type: ignore[return-value]
    except (OmegaConfBaseException, ValueError, TypeError, AttributeError, KeyError) as error:
        raise StoreError(
            f"{given.resume}: its log holds no configuration of this version; {_line(error)}"
        ) from None


def _unknown_keys(cfg: DictConfig, schema: Any, prefix: str = "") -> Iterator[str]:
    """Keys that the schema does not have; "+key=value" adds them past the schema's own check."""
    known = {field.name: getattr(schema, field.name) for field in fields(schema)}
    for key in cfg:
        if key not in known:
            yield f"{prefix}{key}"
        elif is_dataclass(known[key]):
            yield from _unknown_keys(cfg[key], known[key], f"{prefix}{key}.")


def _experiments() -> str:
    from importlib.resources import files

    found = [item.name for item in (files("experiments") / "experiment").iterdir()]
    return ", ".join(sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml")))


def _line(error: BaseException) -> str:
    """An error of the composition as one line, in this program's words where it is a frequent one."""
    text = " ".join(str(error).split("Config search path:")[0].split())
    if key := re.match(r"Could not override '([^']+)'", text):
        return _unknown_key(key[1])
    if isinstance(error.__cause__, OmegaConfBaseException):
        return _line(error.__cause__)
    if option := re.search(r"Could not find '([^']+)/([^'/]*)' Available options in '\1': (.*)", text):
        return _unknown_option(option[1], option[2], option[3].split())
    place = re.search(r"full_key: (\S+)", text)
    text = re.sub(r" ?(full_key:|object_type=|reference_type=).*", "", text)
    for pattern, meaning in _MEANINGS.items():
        text = re.sub(pattern, meaning, text)
    return f"{place[1]}: {text}" if place else text


_MEANINGS = {
    r"Value (.*) of type '\w+' could not be converted to Integer": r"a whole number is expected, \1 came",
    r"Value (.*) of type '\w+' could not be converted to Float": r"a number is expected, \1 came",
    r"Value (.*) is not a valid bool .*": r"true or false is expected, \1 came",
    r"field .* is not Optional": "a value is expected, null came",
    r"Invalid type assigned: (\w+) .* value: (.*)": r"a section of keys is expected, \2 came",
    r"Config group override must be .* Got (\w+)": r"a group expects an option's name, a \1 came; see --help",
    r" See https://hydra.cc\S* for details": "; write KEY=VALUE",
}


def _unknown_option(group: str, name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"{group}: one of {', '.join(known)} is expected, {name or 'none'} came{hint}"


def _unknown_key(key: str) -> str:
    section = key.split(".")[0]
    if section == "experiment":
        return f"experiment: an experiment is added with a plus: +experiment=NAME, one of {_experiments()}"
    if key.startswith("compare.searchers."):
        return f"{key}: not set by the chosen searcher; +{key}=VALUE adds it, if the component has it"
    if isinstance(getattr(Config(), section, None), dict):
        return f"{key}: not set by the chosen {section}; +{key}=VALUE adds it, if the component has it"
    known = [
        f"{name}.{inner}" if is_dataclass(value) else name
        for name, value in vars(Config()).items()
        for inner in (vars(value) if is_dataclass(value) else ("",))
    ]
    close = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {close[0]}?; " if close else ""
    return f"{key}: no such key; {hint}keys: {', '.join(known)}"


def main() -> None:
    """Runs the command line; one line and status 2 for a user's mistake."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # lets errors through to this function instead of printing them
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # components of one's own, given as module:attribute
    OmegaConf.register_new_resolver("scratch", _scratch, replace=True)
    try:
        _start()
    except (HydraException, OmegaConfBaseException) as error:
        _fail(error)
    except ValueError as error:
        if f"{os.sep}hydra{os.sep}" not in traceback.extract_tb(error.__traceback__)[-1].filename:
            raise
        _fail(error)  # its way of refusing some commands
    except KeyboardInterrupt:
        sys.exit(130)


@cache
def _scratch() -> str:
    """A folder for what Hydra writes of a multirun, as it cannot be kept from it; removed at the end."""
    folder = tempfile.mkdtemp(prefix="nas-multirun-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _fail(error: Exception) -> NoReturn:
    kind, text = (
        ("ConfigError", _line(error)) if not isinstance(error, NasError) else (type(error).__name__, error)
    )
    for note in notes_of(error):  # the traceback of what code of the user's own raised
        print(note, file=sys.stderr)
    print(" ".join(f"{kind}: {text}".split()), file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
