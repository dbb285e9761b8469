"""A search space from a text file: the expression as `print(space)` shows it."""

from __future__ import annotations

from pathlib import Path

from nas.errors import ConfigError, one_line
from nas.space import SearchSpace


def read_space(path: str) -> SearchSpace:
    """The space whose expression over the standard network vocabulary stands in the file.

    Raises:
        ConfigError: the file cannot be read.
        SpaceError: its text is no expression of the language.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"space.path: a text file is expected at {one_line(repr(path))}; {one_line(error)}"
        ) from None
    return SearchSpace(Path(path).stem, text)
