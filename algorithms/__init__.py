"""One file for each search method; registering one makes the contract suite test it."""

from nas.registry import Registry

SEARCHERS = Registry("searcher")
SEARCHERS.register(
    "random",
    "algorithms.random_search:RandomSearch",
    "independent random architectures (the baseline of Li and Talwalkar 2019)",
)
SEARCHERS.register(
    "regularized_evolution",
    "algorithms.regularized_evolution:RegularizedEvolution",
    "aging evolution with tournaments and one mutation a child (Real et al. 2019)",
)
