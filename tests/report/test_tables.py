import math
import re

import pandas as pd
import pytest

from nas.report import Run
from nas.report.results import result_tables
from nas.report.statistics import relative_improvement
from nas.report.tables import latex, markdown, trials_table, verdicts
from nas.study import read_study
from tests.report.report_kit import Log, finished_run, pairs


def tables_of(*directories):
    return result_tables([Run.of(read_study(directory)) for directory in directories])


def table_of(*directories):
    (table,) = tables_of(*directories)
    return table


def run(directory, tests, random=(89.0, 90.0, 91.0), **options):
    """A run whose choice has the given test values in its final trials."""
    log = Log(directory, **options).opened()
    log.search((91.0, 90.0), (95.0, 94.0)).baseline(*pairs(random))
    width = 17 if log.direction == "maximize" else 16
    return log.final(f"stem(width={width}) >> conv(kernel=3) >> head()", *pairs(tests)).closed().write()


# the long table


def test_trials_table_has_one_row_per_trial_and_stable_columns(tmp_path):
    table = trials_table([read_study(finished_run(tmp_path / "one"))])
    assert list(table.columns) == [
        *("study", "trial", "stage", "architecture", "digest", "seed", "fidelity", "status", "reason"),
        *("validation_accuracy", "test_accuracy"),
        *("cost_seconds", "started", "finished", "cached_from", "parent", "worker", "checkpoint"),
        *("device", "parameters"),
    ]
    assert len(table) == 4 + 3 + 2
    assert list(table["stage"].unique()) == ["search", "baseline", "final"]
    assert table["study"].unique() == ["one"]
    assert table["trial"].dtype == "Int64"


def test_trials_table_keeps_a_failed_trial_with_its_reason_and_no_value(tmp_path):
    failed = trials_table([read_study(finished_run(tmp_path))]).iloc[1]
    assert (failed["status"], failed["reason"]) == ("diverged", "loss is nan in epoch 2")
    assert math.isnan(failed["validation_accuracy"])
    assert failed["cost_seconds"] == 60


def test_trials_table_shows_cached_and_unfinished_trials(tmp_path):
    log = Log(tmp_path).opened().search((91.0, 90.0))
    log.add(event="cached", trial=log.asked("search", 1), outcome="hit", holder=0, key=["k", ""])
    log.add(event="told", trial=1, cached_from=0, clock=61.0)
    log.asked("search", 2, fidelity={"name": "epochs", "value": 4})
    table = trials_table([read_study(log.write())])
    assert table["cached_from"].tolist() == [pd.NA, 0, pd.NA]
    assert table["validation_accuracy"].tolist()[:2] == [91.0, 91.0]
    assert table["cost_seconds"].tolist() == [60.0, 0.0, 0.0]
    assert table["fidelity"].tolist()[2] == "epochs=4"
    assert pd.isna(table["status"][2])


def test_trials_table_keeps_whole_facts_whole_where_some_are_missing(tmp_path):
    table = trials_table([read_study(finished_run(tmp_path))])
    assert table["parameters"].dtype == "Int64"
    assert table["parameters"].tolist()[:3] == [1234, pd.NA, 1234]


def test_trials_table_takes_whole_numbers_beyond_64_bits(tmp_path):
    log = Log(tmp_path).opened()
    log.evaluated(log.asked("search", 0), (91.0, 90.0), info={"size": 10**30})
    assert trials_table([read_study(log.write())])["size"].tolist() == [10**30]


def test_trials_table_without_a_trial_has_its_columns(tmp_path):
    table = trials_table([read_study(Log(tmp_path).opened().write())])
    assert len(table) == 0
    assert list(table.columns)[:2] == ["study", "trial"]


def test_trials_of_runs_with_the_same_folder_name_stay_apart(tmp_path):
    records = [read_study(finished_run(tmp_path / name / "run")) for name in ("a", "b")]
    assert trials_table(records)["study"].nunique() == 2


# the result table


def test_one_run_gives_random_sampling_and_its_choice(tmp_path):
    table = table_of(finished_run(tmp_path))
    random, chosen = table.rows
    assert (random.label, random.values, random.trials) == ("random sampling", (89.0, 90.0, 91.0), 3)
    assert (chosen.label, chosen.values, chosen.trials) == ("regularized_evolution", (94.0, 94.4), 4)
    assert chosen.cost_seconds == 240
    assert chosen.comparison.relative_improvement == relative_improvement([94.0, 94.4], [89.0, 90.0, 91.0])
    assert table.setting == "digits: space macro, evaluator ImageClassification"


def test_markdown_shows_every_column(tmp_path):
    text = markdown(table_of(run(tmp_path, (94.0, 94.4))))
    assert re.search(r"\| method +\| +test_accuracy \(%\) \| RI \(%\) \|", text)
    assert re.search(r"\| random sampling +\| +90\.00 ± 1\.00 \(3\) \|", text)
    assert re.search(r"\| regularized_evolution +\| +94\.20 ± 0\.28 \(2\) \| +\+4\.67 \| +\|", text), (
        "no interval of two values"
    )
    text = markdown(table_of(run(tmp_path, (94.0, 94.2, 94.4))))
    assert re.search(r"\| +94\.20 ± 0\.20 \(3\) \| +\+4\.67 \| \+3\.\d\d to", text)
    text = markdown(table_of(run(tmp_path, (94.0, 94.4))))
    assert "not significant: with n = 2 and 3 the rank test cannot reach p < 0.05" in " ".join(text.split())


def test_markdown_columns_are_aligned(tmp_path):
    lines = [line for line in markdown(table_of(finished_run(tmp_path))).split("\n") if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1
    assert len({line.count("|") for line in lines}) == 1


def test_not_significant_is_said_plainly_in_the_table_and_below(tmp_path):
    table = table_of(run(tmp_path, (89.5, 90.5, 88.0, 91.5), random=(89.0, 90.0, 91.0, 92.0)))
    assert re.search(r"\| not significant \(p = 0\.\d\d\) \|", markdown(table))
    assert verdicts(table) == [
        "regularized_evolution, the choice of this run: not significant (p = 0.69, n = 4 and 4)"
    ]


def test_bold_only_where_the_rank_test_justifies_it(tmp_path):
    justified = table_of(run(tmp_path / "a", (94.0, 94.1, 94.2, 94.3), random=(89.0, 90.0, 91.0, 90.5)))
    assert "**94.15 ± 0.13 (4)**" in markdown(justified)
    assert r"\textbf{94.15 $\pm$ 0.13 (4)}" in latex(justified)
    best_by_chance = table_of(run(tmp_path / "b", (94.0, 94.4)))
    assert "**" not in markdown(best_by_chance)
    assert r"\textbf" not in latex(best_by_chance)


@pytest.mark.parametrize(
    ("final", "random", "cell"),
    [
        ((94.0,), (80.0,) * 10 + (81.0,) * 10, "descriptive (p at least 0.048)"),
        ((94.0,), tuple(range(70, 90)), "descriptive (p at least 0.095)"),
        ((94.0, 95.0, 96.0), (80.0,), "descriptive (p at least 0.50)"),
        ((94.0, 95.0, 96.0), (80.0, 81.0, 82.0), "not significant (p = 0.10, at least 0.10)"),
        ((94.0, 94.4), (), "not compared"),
    ],
    ids=str,
)
def test_what_cannot_be_significant_is_never_bold_and_says_its_smallest_p(tmp_path, final, random, cell):
    table = table_of(run(tmp_path, final, random=random))
    assert cell in markdown(table)
    assert cell in latex(table)
    assert "**" not in markdown(table)
    (verdict,) = verdicts(table)
    assert "better" not in verdict


def test_random_sampling_is_bold_where_it_is_clearly_better(tmp_path):
    table = table_of(run(tmp_path, (80.0, 81.0, 82.0, 83.0), random=(89.0, 90.0, 91.0, 90.5)))
    assert [row.bold for row in table.rows] == [True, False]
    assert "worse than random sampling" in verdicts(table)[0]


def test_minimised_quantities_improve_downwards(tmp_path):
    table = table_of(run(tmp_path, (1.0, 1.1), random=(2.0, 2.2), direction="minimize", unit=""))
    assert table.rows[1].comparison.relative_improvement == pytest.approx(50.0)
    assert any("the sign is turned" in note for note in table.notes)


def test_percentages_have_two_decimals_and_each_row_its_own(tmp_path):
    text = markdown(table_of(run(tmp_path / "a", (94.0,), random=(70.0, 90.0, 95.0))))
    assert "85.00 ± 13.23 (3)" in text
    assert "| 94.00 (1) |" in re.sub(" +", " ", text)
    text = markdown(table_of(run(tmp_path / "b", (94.123, 94.124), random=(70.0, 90.0, 95.0))))
    assert "85.00 ± 13.23 (3)" in text
    assert "94.12350 ± 0.00071 (2)" in text


def test_quantities_that_are_no_percentages_have_as_many_decimals_as_their_spread(tmp_path):
    text = markdown(table_of(run(tmp_path, (940.0,), random=(700.0, 900.0, 950.0), unit="ms")))
    assert "850 ± 132 (3)" in text
    assert "940 (1)" in text


# several runs


def test_runs_of_one_searcher_are_compared_by_their_means(tmp_path):
    table = table_of(
        run(tmp_path / "a", (93.0, 94.0), seed=1),
        run(tmp_path / "b", (95.0, 96.0), seed=2),
    )
    labels = [row.label for row in table.rows]
    assert labels == [
        "random sampling",
        "regularized_evolution, seed 1",
        "regularized_evolution, seed 2",
        "regularized_evolution, 2 runs",
    ]
    assert table.rows[3].values == (93.5, 95.5)
    assert (table.rows[3].trials, table.rows[3].cost_seconds) == (4, 240.0)
    assert any(note.startswith("Rows over several runs speak about the method") for note in table.notes)
    assert not any("One search describes" in note for note in table.notes)
    assert [text.split(":")[0] for text in verdicts(table)] == ["regularized_evolution, 2 runs"]


def test_different_searchers_share_a_table(tmp_path):
    table = table_of(
        run(tmp_path / "a", (94.0, 94.4), searcher="random"), run(tmp_path / "b", (95.0, 95.1), seed=1)
    )
    assert [row.label for row in table.rows] == ["random sampling", "random", "regularized_evolution"]


def test_options_tell_searchers_of_one_name_apart(tmp_path):
    runs = [run(tmp_path / str(n), (94.0,), options={"population": n, "same": 1}, seed=n) for n in (10, 20)]
    labels = [row.label for row in table_of(*runs).rows[1:]]
    assert labels == ["regularized_evolution(population=10)", "regularized_evolution(population=20)"]


def test_the_same_random_architecture_with_the_same_seed_counts_once(tmp_path):
    table = table_of(run(tmp_path / "a", (94.0,), searcher="random"), run(tmp_path / "b", (95.0,)))
    assert table.rows[0].values == (89.0, 90.0, 91.0)
    assert "3 architectures of 2 runs" in table.notes[0]
    assert "3 drawn again by another run count once" in table.notes[0]


def test_random_samples_of_different_seeds_are_pooled(tmp_path):
    table = table_of(
        run(tmp_path / "a", (94.0,), seed=1), run(tmp_path / "b", (95.0,), random=(88.0, 87.0), seed=2)
    )
    assert sorted(table.rows[0].values) == [87.0, 88.0, 89.0, 90.0, 91.0]


def test_runs_with_the_same_seed_do_not_count_as_independent(tmp_path):
    table = table_of(run(tmp_path / "a", (94.0,)), run(tmp_path / "b", (95.0,)))
    assert [row.label for row in table.rows[1:]] == [
        "regularized_evolution, seed 0 (a)",
        "regularized_evolution, seed 0 (b)",
    ]
    assert "Several runs of regularized_evolution, seed 0: they are not independent" in table.notes[-1]


def test_runs_that_do_not_compare_get_tables_of_their_own(tmp_path):
    tables = tables_of(finished_run(tmp_path / "a"), finished_run(tmp_path / "b", fingerprint="e2"))
    assert len(tables) == 2


# rendering


def test_latex_escapes_and_balances(tmp_path):
    text = latex(table_of(run(tmp_path, (94.0,), searcher="a_b&c#1~^", name="50%_{x}\\n$")))
    assert r"a\_b\&c\#1\textasciitilde{}\textasciicircum{}" in text
    assert r"50\%\_\{x\}\textbackslash{}n\$" in text
    plain = re.sub(r"\\[{}]", "", text)
    assert plain.count("{") == plain.count("}")
    rows = [line for line in text.split("\n") if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in rows} == {6}
    assert [line for line in text.split("\n") if line.endswith("rule")] == [
        r"\toprule",
        r"\midrule",
        r"\bottomrule",
    ]


def test_latex_minus_signs_are_no_hyphens(tmp_path):
    text = latex(table_of(run(tmp_path, (80.0, 80.5, 81.0))))
    assert re.search(r"& \$-\$1\d\.\d\d & \$-\$\d+\.\d\d to \$-\$\d+\.\d\d &", text)


def test_markdown_escapes_pipes_but_not_underscores_inside_words(tmp_path):
    text = markdown(table_of(run(tmp_path, (94.0,), searcher="a|b_c")))
    assert r"a\|b_c" in text
