"""Differentiable architecture search: weights of options learnt by gradient on one supernet.

All methods here alternate steps of the architecture weights and of the supernet's own weights, on any space
that has a supernet, and differ in how architecture weights become weights of options and in their published
settings. Each class names its paper and what differs from it; all of them differ in these:

- the choice has at most two skip connections in a cell (`skip_limit`, after P-DARTS, Chen et al. 2019), as
  first-order search tends to end in skips alone; `skip_limit: null` lifts that. The early stop at too many
  of them (`skip_stop`, after DARTS+, Liang et al. 2019) is off: in searches of few steps it stopped before
  the order of the other options was meaningful (docs/one_shot.md has the figures);
- the choice of each of `searches` runs is trained fully as a candidate, where the papers train those of
  several runs briefly to select one;
- the halves of the images are split by the seed of the search, and incomplete batches are left out.

Options are those of `SupernetSearch` and of `OneShotSettings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from nas.algorithms.shared.supernet_search import SupernetSearch


class Darts(SupernetSearch):
    """DARTS: softmax over the options of each hole.

    Liu, Simonyan and Yang 2019, "DARTS: Differentiable Architecture Search"
    (https://arxiv.org/abs/1806.09055). The defaults are those published for CIFAR-10; `order: 2` takes the
    gradient through one step of the weights. The paper trains the choices of four runs for 100 epochs to
    select one.
    """

    name = "darts"


class PartiallyConnectedDarts(SupernetSearch):
    """PC-DARTS: DARTS on a part of the channels, with a second softmax over the edges of a node.

    Xu, Xie, Zhang, Chen, Qi, Tian and Xiong 2020, "PC-DARTS: Partial Channel Connections for
    Memory-Efficient Architecture Search" (https://arxiv.org/abs/1907.05737). The defaults are those
    published for CIFAR-10: a quarter of the channels, batches of 256, alphas from epoch 15. Differs from the
    paper: only nodes that choose their inputs (gated nodes) have edge weights; where a space gives every
    node all of its inputs, as NAS-Bench-201 does, there is nothing to choose, and only the softmax over
    options is left.
    """

    name = "pc_darts"
    defaults: Mapping[str, Any] = MappingProxyType(
        {
            "weighting": "edge_softmax",
            "partial": 4,
            "batch_size": 256,
            "lr": 0.1,
            "lr_min": 0.0,
            "alpha_lr": 0.0006,
            "alpha_from": 15,
        }
    )


class Gdas(SupernetSearch):
    """GDAS: one sampled path of the supernet at a time, with gradients by the Gumbel-max trick.

    Dong and Yang 2019, "Searching for a Robust Neural Architecture in Four GPU Hours"
    (https://arxiv.org/abs/1910.04465). The defaults are the published ones: 250 epochs, temperature from 10
    to 0.1, linearly. Differs from the paper and its code:

    - the reduction cell is searched as well (the paper's GDAS-FRC fixes it);
    - an option that was not drawn gets no gradient, where the code adds its hard weight, a zero, to the sum;
    - every pass draws anew; a draw of no operation at all in a cell is kept, where the code of the benchmark
      NAS-Bench-201 redraws on numerical failure only.
    """

    name = "gdas"
    defaults: Mapping[str, Any] = MappingProxyType({"weighting": "gumbel", "epochs": 250})


class SharpDarts(SupernetSearch):
    """sharpDARTS: DARTS with Max-W regularised weights and cosine power annealing.

    Hundt, Jain and Hager 2019, "sharpDARTS: Faster and More Accurate Differentiable Architecture Search"
    (https://arxiv.org/abs/1903.09900). Max-W gives the heaviest option the weight 1 and option i the weight
    1 - (max_j w_j - w_i), which takes away the advantage of small operations; `weighting: softmax` is the
    paper's scalar variant. Its blocks are in the space `sharp_darts` (SharpSepConv with its flood and choke
    variants, three lists of primitives). The defaults are those of the released search: rate from 0.025 to
    1e-4 with exponent 2 after 5 epochs of warm-up, 120 epochs.
    """

    name = "sharp_darts"
    defaults: Mapping[str, Any] = MappingProxyType(
        {
            "weighting": "max_w",
            "schedule": "cosine_power",
            "power": 2.0,
            "warmup_epochs": 5,
            "lr_min": 0.0001,
            "epochs": 120,
        }
    )


class HyperCuboid(SupernetSearch):
    """Differentiable grid search: one softmax over all steps of a layer, then the longest path.

    Hundt, Jain and Hager 2019 (https://arxiv.org/abs/1903.09900), their search of the HyperCuboid space
    (MultiChannelNetwork of the released code), here on any space that is a chain of choices among operations
    of any widths and strides. Every step, from a width by an operation to a width, has weights of its own and
    a share of the layer's softmax; values of one shape are added up; steps of softmax weight at most 1/N^2,
    of N, do not compute (`skip_light`); the architecture is the longest path, or a greedy one (`selection`).
    The defaults are those of the released search with Max-W. Differs from the paper:

    - a step that lies on no active path does not compute, and where no path is active, all steps do;
    - greedy paths begin with the heaviest step of the first layer; the beam search and the flows of the
      released code are not implemented;
    - the final training is that of the evaluator.
    """

    name = "hypercuboid"
    defaults: Mapping[str, Any] = MappingProxyType(
        {
            **SharpDarts.defaults,
            "grid": True,
            "selection": "longest_path",
            "skip_light": True,
            "skip_limit": None,
        }
    )
