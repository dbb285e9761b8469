from __future__ import annotations

import csv
import math

import pytest
from scipy.stats import mannwhitneyu

from nas.report import Run, overview, write_report
from nas.report.results import result_tables
from nas.study import read_study
from tests.report.report_kit import Log, pairs

CHOICE = "stem(width=17) >> conv(kernel=3) >> head()"


def run(folder, tests, random, *, name="digits", data="e1", **options):
    """A finished search whose final trials gave `tests`; the random architectures gave `random`."""
    log = Log(folder, name=name, fingerprint=data, **options)
    dataset = {"name": name, "evaluator": {"name": "classification", "dataset": data, "epochs": 8}}
    log.opened(config=dataset).search((90.0, 89.0), (95.0, 94.0))
    log.baseline(*pairs(random))
    return log.final(CHOICE, *pairs(tests)).closed().write()


def eight(folder, values, random, **options):
    """Eight searches with one final trial and one random architecture each: the protocol of the paper."""
    return [
        run(folder / str(seed), [value], [base], seed=seed, **options)
        for seed, (value, base) in enumerate(zip(values, random, strict=True))
    ]


def view_of(folders):
    view = overview.overview(result_tables([Run.of(read_study(folder)) for folder in folders]))
    assert view is not None
    return view


GOOD, BAD = [94.0 + 0.1 * i for i in range(8)], [90.0 + 0.1 * i for i in range(8)]
RANDOM = [91.0 + 0.1 * i for i in range(8)]


def two_data_sets(tmp_path):
    return [
        *eight(tmp_path / "a", GOOD, RANDOM, name="digits", data="digits"),
        *eight(tmp_path / "b", BAD, [50.0 + i for i in range(8)], name="fashion", data="fashion"),
    ]


def test_eight_searches_and_eight_samples_on_two_data_sets(tmp_path):
    view = view_of(two_data_sets(tmp_path))
    assert view.columns == ("digits", "fashion")
    assert view.methods == ("regularized_evolution",)
    first, second = (view.cells["regularized_evolution", column] for column in view.columns)
    assert (first.comparison.n_method, first.comparison.n_random) == (8, 8)
    assert first.comparison.relative_improvement == pytest.approx(100 * (94.35 - 91.35) / 91.35)
    # nothing is pooled over data sets: its own random architectures have a mean of 53.5
    assert second.comparison.mean_random == pytest.approx(53.5)
    assert second.comparison.relative_improvement == pytest.approx(100 * (90.35 - 53.5) / 53.5)
    p = mannwhitneyu(GOOD, RANDOM, method="exact").pvalue  # all of the method above all others, in both
    assert (first.corrected_p, second.corrected_p) == pytest.approx((2 * p, 2 * p))
    assert first.significant


def test_the_tables_say_what_they_show(tmp_path):
    folder = tmp_path / "report"
    report = write_report(two_data_sets(tmp_path), folder)
    assert report.text.index(overview.HEADING) < report.text.index("### digits")
    text = (folder / "datasets.md").read_text()
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")
    ]
    assert rows[0] == ["method", "digits", "fashion"]
    assert rows[2][1].startswith(r"**+3.28 [")
    assert rows[2][1].endswith(r"]\* (n = 8, 8)**")
    assert rows[3] == ["method", "digits: test_accuracy (%)", "fashion: test_accuracy (%)"]
    assert rows[5][1] == "91.35 ± 0.24 (8) to 94.35 ± 0.24 (8)"
    assert "Holm's correction over 2 cells" in " ".join(text.split())
    latex = (folder / "datasets.tex").read_text()
    assert latex.count(r"\begin{table}") == 2
    assert r"\textbf{+3.28" in latex
    with (folder / "datasets.csv").open() as file:
        found = list(csv.DictReader(file))
    assert [(row["setting"], row["n_method"], row["n_random"]) for row in found] == [
        ("digits", "8", "8"),
        ("fashion", "8", "8"),
    ]
    assert float(found[0]["relative_improvement"]) == pytest.approx(3.284, abs=1e-3)


def test_one_data_set_has_no_overview(tmp_path):
    folders = eight(tmp_path / "a", GOOD, RANDOM)
    assert overview.overview(result_tables([Run.of(read_study(folder)) for folder in folders])) is None
    write_report(folders, tmp_path / "report")
    assert not (tmp_path / "report" / "datasets.md").exists()


def test_a_method_that_ran_on_one_of_them_has_one_cell(tmp_path):
    folders = two_data_sets(tmp_path)
    folders += eight(tmp_path / "c", GOOD, RANDOM, name="digits", data="digits", searcher="random")
    view = view_of(folders)
    assert view.methods == ("regularized_evolution", "random")
    assert ("random", "fashion") not in view.cells
    lines = overview.markdown(view).splitlines()
    cells = next(line for line in lines if line.startswith("| random")).split("|")[2:4]
    assert "(n = 8, 8)" in cells[0]
    assert not cells[1].strip()


def test_a_method_with_other_options_on_other_data_is_two_methods(tmp_path):
    folders = [
        *eight(tmp_path / "a", GOOD, RANDOM, data="digits", options={"population": 10}),
        *eight(tmp_path / "b", GOOD, RANDOM, name="fashion", data="fashion", options={"population": 50}),
    ]
    assert view_of(folders).methods == (
        "regularized_evolution(population=10)",
        "regularized_evolution(population=50)",
    )


def test_columns_of_one_name_are_told_apart(tmp_path):
    folders = [
        *eight(tmp_path / "a", GOOD, RANDOM, name="mine", data="left"),
        *eight(tmp_path / "b", GOOD, RANDOM, name="mine", data="right"),
    ]
    assert view_of(folders).columns == ("mine (dataset=left)", "mine (dataset=right)")


def test_another_fingerprint_alone_is_another_column(tmp_path):
    def alike(folder, data):
        log = Log(folder, fingerprint=data).opened().search((95.0, 94.0)).baseline(*pairs([90.0, 91.0]))
        return log.final("stem(width=16) >> conv(kernel=3) >> head()", *pairs([93.0])).closed().write()

    view = view_of([alike(tmp_path / "a", "abcdefghij"), alike(tmp_path / "b", "klmnopqrst")])
    assert view.columns == ("digits abcdefgh", "digits klmnopqr")


def test_one_search_a_cell_is_said_to_be_one(tmp_path):
    folders = [
        run(tmp_path / "a", [94.0, 94.2], [90.0, 91.0], data="digits"),
        run(tmp_path / "b", [94.0, 94.2], [90.0, 91.0], name="fashion", data="fashion"),
    ]
    text = " ".join(overview.markdown(view_of(folders)).split())
    assert (
        "One search only, so that n counts retrainings of its choice: regularized_evolution on digits,"
        in text
    )
    assert (
        "In 2 of 2 cells even the smallest p that the samples allow, times the number of cells, is not"
        in text
    )


def test_without_random_architectures_nothing_is_compared(tmp_path):
    folders = [
        run(tmp_path / "a", [94.0, 94.2], [], data="digits"),
        run(tmp_path / "b", [94.0, 94.2], [90.0, 91.0], name="fashion", data="fashion"),
    ]
    view = view_of(folders)
    assert math.isnan(view.cells["regularized_evolution", "digits"].corrected_p)
    assert "- (n = 2, 0)" in overview.markdown(view)
