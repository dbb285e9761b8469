"""Reports of stored runs, text for text as they were when they were last looked at.

`reports/NAME/stored` is a folder as a run left it in format 1 of the log, large logs compressed; these are
never written anew, so that such folders stay readable. `reports/NAME/expected` is what a report writes there,
which `make golden` writes anew; of figures it has the names.

The runs are small and made to have what tables and notes speak of: failures, answers from the cache, studies
that failed, are under way or missing. `reports/README.md` says which has what.
"""

from __future__ import annotations

import gzip
import re
import shutil
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from nas.report.__main__ import main
from tests.end_to_end.kit import Result, command, files
from tests.golden.stored import check, remove_others

FOLDER = Path(__file__).with_name("reports")
IN_ALL = "+experiment=hash_audit evaluator.path=table.csv compare.launcher=inline resume=run"
AUDITS = {  # which are reported again by continuing them; the command names what was renamed since
    "audit": f"{IN_ALL} audit.sample=150 audit.chunk=75 audit.permutations=19 executor=simulated "
    "'+audit.beside={strings: {name: isomorphic, zeros: true}}' +searcher@audit.searchers.random=random "
    "+searcher@audit.searchers.evolution=regularized_evolution_10 audit.searchers.evolution.population=3 "
    "audit.searchers.evolution.sample=2 audit.noise=[0,1] '+audit.caches={none: {hashing: {name: none}}, "
    "plain: {}}' audit.seeds=2 budget.trials=20 'audit.readings={zero: [initial, trained], scale: [kept]}'",
    "audit_bits": f"{IN_ALL} audit.sample=60 audit.chunk=60 audit.bits=[1,8,24] audit.strict=false "
    "'audit.readings={zero: [trained], scale: [kept]}'",
}
NAMES = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())
LARGE = 50_000  # bytes, above which a text is stored compressed
TEXTS = (".md", ".tex", ".csv", ".txt", ".yaml")


def unpacked(name: str, folder: Path) -> None:
    """Copies a stored folder, its logs readable."""
    shutil.copytree(FOLDER / name / "stored", folder, dirs_exist_ok=True)
    for packed in folder.rglob("*.gz"):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()


def reported(name: str, folder: Path) -> Result:
    """Reports a stored folder: an audit by continuing it, all else by `python -m nas.report`."""
    if name in AUDITS:
        return command(AUDITS[name], folder)
    out, err = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        (top,) = (path.name for path in folder.iterdir() if path.is_dir())
        status = main([top])
    return Result(status, out.getvalue(), err.getvalue())


def compare(name: str, folder: Path) -> None:
    """Reports a stored folder and compares all that it prints and writes."""
    unpacked(name, folder)
    before = set(files(folder))
    result = reported(name, folder)
    expected = FOLDER / name / "expected"
    screen = f"status {result.status}\n{result.out}" + f"on standard error:\n{result.err}" * bool(result.err)
    check(expected / "screen.txt", re.sub(r"last event .* ago", "last event (age) ago", screen))
    written = [name for name in files(folder) if name not in before and (folder / name).is_file()]
    check(expected / "files.txt", "".join(f"{name}\n" for name in written))
    kept = {"screen.txt", "files.txt"}
    for name in written:
        content = (folder / name).read_bytes()
        assert content, name
        if name.endswith(TEXTS):
            stored = f"{name}.gz" if len(content) > LARGE else name
            check(expected / stored, content.decode("utf-8"))
            kept.add(stored)
    remove_others(expected, kept)


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_run_is_reported_as_before(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    """Figures are left empty but for a byte, as drawing them takes most of the time."""
    monkeypatch.setattr(Figure, "savefig", lambda self, file, **options: file.write(b"-"))
    compare(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_its_figures_are_drawn(name: str, tmp_path: Path) -> None:
    compare(name, tmp_path)
