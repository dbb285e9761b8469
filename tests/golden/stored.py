"""Stored texts that tests hold the code to: `check` compares, and `make golden` stores anew."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

STORES = bool(os.environ.get("STORE_GOLDEN"))  # set by `make golden`
ROOT = Path(__file__).resolve().parents[2]
REMEDY = "if the change is meant: make golden, look at the difference, and say so in CHANGELOG.md"


def check(file: Path, found: str) -> None:
    """Fails with the file and its first line that differs from `found`; with STORE_GOLDEN writes the file.

    A file named .gz is compressed.
    """
    packed = file.suffix == ".gz"
    content = found.encode("utf-8")
    if STORES:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress(content, mtime=0) if packed else content)
        return
    name = file.relative_to(ROOT).as_posix()
    if not file.exists():
        raise AssertionError(f"{name}: not stored yet; {REMEDY}")
    stored = gzip.decompress(file.read_bytes()) if packed else file.read_bytes()
    if stored == content:
        return
    before, now = stored.decode("utf-8").splitlines(), found.splitlines()
    pairs = zip(before, now, strict=False)
    line = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(before), len(now)))
    was, got = (repr(lines[line]) if line < len(lines) else "the end" for lines in (before, now))
    if was == got:
        was, got = "other line ends", "these"
    raise AssertionError(f"{name}, line {line + 1}:\nstored {was}\ngot    {got}\n{REMEDY}")


def remove_others(folder: Path, names: set[str]) -> None:
    """Fails if files of a folder are none of these; with STORE_GOLDEN removes them."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.relative_to(folder).as_posix() not in names:
            assert STORES, f"{path.relative_to(ROOT)}: stored, but nothing writes it any more; {REMEDY}"
            path.unlink()
