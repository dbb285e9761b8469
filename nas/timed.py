"""Files beside the log of a study that are written in one step, such as the time that its searcher takes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from nas.errors import StoreError

OVERHEAD = "overhead.json"


def write_json(path: Path, data: Any) -> None:
    """Writes the file in one step, so that a reader never sees half of it.

    Raises:
        StoreError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(json.dumps(data, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise StoreError(
            f"{path}: cannot write it; {error.strerror}; free it or choose another run.dir"
        ) from error
