import os

import pytest

from nas.errors import ConfigError, StoreError
from nas.report import write_comparison
from nas.report.__main__ import main
from tests.report.comparison.comparison_kit import (
    baseline,
    real_comparison,
    study,
    two_methods,
    write_manifest,
)

TABLES = {"comparison.md", "comparison.tex", "comparison.csv", "curves.csv", "pairwise.csv"}


@pytest.fixture
def unrendered(monkeypatch):
    """Figures are made, but not rendered, which takes most of the time."""
    monkeypatch.setattr("nas.report.output.image", lambda figure, kind: kind.encode())


def test_all_files_are_written_into_the_folder(tmp_path):
    written = write_comparison(two_methods(tmp_path))
    names = {path.name for path in written.files}
    assert names >= TABLES | {"evaluations.png", "evaluations.pdf", "time.pdf", "quantiles.png"}
    assert all(path.parent == tmp_path and path.stat().st_size > 0 for path in written.files)
    assert set(os.listdir(tmp_path)) == names | {"comparison.json", "studies"}
    assert (written.status, written.failures) == (0, ())


@pytest.mark.usefixtures("unrendered")
def test_budgets_within_a_random_start_are_called_random_search(tmp_path):
    write_comparison(
        real_comparison(tmp_path, seeds=2)
    )  # budgets 4 and 12; evolution begins with 4 at random
    text = " ".join((tmp_path / "comparison.md").read_text().split())
    assert "- No result steers random: it asks for all of its trials without knowing any." in text
    assert "- Up to 4 evaluations evolution is random search: it asks for its first 4 trials without" in text


@pytest.mark.usefixtures("unrendered")
def test_the_summary_says_what_matters_most(tmp_path):
    text = write_comparison(two_methods(tmp_path), tmp_path / "out").text
    lines = text.splitlines()
    assert lines[0] == "toy: 2 methods, 3 seeds: 6 of 6 studies finished."
    assert "| slow   | 6.00 [5.50, 8.50] | 4.00 [3.50, 6.00] |" in lines
    assert "| quick  |      4.0 | 33 % | 67 % |" in lines
    untestable = "not testable with 3 seeds; 4 are needed for 2 methods"
    assert f"By regret of validation accuracy: 4 evaluations: quick {untestable}." in lines
    assert lines[-1].startswith(f"Pairwise tests at 2, 4 evaluations: {untestable}; run more")


@pytest.mark.slow
def test_writing_again_changes_nothing(tmp_path):
    write_manifest(tmp_path, ["a"], 1)
    study(tmp_path, "a", 0, [(90, 80)] * 4)
    baseline(tmp_path, (70, 60), (80, 75))
    first = {path: path.read_bytes() for path in write_comparison(tmp_path).files}
    second = {path: path.read_bytes() for path in write_comparison(tmp_path).files}
    assert first == second


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.usefixtures("unrendered")
def test_a_real_comparison_has_a_report(tmp_path, workers):
    text = write_comparison(real_comparison(tmp_path, workers=workers)).text
    assert "2 methods, 3 seeds: 6 of 6 studies finished." in text
    assert "| evolution |" in text


def test_a_comparison_of_which_nothing_ran_yet_has_a_report(tmp_path):
    written = write_comparison(write_manifest(tmp_path, ["a", "b"], 2, default="a"))
    assert {path.name for path in written.files} == TABLES
    assert "a: all studies not there." in written.text


@pytest.mark.slow
@pytest.mark.parametrize(
    "state",
    [
        lambda folder: study(folder, "slow", 0, [(90, 80)], reason=None),
        lambda folder: study(folder, "slow", 0, [None] * 4),
        lambda folder: study(folder, "slow", 0, [], reason=None),
        lambda folder: (folder / "studies/slow/0/events.jsonl").write_text("hello\nworld\n"),
        lambda folder: (folder / "studies/slow/0/events.jsonl").write_text(""),
        lambda folder: (folder / "studies/slow/0/overhead.json").write_text("{"),
        lambda folder: [os.rename(folder / "studies" / name, folder / name) for name in ("slow", "quick")],
    ],
    ids=["in-progress", "all-failed", "just-begun", "damaged", "empty", "torn-overhead", "none"],
)
@pytest.mark.usefixtures("unrendered")
def test_whatever_is_there_has_a_report(tmp_path, state):
    state(two_methods(tmp_path))
    assert {path.name for path in write_comparison(tmp_path).files} >= TABLES


@pytest.mark.usefixtures("unrendered")
def test_the_command_knows_a_comparison(tmp_path, capsys):
    assert main([str(two_methods(tmp_path / "c"))]) == 0
    out = capsys.readouterr().out
    assert out.startswith("toy: 2 methods, 3 seeds")
    assert out.endswith(f"files: {tmp_path / 'c'}\n")
    assert main([str(tmp_path / "c"), "--output", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out/comparison.md").exists()


def test_the_command_says_in_one_line_what_is_wrong(tmp_path, capsys):
    write_manifest(tmp_path, ["a"], 1, format=7)
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("StoreError: ")
    with pytest.raises(StoreError, match="expected a comparison of format 1"):
        write_comparison(tmp_path / "nowhere")


def test_a_place_that_cannot_be_written_to_is_one_clear_line(tmp_path):
    two_methods(tmp_path)
    with pytest.raises(
        ConfigError, match=r"comparison.md: cannot write the report; .*; give another --output"
    ):
        write_comparison(tmp_path, tmp_path / "comparison.json")


def test_a_study_inside_a_comparison_has_a_report_of_its_own(tmp_path, capsys):
    two_methods(tmp_path)
    assert main([str(tmp_path / "studies/slow/0")]) == 0
    assert "slow, seed 0: finished" in capsys.readouterr().out
