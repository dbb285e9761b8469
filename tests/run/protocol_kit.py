"""A study of protocols that takes no time: scores of texts as accuracies, on a small space."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from nas.evaluation import Evaluator, InlineExecutor
from nas.run.config import Config, ProtocolSection

SPACE = "tests.run.protocol_kit:small"
EVALUATOR = "tests.run.protocol_kit:Scores"
TEXTS = [f"conv(kernel={kernel}, width=8) >> relu()" for kernel in (1, 3, 5, 7, 9)]


def small(width: int = 8) -> Any:
    from nas.space import SearchSpace

    return SearchSpace("small", f"conv(kernel=oneof(1, 3, 5, 7, 9), width={width}) >> (relu() | gelu())")


class Scores(Evaluator):
    """The kernel's side times `factor`, plus the seed's last bit; fails on one kernel if asked to."""

    def __init__(self, factor: float = 1.0, noise: float = 0.0, fails_on: int = 0) -> None:
        from nas.evaluation import Objective

        self.objectives = (Objective("validation_accuracy", "maximize", "%"),)
        self.reported = Objective("test_accuracy", "maximize", "%")
        self.fidelity_range = ("epochs", 1.0, 4.0)
        self.factor, self.noise, self.fails_on = factor, noise, fails_on

    def fingerprint(self) -> str:
        return f"scores {self.factor} {self.noise} {self.fails_on}"

    def __call__(self, task: Any) -> Any:
        from nas.evaluation import Evaluation, Status, failure

        kernel = int(task.architecture.text.split("kernel=")[1][0])
        if kernel == self.fails_on:
            return failure(Status.DIVERGED, "loss is nan", 1.0)
        value = 50 + self.factor * kernel + self.noise * (task.seed % 7)
        return Evaluation(Status.COMPLETED, {"validation_accuracy": value, "test_accuracy": value - 1}, 2.0)


def config(variants: dict[str, Any], **options: Any) -> Config:
    """A composition with these variants; `options` are those of its protocol section."""
    return Config(
        name="study",
        space={"name": SPACE},
        searcher={"name": "random"},
        evaluator={"name": EVALUATOR},
        executor={"name": "inline"},
        hashing={"name": "none"},
        protocol=ProtocolSection(variants=variants, **options),
    )


class Held(InlineExecutor):
    """An executor that takes a while to start, and notes when it is held and when it is opened."""

    story: ClassVar[list[str]] = []

    @contextmanager
    def held(self) -> Iterator[None]:
        self.story.append("held")
        yield
        self.story.append("released")

    def open(self, evaluator: Any) -> None:
        self.story.append("open")
        super().open(evaluator)
