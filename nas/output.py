"""Files of a report: written as a whole or not at all, the same content the same bytes."""

from __future__ import annotations

import contextlib
import os
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FIGURE_DPI = 200
MAX_PIXELS = 6000  # a side, of a bitmap


def image(figure: Figure, kind: str) -> bytes:
    """The figure's file; the same figure gives the same bytes."""
    import matplotlib as mpl

    undated: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    dpi = min(FIGURE_DPI, MAX_PIXELS / max(figure.get_size_inches()))
    content = BytesIO()
    with mpl.rc_context({"svg.hashsalt": "nas"}):
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
