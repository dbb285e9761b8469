import csv

import pytest

from nas.evaluation import Stage
from nas.report import write_comparison
from nas.report.cache import counts
from nas.report.comparison import read_comparison
from nas.report.comparison.analysis import analyse
from nas.report.comparison.tables import cache_sheets
from nas.study import encode, read_study
from tests.report.cache_kit import every_outcome, several_evaluations
from tests.report.comparison.comparison_kit import study, two_methods, write_manifest


def comparison_with_caches(directory):
    """Method "a" with two seeds that have a cache, "b" with none."""
    write_manifest(directory, ["a", "b"], 2)
    for seed, make in enumerate((every_outcome, several_evaluations)):
        log = make(directory / "studies/a" / str(seed)).closed()
        log.write()
        # as a study writes it: the kind of event comes first
        content = "".join(encode({"event": "", **line}) + "\n" for line in log.lines)
        (log.directory / "events.jsonl").write_text(content)
        study(directory, "b", seed, [(90, 80), (91, 81)])
    return directory


@pytest.fixture
def unrendered(monkeypatch):
    """Figures are made, but not rendered, which takes most of the time."""
    monkeypatch.setattr("nas.report.output.image", lambda figure, kind: kind.encode())


def test_a_history_counts_what_the_report_of_its_study_counts(tmp_path):
    found = read_comparison(comparison_with_caches(tmp_path)).histories
    for seed, history in enumerate(found["a"]):
        record = read_study(tmp_path / "studies/a" / str(seed))
        trials = {row.number: row for row in record.trials if row.stage is Stage.SEARCH}
        expected = counts(record.lookups, trials).numbers()
        assert history.cache is not None
        assert history.cache.numbers() == pytest.approx(expected, nan_ok=True)
    assert [history.cache for history in found["b"]] == [None, None]


def test_the_tables_of_the_cache(tmp_path):
    """Seed 0: 10 looked up, 2 hits, 1 wait, 160 of 240 s saved; seed 1: 3, 1 hit, 1 partial, 60 of 100 s."""
    lookups, savings = cache_sheets(analyse(read_comparison(comparison_with_caches(tmp_path))))
    assert lookups.rows == (
        (
            *("a", "2", "6.5 ± 4.9", "1.5 ± 0.7", "0.5 ± 0.7", "0.5 ± 0.7", "2.5 ± 2.1", "1.5 ± 2.1"),
            *("31.7 ± 2.4", "1.5 ± 0.7"),
        ),
    )
    # 110 ± 70.7 s saved, 170 ± 99.0 s of evaluation; one seed only has timed hashes
    assert savings.rows == (
        (
            *("a", "2", "2.0 ± 1.4", "1 min 50 s ± 1 min 11 s", "2 min 50 s ± 1 min 39 s"),
            *("2.0 s", "250 ms", "0.83"),
        ),
    )
    assert "| method | seeds | suggestions |" in lookups.markdown()


@pytest.mark.usefixtures("unrendered")
def test_the_files_of_a_comparison_have_the_cache(tmp_path):
    write_comparison(comparison_with_caches(tmp_path))
    assert "### Suggestions and the cache" in (tmp_path / "comparison.md").read_text()
    assert "What the cache saved and what hashing took" in (tmp_path / "comparison.tex").read_text()
    with (tmp_path / "cache.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["method"], row["seed"], row["hits"], row["saved_seconds"]) for row in rows] == [
        ("a", "0", "2", "160.0"),
        ("a", "1", "1", "60.0"),
    ]
    assert rows[1]["hash_seconds"] == ""


@pytest.mark.usefixtures("unrendered")
def test_without_caches_there_is_nothing_about_them(tmp_path):
    written = write_comparison(two_methods(tmp_path))
    assert "cache.csv" not in {path.name for path in written.files}
    assert "cache" not in (tmp_path / "comparison.md").read_text()


def test_methods_with_a_cache_are_compared_at_equal_cost_as_well(tmp_path):
    """Without it 2 evaluations cost 120 s; no method pays alike where only one of them asks a cache."""
    analysis = analyse(read_comparison(comparison_with_caches(tmp_path)))
    assert (analysis.costs[0].seconds, analysis.costs[0].budget) == (120.0, 2)
    assert analysis.equal is not None
    assert analysis.by_evaluations.left_out == ()  # and ranked by evaluations too
