"""Hashers for tests of studies that hash in their workers; importable by these."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas.algorithms.random_search import RandomSearch
from nas.evaluation import InlineExecutor, Task
from nas.space import Architecture
from nas.study import CachePolicy, Hashed, Hasher
from tests.study.study_kit import OBJECTIVE, FakeEvaluator, events_of, make_study, short_plan, tiny_space


@dataclass
class Alike(Hasher):
    """Takes gelu for relu, in a worker; each hash leaves its text in `seen`, and in a `diary`."""

    name: str = "alike"
    in_worker: bool = True
    seen: list[str] = field(default_factory=list)
    sleep: float = 0.0
    diary: str | None = None

    def hash(self, architecture: Architecture) -> Hashed:
        text = architecture.text
        self.seen.append(text)
        if self.diary is not None:
            with open(self.diary, "a") as diary:
                diary.write(f"{os.getpid()} {text}\n")
        time.sleep(self.sleep)
        return self.digest(text)

    def digest(self, text: str) -> Hashed:
        return Hashed("test:1:8:" + text.replace("gelu", "relu"), "s")


@dataclass
class Moody(Alike):
    """Has no digest for silu and raises for networks with a kernel of 5."""

    def digest(self, text: str) -> Hashed:
        if "kernel=5" in text:
            raise ArithmeticError("no\nnumber")
        if "silu" in text:
            return Hashed(None, reason="hidden randomness")
        return super().digest(text)


class Deadly(Alike):
    """Kills its process when it hashes silu and never returns from gelu."""

    def digest(self, text: str) -> Hashed:
        if "silu" in text:
            os.kill(os.getpid(), signal.SIGKILL)
        if "gelu" in text:
            time.sleep(1000)
        return super().digest(text)


def alike_study(directory: Path, fails: Callable[[Task], bool] = lambda task: False, **changes: Any):
    """`make_study` with a hasher in the workers; returns the study with its evaluator and hasher."""
    evaluator = changes.pop("evaluator", None) or FakeEvaluator(fails)
    hasher = changes.pop("hasher", None) or Alike()
    return make_study(directory, evaluator=evaluator, hasher=hasher, **changes), evaluator, hasher


def fails_sometimes(task) -> bool:
    return task.trial % 4 == 1


def full_story(directory: Path) -> list[tuple]:
    """Everything but times, processes and sessions."""
    left_out = {"time", "n", "clock", "started", "finished", "seconds"}
    return [
        tuple(sorted((key, str(value)) for key, value in event.items() if key not in left_out))
        for event in events_of(directory)
        if event["event"] not in ("opened", "closed", "started")
    ]


def repeating(directory: Path, policy: CachePolicy, executor=None, hasher=None):
    """14 suggestions of three architectures in two classes, a baseline and final trials; some fail."""
    space = tiny_space()
    return alike_study(
        directory,
        fails=fails_sometimes,
        hasher=hasher,
        space=space,
        searcher=RandomSearch(space, (OBJECTIVE,), seed=0),
        executor=executor or InlineExecutor(),
        plan=short_plan(14, baseline=1, final=1),
        cache=policy,
    )
