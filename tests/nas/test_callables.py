from __future__ import annotations

import subprocess
import sys
import tempfile
from functools import partial, wraps
from importlib.util import module_from_spec, spec_from_file_location
from operator import itemgetter
from pathlib import Path

import pytest

from nas.callables import CALLABLES, describe, function_name, load, stable
from nas.registry import Registered

SOURCE = """
from functools import partial

class AtMost:
    def __init__(self, limit):
        self.limit = limit
    def __call__(self, architecture):
        return None if architecture.count("x") <= self.limit else "too many"
    def check(self, architecture):
        return self(architecture)

def near(names):
    return lambda architecture, also=("x",): None if architecture in {"ab", "cd", "ef", *names} else "far"

def counted(low, *, high=3):
    return None if low in {"ab", "cd", "ef"} else str(high)

THREE = AtMost(3)
MADE = [THREE, AtMost(4), THREE.check, near({"p", "q", "r"}), near({"p"}), counted, partial(counted, 1)]
"""


def made(source: str = SOURCE) -> list:
    """What the source defines, as if it had none: its file is gone again."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.py"
        path.write_text(source)
        spec = spec_from_file_location("made", path)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
    return module.MADE


def test_callables_differ_by_code_state_closure_and_defaults():
    described = [describe(one) for one in made()]
    assert len(set(described)) == len(described)
    assert described == [describe(one) for one in made()]


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ('"too many"', '"more"', [0, 1]),
        ('"far"', '"elsewhere"', [3, 4]),
        ('also=("x",)', 'also=("y",)', [3, 4]),
        ("high=3", "high=4", [5, 6]),
        ("str(high)", "repr(high)", [5, 6]),
    ],
)
def test_an_edit_changes_what_it_belongs_to(old, new, changed):
    assert old in SOURCE
    pairs = zip(made(), made(SOURCE.replace(old, new)), strict=True)
    assert [i for i, (one, other) in enumerate(pairs) if describe(one) != describe(other)] == changed


def test_the_source_of_a_function_counts_where_there_is_one():
    assert "return [describe(one) for one in made()]" not in describe(made)
    assert "module_from_spec(spec)" in describe(made)


def test_descriptions_are_the_same_in_every_process():
    code = "from tests.nas.test_callables import made, describe; print(*map(describe, made()), sep=chr(10))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_what_has_neither_code_nor_source_goes_by_its_repr():
    assert describe(len) == "<built-in function len>"
    assert describe(itemgetter(1)) == "operator.itemgetter(1)"
    assert describe(partial(len, [1])) == "partial(<built-in function len>, ((1)), {})"


def test_stable_leaves_addresses_and_the_order_of_sets_out():
    assert stable({"b", "a"}) == "{'a', 'b'}"
    assert stable(object()) == "<object object>"
    assert stable({"k": [1, frozenset((2.5,))]}) == "{'k': (1, {2.5})}"


def test_a_function_that_holds_itself_is_described():
    def outer():
        def inner(n):
            return None if n == 0 else inner(n - 1)

        return inner

    assert describe(outer()) == describe(outer())


def test_load_gives_what_a_target_names_to_everyone():
    assert load("operator:itemgetter") is itemgetter
    assert Registered("name", "operator:itemgetter", "summary").load() is itemgetter


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("operator", AttributeError),
        ("operator:none", AttributeError),
        ("none_such:a", ImportError),
        (":a", ImportError),
        (".a:b", ImportError),
    ],
)
def test_load_raises_what_importing_raises(target, error):
    with pytest.raises(error):
        load(target)


def test_function_name_of_an_object_is_that_of_its_class() -> None:
    assert function_name(describe) == "nas.callables:describe"
    assert function_name(Registered("a", "b:c", "d").load.__call__) == "builtins:method-wrapper"
    assert function_name(Registered("a", "b:c", "d")) == "nas.registry:Registered"  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CALLABLES)
def test_the_platforms_own_have_names_that_others_cannot_take(name: str) -> None:
    own = load(CALLABLES[name])
    assert function_name(own) == name
    assert describe(own) == name or isinstance(own, type)

    @wraps(own)
    def wrapped(*args: object, **options: object) -> object:
        return own(*args, **options)

    assert function_name(wrapped) == CALLABLES[name]
    assert describe(wrapped) != name
