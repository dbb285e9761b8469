"""The standard network primitives: names, attributes, shape rules and lazy builders; no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from nas.errors import NasError
from nas.language import INHERIT, Attribute, Kind, Law, Lazy, Primitive, ShapeRule, Vocabulary
from nas.layers import shapes, wiring
from nas.layers.train_settings import TrainSettings

_KERNEL = Attribute("kernel", "int", 3, low=1, summary="side of the window, in pixels")
_WINDOW = Attribute("kernel", "int", 2, low=1, summary="side of the window, in pixels")
_WIDTH = Attribute(
    "width", "int", INHERIT, low=1, summary="channels out; by default the cell's, else those in"
)
_STRIDE = Attribute("stride", "int", INHERIT, low=1, summary="by default 2 where a reduction asks, else 1")
_CELL_STRIDE = dataclasses.replace(_STRIDE, high=2)
_POOL_STRIDE = Attribute("stride", "int", None, low=1, summary="by default the side of the window")
_DILATION = Attribute("dilation", "int", 1, low=1, summary="distance of the window's pixels")
_SAME = Attribute("padding", "str", "same", choices=("same", "valid"), summary="same: ceil(side / stride)")
_VALID = dataclasses.replace(_SAME, default="valid")
_BIAS = Attribute("bias", "bool", True, summary="adds a learnt constant to each channel")
_GROUPS = Attribute("groups", "int", low=1, summary="groups of channels")


_ZERO = frozenset({Law.KEEPS_ZERO})
_CUT = frozenset({Law.KEEPS_ZERO, Law.IDEMPOTENT})
_SUM = frozenset({Law.COMMUTES})


def _layer(
    name: str,
    attributes: tuple[Attribute, ...],
    shape: ShapeRule,
    summary: str,
    laws: frozenset[Law] = frozenset(),
) -> Primitive:
    build = Lazy(f"nas.layers.modules:{name}")
    return Primitive(name, attributes, (0, 0), summary, shape, build, laws=laws)


def _activation(name: str, layer: str, summary: str, laws: frozenset[Law] = frozenset()) -> Primitive:
    build = Lazy("nas.layers.modules:activation", (layer,))
    return Primitive(name, (), (0, 0), summary, shapes.same, build, laws=laws)


LAYERS = (
    _layer(
        "conv",
        (_KERNEL, _WIDTH, _STRIDE, _DILATION, dataclasses.replace(_GROUPS, default=1), _SAME, _BIAS),
        shapes.conv,
        "convolution",
    ),
    _layer("depthwise", (_KERNEL, _STRIDE, _DILATION, _SAME, _BIAS), shapes.conv, "one filter a channel"),
    _layer("pointwise", (_WIDTH, _BIAS), shapes.conv, "1x1 convolution"),
    _layer(
        "separable",
        (_KERNEL, _WIDTH, _STRIDE, _DILATION, _SAME, _BIAS),
        shapes.conv,
        "depthwise, then pointwise convolution",
    ),
    _layer("maxpool", (_WINDOW, _POOL_STRIDE, _VALID), shapes.pool, "maximum over windows", _ZERO),
    _layer(
        "avgpool",
        (_WINDOW, _POOL_STRIDE, _VALID),
        shapes.pool,
        "mean over windows; padding does not count",
        _ZERO,
    ),
    _layer("global_pool", (), shapes.global_pool, "mean of each channel: (C, H, W) to (C,)"),
    _layer("batchnorm", (), shapes.same, "batch normalisation"),
    _layer("groupnorm", (_GROUPS,), shapes.groupnorm, "normalisation within groups of channels"),
    _layer("layernorm", (), shapes.same, "normalisation over all channels and pixels of an example"),
    _activation("relu", "ReLU", "max(0, x)", _CUT),
    _activation("relu6", "ReLU6", "min(6, max(0, x))", _CUT),
    _activation("gelu", "GELU", "x times the normal distribution function of x", _ZERO),
    _activation("silu", "SiLU", "x times sigmoid(x)", _ZERO),
    _activation("sigmoid", "Sigmoid", "1 / (1 + exp(-x))"),
    _activation("tanh", "Tanh", "hyperbolic tangent", _ZERO),
    _activation("hardswish", "Hardswish", "x relu6(x + 3) / 6", _ZERO),
    _activation("identity", "Identity", "what comes in"),
    _layer(
        "linear",
        (Attribute("width", "int", low=1, summary="features out"), _BIAS),
        shapes.linear,
        "affine map of flat features",
    ),
    Primitive(
        "flatten",
        (),
        (0, 0),
        "(C, H, W) to (C H W,)",
        shapes.flatten,
        Lazy("nas.layers.modules:activation", ("Flatten",)),
        laws=frozenset({Law.IDEMPOTENT}),
    ),
    _layer(
        "dropout",
        (Attribute("rate", "float", low=0.0, high=1.0, summary="probability of a zero"),),
        shapes.same,
        "zeros at random while training, the rest scaled up",
        _ZERO,
    ),
    _layer(
        "squeeze_excite",
        (Attribute("ratio", "int", 4, low=1, summary="channels over hidden units"),),
        shapes.squeeze_excite,
        "gate on each channel (Hu et al. 2018)",
    ),
    _layer(
        "stem",
        (
            Attribute("width", "int", low=1, summary="channels out"),
            _KERNEL,
            Attribute("stride", "int", 1, low=1, summary="of the convolution"),
        ),
        shapes.conv,
        "convolution and batch normalisation, the first layer",
    ),
    _layer("head", (), shapes.head, "global pooling of images and a linear layer to the classes"),
)


def _operation(
    name: str, attributes: tuple[Attribute, ...], shape: ShapeRule, summary: str, *leading: str
) -> Primitive:
    build = Lazy(f"nas.layers.operations:{'cell_pool' if leading else name}", leading)
    laws = _ZERO if leading or name == "zero" else frozenset()
    return Primitive(name, attributes, (0, 0), summary, shape, build, laws=laws)


_CONV = (_KERNEL, _WIDTH, _STRIDE, _DILATION)
_ACTIVATION = Attribute(
    "activation", "str", "relu6", choices=("relu6", "silu", "hardswish"), summary="after the first two"
)

OPERATIONS = (
    _operation("zero", (_STRIDE,), shapes.zero, "zeros: no connection (`none` of the papers)"),
    _operation("skip", (_CELL_STRIDE,), shapes.skip, "identity; at stride 2 factorized_reduce"),
    _operation("max_pool_3x3", (_STRIDE,), shapes.conv, "3x3 maximum of a cell (DARTS)", "max"),
    _operation("avg_pool_3x3", (_STRIDE,), shapes.conv, "3x3 mean of a cell (DARTS, NAS-Bench-201)", "avg"),
    _operation(
        "relu_conv_bn", _CONV, shapes.conv, "ReLU, convolution, batch normalisation (DARTS, NAS-Bench-201)"
    ),
    _operation("sep_conv", _CONV, shapes.conv, "ReLU, separable convolution, normalisation, twice (DARTS)"),
    _operation(
        "dil_conv",
        (*_CONV[:-1], dataclasses.replace(_DILATION, default=2)),
        shapes.conv,
        "ReLU, dilated separable convolution, normalisation (DARTS)",
    ),
    _operation(
        "factorized_reduce",
        (_WIDTH,),
        shapes.factorized_reduce,
        "ReLU, two shifted 1x1 convolutions of stride 2 side by side, normalisation (DARTS)",
    ),
    _operation(
        "mbconv",
        (
            _KERNEL,
            Attribute("expansion", "int", 6, low=1, summary="hidden channels over channels in"),
            _WIDTH,
            _STRIDE,
            Attribute("squeeze_excite", "bool", False, summary="a gate with a quarter of the channels in"),
            _ACTIVATION,
        ),
        shapes.conv,
        "inverted residual (MobileNetV2), with squeeze-excite as in EfficientNet",
    ),
    Primitive(
        "sharp_sep_conv",
        (
            *_CONV,
            Attribute("expansion", "int", 1, low=1, summary="middle channels over channels out"),
            Attribute("middle", "int", None, low=1, summary="middle channels, whatever the expansion"),
        ),
        (0, 0),
        "two separable convolutions with a wide or a narrow middle; the first is dilated (sharpDARTS)",
        shapes.conv,
        Lazy("nas.layers.operations:sharp_sep_conv"),
    ),
    Primitive(
        "resizable_pool",
        (
            Attribute("pool", "str", "max", choices=("max", "avg"), summary="maximum, or mean with padding"),
            _WIDTH,
            _STRIDE,
        ),
        (0, 0),
        "3x3 pooling; 1x1 convolution and normalisation where the width changes (sharpDARTS)",
        shapes.conv,
        Lazy("nas.layers.operations:resizable_pool"),
    ),
)


def _composite(
    name: str, attributes: tuple[Attribute, ...], arity: tuple[int, int | None], rule: ShapeRule, summary: str
) -> Primitive:
    laws = _SUM if name == "add" else frozenset()
    return Primitive(
        name, attributes, arity, summary, rule, Lazy(f"nas.layers.cells:build_{name}"), laws=laws
    )


_SETTING_KINDS: dict[type, Kind] = {int: "int", float: "float", str: "str", bool: "bool"}


def _setting_rule(name: str) -> Callable[[Any], str | None]:
    return Lazy("nas.layers.catalogue:check_setting", (name,))


def check_setting(name: str, value: Any) -> str | None:
    """Why a value of one training setting is not admissible, or None."""
    try:
        # Enough epochs for any warm-up: the number of epochs may be set elsewhere.
        TrainSettings().with_overrides({"epochs": 10**9, name: value})
    except NasError as error:
        return str(error)
    return None


_SETTINGS = tuple(
    Attribute(field.name, _SETTING_KINDS[type(field.default)], field.default, rule=_setting_rule(field.name))
    for field in dataclasses.fields(TrainSettings)
)

COMPOSITES = (
    _composite("add", (), (1, None), wiring.add, "sum of branches"),
    _composite("concat", (), (1, None), wiring.concat, "branches side by side along channels"),
    _composite(
        "residual",
        (),
        (1, 1),
        wiring.residual,
        "input plus body, padded with zeros to the larger (DeepArchitect)",
    ),
    Primitive(
        "node",
        (Attribute("inputs", "ints", (0,), low=0, summary="the value that each operation reads"),),
        (1, None),
        "sum of operations on earlier values of its cell",
        wiring.node,
        Lazy("nas.layers.wiring:node"),  # never called: its shape rule refuses,
    ),
    _composite(
        "cell",
        (
            Attribute("inputs", "int", 1, low=1, high=2, summary="2: the two previous outputs of a chain"),
            Attribute(
                "output", "str", "last", choices=("last", "concat"), summary="last node, or all of them"
            ),
            _CELL_STRIDE,
            _WIDTH,
        ),
        (1, None),
        wiring.cell,
        "graph of nodes; values are numbered inputs first",
    ),
    _composite(
        "chain",
        (
            Attribute("width", "int", low=1, summary="channels of a node in the first cells"),
            Attribute("stem", "int", 3, low=1, summary="channels of the stem over the width"),
        ),
        (1, 1),
        wiring.chain,
        "stem, then cells that read the two previous outputs; reductions double the width (DARTS)",
    ),
    _composite("train", _SETTINGS, (1, 1), wiring.train, "a network with settings of its training"),
)

NETWORK = Vocabulary("network", LAYERS + OPERATIONS + COMPOSITES, home="nas.layers:NETWORK")
