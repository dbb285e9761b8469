"""Audits from the command line, of hashers that are right, wrong in a known way, or broken."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from nas.hashing.audit.symbolic import SymbolicHasher
from nas.space import Architecture
from nas.study import Hashed
from tests.end_to_end.kit import command

HERE = "tests.run.test_audit"
TABLE = "nasbench201_cifar10.csv.gz"
FEW = "audit.sample=120 audit.chunk=50 audit.permutations=19 compare.launcher=inline run.dir=out"


class Right(SymbolicHasher):
    """The exact one under another name, with an option of its own."""

    name = "right"

    def __init__(self, bits: int = 24, zero: str = "initial", scale: str = "kept") -> None:
        super().__init__(zero=zero, scale=scale)


class Joining(Right):
    """Takes all cells for one whose digest begins alike."""

    def hash(self, architecture: Architecture) -> Hashed:
        digest = super().hash(architecture).digest
        assert digest is not None
        return Hashed(digest.split(":")[-1][0])


class Splitting(Right):
    """Every text by itself."""

    def hash(self, architecture: Architecture) -> Hashed:
        return Hashed(architecture.digest())


class Refusing(Right):
    """Has no digest for networks with pooling."""

    def hash(self, architecture: Architecture) -> Hashed:
        if "pool_3x3" in architecture.text:
            return Hashed(None, reason="no pooling")
        return super().hash(architecture)


class Failing(Right):
    def hash(self, architecture: Architecture) -> Hashed:
        raise OSError("the disk is gone")


def audit(name: str, table: Path, folder: Path, more: str = ""):
    line = f"+experiment=hash_audit hashing=symbolic hashing.name={HERE}:{name} evaluator.path={table}"
    return command(f"{line} {FEW} {more}", folder)


@pytest.fixture
def table(shared_data: Path) -> Path:
    return shared_data / TABLE


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_right_hash_passes_and_leaves_all_files(table: Path, tmp_path: Path) -> None:
    result = audit("Right", table, tmp_path)
    assert result.status == 0, result.err
    assert "in every reading the classes are the exact ones: none joined, none split" in result.out
    assert "strings of the benchmark's authors" in result.out
    assert "3/3 jobs" in result.err
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written >= {"audit.md", "audit.tex", "audit.png", "audit.pdf", "audit_classes.csv", "audit.json"}
    assert len(rows(tmp_path / "out" / "audit_classes.csv")) == 120
    assert rows(tmp_path / "out" / "audit_mismatches.csv") == []
    spreads = rows(tmp_path / "out" / "audit_spreads.csv")
    assert len(spreads) == 4 * 4  # readings; two results at two fidelities
    assert all(float(row["within"]) < float(row["overall"]) for row in spreads)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), [("Joining", "join"), ("Splitting", "split")])
def test_classes_that_are_joined_or_split_fail_with_examples(
    name: str, kind: str, table: Path, tmp_path: Path
) -> None:
    result = audit(name, table, tmp_path, "audit.sample=400")
    assert result.status == 1
    assert f"### {kind.capitalize()}s: zero=initial, scale=kept" in result.out
    assert "the classes are not the exact ones in: zero=initial, scale=kept; " in result.out
    found = rows(tmp_path / "out" / "audit_mismatches.csv")
    assert {row["kind"] for row in found} == {kind}
    lenient = audit(name, table, tmp_path, "audit.sample=400 audit.strict=false run.dir=lenient")
    assert lenient.status == 0


@pytest.mark.slow
def test_candidates_without_a_digest_fail(table: Path, tmp_path: Path) -> None:
    result = audit("Refusing", table, tmp_path)
    assert result.status == 1
    found = rows(tmp_path / "out" / "audit_classes.csv")
    without = [row for row in found if not row["hashed, zero=initial, scale=kept"]]
    pooling = [row for row in found if any(option == 4 for _, option, *_ in json.loads(row["decisions"]))]
    assert without == pooling
    assert 0 < len(without) < 120
    assert "no pooling" in result.out


@pytest.mark.slow
def test_bits_are_an_axis_of_the_audited_hash_alone(table: Path, tmp_path: Path) -> None:
    result = audit("Right", table, tmp_path, "audit.bits=[4,8]")
    assert result.status == 0, result.err
    assert "zero=trained, scale=removed, bits=8" in result.out


@pytest.mark.slow
def test_a_resumed_audit_does_only_what_is_left(table: Path, tmp_path: Path) -> None:
    assert audit("Right", table, tmp_path).status == 0
    parts = sorted((tmp_path / "out" / "parts").iterdir())
    assert [part.name for part in parts] == ["0000000.json", "0000050.json", "0000100.json"]
    before = {part.name: part.stat().st_mtime_ns for part in parts}
    content = parts[1].read_bytes()
    parts[1].write_bytes(content[:100])
    parts[2].unlink()
    result = command("resume=out trust=true", tmp_path)
    assert result.status == 0, result.err
    after = {part.name: part.stat().st_mtime_ns for part in (tmp_path / "out" / "parts").iterdir()}
    assert after.keys() == before.keys()
    assert [name for name in before if after[name] == before[name]] == ["0000000.json"]
    labels = [json.loads(text)["labels"] for text in (content, parts[1].read_bytes())]
    assert labels[0] == labels[1]


def test_a_fault_is_told_once_and_the_audit_can_go_on(table: Path, tmp_path: Path) -> None:
    result = audit("Failing", table, tmp_path)
    assert result.status == 1
    assert result.err.count("OSError: the disk is gone") == 1
    assert "3 jobs failed; the same command with resume=out tries them again" in result.out


def test_mistakes_are_told_in_one_line(table: Path, tmp_path: Path) -> None:
    line = f"+experiment=hash_audit evaluator.path={table} {FEW}"
    for more, expected in (
        ("hashing=none", 'hashing "none": has no option "zero"; options: none'),
        ("hashing=symbolic audit.chunk=0", "audit.chunk: expected 1 or more, got 0"),
        ("hashing=symbolic audit.sample=0", "audit.sample: expected 1 or more, got 0"),
        ("hashing=symbolic space=darts audit.sample=null", "space: expected at most 1,000,000 architec"),
        ("hashing=symbolic audit.readings.zero=[]", "audit.readings.zero: expected a list of values"),
        ("hashing=symbolic audit.exact=nothing", 'hashing "nothing" is not registered'),
    ):
        assert command(f"{line} {more}", tmp_path).message.startswith(f"ConfigError: {expected}")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_another_audit_does_not_settle_in_the_folder(table: Path, tmp_path: Path) -> None:
    assert audit("Right", table, tmp_path).status == 0
    assert "got out, which holds one" in audit("Right", table, tmp_path).message
    other = audit("Right", table, tmp_path, "audit.sample=7 resume=out")
    assert other.message.startswith(
        "StoreError: out/audit.json: expected an audit with the section audit of this "
    )
