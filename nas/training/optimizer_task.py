"""Optimizer programs as candidates: each trains one small fixed network for the same number of steps.

The network, its initial weights under a seed, the batches and the learning rate are the same for every
program; the optimizer, momentum and weight decay of the settings are not used.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer

from nas.evaluation import Evaluation, Task, check_takes
from nas.layers import TrainSettings
from nas.training.data import Dataset, load
from nas.training.image_evaluator import (
    HEADS,
    OPTIMIZER_TASK,
    ImageEvaluator,
    check_task,
    optimizer_task_options,
)
from nas.training.trial import Recipe, facts_of, requested_epochs, run_trial

if TYPE_CHECKING:
    from nas.training.data import Dataset

FIXED = "optimizer_task"  # names the networks that optimizer programs train
_COMPILER = "compile_optimizer"

MakeProgrammed = Callable[[list[nn.Parameter], float], Optimizer]


class OptimizerEvaluator(ImageEvaluator):
    """Trains a small network with the programmed optimizer; validation accuracy decides.

    Args:
        dataset: images, split.
        settings: learning rate, batch size, epochs and schedule of every program.
        network: "mlp" (one hidden layer), "conv" (two convolutions) or "attention" (two transformer blocks).
        width: hidden units, channels of the first convolution, or size of a token, a multiple of 4.
        device: "auto", "cpu", "cuda" or "cuda:N", found on the worker.
        compiler: `(architecture) -> (parameters, lr) -> torch.optim.Optimizer`, its "module:function", or a
            name of `nas.callables.CALLABLES`; the optimizer reads its rate from `param_groups` at each step.
    """

    def __init__(
        self,
        dataset: Dataset,
        settings: TrainSettings,
        *,
        network: str = "mlp",
        width: int = 64,
        device: str = "auto",
        compiler: str | Callable[..., MakeProgrammed] = _COMPILER,
    ) -> None:
        check_task(network, width)
        self.network = network
        self.width = width
        identity = ("optimizer_task", network, str(width))
        super().__init__(
            OPTIMIZER_TASK, dataset, settings, device=device, compiler=compiler, identity=identity
        )
        check_takes(f"{OPTIMIZER_TASK}: compiler", self._compiler(), "f(architecture)", None)

    def check(self, task: Task) -> None:
        """Raises NasError if the task does not fit; trains nothing."""
        requested_epochs(task.fidelity, self.settings.epochs)
        self._compiler()(task.architecture)

    def __call__(self, task: Task) -> Evaluation:
        """Trains the network with the program of the task.

        Raises:
            EvaluationError: a fidelity, device or checkpoint that is not available.
        """
        epochs = requested_epochs(task.fidelity, self.settings.epochs)
        data = self._data()
        started = time.perf_counter()  # after the work that a process does once
        compile_optimizer = self._compiler()

        def build(_: int) -> nn.Module:  # weights are drawn from torch's generators, which run_trial seeds
            return NETWORKS[self.network](self.dataset.input_shape, self.dataset.classes, self.width)

        def programmed(parameters: list[nn.Parameter], settings: TrainSettings) -> Optimizer:
            return compile_optimizer(task.architecture)(parameters, settings.lr)

        facts = facts_of(self.dataset, f"{FIXED}/{self.network}", width=self.width)
        recipe = Recipe(self.settings, build, programmed, facts)
        return run_trial(task, data, recipe, epochs=epochs, started=started)


def create(**options: Any) -> OptimizerEvaluator:
    """The evaluator of these options: fields of DataOptions and TrainSettings, and its other arguments.

    Raises:
        ConfigError: an unknown option or a bad value, in one line.
        EvaluationError: data that are missing or cannot be read.
    """
    chosen = optimizer_task_options(options)
    return OptimizerEvaluator(load(chosen.data), chosen.settings, **chosen.own)


def mlp(input_shape: tuple[int, int, int], classes: int, width: int) -> nn.Module:
    """Pixels -> `width` hidden units -> classes."""
    inputs = torch.Size(input_shape).numel()
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, classes))


def conv(input_shape: tuple[int, int, int], classes: int, width: int) -> nn.Module:
    """Two 3x3 convolutions of stride 2, mean over the pixels, classes; without normalisation."""
    return nn.Sequential(
        nn.Conv2d(input_shape[0], width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(2 * width, classes),
    )


class RowTransformer(nn.Module):
    """Rows of pixels as tokens: two pre-norm transformer blocks, mean over the rows, classes.

    One learning rate does not suit all of its layers, so that plain gradient descent is worse than adaptive
    methods, on small images too.
    """

    def __init__(self, input_shape: tuple[int, int, int], classes: int, width: int) -> None:
        super().__init__()
        channels, rows, columns = input_shape
        self.embedding = nn.Linear(channels * columns, width)
        self.positions = nn.Parameter(0.02 * torch.randn(rows, width))
        blocks = [
            nn.TransformerEncoderLayer(
                width, HEADS, 2 * width, dropout=0.0, batch_first=True, norm_first=True
            )
            for _ in range(2)
        ]
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, classes))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = self.embedding(images.transpose(1, 2).flatten(2)) + self.positions
        return self.head(self.blocks(tokens).mean(1))


NETWORKS: dict[str, Callable[[tuple[int, int, int], int, int], nn.Module]] = {
    "mlp": mlp,
    "conv": conv,
    "attention": RowTransformer,
}
