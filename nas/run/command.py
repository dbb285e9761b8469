"""The command line: its words, and the configuration that Hydra composes from them.

The only module that reads Hydra's configuration. Hydra composes; this project parses the command line, runs
the jobs of `-m` and words the messages.
"""

from __future__ import annotations

import difflib
import itertools
import re
import shlex
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from string import Template
from typing import Any

from hydra import compose
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, Quote, QuotedString
from hydra.errors import HydraException
from hydra.types import RunMode
from hydra.version import setbase
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from nas.errors import ConfigError, NasError, StoreError, nearest, one_line, refusal
from nas.run.config import DECIDES, Config, kinds_of
from nas.run.folder import logged_config, resumed_folder
from nas.study import folder_at

ConfigStore.instance().store(name="schema", node=Config)

_FLAGS = {"-h": "--help", "-m": "--multirun", "-c": "--cfg", "-p": "--package"}
_FLAGS |= {"-cd": "--config-dir", "-cn": "--config-name"}
_SWITCHES = ("--help", "--multirun", "--resolve", "--version")
_VALUED = ("--cfg", "--package", "--config-dir", "--config-name")
_WITH_RESUME = ("resume", "accept", "trust", "dry_run")  # the only keys of a command that resumes by a folder
_LONG = 200  # characters of a value that a message repeats
_MAX_JOBS = 10_000  # of one multirun


@dataclass(frozen=True, slots=True)
class Command:
    """The words of a command.

    Attributes:
        switches: those of `_SWITCHES` that were given.
        values: of those of `_VALUED` that were given.
        overrides: the other words, KEY=VALUE or ~KEY.
    """

    switches: frozenset[str]
    values: Mapping[str, str]
    overrides: tuple[str, ...]

    @property
    def multirun(self) -> bool:
        return "--multirun" in self.switches


def read_command(words: Sequence[str]) -> Command:
    switches: set[str] = set()
    values: dict[str, str] = {}
    overrides: list[str] = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("-"):
            overrides.append(word)
            continue
        flag, equals, value = word.partition("=")
        flag = _FLAGS.get(flag, flag)
        if flag in _SWITCHES and not equals:
            switches.add(flag)
        elif flag in _VALUED:
            found = value if equals else next(rest, "")
            if not found or flag in values:
                raise ConfigError(refusal(flag, "one value", "two" if found else "none", "give one"))
            values[flag] = found
        else:
            known = (*_FLAGS, *_SWITCHES, *_VALUED)
            close = difflib.get_close_matches(flag, [*_SWITCHES, *_VALUED], n=1, cutoff=0.7)
            hint = f"did you mean {close[0]}?" if close else "see --help"
            raise ConfigError(refusal("command", f"KEY=VALUE or one of {', '.join(known)}", word, hint))
    if values.get("--cfg", "job") != "job":
        raise ConfigError(refusal("--cfg", "job", values["--cfg"], "--cfg job shows the composition"))
    if "--multirun" in switches and "--cfg" in values:
        raise ConfigError(refusal("--cfg", "a single composition", "it with --multirun", "leave one out"))
    return Command(frozenset(switches), values, tuple(overrides))


@contextmanager
def composition(folder: str | None) -> Iterator[None]:
    """Hydra, ready to compose from the project's configurations and those in a folder of the user's."""
    path = create_config_search_path("pkg://nas.experiments")
    if folder is not None:
        own = folder_at("--config-dir", folder).absolute()
        if not own.is_dir():
            raise ConfigError(refusal("--config-dir", "a folder", folder, "give another"))
        path.prepend("command line", f"file://{own}", anchor="schema")
    setbase("1.3")
    GlobalHydra.instance().clear()
    Hydra.create_main_hydra2(task_name="run", config_search_path=path)
    try:
        yield
    finally:
        GlobalHydra.instance().clear()


@contextmanager
def in_one_line() -> Iterator[None]:
    """Within, every exception is a mistake in the composed files or words, as nothing else runs."""
    try:
        yield
    except NasError:
        raise
    except Exception as error:
        raise ConfigError(_line(error)) from error


def job_config(composer: Composer, words: Sequence[str]) -> Config:
    """The configuration of one run, taken from its log if only that is named."""
    with in_one_line():
        config = to_config(composer.compose(words))
    if config.resume is not None and not config.name:
        config = _logged_config(config, words)
    if not config.name:
        remedy = f"add +experiment=NAME, one of {_experiments()}, or name=NAME for another composition"
        raise ConfigError(refusal("experiment", "an experiment", "none", remedy))
    _refuse_ignored(config, words)
    return config


def _refuse_ignored(config: Config, words: Sequence[str]) -> None:
    """Refuses keys that a comparison has in another section."""
    if not config.compare.searchers:
        return
    for word, key in _keys_of(words):
        if key == "seed":
            expected = "compare.first_seed, as a comparison has several seeds"
            raise ConfigError(refusal("seed", expected, word, "set compare.first_seed=N to begin with N"))
        if key.partition(".")[0] == "searcher":
            expected = "compare.searchers, as a comparison has several searchers"
            adding = "+searcher@compare.searchers.LABEL=OPTION to add one"
            remedy = f"write {adding}, or compare.only=[LABEL] to choose"
            raise ConfigError(refusal("searcher", expected, word, remedy))


def ignored_words(config: Config, words: Sequence[str]) -> Iterator[str]:
    """One line for each word of the command that has no effect in this kind of run."""
    kind = kinds_of(config)[0]
    for word, key in _keys_of(words):
        unused = key.partition(".")[0] in kind.unused and key not in kind.used
        if unused and not key.startswith(DECIDES):  # two of these are refused later
            yield refusal(key, f"a key of {kind.name}", f"{one_line(word)}, which it ignores", "leave it out")
    if config.resume is not None and config.run.dir not in (None, config.resume):
        got = f"{config.run.dir}, which is ignored"
        yield refusal("run.dir", f"{config.resume}, the folder of resume", got, "leave it out")


def _keys_of(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each word, and the key of the composition that it sets or removes."""
    for word in words:
        key, _, package = word.partition("=")[0].lstrip("+~").partition("@")
        yield word, package or key


class Composer:
    """Composes configurations from words KEY=VALUE, each parsed and checked before Hydra gets it.

    Keys of the schema and options of components need no plus: unknown ones are refused later, where all names
    are known. A value that Hydra's grammar cannot read is a text, unless it looks like another value.

    Args:
        command: of which the configurations are composed.
    """

    def __init__(self, command: Command) -> None:
        self.command = command
        loader = GlobalHydra.instance().config_loader()
        self._loader: ConfigLoader = loader
        self._parser = OverridesParser.create(config_loader=loader)
        names = [name for name in loader.list_groups("") if name != "hydra"]
        self.groups = {name: loader.get_group_options(name) for name in sorted(names)}
        self.help = ""
        _check_once({word: self._read(word) for word in command.overrides}, self.groups)

    def compose(self, words: Sequence[str]) -> DictConfig:
        """The composition of these words, without Hydra's own section; raises ConfigError in one line."""
        overrides = [self._read(word) for word in dict.fromkeys(words)]
        name = self.command.values.get("--config-name", "config")
        options = [_option(override) for override in overrides if self._is_group(override)]
        cfg = compose(name, options, return_hydra_config=True)
        self._check_lists(name, options)
        self.help = cfg.hydra.help.template
        OmegaConf.set_struct(cfg, False)
        del cfg["hydra"]
        for override in overrides:
            if not self._is_group(override):
                _apply(cfg, override)
        return cfg

    def _check_lists(self, name: str, options: list[str]) -> None:
        """Refuses a list for a group in a file, of which Hydra would silently take the last."""
        chosen: dict[str, list[str]] = {}
        for default in self._loader.compute_defaults_list(name, options, RunMode.RUN).defaults:
            group, _, option = (default.config_path or "").rpartition("/")
            includes = (default.parent or "").rpartition("/")[0] == group  # another option of the group
            if group in self.groups and default.override_key is None and not includes:
                chosen.setdefault(group, []).append(option)
        for group, names in chosen.items():
            if len(names) > 1:
                raise _several(group, names)

    def jobs(self) -> list[tuple[str, list[str]]]:
        """The runs of a multirun: what distinguishes each, and its words."""
        choices: list[list[tuple[str, str]]] = []
        overrides = [self._read(word) for word in self.command.overrides]
        for override in overrides:
            swept = self._swept(override) if override.is_sweep_override() else None
            word = str(override.input_line)
            choices.append(
                [("", word)] if swept is None else [(re.sub(r"\\(.)", r"\1", each), each) for each in swept]
            )
        count = 1
        for words in choices:
            count *= len(words)
        if count > _MAX_JOBS:
            remedy = "give fewer values"
            raise ConfigError(refusal("--multirun", f"at most {_MAX_JOBS:,} runs", f"{count:,}", remedy))
        return [
            (" ".join(filter(None, (label for label, _ in chosen))), [word for _, word in chosen])
            for chosen in itertools.product(*choices)
        ]

    def _read(self, word: str) -> Override:
        """One word as an override with the intended value; raises ConfigError with a correct spelling."""
        key, equals, value = word.partition("=")
        name = key.lstrip("+~")
        if not name or (not equals and not key.startswith("~")):
            raise ConfigError(refusal("command", "KEY=VALUE", repr(word), "see --help"))
        if re.match(r"hydra\b", name) or re.search(r"@hydra\b", name):
            raise ConfigError(_unknown_key(name))
        try:
            override = self._parse(word)
        except (HydraException, ValueError, RecursionError) as error:
            override = self._as_text(key, value, error)
        if name in _TEXTS and isinstance(override.value(), int | float):  # 007, 1e3, true are texts here
            override = self._parse(f"{key}={_quoted(value.strip())}")
        if override.is_delete() and name in (*_KEYS, *_SECTIONS) and name not in self.groups:
            expected, remedy = "a value, as every run has one", f"set {name}=VALUE"
            raise ConfigError(refusal(name, expected, word, remedy))
        found = override.value()
        if isinstance(found, list) and self._is_group(override):
            raise _several(override.key_or_group, found)
        if override.is_sweep_override() and not self.command.multirun:
            if isinstance(found, ChoiceSweep) and self._is_group(override):
                raise _several(override.key_or_group, found.list)
            raise _sweep_refused(override)
        is_option = override.is_delete() or override.is_sweep_override() or isinstance(found, str)
        if self._is_group(override) and not (is_option and re.match(r"(?![./])", str(found or ""))):
            group = override.key_or_group
            raise ConfigError(_unknown_option(group, value, self.groups.get(group, [])))
        return override

    def _parse(self, word: str) -> Override:
        override = self._parser.parse_rule(word, "override")
        assert isinstance(override, Override)
        override.config_loader = self._loader
        return override

    def _as_text(self, key: str, value: str, error: Exception) -> Override:
        """The value as a text, unless it looks like another value, such as a list or a sweep."""
        plain = not re.match(r"\s*[\[{'\"]|.*\$\{", value, re.DOTALL)
        if plain and not (self.command.multirun and "," in value):
            try:
                return self._parse(f"{key}={_quoted(value)}")
            except (HydraException, ValueError) as again:
                error = again
        try:
            self._parse(f"{key}={_quoted(value)}")
        except (HydraException, ValueError):
            got = f"{one_line(f'{key}={value}')}, of which {key!r} is no key"
            raise ConfigError(refusal("command", "KEY=VALUE", got, "see --help")) from None
        got, remedy = one_line(value), f"quote a text: {_for_shell(key, value)}"
        if isinstance(error, ValueError):
            got = f"{got} ({one_line(error)})"
        elif self.command.multirun and "," in value:
            remedy = f"quote a text, and each of several values likewise: {_for_shell(key, value)}"
        raise ConfigError(refusal(key, "a value that can be read", got, remedy)) from None

    def _is_group(self, override: Override) -> bool:
        name = override.key_or_group
        if override.package is not None:
            return True
        # a mapping is a section, such as that of the user's component
        return not isinstance(override.value(), dict) and ("/" in name or name in self.groups)

    def _swept(self, override: Override) -> list[str]:
        """The words that a sweep stands for."""
        key = override.get_key_element()
        step = getattr(override.value(), "step", 1)
        if not override.is_discrete_sweep() or not step:
            raise ConfigError(refusal(key, "values or a range", override.input_line, "list the values"))
        values = list(itertools.islice(override.sweep_string_iterator(), _MAX_JOBS + 1))
        if not values:
            got = f"none of {override.input_line}"
            raise ConfigError(refusal(key, "at least one value", got, "list some"))
        return [f"{key}={value}" for value in values]


def _option(override: Override) -> str:
    """The choice of a group's option in Hydra's syntax."""
    word = str(override.input_line)
    added = override.package is not None or override.key_or_group == "experiment"
    return f"+{word.lstrip('+')}" if added and word.startswith("+") else word.lstrip("+")


def _apply(cfg: DictConfig, override: Override) -> None:
    """Sets or removes one key; sections of components are merged if they have the same name."""
    key: str = override.key_or_group
    value: Any = override.value()
    before = OmegaConf.select(cfg, key, throw_on_missing=False, throw_on_resolution_failure=False)
    if override.is_delete():
        parent, _, last = key.rpartition(".")
        section: Any = OmegaConf.select(cfg, parent) if parent else cfg
        if not isinstance(section, DictConfig) or last not in section:
            raise ConfigError(refusal(key, "a key that can be removed", "none", "see --cfg job"))
        del section[last]
        return
    merge = isinstance(value, dict) and isinstance(before, DictConfig)
    if merge and "name" in value:
        merge = value["name"] == before.get("name")
    OmegaConf.update(cfg, key, value, merge=merge, force_add=True)


def _quoted(text: str) -> str:
    """A text as a quoted value of Hydra's grammar."""
    return QuotedString(text, Quote.double).with_quotes()


def _for_shell(key: str, text: str) -> str:
    """KEY=TEXT in a shell's quotes."""
    return shlex.quote(f"{key}={_quoted(text if len(text) <= _LONG else 'TEXT')}")


def _check_once(overrides: Mapping[str, Override], groups: Collection[str]) -> None:
    """Refuses two options of one group, and notes which of two values of another key counts."""
    seen: dict[str, str] = {}
    for word, override in overrides.items():
        if override.is_delete():
            continue
        name = override.get_key_element().lstrip("+")
        for key in _keys_set(name, override.value()):
            before = seen.get(key, word)
            if before != word and key in groups:
                raise _several(key, [each.partition("=")[2] for each in (before, word)])
            if before != word:
                print(
                    f"note: {key}: {one_line(before)} is overridden by the later {one_line(word)}",
                    file=sys.stderr,
                )
            seen[key] = word


def _keys_set(key: str, value: Any) -> Iterator[str]:
    """The keys that an override sets: those inside of it if it is a mapping."""
    if not isinstance(value, dict):
        yield key
        return
    for inner, deeper in value.items():
        yield from _keys_set(f"{key}.{inner}", deeper)


def _several(group: str, options: Sequence[Any]) -> ConfigError:
    """The refusal of a list for a group, of which Hydra would silently take the last."""
    listed = ",".join(map(str, options))
    plus = "+" if group == "experiment" or "@" in group else ""
    remedy = f"write -m {plus}{group}={listed} to run them one after the other" if options else "name one"
    if len(options) == 1:
        remedy = f"write {plus}{group}={listed}"
    elif group == "searcher" and options:
        each = " ".join(f"+searcher@compare.searchers.{option}={option}" for option in options)
        remedy = f"write {each} executor=inline to compare them, or {remedy.removeprefix('write ')}"
    return ConfigError(refusal(group, "one option", f"[{listed}]", remedy))


def _sweep_refused(override: Override) -> ConfigError:
    """The refusal of several values without -m."""
    key, word = override.get_key_element(), str(override.input_line)
    value = word.partition("=")[2]
    text, listed = _for_shell(key, value), shlex.quote(f"{key}=[{value}]")
    remedy = f"quote a text: {text}; bracket a list: {listed}; or add -m to run one after the other"
    return ConfigError(refusal(key, "one value", value, remedy))


def help_text(composer: Composer) -> str:
    with in_one_line():
        cfg = composer.compose(composer.command.overrides)
    groups = "\n".join(f"{group}: {', '.join(options)}" for group, options in composer.groups.items())
    return Template(composer.help).safe_substitute(
        APP_CONFIG_GROUPS=groups, CONFIG=OmegaConf.to_yaml(cfg).rstrip()
    )


def composition_text(cfg: DictConfig, command: Command) -> str:
    """The composition as YAML, or a part of it."""
    for key in _unknown_keys(cfg, Config()):
        raise ConfigError(_unknown_key(key))
    part = command.values.get("--package")
    shown = cfg if part is None else OmegaConf.select(cfg, part)
    if not OmegaConf.is_config(shown):
        raise ConfigError(refusal("--package", "a section of the composition", part, "see --cfg job"))
    return OmegaConf.to_yaml(shown, resolve="--resolve" in command.switches)


def to_config(cfg: DictConfig) -> Config:
    """The composed configuration as the typed schema."""
    for key in _unknown_keys(cfg, Config()):
        raise ConfigError(_unknown_key(key))
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        raise ConfigError(refusal(missing[0], "a value", "none", f"add {missing[0]}=VALUE to the command"))
    config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(Config), cfg))
    assert isinstance(config, Config)
    return config


def _logged_config(given: Config, words: Sequence[str]) -> Config:
    """The configuration of the run to resume; other words than those of `_WITH_RESUME` are refused."""
    assert given.resume is not None
    others = [word for word in words if word.lstrip("+").partition("=")[0] not in _WITH_RESUME]
    if others:
        expected, remedy = (
            "the folder alone or the run's whole command",
            "leave it out or give the whole command",
        )
        raise ConfigError(refusal("resume", expected, f"{others[0]} too", remedy))
    folder, _ = resumed_folder(folder_at("resume", given.resume), None)
    logged = logged_config(folder, trust=given.trust)
    here = {key: getattr(given, key) for key in _WITH_RESUME}
    try:
        merged = OmegaConf.merge(OmegaConf.structured(Config), logged, here)
        config = OmegaConf.to_object(merged)
    except (OmegaConfBaseException, ValueError, TypeError, AttributeError, KeyError) as error:
        expected, got = "a log with a configuration of this version", f"one that it refuses ({_line(error)})"
        raise StoreError(refusal(str(folder), expected, got, "give the whole command with resume")) from None
    assert isinstance(config, Config)
    return config


def _unknown_keys(cfg: DictConfig, schema: Any, prefix: str = "") -> Iterator[str]:
    """Keys that the schema does not have; "+key=value" adds them without the schema's check."""
    known = {field.name: getattr(schema, field.name) for field in fields(schema)}
    for key in cfg:
        if key not in known:
            yield f"{prefix}{key}"
        elif is_dataclass(known[key]):
            yield from _unknown_keys(cfg[key], known[key], f"{prefix}{key}.")


def _experiments() -> str:
    from importlib.resources import files

    found = [item.name for item in (files("nas.experiments") / "experiment").iterdir()]
    return ", ".join(sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml")))


def _line(error: BaseException) -> str:
    """An error of the composition as one line; frequent ones are worded as refusals."""
    if isinstance(error, RecursionError):
        expected, remedy = (
            "files nested at most some hundred levels deep",
            "look for one that includes itself",
        )
        return refusal("composition", expected, "more", remedy)
    if isinstance(error, UnicodeDecodeError):
        byte = f"{error.object[error.start]:#x}"
        return refusal("composition", "files in UTF-8", f"one with the byte {byte}", "save it as UTF-8")
    text = one_line(str(error).split("Config search path:")[0], 2000)
    if name := re.match(r"Cannot find primary config '([^']*)'", text):
        return refusal("--config-name", "config or one in --config-dir", name[1], "leave it out for config")
    if place := re.search(r' in "([^"]+)", line (\d+)', text):  # of the parser of YAML
        what = re.sub(r' ?in "[^"]+", line \d+, column \d+', "", text)
        return refusal(f"{place[1]}, line {place[2]}", "YAML", f"another text ({what})", "mend that line")
    text = re.sub(rf"'([^']{{{_LONG}}})[^']+'", r"'\1 ...'", text)
    if key := re.match(r"Could not override '([^']+)'", text):
        return _unknown_key(key[1])
    if key := re.match(r"Override (\S+?)@.* but config group '.*' does not exist", text):
        return _unknown_key(key[1].lstrip("+"))
    if isinstance(error.__cause__, OmegaConfBaseException):
        return _line(error.__cause__)
    if option := re.search(r"Could not find '([^'/]+)/([^']*)' Available options in '\1': (.*)", text):
        return _unknown_option(option[1], option[2], option[3].split())
    place = re.search(r"full_key: ([^\s=]+)(?!\S)", text)
    text = re.sub(r" ?(full_key:|object_type=|reference_type=).*", "", text)
    for pattern, meaning in _MEANINGS.items():
        text = re.sub(pattern, meaning, text)
    if re.match(r"expected .*, got [^;]*$", text):
        text += "; leave it out for the default"
    return f"{place[1]}: {text}" if place else text


_MEANINGS = {
    r"Value (.*) of type '\w+' could not be converted to Integer": r"expected a whole number, got \1",
    r"Value (.*) of type '\w+' could not be converted to Float": r"expected a number, got \1",
    r"Value (.*) is not a valid bool .*": r"expected true or false, got \1",
    r"Cannot convert '\w+' to string: '(.*)'": r"expected a text, got \1",
    r"In '(.*?)': \w+ raised while composing config: ": r"in \1.yaml: ",
    r"Key '(.*)' not in '\w+'": r"expected a key of the schema, got \1; see --help",
    r"Merge error: (\w+) is not a subclass of \w+\.": r"expected a section of keys, got a \1",
    r"Incompatible value 'None' for field of type '\w+'": "expected a value, got null",
    r"field .* is not Optional": "expected a value, got null",
    r"Invalid type assigned: (\w+) .* value: (.*)": r"expected a section of keys, got \2",
    r"Config group override must be .* Got (\w+)": r"expected the name of an option, got a \1",
    r"\w+ raised while resolving interpolation: HydraConfig was not set": "${hydra:...} has no value here",
    r"\w+ raised while resolving interpolation: ": "cannot be resolved: ",
    r"Could not delete from config. '(.*)' does not exist.*": (
        r"\1: expected a key that can be removed, got none; see --cfg job"
    ),
    r"Could not delete '(.*)'\. No match in .*": (
        r"\1: expected a key that can be removed, got none; see --cfg job"
    ),
    r"\w+ \(DictConfig\) does not support deletion": "it cannot be removed",
    r"Invalid value assigned: (\w+) is not a ListConfig.*": r"expected a list in brackets, got a \1",
    r"Cannot assign (\w+) to Dict\[.*": r"expected a section of keys, got a \1",
    r"Key (.*) \(\w+\) is incompatible with \(str\)": r"expected a name as a key, got \1",
    r"Invalid defaults list in '(.*)', .* \(got (\w+)\)": (
        r"\1.yaml: defaults: expected a list, got \2; write one option a line"
    ),
    r"DictConfig": "a section",
    r"ListConfig": "a list",
    r" ?See https?://\S*( for \w+)?": "",
    r"^(\w+Exception|\w+Error): ": "",
}


def _unknown_option(group: str, name: str, known: list[str]) -> str:
    return refusal(group, f"one of {', '.join(known)}", name or "none", nearest(name, known, "choose one"))


def _unknown_key(key: str) -> str:
    section = re.split(r"[.@]", key)[0]
    if section == "experiment":
        expected = "+experiment=NAME, as no experiment is in the composition"
        return refusal("experiment", expected, key, f"add a plus; experiments: {_experiments()}")
    if key in _KEYS:
        return refusal(key, "a group of the composition", "none", f"write +{key}=OPTION to add it")
    return refusal(key, f"one of the keys {', '.join(_KEYS)}", key, nearest(key, _KEYS, "see --help"))


def _schema_keys(schema: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Each key of the schema with its annotation."""
    for field in fields(schema):
        value = getattr(schema, field.name)
        if is_dataclass(value):
            yield from _schema_keys(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", str(field.type)


_KEYS = [key for key, _ in _schema_keys(Config())]
_SECTIONS = [name for name, value in vars(Config()).items() if is_dataclass(value)]
_TEXTS = [key for key, kind in _schema_keys(Config()) if kind in ("str", "Optional[str]")]
