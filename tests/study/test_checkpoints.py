from __future__ import annotations

from pathlib import Path

import pytest

from nas.errors import ConfigError
from nas.evaluation import Evaluation, Status, failure
from nas.study import Checkpoints
from tests.study.study_kit import (
    FakeEvaluator,
    make_study,
    short_plan,
)


class TestCheckpoints:
    def evaluator(self, size: int = 10, fails=lambda task: False):
        class Saving(FakeEvaluator):
            def __call__(self, task):
                evaluation = super().__call__(task)
                if task.save_to is None:
                    return evaluation
                with open(task.save_to, "wb") as file:
                    file.write(bytes(size))
                if fails(task):
                    return failure(Status.DIVERGED, "late")
                values = {**evaluation.values, "accuracy": float(task.trial % 7)}
                return Evaluation(Status.COMPLETED, values, 1.0, checkpoint=task.save_to)

        return Saving()

    @pytest.mark.parametrize(
        ("keep", "max_bytes", "kept"),
        [(2, None, [5, 4]), (9, 25, [5, 4]), (1, None, [5]), (0, None, []), (9, 5, [])],
    )
    def test_best_final_weights_stay_within_the_bounds(self, tmp_path, keep, max_bytes, kept):
        folder = tmp_path / "checkpoints"
        checkpoints = Checkpoints(folder, keep=keep, max_bytes=max_bytes)
        # 20,000,000 % 7 is 5, so the first final trial is the best and the last one follows
        make_study(
            tmp_path, evaluator=self.evaluator(), checkpoints=checkpoints, plan=short_plan(3, final=7)
        ).run()
        left = {path.name for path in folder.glob("*")}
        order = sorted(range(7), key=lambda index: -((20_000_000 + index) % 7))
        assert left == {f"final-{index}.safetensors" for index in order[: len(kept)]}
        assert [path.name for path in checkpoints.paths] == [
            f"final-{i}.safetensors" for i in order[: len(kept)]
        ]

    def test_failed_trials_leave_nothing(self, tmp_path):
        checkpoints = Checkpoints(tmp_path / "checkpoints", keep=3)
        evaluator = self.evaluator(fails=lambda task: True)
        make_study(tmp_path, evaluator=evaluator, checkpoints=checkpoints, plan=short_plan(3, final=2)).run()
        assert list((tmp_path / "checkpoints").glob("*")) == []

    def test_a_run_whose_evaluator_saves_nothing_has_no_folder_of_them(self, tmp_path):
        checkpoints = Checkpoints(tmp_path / "checkpoints", keep=3)
        evaluator = FakeEvaluator()
        make_study(tmp_path, evaluator=evaluator, checkpoints=checkpoints, plan=short_plan(3, final=2)).run()
        assert evaluator.tasks[20_000_000].save_to is not None
        assert not checkpoints.directory.exists()

    def test_bounds_hold_in_a_run_that_was_moved_and_continued_from_elsewhere(self, tmp_path, monkeypatch):
        for name, finals in (("old", 2), ("new", 4)):
            (tmp_path / "cwd" / name).mkdir(parents=True)
            monkeypatch.chdir(tmp_path / "cwd" / name)
            if name == "new":
                (tmp_path / "run").rename(tmp_path / "moved")
            run = Path("../..") / ("run" if name == "old" else "moved")
            evaluator = self.evaluator()
            make_study(
                run,
                evaluator=evaluator,
                checkpoints=Checkpoints(run / "checkpoints", keep=2),
                plan=short_plan(3, final=finals),
            ).run()
            paths = [task.save_to for task in evaluator.tasks.values() if task.save_to is not None]
            assert paths
            assert all(Path(path).is_absolute() for path in paths)
        left = {path.name for path in (tmp_path / "moved" / "checkpoints").iterdir()}
        assert left == {"final-0.safetensors", "final-3.safetensors"}  # values 6, 0, 1 and 2

    @pytest.mark.parametrize(("option", "value"), [("keep", -1), ("max_bytes", 0)])
    def test_bounds_are_checked(self, tmp_path, option, value):
        with pytest.raises(ConfigError, match=f"checkpoints.{option}: expected .*; got {value}"):
            Checkpoints(tmp_path, **{option: value})
