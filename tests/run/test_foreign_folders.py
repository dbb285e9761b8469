"""The folder of a run that comes from elsewhere runs no code and reaches nothing outside itself."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nas.callables import foreign_targets, is_target, load
from nas.errors import ConfigError, StoreError
from nas.report.__main__ import main as report
from nas.run.folder import logged_config
from nas.study import FILE_NAME, Checkpoints, read_study
from tests.end_to_end.kit import ROOT, TINY, command
from tests.report.report_kit import Log

MODULE = "mark_of_import"
EVIL = f"{MODULE}:run"
BASE: dict[str, Any] = {
    "name": "mine",
    "space": {"name": "macro", "width": 16, "stages": 2, "depth": 1},
    "searcher": {"name": "random"},
    "evaluator": {"name": "classification", "dataset": "digits"},
    "executor": {"name": "inline"},
    "hashing": {"name": "text"},
}


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder on the import path with a module that leaves a mark when it is imported."""
    code = "from pathlib import Path\nPath(__file__).with_name('MARK').touch()\n"
    code += "def run(*args, **kwargs):\n    Path(__file__).with_name('CALLED').touch()\n"
    (tmp_path / f"{MODULE}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop(MODULE, None)


def changed(place: str, value: Any) -> dict[str, Any]:
    config = copy.deepcopy(BASE)
    *parents, name = place.split("/")
    inside: Any = config
    for parent in parents:
        inside = inside.setdefault(parent, {})
    inside[name] = value
    return config


def run_with(config: Mapping[str, Any], folder: Path) -> Path:
    Log(folder).opened(config=config).write()
    return folder


PLACES: dict[str, Any] = {
    "space/name": EVIL,
    "searcher/name": EVIL,
    "evaluator/name": EVIL,
    "executor/name": EVIL,
    "hashing/name": EVIL,
    "searcher": {"name": "os:system", "command": "touch MARK"},
    "evaluator": {"name": "function", "function": EVIL},
    "searcher/searcher": {"name": "asha", "searcher": {"name": "no_repeats", "searcher": {"name": EVIL}}},
    "evaluator/compiler": EVIL,
    "evaluator/evaluator": {"name": EVIL},
    "hashing/compile": EVIL,
    "searcher/limits": [{"proxies": [EVIL]}],
    "searcher/proxies": {"a": [EVIL]},
    "compare/searchers": {"a": {"name": EVIL}},
    "compare/hashing": {"a": {"name": EVIL}},
    "protocol/variants": {"a": {"evaluator": {"name": EVIL}}, "b": {}},
    "audit/exact": EVIL,
    "audit/searchers": {"a": {"name": EVIL}},
    "audit/readings": {"name": [EVIL]},
}


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_resuming_a_folder_alone_imports_nothing_that_it_names(workplace, place):
    run_with(changed(place, PLACES[place]), workplace / "run")
    before = sorted(path.name for path in (workplace / "run").iterdir())
    result = command("resume=run", workplace)
    assert result.status == 2
    assert "names" in result.err
    assert "trust=true" in result.err
    assert place.split("/")[0] in result.err
    assert not (workplace / "MARK").exists()
    assert MODULE not in sys.modules
    assert sorted(path.name for path in (workplace / "run").iterdir()) == before


@pytest.mark.parametrize("manifest", ["comparison.json", "protocol.json", "audit.json"])
def test_nor_does_the_folder_of_several_studies(workplace, manifest):
    (workplace / "run").mkdir()
    content = {"format": 1, "config": changed("compare/searchers", {"a": {"name": EVIL}})}
    (workplace / "run" / manifest).write_text(json.dumps(content))
    result = command("resume=run", workplace)
    assert "trust=true" in result.message
    assert not (workplace / "MARK").exists()


def test_trust_or_the_whole_command_lets_it_run(workplace):
    run_with(changed("evaluator", {"name": "function", "function": EVIL}), workplace / "run")
    result = command("resume=run trust=true", workplace)
    assert (workplace / "MARK").exists()
    assert "trust" not in result.err
    (workplace / "MARK").unlink()
    sys.modules.pop(MODULE, None)
    whole = f"name=mine evaluator=function evaluator.function={EVIL} executor=inline resume=run"
    result = command(whole, workplace)
    assert (workplace / "MARK").exists()
    assert "trust" not in result.err


@pytest.mark.slow
def test_a_run_of_registered_names_is_resumed_by_its_folder_alone(workplace):
    assert command(f"{TINY} run.dir=run", workplace).status == 0
    assert command("resume=run", workplace).status == 0


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("executor/address", "10.0.0.1:6379", "names a cluster, 10.0.0.1:6379"),
        ("compare/address", "localhost:6379", "names a cluster"),
        ("evaluator/root", "/nowhere/at/all", "which would be made for downloads"),
        (
            "searcher/data",
            {"dataset": "cifar10", "root": "../elsewhere"},
            "which would be made for downloads",
        ),
        ("evaluator/root", "${oc.env:HOME}", "got an interpolation"),
        ("searcher/x", ["${oc.decode:1}"], "got an interpolation"),
    ],
)
def test_nor_does_it_join_clusters_or_make_folders(workplace, place, value, message):
    run_with(changed(place, value), workplace / "run")
    with pytest.raises(ConfigError, match=message):
        logged_config(workplace / "run")


@pytest.mark.parametrize(("place", "value"), [("executor/address", "auto"), ("evaluator/root", "data")])
def test_what_harms_nobody_is_left(workplace, place, value):
    run_with(changed(place, value), workplace / "run")
    assert logged_config(workplace / "run")


def test_links_that_lead_out_of_the_folder_are_refused(workplace):
    folder = run_with(BASE, workplace / "run")
    outside = workplace / "precious"
    outside.mkdir()
    (outside / "search-0.safetensors").write_text("mine")
    (folder / "checkpoints").symlink_to(outside)
    result = command("resume=run", workplace)
    assert "checkpoints leads out of it" in result.message
    assert (outside / "search-0.safetensors").read_text() == "mine"
    (folder / "checkpoints").unlink()
    (folder / "inside").symlink_to(folder / FILE_NAME)
    assert logged_config(folder)
    os.mkfifo(folder / "pipe")
    with pytest.raises(ConfigError, match="pipe is no regular file"):
        logged_config(folder)


def test_a_report_imports_no_vocabulary_that_a_log_names(workplace, capsys):
    log = Log(workplace / "run").opened()
    log.lines[0]["space"]["vocabulary"] = f"{MODULE}:run"
    log.lines[0]["evaluator"].update(input_shape=[1, 8, 8], num_classes=10)
    log.search((91.0, 90.0), (92.0, 91.0)).closed().write()
    assert report([str(workplace / "run")]) == 0
    assert not (workplace / "MARK").exists()
    assert MODULE not in sys.modules
    assert not (workplace / "run/chosen_torch.txt").exists()
    assert (
        f"# no torch modules: {MODULE}:run is no vocabulary of the platform"
        in (workplace / "run/chosen.txt").read_text()
    )


@pytest.mark.slow
@pytest.mark.parametrize("home", ["os:system", "nas:Study", "sys:modules", "", ":", "nas.layers", "x:y:z"])
def test_a_vocabulary_is_nothing_else(workplace, home, capsys):
    log = Log(workplace / "run").opened()
    log.lines[0]["space"]["vocabulary"] = home
    log.lines[0]["evaluator"].update(input_shape=[1, 8, 8], num_classes=10)
    log.search((91.0, 90.0)).closed().write()
    assert report([str(workplace / "run")]) == 0
    assert not (workplace / "run/chosen_torch.txt").exists()


def test_files_that_a_log_names_are_never_touched(workplace):
    """Paths of weights follow from numbers of trials; those in the log are for display."""
    precious = workplace / "precious.safetensors"
    precious.write_text("mine")
    log = Log(workplace / "run").opened()
    log.trial("final", 0, (91.0, 90.0))
    for line in log.lines:
        if line["event"] == "evaluated":
            line["evaluation"]["checkpoint"] = str(precious)
    log.closed().write()
    record = read_study(workplace / "run")
    assert record.trials[0].checkpoint == str(precious)
    assert report([str(workplace / "run")]) == 0
    assert precious.read_text() == "mine"


def test_files_of_other_names_among_the_states_are_left_alone(tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    names = ["search-x.safetensors", "search-1-2.safetensors", "search-.safetensors.state", "notes.txt"]
    for name in names:
        (folder / name).write_text("mine")
    (folder / "search-7.safetensors").mkdir()
    (folder / "search-8.safetensors").symlink_to(tmp_path / "gone")
    (folder / "search-3.safetensors").write_text("old")
    states = Checkpoints(folder).states
    states.restore({8: (0.0, 0.0)})
    assert states.of(3) is None
    assert not (folder / "search-3.safetensors").exists()
    states.clear()
    assert sorted(path.name for path in folder.iterdir()) == sorted([*names, "search-7.safetensors"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("os:system", True),
        ("a.b.c:d", True),
        ("módulo:función", True),
        ("localhost:6379", False),
        ("a:b c", False),
        ("a b:c", False),
        (":c", False),
        ("a:", False),
        ("a..b:c", False),
        ("conv(kernel=3)", False),
        ("https://example.org", False),
    ],
)
def test_only_names_of_attributes_are_ever_imported(text, expected):
    assert is_target(text) is expected
    assert bool(list(foreign_targets({"a": [text]}))) is expected
    if not expected:
        before = set(sys.modules)
        with pytest.raises((ImportError, AttributeError, ValueError)):
            load(text)
        assert set(sys.modules) == before


def test_the_names_in_the_platforms_own_configurations_are_its_own():
    import yaml

    found = set()
    for path in (ROOT / "experiments").rglob("*.yaml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        found |= {text for place, text in foreign_targets(content) if "/" not in place}
    assert not found


VALUES = [
    None,
    True,
    0,
    -1,
    2.5,
    10**25,
    "",
    "x",
    "nan",
    "???",
    "${x",
    [],
    [1],
    {},
    {"name": {}},
    {"a": [None]},
]


@pytest.mark.slow
def test_a_configuration_of_any_content_is_one_line(workplace):
    """Values of a logged configuration replaced one by one; a run or one line follows, never a traceback."""
    config: dict[str, Any] = {**BASE, "seed": 1, "budget": {"trials": 1}, "baseline": {"samples": 0}}
    config |= {"final": {"seeds": 0}, "compare": {"searchers": {}}, "cache": {"evaluations": 1}}
    for number, place in enumerate(
        [
            *config,
            *(
                f"{key}/{inner}"
                for key, section in config.items()
                if isinstance(section, dict)
                for inner in section
            ),
        ]
    ):
        value = VALUES[number % len(VALUES)]
        mutated = copy.deepcopy(config)
        *parents, name = place.split("/")
        inside: Any = mutated
        for parent in parents:
            inside = inside[parent]
        inside[name] = value
        mutated["dry_run"] = True
        run_with(mutated, workplace / f"run{number}")
        result = command(f"resume=run{number}", workplace)
        assert result.status in (0, 2), (place, value)
        assert "Traceback" not in result.err, (place, value)
        assert result.status == 0 or len(result.err.splitlines()) == 1, (place, value, result.err)


@pytest.mark.slow
@pytest.mark.parametrize("manifest", ["comparison.json", "protocol.json", "audit.json"])
@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "5", "{}", '{"config":5}', '{"format":1,"config":{"name":"x"}}', "[" * 100_000, "NaN"],
)
def test_manifests_of_any_content_are_one_line(workplace, manifest, content, capsys):
    (workplace / "run").mkdir()
    (workplace / "run" / manifest).write_text(content)
    result = command("resume=run", workplace)
    assert len(result.message) < 700
    status = report([str(workplace / "run")])
    out, err = capsys.readouterr()
    assert (status, out, err.count("\n")) == (2, "", 1)


COMPARISON = {
    "format": 1,
    "name": "toy",
    "methods": ["a"],
    "seeds": [0],
    "budgets": [2],
    "objectives": [{"name": "v", "direction": "maximize", "unit": ""}],
    "reported": {"name": "v", "direction": "maximize", "unit": ""},
    "fidelity_range": ["epochs", 1, 3],
    "optimum": {"v": 1.0},
    "reference": {"v": 0.0},
    "default": "a",
}


@pytest.mark.parametrize("key", COMPARISON)
def test_a_comparison_with_any_manifest_gives_a_report_or_one_error(tmp_path, key):
    from nas.report.comparison import read_comparison

    for value in [*VALUES, ["../../etc"], [".."], ["a/b"], [10**30], [[]], [{}], {"v": "x"}, ["\x1b"]]:
        (tmp_path / "comparison.json").write_text(json.dumps({**COMPARISON, key: value}))
        with contextlib.suppress(StoreError):
            read_comparison(tmp_path)
