"""Registries of spaces, searchers, evaluators and executors: a name, a dotted target, one line on each."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nas.callables import load
from nas.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Entry:
    """One registered name.

    Attributes:
        name: as users write it.
        target: "module:attribute", imported on first use only, so that listing costs nothing.
        summary: one line, with the source.
        outline: "module:attribute" of a function of the same options that refuses bad values before anything
            heavy is loaded, and returns what is known by them; None for none.
        listed: whether it stands by itself; not what a comparison or an audit makes of others, nor what has
            no contents before it is given a file.
    """

    name: str
    target: str
    summary: str
    outline: str | None = None
    listed: bool = True

    def load(self) -> Any:
        """The registered object itself."""
        return load(self.target)


class Registry:
    """Names of one kind of thing; registering a thing makes the contract suites test it."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry] = {}

    def register(
        self, name: str, target: str, summary: str, outline: str | None = None, *, listed: bool = True
    ) -> None:
        """Adds `name`, which logs hold, so that it stays for good; raises ConfigError if it is taken."""
        if name in self._entries:
            raise ConfigError(f'{self.kind} "{name}" is registered already, as {self._entries[name].target}')
        self._entries[name] = Entry(name, target, summary, outline, listed)

    def names(self) -> tuple[str, ...]:
        """All names that are listed, sorted."""
        return tuple(sorted(name for name, entry in self._entries.items() if entry.listed))

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries[name] for name in self.names())

    def outline(self, section: Mapping[str, Any]) -> Any:
        """What is known by the options of a section before its component is loaded; None where nothing is.

        Raises:
            ConfigError: an unknown option or a bad value.
        """
        entry = self._entries.get(str(section.get("name")))
        if entry is None or entry.outline is None:
            return None
        return load(entry.outline)(**{str(key): value for key, value in section.items() if key != "name"})

    def get(self, name: str) -> Any:
        """The object registered under `name`; raises ConfigError listing the names if there is none."""
        if name not in self._entries:
            close = difflib.get_close_matches(name, self.names(), n=1)
            hint = f'; did you mean "{close[0]}"?' if close else ""
            listed = ", ".join(self.names())
            raise ConfigError(f'{self.kind} "{name}" is not registered; registered: {listed}{hint}')
        return self._entries[name].load()
