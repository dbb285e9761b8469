from __future__ import annotations

import csv
import gzip
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas.errors import ConfigError, EvaluationError
from nas.evaluation import Evaluation, Fidelity, Objective, Status, Task
from nas.evaluation import tables as tabular
from nas.evaluation.tables import TableEvaluator, create, levels_from

MakeTask = Callable[..., Task]
COLUMNS = {
    12: {"validation_accuracy": "valid_12", "latency": "ms"},
    "200": {"validation_accuracy": "valid_200", "test_accuracy": "test_200", "latency": "ms"},
}
TEXT = "name,valid_12,valid_200,test_200,s,ms,note\na,50,90,89,2.5,7,x\nb,60,80.5,81,1.5,9,\n"
GZIPPED = gzip.compress(TEXT.encode())


def text_of(architecture: Any) -> str:
    """The key of a test's candidate."""
    return architecture.text


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "table.csv").write_text(TEXT)
    return str(tmp_path / "table.csv")


def table(path: str, **options: Any) -> TableEvaluator:
    defaults = {"key": text_of, "key_column": "name", "columns": COLUMNS, "cost_column": "s"}
    return create(path=path, **{**defaults, **options})


def test_a_look_up_gives_the_columns_of_the_full_fidelity_and_its_cost(
    path: str, make_task: MakeTask
) -> None:
    evaluation = table(path)(make_task("b"))
    assert evaluation.status is Status.COMPLETED
    assert evaluation.values == {"validation_accuracy": 80.5, "test_accuracy": 81.0, "latency": 9.0}
    assert evaluation.cost_seconds == 1.5 * 200


def test_a_lower_fidelity_has_its_own_columns_and_cost(path: str, make_task: MakeTask) -> None:
    evaluator = table(path)
    evaluation = evaluator(make_task("a", fidelity=Fidelity("epochs", 12)))
    assert evaluation.values == {"validation_accuracy": 50.0, "latency": 7.0}
    assert evaluation.cost_seconds == 30.0
    assert evaluator.fidelity_range == ("epochs", 12, 200)


def test_its_fidelities_and_the_values_at_each_are_known(path: str) -> None:
    evaluator = table(path)
    low, full = evaluator.levels
    assert (low, full) == (Fidelity("epochs", 12), Fidelity("epochs", 200))
    assert evaluator.value_names(low) == ("validation_accuracy", "latency")
    assert evaluator.value_names(None) == evaluator.value_names(full)
    assert set(evaluator.value_names(full)) == {"validation_accuracy", "test_accuracy", "latency"}


def test_a_continuation_costs_the_difference_if_the_levels_are_points_of_one_training(
    path: str, make_task: MakeTask
) -> None:
    rest = make_task("b", done=Fidelity("epochs", 12))
    assert table(path)(rest).cost_seconds == 1.5 * 200
    assert table(path, continues=True)(rest).cost_seconds == 1.5 * (200 - 12)
    assert table(path, continues=True)(make_task("b")).cost_seconds == 1.5 * 200
    assert table(path).fingerprint() != table(path, continues=True).fingerprint()


def test_the_curve_has_a_row_of_each_level_up_to_the_fidelity(path: str, make_task: MakeTask) -> None:
    evaluation = table(path)(make_task("a"))
    assert evaluation.curve == (
        {"epoch": 12, "validation_accuracy": 50.0, "latency": 7.0},
        {"epoch": 200, "validation_accuracy": 90.0, "test_accuracy": 89.0, "latency": 7.0},
    )
    assert Evaluation.from_json(evaluation.to_json()) == evaluation
    levels = {level: {"validation_accuracy": f"valid_{min(level, 200)}"} for level in (200, 12, 300)}
    middle = table(path, columns=levels)(make_task("b", fidelity=Fidelity("epochs", 200)))
    assert middle.curve == (
        {"epoch": 12, "validation_accuracy": 60.0},
        {"epoch": 200, "validation_accuracy": 80.5},
    )


def test_no_curve_where_it_would_repeat_the_values(path: str, make_task: MakeTask) -> None:
    assert table(path)(make_task("a", fidelity=Fidelity("epochs", 12))).curve == ()
    assert table(path, columns={"validation_accuracy": "valid_200"})(make_task("a")).curve == ()


@pytest.mark.parametrize("fidelity", [Fidelity("epochs", 100), Fidelity("samples", 12)])
def test_a_fidelity_that_the_table_lacks_is_an_error(
    path: str, make_task: MakeTask, fidelity: Fidelity
) -> None:
    expected = f'expected "epochs" of 12, 200, got "{fidelity.name}" of {fidelity.value}; .* has no others$'
    with pytest.raises(EvaluationError, match=expected):
        table(path)(make_task("a", fidelity=fidelity))


def test_a_task_is_checked_against_the_table(path: str, make_task: MakeTask) -> None:
    table(path).check(make_task("a", fidelity=Fidelity("epochs", 12)))
    with pytest.raises(EvaluationError, match=r"table\.csv: no row with name = \"c\"$"):
        table(path).check(make_task("c"))
    with pytest.raises(EvaluationError, match='expected "epochs" of 12, 200'):
        table(path).check(make_task("a", fidelity=Fidelity("epochs", 13)))


def test_a_table_of_one_fidelity_costs_what_its_column_says(path: str, make_task: MakeTask) -> None:
    evaluator = table(path, columns={"validation_accuracy": "valid_200"})
    assert evaluator.fidelity_range is None
    assert evaluator(make_task("a")).cost_seconds == 2.5
    assert table(path, cost_column=None)(make_task("a")).cost_seconds == 0.0


def test_objectives_have_directions_and_a_report(path: str) -> None:
    latency = {"name": "latency", "direction": "minimize", "unit": "ms"}
    evaluator = table(path, objectives=["validation_accuracy", latency], reported="latency")
    assert evaluator.objectives == (Objective("validation_accuracy"), Objective("latency", "minimize", "ms"))
    assert evaluator.reported == Objective("latency", "minimize", "ms")
    assert table(path).reported == Objective("validation_accuracy")


def test_an_architecture_that_is_not_in_the_table_is_a_failed_evaluation(
    path: str, make_task: MakeTask
) -> None:
    evaluation = table(path)(make_task("c"))
    assert (evaluation.status, evaluation.reason) == (Status.ERROR, f'{path}: no row with name = "c"')


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"path": "/no/such.csv"},
            "^table /no/such.csv: expected a CSV file, found none; put it there or set",
        ),
        (
            {"key_column": "id"},
            'expected a column "id", found name, valid_12, valid_200, test_200, s, ms, note; set '
            "evaluator.key",
        ),
        ({"cost_column": "hours"}, 'expected a column "hours", found name'),
        (
            {"columns": {"validation_accuracy": "note"}},
            "line 2: expected numbers in note, s, got x, 2.5; complete the row or remove it$",
        ),
    ],
)
def test_a_missing_file_column_or_number_is_an_error_in_one_line(
    path: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(EvaluationError, match=message) as caught:
        table(**{"path": path, **options})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", 'expected a column "name", found none; set evaluator.key_column, columns and cost_column to'),
        (
            b"name;valid_12\na;1\n",
            'expected a column "name", found name;valid_12; separate its columns by commas$',
        ),
        (TEXT.encode().replace(b"note", b"ms"), 'expected one column "ms", found 2; rename or remove one$'),
        (TEXT.encode().splitlines()[0], "expected at least one row below its header, found none; add rows$"),
        (
            TEXT.encode() + b"c,1,2,3,-4,5,\n",
            "line 4: expected a cost of at least 0 in s, got -4; correct it$",
        ),
        (
            TEXT.encode() + b"c,1,2,3,4,5," + b"x" * 200_000,
            "line 4: cannot read it: field larger .*; save it as",
        ),
        (TEXT.encode() + b"a,1,2,3,4,5,\n", 'line 4: "a" occurs a second time; keep one row of each key$'),
        (TEXT.encode() + b"c,1\n", "line 4: expected numbers in .*, got 1; complete the row or remove it$"),
        (TEXT.encode() + b"c,1,nan,3,4,5,\n", "line 4: expected numbers in"),
        (b"\xff\xfe", "expected a CSV file in UTF-8"),
    ],
    ids=["empty", "semicolons", "columns", "header", "cost", "field", "twice", "short", "nan", "binary"],
)
def test_a_bad_table_is_an_error_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "bad.csv").write_bytes(content)
    with pytest.raises(EvaluationError, match=f"^table .*bad.csv.*{message}") as caught:
        table(str(tmp_path / "bad.csv"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"\x1f\x8bno gzip", GZIPPED[:-12], GZIPPED[:-4]], ids=["none", "cut", "tail"]
)
def test_a_damaged_archive_is_an_error_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.csv.gz").write_bytes(content)
    with pytest.raises(EvaluationError, match=r"bad.csv.gz: cannot read it: .*; replace the file$"):
        table(str(tmp_path / "bad.csv.gz"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"objectives": "accuracy"},
            '^evaluator "table": columns of 12: unknown option "accuracy"; options: val',
        ),
        ({"columns": {}}, '^evaluator "table": columns: expected a mapping'),
        ({"columns": {"x": {"validation_accuracy": "valid_12"}}}, "columns: expected a mapping .* got 'x'"),
        ({"columns": {"validation_accuracy": 12}}, "columns: expected a mapping"),
        ({"key": "nas.no_such:key"}, '^evaluator "table": key: cannot import "nas.no_such"'),
        ({"objectives": 3}, '^evaluator "table": objectives: expected a name or a mapping .* got 3$'),
        ({"reported": 3}, '^evaluator "table": reported: expected a name or a mapping .* got 3$'),
        (
            {"reported": ["latency", "validation_accuracy"]},
            "reported: expected one quantity, got latency, val",
        ),
        ({"continues": "no"}, "^evaluator .table.: continues: expected true or false, got 'no'$"),
        ({"cost_column": 3}, "^evaluator .table.: cost_column: expected a text, got 3$"),
        ({"key": None}, '^evaluator "table": expected the options path, .*; missing: key$'),
    ],
)
def test_bad_options_are_errors_in_one_line(path: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        table(path, **options)


def test_levels_from_takes_both_forms() -> None:
    assert levels_from({"a": "b"}) == {1.0: {"a": "b"}}
    assert levels_from({"12": {"a": "b"}}) == {12.0: {"a": "b"}}


def test_the_fingerprint_is_that_of_file_columns_and_key(path: str, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text(TEXT + "c,1,2,3,4,5,\n")
    (tmp_path / "same.csv.gz").write_bytes(GZIPPED)
    others = (table(str(tmp_path / "other.csv")), table(path, cost_column=None), table(path, key=str))
    fingerprints = {evaluator.fingerprint() for evaluator in (table(path), *others)}
    assert len(fingerprints) == 4
    assert table(str(tmp_path / "same.csv.gz")).fingerprint() == table(path).fingerprint()


@pytest.fixture(scope="module")
def benchmark(shared_data: Path) -> TableEvaluator:
    columns = {
        epochs: {"validation_accuracy": f"c10_valid_{epochs}", "test_accuracy": f"c10_test_{epochs}"}
        for epochs in (12, 200)
    }
    options = {"key_column": "arch_str", "columns": columns, "cost_column": "c10_epoch_runtime_s"}
    return create(
        path=str(shared_data / "nasbench201_cifar10.csv.gz"), key=text_of, reported="test_accuracy", **options
    )


def test_the_real_nasbench201_has_its_published_facts(
    benchmark: TableEvaluator, make_task: MakeTask, shared_data: Path
) -> None:
    with gzip.open(shared_data / "nasbench201_cifar10.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    assert len(benchmark) == len(rows) == 15_625
    accuracies = [benchmark(make_task(row["arch_str"])).values["test_accuracy"] for row in rows]
    assert max(accuracies) == pytest.approx(94.37, abs=0.005)  # Dong and Yang 2020, table 5: optimal
    first = benchmark(make_task(rows[0]["arch_str"], fidelity=Fidelity("epochs", 12)))
    assert first.values["validation_accuracy"] == float(rows[0]["c10_valid_12"])
    assert first.cost_seconds == 12 * float(rows[0]["c10_epoch_runtime_s"])


def test_a_look_up_is_fast_and_the_evaluator_travels_by_pickle(
    benchmark: TableEvaluator, make_task: MakeTask
) -> None:
    task = make_task(
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    )
    started = time.process_time()
    for _ in range(10_000):
        benchmark(task)
    assert (time.process_time() - started) / 10_000 < 20e-6  # 3e-6 on an idle core
    arrived = pickle.loads(pickle.dumps(benchmark))
    assert arrived(task) == benchmark(task)
    assert arrived.fingerprint() == benchmark.fingerprint()


def test_a_table_knows_the_best_of_each_quantity(path: str) -> None:
    evaluator = table(path)
    accuracy, latency = Objective("validation_accuracy"), Objective("latency", "minimize")
    assert evaluator.optimum(accuracy) == 90.0
    assert evaluator.optimum(accuracy, Fidelity("epochs", 12)) == 60.0
    assert evaluator.optimum(latency) == 7.0
    assert evaluator.values_of(accuracy) == [90.0, 80.5]
    with pytest.raises(ConfigError, match=r'columns: .*"speed"'):
        evaluator.optimum(Objective("speed"))
    with pytest.raises(EvaluationError, match='expected "epochs" of 12, 200, got "epochs" of 7'):
        evaluator.optimum(accuracy, Fidelity("epochs", 7))


def test_a_table_is_read_whatever_its_name_and_with_the_mark_of_spreadsheets(
    tmp_path: Path, make_task: MakeTask
) -> None:
    for name, content in (
        ("a.csv", GZIPPED),
        ("b.gz", TEXT.encode()),
        ("c.csv", b"\xef\xbb\xbf" + TEXT.encode()),
    ):
        (tmp_path / name).write_bytes(content)
        assert table(str(tmp_path / name))(make_task("b")).values["test_accuracy"] == 81.0


def test_a_table_that_unpacks_to_more_than_the_bound_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bomb.csv.gz").write_bytes(gzip.compress(TEXT.encode() + b"\n" * 2**21))
    assert len(table(str(tmp_path / "bomb.csv.gz"))) == 2
    monkeypatch.setattr(tabular, "_MOST_BYTES", 2**20)
    with pytest.raises(
        EvaluationError, match=r"expected at most 1 MiB, unpacked; leave out columns or rows$"
    ):
        table(str(tmp_path / "bomb.csv.gz"))


@pytest.mark.parametrize("path", ["/dev/null", "~no_such_user/a.csv", "a\0b", "x" * 5000, "."])
def test_a_path_that_is_no_file_is_one_line(path: str) -> None:
    with pytest.raises(
        EvaluationError, match=r"^table .*: expected a CSV file, .*; put it there or set evaluator"
    ):
        table(path)
