"""Multi-fidelity searches from the command line: promotions that continue, also after kill -9; mistakes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from nas.report import Written
from nas.study import EventLog
from tests.end_to_end.kit import TINY, command, count, events, files, finish, outcomes, start, wait_for

# Levels 1 and 3: of so short a training each trial takes tens of milliseconds.
JOB = f"{TINY} evaluator.epochs=3 searcher=asha searcher.eta=2 budget.trials=10 run.dir=run"
TABLE = "arch,low,high\n" + "".join(f"{name},{low},{low + 10}\n" for low, name in enumerate("abcd", 50))
CLIMB = f"{TINY} evaluator.epochs=9 searcher.eta=2 budget.trials=16"
LEVEL = "{level}: {{validation_accuracy: {column}, test_accuracy: {column}}}"
COLUMNS = ", ".join(
    LEVEL.format(level=level, column=column) for level, column in ((12, "low"), (200, "high"))
)
TABLE_JOB = (
    "name=table '~space' '+space={name: own:space}' evaluator=nasbench201 evaluator.path=table.csv "
    "evaluator.key=own:key evaluator.key_column=arch evaluator.cost_column=null '~evaluator.columns' "
    f"'+evaluator.columns={{{COLUMNS}}}' executor=simulated budget.trials=8 baseline.samples=2 final.seeds=1 "
    "run.dir=run"
)
OWN = """
from nas.space import SearchSpace

def space():
    return SearchSpace("four", "relu() | gelu() | silu() | tanh()")

def key(architecture):
    return dict(zip(("relu()", "gelu()", "silu()", "tanh()"), "abcd"))[architecture.text]
"""


@pytest.fixture
def unreported(monkeypatch):
    written = Written(Path("out"), (), "report")
    monkeypatch.setattr("nas.report.write_report", lambda *_: written)


def asked(run: Path) -> dict[int, dict[str, Any]]:
    return {
        entry["trial"]: entry
        for entry in events(run)
        if entry["event"] == "asked" and entry["trial"] is not None and entry["stage"] == "search"
    }


def notes(run: Path) -> dict[int, dict[str, Any]]:
    """What each promoted trial says of its beginning."""
    promoted = [trial for trial, entry in asked(run).items() if entry["info"].get("origin") == "promotion"]
    return {
        entry["trial"]: entry["evaluation"]["info"]
        for entry in events(run)
        if entry["event"] == "evaluated" and entry["trial"] in promoted
    }


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    result = command(JOB, folder)
    assert result.status == 0, result.err
    return folder / "run"


def test_digits_by_successive_halving_from_the_command_line(uninterrupted):
    fidelities = {entry["fidelity"]["value"] for entry in asked(uninterrupted).values()}
    assert fidelities == {1.0, 2.0, 3.0}
    found = notes(uninterrupted)
    assert found
    for trial, info in found.items():
        parent = asked(uninterrupted)[asked(uninterrupted)[trial]["parent"]]
        assert info["continued_from"] == parent["fidelity"]["value"]
        assert "from_the_start" not in info
    assert [name for name in files(uninterrupted / "checkpoints") if name.startswith("search")] == []
    assert "epochs = 3" in (uninterrupted / "results.md").read_text()


@pytest.mark.parametrize("share", [0.3, pytest.param(0.6, marks=pytest.mark.slow)])
@pytest.mark.parametrize("lost", [False, True], ids=["kept", "lost"])
def test_a_torn_log_is_continued_to_the_same_end_without_states_too(
    share, lost, uninterrupted, tmp_path, unreported
):
    """States of the first session are lost where only the log is copied; the results are the same."""
    run = tmp_path / "run"
    if lost:
        lines = (uninterrupted / "events.jsonl").read_bytes().splitlines(keepends=True)
        run.mkdir()
        (run / "events.jsonl").write_bytes(b"".join(lines[: int(len(lines) * share)]))
    else:
        process_until(tmp_path, evaluated=int(share * 10))
    done = outcomes(run)
    result = command(f"{JOB} resume=run", tmp_path, may_warn=".*torn")
    assert result.status == 0, result.err
    assert outcomes(run) == outcomes(uninterrupted)
    assert done.items() <= outcomes(run).items()
    assert set(count(run, "evaluated").values()) == {1}
    assert [name for name in files(run / "checkpoints") if name.startswith("search")] == []


def process_until(folder: Path, evaluated: int) -> None:
    """A run in this process that is given up after so many search trials, its states left as they are."""
    append = EventLog.append

    def stopping(log: EventLog, event: str, **payload: Any) -> dict[str, Any]:
        if event == "started" and len(count(folder / "run", "evaluated")) >= evaluated:
            raise KeyboardInterrupt
        return append(log, event, **payload)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EventLog, "append", stopping)
        assert command(JOB, folder).status == 130
    assert [name for name in files(folder / "run" / "checkpoints") if name.startswith("search")]


@pytest.fixture(scope="module")
def climbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("climbed")
    assert command(f"{CLIMB} executor=inline searcher=asha run.dir=run", folder).status == 0
    return folder / "run"


@pytest.mark.parametrize(
    ("executor", "searcher", "lost"),
    [
        ("inline", "asha", True),
        pytest.param("ray", "hyperband", False, marks=pytest.mark.ray),
    ],
)
@pytest.mark.slow
def test_kill_9_in_the_middle_of_a_climb(executor, searcher, lost, tmp_path, climbed):
    """The first promotion is running: its parent's state is there, or gone; the run goes on either way."""
    line = f"{CLIMB} searcher={searcher} run.dir=run".replace("executor=inline", f"executor={executor}")
    line += " executor.num_cpus=2 executor.dashboard=false" if executor == "ray" else ""
    process = start(line, tmp_path)
    run = tmp_path / "run"

    def climbing() -> bool:
        started = set(count(run, "started")) - set(count(run, "evaluated"))
        return any(
            asked(run)[trial]["info"].get("origin") == "promotion" for trial in started if trial < 10**7
        )

    wait_for(climbing, process)
    process.kill()
    process.communicate()
    done = outcomes(run)
    if lost:
        shutil.rmtree(run / "checkpoints", ignore_errors=True)
    if executor == "ray":
        result = finish(start(f"{line} resume=run", tmp_path))
    else:
        result = command(f"{line} resume=run", tmp_path, may_warn=".*torn")
    assert result.status == 0, result.err
    assert done.items() <= outcomes(run).items()
    assert set(count(run, "evaluated").values()) == {1}
    if executor == "inline":  # one trial at a time: the order of the results is always the same
        assert outcomes(run) == outcomes(climbed)
    late = [info for trial, info in notes(run).items() if trial not in done]
    assert late
    assert any("from_the_start" in info for info in late) == lost
    assert [name for name in files(run / "checkpoints") if name.startswith("search")] == []


def test_a_table_is_searched_on_the_levels_that_it_has(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "table.csv").write_text(TABLE)
    result = command(f"{TABLE_JOB} searcher=asha searcher.levels=[12,200] searcher.eta=2", tmp_path)
    assert result.status == 0, result.err
    suggested = asked(tmp_path / "run").values()
    story = [(entry["architecture"], entry["fidelity"]["value"]) for entry in suggested]
    assert {level for _, level in story} == {12.0, 200.0}
    assert len(story) == len(set(story)) == 6  # four, of which two go up
    assert ("tanh()", 200.0) in story


DIGITS = "+experiment=digits executor=inline"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            f"{DIGITS} searcher=asha evaluator.epochs=3 searcher.levels=[1,9]",
            'ConfigError: searcher "asha": expected 1 to 3 epochs, got 9; keep levels, lowest and ',
        ),
        (
            f"{DIGITS} searcher=hyperband evaluator.epochs=8 search.fidelity=2 searcher.highest=3",
            'ConfigError: searcher "hyperband": expected 1 to 2 epochs, got 3; keep levels, lowest and ',
        ),
        (
            "name=own evaluator=function evaluator.function=statistics:mean searcher=asha",
            'ConfigError: searcher "asha": expected an evaluator with a fidelity, such as epochs, got one',
        ),
        (
            f"{TINY} searcher=no_repeats searcher.searcher.name=rndom",
            'ConfigError: searcher.searcher "rndom" is not registered; registered: ',
        ),
        (
            f"{TINY} searcher=asha ~searcher.searcher",
            'ConfigError: searcher "asha": expected the option searcher, got none; give it a value',
        ),
    ],
)
def test_mistakes_are_one_line(line, message, tmp_path):
    assert command(line, tmp_path).message.startswith(message)


def test_levels_that_a_table_does_not_have_are_named(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "table.csv").write_text(TABLE)
    assert command(f"{TABLE_JOB} searcher=asha", tmp_path).message == (
        "ConfigError: searcher: expected epochs of 12, 200, as the evaluator has no others; got 31, 78; "
        "choose them: searcher.levels=[12,200]"
    )
