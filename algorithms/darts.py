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

from algorithms.one_shot import SupernetSearch


class Darts(SupernetSearch):
    """Softmax over the options of each hole.

    Options: those of `SupernetSearch` and `OneShotSettings`.
    """

    name = "darts"
