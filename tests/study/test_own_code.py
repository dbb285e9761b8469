"""What code of a user's own may get wrong: parts of other kinds, methods that raise or return others."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nas.errors import ConfigError, EvaluationError, NasError, ProtocolError, StoreError
from nas.evaluation import Evaluation, FunctionEvaluator, Status
from nas.faults import blame, interrupts, notes_of, own_code, place_of, shown, traceback_of
from nas.run.jobs import InlineLauncher
from nas.space import SearchSpace, sample
from nas.study import Budget, Hashed, Hasher, Plan, Suggestion, hash_of, read_study
from tests.study.study_kit import (
    FakeEvaluator,
    Scripted,
    Watcher,
    events_of,
    make_study,
    short_plan,
    small_space,
    tiny_space,
)


class Dataset:
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        return index


class Objectiveless(FakeEvaluator):
    objectives = ("accuracy",)  # type: ignore[assignment]


class Asks(Scripted):
    """Asks as `given` says."""

    def __init__(self, given: Callable[[SearchSpace], Any]) -> None:
        super().__init__(small_space(), [])
        self.given = given
        self.space = small_space()

    def ask(self, count: int = 1) -> Any:
        return self.given(self.space)


class WrongAsk(Scripted):
    def ask(self) -> Any:  # type: ignore[override]
        return []


class WrongTell(Scripted):
    def tell(self) -> None:  # type: ignore[override]
        return


class CoroutineAsk(Scripted):
    async def ask(self, count: int = 1) -> Any:  # type: ignore[override]
        return []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"space": SearchSpace},
            r"space: expected a nas\.space\.SearchSpace, got the class SearchSpace itself; give Sear",
        ),
        (
            {"space": "conv()"},
            r"space: expected a nas\.space\.SearchSpace, got 'conv\(\)'; give SearchSpace\(",
        ),
        (
            {"searcher": Scripted},
            r"searcher: expected a nas\.study\.Searcher, got the class Scripted itself",
        ),
        (
            {"searcher": "random"},
            r"searcher: expected a nas\.study\.Searcher, got 'random'; give one such as nas\.algorithms",
        ),
        (
            {"searcher": WrongAsk(small_space(), [])},
            r"searcher WrongAsk.ask: expected .* ask\(count\), got .*\(\)",
        ),
        ({"searcher": WrongTell(small_space(), [])}, r"searcher WrongTell.tell: expected .* tell\(trial\)"),
        ({"searcher": CoroutineAsk(small_space(), [])}, "searcher CoroutineAsk.ask: .* got async def; use"),
        ({"evaluator": FakeEvaluator}, "evaluator: expected .* got the class FakeEvaluator itself"),
        (
            {"evaluator": lambda architecture: 1.0},
            r"evaluator: expected .*; nas.FunctionEvaluator\(FUNCTION\)",
        ),
        ({"evaluator": Dataset()}, "evaluator: expected .*; data alone are none"),
        ({"evaluator": 5}, "evaluator: expected .*, got 5; give"),
        ({"evaluator": Objectiveless()}, r"evaluator: expected `objectives` to be a tuple of nas.Objective"),
        (
            {"executor": "inline"},
            r"executor: expected a nas\.evaluation\.Executor, got 'inline'; give nas.InlineExecutor\(\)",
        ),
        (
            {"executor": make_study},
            r"executor: expected a nas\.evaluation\.Executor, got <function make_study",
        ),
        ({"hasher": Hashed}, r"hasher: expected a nas\.study\.Hasher, got the class Hashed itself"),
        (
            {"hasher": "text"},
            r"hasher: expected a nas\.study\.Hasher, got 'text'; give .* None for no",
        ),
        (
            {"observers": Watcher()},
            "Study.observers: expected a list of observers, got .*give \\[OBSERVER\\]",
        ),
        (
            {"observers": [print]},
            r"Study.observers\[0\]: expected a nas\.study\.Observer, got <built-in function print>; give",
        ),
        ({"plan": 24}, "Study.plan: expected Plan, got 24; give nas.Plan"),
        ({"plan": None}, "Study.plan: expected Plan, got None"),
        ({"cache": {}}, "Study.cache: expected CachePolicy, got {}"),
        ({"checkpoints": "here"}, "Study.checkpoints: expected Checkpoints or NoneType, got 'here'"),
        ({"directory": None}, "Study.directory: expected str or PathLike, got None"),
        ({"config": [1]}, r"Study.config: expected Mapping, got \[1\]"),
        ({"searcher_name": 5}, "Study.searcher_name: expected str, got 5"),
        ({"searcher_options": "x"}, "Study.searcher_options: expected Mapping, got 'x'"),
    ],
)
def test_parts_of_other_kinds_are_refused_before_anything_is_written(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        make_study(**{"directory": tmp_path / "run", **changes})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Plan(seed=0.5), "seed: expected a whole number, got 0.5; change it"),  # type: ignore[arg-type]
        (lambda: Plan(seed="0"), "seed: expected a whole number, got '0'"),  # type: ignore[arg-type]
        (lambda: Plan(0, budget=3), r"budget: expected a nas.Budget, got 3; give nas.Budget\(trials=100\)"),  # type: ignore[arg-type]
        (lambda: Plan(0, final=None), "final: expected a whole number, got None"),  # type: ignore[arg-type]
        (lambda: Plan(0, search_fidelity=3), "search_fidelity: expected a nas.Fidelity or None, got 3"),  # type: ignore[arg-type]
        (lambda: Plan(0, time_limit="9"), "trial.time_limit: expected a number or None, got '9'"),  # type: ignore[arg-type]
        (lambda: Budget(trials="2"), "budget.trials: expected a whole number or None, got '2'"),  # type: ignore[arg-type]
        (lambda: Budget(trials=2.5), "budget.trials: expected a whole number or None, got 2.5"),  # type: ignore[arg-type]
        (lambda: Budget(seconds="2"), "budget.seconds: expected a number or None, got '2'"),  # type: ignore[arg-type]
    ],
)
def test_plans_of_other_types_are_refused_where_they_are_made(make, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        make()


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(StoreError, match="run: expected a folder for the log, got a file; choose another"):
        make_study(tmp_path / "run").run()


@pytest.mark.parametrize("deep", [False, True])
def test_info_without_an_end_is_refused_in_a_line(tmp_path, deep):
    info: Any = {}
    info["self"] = info
    for _ in range(5000 * deep):
        info = {"inner": info}
    searcher = Scripted(tiny_space(), ["relu()"])
    ask = searcher.ask
    searcher.ask = lambda count=1: [replace(each, info=info) for each in ask(count)]  # type: ignore[method-assign]
    with pytest.raises(StoreError, match="got some that contain themselves or are too deep; return JSON"):
        make_study(tmp_path / "run", space=tiny_space(), searcher=searcher).run()


def test_a_log_that_a_trial_has_closed_is_told_in_a_line_and_the_run_continues(tmp_path):
    code = (
        "import os; from tests.study.study_kit import *\n"
        "from nas.evaluation.functions import FunctionEvaluator\n"
        "calls = []\n"
        "def closes(architecture):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 2: os.closerange(3, 200)\n"
        "    return 1.0\n"
        "from nas.errors import StoreError\n"
        f"study = lambda: make_study({str(tmp_path)!r}, evaluator=FunctionEvaluator(closes))\n"
        "try: study().run()\n"
        "except StoreError as error: print(error)\n"
        "calls = [1] * 9\n"
        "again = study(); again.run(); print(again.finished)\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", code]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    said, finished = ran.stdout.splitlines()
    assert "cannot write the log, as something in this process has closed its file; continue" in said
    assert finished == "True"


def stopped(_: Any) -> Any:
    raise StopIteration


def leaves(_: Any) -> Any:
    sys.exit()


OTHER = SearchSpace("small", "tanh() | sigmoid()")  # of the same name


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (lambda space: None, "expected a list of suggestions, got None; return"),
        (lambda space: "relu()", "expected a list of suggestions, got 'relu\\(\\)'"),
        (lambda space: (each for each in ()), "expected a list of suggestions, got <generator"),
        (lambda space: {"a": 1}, "expected a list of suggestions, got {'a': 1}"),
        (lambda space: sample(space, __import__("numpy").random.default_rng(0)), "expected a list of sugg"),
        (
            lambda space: [sample(space, __import__("numpy").random.default_rng(0))],
            "expected a Suggestion, got Arch",
        ),
        (lambda space: ["relu()"], "expected a Suggestion, got 'relu"),
        (lambda space: [Suggestion("relu()")], "expected a Suggestion of an Architecture, got 'relu"),  # type: ignore
        (
            lambda space: [Suggestion(tiny_space().parse("relu()"))],
            "expected an architecture of the space small",
        ),
        (
            lambda space: [Suggestion(OTHER.parse("tanh()"))],
            "expected an architecture of the space small, got",
        ),
        (lambda space: [None, None], "expected at most 1 suggestion, got 2; return"),
        (lambda space: 1 / 0, "expected suggestions, got ZeroDivisionError: division by zero at .*, line"),
        (stopped, "expected suggestions, got StopIteration: no message at .*; raise SearchFinished"),
        (leaves, "expected suggestions, got SystemExit: None at "),
    ],
)
def test_searchers_that_ask_something_else_end_in_one_line(tmp_path, given, message):
    with pytest.raises(ProtocolError, match=f"^Asks.ask: {message}") as caught:
        make_study(tmp_path, searcher=Asks(given)).run()
    assert "\n" not in str(caught.value)
    assert events_of(tmp_path)[-1]["reason"] == "error"


def test_architectures_of_an_equal_space_are_taken(tmp_path):
    texts = ["conv(kernel=1) >> relu() >> conv(width=8)", "conv(kernel=3) >> relu() >> conv(width=8)"]
    searcher = Scripted(small_space(), texts)
    make_study(tmp_path, searcher=searcher, plan=short_plan()).run()
    assert [trial.architecture.text for trial in searcher.told] == texts


def test_a_study_runs_once(tmp_path):
    study = make_study(tmp_path, plan=short_plan())
    study.run()
    with pytest.raises(
        ProtocolError, match=r"expected a study that has not run, got a second run\(\); make an"
    ):
        study.run()
    make_study(tmp_path, plan=short_plan()).run()  # as it says


@pytest.mark.parametrize("error", [ValueError("by it"), SystemExit(0), BrokenPipeError()])
def test_a_study_goes_on_without_an_observer_that_raises(tmp_path, error):
    def act(event: Any) -> None:
        if event["event"] == "told":
            raise error

    class Closes(Watcher):
        def close(self) -> None:
            raise error

    bad, good = Watcher(act), Watcher()
    with pytest.warns(UserWarning, match="raised .*; the study goes on without it") as warned:
        make_study(tmp_path / "run", observers=[bad, Closes(), good]).run()
    assert len(warned) == 2
    assert (bad.seen[-1][0]["event"], good.seen[-1][0]["event"], good.closed) == ("told", "closed", 1)
    assert read_study(tmp_path / "run").closed


class Hashes(Hasher):
    name = "own"

    def __init__(self, answer: Callable[[int], Any], *, in_worker: bool = False) -> None:
        self.answer = answer
        self.in_worker = in_worker
        self.calls = 0

    def hash(self, architecture: Any) -> Any:
        self.calls += 1
        return self.answer(self.calls)


@pytest.mark.parametrize("in_worker", [False, True])
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda call: undefined_name, "NameError: name 'undefined_name' is not defined"),  # noqa: F821
        (lambda call: sys.exit(), "SystemExit: None"),
        (lambda call: "digest", "the hasher returned str, not a Hashed"),
    ],
)
def test_a_hasher_that_raises_each_time_ends_the_run(tmp_path, in_worker, answer, said):
    hasher = Hashes(answer, in_worker=in_worker)
    with pytest.raises(
        EvaluationError, match=f"hasher Hashes: expected a Hashed, got {said} for each"
    ) as caught:
        make_study(tmp_path, hasher=hasher).run()
    assert hasher.calls == 3
    assert said in notes_of(caught.value)[0]


def test_a_hasher_that_has_reasons_or_raises_now_and_then_does_not_end_it(tmp_path):
    for number, answer in enumerate(
        [lambda call: Hashed(None, reason="no"), lambda call: Hashed(str(call)) if call == 3 else 1 / 0]
    ):
        make_study(tmp_path / str(number), hasher=Hashes(answer), plan=short_plan()).run()


def test_leaving_the_interpreter_is_a_reason_for_no_digest():
    assert hash_of(Hashes(lambda call: sys.exit()), None).reason == "SystemExit: None"  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        hash_of(Hashes(lambda call: (_ for _ in ()).throw(KeyboardInterrupt)), None)  # type: ignore[arg-type]


def undefined(architecture: Any) -> float:
    return undefined_name  # type: ignore[name-defined]  # noqa: F821


def imports(architecture: Any) -> float:
    import no_such_module  # type: ignore[import-not-found]  # noqa: F401

    return 1.0


def adds(architecture: Any) -> float:
    return "a" + 1  # type: ignore[operator]


def opens(architecture: Any) -> float:
    with open("/no/such/file") as file:
        return float(file.read())


def returns_nothing(architecture: Any) -> None:
    return


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (undefined, "NameError: name 'undefined_name' is not defined"),
        (imports, "ModuleNotFoundError: No module named 'no_such_module'"),
        (adds, "TypeError: can only concatenate str"),
        (opens, "FileNotFoundError: .*No such file or directory: '/no/such/file'"),
        (
            lambda architecture: architecture.txt,
            "AttributeError: 'Architecture' object has no attribute 'txt'",
        ),
        (lambda architecture: {}["score"], "KeyError: 'score'"),
        (returns_nothing, "EvaluationError: .*returns_nothing: expected a number or a mapping"),
        (
            lambda architecture: {"loss": 1.0},
            "EvaluationError: .*expected a number or a mapping of numbers with",
        ),
    ],
)
def test_a_mistake_that_is_the_same_each_time_ends_the_run_after_three(tmp_path, function, said):
    with pytest.raises(EvaluationError, match=f"each of the first 3 ended with {said}") as caught:
        make_study(tmp_path, evaluator=FunctionEvaluator(function)).run()
    evaluated = [event["evaluation"] for event in events_of(tmp_path) if event["event"] == "evaluated"]
    assert len(evaluated) == 3
    if not said.startswith("EvaluationError"):
        note = notes_of(caught.value)[0]
        assert note == evaluated[-1]["info"]["traceback"]
        assert note.startswith("Traceback (most recent call last):")
        assert "test_own_code.py" in note


def refuses(architecture: Any) -> float:
    raise ValueError("not this one")


def asserts(architecture: Any) -> float:
    raise AssertionError("too large")


def leaves_itself(architecture: Any) -> float:
    sys.exit()


@pytest.mark.parametrize("function", [refuses, asserts, leaves_itself, lambda architecture: math.nan])
def test_failures_that_may_be_the_candidates_use_up_the_budget_and_end_in_an_error(tmp_path, function):
    with pytest.raises(EvaluationError, match="nothing completed; all 15 evaluations failed"):
        make_study(tmp_path, evaluator=FunctionEvaluator(function)).run()


def test_mistakes_that_differ_or_hit_one_candidate_do_not_end_the_run(tmp_path):
    calls = iter(range(100))

    def differs(architecture: Any) -> float:
        number = next(calls)
        if number < 5:
            raise KeyError(number)
        return 1.0

    make_study(tmp_path / "differs", evaluator=FunctionEvaluator(differs), plan=short_plan()).run()
    script = ["relu()"] * 5 + ["gelu()"]

    def one(architecture: Any) -> float:
        return 1.0 if architecture.text == "gelu()" else undefined(architecture)

    searcher = Scripted(tiny_space(), script)
    evaluator = FunctionEvaluator(one)
    make_study(
        tmp_path / "one",
        space=tiny_space(),
        searcher=searcher,
        evaluator=evaluator,
        hasher=None,
        plan=short_plan(),
    ).run()
    assert [trial.evaluation.ok for trial in searcher.told if trial.evaluation] == [False] * 5 + [True]


async def coroutine(architecture: Any) -> float:
    return 1.0


def generator(architecture: Any) -> Any:
    yield 1.0


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda: 1.0, r"expected something to be called as f\(architecture\), got the signature \(\)"),
        (
            lambda a, b: 1.0,
            r"got the signature \(a, b\) \(missing a required argument: 'b'\); change its param",
        ),
        (lambda a, seed, c: 1.0, r"got the signature \(a, seed, c\)"),
        (coroutine, "expected a function that returns its result, got async def; use a plain def"),
        (generator, "expected a function that returns its result, got a generator"),
    ],
)
def test_the_signature_of_a_function_is_checked_before_the_run(function, message):
    with pytest.raises(ConfigError, match=message):
        FunctionEvaluator(function)


@pytest.mark.parametrize("value", ["0.5", None, 1j, [1.0, 2.0], object()])
def test_what_is_no_number_is_no_value(tmp_path, value):
    with pytest.raises(EvaluationError, match="expected a number or a mapping of numbers"):
        make_study(tmp_path, evaluator=FunctionEvaluator(lambda architecture: value)).run()


def test_evaluators_that_leave_a_value_out_end_the_run(tmp_path):
    class Missing(FakeEvaluator):
        def __call__(self, task: Any) -> Evaluation:
            return Evaluation(Status.COMPLETED, {"loss": 1.0})

    with pytest.raises(EvaluationError, match=r"each of the first 3 .* no value of accuracy; got loss"):
        make_study(tmp_path, evaluator=Missing()).run()


class FailingJob:
    name = "job"

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, stopping: Any = None) -> Any:
        raise self.error


def test_a_job_that_leaves_the_interpreter_is_a_failed_job():
    launcher = InlineLauncher()
    jobs = [FailingJob(SystemExit(0)), FailingJob(GeneratorExit()), FailingJob(ValueError("a\nb"))]
    faults = [update.fault for update in launcher.run(jobs) if update.ended]
    assert faults == ["SystemExit: 0", "GeneratorExit: no message", "ValueError: a b"]
    with pytest.raises(KeyboardInterrupt):
        list(launcher.run([FailingJob(BaseExceptionGroup("several", [KeyboardInterrupt()]))]))


def raised(function: Callable[[], Any]) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        function()
    return caught.value


def test_interruptions_are_told_from_faults():
    assert interrupts(KeyboardInterrupt())
    assert interrupts(BaseExceptionGroup("both", [ValueError(), KeyboardInterrupt()]))
    assert not any(
        map(interrupts, [SystemExit(), GeneratorExit(), ValueError(), ExceptionGroup("a", [ValueError()])])
    )


def test_tracebacks_are_short_and_safe_and_begin_where_the_users_code_does():
    def deep(number: int) -> None:
        deep(number + 1)

    text = traceback_of(raised(lambda: deep(0)))
    assert text.splitlines()[-1] == "RecursionError: maximum recursion depth exceeded"
    assert len(text.splitlines()) < 40

    def odd() -> None:
        raise ValueError("\x1b[31mred\ud800" + "x" * 10_000)

    lines = traceback_of(raised(odd)).splitlines()
    assert lines[-1].startswith("ValueError: \\x1b[31mred\\ud800")
    assert all(line.isprintable() and len(line) <= 302 for line in lines)
    assert traceback_of(ValueError("never raised")) == "ValueError: never raised"


def test_blame_is_a_line_with_the_place_and_passes_on_what_is_the_platforms():
    error = raised(lambda: 1 / 0)
    said = blame(error, "part", "a result")
    assert str(said) == (
        f"part: expected a result, got ZeroDivisionError: division by zero at {place_of(error)}; "
        "mend it and run again"
    )
    for passed in (KeyboardInterrupt(), NasError("a line")):
        with pytest.raises(type(passed)), own_code("part", "a result"):
            raise passed


def test_a_repr_that_raises_is_shown_by_its_type():
    class Odd:
        def __repr__(self) -> str:
            raise ValueError

    assert shown(Odd()) == "a Odd"
