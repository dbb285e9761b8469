"""The command line: what is meant is done, what cannot be meant is one line that says what to write."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys

import numpy as np
import pytest

from tests.end_to_end.kit import ROOT, command, events, files, finish, start

SCORE = "def score(architecture):\n    return float(len(architecture.text))\n"
OWN = (
    "name=mine space=macro_small searcher=random evaluator=function evaluator.function=ok:score "
    "executor=inline budget.trials=2 baseline.samples=1 final.seeds=1"
)
DIGITS = "+experiment=digits executor=inline"
BOTH = "+searcher@compare.searchers.random=random +searcher@compare.searchers.mcts=mcts"


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    (tmp_path / "ok.py").write_text(SCORE)
    monkeypatch.setattr("nas.run.single._report", lambda folder: None)


def test_several_options_of_a_group_are_refused_with_what_works(tmp_path):
    for words in ("searcher=[random,mcts]", "searcher=random,mcts", "searcher=random searcher=mcts"):
        assert command(f"{DIGITS} {words}", tmp_path).message == (
            f"ConfigError: searcher: expected one option, got [random,mcts]; write {BOTH} executor=inline to "
            "compare them, or -m searcher=random,mcts to run them one after the other"
        )
    line = OWN.replace("searcher=random ", "")
    assert command(f"{line} {BOTH} dry_run=true compare.launcher=inline", tmp_path).status == 0
    assert command(f"-m {line} searcher=random,mcts dry_run=true", tmp_path).status == 0


@pytest.mark.parametrize(
    ("words", "ignored"),
    [
        ("compare.seeds=5", ["compare.seeds"]),
        ("protocol.samples=4 audit.strict=false", ["protocol.samples", "audit.strict"]),
        (f"{BOTH} compare.launcher=inline audit.strict=false final.seeds=2", ["audit.strict"]),
        (
            "protocol.variants.a={} budget.trials=3 hashing=none searcher=mcts search.fidelity=null",
            ["budget.trials", "hashing", "searcher"],
        ),
        ("-m compare.seeds=5 seed=0,1", ["compare.seeds"]),
    ],
)
def test_what_a_kind_of_run_ignores_is_said_once(words, ignored, tmp_path):
    line = "name=mine space=macro_small evaluator=function evaluator.function=ok:score executor=inline"
    result = command(f"{line} {words} dry_run=true", tmp_path)
    assert result.status == 0
    assert re.findall(r"^note: (\S+): expected a key of ", result.err, re.MULTILINE) == ignored


def test_a_multirun_of_one_comparison_over_seeds_that_it_does_not_use_is_refused(tmp_path):
    line = f"{OWN.replace('searcher=random ', '')} {BOTH} compare.launcher=inline"
    assert command(f"-m {line} seed=0,1", tmp_path).message == (
        "ConfigError: seed: expected compare.first_seed, as a comparison has several seeds, got seed=0; "
        "set compare.first_seed=N to begin with N"
    )
    assert command(f"-m {line} compare.first_seed=0,1 dry_run=true", tmp_path).status == 0


def test_a_folder_beside_that_of_resume_is_noted(tmp_path):
    assert command(f"{OWN} run.dir=run", tmp_path).status == 0
    assert command(f"{OWN} run.dir=run resume=run", tmp_path).err == ""
    result = command(f"{OWN} run.dir=other resume=run", tmp_path)
    assert (
        result.err
        == "note: run.dir: expected run, the folder of resume, got other, which is ignored; leave it out\n"
    )
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("group", ["space", "evaluator", "executor", "hashing", "experiment"])
def test_a_list_is_refused_for_every_group(group, tmp_path):
    plus = "+" if group == "experiment" else ""
    message = command(f"name=mine {plus}{group}=[a,b]", tmp_path).message
    assert message == (
        f"ConfigError: {group}: expected one option, got [a,b]; write -m {plus}{group}=a,b to run them one "
        "after the other"
    )


def test_a_list_in_a_file_is_refused(tmp_path):
    (tmp_path / "own/experiment").mkdir(parents=True)
    text = "# @package _global_\ndefaults:\n  - override /searcher: [random, mcts]\nname: x\n"
    (tmp_path / "own/experiment/e.yaml").write_text(text)
    message = command("--config-dir own +experiment=e", tmp_path).message
    assert message.startswith("ConfigError: searcher: expected one option, got [random,mcts]; ")


@pytest.mark.parametrize(
    ("text", "beginning"),
    [
        (b"name: [x\n", r"\S*own/experiment/e.yaml, line 1: expected YAML, got another text \("),
        (b"name: x\nname: y\n", r"\S*own/experiment/e.yaml, line 1: expected YAML, .*duplicate key name"),
        (b"name: !!python/name:os.system\n", r"\S*own/experiment/e.yaml, line 1: expected YAML, "),
        (b"\xff\xfe\x00", "composition: expected files in UTF-8, got one with the byte 0xff; "),
        (b"defaults:\n  - e\n", "composition: expected files nested at most some hundred levels deep, "),
        (
            b"space: " + b"[" * 5000 + b"]" * 5000,
            "composition: expected files nested at most some hundred levels deep",
        ),
        (b"defaults: 5\n", "experiment/e.yaml: defaults: expected a list"),
    ],
)
def test_a_file_of_ones_own_that_cannot_be_composed_is_one_line(text, beginning, tmp_path):
    (tmp_path / "own/experiment").mkdir(parents=True)
    (tmp_path / "own/experiment/e.yaml").write_bytes(text)
    message = command("--config-dir own +experiment=e", tmp_path).message
    assert re.match(f"ConfigError: {beginning}", message), message


def test_a_key_that_is_given_twice_says_which_counts(tmp_path):
    result = command(f"{OWN} budget.trials=3 dry_run=true", tmp_path)
    assert (result.status, result.err) == (
        0,
        "note: budget.trials: budget.trials=2 is overridden by the later budget.trials=3\n",
    )
    assert "trials: 3\n" in result.out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "beginning"),
    [
        ("--foo", "command: expected KEY=VALUE or one of -h, "),
        ("--multrun", r".*; did you mean --multirun\?"),
        ("-m --cfg job", "--cfg: expected a single composition"),
        ("--cfg all", "--cfg: expected job, got all"),
        ("--cfg", "--cfg: expected one value, got none"),
        ("--cfg job -p nothing", "--package: expected a section of the composition, got nothing"),
        ("=x", "command: expected KEY=VALUE, got '=x'"),
        ("''", "command: expected KEY=VALUE, got ''"),
        ("+", r"command: expected KEY=VALUE, got '\+'"),
        ("'~'", "command: expected KEY=VALUE, got '~'"),
        ("searcher.=3", "command: expected KEY=VALUE, got searcher.=3, of which .searcher.. is no key"),
        ("é=1", "command: expected KEY=VALUE, got é=1, of which .é. is no key"),
        ("searcher=", "searcher: expected one of asha, .*, got none"),
        ("searcher=null", "searcher: expected one of asha, .*, got null"),
        ("searcher=3", "searcher: expected one of asha, .*, got 3"),
        ("searcher=../x", "searcher: expected one of asha, .*, got ../x"),
        ("a@b=c", "a: expected one of the keys name, "),
        ("'searcher@compare.searchers.x={name: mcts}'", "searcher: expected one of asha, .*, got {name: m"),
        (
            "hydra.run.dir=/dev/null",
            r"hydra.run.dir: expected one of the keys .*, got hydra.run.dir; did you mean run.dir\?",
        ),
        ("hydra/launcher=joblib", "hydra/launcher: expected one of the keys name, "),
        ("run.dir=/dev/null", "run.dir: expected a writable folder, got /dev/null "),
        ("seed=1e3", "seed: expected a whole number, got '1000.0'"),
        ("seed=" + "9" * 5000, "seed: expected a whole number, got '9{200} ...'"),
        ("seed='[[['", "seed: expected a value that can be read, got "),
        ("seed='${seed}'", "seed: Recursive interpolation detected"),
        ("seed='${oc.env:NOT_THERE}'", "seed: cannot be resolved: "),
        ("name='${hydra:job.name}'", r"name: \$\{hydra:...\} has no value here"),
        ("budget.seconds=inf", "budget.seconds: expected a finite number, or null"),
        ("compare.only=random", "compare.only: expected a list in brackets, got a str"),
        ("compare.searchers=3", "compare.searchers: expected a section of keys, got a int"),
        ("'~budget'", "budget: expected a value, as every run has one"),
        ("'~foo'", "foo: expected a key that can be removed, got none"),
        ("name=../../x", "name: expected a name without "),
        ("name=/tmp/x", "name: expected a name without "),
        ("name=..", "name: expected a name that begins "),
        ("name=" + "x" * 101, "name: expected a name of at most 100 bytes, "),
        ("'name=a\nb'", r"name: expected a name without .*, got 'a\\nb'"),
        ("resume=~nobody_here", "resume: expected a path, got ~nobody_here: "),
        ("run.dir=" + "x" * 300, "run.dir: expected a path, got x+ ... x+: File name too long; give another"),
        (f"{BOTH} compare.launcher=inline compare.searchers.rndom.by=x", r".*; did you mean random\?"),
        (
            f"{BOTH} compare.launcher=inline protocol.variants.a.seed=1",
            "compare.searchers: expected one kind",
        ),
    ],
)
def test_odd_words_are_one_line_without_the_names_of_libraries(words, beginning, tmp_path):
    line = DIGITS.replace("executor=inline", "") if "executor" in words else DIGITS
    message = command(f"{line} {words}", tmp_path).message
    assert re.match(f"ConfigError: {beginning}", message), message
    assert not re.search(
        r"https?:|Exception|Config\w*Error: .*Error|DictConfig|ListConfig|OmegaConf", message
    )
    assert files(tmp_path) == ["ok.py"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "José (copy)/d",
        "a(b",
        "a b=c",
        "a#b",
        "a:b",
        "it's",
        'say "hi"',
        "$HOME",
        "a;b&c|d",
        "x(1)",
        ")",
        "a,(b",
    ],
)
def test_a_text_that_the_grammar_cannot_read_arrives_as_it_is(text, tmp_path):
    line = f"name=mine executor=inline evaluator=npz {shlex.quote(f'evaluator.root={text}.npz')}"
    message = command(line, tmp_path).message
    assert message.startswith(f"EvaluationError: data {text}.npz: expected an .npz file, found none")


@pytest.mark.parametrize("text", ["a,b", "{x}", "[x].npz", '"q', "'q", "choice(a)"])
def test_a_text_that_may_mean_something_else_is_told_how_to_be_quoted(text, tmp_path):
    """Following the message to the letter in a shell works."""
    line = "name=mine executor=inline evaluator=npz"
    message = command(f"{line} {shlex.quote(f'evaluator.root={text}')}", tmp_path).message
    told = re.search(r"quote a text: (.*?)(; bracket|$)", message)
    assert told is not None
    typed = subprocess.run(
        ["bash", "-c", f"printf %s {told[1]}"], capture_output=True, text=True, check=True
    ).stdout
    again = command(f"{line} {shlex.quote(typed)}", tmp_path).message
    assert again.startswith(f"EvaluationError: data {text}: expected an .npz file")


@pytest.mark.parametrize("name", ["007", "1e3", "true"])
def test_a_path_that_looks_like_a_number_is_a_path(name, tmp_path):
    assert command(f"{OWN} run.dir={name}", tmp_path).status == 0
    assert (tmp_path / name / "events.jsonl").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "searcher=nsga2 searcher.populaton=3",
            'searcher "nsga2": has no option "populaton"; options: population, '
            'crossover, limits; did you mean "population"?',
        ),
        (
            "searcher=no_repeats searcher.searcher.bye=x",
            'searcher.searcher "random": has no option "bye"; options: by; did you mean "by"?',
        ),
        (
            "searcher=nsga2 searcher.limits.parameters=5000",
            'searcher "nsga2": limits: expected values that are '
            "reported (validation_accuracy, validation_loss, test_accuracy), got parameters; name those",
        ),
        (
            "searcher=no_repeats searcher.searcher.name=darts searcher.searcher.epoch=3",
            'searcher.searcher "darts": expected options among searches, ',
        ),
        ("searcher=gdas searcher.epoch=3", 'searcher "gdas": expected options among searches, '),
    ],
)
def test_unknown_options_name_the_component_and_the_nearest(words, message, tmp_path):
    assert command(f"{DIGITS} {words}", tmp_path).message.startswith(f"ConfigError: {message}")


@pytest.mark.parametrize(
    "words", ["'searcher.limits={score: 1}'", "searcher.limits.score=1", "+searcher.limits.score=1"]
)
def test_values_of_an_option_that_is_a_mapping_are_set(words, tmp_path):
    line = OWN.replace("searcher=random", f"searcher=nsga2 {words}")
    assert command(f"{line} run.dir=run", tmp_path).status == 0
    assert events(tmp_path / "run")[0]["searcher"]["options"]["limits"] == {"score": 1}


@pytest.mark.slow
def test_a_dry_run_checks_what_a_run_checks_and_leaves_nothing(tmp_path):
    assert command(f"{OWN} run.dir=run", tmp_path).status == 0
    before = {name: (tmp_path / "run" / name).stat().st_mtime_ns for name in files(tmp_path / "run")}
    compare = "+searcher@compare.searchers.a=random compare.launcher=inline"
    for words, beginning in {
        "resume=nowhere": "ConfigError: resume: expected the folder of a run, ",
        "run.dir=ok.py": "ConfigError: run.dir: expected a writable folder, got ok.py ",
        "run.dir=run": "ConfigError: run.dir: expected a folder without a run, got run, which holds one",
        "resume=run seed=3": "StoreError: run/events.jsonl: seed: expected 0, as logged; got 3",
        f"resume=run {compare}": "ConfigError: run: expected a comparison, ",
    }.items():
        line = OWN.replace("searcher=random ", "") if "compare" in words else OWN
        for dry in ("", " dry_run=true"):
            assert command(f"{line} {words}{dry}", tmp_path).message.startswith(beginning)
    for words in ("resume=run", "run.dir=new/below"):
        assert command(f"{OWN} {words} dry_run=true", tmp_path).status == 0
    assert command("resume=run trust=true dry_run=true", tmp_path).status == 0
    assert before == {name: (tmp_path / "run" / name).stat().st_mtime_ns for name in before}
    assert not (tmp_path / "new").exists()


def test_all_runs_of_a_multirun_are_checked_before_the_first_begins(tmp_path):
    line = OWN.replace("searcher=random ", "")
    message = command(f"-m {line} searcher=random,gdas,tpe,darts run.dir=m", tmp_path).message
    assert message.startswith('ConfigError: run 1 (searcher=gdas): searcher "gdas": ')
    assert message.endswith("; refused as well: run 3 (searcher=darts)")
    assert files(tmp_path) == ["ok.py"]


@pytest.mark.slow
def test_a_run_that_fails_does_not_end_the_others_and_the_same_command_continues(tmp_path):
    (tmp_path / "bad.py").write_text("def score(architecture):\n    raise ValueError('broken')\n")
    line = (
        f"-m {OWN.replace('evaluator.function=ok:score', 'evaluator.function=bad:score,ok:score')} run.dir=m"
    )
    first = command(line, tmp_path)
    assert first.status == 1
    name = "run 0 (evaluator.function=bad:score)"
    assert f"\n1 of 2 runs failed; the same command continues\n  {name}: EvaluationError: m/0: " in first.err
    assert events(tmp_path / "m/1")[-1]["reason"] == "finished"
    count = len(events(tmp_path / "m/1"))
    again = command(line, tmp_path)
    assert again.status == 1
    assert len(events(tmp_path / "m/1")) == count  # what is finished is not done again
    assert command("resume=m", tmp_path).message == (
        "ConfigError: resume: expected the folder of one run, got m, which holds 0, 1 of a multirun; give "
        "resume=m/0 for that one, or the multirun's whole command for all"
    )
    other = command(f"{line} seed=7", tmp_path).message
    assert other.startswith(f"StoreError: {name}: m/0/events.jsonl: seed: expected 0, as logged; got 7")


WRONG = (
    "budget.trials=-3",
    "searcher=nsga2 searcher.population=0",
    "evaluator.lr=-1",
    "evaluator.device=x",
    "executor.cpus_per_trial=-1",
    "search.fidelity=99",
    "searcher=nsga2 searcher.limits.foo=1",
    "resume=nowhere",
    "searcher=asha searcher.searcher.name=x",
    "hashing.bits=0",
    "space.width=0",
    "searcher=gdas searcher.epochs=0",
)


@pytest.mark.slow
def test_wrong_values_are_refused_before_anything_heavy_is_loaded(tmp_path):
    """In one process, one after the other: what one of them loads stays loaded."""
    code = (
        "import shlex, sys\nfrom nas.run.__main__ import main\n"
        "for words in sys.argv[1:]:\n"
        "    sys.argv = ['nas.run', '+experiment=digits', *shlex.split(words)]\n"
        "    try:\n        main()\n    except SystemExit as end:\n"
        "        heavy = {'torch', 'ray', 'optuna', 'sklearn', 'pandas'} & set(sys.modules)\n"
        "        print(words, end.code, *heavy, sep=', ')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *WRONG],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [f"{words}, 2" for words in WRONG], done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shell", "status"),
    [
        ("{} --help | head -1; exit ${{PIPESTATUS[0]}}", 0),
        ("{} +experiment=digits --cfg job | head -1; exit ${{PIPESTATUS[0]}}", 0),
        ("{} --help >&- 2>&-", 0),
        ("{} --foo 2>&-", 2),
        ("{} --help >/dev/full", 1),
        ("{} --help | head -0; exit ${{PIPESTATUS[0]}}", 0),
    ],
)
def test_streams_that_nobody_reads_are_no_fault(shell, status, tmp_path):
    line = shell.format(f"{sys.executable} -m nas.run")
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


@pytest.mark.slow
def test_a_run_whose_streams_are_closed_is_finished(tmp_path):
    line = f"{sys.executable} -m nas.run {OWN} run.dir=run >&- 2>&-"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    assert subprocess.run(["bash", "-c", line], cwd=tmp_path, env=environment, check=False).returncode == 0
    assert events(tmp_path / "run")[-1]["reason"] == "finished"


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.5, 1.0])
def test_an_early_interrupt_gives_no_traceback(seconds, tmp_path):
    process = start("+experiment=digits executor=inline run.dir=run", tmp_path)
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=seconds)
    process.send_signal(signal.SIGINT)
    result = finish(process, 20)
    assert result.status in (130, -signal.SIGINT)
    assert "Traceback" not in result.err


def test_the_words_of_an_issue_about_paths_work(tmp_path):
    (tmp_path / "José (copy)").mkdir()
    labels = np.arange(90) % 3
    images = np.random.default_rng(0).integers(0, 255, (90, 8, 8)).astype(np.uint8)
    np.savez(tmp_path / "José (copy)/d.npz", images=images, labels=labels)
    line = "name=mine executor=inline space=macro_small evaluator=npz evaluator.epochs=1 dry_run=true"
    for word in ("evaluator.root=José (copy)/d.npz", "evaluator.root='José (copy)/d.npz'"):
        assert command(f"{line} {shlex.quote(word)}", tmp_path).status == 0
