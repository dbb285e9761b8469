from __future__ import annotations

import pytest

from nas.errors import CompileError, ConfigError, EvaluationError
from nas.evaluation import Fidelity, Task
from nas.run.compose import compose
from nas.run.config import CacheSection, Config, SearchSection
from nas.space import SearchSpace
from nas.study import CachePolicy

DIGITS = {"name": "classification", "dataset": "digits", "epochs": 4}
FUNCTION = {"name": "function", "function": "statistics:mean"}


def config(**changes) -> Config:
    parts = {
        "space": {"name": "macro", "width": 8},
        "searcher": {"name": "random"},
        "evaluator": FUNCTION,
        "executor": {"name": "inline"},
        "hashing": {"name": "text"},
    }
    return Config(name="mine", **{**parts, **changes})


def one(text: str) -> SearchSpace:
    return SearchSpace("one", text)


SMALL = one("stem(width=4) >> maxpool(kernel=9, stride=9) >> head()")
HEADLESS = one("stem(width=4) >> relu()")
WARM = one("train(stem(width=4) >> head(), warmup_epochs=9.0)")
FITTING = one("stem(width=4) >> (maxpool(kernel=9, stride=9) | relu()) >> head()")


def test_all_parts_are_built():
    parts = compose(config(seed=3))
    assert parts.space.name == "macro"
    assert parts.evaluator.objectives[0].name == "value"
    assert parts.plan.seed == 3
    assert parts.plan.budget.trials == 24
    assert parts.hasher is not None
    assert compose(config(hashing={"name": "none"})).hasher is None


def test_cheap_mistakes_are_found_before_data_are_read():
    missing = {"name": "classification", "dataset": "npz", "root": "nowhere.npz"}
    with pytest.raises(EvaluationError, match=r"nowhere\.npz"):
        compose(config(evaluator=missing))
    for mistake in (
        {"searcher": {"name": "random", "uniqe": True}},
        {"executor": {"name": "inline", "workers": 2}},
        {"hashing": {"name": "txt"}},
        {"space": {"name": "macro", "width": "8"}},
        {"seed": -1},
    ):
        with pytest.raises(ConfigError):
            compose(config(evaluator=missing, **mistake))


def test_the_cache_is_as_configured():
    assert compose(config()).cache == CachePolicy()
    section = CacheSection(evaluations=3, forget=0.1, capacity=None, hash_seconds=10.0)
    assert compose(config(cache=section)).cache == CachePolicy(3, 0.1, None, 10.0)
    for mistake in (CacheSection(evaluations=0), CacheSection(forget=-0.1), CacheSection(capacity=0)):
        with pytest.raises(ConfigError, match=r"^cache\.[a-z]+: expected .*; got .*$"):
            compose(config(cache=mistake))


def test_the_functional_hasher_takes_channels_and_classes_from_the_data():
    networks = ("stem(width=4) >> relu() >> head()",)
    digests = []
    for options in ({}, {"channels": 1, "classes": 10}, {"channels": 3, "classes": 10}, {"classes": 7}):
        parts = compose(config(evaluator=DIGITS, hashing={"name": "functional", **options}))
        assert parts.hasher is not None
        digests.append(parts.hasher.hash(one(networks[0]).start().architecture()).digest)
    assert digests[0] == digests[1]  # digits are grey
    assert digests[0].startswith("network+data=1x10:")
    assert digests[3].startswith("network+data=1x7:")
    assert len(set(digests)) == 3
    table = compose(config(hashing={"name": "functional"}))  # a function says nothing of data
    assert table.hasher is not None
    assert table.hasher.hash(one(networks[0]).start().architecture()).digest == digests[2]


def test_something_that_is_no_hasher_is_refused():
    with pytest.raises(ConfigError, match=r"expected a nas\.study\.Hasher, got 'digest'; give one such as"):
        compose(config(hashing={"name": f"{__name__}:no_hasher"}))


def no_hasher() -> str:
    return "digest"


def test_ray_knows_the_study_by_its_name():
    executor = compose(config(executor={"name": "ray"})).executor
    assert executor.options.name == "mine"  # pyright: ignore[reportAttributeAccessIssue]


def test_the_fidelity_is_the_evaluators():
    def plan(fidelity, evaluator=DIGITS):
        return compose(config(evaluator=evaluator, search=SearchSection(fidelity))).plan

    assert plan(2).search_fidelity == Fidelity("epochs", 2)
    assert plan(None).search_fidelity is None
    with pytest.raises(
        ConfigError,
        match=r"^search\.fidelity: expected 1 to 4 epochs, got 4\.5; set one of them, or let",
    ):
        plan(4.5)
    with pytest.raises(
        ConfigError, match=r"^search\.fidelity: expected null, as the evaluator has no fidelity, got 2"
    ):
        plan(2, FUNCTION)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("SMALL", r'root\.parts\[1\] "maxpool": expected sides of at least 9'),
        (
            "HEADLESS",
            r"root: expected \(10,\) for 10 classes, got \(4, 8, 8\); end the network with head\(\)",
        ),
        ("WARM", r'training setting "warmup_epochs": expected at most epochs = 4, got 9\.0'),
    ],
)
def test_a_space_that_does_not_fit_the_images_is_refused_before_the_run(name, reason):
    section = {"name": f"{__name__}:{name}"}
    with pytest.raises(ConfigError, match=rf"^space one: none of 16 samples fits the evaluator; {reason}"):
        compose(config(space=section, evaluator=DIGITS))


def test_a_space_some_of_whose_networks_fit_is_searched():
    parts = compose(config(space={"name": f"{__name__}:FITTING"}, evaluator=DIGITS))
    check = parts.evaluator.check  # pyright: ignore[reportAttributeAccessIssue]
    check(Task(0, parts.space.parse("stem(width=4) >> relu() >> head()"), fidelity=Fidelity("epochs", 1)))
    with pytest.raises(CompileError, match="expected sides of at least 9"):
        check(Task(0, parts.space.parse("stem(width=4) >> maxpool(kernel=9, stride=9) >> head()")))
    with pytest.raises(EvaluationError, match='expected "epochs" from 1 to 4'):
        check(Task(0, parts.space.start().take(1).architecture(), fidelity=Fidelity("epochs", 5)))


def test_an_evaluator_without_a_check_takes_every_space():
    assert compose(config(space={"name": f"{__name__}:SMALL"})).space is SMALL
