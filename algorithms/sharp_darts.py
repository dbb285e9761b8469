"""sharpDARTS: DARTS with Max-W regularised weights and cosine power annealing.

Hundt, Jain and Hager 2019, "sharpDARTS: Faster and More Accurate Differentiable Architecture Search"
(https://arxiv.org/abs/1903.09900). Max-W gives the heaviest option the weight 1 and option i the weight
1 - (max_j w_j - w_i), which takes away the advantage of small operations. Its blocks are in the space
`sharp_darts` (SharpSepConv with its flood and choke variants, three lists of primitives). The defaults are
those of the released search: rate from 0.025 to 1e-4 with exponent 2 after 5 epochs of warm-up, 120 epochs.
Differs from the paper:
- `weighting: softmax` is its scalar variant;
- safeguards against collapse as in `algorithms/darts.py`.
"""

from __future__ import annotations

from algorithms.one_shot import SupernetSearch


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
