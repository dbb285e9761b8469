"""Differentiable hyper-parameter grid search: one softmax over all steps of a layer, then the longest path.

Hundt, Jain and Hager 2019, "sharpDARTS: Faster and More Accurate Differentiable Architecture Search"
(https://arxiv.org/abs/1903.09900), its search of the HyperCuboid space (MultiChannelNetwork of the released
code), here on any space that is a chain of choices among operations of any widths and strides. Every step,
from a width by an operation to a width, has weights of its own and a share of the slab's softmax; values of
one shape are added up; steps of softmax weight at most 1/N^2, of N, do not compute (`skip_light`); the
architecture is the longest path, or a greedy one (`selection`). The defaults are those of the released
search with Max-W (`weighting: softmax` is its scalar variant). Differs from the paper:
- a step that lies on no active path does not compute, and where no path is active, all steps do;
- greedy paths begin with the heaviest step of the first slab, the beam search and the flows of the released
  code are not there;
- the final training is that of the evaluator.
"""

from __future__ import annotations

from algorithms.one_shot import SupernetSearch


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
