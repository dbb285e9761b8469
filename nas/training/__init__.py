"""Evaluators: how good an architecture is, by training it, by looking it up, by a function of one's own."""

from __future__ import annotations

from nas.registry import Registry

EVALUATORS = Registry("evaluator")
EVALUATORS.register(
    "classification",
    "nas.training.classification:create",
    "trains the network on images: digits, Fashion-MNIST, CIFAR-10/100, an .npz file or an image folder",
    outline="nas.training.outlines:classification",
)
EVALUATORS.register(
    "table",
    "nas.training.tabular:create",
    "looks the architecture up in a CSV file, with simulated cost, e.g. NAS-Bench-201 (Dong and Yang 2020)",
    outline="nas.training.tabular:outline",
)
EVALUATORS.register(
    "function",
    "nas.training.function:create",
    "calls a Python function of the architecture, given as module:function",
    outline="nas.training.function:outline",
)
EVALUATORS.register(
    "optimizer_task",
    "nas.training.optimizer_task:create",
    "trains a small fixed network with the optimizer program (Chen et al. 2023: a proxy task)",
    outline="nas.training.outlines:optimizer_task",
)
EVALUATORS.register(
    "noise",
    "nas.training.noise:NoisyEvaluator",
    "another evaluator with Gaussian noise on its first objective (Gillard et al. 2023)",
    listed=False,
)
