"""Searches on disk: what is refused, in one line."""

import re

import pytest
import torch

from nas.errors import EvaluationError
from nas.supernet.state import load, save
from nas.supernet.training import start
from tests.supernet.kit import CHOICES, GATES, images, small


@pytest.fixture
def saved(tmp_path):
    settings = small()
    save(tmp_path / "search", start(GATES, images(), settings, 1), settings)
    return tmp_path / "search"


def refused(path, space=GATES, data=None, seed=1, **options):
    settings = small(**options)
    with pytest.raises(EvaluationError) as caught:
        load(path, start(space, data or images(), settings, seed), settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_another_space(saved):
    message = refused(saved, CHOICES)
    assert "expected a search of choices (" in message
    assert "got one of gates (" in message


def test_other_settings_seed_or_images(saved):
    assert "expected lr = 0.5, got 0.025" in refused(saved, lr=0.5)
    assert "expected skip_limit = 1, got None" in refused(saved, skip_limit=1)
    assert "expected seed = 2, got 1" in refused(saved, seed=2)
    assert "expected images = 24, got 48" in refused(saved, data=images(24))
    assert "expected shape = [1, 5, 5], got [1, 4, 4]" in refused(saved, data=images(side=5))
    other = images()
    other.train.images[0, 0, 0, 0] += 1
    assert "expected contents = " in refused(saved, data=other)
    assert "expected classes = 4, got 3" in refused(saved, data=images(classes=4))


def test_no_file_a_damaged_one_and_another_one(saved, tmp_path):
    assert "got no file" in refused(tmp_path / "nothing")
    saved.write_bytes(saved.read_bytes()[:100])
    assert "got a file that cannot be read" in refused(saved)
    torch.save({"format": 1, "network": {}}, saved)
    assert "expected the state of a search, format 1" in refused(saved)


def test_a_state_without_a_part_or_with_another_is_one_line(saved):
    content = torch.load(saved, weights_only=True)
    for name in content:
        for damaged in ({key: value for key, value in content.items() if key != name}, {**content, name: 3}):
            if name in ("stopped", "epoch") and name in damaged:
                continue
            torch.save(damaged, saved)
            assert re.search("expected the state of a search|expected a state that fits", refused(saved)), (
                name
            )


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    settings = small()
    with pytest.raises(EvaluationError, match="expected a file that can be written"):
        save(tmp_path / "file" / "search", start(GATES, images(), settings, 1), settings)
