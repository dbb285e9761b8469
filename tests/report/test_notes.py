import math
import re

import pytest

from nas.report import Run
from nas.report.results import result_tables
from nas.report.tables import latex, markdown, verdicts
from nas.study import read_study
from tests.report.report_kit import Log, finished_run, pairs


def tables_of(*directories):
    return result_tables([Run.of(read_study(directory)) for directory in directories])


def table_of(*directories):
    (table,) = tables_of(*directories)
    return table


def run(directory, tests, random=(89.0, 90.0, 91.0), opened=None, **options):
    """A run whose choice has the given test values in its final trials."""
    log = Log(directory, **options).opened(**(opened or {}))
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


def test_equal_final_values_are_as_many_trainings(tmp_path):
    """Six seeds that all reach 100 %; so do six random architectures."""
    table = table_of(
        run(tmp_path / "run", (100.0,) * 6, random=(100.0,) * 6, opened={"deterministic": False})
    )
    assert [len(row.values) for row in table.rows] == [6, 6]
    assert [row.std for row in table.rows] == [0.0, 0.0]
    assert not any("same value" in note or "deterministic" in note for note in table.notes)
    better = table_of(
        run(tmp_path / "b", (100.0,) * 6, random=(89.0, 90.0, 91.0, 92.0), opened={"deterministic": False})
    )
    assert better.rows[1].comparison.p == pytest.approx(1 / math.comb(10, 4))  # ties: one side only
    assert better.rows[1].bold


def test_the_repeated_value_of_a_deterministic_evaluator_is_one_training(tmp_path):
    opened = {"deterministic": True}
    table = table_of(run(tmp_path / "run", (94.0,) * 8, random=(89.0, 90.0, 91.0, 92.0), opened=opened))
    assert table.rows[1].values == (94.0,)
    assert not table.rows[1].comparison.significant()
    assert not table.rows[1].bold
    assert "described, not tested" in table.rows[1].comparison.verdict()
    said = "The evaluator is deterministic, so the 8 final trials of run repeat one training: n = 1 each."
    assert said in table.notes
    differing = table_of(run(tmp_path / "b", (94.0, 94.1), opened=opened))
    assert differing.rows[1].values == (94.0, 94.1)
    assert any(
        "says that it is deterministic, but the 2 final trials of b differ" in n for n in differing.notes
    )


def test_a_log_that_does_not_tell_of_randomness_counts_each_training_and_says_so(tmp_path):
    table = table_of(run(tmp_path / "run", (94.0,) * 8, random=(89.0, 90.0, 91.0, 92.0)))
    assert table.rows[1].values == (94.0,) * 8
    assert not table.rows[1].bold, "it may be one training"
    assert verdicts(table)[0].endswith(", n = 8 and 4), if its equal values are trainings of their own")
    assert any("8 final trials of run gave the same value each time" in note for note in table.notes)
    for name, tests in (("a", (94.0,)), ("b", (94.0, 94.0, 94.1))):
        table = table_of(run(tmp_path / name, tests))
        assert table.rows[1].values == tests
        assert not any("same value" in note for note in table.notes)


def test_runs_of_before_and_after_an_evaluator_tells_are_one_table(tmp_path):
    old, new = (
        run(tmp_path / "a", (94.0,)),
        run(tmp_path / "b", (94.0,), seed=1, opened={"deterministic": True}),
    )
    assert len(table_of(old, new).runs) == 2


@pytest.mark.parametrize(
    ("searcher", "closed", "said"),
    [
        (
            {"uninformed": 5},
            {},
            "Random search: s asks for its first 5 trials without knowing any result, ",
        ),
        (
            {"uninformed": 2},
            {},
            "Random search: s asks for its first 2 trials without knowing any result, ",
        ),
        ({"uninformed": 1}, {}, None),
        ({"uninformed": 5}, {"uninformed": 1}, None),  # what a wrapper knew in the end
        ({"uninformed": "inf"}, {}, "No result steers s: it asks for all of its trials without knowing any."),
        ({"uninformed": None}, {}, None),
        ({}, {}, None),
    ],
    ids=str,
)
def test_a_search_that_no_result_steered_is_called_random(tmp_path, searcher, closed, said):
    log = Log(tmp_path / "run").opened(searcher={"name": "s", "options": {}, **searcher})
    log.search((91.0, 90.0), (92.0, 91.0))
    table = table_of(log.add(event="closed", reason="finished", message=None, **closed).write())
    found = [note for note in table.notes if "steer" in note]
    assert [note[: len(said)] for note in found] == [said] if said else not found
    assert said is None or said.split(",")[0] in " ".join(markdown(table).split())


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
