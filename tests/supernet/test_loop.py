"""The training loop: continuation, separate halves, what it leaves alone, and how it ends."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from nas.errors import EvaluationError
from nas.evaluation import Status, Task
from nas.space import sample
from nas.supernet import OneShotSettings, SupernetTraining
from nas.supernet import training as rows
from nas.supernet.state import load, save
from nas.supernet.training import start, train
from nas.training import DataOptions, Stopped
from nas.training.device import Split
from tests.study.study_kit import FakeEvaluator
from tests.supernet.kit import CHOICES, GATES, images, small, without_time

VARIANTS = [
    {},
    {"order": 2},
    {"weighting": "max_w", "cutout": 2, "schedule": "cosine_power"},
    {"weighting": "gumbel", "drop_path": 0.3},
    {"weighting": "uniform"},
    {"weighting": "edge_softmax", "eigenvalue": True, "alpha_from": 1, "partial": 2},
]


def values(state):
    return [*state.supernet.state_dict().values(), *state.alphas.state_dict().values()]


def equal(one, other):
    return all(torch.equal(a, b) for a, b in zip(values(one), values(other), strict=True))


def searched(settings, space=GATES, data=None, seed=1, **options):
    data = data or images()
    state = start(space, data, settings, seed)
    train(state, data, settings, **options)
    return state


@pytest.mark.parametrize(
    "options", VARIANTS, ids=lambda options: "-".join(map(str, options.values())) or "plain"
)
def test_a_continued_search_equals_one_that_never_stopped(options, tmp_path):
    settings, data = small(**options), images()
    whole = searched(settings, data=data)
    first = searched(settings, data=data, epochs=2)
    assert first.epoch == 2
    assert not equal(first, whole)
    save(tmp_path / "search", first, settings)
    second = start(GATES, data, settings, 1)
    load(tmp_path / "search", second, settings)
    assert equal(second, first)
    torch.rand(3)  # what global generators did meanwhile does not matter
    train(second, data, settings)
    assert equal(second, whole)
    assert without_time(second.curve) == without_time(whole.curve)
    assert second.curve[-1]["seconds"] > second.curve[1]["seconds"]


def test_another_seed_is_another_search():
    settings = small(epochs=1)
    assert not equal(searched(settings, seed=1), searched(settings, seed=2))


def test_initial_values_follow_the_seed():
    settings, data = small(alpha_init=0.5), images()
    one, same, other = (start(GATES, data, settings, seed) for seed in (1, 1, 2))
    assert equal(one, same)
    for part in ("supernet", "alphas"):
        pairs = zip(getattr(one, part).parameters(), getattr(other, part).parameters(), strict=True)
        assert not all(torch.equal(a, b) for a, b in pairs)


def test_every_epoch_draws_anew():
    """Images and options, in the weight steps; two more passes of each epoch measure."""
    data, settings = images(), small(epochs=2, weighting="uniform", limit_steps=2)
    state = start(GATES, data, settings, 1)
    seen = []

    def watch(module, inputs):
        seen.append((inputs[0].clone(), [weight.active for weight in inputs[1]]))

    state.supernet.register_forward_pre_hook(watch)
    train(state, data, settings)
    assert len(seen) == 8
    assert not torch.equal(seen[0][0], seen[4][0])
    assert [options for _, options in seen[:2]] != [options for _, options in seen[4:6]]


def test_a_row_says_how_the_epoch_went():
    state = searched(small(eigenvalue=True, epochs=2))
    names = ["epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "entropy"]
    assert list(state.curve[0]) == [*names, "skips", "eigenvalue", "seconds"]
    assert [row["epoch"] for row in state.curve] == [1, 2]
    assert "skips" not in searched(small(epochs=1, weighting="uniform")).curve[0]


def test_a_search_learns():
    state = searched(small(epochs=12, batch_size=6, lr=0.1, alpha_lr=0.05), CHOICES)
    first, last = state.curve[0], state.curve[-1]
    assert last["train_loss"] < 0.5 * first["train_loss"]
    assert last["validation_accuracy"] > 80
    assert last["entropy"] < first["entropy"]


def test_weights_alone_are_trained_before_alpha_from_and_under_uniform_sampling():
    for options in ({"alpha_from": 2}, {"weighting": "uniform"}):
        settings = small(**options)
        fresh = start(GATES, images(), settings, 1)
        state = searched(settings, epochs=2)
        pairs = zip(state.alphas.parameters(), fresh.alphas.parameters(), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)
    state = searched(small(alpha_from=2), epochs=3)
    pairs = zip(state.alphas.parameters(), fresh.alphas.parameters(), strict=True)
    assert not any(torch.equal(one, other) for one, other in pairs)


def test_the_training_images_are_split_once_by_seed():
    data = images(50)
    settings = small(train_fraction=0.7)
    one, same, other = (start(GATES, data, settings, seed).halves for seed in (1, 1, 2))
    assert [len(half) for half in one] == [35, 15]
    assert sorted(torch.cat(one).tolist()) == list(range(50))
    assert torch.equal(one[0], same[0])
    assert not torch.equal(one[0], other[0])


def test_alphas_see_their_half_only_and_weights_theirs():
    """Labels of one half are changed: only the step that reads it goes elsewhere."""
    settings, data = small(epochs=1, limit_steps=1, alpha_init=0.5), images()
    plain = searched(settings, data=data)
    for number, half in enumerate(plain.halves):
        labels = data.train.labels.clone()
        labels[half] = (labels[half] + 1) % 3
        state = searched(settings, data=replace(data, train=Split(data.train.images, labels)))
        alphas_moved = not torch.equal(*(each.alphas.options.matrices[0] for each in (plain, state)))
        assert alphas_moved == (number == 1)
    assert not equal(plain, state)


def test_validation_and_test_images_are_not_touched():
    data, settings = images(), small(epochs=2)
    other = images(seed=9).train
    assert equal(
        searched(settings, data=data), searched(settings, data=replace(data, validation=other, test=other))
    )


def test_global_random_state_is_left_as_it_was():
    before = torch.random.get_rng_state()
    searched(small(epochs=1, drop_path=0.2))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_measuring_leaves_running_statistics_alone():
    settings, data = small(epochs=1), images()
    state = searched(settings, data=data)
    before = [value.clone() for value in values(state)]
    rows.curve_row(state, data, settings, [0.0, 0.0])
    assert all(torch.equal(one, other) for one, other in zip(values(state), before, strict=True))
    assert state.supernet.training


def test_limited_steps_are_taken_from_the_front():
    data = images(64)
    seen = []
    settings = small(epochs=1, limit_steps=2)
    state = start(GATES, data, settings, 1)
    state.supernet.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    train(state, data, settings)
    assert seen == [8] * (2 * 2 + 2)  # an alpha step and a weight step each, and two batches to measure


def test_small_halves_make_small_batches():
    state = searched(small(epochs=1, batch_size=64), data=images(9))
    assert state.epoch == 1


def test_the_deadline_ends_it():
    with pytest.raises(Stopped, match="time limit in epoch 1") as caught:
        searched(small(), deadline=time.perf_counter())
    assert caught.value.status is Status.TIMEOUT


def test_a_loss_that_is_not_finite_ends_it():
    with pytest.raises(Stopped, match="training loss not finite in epoch 1") as caught:
        searched(small(lr=1e30, grad_clip=0.0))
    assert caught.value.status is Status.DIVERGED


def test_a_validation_loss_that_is_not_finite_ends_it(monkeypatch):
    monkeypatch.setattr(rows, "measure_supernet", lambda *_: (0.0, float("nan")))
    with pytest.raises(Stopped, match="validation loss not finite in epoch 1"):
        searched(small())


# early stops


def test_too_many_skips_stop_a_search(monkeypatch):
    monkeypatch.setattr(rows, "most_skips", lambda state: 3)
    state = searched(small(epochs=10, skip_stop=2))
    assert state.epoch == 4, "the third epoch from a fifth of all on"
    assert state.stopped == "epoch 4: a cell has 3 skips, more than skip_stop = 2"
    train(state, images(), small(epochs=10, skip_stop=2))
    assert state.epoch == 4


def test_eigenvalues_before_alphas_are_trained_stop_nothing(monkeypatch):
    monkeypatch.setattr(rows, "eigenvalue", lambda state, *_: 1.5 ** min(state.epoch, 11))
    settings = small(epochs=24, eigenvalue=True, limit_steps=1, alpha_from=6)
    state = searched(settings)
    # the first ten epochs with alphas are 7 to 16, their means 1.5^7 .. 1.5^11 against 1.5^11
    assert (state.epoch, state.stopped[:8]) == (16, "epoch 16")
    flat = searched(small(epochs=12, eigenvalue=True, limit_steps=1, alpha_from=11))
    assert (flat.epoch, flat.stopped) == (12, None)


def test_a_growing_eigenvalue_goes_back_five_epochs(monkeypatch, tmp_path):
    monkeypatch.setattr(rows, "eigenvalue", lambda state, *_: 1.0 if state.epoch <= 6 else 1.5)
    settings = small(epochs=14, eigenvalue=True, limit_steps=1, alpha_lr=0.1)
    # of the last five epochs against the five before: at 10 it is 1.4 to 1, at 11 it would be 1.5 to 1
    state = searched(settings)
    assert state.epoch == 10
    assert state.stopped.startswith("epoch 10: the dominant eigenvalue grew from 1 to 1.4 within 5 epochs")
    then = searched(settings, epochs=5)
    save(tmp_path / "search", searched(settings, epochs=8), settings)
    again = start(GATES, images(), settings, 1)
    load(tmp_path / "search", again, settings)
    train(again, images(), settings)
    assert again.stopped == state.stopped
    alphas = (each.alphas.parameters() for each in (state, then, again))
    assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(*alphas, strict=True))


def test_settings_that_blank_out_images_are_refused_before_work():
    task = Task(0, sample(CHOICES, np.random.default_rng(0)))
    work = SupernetTraining(CHOICES, OneShotSettings(epochs=1, crop_padding=8), 0, 1, 0, DataOptions())
    with pytest.raises(
        EvaluationError, match='"crop_padding": expected less than the 8 pixels of the images, got 8'
    ):
        work(task, FakeEvaluator())
