"""Studies of protocols on the command line, on real data with trainings of a second."""

from __future__ import annotations

import os
import signal

import pytest

from tests.end_to_end.kit import command, count, files, finish, outcomes, start, wait_for

SMALL = "executor=inline protocol.samples=3 +evaluator.limit_train=64 evaluator.warmup_epochs=0"
VARIANTS = ["A", "All", "Base", "C", "C+D", "C+D+A", "C+D+A+8C", "C+D+A+AA", "C+D+A+AA+20E", "D"]


@pytest.mark.slow
def test_the_ablation_trains_every_variant_and_reports_it(tmp_path):
    done = command(f"+experiment=digits_ablation {SMALL} evaluator.epochs=2 run.dir=run", tmp_path)
    assert done.status == 0, done.err
    run = tmp_path / "run"
    assert sorted(path.name for path in run.iterdir() if path.is_dir()) == VARIANTS
    found = {name: outcomes(run / name) for name in VARIANTS}
    assert all(len(each) == 3 for each in found.values())
    assert {status for each in found.values() for _, status, _ in each.values()} == {"completed"}
    texts = {
        name: [text.replace("width=8", "width=4") for text, *_ in each.values()]
        for name, each in found.items()
    }
    assert all(each == texts["Base"] for each in texts.values())
    losses = {
        name: [values["validation_loss"] for *_, values in each.values()] for name, each in found.items()
    }
    assert len({tuple(each) for each in losses.values()}) == len(VARIANTS)  # every switch has an effect
    assert "### digits_ablation: space darts" in done.out
    assert "- C+D: cutout=4, drop\\_path=0.2" in done.out or "- C+D: cutout=4, drop_path=0.2" in done.out


@pytest.mark.slow
def test_a_killed_study_is_continued_from_its_folder_alone(tmp_path):
    line = f"+experiment=digits_seeds {SMALL} evaluator.epochs=3 run.dir=run"
    process = start(line, tmp_path)
    run = tmp_path / "run"
    wait_for(lambda: count(run / "seed-1", "evaluated"), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = {name: outcomes(run / name) for name in ("seed-0", "seed-1")}
    done = command("resume=run", tmp_path)
    assert done.status == 0, done.err
    after = {name: outcomes(run / name) for name in before}
    assert after["seed-0"] == before["seed-0"]
    assert {trial: after["seed-1"][trial] for trial in before["seed-1"]} == before["seed-1"]
    assert all(len(each) == 3 for each in after.values())
    assert set(count(run / "seed-1", "evaluated").values()) == {1}
    assert "protocol.md" in files(run)


@pytest.mark.slow
def test_a_signal_ends_it_in_a_report(tmp_path):
    process = start(f"+experiment=digits_seeds {SMALL} evaluator.epochs=3 run.dir=run", tmp_path)
    wait_for(lambda: count(tmp_path / "run" / "seed-0", "evaluated"), process)
    process.send_signal(signal.SIGINT)
    done = finish(process)
    assert done.status == 130, done.err
    assert "stopped early; the same command with resume=run continues" in done.out
    assert "Not finished, so preliminary: seed-0" in " ".join(done.out.split())


@pytest.mark.parametrize(
    ("line", "beginning"),
    [
        (
            "+experiment=digits_seeds protocol.samples=2",
            "ConfigError: protocol.samples: expected at least 3 architectures, as the rank correlation ",
        ),
        (
            "+experiment=digits_seeds +protocol.variants.x.evaluator.droppath=0.2",
            'ConfigError: protocol.variants.x: evaluator "classification": unknown option "dropp',
        ),
        (
            "+experiment=digits_seeds +protocol.variants.x.serch.fidelity=1",
            "ConfigError: protocol.variants.x: expected sections among space, evaluator, search, seed, got",
        ),
        (
            "+experiment=digits_seeds +protocol.sample=3",
            "ConfigError: protocol.sample: expected one of the keys name, seed, ",
        ),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(line, beginning, tmp_path):
    assert command(f"{line} executor=inline", tmp_path).message.startswith(beginning)
    assert files(tmp_path) == []
