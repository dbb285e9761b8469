from __future__ import annotations

import subprocess
import sys

import pytest

from nas.cluster import EXECUTORS
from nas.errors import ConfigError


def test_ray_is_imported_only_when_an_executor_of_it_opens():
    program = (
        "import sys\n"
        "from nas.cluster import EXECUTORS\n"
        "EXECUTORS.get('inline')(), EXECUTORS.get('simulated')(workers=2), EXECUTORS.get('ray')(num_cpus=2)\n"
        "sys.exit(bool({'ray', 'torch'} & set(sys.modules)))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0


def test_unknown_executors_are_one_line():
    with pytest.raises(ConfigError, match=r'^executor "rai" is not registered; .*; did you mean "ray"\?$'):
        EXECUTORS.get("rai")
