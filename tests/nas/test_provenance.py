from __future__ import annotations

import platform

from nas.provenance import commit, versions
from tests.nas.study_kit import events_of, make_study, small_space


def test_the_first_event_says_what_determined_the_study(tmp_path):
    make_study(tmp_path, config={"name": "digits", "seed": 1}, searcher_name="evolution").run()
    opened = events_of(tmp_path)[0]
    space = small_space()
    assert opened["space"] == {"name": "small", "fingerprint": space.fingerprint(), "text": str(space)}
    assert opened["evaluator"]["objectives"] == [{"name": "accuracy", "direction": "maximize", "unit": "%"}]
    assert opened["evaluator"]["reported"]["name"] == "test_accuracy"
    assert opened["searcher"] == {"name": "evolution", "options": {}}
    assert opened["baseline"] == {"samples": 3, "sampler": "uniform over options"}
    assert opened["budget"] == {"trials": 12, "seconds": None}
    assert opened["config"] == {"name": "digits", "seed": 1}
    assert (opened["format"], opened["seed"], opened["hashing"], opened["session"]) == (1, 1, "text", 1)


def test_versions_are_those_installed():
    import numpy as np

    assert versions()["python"] == platform.python_version()
    assert versions()["numpy"] == np.__version__


def test_commit_is_a_hash_or_unknown():
    found = commit()
    assert found is None or len(found.removesuffix("+changes")) == 40
