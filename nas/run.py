"""python -m nas.run +experiment=NAME [key=value ...]: searches, compares with random, reports.

The one place that reads Hydra's configuration and that knows all groups of components.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from dataclasses import is_dataclass
from datetime import datetime
from pathlib import Path
from typing import NoReturn

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nas.config import Config
from nas.errors import ConfigError, NasError, StoreError

ConfigStore.instance().store(name="schema", node=Config)

EXPERIMENTS = "pkg://experiments"


@hydra.main(version_base="1.3", config_path=EXPERIMENTS, config_name="config")
def _start(cfg: DictConfig) -> None:
    try:
        status = _carry_out(_to_config(cfg))
    except NasError as error:  # here, because Hydra prints a banner before it passes an exception on
        _fail(f"{type(error).__name__}: {error}")
    if status:
        sys.exit(status)


def _carry_out(config: Config) -> int:
    if config.resume is not None and not config.name:
        config = _logged_config(config)
    if not config.name:
        raise ConfigError(
            f"experiment: one is expected, none came; add +experiment=NAME, one of {_experiments()}, "
            "or name=NAME for a composition of your own"
        )
    from nas.session import carry_out

    return carry_out(config, run_directory(config))


def _to_config(cfg: DictConfig) -> Config:
    """The composed configuration as the typed schema."""
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        raise ConfigError(f"{missing[0]}: a value is expected; add {missing[0]}=VALUE to the command")
    config = OmegaConf.to_object(cfg)
    assert isinstance(config, Config)
    return config


def _logged_config(given: Config) -> Config:
    """The configuration of the run to resume; what the command gives beyond the resume folder is refused."""
    from nas.store import read_study

    assert given.resume is not None
    overrides = [item for item in HydraConfig.get().overrides.task if not item.startswith("resume=")]
    if overrides:
        raise ConfigError(
            f"resume: the folder alone or the run's whole command is expected; {overrides[0]} came with it"
        )
    logged = read_study(Path(given.resume)).opened.get("config") or {}
    try:
        merged = OmegaConf.merge(OmegaConf.structured(Config), logged, {"resume": given.resume})
    except OmegaConfBaseException as error:
        raise StoreError(
            f"{given.resume}: its log holds no configuration of this version; {_line(error)}"
        ) from None
    return OmegaConf.to_object(merged)  # type: ignore[return-value]


def run_directory(config: Config) -> Path:
    """The folder of the run: the one to resume, the one asked for, or runs/<experiment>/<time>."""
    if config.resume is not None:
        folder = Path(config.resume)
        if not (folder / "events.jsonl").is_file():
            raise ConfigError(f"resume: a run's folder with events.jsonl is expected, {folder} has none")
        return folder
    if config.run.dir is not None:
        folder = Path(config.run.dir)
        if (folder / "events.jsonl").exists():
            raise ConfigError(f"run.dir: {folder} holds a run already; resume={folder} continues it")
        return folder
    base = Path("runs") / config.name / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    folder, number = base, 1
    while folder.exists():
        number += 1
        folder = base.with_name(f"{base.name}_{number}")
    return folder


def _experiments() -> str:
    from importlib.resources import files

    found = [item.name for item in (files("experiments") / "experiment").iterdir()]
    return ", ".join(sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml")))


def _line(error: BaseException) -> str:
    """An error of the composition as one line, without the library's internal hints."""
    unknown = re.match(r"Could not override '([^']+)'", str(error))
    if unknown:
        return _unknown_key(unknown[1])
    internal = r"\s*(full_key:|object_type=|reference_type=|Config search path:).*"
    text = re.sub(internal, "", str(error), flags=re.DOTALL)
    if isinstance(error.__cause__, OmegaConfBaseException):
        text += f": {_line(error.__cause__)}"
    return " ".join(text.split())


def _unknown_key(key: str) -> str:
    section = key.split(".")[0]
    if section == "experiment":
        return f"experiment: an experiment is added with a plus: +experiment=NAME, one of {_experiments()}"
    if isinstance(getattr(Config(), section, None), dict):
        return f"{key}: not set by the chosen {section}; +{key}=VALUE adds it, if the component has it"
    known = [
        f"{name}.{inner}" if is_dataclass(value) else name
        for name, value in vars(Config()).items()
        for inner in (vars(value) if is_dataclass(value) else ("",))
    ]
    close = difflib.get_close_matches(key, known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"{key}: no such key; keys: {', '.join(known)}{hint}"


def main() -> None:
    """Runs the command line; one line and status 2 for a user's mistake."""
    os.environ["HYDRA_FULL_ERROR"] = "1"  # lets errors through to this function instead of printing them
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # components of one's own, given as module:attribute
    try:
        _start()
    except (HydraException, OmegaConfBaseException) as error:
        _fail(f"ConfigError: {_line(error)}")
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(message: str) -> NoReturn:
    print(" ".join(message.split()), file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
