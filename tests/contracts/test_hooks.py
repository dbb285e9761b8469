"""Hooks of the kinds of parts: misspelt ones are refused, defaults need nothing, wrappers pass all on."""

from __future__ import annotations

import inspect
import math
import re
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from nas import Fidelity, InlineExecutor, Objective, SearchSpace
from nas.algorithms.pending_limit import ConcurrencyLimiter
from nas.algorithms.random_search import RandomSearch
from nas.errors import ConfigError
from nas.evaluation import Evaluator, Executor, VirtualClock, WrappedEvaluator
from nas.registry import Component, home_of
from nas.run.jobs import InlineLauncher, Launcher
from nas.study import Hasher, Observer, Searcher, TimedSearcher, WrappedSearcher, check_part
from nas.study.cache import HashingEvaluator, TextHasher
from tests.study.study_kit import FakeEvaluator, Scripted, Watcher, small_space

PARTS: dict[type[Component], type[Any]] = {
    Evaluator: FakeEvaluator,
    Searcher: Scripted,
    Hasher: TextHasher,
    Executor: InlineExecutor,
    Observer: Watcher,
    Launcher: InlineLauncher,
}
SPACE = SearchSpace("two", "relu() | gelu()")
HOOKS = [
    (kind, name)
    for kind in PARTS
    for name, hook in vars(kind).items()
    if not name.startswith("_") and not getattr(hook, "__isabstractmethod__", False)
]


def test_the_suite_knows_every_kind() -> None:
    assert set(Component.__subclasses__()) == set(PARTS)


@pytest.mark.parametrize(("kind", "name"), HOOKS)
def test_a_hook_with_a_letter_too_few_or_too_many_is_refused_where_the_class_is_defined(kind, name):
    for place in range(len(name)):
        for wrong in (name[:place] + name[place + 1 :], name[: place + 1] + name[place:]):
            if wrong.startswith("_"):
                continue
            home = re.escape(home_of(kind))
            message = rf"^Mine: expected hooks of {home}, got {wrong}; did you mean {name}\?"
            with pytest.raises(ConfigError, match=message):
                type("Mine", (kind,), {wrong: None})


@pytest.mark.parametrize("name", ["value_name", "value_names_", "Levels"])
def test_a_misspelt_hook_of_a_class_beside_or_below_is_refused_too(name):
    mixin = type("Mixin", (), {name: None})
    with pytest.raises(ConfigError, match=f"^Mine: .*got {name}; did you mean"):
        type("Mine", (mixin, FakeEvaluator), {})
    with pytest.raises(ConfigError, match=f"^Mine: .*got {name}; did you mean"):
        type("Mine", (WrappedEvaluator,), {name: None})


def test_names_that_are_unlike_private_or_beside_the_hook_itself_are_the_class_s_own():
    class Mine(FakeEvaluator):
        levels = (Fidelity("epochs", 1),)
        level = 3
        _value_name = "x"
        columns = ("a",)

        def values(self) -> None: ...

    assert Mine().level == 3
    check_part(Evaluator, Mine(), "evaluator")


def test_an_attribute_of_the_object_is_held_to_the_same():
    evaluator = FakeEvaluator()
    evaluator.determinstic = True  # type: ignore[attr-defined]
    message = (
        r"^evaluator FakeEvaluator: expected hooks of .*, got determinstic; did you mean deterministic\?"
    )
    with pytest.raises(ConfigError, match=message):
        check_part(Evaluator, evaluator, "evaluator")
    evaluator.deterministic = True
    check_part(Evaluator, evaluator, "evaluator")


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        (
            Searcher,
            {"fidelities": lambda self: ()},
            r"^Mine.fidelities: .*got a method; write @property above",
        ),
        (
            Evaluator,
            {"levels": lambda self: ()},
            r"^Mine.levels: expected a value, got a method; write @prop",
        ),
        (Evaluator, {"check": property(lambda self: None)}, "^Mine.check: expected a method, got <property"),
        (
            Evaluator,
            {"check": cached_property(lambda self: None)},
            "^Mine.check: expected a method, got <func",
        ),
        (Hasher, {"explain": "text"}, "^Mine.explain: expected a method, got 'text'; write it as a method$"),
    ],
)
def test_a_value_in_place_of_a_method_and_a_method_in_place_of_a_value_are_refused(kind, body, message):
    with pytest.raises(ConfigError, match=message):
        type("Mine", (kind,), body)


def test_values_may_be_attributes_or_properties_and_methods_may_be_static():
    class Mine(FakeEvaluator):
        levels = property(lambda self: (Fidelity("epochs", 1),))

        @cached_property
        def deterministic(self) -> bool:
            return True

        @staticmethod
        def check(task: Any) -> None: ...

        @classmethod
        def value_names(cls, fidelity: Any) -> tuple[str, ...]:
            return ("a",)

    check_part(Evaluator, Mine(), "evaluator")


@pytest.mark.parametrize("kind", PARTS)
def test_what_has_the_methods_without_the_class_is_told_what_to_inherit_from(kind):
    own = {
        name: value
        for name, value in vars(PARTS[kind]).items()
        if not name.startswith("__") or name == "__call__"
    }
    abstract = kind.__abstractmethods__
    duck = type("Duck", (), {**dict.fromkeys(abstract, lambda self: None), **own})()
    where = kind.__name__.lower()
    home = re.escape(home_of(kind))
    message = rf"^{where}: expected a {home}, got .*Duck.*; inherit from it: class Duck\({kind.__name__}\)$"
    with pytest.raises(ConfigError, match=message):
        check_part(kind, duck, where)


@pytest.mark.parametrize(
    ("kind", "hidden", "message"),
    [
        (
            Evaluator,
            "objectives",
            "^evaluator Mine: expected the attribute objectives, got none; write objectives = ",
        ),
        (
            Evaluator,
            "reported",
            "^evaluator Mine: expected the attribute reported, got none; write reported = ",
        ),
        (Hasher, "name", "^hasher Mine: expected the attribute name, got none; write name = "),
    ],
)
def test_an_attribute_that_every_part_has_is_asked_for(kind, hidden, message):
    methods = {name: vars(PARTS[kind])[name] for name in kind.__abstractmethods__}
    given = {
        name: value for name, value in vars(PARTS[kind]).items() if name in ("objectives", "reported", "name")
    }
    mine = type("Mine", (kind,), {**methods, **{name: given[name] for name in given if name != hidden}})()
    with pytest.raises(ConfigError, match=message):
        check_part(kind, mine, kind.__name__.lower())


def test_a_hook_with_other_parameters_is_refused():
    class Mine(FakeEvaluator):
        def value_names(self) -> tuple[str, ...]:  # type: ignore[override]
            return ()

    message = r"^evaluator Mine.value_names: expected something to be called as value_names\(fidelity\), got"
    with pytest.raises(ConfigError, match=message):
        check_part(Evaluator, Mine(), "evaluator")


def test_data_of_another_kind_are_refused_under_the_name_of_the_hook():
    evaluator = FakeEvaluator()
    evaluator.dataset = [1, 2]
    with pytest.raises(
        ConfigError, match=r"expected `dataset` to be a nas\.training\.data\.Dataset or None, got \[1"
    ):
        check_part(Evaluator, evaluator, "evaluator")


class Everything(FakeEvaluator):
    """No hook has its default."""

    levels = (Fidelity("epochs", 1.0), Fidelity("epochs", 12.0))
    deterministic = True
    keeps_process = True
    max_seconds = 5.0
    dataset = "data"
    device = "cuda:1"

    def check(self, task: Any) -> None:
        raise LookupError(task)

    def value_names(self, fidelity: Any) -> tuple[str, ...]:
        return (f"at {fidelity}",)

    def values_of(self, quantity: Any, fidelity: Any = None) -> list[float]:
        return [1.0]


class Demanding(Scripted):
    """No hook has its default."""

    fidelities = (Fidelity("epochs", 1.0),)
    needs_states = True
    uninformed = 3
    trains_supernet = False  # or no wrapper could be around it

    def check_values(self, names: Any) -> None:
        raise LookupError(names)

    def check_images(self, images: Any) -> None:
        raise LookupError(images)


@pytest.mark.parametrize(
    ("kind", "inner", "wrap", "but"),
    [
        (Evaluator, Everything(), WrappedEvaluator, {}),
        (Evaluator, Everything(), lambda e: HashingEvaluator(e, TextHasher(), 0.0), {"keeps_process": False}),
        (Searcher, Demanding(small_space(), []), WrappedSearcher, {}),
        (Searcher, Demanding(small_space(), []), TimedSearcher, {}),
        (
            Searcher,
            Demanding(small_space(), []),
            lambda s: ConcurrencyLimiter(small_space(), [Objective("x")], seed=0, searcher=s, limit=2),
            {},
        ),
    ],
)
def test_a_wrapper_passes_every_hook_on(kind, inner, wrap, but):
    wrapped, abstract = wrap(inner), kind.__abstractmethods__
    for name in {*vars(kind), *inspect.get_annotations(kind)}:
        if name.startswith("_") or name in abstract:
            continue
        hook = vars(kind).get(name)
        if not inspect.isfunction(hook):
            assert getattr(wrapped, name) == but.get(name, getattr(inner, name)), name
            if hook is not None and name != "trains_supernet":
                assert getattr(inner, name) != getattr(PARTS[kind], name), f"{name} has its default inside"
            continue
        given = ["given"] * (len(inspect.signature(hook).parameters) - 1)
        assert (
            outcome(wrapped, name, given) == outcome(inner, name, given) != outcome(PARTS[kind], name, given)
        ), name


def outcome(part: Any, name: str, given: list[Any]) -> Any:
    """What a hook returns or raises; for a class, the default's answer."""
    try:
        return getattr(part, name)(*([None] if isinstance(part, type) else []), *given)
    except LookupError as error:
        return repr(error)


def test_no_part_is_asked_what_it_has() -> None:
    asked = r"(?:getattr|hasattr)\([\w.]*(?:searcher|evaluator|hasher|executor|observer|launcher|table), \""
    root = Path(__file__).parents[2]
    for room in ("nas", "algorithms", "hashing", "cluster", "search_spaces"):
        for path in (root / room).rglob("*.py"):
            assert not re.findall(asked, path.read_text()), path


def test_defaults_need_nothing_and_know_nothing() -> None:
    evaluator, searcher, hasher = FakeEvaluator(), Scripted(small_space(), []), TextHasher()
    assert (
        evaluator.value_names(None) is evaluator.values_of(Objective("x")) is evaluator.deterministic is None
    )
    assert (evaluator.levels, evaluator.max_seconds, evaluator.dataset) == ((), math.inf, None)
    assert (searcher.fidelities, searcher.needs_states, searcher.uninformed) == ((), False, None)
    assert hasher.for_data((1, 8, 8), 10) is hasher
    assert hasher.explain(SPACE.parse("relu()")) == ""
    with InlineExecutor().held():
        pass
    assert RandomSearch(SPACE, [Objective("x")], seed=0).uninformed == math.inf
    assert issubclass(VirtualClock, Executor)
