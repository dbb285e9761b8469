import math
import re

import pytest

from nas.records import Run
from nas.results import result_tables
from nas.store import read_study
from nas.tables import latex, markdown, verdicts
from tests.nas.report_kit import Log, finished_run, pairs


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


@pytest.mark.parametrize("render", [markdown, latex])
def test_notes_stand_under_both_forms(tmp_path, render):
    text = " ".join(render(table_of(finished_run(tmp_path))).replace("\\_", "_").split())
    assert "Random sampling: 3 architectures, drawn at random (uniform over options)" in text
    assert "never from a cache" in text
    assert "One search describes this run, not the method" in text
    assert "Validation chooses, test reports: the search and every choice of an epoch saw" in text
    assert "last epoch" in text
    assert (
        "Failed: 1 of 4 search trials (1 diverged); they count as trials and as cost, and enter no mean."
        in text
    )
    assert "Yang et al. 2020" in text


def test_notes_tell_a_reported_quantity_that_also_chose(tmp_path):
    log = Log(tmp_path).opened()
    log.lines[0]["evaluator"]["reported"] = log.lines[0]["evaluator"]["objectives"][0]
    table = table_of(log.search((91.0, 90.0)).write())
    assert (
        "The search saw validation_accuracy, which is also what is reported, with fresh seeds." in table.notes
    )


def test_notes_tell_lower_fidelities_and_unmeasured_trials(tmp_path):
    log = Log(tmp_path).opened()
    log.trial("search", 0, (91.0, 90.0), fidelity={"name": "epochs", "value": 3})
    log.evaluated(log.asked("baseline", 0), (91.0, math.nan), values={"validation_accuracy": 91.0})
    table = table_of(log.closed().write())
    assert "Search trials ran at epochs = 3; baseline and final trials fully." in table.notes
    assert "1 completed trial has no finite value and enters no mean." in table.notes
    assert table.rows[0].values == ()


def test_notes_tell_what_the_runs_were_made_with(tmp_path):
    log = Log(tmp_path).opened(commit="1a2b", versions={"python": "3.12.1", "torch": "2.13.0"})
    assert "Made with commit 1a2b, python 3.12.1, torch 2.13.0." in table_of(log.write()).notes


def test_notes_tell_every_session_that_made_a_run(tmp_path):
    log = Log(tmp_path / "run").opened(commit="1a2b", versions={"python": "3.11.9"}, time_limit=60.0)
    log.evaluated(log.asked("search", 0), (91.0, 90.0))
    log.opened(session=2, commit="3c4d+changes", versions={"python": "3.12.1"}, time_limit=None)
    log.evaluated(log.asked("search", 1), (92.0, 91.0), info={"device": "cuda"})
    notes = table_of(log.closed().write()).notes
    assert "Made with commit 1a2b, commit 3c4d+changes, python 3.11.9, python 3.12.1." in notes
    assert "The time limit of a trial changed between sessions of run: 60 s, then none." in notes
    assert "Trials of run ran on different devices: 1 on cpu, 1 on cuda." in notes


def test_nothing_is_said_of_sessions_that_are_alike(tmp_path):
    log = Log(tmp_path).opened(time_limit=60.0).search((91.0, 90.0))
    notes = table_of(log.opened(session=2, time_limit=60.0).closed().write()).notes
    assert not [note for note in notes if "time limit" in note or "devices" in note]


def test_the_same_value_from_each_final_trial_is_one_measurement(tmp_path):
    repeated = (94.0,) * 8
    table = table_of(run(tmp_path / "run", repeated, random=(89.0, 90.0, 91.0, 92.0)))
    assert table.rows[1].values == (94.0,)
    assert not table.rows[1].comparison.significant()
    assert not table.rows[1].bold
    assert table.rows[1].comparison.verdict().startswith("not significant: with n = 1 and 4 ")
    assert (
        "The 8 final trials of run gave the same value each time, as without randomness, so they count as "
        "one value." in table.notes
    )


def test_one_final_trial_or_different_ones_are_no_repetition(tmp_path):
    for name, tests in (("a", (94.0,)), ("b", (94.0, 94.0, 94.1))):
        table = table_of(run(tmp_path / name, tests))
        assert table.rows[1].values == tests
        assert not any("same value" in note for note in table.notes)


def test_there_is_no_relative_improvement_over_values_around_zero(tmp_path):
    table = table_of(run(tmp_path / "a", (94.0, 94.4), random=(-1.0, 0.5, 1.0)))
    assert math.isnan(table.rows[1].comparison.relative_improvement)
    assert any(note.startswith("No RI: the mean of random sampling is 0 or") for note in table.notes)
    assert re.search(r"94\.20 ± 0\.28 \(2\) \| +\| +\|", markdown(table))
    usual = table_of(run(tmp_path / "b", (94.0, 94.4)))
    assert not any(note.startswith("No RI") for note in usual.notes)
    assert "/ |mean of random sampling| (Yang" in " ".join(markdown(usual).split())


def test_without_random_sampling_nothing_is_compared(tmp_path):
    table = table_of(run(tmp_path, (94.0, 94.4), random=()))
    assert table.notes[0] == "Random sampling: no architecture has been evaluated, so nothing is compared."
    assert verdicts(table) == ["regularized_evolution, the choice of this run: not compared (n = 2 and 0)"]


def test_one_random_architecture_is_singular(tmp_path):
    assert (
        "Random sampling: 1 architecture, drawn" in table_of(run(tmp_path, (94.0,), random=(90.0,))).notes[0]
    )


def test_a_run_that_is_not_finished_is_called_preliminary(tmp_path):
    log = Log(tmp_path / "now").opened().search((91.0, 90.0), None)
    table = table_of(log.write())
    assert table.notes[-1] == "Not finished, so preliminary: now."
    assert [len(row.values) for row in table.rows] == [0, 0]
    assert "not compared" in markdown(table)
    assert "- (0)" in latex(table)
