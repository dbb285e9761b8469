"""What the first event of a session says of its study, and whether another session may continue the log."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.errors import StoreError, one_line
from nas.evaluation import Evaluator, Fidelity
from nas.study.cache import CachePolicy
from nas.study.event_log import FORMAT, plain
from nas.study.plan import Plan

if TYPE_CHECKING:
    from nas.space import SearchSpace
    from nas.study.cache import Hasher

_NO_NUMBERS = ("ray", "nas-platform")  # packages on which no result depends, or as the commit says
ACCEPTABLE = ("evaluator",)  # what may differ when a log is continued, if the user says so
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_PACKAGES = ("nas-platform", "numpy", "torch", "torchvision", "ray", "scikit-learn", "optuna")


def opening(space: SearchSpace, evaluator: Evaluator, plan: Plan) -> dict[str, Any]:
    """The part of an `opened` event that follows from the parts of a study."""
    return {
        "format": FORMAT,
        "seed": plan.seed,
        "space": {
            "name": space.name,
            "fingerprint": space.fingerprint(),
            "text": str(space),
            "vocabulary": space.vocabulary.identity,
        },
        "evaluator": {
            "name": type(evaluator).__name__,
            "fingerprint": evaluator.fingerprint(),
            "objectives": [asdict(objective) for objective in evaluator.objectives],
            "reported": asdict(evaluator.reported),
            **_data(evaluator),
        },
        "deterministic": None if evaluator.deterministic is None else bool(evaluator.deterministic),
        "budget": {"trials": plan.budget.trials, "seconds": plan.budget.seconds},
        "baseline": {"samples": plan.baseline, "sampler": "uniform over options"},
        "final": {"seeds": plan.final},
        "fidelity": fidelity_to_json(plan.search_fidelity),
        "time_limit": plan.time_limit,
        "versions": dict(versions()),
        "commit": commit(),
        "threads": threads(),
        "process": {"host": socket.gethostname(), "pid": os.getpid(), "born": _born(os.getpid())},
    }


def threads() -> dict[str, Any]:
    """What the number of threads of numerical libraries follows from in this process and those it starts."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {**{name: os.environ.get(name) for name in _THREADS}, "cores": cores}


def hashing_facts(hasher: Hasher | None, options: Mapping[str, Any], policy: CachePolicy) -> dict[str, Any]:
    """The part of an `opened` event on what makes trials equal and how they are answered."""
    if hasher is None:
        return {"hashing": "none", "hashing_options": {}, "cache": None}
    return {"hashing": hasher.name, "hashing_options": plain(options), "cache": policy.to_json()}


def _data(evaluator: Evaluator) -> dict[str, Any]:
    """Shapes of the evaluator's data, if it has any: what a network needs besides its architecture."""
    dataset = evaluator.dataset
    if dataset is None:
        return {}
    return {"input_shape": list(dataset.input_shape), "num_classes": dataset.classes}


def check_same_study(
    logged: Mapping[str, Any], mine: Mapping[str, Any], path: Path, accept: Collection[str] = ()
) -> None:
    """Raises StoreError unless `mine` may continue the log that `logged`, its latest session, opened.

    Logs of earlier formats are reported and not continued.

    Args:
        logged: a checked `opened` event.
        mine: as it would be now.
        path: of the log, for messages.
        accept: parts that may differ, of `ACCEPTABLE`.
    """
    if logged["format"] != mine["format"]:
        raise StoreError(
            f"{path}: expected a log of format {mine['format']} to continue, got one of format "
            f"{logged['format']}; python -m nas.report still reports it: start anew in another run.dir"
        )
    then, now = _identity(logged), _identity(mine)
    for name, was in then.items():
        if now[name] == was or name in accept:
            continue
        keeps = ""
        if name in ACCEPTABLE:
            keeps = f"add accept={name} if it was repaired and its finished trials are to stay, "
        raise StoreError(
            f"{path}: {name}: expected {was!r}, as logged; got {now[name]!r}; continue with the logged "
            f"one, {keeps}or start a new study in another run.dir"
        )


def accepted(
    events: Sequence[Mapping[str, Any]], mine: Mapping[str, Any], accept: Collection[str]
) -> dict[str, Any]:
    """The part of an `opened` event on what was accepted though it differs; {} if nothing is.

    The trials that were evaluated before it in the log are those of the part that was; all others, those in
    flight included, are evaluated by the one that is.
    """
    opened = [event for event in events if event["event"] == "opened"]
    if not opened:
        return {}
    then, now = _identity(opened[-1]), _identity(mine)
    kept = sum(event["event"] == "evaluated" for event in events)
    facts = {
        name: {"was": then[name], "is": now[name], "kept": kept}
        for name in ACCEPTABLE
        if name in accept and then[name] != now[name]
    }
    return {"accepted": facts} if facts else {}


def changed_surroundings(logged: Mapping[str, Any], mine: Mapping[str, Any]) -> str | None:
    """What may change results of a continued study though its seed is the same, in words, or None."""
    found = []
    for name, was in (logged.get("versions") or {}).items():
        now = mine["versions"].get(name)
        if now != was and name not in _NO_NUMBERS:
            found.append(f"{name} was {one_line(was, 40)} and is {now or 'not there'}")
    was, now = logged.get("threads") or {}, mine["threads"]
    for name in _THREADS:
        if name in was and was[name] != now[name]:
            found.append(f"{name} was {one_line(was[name] or 'not set', 40)} and is {now[name] or 'not set'}")
    if "cores" in was and was["cores"] != now["cores"] and now["OMP_NUM_THREADS"] is None:
        found.append(f"cores were {one_line(was['cores'], 40)} and are {now['cores']}")
    return "; ".join(found) or None


class Surroundings:
    """Whether evaluations say that they were computed with other threads or on other hardware than before.

    Args:
        events: of earlier sessions.
    """

    def __init__(self, events: Iterable[Mapping[str, Any]] = ()) -> None:
        self._seen: dict[tuple[str, str], None] = {}
        for event in events:
            if event["event"] == "evaluated":
                self.changed(event["evaluation"]["info"])

    def changed(self, info: Mapping[str, Any]) -> str | None:
        """What was never so before; None if it was, or if the info says nothing."""
        if "threads" not in info:
            return None
        found = (str(info["threads"]), str(info.get("hardware", "")))
        if found in self._seen:
            return None
        before = list(self._seen)
        self._seen[found] = None
        if not before:
            return None
        return f"{_surrounded(found)}, and before with {' or '.join(map(_surrounded, before))}"


def _surrounded(found: tuple[str, str]) -> str:
    threads, hardware = found
    return f"{threads} thread{'s' * (threads != '1')}" + (f" of {one_line(hardware, 60)}" if hardware else "")


def check_not_running(events: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Raises StoreError if the driver of the last session is alive, as far as this host can tell (Linux).

    It names the process, and works where files cannot be locked; `nas.study.event_log.Lock` closes the gap
    between two that start together.
    """
    opened = next((event for event in reversed(events) if event["event"] == "opened"), {})
    process = opened.get("process") or {}
    pid, born = process.get("pid"), process.get("born")
    elsewhere = process.get("host") != socket.gethostname() or pid == os.getpid()
    if events[-1]["event"] == "closed" or elsewhere or born is None or _born(pid) != born:
        return
    raise StoreError(
        f"{path}: expected a run that has ended; process {pid} is still at it; end that one first, or see "
        "its state with python -m nas.report"
    )


def _born(pid: Any) -> int | None:
    """When a process of this host started, in ticks since the boot; None if it ended or nothing tells."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state == "Z" else int(fields[18])


def fidelity_to_json(fidelity: Fidelity | None) -> dict[str, Any] | None:
    return None if fidelity is None else {"name": fidelity.name, "value": fidelity.value}


@cache
def versions() -> Mapping[str, str]:
    """Installed versions of what determines results; looked up without an import."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def commit() -> str | None:
    """Commit of this code, with "+changes" if files differ from it; None outside a repository."""
    return commit_of(Path(__file__).resolve().parent.parent)


def commit_of(folder: Path) -> str | None:
    """Commit of a repository, with "+changes" if tracked files differ or Python files are not in it."""
    if not (folder / ".git").exists():
        return None
    try:
        head = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
        changed = changed or _git(folder, "ls-files", "--others", "--exclude-standard", "--", "*.py")
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+changes" if changed else "")


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def _identity(opened: Mapping[str, Any]) -> dict[str, Any]:
    """What must not change within a study; budget, baseline, final and time limit may."""
    return {
        "space": [opened["space"]["name"], opened["space"]["fingerprint"]],
        "evaluator": [opened["evaluator"]["name"], opened["evaluator"]["fingerprint"]],
        "evaluator.objectives": opened["evaluator"]["objectives"],
        "evaluator.reported": opened["evaluator"]["reported"],
        "searcher": [opened["searcher"]["name"], opened["searcher"]["options"]],
        "seed": opened["seed"],
        "fidelity": opened["fidelity"],
        "hashing": opened["hashing"],
        "hashing_options": opened.get("hashing_options", {}),  # logs of before have neither this
        "cache": opened.get("cache", None if opened["hashing"] == "none" else CachePolicy().to_json()),
    }
