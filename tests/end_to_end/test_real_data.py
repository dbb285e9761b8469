"""The experiments on their real data, with less of it."""

from __future__ import annotations

import pytest

from tests.end_to_end.kit import command, events, outcomes

LITTLE = (
    "executor=inline budget.trials=2 baseline.samples=1 final.seeds=1 run.dir=run evaluator.epochs=1 "
    "space.width=8 space.depth=1"
)


def accuracies(folder) -> list[float]:
    found = outcomes(folder / "run").values()
    assert {status for _, status, _ in found} == {"completed"}
    return [values["test_accuracy"] for _, _, values in found]


@pytest.mark.slow
def test_original_cifar10_images(tmp_path, shared_data):
    path = shared_data / "cifar10_4000.npz"
    line = f"name=cifar evaluator=npz evaluator.root={path} evaluator.epochs=2 {LITTLE}"
    result = command(
        line.replace("evaluator.epochs=1", "evaluator.batch_size=32 evaluator.limit_train=1000"), tmp_path
    )
    assert result.status == 0, result.err
    assert events(tmp_path / "run")[0]["evaluator"]["input_shape"] == [3, 32, 32]
    assert max(accuracies(tmp_path)) > 15


@pytest.mark.slow
def test_nasbench201_as_it_stands(tmp_path, shared_data):
    path = shared_data / "nasbench201_cifar10.csv.gz"
    result = command(f"+experiment=nasbench201 evaluator.path={path} run.dir=run", tmp_path)
    assert result.status == 0, result.err
    assert len(events(tmp_path / "run")) > 1000
    final = outcomes(tmp_path / "run")[20_000_000]
    assert 93 < final[2]["test_accuracy"] < 94.38  # the best of all cells has 94.37
    assert "surrogate" in result.out


@pytest.mark.slow
def test_optimizer_programs_on_their_task(tmp_path):
    line = "+experiment=update_rule executor=inline budget.trials=20 baseline.samples=4 final.seeds=2"
    result = command(f"{line} run.dir=run", tmp_path)
    assert result.status == 0, result.err
    reasons = {
        entry["evaluation"]["reason"]
        for entry in events(tmp_path / "run")
        if entry["event"] == "evaluated" and entry["evaluation"]["status"] != "completed"
    }
    assert all(reason and "\n" not in reason for reason in reasons)  # programs that diverge say so


@pytest.mark.slow
def test_known_programs_stand_in_their_order_on_that_task():
    from hydra import compose, initialize_config_module

    import nas.run.command  # noqa: F401 - the schema
    from nas.evaluation import Task
    from nas.search_spaces.update_rule import KNOWN, space
    from nas.training.optimizer_task import create

    with initialize_config_module("nas.experiments", version_base="1.3"):
        section = dict(compose("config", ["+experiment=update_rule"]).evaluator)
    evaluator = create(**{key: value for key, value in section.items() if key != "name"})
    programs = space(functions="paper")

    def accuracy(name: str) -> float:
        scores = [
            evaluator(Task(0, programs.parse(KNOWN[name]), seed=seed)).values["validation_accuracy"]
            for seed in range(3)
        ]
        return sum(scores) / len(scores)

    assert accuracy("adam") > 85
    assert accuracy("lion") > 80
    assert accuracy("sgd_momentum") < 70  # at this learning rate
    assert accuracy("sgd") < 30
