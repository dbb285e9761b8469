"""Saved weights give the reported accuracy on raw pixels, and other files are refused in one line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from nas import SearchSpace, Task, op
from nas.errors import EvaluationError
from nas.evaluation import Fidelity
from nas.search_spaces import SPACES
from nas.space import sample
from nas.training import DataOptions, load, load_network
from nas.training.classification import create
from nas.training.optimizer_task import create as create_optimizer_task
from nas.training.weights import TrainedNetwork

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "weights.md"
DIGITS = {"dataset": "digits", "epochs": 1, "limit_train": 256, "batch_size": 32, "device": "cpu"}
NETWORK = op.stem(width=4) >> op.relu() >> op.head()


def documented_lines() -> str:
    """The block of the page that loads and predicts."""
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    (block,) = [block for block in blocks if "load_network(" in block]
    return block


def save(path: Path, expression: Any = NETWORK, **options: Any) -> tuple[str, dict[str, float]]:
    """Trains a network on digits and leaves it there."""
    space = SearchSpace("one", expression)
    architecture = sample(space, np.random.default_rng(0))
    evaluation = create(**{**DIGITS, **options})(Task(0, architecture, save_to=str(path)))
    assert evaluation.ok, evaluation.reason
    return str(path), dict(evaluation.values)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save(tmp_path_factory.mktemp("weights") / "0.safetensors")[0]


def rewritten(path: Path, origin: str, **changes: str | None) -> Path:
    """The file with other texts in its metadata."""
    with safe_open(origin, "pt") as file:
        head = {**file.metadata(), **{key: value for key, value in changes.items() if value is not None}}
    kept = {key: value for key, value in head.items() if changes.get(key, "") is not None}
    save_file(load_file(origin), path, kept)
    return path


def test_the_documented_lines_give_the_reported_accuracy_from_raw_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = documented_lines()
    assert len([line for line in lines.splitlines() if line.strip()]) <= 10
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "digits" / "checkpoints"
    _, values = save(folder / "final-0.safetensors", limit_train=0, epochs=5, lr=0.2)
    names: dict[str, Any] = {}
    exec(lines, names)  # noqa: S102 - the project's own page
    assert values["test_accuracy"] > 30  # not chance, so that other pixels would show
    assert names["accuracy"] == pytest.approx(values["test_accuracy"], abs=1e-9)


def test_the_head_says_what_the_weights_depend_on(saved: str) -> None:
    data = load(DataOptions(dataset="digits", limit_train=256))
    with safe_open(saved, "pt") as file:
        head = file.metadata()
    assert json.loads(head["mean"]) == list(data.mean)
    assert json.loads(head["std"]) == list(data.std)
    assert json.loads(head["input_shape"]) == [1, 8, 8]
    assert json.loads(head["num_classes"]) == 10
    assert json.loads(head["class_names"]) == list(data.class_names) == [str(digit) for digit in range(10)]
    assert head["architecture"] == "stem(width=4) >> relu() >> head()"


@pytest.mark.parametrize(
    "options",
    [
        {"drop_path": 0.2, "auxiliary": 0.4},
        {"restore_best": True, "epochs": 3},
        {"cutout": 2, "crop_padding": 1, "flip": True, "autoaugment": "cifar10", "limit_train": 64},
    ],
)
def test_what_only_training_has_leaves_the_weights_loadable(options: dict[str, Any], tmp_path: Path) -> None:
    block = op.residual(op.conv(kernel=3) >> op.batchnorm())
    network = op.stem(width=4) >> block >> op.relu() >> block >> op.head()
    path, values = save(tmp_path / "0.safetensors", network, **options)
    assert accuracy_of(load_network(path)) == pytest.approx(values["test_accuracy"], abs=1e-9)


def accuracy_of(network: TrainedNetwork) -> float:
    data = load(DataOptions(dataset="digits"))
    return 100 * float((network.predict(data.images[data.test]) == data.labels[data.test]).mean())


@pytest.mark.parametrize("network", ["mlp", "conv", "attention"])
def test_networks_of_optimizer_programs(network: str, tmp_path: Path) -> None:
    space = SPACES.get("update_rule")()
    evaluator = create_optimizer_task(**DIGITS, network=network, width=8)
    tasks = (
        Task(seed, sample(space, np.random.default_rng(seed)), save_to=str(tmp_path / f"{seed}.safetensors"))
        for seed in range(20)
    )
    evaluation = next(evaluation for evaluation in map(evaluator, tasks) if evaluation.ok)
    loaded = load_network(str(evaluation.checkpoint))
    assert accuracy_of(loaded) == pytest.approx(evaluation.values["test_accuracy"], abs=1e-9)


def test_weights_of_before_name_their_builder_by_its_place(tmp_path: Path, saved: str) -> None:
    before = rewritten(tmp_path / "0.safetensors", saved, built_by="nas.compile:compile_network")
    assert load_network(before).metadata["built_by"] != load_network(saved).metadata["built_by"]


def test_a_compiler_of_ones_own_is_asked_for_and_never_imported(tmp_path: Path) -> None:
    from nas.search_spaces.activated_network import compile_network

    space = SPACES.get("activation")()
    path = tmp_path / "0.safetensors"
    evaluator = create(**DIGITS, compiler="compile_activated_network")
    evaluation = evaluator(Task(0, sample(space, np.random.default_rng(0)), save_to=str(path)))
    assert evaluation.ok, evaluation.reason
    with pytest.raises(
        EvaluationError, match=r"expected compiler=\.\.\., as its network was built by compile_act"
    ):
        load_network(path)
    loaded = load_network(path, space=space, compiler=compile_network)
    assert accuracy_of(loaded) == pytest.approx(evaluation.values["test_accuracy"], abs=1e-9)


def test_names_in_a_file_are_not_imported(
    tmp_path: Path, saved: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "harmful_weights.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    for changes in (
        {"built_by": "harmful_weights:f"},
        {"architecture": "harmful_weights()"},
        {"space": "harmful_weights:space", "built_by": "harmful_weights"},
    ):
        with pytest.raises(EvaluationError):
            load_network(rewritten(tmp_path / "0.safetensors", saved, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": None}, r"expected mean in its metadata, got none; train the network again"),
        ({"mean": "[1, 2]"}, "expected input_shape, class_names, pixel_range, mean and std of one image"),
        ({"mean": "[NaN]"}, "expected input_shape"),
        ({"std": "[0.0]"}, "expected input_shape"),
        ({"input_shape": "[1, 8]"}, "expected input_shape"),
        ({"input_shape": "{"}, "expected JSON in its metadata"),
        ({"input_shape": "[" * 100_000}, "expected JSON in its metadata"),
        ({"class_names": "[]"}, "expected input_shape"),
        ({"options": "[]"}, "expected input_shape"),
        ({"pixel_range": "[1, 1]"}, "expected input_shape"),
        ({"pixel_range": '[0, "x"]'}, "expected input_shape"),
        ({"architecture": "stem(width="}, "expected an architecture in its metadata"),
        ({"architecture": "stem(width=8) >> head()"}, r"expected .* of shape \(8, 1, 3, 3\) for its archit"),
        ({"architecture": "stem(width=1000000000) >> head()"}, r"expected .* of shape \(1000000000, "),
        ({"architecture": "stem(width=4) >> no_such_word() >> head()"}, "no_such_word"),
        ({"class_names": '["a", "b"]'}, r"of shape \(2, 4\) for its architecture, got \(10, 4\)"),
        (
            {"built_by": "optimizer_task/os", "options": '{"width": 3}'},
            "expected a network among",
        ),
        ({"built_by": "optimizer_task/mlp"}, "and its width, got mlp, None"),
        ({"built_by": "nas.training.optimizer_task:mlp"}, "and its width, got mlp, None"),
    ],
)
def test_heads_that_do_not_fit_are_refused(
    changes: dict[str, str | None], message: str, saved: str, tmp_path: Path
) -> None:
    file = rewritten(tmp_path / "0.safetensors", saved, **changes)
    with pytest.raises(EvaluationError, match=message) as raised:
        load_network(file)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "expected a .safetensors file, got none"),
        (b"", "cannot be read"),
        (b"\x00" * 100, "cannot be read"),
        (b"\xff" * 8, "cannot be read"),
    ],
)
def test_files_that_are_none_are_refused(content: bytes | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "0.safetensors"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(EvaluationError, match=message):
        load_network(file)


def test_values_of_another_range_are_scaled_as_the_training_images_were(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 65_536, (80, 8, 8), dtype=np.uint16)
    raw[::2] //= 2  # two classes, which only scaled values tell apart
    labels = np.tile([0, 1], 40)
    np.savez(tmp_path / "deep.npz", images=raw, labels=labels)
    options = {
        "dataset": "npz",
        "root": str(tmp_path / "deep.npz"),
        "epochs": 20,
        "limit_train": 0,
        "lr": 0.1,
    }
    with pytest.warns(UserWarning, match=r"scaled from 0\.\.65535 to 0\.\.255"):
        path, values = save(tmp_path / "0.safetensors", **options)
    network = load_network(path)
    assert network.pixel_range == (0.0, 65535.0)
    with pytest.warns(UserWarning, match="scaled"):
        data = load(DataOptions(dataset="npz", root=options["root"]))
    scaled = network.pixels(raw[:, None])
    assert (scaled == data.images).all()
    found = network.predict(scaled[data.test]) == labels[data.test]
    assert 100 * found.mean() == pytest.approx(values["test_accuracy"])
    with pytest.raises(EvaluationError, match=r"values from 0 to 65535, .* got 0 to 70000; scale them"):
        network.pixels(np.array([0, 70_000]))
    with pytest.raises(EvaluationError, match="an array of numbers, got <U1"):
        network.pixels(np.array(["x"]))
    with pytest.raises(EvaluationError, match=r"an array of numbers, got float64 of shape \(\)"):
        network.pixels(np.float64(1))  # type: ignore[arg-type]
    assert network.pixels(raw[:0]).shape == (0, 8, 8)
    with pytest.raises(EvaluationError, match=r"nor normalised, or convert the files. values with `pixels`"):
        network.predict(raw[:, None])


def test_pixels_of_images_of_two_values_are_asked_for(saved: str) -> None:
    network = load_network(saved)
    network.pixel_range = (0.0, 1.0)
    drawn = IMAGES > 8
    with pytest.raises(EvaluationError, match=r"got values from 0 to 1; .* with `pixels` of the network"):
        network.predict(drawn)
    assert network.predict(network.pixels(drawn)).shape == (4,)
    assert network.predict(np.zeros_like(IMAGES)).shape == (4,)  # black is black in both
    with pytest.raises(EvaluationError, match=r"expected real numbers, got torch\.complex64"):
        network.predict(IMAGES.astype(np.complex64))


IMAGES = load(DataOptions(dataset="digits")).images[:4]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x / 255, "with a mean of about 4.85, got values from 0 to 0.0627; give pixels as"),
        (lambda x: x.astype(np.uint16) * 257, "expected raw pixels from 0 to 255 .*, got values from 0 to "),
        (lambda x: x.astype(object), "expected an array of pixels, got TypeError"),
        (lambda x: x.astype(str), "expected an array of pixels, got TypeError"),
        (lambda x: x.astype(np.int64) - 9, "expected raw pixels from 0 to 255 .*, got values from -9 to "),
        (lambda x: x / 16, "expected raw pixels"),
        (lambda x: (x - 4.9) / 6.0, "expected raw pixels"),
        (lambda x: x * np.nan, "not finite"),
        (lambda x: x[0], r"expected images of shape \(N, 1, 8, 8\), got \(1, 8, 8\)"),
        (lambda x: x.transpose(0, 2, 3, 1), r"got \(4, 8, 8, 1\)"),
        (lambda x: x[:, :, :7], r"got \(4, 1, 7, 8\)"),
    ],
)
def test_other_pixels_are_refused(
    change: Callable[[np.ndarray], np.ndarray], message: str, saved: str
) -> None:
    with pytest.raises(EvaluationError, match=message):
        load_network(saved).predict(change(IMAGES))


def test_raw_pixels_of_any_type_are_one(saved: str) -> None:
    network = load_network(saved).train()
    wanted = network.predict(IMAGES)
    for kind in (np.float32, np.float64, np.int64, np.uint8):
        assert (network.predict(IMAGES.astype(kind)) == wanted).all()
    assert (network.predict(torch.from_numpy(IMAGES.copy())) == wanted).all()
    assert network.predict(IMAGES[:0]).shape == (0,)
    assert network.training


def test_a_training_is_not_continued_on_other_images(tmp_path: Path) -> None:
    architecture = sample(SearchSpace("one", NETWORK), np.random.default_rng(0))
    options = {**DIGITS, "epochs": 2}
    first = create(**options)(
        Task(0, architecture, fidelity=Fidelity("epochs", 1), save_to=str(tmp_path / "a"))
    )
    with pytest.raises(EvaluationError, match=r"expected mean = .*; continue a training on the images"):
        create(**{**options, "limit_train": 200})(Task(1, architecture, checkpoint=first.checkpoint))
