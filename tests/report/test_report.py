import csv
import gc
import io
import os
import re
import time

import pytest
import yaml

from nas.errors import ConfigError, StoreError
from nas.report import Run, write_report
from nas.report.report import state
from nas.study import read_study
from tests.report.report_kit import NETWORK, Log, finished_run, pairs
from tests.study.study_kit import make_study

FILES = {
    *("trials.csv", "results.md", "results.tex", "chosen.txt", "chosen.svg", "chosen.png", "config.yaml"),
    *("best_so_far.png", "best_so_far.pdf", "final_comparison.png", "final_comparison.pdf"),
}


def state_of(log, **options):
    return state(Run.of(read_study(log.write())), **options)


def test_a_report_consists_of_tables_figures_and_the_chosen_architecture(tmp_path):
    report = write_report([finished_run(tmp_path / "run")], tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert {path.name for path in report.files} == FILES
    assert all(path.stat().st_size > 0 for path in report.files)
    assert (tmp_path / "out/results.md").read_text() in report.text
    assert "\\toprule" in (tmp_path / "out/results.tex").read_text()


def test_the_listing_parses_back_to_the_chosen_architecture(tmp_path):
    write_report([finished_run(tmp_path)], tmp_path)
    lines = (tmp_path / "chosen.txt").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        "stem(width=18) >> conv(kernel=3) >> head()"
    ]
    assert "# validation_accuracy = 95.0" in lines
    assert "# parameters = 1234" in lines


def test_the_configuration_is_rebuilt_from_the_log(tmp_path):
    config = {"name": "digits", "searcher": {"name": "random", "note": "1e3"}, "budget": {"seconds": None}}
    log = Log(tmp_path).opened(config={"name": "of an earlier session"}).opened(config=config)
    write_report([log.closed().write()], tmp_path)
    assert yaml.safe_load((tmp_path / "config.yaml").read_text()) == config


def test_several_runs_have_no_one_configuration(tmp_path):
    runs = [finished_run(tmp_path / str(seed), seed=seed) for seed in range(2)]
    assert "config.yaml" not in {path.name for path in write_report(runs, tmp_path / "out").files}


def test_trials_csv_follows_rfc_4180(tmp_path):
    log = Log(tmp_path).opened()
    log.asked("search", 0, 'conv(note="a, b")')
    log.evaluated(0, None, reason='said "no",\nthen stopped')
    write_report([log.write()], tmp_path)
    text = (tmp_path / "trials.csv").read_bytes().decode()
    assert text.count("\r\n") == 2
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert row["architecture"] == 'conv(note="a, b")'
    assert row["reason"] == 'said "no", then stopped'
    assert (row["trial"], row["parent"], row["validation_accuracy"]) == ("0", "", "")


def test_trials_csv_of_numbers_reads_back_exactly(tmp_path):
    log = Log(tmp_path).opened().search((0.1 + 0.2, 90.0), None)
    write_report([log.write()], tmp_path)
    first, failed = csv.DictReader((tmp_path / "trials.csv").read_text().splitlines())
    assert float(first["validation_accuracy"]) == 0.1 + 0.2
    assert (first["parameters"], failed["parameters"]) == ("1234", "")


def test_writing_a_report_again_changes_nothing(tmp_path):
    directory = finished_run(tmp_path)
    write_report([directory], directory)
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    write_report([directory], directory)
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


def test_several_runs_make_one_report(tmp_path):
    runs = [finished_run(tmp_path / str(seed), seed=seed) for seed in range(2)]
    report = write_report([*runs, runs[0]], tmp_path / "out")
    assert "regularized_evolution, 2 runs" in report.text
    assert "chosen.svg" not in {path.name for path in report.files}
    assert (tmp_path / "out/chosen.txt").read_text().count("# parameters") == 2
    assert (tmp_path / "out/trials.csv").read_text().count("\n") == 1 + 2 * 9


def test_settings_that_do_not_compare_get_figures_of_their_own(tmp_path):
    runs = [finished_run(tmp_path / name, fingerprint=name) for name in ("a", "b")]
    names = {path.name for path in write_report(runs, tmp_path / "out").files}
    assert {"best_so_far.png", "best_so_far_2.png", "final_comparison_2.pdf"} <= names


def test_a_study_without_any_trial_has_a_report(tmp_path):
    report = write_report([Log(tmp_path).opened().write()], tmp_path)
    assert "random sampling" in report.text
    assert "nothing is chosen" in (tmp_path / "chosen.txt").read_text()


def test_an_architecture_in_another_language_costs_the_picture_only(tmp_path):
    log = Log(tmp_path).opened()
    log.evaluated(log.asked("search", 0, "conv(3"), (91.0, 90.0))
    names = {path.name for path in write_report([log.closed().write()], tmp_path).files}
    assert names == FILES - {"chosen.svg", "chosen.png"}
    assert "conv(3" in (tmp_path / "chosen.txt").read_text()


def test_garbage_collection_is_on_again(tmp_path):
    write_report([finished_run(tmp_path)], tmp_path)
    assert gc.isenabled()
    with pytest.raises(StoreError):
        write_report([tmp_path / "nowhere"], tmp_path)
    assert gc.isenabled()


def test_the_log_of_a_real_study_has_a_report(tmp_path):
    make_study(tmp_path / "study").run()
    text = write_report([tmp_path / "study"], tmp_path).text
    assert "search: 12/12 done" in text
    assert "baseline: 3/3 done" in text
    assert "final: 2/2 done" in text
    cache = {f"cache.{kind}" for kind in ("md", "tex", "csv", "png", "pdf")}
    # it has no configuration
    assert {path.name for path in tmp_path.iterdir()} == {*FILES, *cache, "study"} - {"config.yaml"}


# the state of a run


def test_state_of_a_finished_run(tmp_path):
    text = state(Run.of(read_study(finished_run(tmp_path))))
    assert text.split("\n") == [
        f"{tmp_path}: regularized_evolution, seed 0: finished",
        "  search: 4/4 done, 1 failed (1 diverged), cost 4 min 00 s",
        "  baseline: 3/3 done, 0 failed, cost 3 min 00 s",
        "  final: 2/2 done, 0 failed, cost 2 min 00 s",
        "  best validation_accuracy 95 %: search 2, " + text.split()[-1],
    ]


def test_state_of_a_run_in_progress(tmp_path):
    log = Log(tmp_path).opened().search((91.0, 90.0), None)
    log.add(event="started", trial=log.asked("search", 2), clock=120.0)
    directory = log.write()
    os.utime(directory / "events.jsonl", (1000.0, 1000.0))
    text = state(Run.of(read_study(directory)), now=1012.0)
    assert "in progress or killed, search stage; last event 12 s ago" in text
    assert "search: 2/4 done, 1 in flight, 1 failed (1 diverged)" in text
    assert "best validation_accuracy 91 %: search 0" in text


def test_state_counts_answers_from_the_cache(tmp_path):
    log = Log(tmp_path).opened().search((91.0, 90.0))
    log.asked("search", 1)
    log.add(event="told", trial=1, cached_from=0, clock=60.0)
    assert "search: 2/4 done, 0 failed, 1 from cache, cost 1 min 00 s" in state_of(log)


def test_state_of_a_run_that_was_continued_with_a_smaller_budget(tmp_path):
    log = Log(tmp_path, trials=1).opened().search(*pairs((90.0, 91.0)))
    assert "search: 2 done, 1 planned by now, 0 failed" in state_of(log)


@pytest.mark.parametrize(
    ("trials", "fill", "stage"),
    [
        (4, lambda log: log.search((91.0, 90.0)), "search"),
        (None, lambda log: log.search((91.0, 90.0)), "search"),  # bounded by time: open until a final trial
        (2, lambda log: log.search(*pairs((90.0, 91.0))), "baseline"),
        (2, lambda log: log.search(*pairs((90.0, 91.0))).baseline(*pairs((1.0, 2.0, 3.0))), "final"),
        (
            None,
            lambda log: (
                log.search((91.0, 90.0))
                .baseline(*pairs((1.0, 2.0, 3.0)))
                .final(*["stem(width=16) >> conv(kernel=3) >> head()", (91.0, 90.0)])
            ),
            "final",
        ),
    ],
)
def test_state_names_the_stage(tmp_path, trials, fill, stage):
    assert f"in progress or killed, {stage} stage" in state_of(fill(Log(tmp_path, trials=trials).opened()))


def test_state_of_an_interrupted_or_broken_run_says_how_to_continue(tmp_path):
    log = Log(tmp_path).opened().search((91.0, 90.0))
    log.asked("search", 1)
    text = state_of(log.closed("interrupted"))
    assert (
        f"interrupted; python -m nas.run resume={tmp_path}, or its whole command with that, continues" in text
    )
    assert "1 not finished" in text
    broken = Log(tmp_path).opened().closed("error", "StoreError: disk full")
    assert f"error (StoreError: disk full); python -m nas.run resume={tmp_path}, or" in state_of(broken)


def test_nothing_is_half_written_where_the_log_cannot_be_read(tmp_path):
    with pytest.raises(StoreError):
        write_report([finished_run(tmp_path / "good"), tmp_path / "absent"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_file_that_cannot_be_replaced_leaves_the_old_one_and_no_temporary(tmp_path):
    directory = finished_run(tmp_path / "run")
    (directory / "results.md").mkdir()
    report = write_report([directory], directory)
    (failure,) = report.failures
    assert re.search(r"results.md: cannot write the report; Is a directory; give another --output$", failure)
    assert report.status == 1
    assert {path.name for path in report.files} == FILES - {"results.md"}, "the others are written"
    assert not [path for path in directory.iterdir() if path.name.startswith(".")]


def test_a_folder_that_takes_no_file_is_refused(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(ConfigError, match=r"trials.csv: cannot write the report; .*give another --output"):
        write_report([finished_run(tmp_path / "run")], tmp_path / "out")


def test_reading_a_long_log_takes_seconds(tmp_path):
    """4,000 trials here; 100,000 of them took 5 s of processor time, more than half of it parsing JSON."""
    log = Log(tmp_path, trials=4000).opened()
    for index in range(4000):
        log.trial("search", index, (90 + index % 97 / 100, 89.0), architecture=NETWORK)
    directory = log.closed().write()
    start = time.process_time()
    write_report([directory], directory)
    assert time.process_time() - start < 5
    assert (directory / "trials.csv").read_text().count("\n") == 4001
