import csv
import io
import re

import numpy as np
import pytest

from nas.report import Table
from nas.report.comparison.report import markdown_report
from nas.report.comparison.tables import (
    architectures_sheet,
    costs_sheet,
    curves_csv,
    default_sheet,
    found_sheet,
    pairs_csv,
    pairs_sheet,
    ranks_sheet,
    runs_csv,
    search_sheet,
    sheets,
    values_sheet,
)
from tests.report.comparison.comparison_kit import (
    KEY,
    LATENCY,
    VALIDATION,
    analysed,
    baseline,
    overhead,
    real_comparison,
    spread,
    study,
    two_methods,
    write_manifest,
)


def cells_of(text):
    """The rows of a Markdown table, header first, without the rule."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in (lines[0], *lines[2:])]


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_medians_and_quartiles_by_hand(tmp_path):
    """After 2 evaluations the regrets of "slow" are 6, 5, 11 and those of "quick" 0, 1, 3."""
    analysis = analysed(two_methods(tmp_path))
    sheet = values_sheet(analysis, analysis.quantities[0])
    assert sheet.title == (
        "Regret of validation accuracy (%) of the choice by evaluations: median [quartiles] over seeds"
    )
    assert sheet.lines == [
        ("method", "2", "4"),
        ("slow", "6.00 [5.50, 8.50]", "4.00 [3.50, 6.00]"),
        ("quick", "1.00 [0.50, 2.00]", "0.00 [0.00, 0.50]"),
    ]


def test_what_is_beaten_is_not_bold(tmp_path):
    analysis = analysed(spread(tmp_path, {"a": 8, "b": 8, "c": 8, "d": 3}))
    sheet = values_sheet(analysis, analysis.quantities[0])
    assert sheet.bold == {(0, 1), (0, 2)}
    assert [row[0] for row in sheet.rows] == ["a", "b", "c", "d"]


def test_nothing_is_bold_where_the_seeds_are_too_few_to_tell(tmp_path):
    analysis = analysed(two_methods(tmp_path))
    assert values_sheet(analysis, analysis.quantities[0]).bold == frozenset()
    assert [row[1] for row in pairs_sheet(analysis, analysis.quantities[0]).rows] == ["-", "-"]
    assert default_sheet(analysis, analysis.quantities[0]).rows == (("slow", "1.00", "1.00"),)


def test_survivors_are_not_the_method(tmp_path):
    """Of 8 runs of "a", 5 get to 4 evaluations; of "random", 3."""
    write_manifest(tmp_path, ["a", "random"], 8, optimum={"validation_accuracy": 96.0})
    for seed in range(8):
        study(tmp_path, "a", seed, [(90, 80), (91, 81), (92, 82), (93, 83)][: 4 if seed < 5 else 2])
        study(tmp_path, "random", seed, [(80, 70), (81, 71), (82, 72), (83, 73)][: 4 if seed < 3 else 2])
    baseline(tmp_path, (70, 60), (80, 75), (75, 70))
    analysis = analysed(tmp_path)
    assert values_sheet(analysis, analysis.quantities[0]).rows == (
        ("a", "5.00 [5.00, 5.00]", "3.00 [3.00, 3.00] (n 5)"),
        ("random", "15.00 [15.00, 15.00]", "-"),
    )
    assert found_sheet(analysis).rows == (
        ("a", "18.0 (n 5)", "0 %", "0 % (n 5)"),
        ("random", "-", "0 %", "-"),
    )
    a, random = architectures_sheet(analysis).rows
    assert (a[2][-5:], random[2], "(n" in a[1]) == ("(n 5)", "-", False)
    ((name, first, last),) = search_sheet(analysis).rows
    assert (name, "(n" in first, last) == ("a", False, "-")  # nor is a yardstick of survivors one


def test_stars_are_corrected_over_the_methods_of_a_column(tmp_path):
    """2 / C(10, 5) = 0.008: significant among 2 methods, not among 7; the first column has one."""
    methods = [*"abcdefg"]
    for count, expected in ((2, True), (7, False)):
        folder = write_manifest(tmp_path / str(count), methods[:count], 5)
        for method in methods[:count]:
            for seed in range(5):
                study(folder, method, seed, [(90, 80 + 0.1 * seed)] * 4)
        baseline(folder, *((60, 70 + 0.1 * index) for index in range(5)))
        sheet = architectures_sheet(analysed(folder))
        assert [row[1].endswith("*") for row in sheet.rows] == [expected] * count
    assert "Holm's correction" in sheet.notes[-1]


def test_areas_and_shares(tmp_path):
    sheet = found_sheet(analysed(two_methods(tmp_path)))
    assert sheet.lines == [
        ("method", "area (%)", "2", "4"),
        ("slow", "32.0", "0 %", "0 %"),
        ("quick", "4.0", "33 %", "67 %"),
    ]
    assert "the known optimum, 96 %." in sheet.notes[0]


def test_mean_ranks_and_their_test(tmp_path):
    analysis = analysed(two_methods(tmp_path))
    sheet = ranks_sheet(analysis, analysis.quantities[0])
    assert sheet.rows == (("slow", "2.00", "2.00"), ("quick", "1.00", "1.00"))
    foot = {row[0]: row[1] for row in sheet.foot}
    p, least = foot.pop("p").split(" ", 1)
    assert float(p) == pytest.approx(2 / 2**3, abs=0.02)  # both orders of 2 in 3 blocks
    assert least == "(at least 0.25)"
    assert foot == {
        "seeds": "3",
        "critical difference": "1.13",
        "Friedman chi-squared": "3.0",
        "Iman-Davenport F": "inf",
    }
    assert sheet.bold == frozenset()  # no two mean ranks are 1.13 apart


def test_better_and_worse_are_counted(tmp_path):
    analysis = analysed(spread(tmp_path, {"a": 8, "b": 8, "c": 8, "d": 3}, default="b"))
    quantity = analysis.quantities[0]
    assert [row[1] for row in pairs_sheet(analysis, quantity).rows] == ["2 / 0", "1 / 1", "0 / 2", "-"]
    rows = default_sheet(analysis, quantity).rows
    assert rows == (("a", "0.00 -", "0.00 -"), ("c", "1.00 +", "1.00 +"), ("d", "-", "-"))


def test_costs(tmp_path):
    two_methods(tmp_path)
    overhead(tmp_path, "quick", 0, [0.001, 0.003])
    slow, quick = costs_sheet(analysed(tmp_path)).rows
    assert slow == ("slow", "12", "0", "0", "2", "-", "-", "-", "4 min 00 s", "4 min 00 s")
    assert quick[5:8] == ("2.00", "2.90", "0.00")


def test_the_tables_of_a_whole_comparison_parse_back(tmp_path):
    analysis = analysed(real_comparison(tmp_path))
    for sheet in sheets(analysis):
        cells = cells_of(sheet.markdown())
        assert [tuple(cell.strip("*").replace("\\", "") for cell in line) for line in cells] == [
            tuple(cell.strip("*") for cell in line) for line in sheet.lines
        ]
    quantity = analysis.quantities[0]
    for line in cells_of(values_sheet(analysis, quantity).markdown())[1:]:
        for budget, cell in zip(analysis.comparison.budgets, line[1:], strict=True):
            found = [float(number) for number in re.findall(r"[-\d.]+", cell)]
            low, middle, high = np.quantile(quantity.at(line[0], budget), (0.25, 0.5, 0.75))
            assert found == pytest.approx([middle, low, high], abs=0.005)


def test_latex_is_escaped_and_complete(tmp_path):
    write_manifest(tmp_path, ["a_b & 50%", "random"], 8, default="random", name="toy_1 #1")
    for seed in range(8):
        study(tmp_path, "a_b & 50%", seed, [(90, 80 + seed)] * 4)
        study(tmp_path, "random", seed, [(80, 70 + seed)] * 4)
    baseline(tmp_path, (70, 60), (80, 75))
    for sheet in sheets(analysed(tmp_path)):
        text = sheet.latex()
        body = text[text.index(r"\toprule") : text.index(r"\bottomrule")]
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert len(rows) == len(sheet.lines)
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(sheet.header) - 1}
        assert not re.findall(r"(?<!\\)[#%_]", text.replace(r"% \usepackage", ""))
        assert text.count(r"\midrule") == 1 + bool(sheet.foot)
        assert len(re.findall(r"(?<!\\)\{", text)) == len(re.findall(r"(?<!\\)\}", text))
    assert r"a\_b \& 50\%" in values_sheet(analysed(tmp_path), analysed(tmp_path).quantities[0]).latex()


def test_the_foot_of_a_latex_table_stands_below_a_rule():
    sheet = Table("t", ("method", "2"), (("a", "1"), ("b", "2")), (("n", "3"),), frozenset({(1, 1)}))
    lines = sheet.latex().splitlines()
    start = lines.index(r"\midrule")
    assert lines[start : start + 5] == [
        r"\midrule",
        r"a & 1 \\",
        r"b & \textbf{2} \\",
        r"\midrule",
        r"n & 3 \\",
    ]


def test_the_long_table_has_every_run_at_every_budget(tmp_path):
    two_methods(tmp_path)
    study(tmp_path, "slow", 2, [(80, 80), (85, 85)], reason="interrupted")
    overhead(tmp_path, "slow", 0, [0.001, 0.003, 0.002, 0.002])
    rows = rows_of(runs_csv(analysed(tmp_path)))
    assert len(rows) == 2 * 3 * 2
    found = {(row["method"], row["seed"], row["budget"]): row for row in rows}
    row = found["slow", "0", "2"]
    assert {name: float(row[name]) for name in ("evaluations", "trials", "time_seconds", "cost_seconds")} == {
        "evaluations": 2,
        "trials": 2,
        "time_seconds": 120,
        "cost_seconds": 120,
    }
    assert (float(row["validation_accuracy"]), float(row["test_accuracy"])) == (90, 80)
    assert (float(row[KEY]), float(row["test_accuracy_regret"]), row["found"]) == (6, 20, "0")
    assert (row[f"{KEY}_rank"], row["repeats"], row["failures"]) == ("2.0", "0", "0")
    assert float(row["ask_ms_mean"]) == pytest.approx(2)
    assert found["slow", "0", "4"]["failures"] == "1"
    beyond = found["slow", "2", "4"]
    assert {beyond[name] for name in ("evaluations", "trials", "time_seconds", KEY, "found", "repeats")} == {
        ""
    }
    assert beyond["state"] == "unfinished"


def test_curves_read_back_exactly(tmp_path):
    rows = rows_of(curves_csv(analysed(two_methods(tmp_path))))
    points = {(r["axis"], r["quantity"], r["method"], r["at"]): r for r in rows}
    row = points["evaluations", KEY, "slow", "2"]
    assert [float(row[name]) for name in ("n", "lower_quartile", "median", "upper_quartile", "mean")] == [
        *(3, 5.5, 6, 8.5),
        22 / 3,
    ]
    assert float(row["standard_error"]) == pytest.approx(np.std([6, 5, 11], ddof=1) / 3**0.5)
    assert points["evaluations", KEY, "slow", "1"]["mean"] == ""  # one run had nothing yet
    assert float(points["evaluations", "found", "quick", "4"]["mean"]) == pytest.approx(2 / 3)
    assert {axis for axis, *_ in points} == {"evaluations", "seconds"}


def test_pairs_read_back_exactly(tmp_path):
    analysis = analysed(spread(tmp_path, {"a": 8, "b": 8, "c": 8}))
    rows = rows_of(pairs_csv(analysis))
    assert len(rows) == 3 * 2 * 2  # pairs, budgets, quantities
    pair = analysis.tests["validation_accuracy"][0].pairs[0]
    assert (float(rows[0]["p"]), float(rows[0]["p_holm"])) == (pair.p, pair.p_holm)
    assert (rows[0]["method"], rows[0]["other"], rows[0]["significant"]) == ("a", "b", "1")
    assert float(rows[0]["median"]) - float(rows[0]["median_other"]) == pytest.approx(2)


def test_the_report_has_this_structure(tmp_path):
    baseline(two_methods(tmp_path), (70, 60), (80, 75))
    analysis = analysed(tmp_path)
    text = markdown_report(analysis, list(sheets(analysis)), ["evaluations"])
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [
        "# toy: searchers compared",
        "## In short",
        "## What is missing",
        "## Tables",
        "### Regret of validation accuracy (%) of the choice by evaluations: median [quartiles] over seeds",
        "### Regret of test accuracy (%) of the choice by evaluations: median [quartiles] over seeds",
        "### Runs that have found the best architecture by validation_accuracy, and area of regret",
        "### Mean rank over seeds by regret of validation accuracy; 1 is the best",
        "### Significantly better / worse than so many others by regret of validation accuracy",
        "### quick beside each other method by regret of validation accuracy: A12",
        "### Mean rank over seeds by regret of test accuracy; 1 is the best",
        "### Significantly better / worse than so many others by regret of test accuracy",
        "### quick beside each other method by regret of test accuracy: A12",
        "### Relative improvement (%) of test_accuracy over the average random architecture",
        "### What searching cost; counts over all seeds",
        "## Figures",
        "## How to read this",
    ]
    assert "![evaluations](evaluations.png)" in text
    assert "- By regret of validation accuracy: 2 evaluations: quick not testable with 3 seeds; 4 are" in text


def test_several_objectives_are_compared_by_hypervolume_first(tmp_path):
    changes = {"objectives": [VALIDATION, LATENCY], "optimum": {}, "default": "a"}
    write_manifest(tmp_path, ["a", "b"], 4, **changes)
    for seed in range(4):
        study(tmp_path, "a", seed, [{"values": (80 + n, 1), "latency": 20.0 - n - seed} for n in range(4)])
        study(tmp_path, "b", seed, [{"values": (70 + n, 1), "latency": 30.0 - n - seed} for n in range(4)])
    titles = [sheet.title for sheet in sheets(analysed(tmp_path))]
    assert titles[0] == "Hypervolume (share) by evaluations: median [quartiles] over seeds"
    assert "a beside each other method by hypervolume: A12" in titles
