"""The cache in reports: counts, lines, tables, files and the figure, from logs written by hand."""

import csv
import io
import math
import re

import numpy as np
import pandas as pd
import pytest

from nas.errors import StoreError
from nas.report.cache import (
    MAX_POINTS,
    UNSTATED,
    CacheClass,
    CacheCounts,
    cache_figure,
    cache_tables,
    format_percent,
    format_seconds,
    lines,
    usage,
)
from nas.report.records import Run
from nas.report.report import state, write_report
from nas.report.results import result_tables
from nas.report.tables import CACHE_COLUMNS, trials_table
from nas.study.record import read_study
from tests.report.cache_kit import HIDDEN, INPUTS, A, B, CacheLog, every_outcome, several_evaluations
from tests.report.report_kit import finished_run

FILES = {"cache.md", "cache.tex", "cache.csv", "cache.png", "cache.pdf"}
GOLDEN = """\
### Suggestions and the cache: digits: space macro, evaluator ImageClassification

| run                               | suggestions | hits | waits | partial | misses | unhashable | hit rate (%) | classes |
|-----------------------------------|------------:|-----:|------:|--------:|-------:|-----------:|-------------:|--------:|
| regularized_evolution, functional |          10 |    2 |     1 |       0 |      4 |          3 |         30.0 |       2 |

- Hits: answered by an evaluation that had ended. Waits: equal to a trial in flight. Partial: equal to one
  that had been evaluated, but less often than asked for, so evaluated as well. Misses: the first of their
  class, or the first since it was forgotten or its evaluation failed. Unhashable: without a digest, so
  evaluated without the cache. Hit rate: hits and waits among all suggestions looked up.
- Class: suggestions with equal digests of function and of training settings, at one fidelity.
- regularized_evolution, functional: waited for one that failed, so looked up again: 1.
- regularized_evolution, functional: answers after which their class was forgotten: 1.
- regularized_evolution, functional: unhashable: 2 x hidden randomness; 1 x three inputs are needed.

### What the cache saved and what hashing took: digits: space macro, evaluator ImageClassification

| run                               | evaluations saved | time saved | time of evaluation | hashing | a hash, median | of evaluation (%) |
|-----------------------------------|------------------:|-----------:|-------------------:|--------:|---------------:|------------------:|
| regularized_evolution, functional |                 3 | 2 min 40 s |         4 min 00 s |   2.0 s |         250 ms |              0.83 |
"""  # noqa: E501 - as wide as the table


def usage_of(log):
    return usage(Run.of(read_study(log.write())))


def test_every_outcome_is_counted(tmp_path):
    assert usage_of(every_outcome(tmp_path)).counts == CacheCounts(
        suggestions=10,
        hits=2,
        waits=1,
        partial_hits=0,
        misses=4,
        unhashable=3,
        promoted=1,
        dropped=1,
        classes=2,
        saved_evaluations=3,
        saved_seconds=160.0,
        evaluation_seconds=240.0,
        hashed=8,
        hash_seconds=pytest.approx(2.0),
        hash_seconds_median=pytest.approx(0.25),
    )


def test_percentages(tmp_path):
    counts = usage_of(every_outcome(tmp_path)).counts
    assert counts.hit_rate == 30.0
    assert counts.hash_share == pytest.approx(100 * 2 / 240)
    assert list(counts.numbers())[-2:] == ["hit_rate_percent", "hash_percent"]


def test_reasons_come_most_frequent_first(tmp_path):
    assert usage_of(every_outcome(tmp_path)).reasons == ((HIDDEN, 2), (INPUTS, 1))


def test_largest_classes_have_their_value_and_evaluations(tmp_path):
    assert usage_of(every_outcome(tmp_path)).largest == (
        CacheClass("network bbbbbbbb/cccccccc", 4, 2, 96.0),  # 2, 3, 7, 8: evaluated as 3 and 8; 2 failed
        CacheClass("network aaaaaaaa", 3, 1, 90.0),  # 0, 1, 9: 10 is not looked up yet
    )


def test_the_rate_over_time_is_in_the_order_of_the_look_ups(tmp_path):
    history = usage_of(every_outcome(tmp_path)).history
    answered = [0, 1, 0, 0, 0, 0, 0, 1, 0, 1]  # 3 waited in vain
    assert history.answered.tolist() == list(map(bool, answered))
    np.testing.assert_allclose(history.cumulative(), 100 * np.cumsum(answered) / np.arange(1, 11))
    assert history.cumulative()[-1] == 30.0
    # 0.1 s of hashing; 60 s; 0.2 s; 30 and 40 s; then 0.3 s of hashing and 20 s three times; 0.1 s; 50 s
    moments = [0.1, 0.1, 60.3, 60.3, 130.6, 150.9, 171.2, 191.3, 191.3, 241.8]
    np.testing.assert_allclose(history.clock, moments)


def test_the_rolling_rate_is_that_of_the_last_suggestions(tmp_path):
    log = CacheLog(tmp_path).opened()
    for index in range(30):
        log.suggest(index)
        log.cached(index, "hit" if index >= 15 else "miss", 0 if index >= 15 else None, A)
        log.told(index, 0) if index >= 15 else log.own(index, 90.0, 1.0)
    history = usage_of(log).history
    assert history.window == 10
    np.testing.assert_allclose(history.rolling()[[0, 14, 15, 19, 24, 29]], [0, 0, 10, 50, 100, 100])
    np.testing.assert_allclose(history.cumulative()[[14, 19, 29]], [0, 25, 50])


def test_the_account_ends_at_the_totals_and_never_falls(tmp_path):
    history = usage_of(every_outcome(tmp_path)).history
    assert (history.spent[-1], history.saved[-1]) == (pytest.approx(242.0), 160.0)
    assert history.hashing[-1] == pytest.approx(2.0)
    for line in (history.spent, history.saved, history.hashing):
        assert (np.diff(line) >= 0).all()
    # the first wait is answered when 60 s of evaluation and the first hash are spent
    assert history.spent[history.saved > 0][0] == pytest.approx(60.1)


def test_several_evaluations_of_a_class(tmp_path):
    found = usage_of(several_evaluations(tmp_path))
    counts = found.counts
    assert (counts.hits, counts.partial_hits, counts.misses, counts.classes) == (1, 1, 1, 1)
    assert (counts.saved_evaluations, counts.saved_seconds, counts.evaluation_seconds) == (1, 60.0, 100.0)
    assert found.largest == (CacheClass("network aaaaaaaa", 3, 2, 92.0),)
    assert math.isnan(counts.hash_seconds)
    assert counts.hashed == 0


def test_a_wait_is_answered_by_the_trial_that_was_promoted(tmp_path):
    log = CacheLog(tmp_path).opened()
    for index in range(3):
        log.suggest(index)
        log.cached(index, "pending" if index else "miss", 0 if index else None, A)
    log.own(0, None, 30.0)
    log.cached(1, "miss", None, A).own(1, 91.0, 45.0).told(2, cached_from=1)
    counts = usage_of(log).counts
    assert (counts.waits, counts.misses, counts.promoted) == (1, 2, 1)
    assert (counts.saved_evaluations, counts.saved_seconds) == (1, 45.0)  # not the 30 s of the failed one


def test_a_class_forgotten_after_an_answered_wait_is_counted(tmp_path):
    log = CacheLog(tmp_path).opened()
    for index in range(2):
        log.suggest(index)
        log.cached(index, "pending" if index else "miss", 0 if index else None, A)
    log.own(0, 90.0, 30.0).told(1, cached_from=0, dropped=True)
    assert usage_of(log).counts.dropped == 1


def test_an_interrupted_run_that_goes_on_is_one_run(tmp_path):
    """Killed after 0 started, 1 waits and 2 was hashed; 1 is answered in the second session."""
    log = CacheLog(tmp_path).opened()
    for index in range(3):
        log.suggest(index)
    log.hashed(0, A, 0.5).cached(0, "miss", None, A)
    log.add(event="started", trial=0, clock=log.clock)
    log.cached(1, "pending", 0, A)
    log.hashed(2, B, 1.5)
    before = usage_of(log)
    assert (before.counts.suggestions, before.counts.waits, before.counts.saved_evaluations) == (2, 1, 0)
    assert before.counts.hit_rate == 50.0  # the wait counts before it is answered
    assert before.counts.evaluation_seconds == 0
    assert math.isnan(before.counts.hash_share)
    log.opened(session=2).own(0, 90.0, 60.0).told(1, cached_from=0)
    log.cached(2, "miss", None, B).own(2, 91.0, 20.0)
    after = usage_of(log)
    assert (after.counts.suggestions, after.counts.hits, after.counts.waits, after.counts.misses) == (
        3,
        0,
        1,
        2,
    )
    assert (after.counts.saved_seconds, after.counts.hash_seconds) == (60.0, 2.0)
    assert after.history.clock.tolist() == [
        0.5,
        0.5,
        62.0,
    ]  # 2 is looked up when it was, not when it was hashed


def test_a_hit_whose_telling_was_cut_off_is_saved_already(tmp_path):
    log = CacheLog(tmp_path).opened()
    log.suggest(0)
    log.cached(0, "miss", None, A).own(0, 90.0, 60.0)
    log.suggest(1)
    found = usage_of(log.cached(1, "hit", 0, A))
    assert (found.counts.saved_evaluations, found.counts.saved_seconds) == (1, 60.0)
    assert found.history.saved[-1] == 60.0


def test_a_fidelity_is_part_of_the_class(tmp_path):
    log = CacheLog(tmp_path).opened()
    for index, epochs in enumerate((4, 4, 36)):
        log.suggest(index, fidelity={"name": "epochs", "value": epochs})
        log.cached(index, "hit" if index == 1 else "miss", 0 if index == 1 else None, A)
        log.told(index, 0) if index == 1 else log.own(index, 90.0 + index, 60.0)
    found = usage_of(log)
    assert found.counts.classes == 2
    assert found.largest == (CacheClass("network aaaaaaaa at epochs=4", 2, 1, 90.0),)


def test_the_logs_of_before_have_no_hashes_reasons_or_dropped_classes(tmp_path):
    log = CacheLog(tmp_path, hashing="text").opened()
    for index, (outcome, holder, key) in enumerate(
        (("miss", None, ["a" * 32, ""]), ("hit", 0, ["a" * 32, ""]), ("miss", None, None))
    ):
        log.add(event="cached", trial=log.suggest(index), outcome=outcome, holder=holder, key=key)
        log.told(index, 0) if holder is not None else log.own(index, 90.0, 60.0)
    found = usage_of(log)
    assert (found.counts.hits, found.counts.misses, found.counts.unhashable) == (1, 1, 1)
    assert found.counts.dropped == found.counts.hashed == 0
    assert found.reasons == ((UNSTATED, 1),)
    assert found.largest == (CacheClass("aaaaaaaa", 2, 1, 90.0),)


def test_no_cache_no_usage(tmp_path):
    assert usage(Run.of(read_study(finished_run(tmp_path)))) is None


@pytest.mark.parametrize("holder", [None, 7])
def test_a_log_that_lost_a_line_is_refused(tmp_path, holder):
    log = CacheLog(tmp_path).opened()
    trial = 0 if holder is None else log.suggest(0)
    log.cached(trial, "hit", holder, A)
    with pytest.raises(StoreError, match=r"line \d: expected a (trial|holder) that was asked.*; got [07]"):
        read_study(log.write())


def runs_of(*logs):
    return [Run.of(read_study(log.write())) for log in logs]


def rows_of(folder):
    return list(csv.DictReader(io.StringIO((folder / "cache.csv").read_bytes().decode(), newline="")))


@pytest.fixture
def unrendered(monkeypatch):
    """Figures are made, but not rendered, which takes most of the time."""
    monkeypatch.setattr("nas.report.output.image", lambda figure, kind: kind.encode())


def test_a_run_with_a_cache_leaves_its_files(tmp_path):
    report = write_report([every_outcome(tmp_path / "run").closed().write()], tmp_path / "out")
    assert {path.name for path in report.files} >= FILES
    assert all((tmp_path / "out" / name).stat().st_size > 0 for name in FILES)


@pytest.mark.usefixtures("unrendered")
def test_a_run_without_one_says_nothing_of_it(tmp_path):
    report = write_report([finished_run(tmp_path / "run")], tmp_path / "out")
    assert not FILES & {path.name for path in report.files}
    assert not re.search(r"^  (cache|saved|classes)|Suggestions and the cache", report.text, re.MULTILINE)
    assert not set(CACHE_COLUMNS) & set((tmp_path / "out/trials.csv").read_text().split("\n")[0].split(","))


def test_the_lines_of_a_run(tmp_path):
    (run,) = runs_of(every_outcome(tmp_path))
    assert lines(run) == [
        "  cache (functional): 10 looked up: hits 2, waits 1, partial 0, misses 4, unhashable 3, "
        "hit rate 30.0 %",
        "  saved 3 evaluations, 2 min 40 s (4 min 00 s spent); hashing took 2.0 s, median 250 ms, "
        "0.83 % of the evaluations",
        "  unhashable: 2 x hidden randomness; 1 x three inputs are needed",
        "  classes 2, the largest: network bbbbbbbb/cccccccc 4 times (96 %); network aaaaaaaa 3 times (90 %)",
    ]
    assert "\n".join(lines(run)) in state(run)


def test_the_lines_of_a_simulated_run_say_so(tmp_path):
    config = {"name": "table", "executor": {"name": "simulated", "workers": 1}}
    log = CacheLog(tmp_path, hashing="text").opened(config=config)
    for index in range(12):
        log.suggest(index)
        log.cached(index, "miss", None, [f"{index:032x}", ""]).own(index, 90.0, 60.0)
    (run,) = runs_of(log)
    assert lines(run) == [
        "  cache (text): 12 looked up: hits 0, waits 0, partial 0, misses 12, unhashable 0, hit rate 0.0 %, "
        "of the last 10 0.0 %",
        "  saved 0 evaluations, 0.0 s (simulated, 12 min 00 s spent)",
        "  classes 12, none of them twice",
    ]


def test_the_lines_before_the_first_look_up(tmp_path):
    log = CacheLog(tmp_path).opened()
    log.hashed(log.suggest(0), A, 0.5)
    (run,) = runs_of(log)
    assert lines(run) == [
        "  cache (functional): 0 looked up: hits 0, waits 0, partial 0, misses 0, unhashable 0",
        "  saved 0 evaluations, 0.0 s (0.0 s spent); hashing took 500 ms, median 500 ms, "
        "- % of the evaluations",
    ]
    write_report([tmp_path], tmp_path / "out")  # the figure is empty


@pytest.mark.usefixtures("unrendered")
def test_many_reasons_are_cut_short_but_in_the_csv(tmp_path):
    log = CacheLog(tmp_path).opened()
    for index in range(13):
        reason = HIDDEN if index in (3, 4) else f"reason {index:02}"
        log.cached(log.suggest(index), "miss", None, None, reason=reason).own(index, 90.0, 1.0)
    (run,) = runs_of(log)
    assert "  unhashable: 2 x hidden randomness; 1 x reason 00; 1 x reason 01; and 9 other reasons" in lines(
        run
    )
    write_report([tmp_path], tmp_path)
    assert "1 x reason 10; and 2 other reasons" in " ".join((tmp_path / "cache.md").read_text().split())
    assert rows_of(tmp_path)[0]["reasons"].count(" x ") == 12


@pytest.mark.usefixtures("unrendered")
def test_the_tables_as_markdown(tmp_path):
    write_report([every_outcome(tmp_path).write()], tmp_path)
    text = (tmp_path / "cache.md").read_text()
    assert text.split("\n")[: len(GOLDEN.splitlines())] == GOLDEN.splitlines()
    assert "| regularized_evolution, functional | network bbbbbbbb/cccccccc |           4 |" in text


@pytest.mark.usefixtures("unrendered")
def test_the_tables_for_latex(tmp_path):
    write_report([every_outcome(tmp_path).write()], tmp_path)
    text = (tmp_path / "cache.tex").read_text()
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == text.count(r"\toprule") == 3
    assert r"regularized\_evolution, functional & 10 & 2 & 1 & 0 & 4 & 3 & 30.0 & 2 \\" in text
    assert r"& 3 & 2 min 40 s & 4 min 00 s & 2.0 s & 250 ms & 0.83 \\" in text
    assert len(re.findall(r"(?<!\\)%", text)) == 3  # the lines about booktabs


@pytest.mark.usefixtures("unrendered")
def test_the_csv_has_all_numbers(tmp_path):
    write_report([every_outcome(tmp_path / "run", seed=5).write()], tmp_path)
    (row,) = rows_of(tmp_path)
    assert {name: row[name] for name in ("kind", "study", "seed", "runs", "method", "hashing", "clock")} == {
        "kind": "run",
        "study": "run",
        "seed": "5",
        "runs": "1",
        "method": "regularized_evolution",
        "hashing": "functional",
        "clock": "real",
    }
    numbers = (
        "hits",
        "waits",
        "misses",
        "promoted",
        "saved_seconds",
        "hash_seconds_median",
        "hit_rate_percent",
    )
    assert [float(row[name]) for name in numbers] == [2, 1, 4, 1, 160, 0.25, 30]
    assert (row["largest_class"], row["largest_class_suggestions"]) == ("network bbbbbbbb/cccccccc", "4")
    assert row["reasons"] == "2 x hidden randomness; 1 x three inputs are needed"


@pytest.mark.usefixtures("unrendered")
def test_several_seeds_have_a_mean_and_a_deviation(tmp_path):
    """Hit rates 30 % and 1 of 3; hits 2 and 1: mean 1.5, deviation 0.707."""
    logs = [every_outcome(tmp_path / "a", seed=0), several_evaluations(tmp_path / "b")]
    logs[1].lines[0]["seed"] = 1
    again = every_outcome(tmp_path / "c", seed=0)  # the same seed once more adds nothing to the mean
    report = write_report([log.write() for log in (*logs, again)], tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    assert [(row["kind"], row["study"], row["runs"]) for row in rows] == [
        *(("run", "a", "1"), ("run", "b", "1"), ("run", "c", "1"), ("mean", "", "2"), ("std", "", "2"))
    ]
    mean, std = rows[3:]
    assert (float(mean["hits"]), float(std["hits"])) == (1.5, pytest.approx(math.sqrt(0.5)))
    assert float(mean["hit_rate_percent"]) == pytest.approx((30 + 100 / 3) / 2)
    assert float(std["hit_rate_percent"]) == pytest.approx((100 / 3 - 30) / math.sqrt(2))
    assert float(mean["hash_seconds"]) == pytest.approx(2.0)  # the other run has none
    assert std["hash_seconds"] == ""
    cells = [
        cell.strip() for cell in _line(report.text, "regularized_evolution, functional, 2 runs").split("|")
    ]
    assert cells[2:9] == [
        "6.5 ± 4.9",
        "1.5 ± 0.7",
        "0.5 ± 0.7",
        "0.5 ± 0.7",
        "2.5 ± 2.1",
        "1.5 ± 2.1",
        "31.7 ± 2.4",
    ]
    assert "regularized_evolution, functional, seed 0 (c)" in report.text
    assert "Several seeds: mean ± sample standard deviation." in report.text


def _line(text, start):
    return next(line for line in text.split("\n") if line.startswith(f"| {start} "))


@pytest.mark.usefixtures("unrendered")
def test_hashers_and_their_options_are_kept_apart(tmp_path):
    facts = [
        {"hashing": "text", "cache": {"evaluations": 1}},
        {"hashing": "functional", "cache": {"evaluations": 1}, "hashing_options": {"bits": 20}},
        {"hashing": "functional", "cache": {"evaluations": 3}, "hashing_options": {"bits": 20}},
    ]
    directories = []
    for number, fact in enumerate(facts):
        log = several_evaluations(tmp_path / str(number))
        log.lines[0].update({**fact, "seed": number})
        directories.append(log.write())
    write_report([*directories, finished_run(tmp_path / "none")], tmp_path)
    assert [row["hashing"] for row in rows_of(tmp_path)] == [
        *("text", "functional(evaluations=1)", "functional(evaluations=3)")
    ]


@pytest.mark.usefixtures("unrendered")
def test_settings_that_do_not_compare_have_tables_and_figures_of_their_own(tmp_path):
    runs = [every_outcome(tmp_path / name, fingerprint=name).write() for name in "ab"]
    report = write_report(runs, tmp_path / "out")
    names = {path.name for path in report.files}
    assert {"cache.png", "cache_2.png", "cache_2.pdf"} <= names
    assert [row["kind"] for row in rows_of(tmp_path / "out")] == ["run", "run"]


def test_a_setting_without_a_cache_takes_no_number_away(tmp_path):
    runs = runs_of(every_outcome(tmp_path / "b", fingerprint="b"))
    bare = Run.of(read_study(finished_run(tmp_path / "a", fingerprint="a")))
    (table,) = cache_tables(result_tables([bare, *runs]))
    assert table.number == 2


@pytest.mark.slow
def test_writing_again_changes_nothing(tmp_path):
    every_outcome(tmp_path).write()
    write_report([tmp_path], tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in FILES}
    write_report([tmp_path], tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == before


def test_the_table_of_trials_has_the_digests_and_the_outcomes(tmp_path):
    table = trials_table([read_study(every_outcome(tmp_path / "a").baseline((90.0, 89.0)).write())])
    assert table["cache_outcome"].tolist()[:10] == [
        *("miss", "pending", "miss", "miss", "unhashable", "unhashable", "unhashable", "hit", "miss", "hit")
    ]
    assert table["functional_digest"][3] == "network:1:24:bbbbbbbbbbbbbbbb"
    assert table["settings_digest"][3] == "cccccccccccccccc"
    assert table["hash_seconds"].tolist()[:1] == [0.1]
    for column, rows in {
        "cache_outcome": (10, 11),  # hashed only; a baseline trial
        "functional_digest": (4, 5, 6, 11),
        "settings_digest": (0, 1, 4),
        "hash_seconds": (1, 3, 8, 11),  # of equal texts; of a baseline trial
    }.items():
        assert all(pd.isna(table[column][row]) for row in rows), column


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (2.5e-5, "25 us"),
        (9.996e-4, "1 ms"),
        (0.25, "250 ms"),
        (0.9997, "1.0 s"),
        (75, "1 min 15 s"),
    ],
)
def test_short_times_are_legible(seconds, text):
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("percent", "text"), [(0, "0.0"), (0.0123, "0.012"), (0.83, "0.83"), (42.04, "42.0"), (math.nan, "-")]
)
def test_small_percentages_keep_their_digits(percent, text):
    assert format_percent(percent) == text


def figure_of(*logs):
    (table,) = cache_tables(result_tables([Run.of(read_study(log.write())) for log in logs]))
    return cache_figure(table)


def legend_of(figure):
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def line(axes, label):
    (found,) = [each for each in axes.lines if each.get_label() == label]
    return np.asarray(found.get_xdata()), np.asarray(found.get_ydata())


def test_hit_rate_over_suggestions_and_over_the_clock(tmp_path):
    figure = figure_of(every_outcome(tmp_path))
    trials, clock, _ = figure.axes
    x, y = line(trials, "regularized_evolution, functional")
    np.testing.assert_array_equal(x, np.arange(1, 11))
    np.testing.assert_allclose(y[[0, 1, 6, 9]], [0, 50, 100 / 7, 30])
    x, y = line(clock, "regularized_evolution, functional")
    assert clock.get_xlabel() == "clock (minutes)"
    assert (x[-1], y[-1]) == (pytest.approx(241.8 / 60), 30)
    np.testing.assert_allclose(line(trials, "rolling, regularized_evolution, functional")[1][-1], 30)


def test_saved_against_spent(tmp_path):
    _, _, saved = figure_of(every_outcome(tmp_path)).axes
    x, y = line(saved, "regularized_evolution, functional")
    assert saved.get_xlabel() == "spent on evaluation and hashing (minutes)"
    assert (x[-1], y[-1]) == (pytest.approx(242 / 60), pytest.approx(160 / 60))
    assert line(saved, "hashing, regularized_evolution, functional")[1][-1] == pytest.approx(2 / 60)


def test_without_timed_hashes_there_is_no_line_of_them(tmp_path):
    assert legend_of(figure_of(several_evaluations(tmp_path))) == [
        *("regularized_evolution, functional", "hit rate of the last 10", "as much saved as spent")
    ]


def test_the_legend_says_what_the_lines_are(tmp_path):
    assert legend_of(figure_of(every_outcome(tmp_path))) == [
        *("regularized_evolution, functional", "hit rate of the last 10", "spent on hashing"),
        "as much saved as spent",
    ]


def test_several_runs_show_their_median_up_to_the_shortest(tmp_path):
    """Of 10 and of 3 suggestions; rates after the third: 1 of 3 in both."""
    logs = [every_outcome(tmp_path / "a"), several_evaluations(tmp_path / "b")]
    logs[1].lines[0]["seed"] = 1
    x, y = line(figure_of(*logs).axes[0], "regularized_evolution, functional: median of 2 runs")
    assert (x[0], x[-1]) == (1, 3)
    np.testing.assert_allclose(y, [0, 25, 100 / 3])  # 0 and 0; 1/2 and 0; 1/3 and 1/3


def test_a_long_run_is_drawn_with_few_points(tmp_path):
    log = CacheLog(tmp_path).opened()
    log.suggest(0)
    log.cached(0, "miss", None, A).own(0, 90.0, 60.0)
    for index in range(1, 2 * MAX_POINTS):
        log.suggest(index)
        log.cached(index, "hit", 0, A).told(index, 0)
    x, y = line(figure_of(log).axes[0], "regularized_evolution, functional")
    assert x.size == MAX_POINTS
    assert (x[0], x[-1]) == (1, 2 * MAX_POINTS)
    assert y[-1] == pytest.approx(100 * (1 - 0.5 / MAX_POINTS))


def test_nothing_looked_up_yet_is_an_empty_figure(tmp_path):
    log = CacheLog(tmp_path).opened()
    log.hashed(log.suggest(0), A)
    figure = figure_of(log)
    assert not [each for axes in figure.axes for each in axes.lines if not each.get_label().startswith("_")]
