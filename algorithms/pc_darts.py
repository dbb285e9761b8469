"""PC-DARTS: DARTS on a part of the channels, with a second softmax over the edges of a node.

Xu, Xie, Zhang, Chen, Qi, Tian and Xiong 2020, "PC-DARTS: Partial Channel Connections for Memory-Efficient
Architecture Search" (https://arxiv.org/abs/1907.05737). The defaults are those published for CIFAR-10: a
quarter of the channels, batches of 256, alphas from epoch 15. Differs from the paper:
- edge weights are there for nodes that choose their inputs (gated nodes); where a space gives every node all
  of its inputs, as NAS-Bench-201, there is nothing to choose and the softmax over options stands alone;
- safeguards against collapse as in `algorithms/darts.py`.
"""

from __future__ import annotations

from algorithms.one_shot import SupernetSearch


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
