"""The Fashion-MNIST experiment on its real files, with few images and small networks."""

from __future__ import annotations

import numpy as np
import pytest

from tests.end_to_end.kit import command, events, files, outcomes

pytestmark = pytest.mark.slow

REDUCED = (
    "+experiment=fashion_mnist evaluator.limit_train=2000 evaluator.validation_fraction=0.01 executor=inline "
    "budget.trials=2 baseline.samples=1 final.seeds=1 search.fidelity=1 evaluator.epochs=2 "
    "space.width=4 space.depth=1 run.dir=run"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory, shared_data):
    """The folder of a finished run; the folder of the data is left as it was."""
    folder = tmp_path_factory.mktemp("fashion")
    before = files(shared_data)
    result = command(f"{REDUCED} evaluator.root={shared_data}", folder)
    assert result.status == 0, result.err
    assert files(shared_data) == before
    return folder / "run"


def test_the_images_are_the_official_ones(run):
    evaluator = events(run)[0]["evaluator"]
    assert evaluator["input_shape"] == [1, 28, 28]
    assert evaluator["num_classes"] == 10


def test_every_trial_is_trained_and_the_final_ones_learn(run):
    found = outcomes(run)
    assert sorted(found) == [0, 1, 10_000_000, 20_000_000]
    assert {status for _, status, _ in found.values()} == {"completed"}
    for trial in (10_000_000, 20_000_000):
        _, _, values = found[trial]
        correct = values["test_accuracy"] * 100  # of 10,000 official test images
        assert abs(correct - round(correct)) < 1e-6
        assert values["test_accuracy"] > 15.0  # chance is 10


def test_the_search_sees_the_first_epoch_of_the_full_training(run):
    evaluations = {entry["trial"]: entry for entry in events(run) if entry["event"] == "evaluated"}
    epochs = {trial: len(entry["evaluation"]["curve"]) for trial, entry in evaluations.items()}
    assert epochs == {0: 1, 1: 1, 10_000_000: 2, 20_000_000: 2}
    for row in (row for entry in evaluations.values() for row in entry["evaluation"]["curve"]):
        assert np.isfinite(row["train_loss"])


def test_the_chosen_network_is_reported(run):
    table = (run / "results.md").read_text()
    assert "random sampling" in table
    assert "test_accuracy (%)" in table
    assert (run / "checkpoints" / "final-0.safetensors").stat().st_size > 0
