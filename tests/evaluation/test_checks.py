from __future__ import annotations

import numpy as np
import pytest

from nas.callables import FORMER
from nas.errors import ConfigError
from nas.evaluation import Objective, load_function
from nas.evaluation.functions import objectives_from, reported_from
from nas.layers import compile_network
from nas.registry import check_names


def test_check_names_lists_the_options_and_the_closest_one() -> None:
    with pytest.raises(
        ConfigError,
        match=r'^here: unknown option "batchsize"; options: lr, batch_size; did you mean "batch_size"\?$',
    ):
        check_names("here", ["lr", "batchsize"], ["lr", "batch_size"], ConfigError)


def test_load_function_returns_the_function_of_the_reference() -> None:
    assert load_function("here", "numpy:mean") is np.mean
    assert load_function("here", np.mean) is np.mean
    assert load_function("here", "compile_network") is compile_network


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (
            "numpy.mean",
            r'^here: expected "module:function" or one of compile_network, .*; got \'numpy.mean\'$',
        ),
        *(
            (former, rf"^here: expected {name}, as it is called now, got {former}; write that$")
            for former, name in FORMER.items()
        ),
        ("numpy:", r'^here: expected "module:function"'),
        ("no_such_module:f", r'^here: cannot import "no_such_module" of "no_such_module:f": No module named'),
        ("numpy:no_such_name", r'^here: module "numpy" has no "no_such_name"$'),
        ("numpy:pi", r'^here: "numpy:pi" is a float and cannot be called$'),
    ],
)
def test_load_function_names_the_fault(reference: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_function("here", reference)


def test_objectives_from_takes_names_mappings_and_objectives() -> None:
    latency = Objective("latency", "minimize", "ms")
    as_mapping = {"name": "latency", "direction": "minimize", "unit": "ms"}
    assert objectives_from("here", "accuracy") == (Objective("accuracy"),)
    assert objectives_from("here", as_mapping) == (latency,)
    assert objectives_from("here", ["accuracy", as_mapping]) == (Objective("accuracy"), latency)
    assert objectives_from("here", (latency, "accuracy")) == (latency, Objective("accuracy"))
    assert objectives_from("here", {"name": "accuracy", "unit": None}) == (Objective("accuracy"),)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "^here: expected at least one objective, got none$"),
        ([3], "^here: expected a name or a mapping with name, direction, unit, got 3$"),
        (3, "^here: expected a name or a mapping with name, direction, unit, got 3$"),
        (None, "^here: expected a name or a mapping with name, direction, unit, got None$"),
        (True, "^here: expected a name or a mapping with name, direction, unit, got True$"),
        ("", "^here: expected a name or a mapping with name, direction, unit, got ''$"),
        ({"name": 3}, "^here: name: expected a text, got 3$"),
        ({"name": "x", "unit": 1}, "^here: unit: expected a text, got 1$"),
        (["x", "y", {"name": "x"}], '^here: expected each objective once, got "x" 2 times$'),
        ({"unit": "ms"}, "^here: expected a name or a mapping"),
        ({"name": "x", "sign": 1}, 'unknown option "sign"'),
        ({"name": "x", "direction": "up"}, '^here: Objective x: direction is "maximize" or "minimize"'),
    ],
)
def test_objectives_from_names_the_fault(values: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        objectives_from("here", values)


def test_reported_from_is_one_quantity() -> None:
    objectives = (Objective("accuracy"), Objective("latency", "minimize", "ms"))
    assert reported_from("here", None, objectives) == Objective("accuracy")
    assert reported_from("here", "test", objectives) == Objective("test")
    assert reported_from("here", {"name": "size", "direction": "minimize"}, objectives) == Objective(
        "size", "minimize"
    )
    assert reported_from("here", "latency", objectives) == objectives[1]  # its direction and unit as well
    with pytest.raises(ConfigError, match=r"^here: expected one quantity, got accuracy, test$"):
        reported_from("here", ["accuracy", "test"], objectives)
    with pytest.raises(ConfigError, match=r"^here: expected a name or a mapping .* got 3$"):
        reported_from("here", 3, objectives)
