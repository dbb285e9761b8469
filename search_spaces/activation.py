"""Activation functions as trees of unary and binary functions: the space in which Swish was found.

Ramachandran, Zoph and Le 2017, "Searching for Activation Functions" (https://arxiv.org/abs/1710.05941),
section 2: a core unit is b(u1(x1), u2(x2)) with a binary function b, unary functions u and arguments that are
the scalar x or outputs of other core units. Swish is `mul(x(), sigmoid(x()))`.

Size: with n constants there are u = 22 + 2 n unary and b = 7 + 3 n binary functions, so b (u + n)^2 units of
depth 1, and b (u (1 + s) + n)^2 of depth d + 1 where those of depth d are s: 10,192 of depth 1 and
913,062,805,200 of depth 2 with the two constants of the defaults. Many of them are one function: addends may
change places, |x| squared is x squared.

Order of the choices: the binary function, then for each argument the unary function and what it takes.

Known facts: the functions of `KNOWN`, found by the paper's searches, are units of depth 1; Swish is SiLU.
Swish is torch's; the formulas of the others were compared with independent implementations of the paper's
list, not with the paper itself. Two more of that list, arctan(x)^2 - x and x arcsinh(x)^2, need two unary
functions one inside another and are left out.

Deviations from the paper:
- Its beta, trained for each channel, is one of a few fixed numbers here, so that an expression is a plain
  function of x, in numpy and in torch alike.
- Units form trees; in the paper two units may also read one output.
- Square roots are those of |x|, so that negative values have one; 1e-7 stands for its epsilon, which it does
  not state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.errors import CompileError, SpaceError
from nas.language import Attribute, Law, Literal, Op, Primitive, Term, Vocabulary, oneof, op, ref, rule
from nas.programs import CallableMeaning
from nas.space import SearchSpace

if TYPE_CHECKING:
    from nas.space import Architecture

NAME = "activation"
EPS = 1e-7
BETAS = (0.5, 2.0)

_BETA = (Attribute("beta", "float", summary="a constant"),)
_EVEN, _BOTH = (Law.IGNORES_SIGN,), (Law.COMMUTES,)
_EITHER = (Law.COMMUTES, Law.IDEMPOTENT)


def _unary(name: str, summary: str, *laws: Law) -> Primitive:
    return Primitive(name, (), (1, 1), summary, kind=NAME, laws=frozenset(laws))


def _binary(name: str, summary: str, *laws: Law, beta: bool = False) -> Primitive:
    return Primitive(name, _BETA if beta else (), (2, 2), summary, kind=NAME, laws=frozenset(laws))


UNARY = (
    _unary("negative", "-x", Law.INVOLUTION, Law.NEGATES),
    _unary("abs", "|x|", *_EVEN, Law.IDEMPOTENT),
    _unary("square", "x^2", *_EVEN),
    _unary("cube", "x^3"),
    _unary("sqrt", "square root of |x|", *_EVEN),
    _unary("log", "log(|x| + eps)", *_EVEN),
    _unary("exp", "e^x"),
    _unary("sin", "sine"),
    _unary("cos", "cosine"),
    _unary("sinh", "hyperbolic sine"),
    _unary("cosh", "hyperbolic cosine"),
    _unary("tanh", "hyperbolic tangent"),
    _unary("arcsinh", "inverse hyperbolic sine"),
    _unary("arctan", "inverse tangent"),
    _unary("sinc", "sin(x) / x"),
    _unary("positive", "max(x, 0)", Law.IDEMPOTENT),
    _unary("below", "min(x, 0)", Law.IDEMPOTENT),
    _unary("sigmoid", "1 / (1 + e^-x)"),
    _unary("softplus", "log(1 + e^x)"),
    _unary("gaussian", "e^(-x^2)", *_EVEN),
    _unary("erf", "error function"),
)
SCALED = (
    Primitive("scale", _BETA, (1, 1), "beta x", kind=NAME),
    Primitive("shift", _BETA, (1, 1), "x + beta", kind=NAME),
)
CONSTANT = Primitive("constant", _BETA, (0, 0), "beta, for each x", kind=NAME)
BINARY = (
    _binary("add", "x + y", *_BOTH),
    _binary("mul", "x y", *_BOTH),
    _binary("sub", "x - y"),
    _binary("div", "x / (y + eps)"),
    _binary("maximum", "the larger of x and y", *_EITHER),
    _binary("minimum", "the smaller of x and y", *_EITHER),
    _binary("gate", "sigmoid(x) y"),
)
WEIGHTED = (
    _binary("bell", "e^(-beta (x - y)^2)", *_BOTH, beta=True),
    _binary("tent", "e^(-beta |x - y|)", *_BOTH, beta=True),
    _binary("blend", "beta x + (1 - beta) y", beta=True),
)
ACTIVATIONS = Vocabulary(
    "activation functions",
    (Primitive("x", (), (0, 0), "what comes in", kind=NAME), *UNARY, *SCALED, CONSTANT, *BINARY, *WEIGHTED),
    "nas.search_spaces.activation:ACTIVATIONS",
    "nas.search_spaces.activation:MEANING",
)

KNOWN = {
    "swish": "mul(x(), sigmoid(x()))",
    "max_sigmoid": "maximum(x(), sigmoid(x()))",
    "cos_minus": "sub(cos(x()), x())",
    "min_sin": "minimum(x(), sin(x()))",
    "max_tanh": "maximum(x(), tanh(x()))",
    "sinc_plus": "add(sinc(x()), x())",
}


def space(depth: int = 2, betas: Sequence[float] = BETAS) -> SearchSpace:
    """The search space.

    Args:
        depth: most core units one inside another, at least 1.
        betas: the constants.

    Raises:
        SpaceError: an option out of its range.
    """
    numbers = tuple(betas) if isinstance(betas, list | tuple) else ()
    if not numbers or not all(type(number) in (int, float) for number in numbers):
        raise SpaceError(f"{NAME}: betas is expected to be a list of numbers; got {betas!r}")
    beta = oneof(*map(float, numbers))
    taken = op.x() | ref("unit")
    makers = [getattr(op, primitive.name) for primitive in UNARY]
    weighted = [getattr(op, primitive.name) for primitive in SCALED]
    argument = oneof(
        taken,
        *(make(taken) for make in makers),
        *(make(taken, beta=beta) for make in weighted),
        op.constant(beta=beta),
    )
    units = [getattr(op, primitive.name)(argument, argument) for primitive in BINARY]
    units += [getattr(op, primitive.name)(argument, argument, beta=beta) for primitive in WEIGHTED]
    return SearchSpace(NAME, rule("unit", oneof(*units), depth=depth), vocabulary=ACTIVATIONS)


class Activation:
    """The function of an expression: `f(x)` of a numpy array, a number or a torch tensor, element by element.

    Differentiable by torch; picklable. What overflows or has no value gives infinities and NaN, silently.

    Args:
        term: of the space.

    Raises:
        CompileError: another term.
    """

    def __init__(self, term: Term) -> None:
        _check(term)
        self.term = term

    def __call__(self, x: Any) -> Any:
        if isinstance(x, np.ndarray | float | int):
            with np.errstate(all="ignore"):
                return _value(self.term, np.asarray(x, dtype=np.float64), _numpy())
        return _value(self.term, x, _torch())

    def __repr__(self) -> str:
        return f"Activation({self.term})"


def compile_activation(architecture: Architecture) -> Activation:
    """The activation function of an architecture; raises CompileError for one of another space."""
    return Activation(architecture.network)


MEANING = CallableMeaning(compile_activation, 1)


def _check(term: Term) -> None:
    reason = f"an activation function is expected; got {shorten(str(term), 60)}"
    if isinstance(term, Op):
        reason = ACTIVATIONS.check(term.name, [name for name, _ in term.attributes], len(term.args))
        if reason is None and all(isinstance(value, Literal) for _, value in term.attributes):
            for argument in term.args:
                _check(argument)
            return
    raise CompileError(f"{NAME}: {reason}")


def _value(term: Term, x: Any, functions: Mapping[str, Callable[..., Any]]) -> Any:
    assert isinstance(term, Op), "checked when the activation was made"
    if term.name == "x":
        return x
    numbers = [value.value for _, value in term.attributes if isinstance(value, Literal)]
    if term.name == "constant":
        return x * 0.0 + numbers[0]
    return functions[term.name](*(_value(argument, x, functions) for argument in term.args), *numbers)


def _shared(m: Any) -> dict[str, Callable[..., Any]]:
    """Functions that numpy and torch write in one way; `m` is the module."""
    names = (
        "abs",
        "square",
        "exp",
        "sin",
        "cos",
        "sinh",
        "cosh",
        "tanh",
        "arcsinh",
        "arctan",
        "maximum",
        "minimum",
    )
    return {name: getattr(m, name) for name in names} | {
        "negative": lambda x: -x,
        "cube": lambda x: x * x * x,
        "sqrt": lambda x: m.sqrt(m.abs(x)),
        "log": lambda x: m.log(m.abs(x) + EPS),
        "gaussian": lambda x: m.exp(-x * x),
        "scale": lambda x, beta: beta * x,
        "shift": lambda x, beta: x + beta,
        "add": lambda x, y: x + y,
        "mul": lambda x, y: x * y,
        "sub": lambda x, y: x - y,
        "div": lambda x, y: x / (y + EPS),
        "bell": lambda x, y, beta: m.exp(-beta * (x - y) * (x - y)),
        "tent": lambda x, y, beta: m.exp(-beta * m.abs(x - y)),
        "blend": lambda x, y, beta: beta * x + (1 - beta) * y,
    }


def _numpy() -> dict[str, Callable[..., Any]]:
    from scipy.special import erf, expit

    return _shared(np) | {
        "sinc": lambda x: np.sinc(x / np.pi),
        "positive": lambda x: np.maximum(x, 0.0),
        "below": lambda x: np.minimum(x, 0.0),
        "sigmoid": expit,
        "softplus": lambda x: np.logaddexp(x, 0.0),
        "erf": erf,
        "gate": lambda x, y: expit(x) * y,
    }


def _torch() -> dict[str, Callable[..., Any]]:
    import torch

    return _shared(torch) | {
        "sinc": lambda x: torch.sinc(x / np.pi),
        "positive": torch.relu,
        "below": lambda x: torch.clamp(x, max=0.0),
        "sigmoid": torch.sigmoid,
        "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
        "erf": torch.erf,
        "gate": lambda x, y: torch.sigmoid(x) * y,
    }
