from __future__ import annotations

import errno
import json
import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.errors import StoreError
from nas.evaluation import Evaluation, Fidelity, Objective, Stage, Status, trial_label
from nas.study import FILE_NAME, Budget, EventLog, Lock, Plan, encode, plain, read_events, read_study
from nas.study.record import evaluation_from_json, evaluation_to_json, rank
from tests.study.study_kit import FakeEvaluator, make_study, score

ACCURACY = Objective("accuracy", "maximize", "%")


def log_with(directory, *lines: bytes):
    path = directory / FILE_NAME
    path.write_bytes(b"".join(lines))
    return path


GOOD = (
    b'{"event":"opened","time":1.0,"format":1,"seed":0,"space":{"name":"s","fingerprint":"f"},'
    b'"evaluator":{"name":"e","fingerprint":"f","objectives":[{"name":"a","direction":"maximize"}],'
    b'"reported":{"name":"a","direction":"maximize"}},"searcher":{"name":"r","options":{}},"hashing":"none",'
    b'"budget":{"trials":1},"baseline":{"samples":0,"sampler":"uniform"},"final":{"seeds":0},"fidelity":null}\n'
)


class TestEventLog:
    def test_appends_one_json_object_a_line_at_once(self, tmp_path):
        log = EventLog.create(tmp_path / "new" / "folder")
        returned = log.append("asked", trial=3, info={"text": "a\nb", "umlaut": "ä"})
        content = log.path.read_bytes()  # not closed: the line has left the process
        assert content.count(b"\n") == 1
        assert content.isascii()
        assert json.loads(content) == returned
        assert returned["event"] == "asked"
        assert returned["trial"] == 3
        assert returned["time"] > 1.7e9
        log.close()
        log.close()

    def test_create_refuses_an_existing_log(self, tmp_path):
        EventLog.create(tmp_path).close()
        with pytest.raises(StoreError, match="expected no log; one exists; run again to continue it"):
            EventLog.create(tmp_path)

    def test_create_in_a_place_that_is_no_folder_is_one_line(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(StoreError, match="cannot write the log; Not a directory"):
            EventLog.create(tmp_path / "file" / "run")

    def test_open_needs_a_log(self, tmp_path):
        with pytest.raises(StoreError, match="No such file"):
            EventLog.open(tmp_path)

    @pytest.mark.parametrize("torn", [b'{"event":"as', b'{"event":"asked"}', b"\0\0\0\n"])
    def test_open_cuts_a_torn_last_line_off(self, tmp_path, torn):
        path = log_with(tmp_path, GOOD, torn)
        log = EventLog.open(tmp_path)
        log.append("told")
        log.close()
        assert path.read_bytes().startswith(GOOD + b'{"event":"told"')

    def test_a_full_disk_is_one_line_and_leaves_no_half_line(self, tmp_path):
        log = EventLog.create(tmp_path)
        log.append("opened")
        whole = log.path.read_bytes()

        class Full:
            def __init__(self, file):
                self.file = file

            def write(self, data):
                return self.file.write(data[:5])

            def __getattr__(self, name):
                return getattr(self.file, name)

        log._file = Full(log._file)  # type: ignore[assignment]
        with pytest.raises(StoreError, match="No space left on device"):
            log.append("asked", trial=1)
        assert log.path.read_bytes() == whole
        log.close()


class TestLock:
    def test_is_one_at_a_time_and_free_again_after_release(self, tmp_path):
        path = log_with(tmp_path, GOOD)
        first, second = Lock(), Lock()
        assert first.take(path)
        assert first.take(path)
        assert not second.take(path)
        first.release()
        first.release()
        assert second.take(path)
        second.release()
        assert path.read_bytes() == GOOD

    @pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
    def test_a_file_system_without_locks_is_no_obstacle(self, tmp_path, monkeypatch, code):
        def unsupported(file, operation):
            raise OSError(code, "not here")

        monkeypatch.setattr("fcntl.flock", unsupported)
        lock = Lock()
        assert lock.take(log_with(tmp_path, GOOD))
        lock.release()

    def test_a_place_that_cannot_be_opened_is_for_the_writer_to_name(self, tmp_path):
        assert Lock().take(tmp_path / "none" / FILE_NAME)


class TestReadEvents:
    @pytest.mark.parametrize("torn", [b"{", b'{"event":"closed","time":2.0}', b'{"event":\n'])
    def test_torn_last_line_is_dropped_with_a_warning(self, tmp_path, torn):
        path = log_with(tmp_path, GOOD, torn)
        with pytest.warns(UserWarning, match=f"torn and is dropped \\({len(torn)} bytes\\)"):
            assert [event["event"] for event in read_events(path)] == ["opened"]

    @pytest.mark.parametrize("damaged", [b'{"event":"as\n', b"[1]\n", b'{"trial":1}\n', b"\xff\xfe\n"])
    def test_damaged_middle_line_is_an_error_with_its_number(self, tmp_path, damaged):
        path = log_with(tmp_path, GOOD, damaged, GOOD)
        with pytest.raises(StoreError, match="line 2: expected a JSON object with an event"):
            read_events(path)

    def test_missing_log_is_one_line(self, tmp_path):
        with pytest.raises(StoreError, match="expected an event log; No such file"):
            read_events(tmp_path / FILE_NAME)

    def test_empty_log_has_no_events_and_no_study(self, tmp_path):
        assert read_events(log_with(tmp_path)) == []
        with pytest.raises(StoreError, match="expected an opened event first; the log is empty"):
            read_study(tmp_path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


class TestEncode:
    @given(json_values)
    def test_gives_one_line_of_strict_json(self, value):
        def refuse(constant: str):
            raise AssertionError(constant)

        line = encode({"value": value})
        assert "\n" not in line
        assert json.loads(line, parse_constant=refuse) == {"value": plain(value)}

    def test_converts_numpy_and_keeps_what_is_not_finite_readable(self):
        value = {"a": np.float32(0.5), "b": np.arange(2), "c": (math.inf, -math.inf), "d": np.bool_(True)}
        assert json.loads(encode(value)) == {"a": 0.5, "b": [0, 1], "c": ["inf", "-inf"], "d": True}

    def test_refuses_other_types_in_one_line(self):
        with pytest.raises(StoreError, match="got object; return JSON values"):
            encode({"a": object()})


class TestEvaluations:
    def through_the_log(self, evaluation: Evaluation) -> Evaluation:
        return evaluation_from_json(json.loads(encode(evaluation_to_json(evaluation, (ACCURACY,)))))

    @given(st.floats(allow_nan=False), st.floats(0, 1e9), st.lists(st.floats(allow_nan=False), max_size=3))
    def test_round_trip_is_exact(self, value, cost, losses):
        curve = tuple({"loss": loss} for loss in losses)
        evaluation = Evaluation(Status.COMPLETED, {"accuracy": value}, cost, None, curve, {"n": 3}, "a/b")
        assert self.through_the_log(evaluation) == evaluation

    def test_nan_and_numpy_values_become_plain_floats(self):
        values = {"accuracy": np.float32(0.1), "loss": math.nan}
        logged = self.through_the_log(Evaluation(Status.COMPLETED, values))
        assert type(logged.values["accuracy"]) is float
        assert logged.values["accuracy"] == float(np.float32(0.1))
        assert math.isnan(logged.values["loss"])

    @pytest.mark.parametrize(
        ("evaluation", "reason"),
        [
            (Evaluation(Status.COMPLETED, {"acuracy": 1.0}), "returned no value of accuracy; got acuracy"),
            (Evaluation(Status.COMPLETED, {"accuracy": None}), "cannot be logged"),  # type: ignore[dict-item]
            (Evaluation(Status.COMPLETED, {"accuracy": 1.0}, info={"x": object()}), "cannot be logged"),
        ],
        ids=["misspelt objective", "no number", "no JSON"],
    )
    def test_what_an_evaluator_may_not_return_becomes_a_failure(self, evaluation, reason):
        logged = self.through_the_log(evaluation)
        assert logged.status is Status.ERROR
        assert reason in (logged.reason or "")


class TestReadStudy:
    def test_rows_carry_what_was_logged(self, tmp_path):
        evaluator = FakeEvaluator(fails=lambda task: task.trial == 2)
        plan = Plan(
            seed=1, budget=Budget(trials=12), baseline=3, final=2, search_fidelity=Fidelity("epochs", 4)
        )
        make_study(tmp_path, evaluator=evaluator, plan=plan).run()
        record = read_study(tmp_path)
        assert not record.in_progress
        assert [len(record.stage(stage)) for stage in Stage] == [12, 3, 2, 0]
        assert (record.objectives, record.reported) == (evaluator.objectives, evaluator.reported)
        row = record.trials[0]
        assert row.label == "search 0"
        assert row.value("accuracy") == score(row.architecture)
        assert row.cost_seconds == 1 + score(row.architecture) % 7
        assert row.seed == evaluator.tasks[0].seed
        assert row.fidelity == Fidelity("epochs", 4)
        assert (row.worker, row.curve, row.evaluation_info) == (
            "inline",
            ({"epoch": 1, "loss": 0.5},),
            {"parameters": 7},
        )
        assert row.started is not None
        assert row.finished is not None
        assert 0 <= row.started <= row.finished
        assert record.stage(Stage.FINAL)[0].fidelity is None
        failed = record.trials[2]
        assert (failed.status, failed.reason, failed.values) == (Status.DIVERGED, "loss is nan", {})

    def test_cached_row_costs_nothing_and_names_its_source(self, tmp_path):
        make_study(tmp_path).run()
        rows = {row.number: row for row in read_study(tmp_path).trials}
        cached = [row for row in rows.values() if row.cached_from is not None]
        assert cached
        for row in cached:
            assert row.cached_from is not None
            source = rows[row.cached_from]
            assert row.values == source.values
            assert row.digest == source.digest
            assert (row.cost_seconds, row.worker, row.ok) == (0.0, None, True)
            assert row.started == row.finished
            assert row.finished is not None
            assert source.finished is not None
            assert row.finished >= source.finished

    def test_chosen_is_the_best_search_trial_and_ties_go_to_the_earlier(self, tmp_path):
        make_study(tmp_path).run()
        record = read_study(tmp_path)
        best = max(score(row.architecture) for row in record.stage(Stage.SEARCH))
        first = next(row for row in record.trials if score(row.architecture) == best)
        assert record.chosen == first
        assert {row.digest for row in record.final} == {first.digest}

    def test_the_openings_of_all_sessions_are_kept(self, tmp_path):
        make_study(tmp_path).run()
        make_study(tmp_path, plan=Plan(seed=1, budget=Budget(trials=13), time_limit=9.0)).run()
        record = read_study(tmp_path)
        assert [opened["time_limit"] for opened in record.openings] == [None, 9.0]
        assert (record.sessions, record.opened) == (2, record.openings[-1])

    def test_a_study_cut_short_is_in_progress(self, tmp_path):
        make_study(tmp_path).run()
        path = tmp_path / FILE_NAME
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:5]))  # opened, asked, cached, started, evaluated
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            record = read_study(tmp_path)
        assert record.in_progress
        assert len(record.trials) == 1
        path.write_bytes(b"".join(lines[:4]))
        assert read_study(tmp_path).trials[0].status is None

    def test_a_line_about_an_unknown_trial_is_an_error_with_its_number(self, tmp_path):
        make_study(tmp_path).run()
        path = tmp_path / FILE_NAME
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(lines[0] + lines[4])
        with pytest.raises(StoreError, match="line 2: expected the line numbered 1; got 4; 3 lines before"):
            read_study(tmp_path)


@pytest.mark.parametrize(
    ("number", "label"),
    [(0, "search 0"), (12, "search 12"), (10_000_003, "baseline 3"), (20_000_000, "final 0")],
)
def test_labels_name_stage_and_number_within_it(number, label):
    assert trial_label(number) == label


def test_rank_prefers_fidelity_then_objective_and_leaves_out_what_has_no_value():
    low = rank(ACCURACY, {"accuracy": 99.0}, Fidelity("epochs", 1))
    high = rank(ACCURACY, {"accuracy": 50.0}, Fidelity("epochs", 12))
    full = rank(ACCURACY, {"accuracy": 10.0}, None)
    better = rank(ACCURACY, {"accuracy": 11.0}, None)
    assert None not in (low, high, full, better)
    assert better < full < high < low  # type: ignore[operator]
    assert rank(ACCURACY, {"accuracy": math.nan}, None) is None
    assert rank(ACCURACY, {}, None) is None
