"""A search space from a text file: the expression as `print(space)` shows it."""

from __future__ import annotations

from pathlib import Path

from nas.errors import ConfigError, SpaceError, one_line, quoted
from nas.parser import MAX_TEXT
from nas.space import SearchSpace


def read_space(path: str) -> SearchSpace:
    """The space whose expression over the standard network vocabulary stands in the file.

    Raises:
        ConfigError: the file cannot be read.
        SpaceError: its text is no expression of the language; with the file's name.
    """
    try:
        if Path(path).exists() and not Path(path).is_file():
            raise OSError("it is a folder or a device")  # reading a pipe would wait for ever
        with open(path, encoding="utf-8-sig") as file:  # some editors begin a file with a mark
            text = file.read(MAX_TEXT + 1)
    except (OSError, ValueError) as error:
        reason = "it is not in UTF-8" if isinstance(error, UnicodeDecodeError) else one_line(error)
        raise ConfigError(
            f"space.path: a text file is expected at {quoted(path, 200)}; {reason}; "
            "write there what print(space) shows"
        ) from None
    try:
        return SearchSpace(Path(path).stem, text)
    except SpaceError as error:
        raise SpaceError(f"space.path: {quoted(path, 200)}: {error}") from None
