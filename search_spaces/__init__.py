"""Search spaces: one file each, with its expression, paper, size and known facts."""

from nas.registry import Registry

SPACES = Registry("space")  # functions without required arguments that return a SearchSpace

SPACES.register(
    "nasbench201",
    "nas.search_spaces.nasbench201:space",
    "cells of four nodes, 15,625 of them, all tabulated (Dong and Yang 2020)",
)
SPACES.register(
    "darts",
    "nas.search_spaces.darts:space",
    "normal and reduction cells of four two-input nodes (Liu, Simonyan and Yang 2019)",
)
SPACES.register(
    "sharp_darts",
    "nas.search_spaces.sharp_darts:space",
    "DARTS' cells with separable convolutions of any middle width (Hundt, Jain and Hager 2019)",
)
SPACES.register(
    "hypercuboid",
    "nas.search_spaces.hypercuboid:space",
    "paths through a grid of layers, strides, widths and operations (Hundt, Jain and Hager 2019)",
)
SPACES.register(
    "deepconv",
    "nas.search_spaces.deepconv:space",
    "DeepArchitect's convolutional networks with their training settings (Negrinho and Gordon 2017)",
)
SPACES.register(
    "macro",
    "nas.search_spaces.macro:space",
    "residual and MBConv networks that grow by blocks (after He et al. 2016, Sandler et al. 2018)",
)
SPACES.register(
    "update_rule",
    "nas.search_spaces.update_rule:space",
    "optimizer updates as programs (Chen et al. 2023, the search that found Lion)",
)
SPACES.register(
    "activation",
    "nas.search_spaces.activation:space",
    "activation functions as expression trees (Ramachandran, Zoph and Le 2017)",
)
SPACES.register("file", "nas.space.space:read_space", "the expression in a text file", listed=False)
