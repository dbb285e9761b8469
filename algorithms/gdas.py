"""GDAS: one sampled path of the supernet at a time, with gradients by the Gumbel-max trick.

Dong and Yang 2019, "Searching for a Robust Neural Architecture in Four GPU Hours"
(https://arxiv.org/abs/1910.04465). The defaults are the published ones: 250 epochs, temperature from 10 to
0.1, linearly. Differs from the paper and its code:
- the reduction cell is searched as well (the paper's GDAS-FRC fixes it);
- an option that was not drawn gets no gradient, where the code adds its hard weight, a zero, to the sum;
- every pass draws anew; a draw of no operation at all in a cell is kept, where the code of the benchmark
  NAS-Bench-201 redraws on numerical failure only;
- safeguards against collapse as in `algorithms/darts.py`.
"""

from __future__ import annotations

from algorithms.one_shot import SupernetSearch


class Gdas(SupernetSearch):
    """One sampled option in each hole, by the Gumbel-max trick.

    Options: those of `SupernetSearch` and `OneShotSettings`.
    """

    name = "gdas"
    defaults = {  # noqa: RUF012 - never changed
        "weighting": "gumbel",
        "epochs": 250,
    }
