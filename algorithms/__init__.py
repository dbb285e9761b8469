"""One file for each search method; registering one makes the contract suite test it."""

from nas.registry import Registry

SEARCHERS = Registry("searcher")
SEARCHERS.register(
    "none",
    "nas.run.single:NoSearch",
    "proposes nothing: the random architectures of a comparison",
    listed=False,
)
SEARCHERS.register(
    "surrogate",
    "nas.algorithms.surrogate.search:SurrogateSearch",
    "the default: Gaussian process over encodings, expected improvement climbed by mutation",
)
SEARCHERS.register(
    "random",
    "nas.algorithms.random_search:RandomSearch",
    "independent random architectures (the baseline of Li and Talwalkar 2019)",
)
SEARCHERS.register(
    "regularized_evolution",
    "nas.algorithms.regularized_evolution:RegularizedEvolution",
    "aging evolution with tournaments and one mutation a child (Real et al. 2019)",
)
SEARCHERS.register(
    "mu_plus_lambda",
    "nas.algorithms.mu_plus_lambda:MuPlusLambda",
    "(mu + lambda) evolution: the best of parents and children stay (Beyer and Schwefel 2002)",
)
SEARCHERS.register(
    "nsga2",
    "nas.algorithms.nsga2:NSGA2",
    "evolution towards the front of several objectives, with limits (Deb et al. 2002)",
)
SEARCHERS.register(
    "local_search",
    "nas.algorithms.local_search:LocalSearch",
    "local search that moves at the first improvement, with restarts (White et al. 2021)",
)
SEARCHERS.register(
    "exhaustive",
    "nas.algorithms.exhaustive:Exhaustive",
    "every architecture of a finite space once",
)
SEARCHERS.register(
    "pending_limit",
    "nas.algorithms.pending_limit:ConcurrencyLimiter",
    "wrapper: a bound on the trials in flight of any searcher",
)
SEARCHERS.register(
    "tpe",
    "nas.algorithms.optuna_sampler:tpe",
    "tree-structured Parzen estimator of Optuna (Bergstra et al. 2011)",
)
SEARCHERS.register(
    "gp",
    "nas.algorithms.optuna_sampler:gp",
    "Gaussian process with expected improvement, of Optuna (Ament et al. 2023)",
)
SEARCHERS.register(
    "optuna",
    "nas.algorithms.optuna_sampler:OptunaSearcher",
    "any sampler of Optuna, by the option `sampler` (Akiba et al. 2019)",
)
SEARCHERS.register(
    "mcts",
    "nas.algorithms.mcts:MonteCarloTreeSearch",
    "UCT over derivations, with random roll-outs and virtual loss (Negrinho and Gordon 2017)",
)
SEARCHERS.register(
    "bisection",
    "nas.algorithms.bisection:Bisection",
    "wrapper: any searcher on binary decisions about ordered choices (Negrinho and Gordon 2017)",
)
SEARCHERS.register(
    "ngram_smbo",
    "nas.algorithms.ngram_smbo:NgramSMBO",
    "ridge regression on n-gram counts of primitives (Negrinho and Gordon 2017)",
)
SEARCHERS.register(
    "listed",
    "nas.algorithms.listed:Listed",
    "given architectures or uniform samples, for studies of a protocol (Yang et al. 2020)",
)
SEARCHERS.register(
    "no_repeats",
    "nas.algorithms.no_repeats:NoRepeats",
    "wrapper: no architecture is evaluated twice, whatever searcher proposes it",
)
SEARCHERS.register(
    "asha",
    "nas.algorithms.asha:Asha",
    "wrapper: asynchronous successive halving over fidelities (Li et al. 2020)",
)
SEARCHERS.register(
    "hyperband",
    "nas.algorithms.hyperband:Hyperband",
    "wrapper: Hyperband, brackets of successive halving (Li et al. 2018)",
)
SEARCHERS.register(
    "darts",
    "nas.algorithms.differentiable:Darts",
    "softmax over options on a supernet, first and second order (Liu, Simonyan and Yang 2019)",
)
SEARCHERS.register(
    "pc_darts",
    "nas.algorithms.differentiable:PartiallyConnectedDarts",
    "DARTS on a part of the channels, with weights of edges (Xu et al. 2020)",
)
SEARCHERS.register(
    "gdas",
    "nas.algorithms.differentiable:Gdas",
    "one sampled path of the supernet at a time (Dong and Yang 2019)",
)
SEARCHERS.register(
    "sharp_darts",
    "nas.algorithms.differentiable:SharpDarts",
    "Max-W weights and cosine power annealing (Hundt, Jain and Hager 2019)",
)
SEARCHERS.register(
    "hypercuboid",
    "nas.algorithms.differentiable:HyperCuboid",
    "one softmax over widths and operations of a layer, longest path (Hundt, Jain and Hager 2019)",
)
SEARCHERS.register(
    "single_path",
    "nas.algorithms.single_path:SinglePath",
    "uniform paths, then any searcher over inherited weights (Guo et al. 2020)",
)
