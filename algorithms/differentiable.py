"""DARTS: architecture weights learnt by gradient on one supernet, in turns with its weights.

Liu, Simonyan and Yang 2019, "DARTS: Differentiable Architecture Search" (https://arxiv.org/abs/1806.09055),
on any space that has a supernet. The defaults are those published for CIFAR-10; `order: 2` takes the gradient
through one step of the weights. Differs from the paper:
- the choice has at most two skip connections in a cell (`skip_limit`, after P-DARTS, Chen et al. 2019), as
  first-order search tends to end in nothing else; `skip_limit: null` lifts that. The early stop at too many
  of them (`skip_stop`, after DARTS+, Liang et al. 2019) is off: in searches of few steps it came before the
  order of the other options meant anything (docs/one_shot.md has the figures);
- the choice of each of `searches` runs is trained fully as a candidate, where the paper trains those of four
  runs for 100 epochs to select one;
- the halves of the images are split by the seed of the search, and incomplete batches are left out.
"""

from __future__ import annotations

from algorithms.shared.supernet_search import SupernetSearch


class Darts(SupernetSearch):
    """Softmax over the options of each hole.

    Options: those of `SupernetSearch` and `OneShotSettings`.
    """

    name = "darts"


class PartiallyConnectedDarts(SupernetSearch):
    """Softmax over options and over edges, a quarter of the channels.

    Options: those of `SupernetSearch` and `OneShotSettings`.
    """

    name = "pc_darts"
    defaults = {  # noqa: RUF012 - never changed
        "weighting": "edge_softmax",
        "partial": 4,
        "batch_size": 256,
        "lr": 0.1,
        "lr_min": 0.0,
        "alpha_lr": 0.0006,
        "alpha_from": 15,
    }


class Gdas(SupernetSearch):
    """One sampled option in each hole, by the Gumbel-max trick.

    Options: those of `SupernetSearch` and `OneShotSettings`.
    """

    name = "gdas"
    defaults = {  # noqa: RUF012 - never changed
        "weighting": "gumbel",
        "epochs": 250,
    }


class SharpDarts(SupernetSearch):
    """Max-W over the options of each hole, cosine power annealing.

    Options: those of `SupernetSearch` and `OneShotSettings`.
    """

    name = "sharp_darts"
    defaults = {  # noqa: RUF012 - never changed
        "weighting": "max_w",
        "schedule": "cosine_power",
        "power": 2.0,
        "warmup_epochs": 5,
        "lr_min": 0.0001,
        "epochs": 120,
    }


class HyperCuboid(SupernetSearch):
    """Max-W over slabs, cosine power annealing, longest path.

    Options: those of `SupernetSearch` and `OneShotSettings`.
    """

    name = "hypercuboid"
    defaults = {  # noqa: RUF012 - never changed
        "grid": True,
        "weighting": "max_w",
        "selection": "longest_path",
        "skip_light": True,
        "skip_limit": None,
        "schedule": "cosine_power",
        "power": 2.0,
        "warmup_epochs": 5,
        "lr_min": 0.0001,
        "epochs": 120,
    }
