from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nas.training.sources import import_torchvision

ROOT = Path(__file__).resolve().parents[2]
PART = "print('part')\n"
CALL = "from nas.training.sources import import_torchvision as load\n"


@pytest.fixture
def torchvision_of(tmp_path: Path):
    """Runs code in a new process whose torchvision has this source."""

    def run(source: str, code: str) -> subprocess.CompletedProcess[str]:
        package = tmp_path / "torchvision"
        package.mkdir()
        (package / "__init__.py").write_text(source)
        (package / "part.py").write_text(PART)
        environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
        command = [sys.executable, "-W", "error", "-c", CALL + code]
        return subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )

    return run


@pytest.mark.slow
def test_missing_operators_are_declared_and_the_import_repeated_from_the_start(torchvision_of) -> None:
    source = (
        "from . import part\n"
        "import torch\n"
        "for name in ('nms', 'qnms'):\n"
        "    torch.library.register_fake(f'torchvision::{name}')(lambda *args: args[0])\n"
        "ready = True\n"
    )
    done = torchvision_of(source, "assert load().ready and load() is load()")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["part", "part"]


def test_another_failure_is_passed_on(torchvision_of) -> None:
    source = "from . import part\nraise RuntimeError('operator torchvision::other does not exist')\n"
    code = "import sys\ntry: load()\nexcept RuntimeError as error: print(error, 'torch' in sys.modules)\n"
    done = torchvision_of(source, code)
    assert done.stdout.splitlines() == ["part", "operator torchvision::other does not exist False"]


def test_a_failure_that_stays_is_passed_on(torchvision_of) -> None:
    source = "raise RuntimeError('operator torchvision::nms does not exist')\n"
    done = torchvision_of(source, "load()")
    assert done.returncode == 1
    assert done.stderr.strip().endswith("RuntimeError: operator torchvision::nms does not exist")


def test_a_sound_torchvision_is_left_alone(torchvision_of) -> None:
    code = "import sys\nassert load().ready\nprint('torch' in sys.modules)"
    done = torchvision_of("ready = True\n", code)
    assert done.stdout.splitlines() == ["False"], done.stderr


def test_the_installed_torchvision_can_be_imported() -> None:
    assert import_torchvision().datasets.CIFAR10.filename == "cifar-10-python.tar.gz"
