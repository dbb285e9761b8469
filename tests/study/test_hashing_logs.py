"""Logs of studies with hashes: which are refused and which are continued."""

from __future__ import annotations

import pytest

from nas.algorithms.random_search import RandomSearch
from nas.errors import StoreError
from nas.study import FILE_NAME, CachePolicy
from tests.study.hashing_kit import Alike, alike_study, full_story, repeating
from tests.study.study_kit import OBJECTIVE, events_of, make_study, tiny_space


@pytest.mark.parametrize(
    ("kind", "old", "new", "message"),
    [
        ("hashed", '"event":"hashed"', '"event":"told","cached_from":null', "told: clock to be a number"),
        ("hashed", '"digest":"test', '"digest":"other', "the key that was hashed, .*other.* got .*test"),
        ("cached", '"event":"cached"', '"event":"hashed"', "expected hashed: digest to be a text or null"),
        ("cached", '"outcome":"miss"', '"outcome":"partial"', "expected cache outcome miss; got partial"),
        ("cached", '"dropped":false', '"dropped":true', "expected a class that is kept after this answer"),
        ("started", '"event":"started"', '"event":"left out"', "one of the events asked, .*; got 'left out'"),
        ("evaluated", '"event":"evaluated"', '"event":"cached"', "expected cached: outcome to be a text"),
    ],
)  # fmt: skip
def test_a_log_that_contradicts_itself_is_refused_in_one_line(tmp_path, kind, old, new, message):
    study, *_ = repeating(tmp_path, CachePolicy())
    study.run()
    path = tmp_path / FILE_NAME
    lines = path.read_text().splitlines(keepends=True)
    number = next(i for i, line in enumerate(lines) if line.startswith(f'{{"event":"{kind}"'))
    assert old in lines[number]
    lines[number] = lines[number].replace(old, new)
    path.write_text("".join(lines))
    with pytest.raises(StoreError, match=message) as caught:
        repeating(tmp_path, CachePolicy())[0].run()
    assert "\n" not in str(caught.value)


def test_means_that_contradict_the_evaluations_are_refused(tmp_path):
    policy = CachePolicy(evaluations=2)
    repeating(tmp_path, policy)[0].run()
    path = tmp_path / FILE_NAME
    text = path.read_text()
    line = next(line for line in text.splitlines() if '"event":"told"' in line and '"values"' in line)
    path.write_text(text.replace(line, line.replace('"accuracy":', '"accuracy":1')))
    with pytest.raises(StoreError, match=r"expected the means .*; got "):
        repeating(tmp_path, policy)[0].run()
    path.write_text(text.replace(line, line.replace('"values":', '"valves":')))
    with pytest.raises(StoreError, match="expected a mean of 2 evaluations"):
        repeating(tmp_path, policy)[0].run()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"cache": CachePolicy(forget=0.1)},
            r"cache: expected .*'forget': 0\.0.*, as logged; got .*'forget': 0\.1",
        ),
        ({"hasher": Alike("other")}, "hashing: expected 'alike', as logged; got 'other'"),
        ({"hasher_options": {"bits": 9}}, r"hashing_options: expected \{\}, as logged; got \{'bits': 9\}"),
    ],
)
def test_other_options_of_hash_and_cache_are_refused(tmp_path, changes, message):
    alike_study(tmp_path)[0].run()
    with pytest.raises(StoreError, match=message):
        alike_study(tmp_path, **changes)[0].run()


def test_logs_of_before_are_continued_with_the_cache_as_it_was(tmp_path):
    """Written without hashes in workers, without `dropped` and without a word on the cache's options."""
    make_study(tmp_path / "whole", space=tiny_space(), searcher=tiny_search()).run()
    lines = (tmp_path / "whole" / FILE_NAME).read_text().splitlines(keepends=True)
    policy = (
        '"hashing_options":{},"cache":{"evaluations":1,"forget":0.0,"capacity":100000,"hash_seconds":null},'
    )
    assert policy in lines[0]
    old = [line.replace(policy, "").replace(',"dropped":false', "") for line in lines[: len(lines) // 2]]
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / FILE_NAME).write_text("".join(old))
    make_study(tmp_path / "old", space=tiny_space(), searcher=tiny_search()).run()
    stories = [
        [[fact for fact in line if fact[0] != "dropped"] for line in full_story(tmp_path / name)]
        for name in ("old", "whole")
    ]
    assert stories[0] == stories[1]
    with pytest.raises(StoreError, match=r"cache: expected .*'evaluations': 1"):
        make_study(
            tmp_path / "old",
            space=tiny_space(),
            searcher=tiny_search(),
            cache=CachePolicy(evaluations=2),
        ).run()


def tiny_search():
    return RandomSearch(tiny_space(), (OBJECTIVE,), seed=0)


def test_without_a_hasher_the_cache_has_no_options(tmp_path):
    make_study(tmp_path, hasher=None).run()
    make_study(tmp_path, hasher=None, cache=CachePolicy(forget=0.5)).run()
    assert [events_of(tmp_path)[0][key] for key in ("hashing", "hashing_options", "cache")] == [
        "none",
        {},
        None,
    ]
