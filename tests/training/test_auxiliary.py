from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from nas.errors import CompileError
from nas.language import parse
from nas.layers import TrainSettings, compile_network
from nas.layers.compile import parameters
from nas.search_spaces.darts import DARTS_V1, DARTS_V2, from_genotype
from nas.search_spaces.darts import space as darts
from nas.training import Dataset, DeviceData, forked_seed, measure, resident
from nas.training.train import Training, attach, find_place, head, standard_optimizer, start, train

CPU = torch.device("cpu")
BLOCK = "conv(kernel=3, width=4) >> batchnorm() >> relu()"


@pytest.fixture
def data(stripes: Dataset) -> DeviceData:
    return resident(stripes, stripes.digest(), CPU)


def compiled(text: str) -> nn.Module:
    return compile_network(parse(text), (2, 4, 4), 3, seed=1)


def place_of(network: nn.Module, *shape: int) -> tuple[str, tuple[int, ...]]:
    place, out_shape, _ = find_place(network, torch.zeros(1, *shape))
    return next(name for name, module in network.named_modules() if module is place), out_shape


@pytest.mark.parametrize(
    ("layers", "cell"),
    [(20, 13), (8, 5), (3, 2)],  # cell 2 n // 3, the second reduction
)
def test_in_darts_it_stands_behind_the_second_reduction(layers: int, cell: int) -> None:
    network = compile_network(from_genotype(darts(4, layers), DARTS_V2), (3, 32, 32), 10)
    name, shape = place_of(network, 3, 32, 32)
    assert name == f"chain_0.parts.reduction_{cell}"
    assert shape == (4 * 4 * 4, 8, 8)


@pytest.mark.parametrize(
    ("blocks", "place"),
    [(1, "relu_3"), (2, "relu_6"), (3, "relu_9"), (4, "relu_9"), (6, "relu_15")],  # block 2 n // 3
)
def test_elsewhere_it_stands_behind_the_same_share_of_blocks(blocks: int, place: str) -> None:
    text = " >> ".join(["stem(width=4)", *[BLOCK] * blocks, "head()"])
    assert place_of(compiled(text), 2, 4, 4) == (place, (4, 4, 4))


def test_it_does_not_move_on_to_a_smaller_map() -> None:
    text = f"stem(width=4) >> {BLOCK} >> maxpool() >> head()"
    assert place_of(compiled(text), 2, 4, 4) == ("relu_3", (4, 4, 4))


@pytest.mark.parametrize(
    "text", ["stem(width=4) >> head()", "flatten() >> linear(width=8) >> relu() >> linear(width=3)"]
)
def test_a_network_without_a_place_is_refused_in_one_line(text: str, data: DeviceData) -> None:
    with pytest.raises(
        CompileError, match=r"^auxiliary: expected a sequence of blocks .* set auxiliary to 0$"
    ):
        start(compiled(text), data, TrainSettings(auxiliary=0.4), 0, standard_optimizer)


def test_the_classifier_for_maps_of_8x8_is_that_of_darts() -> None:
    network = head((64, 8, 8), 10)
    # 1x1 and 2x2 convolutions without bias, two normalisations, one linear layer
    assert sum(p.numel() for p in network.parameters()) == 64 * 128 + 256 + 128 * 768 * 4 + 1536 + 7690
    window = network[1](torch.arange(64.0).reshape(1, 1, 8, 8))  # type: ignore[index]
    rows = torch.arange(64.0).reshape(8, 8)
    assert window.flatten().tolist() == [
        rows[a : a + 5, b : b + 5].mean().item() for a in (0, 3) for b in (0, 3)
    ]


@pytest.mark.parametrize("sides", [(1, 1), (2, 2), (1, 4), (3, 5), (8, 8), (14, 14)])
def test_the_classifier_takes_maps_of_any_size(sides: tuple[int, int]) -> None:
    assert head((4, *sides), 7).eval()(torch.zeros(2, 4, *sides)).shape == (2, 7)


@pytest.mark.parametrize(("genotype", "count"), [(DARTS_V1, 3_169_414), (DARTS_V2, 3_349_342)])
def test_it_is_not_counted(genotype: str, count: int) -> None:
    architecture = from_genotype(darts(), genotype)
    assert parameters(architecture, (3, 32, 32), 10) == count
    network = compile_network(architecture, (3, 32, 32), 10)
    attach(network, torch.zeros(1, 3, 32, 32))
    assert sum(p.numel() for p in network.parameters()) == count


TEXT = f"stem(width=4) >> {BLOCK} >> head()"


def begin(data: DeviceData, settings: TrainSettings) -> Training:
    with forked_seed(3, CPU):
        return start(compiled(TEXT), data, settings, 0, standard_optimizer)


def test_its_weighted_loss_is_added_while_training_only(data: DeviceData) -> None:
    """One step of a full batch: the loss of the curve is the sum, worked out from the initial weights."""
    settings = TrainSettings(auxiliary=0.4, epochs=1, batch_size=10**6, label_smoothing=0.1)
    training, twin = begin(data, settings), begin(data, settings)
    with forked_seed(0, CPU):
        train(training, data, settings, epochs=1)
    with torch.no_grad():
        logits = twin.network.train()(data.normalized(data.train.images))
        assert twin.auxiliary is not None
        losses = [
            cross_entropy(scores, data.train.labels, label_smoothing=0.1).item()
            for scores in (logits, twin.auxiliary.scores())
        ]
    assert training.curve[0]["train_loss"] == pytest.approx(losses[0] + 0.4 * losses[1], rel=1e-5)
    accuracy, loss = measure(training.network, data, data.validation)
    assert (training.curve[0]["validation_accuracy"], training.curve[0]["validation_loss"]) == (
        accuracy,
        loss,
    )
    split = data.validation
    with torch.inference_mode():
        alone = cross_entropy(training.network.eval()(data.normalized(split.images)), split.labels).item()
    assert loss == pytest.approx(alone, rel=1e-5)


def test_it_is_trained_and_its_gradient_reaches_the_network(data: DeviceData) -> None:
    settings = TrainSettings(auxiliary=0.4, epochs=1, batch_size=16)
    training, before = begin(data, settings), begin(data, settings)
    plain = TrainSettings(epochs=1, batch_size=16)
    without = begin(data, plain)
    for each, its_settings in ((training, settings), (without, plain)):
        with forked_seed(0, CPU):
            train(each, data, its_settings, epochs=1)
    assert training.auxiliary is not None
    assert before.auxiliary is not None
    pairs = zip(training.auxiliary.head.parameters(), before.auxiliary.head.parameters(), strict=True)
    assert all(not torch.equal(a, b) for a, b in pairs)
    first = [next(iter(each.network.parameters())) for each in (training, without)]
    assert not torch.equal(*first)


def test_clipping_bounds_the_gradient_of_network_and_head_together(data: DeviceData) -> None:
    settings = TrainSettings(
        auxiliary=0.4, epochs=1, batch_size=10**6, lr=1.0, momentum=0.0, weight_decay=0.0, grad_clip=0.01
    )
    training, before = begin(data, settings), begin(data, settings)
    with forked_seed(0, CPU):
        train(training, data, settings, epochs=1)
    assert training.auxiliary is not None
    assert before.auxiliary is not None
    after = [*training.network.parameters(), *training.auxiliary.head.parameters()]
    first = [*before.network.parameters(), *before.auxiliary.head.parameters()]
    moved = math.sqrt(sum(((a - b) ** 2).sum().item() for a, b in zip(after, first, strict=True)))
    assert moved == pytest.approx(0.01, rel=1e-3)  # one step at a rate of 1
