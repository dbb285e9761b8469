from __future__ import annotations

import subprocess
import sys

import pytest

from nas.errors import ConfigError
from nas.evaluation import EVALUATORS


def test_every_entry_loads_a_factory() -> None:
    assert EVALUATORS.names() == ("classification", "function", "optimizer_task", "table")
    assert all(callable(entry.load()) for entry in EVALUATORS)


@pytest.mark.parametrize("name", ["classification", "function", "optimizer_task", "table"])
def test_every_factory_refuses_an_unknown_option_in_one_line(name: str) -> None:
    with pytest.raises(
        ConfigError, match=rf'^evaluator "{name}": unknown option "no_such"; options: [\w, ]+$'
    ):
        EVALUATORS.get(name)(no_such=1)


def test_the_light_evaluators_need_neither_torch_nor_pandas() -> None:
    code = (
        "import sys; from nas.evaluation.evaluator import EVALUATORS; import nas.layers.train_settings;"
        "import nas.training.data; EVALUATORS.get('table'); EVALUATORS.get('function');"
        "print([name for name in ('torch', 'pandas', 'sklearn', 'torchvision') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
