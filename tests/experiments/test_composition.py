from __future__ import annotations

import copy
import csv
import functools
import gzip
import re
from dataclasses import asdict
from importlib.resources import files
from urllib.error import URLError

import pytest
import yaml
from hydra import compose as compose_yaml
from hydra import initialize_config_module

from nas.algorithms import SEARCHERS
from nas.algorithms.shared.wrapping import prepare_searcher
from nas.cluster import EXECUTORS
from nas.errors import ConfigError, EvaluationError
from nas.evaluation import EVALUATORS
from nas.hashing import HASHERS
from nas.registry import build, prepare
from nas.run.command import to_config
from nas.run.comparison import comparison_plan, manifest, prepare_comparison, trials_of
from nas.run.compose import compose
from nas.run.config import Config
from nas.search_spaces import SPACES

REGISTRIES = {
    "space": SPACES,
    "searcher": SEARCHERS,
    "evaluator": EVALUATORS,
    "executor": EXECUTORS,
    "hashing": HASHERS,
}
TREE = files("nas.experiments")
TABLE = "nasbench201_cifar10.csv.gz"


def names(group: str) -> list[str]:
    listed = (item.name for item in TREE.joinpath(group).iterdir())
    return sorted(name.removesuffix(".yaml") for name in listed if name.endswith(".yaml"))


OPTIONS = [(group, name) for group in REGISTRIES for name in names(group)]
EXPERIMENTS = names("experiment")
COMPARISONS = [  # as in the documentation
    "activation_cache",
    "digits_cache",
    "digits_compare",
    "digits_one_shot",
    "fashion_one_shot",
    "nasbench201_cache",
    "nasbench201_collapse",
    "nasbench201_compare",
    "nasbench201_one_shot",
    "nasbench201_pareto",
    "update_rule_cache",
]
BUNDLED = ("digits", "optimizer_task", "update_rule", "activation")  # beginnings of what needs no download
REQUIRED = {
    ("space", "file"): "space.path",
    ("evaluator", "npz"): "evaluator.root",
    ("evaluator", "folder"): "evaluator.root",
    ("evaluator", "function"): "evaluator.function",
}


def composed(*overrides: str) -> Config:
    return copy.deepcopy(composed_once(*overrides))


@functools.cache
def composed_once(*overrides: str) -> Config:
    with initialize_config_module("nas.experiments", version_base="1.3"):
        return to_config(compose_yaml("config", list(overrides)))


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise URLError("no network in this test")

    monkeypatch.setattr("urllib.request.urlopen", refuse)


ROUNDS = [  # each option of each group at least once
    {group: names(group)[number % len(names(group))] for group in REGISTRIES}
    for number in range(max(len(names(group)) for group in REGISTRIES))
]


def choices(chosen: dict[str, str]) -> list[str]:
    """The overrides of these options, with what they cannot do without."""
    needed = [f"{key}=x" for option, key in REQUIRED.items() if option in chosen.items()]
    return [*map("=".join, chosen.items()), *needed]


def test_the_tree_holds_the_groups_and_what_is_registered():
    assert {group for group, _ in OPTIONS} == set(REGISTRIES)
    for group, registry in REGISTRIES.items():
        files = [yaml.safe_load(TREE.joinpath(group, f"{name}.yaml").read_text()) for name in names(group)]
        used = {content["name"] for content in files if "name" in content}
        assert set(registry.names()) <= used
        for name in used - set(registry.names()):
            assert registry.get(name)


def test_the_yaml_and_the_schema_have_the_same_keys_and_defaults():
    written = asdict(composed())
    for section in REGISTRIES:
        del written[section]
    schema = {key: value for key, value in asdict(Config()).items() if key not in REGISTRIES}
    assert written == schema


def test_every_key_is_explained_in_the_help():
    with initialize_config_module("nas.experiments", version_base="1.3"):
        help_text = compose_yaml("config", return_hydra_config=True).hydra.help.template
    for key, value in asdict(Config()).items():
        for inner in value if key not in REGISTRIES and isinstance(value, dict) else [None]:
            assert key in REGISTRIES or (f"{key}.{inner}" if inner else key) in help_text


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(ROUNDS)))
def test_every_option_composes_with_an_experiment_as_it_does_alone(number):
    chosen, experiment = choices(ROUNDS[number]), EXPERIMENTS[number % len(EXPERIMENTS)]
    alone, config = composed(*chosen), composed(f"+experiment={experiment}", *chosen)
    assert config.name == experiment
    for group in REGISTRIES:
        assert getattr(config, group) == getattr(alone, group)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_chooses_options_by_name_only(experiment):
    """So that none of a component's options is left behind when another is chosen on the command line."""
    content = yaml.safe_load(TREE.joinpath(f"experiment/{experiment}.yaml").read_text(encoding="utf-8"))
    assert not set(content) & set(REGISTRIES)
    assert content["name"] == experiment


@pytest.mark.parametrize(("option", "key"), REQUIRED.items(), ids=str)
def test_what_must_be_given_is_asked_for(option, key):
    with pytest.raises(
        ConfigError, match=rf"^{key}: expected a value, got none; add {key}=VALUE to the command$"
    ):
        composed("=".join(option))


@pytest.mark.parametrize("number", range(len(ROUNDS)))
def test_every_component_takes_its_options(number):
    chosen = {group: name for group, name in ROUNDS[number].items() if group != "evaluator"}
    config = composed(*choices(chosen))
    prepare(SEARCHERS, config.searcher, 2, seed=0)
    for group in ("space", "executor", "hashing"):
        if (group, chosen[group]) not in REQUIRED:
            build(REGISTRIES[group], getattr(config, group))


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", names("evaluator"))
def test_every_evaluator_is_built_or_misses_nothing_but_its_data(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    required = {"npz": "evaluator.root=x", "folder": "evaluator.root=x"}
    required["function"] = "evaluator.function=statistics:mean"
    section = composed(f"evaluator={name}", *filter(None, [required.get(name)])).evaluator
    if name.startswith(BUNDLED) or name == "function":
        assert build(EVALUATORS, section).fingerprint()
    else:
        with pytest.raises(
            EvaluationError, match=r"^(data|table) \S+: expected .+, (got|found) none"
        ) as missing:
            build(EVALUATORS, section)
        assert "\n" not in str(missing.value)
        assert re.search(r"; (put .* or )?set evaluator\.\w+", str(missing.value))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_is_built_or_misses_nothing_but_its_data(experiment, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = composed(f"+experiment={experiment}")
    assert bool(config.compare.searchers) == (experiment in COMPARISONS)
    if experiment.startswith(BUNDLED):
        assert compose(config).plan.budget.trials == config.budget.trials
    else:
        with pytest.raises(EvaluationError, match=r": expected .+, (got|found) none"):
            compose(config)
    assert list(tmp_path.iterdir()) == []


def test_only_images_known_to_keep_their_classes_are_augmented():
    for name in names("evaluator"):
        section = yaml.safe_load(TREE.joinpath("evaluator", f"{name}.yaml").read_text())
        if section.get("dataset") in ("digits", "npz", "folder"):
            given = {key: section.get(key, False) for key in ("flip", "crop_padding", "cutout")}
            assert not any(given.values()), (name, given)
    for name in ("darts", "pc_darts", "gdas", "sharp_darts", "hypercuboid", "single_path"):
        section = yaml.safe_load(TREE.joinpath("searcher", f"{name}.yaml").read_text())
        assert (section["flip"], section["crop_padding"]) == (None, None), name


def test_experiments_say_what_they_are():
    for experiment in EXPERIMENTS:
        text = TREE.joinpath(f"experiment/{experiment}.yaml").read_text(encoding="utf-8")
        package, comment, *_ = text.splitlines()
        assert package == "# @package _global_"
        assert comment.startswith("# ")


@pytest.mark.parametrize("experiment", COMPARISONS)
def test_a_comparison_has_methods_with_options_of_their_own(experiment):
    config = composed(f"+experiment={experiment}")
    plan = comparison_plan(config)
    assert "random" in plan.methods
    for label, section in config.compare.searchers.items():
        prepare_searcher(section, seed=0)
        assert label in plan.methods or label in config.compare.slow
    assert config.budget.trials in (plan.budgets[-1], None)  # None: so many seconds
    assert config.hashing["name"] == "none"  # a repeat costs an evaluation
    assert config.executor["name"] in ("inline", "simulated")
    assert config.final.seeds == 0


def test_methods_are_added_and_taken_out_on_the_command_line():
    changes = ("+searcher@compare.searchers.mine=regularized_evolution_t2", "~compare.searchers.random")
    config = composed("+experiment=nasbench201_compare", *changes, "compare.searchers.mine.sample=3")
    assert config.compare.searchers["mine"] == {
        "name": "regularized_evolution",
        "population": 50,
        "sample": 3,
    }
    assert "random" not in comparison_plan(config).methods
    assert "gp" not in comparison_plan(config).methods
    slow = composed("+experiment=nasbench201_compare", "compare.with_slow=true", "compare.skip=[tpe]")
    assert {"gp", "tpe"} & set(comparison_plan(slow).methods) == {"gp"}
    alone = composed("+searcher@compare.searchers.mine=random")
    assert comparison_plan(alone).methods == {"mine": {"name": "random"}}


def test_the_tabular_comparison_gets_several_fidelities_to_the_cost_of_the_others():
    config = composed("+experiment=nasbench201_compare", "budget.trials=100")
    assert [trials_of(config, label) for label in ("random", "asha", "hyperband")] == [100, 400, 250]
    searchers = config.compare.searchers
    assert searchers["mcts_bisection"]["all_choices"]  # or it would be mcts, as a cell has no ordered choice


@pytest.mark.slow
@pytest.mark.parametrize("experiment", COMPARISONS)
def test_a_comparison_on_real_data_is_prepared(experiment, shared_data, tmp_path):
    changes = [] if "nasbench201" not in experiment else [f"evaluator.path={shared_data / TABLE}"]
    if "fashion" in experiment:  # the loader writes beside the files
        raw = tmp_path / "FashionMNIST/raw"
        raw.mkdir(parents=True)
        for file in (shared_data / "FashionMNIST/raw").glob("*.gz"):
            (raw / file.name).symlink_to(file)
        changes = [f"evaluator.root={tmp_path}"]
    prepared = prepare_comparison(composed(f"+experiment={experiment}", *changes))
    content = manifest(prepared)
    assert content["methods"] == list(prepared.plan.methods)
    if experiment == "nasbench201_compare":
        # the best cells of the benchmark (Dong and Yang 2020, table 5)
        assert content["optimum"] == pytest.approx(
            {"validation_accuracy": 91.61, "test_accuracy": 94.37}, abs=0.01
        )


@pytest.mark.parametrize("device", ["1080ti", "pixel3", "raspi4"])
def test_a_device_is_chosen_by_the_evaluator(device, shared_data):
    """The worst of the table is the reference point; the best of each quantity bounds the hypervolume."""
    changes = [f"evaluator=nasbench201_{device}", f"evaluator.path={shared_data / TABLE}"]
    content = manifest(prepare_comparison(composed("+experiment=nasbench201_pareto", *changes)))
    with gzip.open(shared_data / TABLE, "rt") as file:
        column = f"lat_ms_{device}" + "_32" * (device == "1080ti")
        latencies = [float(row[column]) for row in csv.DictReader(file)]
    assert [objective["name"] for objective in content["objectives"]] == ["validation_accuracy", "latency"]
    assert content["reference"]["latency"] == max(latencies)
    assert content["optimum"]["latency"] == min(latencies)
    box = (max(latencies) - min(latencies)) * (
        content["optimum"]["validation_accuracy"] - content["reference"]["validation_accuracy"]
    )
    assert 0.5 * box < content["optimum"]["hypervolume"] < box
