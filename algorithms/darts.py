"""DARTS: architecture weights learnt by gradient on one supernet, in turns with its weights.

Liu, Simonyan and Yang 2019, "DARTS: Differentiable Architecture Search" (https://arxiv.org/abs/1806.09055),
on any space that has a supernet. The defaults are those published for CIFAR-10; `order: 2` takes the gradient
through one step of the weights. Differs from the paper:
- early stop and a limit on skip connections (`skip_limit`, after DARTS+, Liang et al. 2019, and P-DARTS, Chen
  et al. 2019) are on; `skip_limit: null` turns them off;
- the choice of each of `searches` runs is trained fully as a candidate, where the paper trains those of four
  runs for 100 epochs to select one;
- the halves of the images are split by the seed of the search, and incomplete batches are left out.
"""

from __future__ import annotations

from algorithms.one_shot import SupernetSearch


class Darts(SupernetSearch):
    """Softmax over the options of each hole.

    Options: those of `SupernetSearch` and `OneShotSettings`.
    """

    name = "darts"
