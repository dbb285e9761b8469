"""Stored texts that tests hold the code to: `check` compares, and `make golden` stores anew."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

STORES = bool(os.environ.get("STORE_GOLDEN"))  # set by `make golden`
ROOT = Path(__file__).resolve().parents[2]
AROUND = 60  # characters of a line shown before its first difference
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
    before, now = (text.decode("utf-8").splitlines(keepends=True) for text in (stored, content))
    pairs = zip([*before, ""], [*now, ""], strict=False)
    line, (was, got) = next((n, pair) for n, pair in enumerate(pairs, 1) if pair[0] != pair[1])
    column = next((n for n, (a, b) in enumerate(zip(was, got, strict=False)) if a != b), 0)
    start = max(0, column - AROUND)
    was, got = (repr(each[start : start + 3 * AROUND]) if each else "the end" for each in (was, got))
    raise AssertionError(
        f"{name}, line {line}, from column {start + 1}:\nstored {was}\ngot    {got}\n{REMEDY}"
    )


def remove_others(folder: Path, names: set[str]) -> None:
    """Fails if files of a folder are none of these; with STORE_GOLDEN removes them."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.relative_to(folder).as_posix() not in names:
            assert STORES, f"{path.relative_to(ROOT)}: stored, but nothing writes it any more; {REMEDY}"
            path.unlink()
