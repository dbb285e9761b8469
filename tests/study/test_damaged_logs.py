"""Logs that are damaged in any way end in a result or in one line that names the file and the line."""

from __future__ import annotations

import copy
import json
import random
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nas.algorithms.shared.wrapping import prepare_searcher
from nas.errors import NasError, StoreError
from nas.evaluation import SimulatedExecutor
from nas.report import write_report
from nas.report.__main__ import main
from nas.report.comparison import read_comparison
from nas.study import FILE_NAME, Budget, EventLog, Plan, Study, read_events, read_study
from nas.study.cache import TextHasher
from tests.study.study_kit import FakeEvaluator, make_study, tiny_space

SECTION = {"name": "asha", "searcher": {"name": "regularized_evolution", "population": 4, "sample": 2}}


def fails_sometimes(task: Any) -> bool:
    return task.trial % 4 == 1


def small_study(directory: Path) -> Study:
    """With a cache, failures, fidelities and several workers; lines of every kind."""
    space, evaluator = tiny_space(), FakeEvaluator(fails_sometimes)
    searcher = prepare_searcher(SECTION, seed=1)(space, evaluator.objectives, evaluator.fidelity_range)
    return Study(
        space,
        searcher,
        evaluator,
        SimulatedExecutor(3),
        directory=directory,
        plan=Plan(seed=1, budget=Budget(trials=9), baseline=2, final=2),
        hasher=TextHasher(),
        config={"name": "small"},
    )


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    directory = tmp_path_factory.mktemp("study")
    small_study(directory).run()
    return (directory / FILE_NAME).read_bytes().splitlines(keepends=True)


def written(directory: Path, lines: list[bytes]) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / FILE_NAME).write_bytes(b"".join(lines))
    return directory


def index_of(lines: list[bytes], kind: str) -> int:
    return next(i for i, line in enumerate(lines) if line.startswith(f'{{"event":"{kind}"'.encode()))


@pytest.mark.parametrize("kind", ["asked", "cached", "started", "evaluated", "told"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda lines, i: lines[:i] + lines[i + 1 :],
            r"expected the line numbered {0}; got {1}; a line before",
        ),
        (
            lambda lines, i: lines[:i] + lines[i + 2 :],
            r"expected the line numbered {0}; got {2}; 2 lines before",
        ),
        (
            lambda lines, i: lines[: i + 1] + lines[i:],
            r"expected the line numbered {1}; got {0}; the line is dou",
        ),
        (
            lambda lines, i: [*lines[:i], lines[i + 1], lines[i], *lines[i + 2 :]],
            r"expected the line numbered {0}; got {1}; the lines are in another order: number {0} st",
        ),
    ],
    ids=["missing", "two missing", "doubled", "swapped"],
)
def test_numbers_tell_what_happened_to_a_line(tmp_path, lines, kind, change, message):
    at = index_of(lines, kind)
    directory = written(tmp_path, change(lines, at))
    expected = message.format(at, at + 1, at + 2)
    for read in (read_study, lambda directory: small_study(directory).run()):
        with pytest.raises(StoreError, match=rf"{FILE_NAME}, line \d+: {expected}.*; restore the file"):
            read(directory)


def test_lines_are_numbered_through_all_sessions(tmp_path, lines):
    directory = written(tmp_path, lines[:20])
    small_study(directory).run()
    events = read_events(directory / FILE_NAME)
    assert [event["n"] for event in events] == list(range(len(events)))
    assert sum(event["event"] == "opened" for event in events) == 2


def test_logs_of_before_have_no_numbers_and_get_them_when_they_are_continued(tmp_path, lines):
    old = [line.replace(b'"n":%d,' % n, b"", 1) for n, line in enumerate(lines[:20])]
    directory = written(tmp_path, old)
    assert len(read_events(directory / FILE_NAME)) == 20
    small_study(directory).run()
    events = read_events(directory / FILE_NAME)
    assert [event.get("n") for event in events] == [None] * 20 + list(range(20, len(events)))
    written(
        directory,
        [*(directory / FILE_NAME).read_bytes().splitlines(keepends=True)[:22], b'{"event":"x"}\n', b"{}\n"],
    )
    with pytest.raises(StoreError, match="line 23: expected the number n = 22; got none"):
        read_events(directory / FILE_NAME)


@pytest.mark.parametrize(
    ("kind", "doubled"),
    [("asked", "to be asked once"), ("evaluated", "to end once"), ("told", "to be told once")],
)
def test_a_doubled_line_of_a_log_without_numbers_is_told_by_its_trial(tmp_path, lines, kind, doubled):
    old = [line.replace(b'"n":%d,' % n, b"", 1) for n, line in enumerate(lines)]
    at = index_of(old, kind)
    directory = written(tmp_path, old[: at + 1] + old[at:])
    for read in (read_study, lambda directory: small_study(directory).run()):
        with pytest.raises(StoreError, match=f"line {at + 2}: expected trial 0 {doubled}"):
            read(directory)


@pytest.mark.parametrize(
    ("kind", "what"), [("cached", "a look of trial 0 into the cache"), ("started", "a start of")]
)
def test_a_missing_line_of_a_log_without_numbers_is_told_by_the_next_one(tmp_path, lines, kind, what):
    old = [line.replace(b'"n":%d,' % n, b"", 1) for n, line in enumerate(lines)]
    del old[index_of(old, kind)]
    with pytest.raises(StoreError, match=rf"line \d+: expected {what}"):
        small_study(written(tmp_path, old)).run()


def edited(line: bytes, **changes: Any) -> bytes:
    event = json.loads(line)
    for path, value in changes.items():
        *parents, name = path.split("__")
        place = event
        for parent in parents:
            place = place[parent]
        if value is ...:
            del place[name]
        else:
            place[name] = value
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("asked", {"trial": "x"}, "asked: trial to be a whole number; got 'x'"),
    ("asked", {"trial": True}, "asked: trial to be a whole number; got True"),
    ("asked", {"trial": -1}, "a trial from 0 to 39999999; got -1"),
    ("asked", {"trial": 10**30}, "a trial from 0 to 39999999; got 1000"),
    ("asked", {"trial": 10_000_000}, "a number of the stage search"),
    ("asked", {"stage": "dance"}, "stage to be one of baseline, final, search, supernet; got 'dance'"),
    ("asked", {"decisions": ...}, "asked: decisions to be an object; got nothing"),
    ("asked", {"decisions": {}}, "decisions to be"),
    ("asked", {"fidelity": {"name": "epochs"}}, "a fidelity with its name and a number"),
    ("asked", {"fidelity": {"name": "epochs", "value": 10**400}}, "a fidelity with its name and a number"),
    ("asked", {"seed": -3}, "a seed from 0 to"),
    ("asked", {"parent": 2.5}, "asked: parent to be a whole number or null; got 2.5"),
    ("asked", {"info": []}, "asked: info to be an object"),
    ("cached", {"outcome": "maybe"}, "outcome to be one of hit, miss, partial, pending"),
    ("cached", {"key": ["a"]}, "key to be two texts or null"),
    ("cached", {"holder": 77}, "a holder that was asked; got 77"),
    ("started", {"clock": None}, "started: clock to be a number; got None"),
    ("started", {"clock": 10**400}, "started: clock to be a number of seconds"),
    ("started", {"trial": 5}, "a trial that was asked and is not over; got 5"),
    ("evaluated", {"evaluation__values": None}, "evaluation: values to be an object; got None"),
    ("evaluated", {"evaluation__values": {"accuracy": "high"}}, "accuracy to be a number; got 'high'"),
    ("evaluated", {"evaluation__values": {"accuracy": 10**400}}, "values: accuracy to be a number; got 1000"),
    ("evaluated", {"evaluation__status": "fine"}, "status to be one of completed, "),
    ("evaluated", {"evaluation__status": ["completed"]}, "evaluation: status to be a text"),
    ("evaluated", {"evaluation__curve": [1]}, "curve: each row to be an object; got 1"),
    ("evaluated", {"evaluation__curve": [{"epoch": {}}]}, "curve: epoch to be a number"),
    ("evaluated", {"evaluation__cost_seconds": "much"}, "evaluation: cost_seconds to be a number"),
    ("evaluated", {"evaluation": ...}, "evaluated: evaluation to be an object; got nothing"),
    ("told", {"clock": "noon"}, "told: clock to be a number; got 'noon'"),
    ("told", {"cached_from": 3.5}, "told: cached_from to be a whole number or null"),
    ("told", {"cached_from": 8}, "an answer of trial 0 from another that was evaluated; got 8"),
    ("told", {"event": "sold"}, "one of the events asked, cached"),
    ("told", {"event": 5}, "one of the events asked, cached"),
    ("opened", {"format": 9}, "a format from 1 to 2; got 9; continue it with the version that wrote it"),
    ("opened", {"evaluator": None}, "opened: evaluator to be an object; got None"),
    ("opened", {"evaluator__objectives": []}, "at least one of objectives"),
    ("opened", {"evaluator__objectives": [5]}, "opened: each objective to be an object; got 5"),
    ("opened", {"evaluator__reported__direction": "up"}, "to be one of maximize, minimize; got 'up'"),
    ("opened", {"evaluator__reported__name": ...}, "opened: objective: name to be a text; got nothing"),
    ("opened", {"searcher__options": None}, "opened: searcher: options to be an object"),
    ("opened", {"budget__trials": "many"}, "opened: budget: trials to be a whole number or null"),
    ("opened", {"process": 7}, "opened: process to be an object or null"),
    ("opened", {"config": "x"}, "opened: config to be an object or null"),
    ("opened", {"seed": 1.5}, "opened: seed to be a whole number; got 1.5"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "changes", "message"), WRONG, ids=[f"{k}-{c}"[:50] for k, c, _ in WRONG])
def test_valid_json_with_wrong_content_is_one_line(tmp_path, lines, capsys, kind, changes, message):
    at = index_of(lines, kind)
    directory = written(tmp_path, [*lines[:at], edited(lines[at], **changes), *lines[at + 1 :]])
    assert main([str(directory)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert f"{FILE_NAME}, line {at + 1}: expected " in err
    assert message in err
    with pytest.raises(StoreError, match=f"line {at + 1}: expected"):
        small_study(directory).run()


DEEP = b"[" * 100_000 + b"]" * 100_000
BROKEN: dict[str, tuple[Callable[[list[bytes]], bytes], str]] = {
    "brackets": (lambda lines: b'{"event":"asked","trial":' + DEEP + b"}\n", "more than 64 deep"),
    "one-sided brackets": (lambda lines: b'{"event":"asked","trial":' + b"[" * 100_000 + b"\n", "a JSON"),
    "deep objects": (lambda lines: b'{"a":' * 300 + b"1" + b"}" * 300 + b"\n", "more than 64 deep"),
    "long number": (lambda lines: b'{"event":"asked","trial":' + b"1" * 5000 + b"}\n", "a JSON object"),
    "nan": (lambda lines: lines[3].replace(b'"clock":0.0', b'"clock":NaN'), "NaN, which is no number"),
    "infinity": (lambda lines: lines[3].replace(b'"clock":0.0', b'"clock":1e999'), "a number of seconds"),
    "binary": (lambda lines: bytes(range(256)).replace(b"\n", b"") + b"\n", "expected a JSON object"),
    "no utf-8": (lambda lines: b'{"event":"\xff"}\n', "expected a JSON object with an event"),
    "torn": (lambda lines: lines[3][:30] + b"\n", "expected a JSON object with an event"),
    "two in one": (lambda lines: lines[3].strip() + lines[3], "more after it"),
    "doubled key": (
        lambda lines: lines[3].replace(b'"clock":0.0', b'"clock":0.0,"clock":1.0'),
        "clock twice in one object",
    ),
    "list": (lambda lines: b"[1]\n", "expected a JSON object with an event"),
    "blank": (lambda lines: b"\n", "expected a JSON object with an event"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_lines_that_are_no_event_are_one_line_with_file_and_number(tmp_path, lines, what):
    assert lines[3].startswith(b'{"event":"started"')
    make, message = BROKEN[what]
    at = 3
    directory = written(tmp_path, [*lines[:at], make(lines), *lines[at + 1 :]])
    for read in (read_study, lambda directory: small_study(directory).run()):
        with pytest.raises(StoreError, match=rf"{FILE_NAME}, line {at + 1}: .*{message}") as caught:
            read(directory)
        assert len(str(caught.value)) < 600


def compressed(content: bytes) -> bytes:
    import gzip

    return gzip.compress(content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (compressed, "line 1: expected a JSON object with an event; got a compressed file, unpack it"),
        (lambda content: b"", "the log is empty"),
        (lambda content: b"\0" * 100, "the log is empty"),
        (lambda content: content.decode().encode("utf-16"), "line 1: expected a JSON object"),
        (lambda content: b"PK\x03\x04" + bytes(range(11, 256)), "line 1: expected a JSON object"),
    ],
    ids=["gzip", "empty", "zeros", "utf-16", "binary"],
)
def test_files_that_are_no_logs(tmp_path, lines, change, message):
    directory = written(tmp_path, [change(b"".join(lines))])
    before = (directory / FILE_NAME).read_bytes()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torn and is dropped")
        with pytest.raises(StoreError, match=message):
            read_study(directory)
        if "empty" not in message:  # else a new study begins there
            with pytest.raises(StoreError, match=message):
                small_study(directory).run()
            assert (directory / FILE_NAME).read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [lambda content: b"\xef\xbb\xbf" + content, lambda content: content.replace(b"\n", b"\r\n")],
    ids=["byte order mark", "ends of lines of Windows"],
)
def test_a_log_that_an_editor_saved_is_read(tmp_path, lines, change):
    directory = written(tmp_path, [change(b"".join(lines[:25]))])
    assert len(read_events(directory / FILE_NAME)) == 25
    small_study(directory).run()
    assert not read_study(directory).in_progress


def test_a_log_that_is_no_file_is_one_line_and_never_waited_for(tmp_path):
    import os

    os.mkfifo(tmp_path / FILE_NAME)
    with pytest.raises(StoreError, match="expected an event log; got no regular file"):
        read_study(tmp_path)


def test_a_foreign_log_cannot_write_to_the_terminal(tmp_path, lines, capsys):
    escape = "\x1b]0;owned\x07\x9b2J"
    at = index_of(lines, "evaluated")
    closed = {"event": "closed", "time": 1.0, "reason": f"er{escape}", "message": f"me{escape}ss\nage"}
    last = [edited(json.dumps(closed).encode(), n=len(lines) - 1)]
    opened = edited(lines[0], searcher__name=f"evo{escape}", config={"name": f"x{escape}"})
    failed = edited(
        lines[at], evaluation__reason=f"no{escape}", evaluation__status="error", evaluation__values={}
    )
    written(tmp_path, [opened, *lines[1:at], failed, *lines[at + 1 : -1], *last])
    assert main([str(tmp_path)]) == 0
    shown = "".join(capsys.readouterr())
    for name in ("trials.csv", "results.md", "chosen.txt"):
        shown += (tmp_path / name).read_text(encoding="utf-8")
    assert "evo\\x1b]0;owned" in shown
    assert not {"\x1b", "\x07", "\x9b"} & set(shown)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to everything inside a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


VALUES = [
    None,
    True,
    False,
    0,
    -1,
    7,
    2.5,
    -1e300,
    10**25,
    "",
    "x",
    "nan",
    "inf",
    "\x1b[2J\ud800",
    [],
    [1],
    {},
    {"a": []},
]


def mutated(lines: list[bytes], rng: random.Random) -> list[bytes]:
    """One or two random changes: lines dropped, doubled or swapped, values and names replaced."""
    lines = list(lines)
    numbered = rng.random() < 0.4
    if not numbered:
        lines = [edited(line, n=...) for line in lines]
    for _ in range(rng.choice([1, 1, 2])):
        i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
        match rng.randrange(8):
            case 0:
                del lines[i]
            case 1:
                lines.insert(j, lines[i])
            case 2:
                lines[i], lines[j] = lines[j], lines[i]
            case 3:
                at = rng.randrange(len(lines[i]))
                lines[i] = lines[i][:at] + bytes([rng.randrange(256)]) + lines[i][at + 1 :]
            case _:
                try:
                    event = json.loads(lines[i])
                except ValueError:
                    continue
                path = rng.choice(list(places(event)))
                place: Any = event
                for key in path[:-1]:
                    place = place[key]
                if rng.random() < 0.2:
                    del place[path[-1]]
                else:
                    place[path[-1]] = copy.deepcopy(rng.choice(VALUES))
                lines[i] = json.dumps(event, separators=(",", ":")).encode() + b"\n"
    return lines


def outcome(action: Callable[[], Any], what: str) -> bool:
    """Whether it gave a result; a NasError is the only other way out."""
    try:
        action()
    except NasError:
        return False
    except Exception as error:
        raise AssertionError(what) from error
    return True


def fuzz(tmp_path: Path, lines: list[bytes], seeds: range, figures: bool) -> tuple[int, int]:
    """Numbers of reports and continuations that gave a result."""
    results = [0, 0]
    for seed in seeds:
        directory = written(tmp_path / str(seed), mutated(lines, random.Random(seed)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if figures:
                results[0] += outcome(lambda d=directory: write_report([d], d), f"report {seed}")
            else:
                results[0] += outcome(lambda d=directory: read_study(d), f"reading {seed}")
            results[1] += outcome(lambda d=directory: small_study(d).run(), f"continuation {seed}")
    return results[0], results[1]


def test_random_damage_ends_in_a_result_or_in_one_error(tmp_path, lines):
    read, continued = fuzz(tmp_path, lines[:-1], range(150), figures=False)
    assert 10 < read < 150
    assert 5 < continued < 150


@pytest.mark.slow
def test_random_damage_never_breaks_a_report(tmp_path, lines):
    reported, _ = fuzz(tmp_path, lines[:-1], range(1000, 1120), figures=True)
    assert 10 < reported < 120


@pytest.mark.slow
def test_much_random_damage_ends_in_a_result_or_in_one_error(tmp_path, lines):
    fuzz(tmp_path, lines[:-1], range(2000, 3500), figures=False)


def test_what_cannot_be_read_back_is_never_written(tmp_path):
    """An evaluator's own values pass the check of the reader before they are logged."""

    class Odd(FakeEvaluator):
        def __call__(self, task: Any) -> Any:
            found = super().__call__(task)
            odd: Any = [
                {"accuracy": 10**400, "test_accuracy": 1.0},
                {"accuracy": "high"},
                [5],
            ]
            object.__setattr__(found, "values", odd[task.trial])
            return found

    study = make_study(tmp_path, evaluator=Odd(), plan=Plan(seed=1, budget=Budget(trials=4)))
    with pytest.raises(NasError, match="expected trials that can be evaluated"):
        study.run()
    reasons = [row.reason or "" for row in read_study(tmp_path).trials]
    assert len(reasons) == 3  # as the same kind of mistake ends a run
    assert all(reason.startswith("EvaluationError: values: ") for reason in reasons)


def test_a_comparison_says_which_study_is_damaged(tmp_path):
    from tests.report.comparison.comparison_kit import study, write_manifest

    write_manifest(tmp_path, ["a", "b"], 2)
    for method in ("a", "b"):
        for seed in range(2):
            study(tmp_path, method, seed, [(90 + seed, 80), (91, 81)])
    path = tmp_path / "studies/a/0" / FILE_NAME
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], edited(lines[2], evaluation__values=None), *lines[3:]]))
    histories = read_comparison(tmp_path).histories
    assert "line 3: expected evaluation: values to be an object" in histories["a"][0].message
    assert [history.state for history in (*histories["a"], *histories["b"])] == ["unreadable"] + [
        "finished"
    ] * 3


def test_an_event_log_continues_the_numbers_of_a_torn_one(tmp_path, lines):
    directory = written(tmp_path, [*lines[:3], b'{"event":"st'])
    log = EventLog.open(directory)
    assert log.append("closed", reason="interrupted")["n"] == 3
    log.close()
