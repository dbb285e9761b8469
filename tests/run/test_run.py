from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.kit import ROOT, TINY, command, events, files, finish, start
from tests.report.report_kit import Log

EXPERIMENTS = ", ".join(sorted(path.stem for path in (ROOT / "experiments/experiment").glob("*.yaml")))
DIGITS = "+experiment=digits executor=inline"

# arguments after those of DIGITS -> the beginning of the line that refuses them
REFUSED_WITH_DIGITS = {
    # names of components
    "space.name=x": 'ConfigError: space "x" is not registered; registered: activation, darts, deepconv, ',
    "searcher.name=x": 'ConfigError: searcher "x" is not registered; registered: asha, bisection, ',
    "evaluator.name=x": 'ConfigError: evaluator "x" is not registered; registered: classification, ',
    "executor.name=x": 'ConfigError: executor "x" is not registered; registered: inline, ray, simulated',
    "hashing.name=x": 'ConfigError: hashing "x" is not registered; registered: ',
    "~searcher": "ConfigError: searcher.name: expected a name, got None; registered: asha, ",
    # keys
    "sed=1": "ConfigError: sed: expected one of the keys name, seed, space, ",
    "+budget.trails=1": "ConfigError: budget.trails: expected one of the keys name, ",
    "space.x=1": 'ConfigError: space "macro": has no option "x"; options: width, stages, depth, ',
    "+space.x=1": 'ConfigError: space "macro": has no option "x"; options: width, stages, depth, ',
    "+searcher.x=1": 'ConfigError: searcher "surrogate": has no option "x"; options: initial, pareto',
    "+evaluator.epoch=1": 'ConfigError: evaluator "classification": unknown option "epoch"; options: dataset',
    "+executor.x=1": 'ConfigError: executor "inline": has no option "x"; options: none',
    "seed": "ConfigError: command: expected KEY=VALUE, got 'seed'; see --help",
    "hydra.x=1": "ConfigError: hydra.x: expected one of the keys name, seed, ",
    # types
    "seed=x": "ConfigError: seed: expected a whole number, got 'x'; leave it out",
    "seed=null": "ConfigError: seed: expected a value, got null; leave it out",
    "budget=3": "ConfigError: budget: expected a section of keys, got 3; leave it out",
    "budget.trials=x": "ConfigError: budget.trials: expected a whole number, got 'x'; leave it out",
    "dry_run=maybe": "ConfigError: dry_run: expected true or false, got 'maybe'",
    "run.dir=[a]": "ConfigError: run.dir: expected a text, got ['a']; leave it out",
    "run.dir=${x}": "ConfigError: run.dir: Interpolation key 'x' not found",
    "space.width=big": "ConfigError: space \"macro\": width: expected int, got 'big'; change it",
    "searcher.initial=x": 'ConfigError: searcher "surrogate": initial: expected int, got',
    "evaluator.epochs=x": 'ConfigError: evaluator "classification": training setting "epochs": expected a',
    # ranges
    "seed=-1": "ConfigError: seed: expected 0 or more, got -1; leave it out",
    "budget.trials=null": "ConfigError: budget: expected trials, seconds or both; got neither; set budget.tr",
    "baseline.samples=-1": "ConfigError: baseline.samples: expected 0 to 10000000; got -1; change it",
    "trial.time_limit=0": "ConfigError: trial.time_limit: expected more than 0 seconds; got 0.0; change it",
    "search.fidelity=9": "ConfigError: search.fidelity: expected 1 to 8 epochs, got 9",
    "checkpoints.keep=-1": "ConfigError: checkpoints.keep: expected 0 or more, got -1; leave it out",
    "checkpoints.max_mb=0": "ConfigError: checkpoints.max_mb: expected a number above 0, got 0; leave it out",
    "space.width=0": "SpaceError: macro: width a positive multiple of 4, stages and depth of at least 1 ",
    "searcher.initial=1": 'ConfigError: searcher "surrogate": initial: expected 2 or more architectures, go',
    "evaluator.lr=-1": 'ConfigError: evaluator "classification": training setting "lr": expected a number ab',
    "evaluator.device=x": 'ConfigError: evaluator "classification": device: expected auto, cpu, cuda or cuda',
    # values that are missing
    "space=file": "ConfigError: space.path: expected a value, got none; add space.path=VALUE to the command",
    "evaluator=function": "ConfigError: evaluator.function: expected a value, got none; add evaluator.functi",
    # files that are missing
    "space=file space.path=x": "ConfigError: space.path: a text file is expected at 'x'; [Errno 2] No such",
    "evaluator=npz evaluator.root=x": "EvaluationError: data x: expected an .npz file, found none; set ",
    "accept=evaluator": "ConfigError: accept: expected the folder of a run beside it, got none; add",
    "accept=space resume=x": "ConfigError: accept: expected evaluator, got 'space'; leave it out",
    "accept=[evaluator,x]": "ConfigError: accept: ",
    "trust=maybe": "ConfigError: trust: expected true or false, got 'maybe'",
    "resume=x": "ConfigError: resume: expected the folder of a run, with events.jsonl, got no folder x",
    # components of one's own
    "'~space' +space.name=x:y": 'ConfigError: space.name: expected module:attribute, got "x:y": No module',
    "'~space' +space.name=os:x": 'ConfigError: space.name: expected module:attribute, got "os:x": module',
    "space.name=:": 'ConfigError: space.name: expected module:attribute, got ":": no module',
    "'~space' +space.name=os:sep": 'ConfigError: space "os:sep": expected a nas.space.SearchSpace, got',
    "'~searcher' +searcher.name=os:getcwd": 'ConfigError: searcher "os:getcwd": expected a callable of 2 ',
    "'~evaluator' +evaluator.name=os:getcwd": 'ConfigError: evaluator "os:getcwd": expected a nas.evaluation.Eva',  # noqa: E501
    "evaluator=function evaluator.function=x:y": 'ConfigError: evaluator "function": function: cannot import',
    # parts that do not fit together
    "searcher=nsga2 +searcher.limits.foo=3": 'ConfigError: searcher "nsga2": limits: expected values that ',
    "space.stages=9": "ConfigError: space macro: none of 16 samples fits the evaluator; root.parts[",
    "space=update_rule": "ConfigError: space update_rule: none of 16 samples fits the evaluator; root: expec",
}
REFUSED = {
    "": "ConfigError: experiment: expected an experiment, got none; add +experiment=NAME, one of",
    "+experiment=digts": f"ConfigError: experiment: expected one of {EXPERIMENTS}, got digts; did you me",
    "experiment=digits": "ConfigError: experiment: expected +experiment=NAME, as no experiment",
    "+experiment=null": f"ConfigError: experiment: expected one of {EXPERIMENTS}, got null",
    "+experiment=digits space=x": "ConfigError: space: expected one of activation, activation_units, darts, ",
    "+experiment=digits space=": "ConfigError: space: expected one of activation, ",
    "+experiment=digits searcher=randm": "ConfigError: searcher: expected one of asha, darts, ",
    "+experiment=digits executor.mode=x": 'ConfigError: executor.mode: expected "actors" or "tasks", got ',
    "+experiment=digits +executor.x=1": "ConfigError: executor.x: expected one of address, ",
    "+experiment=update_rule space=macro": "ConfigError: space macro: none of 16 samples fits the evaluator",
    "+experiment=nasbench201": "EvaluationError: table data/nasbench201_cifar10.csv.gz: expected a CSV file",
    "accept=evaluator resume=x": "ConfigError: resume: expected the folder of a run, with events.jsonl, ",
    "resume=x": "ConfigError: resume: expected the folder of a run, with events.jsonl, got no folder x",
    "resume=x seed=3": "ConfigError: resume: expected the folder alone or the run's whole command, got ",
    "-m +experiment=digits seed=0,x": "ConfigError: seed: expected a whole number, got 'x'; leave it out",
    "-m +experiment=digits searcher=random,x": "ConfigError: searcher: expected one of asha, ",
    "-m +experiment=digits seed=0,1 space.width=0": "SpaceError: run 0 (seed=0): macro: ",
    "--config-dir x +experiment=digits": "ConfigError: --config-dir: expected a folder, got x; give another",
    "--config-name x": "ConfigError: --config-name: expected config or one in --config-dir, got x",
    "+experiment=digits/..": f"ConfigError: experiment: expected one of {EXPERIMENTS}, got digits/..",
    **{f"{DIGITS} {arguments}": line for arguments, line in REFUSED_WITH_DIGITS.items()},
}


@pytest.mark.parametrize(("line", "beginning"), REFUSED.items(), ids=list(REFUSED))
def test_a_mistake_is_one_line_and_leaves_nothing(line, beginning, tmp_path):
    assert command(line, tmp_path).message.startswith(beginning)
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("folder", "reason"),
    [("file", "File exists"), ("file/below", "File exists"), ("/proc/nowhere", "No such file")],
)
def test_a_folder_that_cannot_be_written_is_one_line(folder, reason, tmp_path):
    (tmp_path / "file").write_text("mine")
    message = command(f"{TINY} run.dir={folder}", tmp_path).message
    assert message.startswith(f"ConfigError: run.dir: expected a writable folder, got {folder} ({reason}")
    assert message.endswith("; choose another")
    assert files(tmp_path) == ["file"]


def test_malformed_expressions_in_a_file_are_one_line_with_the_place(tmp_path):
    texts = {
        "stem(width=16) >> ": "SpaceError: ",
        "stem(width=16) >> conf(kernel=3) >> head()": "SpaceError: space.path: 'broken.txt': broken at con",
        "stem(width=16) >> conv(kernal=3) >> head()": "SpaceError: space.path: 'broken.txt': broken at con",
        "__import__('os')": "SpaceError: ",
    }
    for text, beginning in texts.items():
        (tmp_path / "broken.txt").write_text(text)
        assert command(f"{DIGITS} space=file space.path=broken.txt", tmp_path).message.startswith(beginning)
    assert files(tmp_path) == ["broken.txt"]


def test_a_run_is_not_written_over(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/events.jsonl").write_text("{}\n")
    message = command(f"{TINY} run.dir=run", tmp_path).message
    assert message == (
        "ConfigError: run.dir: expected a folder without a run, got run, which holds one; add resume=run to "
        "the command to continue it, or choose another"
    )
    assert (tmp_path / "run/events.jsonl").read_text() == "{}\n"


def opened(**changes) -> str:
    return json.dumps({**Log(Path()).opened(**changes).lines[0]}) + "\n"


@pytest.mark.parametrize(
    ("content", "beginning"),
    [
        ("", "StoreError: run/events.jsonl: expected an opened event first, got none"),
        ("x\ny\n", "StoreError: run/events.jsonl, line 1: expected a JSON object with an event; the line is"),
        (
            '{"event": "opened"}\n',
            "StoreError: run/events.jsonl, line 1: expected a format from 1 to 2; got None; continue",
        ),
        (opened(config={}), "StoreError: run: expected a log with a configuration, got one without; give"),
        (
            opened(config={"sed": 1}),
            "StoreError: run: expected a log with a configuration of this version, got ",
        ),
        (
            opened(config={"name": "x", "searcher": "random"}),
            "StoreError: run: expected a log with a configuration of this version, got ",
        ),
    ],
)
def test_a_log_that_cannot_be_resumed_is_one_line(content, beginning, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/events.jsonl").write_text(content)
    result = command("resume=run", tmp_path, may_warn=".*torn")
    assert result.err.splitlines()[-1].startswith(beginning)
    assert result.status == 2
    assert files(tmp_path) == ["run", "run/events.jsonl"]


def test_the_help_names_groups_keys_and_examples(tmp_path):
    result = command("--help", tmp_path)
    assert result.status == 0
    assert f"experiment: {EXPERIMENTS}\n" in result.out
    for expected in ("budget.trials", "resume", "Examples", "python -m nas.report"):
        assert expected in result.out
    assert files(tmp_path) == []


def test_the_help_shows_the_chosen_composition(tmp_path):
    shown = command("+experiment=digits searcher=random seed=7 --help", tmp_path).out
    assert "searcher:\n  name: random\n" in shown
    assert "seed: 7\n" in shown


def test_configuration_alone_can_be_printed(tmp_path):
    result = command("+experiment=cifar10 seed=7 --cfg job", tmp_path)
    assert result.status == 0
    assert "dataset: cifar10" in result.out
    assert files(tmp_path) == []


def test_experiments_of_ones_own(tmp_path):
    (tmp_path / "own/experiment").mkdir(parents=True)
    (tmp_path / "own/experiment/quick.yaml").write_text(
        "# @package _global_\ndefaults:\n  - digits\n  - override /searcher: random\nname: quick\nseed: 5\n"
    )
    result = command("--config-dir own +experiment=quick --cfg job", tmp_path)
    assert result.status == 0, result.err
    assert "name: quick\nseed: 5\n" in result.out
    assert "searcher:\n  name: random\n" in result.out
    assert "dataset: digits" in result.out


def test_as_a_process_a_mistake_is_one_line_and_status_2(tmp_path):
    message = finish(start("+experiment=digits seed=x", tmp_path)).message
    assert message == "ConfigError: seed: expected a whole number, got 'x'; leave it out for the default"
    assert files(tmp_path) == []


@pytest.mark.slow
def test_missing_data_without_a_network_are_said_within_seconds(tmp_path):
    # a proxy that refuses every connection stands for the missing network
    process = start("+experiment=cifar10", tmp_path, https_proxy="http://127.0.0.1:9", no_proxy="")
    message = finish(process, seconds=30).message
    assert message.startswith(
        f"EvaluationError: data {tmp_path}/data: expected cifar-10-python.tar.gz "
        "(MD5 c58f30108f718f92721af3b95e74349a), got none, and the download from www.cs.toronto.edu failed"
    )
    assert message.endswith("); put the file there or set evaluator.root")
    assert files(tmp_path) == []


def test_bugs_of_ones_own_keep_their_traceback_above_the_line(tmp_path):
    (tmp_path / "buggy.py").write_text("def space():\n    raise ValueError('a bug')\n")
    result = command(f"{DIGITS} '~space' +space.name=buggy:space", tmp_path)
    assert result.status == 2
    first, *_, last = result.err.splitlines()
    assert first == "Traceback (most recent call last):"
    assert last.startswith(
        'ConfigError: space "buggy:space": expected it to be made, got ValueError: a bug at '
    )
    assert "buggy.py, line 2; " in last


def test_the_first_words_come_without_torch():
    code = "import sys, nas.run; print(*sorted({'torch', 'ray', 'pandas', 'matplotlib'} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


@pytest.mark.slow
def test_multirun_makes_a_folder_for_each_run_and_nothing_else(tmp_path):
    line = f"-m {TINY} searcher=random budget.trials=1 baseline.samples=1 final.seeds=1 seed=3,4 run.dir=both"
    assert command(line, tmp_path).status == 0
    assert [name for name in files(tmp_path) if name.count("/") < 2] == ["both", "both/0", "both/1"]
    assert [events(tmp_path / "both" / job)[0]["seed"] for job in "01"] == [3, 4]
    shutil.rmtree(tmp_path / "both")
