"""Optimizer updates as programs: the space in which Lion was found.

Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", section 2. A program is run once a
step over all weights of a parameter group; w, g (their gradient), m and v (state, zero at first) are
tensors, lr is a scalar. It returns `update`, m and v; then w becomes w - update:

    program(inputs(w='tensor', g='tensor', m='tensor', v='tensor', lr='scalar'),
            interpolate(g, m, 0.9) >> sign(x0) >> mul(x1, lr) >> interpolate(g, m, 0.99),
            update=x2, m=x3, v=v)

Statements are named x0, x1, ... in order; each may read what is in scope, or a constant where a scalar
stands. Types decide broadcasting: a function of a tensor and a scalar gives a tensor, so that updates and
states always have the shapes of their weights.

Size: unbounded, because constants are real. With all constants counted as one, 31,100 programs have at most
one statement and 1.4e68 at most twenty; with the "paper" functions 45,556 and 6.6e70. Many programs are
counted that differ in dead statements only.

Known facts (of the paper): random programs stay far below AdamW; regularized evolution (population 1000,
tournaments of 2) from `INITIAL` found `DISCOVERED`, of which Lion is what remains after simplification by
hand; by the end of a search 70 % of the statements are dead and 89 % of the programs repeat another's
function.

Deviations from the paper:
- Every statement makes a new value and the outputs name what they return, where the paper's statements
  assign to variables, old or new. An inserted statement has no effect until one reads it.
- A mutation changes a function, an argument, a constant or an output, or inserts or deletes a statement;
  the paper's modification changes arguments only. Constants are positive, drawn log-uniformly from a bounded
  range and changed by a normal step in the logarithm; the paper draws from N(0, 1) and multiplies by
  2^N(0, 1). `negative` and `sub` give the other sign.
- 41 of the 45 functions: pi and e are constants written out, eps stands in the safe forms only, and `invert`
  (in numpy an operation on integers) is left out. The default is "small", 18 functions that published
  optimizers are made of.
- Safe forms as in the paper: square roots and logarithms of |x|, 1e-8 added to denominators. Our own choices:
  power(x, s) is |x|^s; norm is that of each weight tensor, repeated to its shape; global_norm, dot,
  cosine_sim and clip_by_global_norm run over all weights of a parameter group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from nas.errors import SpaceError
from nas.language import Law, Term, let, oneof, op, program, real, repeat, use
from nas.programs import Function, Language, Signature, compile_program
from nas.space import SearchSpace

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from nas.space import Architecture

NAME = "update_rule"
OUTPUTS = {"update": "tensor", "m": "tensor", "v": "tensor"}
STATE = ("m", "v")

_T, _S = "tensor", "scalar"
_UNARY = (Signature((_T,), _T), Signature((_S,), _S))
_SYMMETRIC = (Signature((_T, _T), _T), Signature((_T, _S), _T), Signature((_S, _S), _S))
_BINARY = (*_SYMMETRIC, Signature((_S, _T), _T))
_COMMUTES = frozenset({Law.COMMUTES})
_EXTREME = frozenset({Law.COMMUTES, Law.IDEMPOTENT})
_EVEN = frozenset({Law.IGNORES_SIGN})

_SMALL = (
    Function("add", _SYMMETRIC, "x + y", _COMMUTES),
    Function("sub", _BINARY, "x - y"),
    Function("mul", _SYMMETRIC, "x y", _COMMUTES),
    Function("div", _BINARY, "x / (y + 1e-8)"),
    Function("maximum", _SYMMETRIC, "the larger of x and y", _EXTREME),
    Function("minimum", _SYMMETRIC, "the smaller of x and y", _EXTREME),
    Function("interpolate", (Signature((_T, _T, _S), _T),), "(1 - a) x + a y"),
    Function("abs", _UNARY, "|x|", _EVEN | {Law.IDEMPOTENT}),
    Function("negative", _UNARY, "-x", frozenset({Law.INVOLUTION, Law.NEGATES})),
    Function("sign", _UNARY, "-1, 0 or 1", frozenset({Law.IDEMPOTENT})),
    Function("square", _UNARY, "x x", _EVEN),
    Function("sqrt", _UNARY, "square root of |x|", _EVEN),
    Function("exp", _UNARY, "e^x"),
    Function("log", _UNARY, "natural logarithm of |x|", _EVEN),
    Function("tanh", _UNARY, "hyperbolic tangent"),
    Function(
        "norm", (Signature((_T,), _T),), "Euclidean norm of each weight tensor, at all its elements", _EVEN
    ),
    Function("global_norm", (Signature((_T,), _S),), "Euclidean norm over all weights", _EVEN),
    Function("clip_by_global_norm", (Signature((_T, _S), _T),), "scaled down to a global norm of at most s"),
)
_FURTHER = (
    *(Function(name, _UNARY) for name in ("cos", "sin", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh")),
    *(Function(name, _UNARY) for name in ("arcsinh", "arccosh", "arctanh", "exp2", "exp10", "expm1", "cube")),
    Function("log10", _UNARY, "decimal logarithm of |x|", _EVEN),
    Function("log2", _UNARY, "binary logarithm of |x|", _EVEN),
    Function("log1p", _UNARY, "natural logarithm of 1 + |x|", _EVEN),
    Function("cbrt", _UNARY, "cubic root, of the sign of x"),
    Function("reciprocal", _UNARY, "1 / (x + 1e-8)"),
    Function("power", (Signature((_T, _S), _T), Signature((_S, _S), _S)), "|x|^s"),
    Function("dot", (Signature((_T, _T), _S),), "inner product over all weights", _COMMUTES),
    Function(
        "cosine_sim",
        (Signature((_T, _T), _S),),
        "cosine of the angle between all of x and all of y",
        _COMMUTES,
    ),
)
LANGUAGE = Language("update rules", _SMALL + _FURTHER, number=_S)
UPDATE_RULES = LANGUAGE.vocabulary(
    "nas.search_spaces.update_rule:UPDATE_RULES", "nas.search_spaces.update_rule_numbers:MEANING"
)
SETS = {"small": _SMALL, "paper": LANGUAGE.functions}


def space(
    max_statements: int = 20,
    functions: str | Sequence[str] = "small",
    constants: tuple[float, float] = (1e-4, 10.0),
) -> SearchSpace:
    """Programs of at most `max_statements` statements.

    Args:
        max_statements: 20 by default; the programs in `KNOWN` have up to 12.
        functions: "small", "paper" (all), or a list of names.
        constants: least and greatest, above 0.

    Raises:
        SpaceError: an option out of its range, an unknown function.
    """
    number = real(*constants, log=True)
    return SearchSpace(NAME, expression(max_statements, _chosen(functions), number), vocabulary=UPDATE_RULES)


def expression(max_statements: int, functions: Iterable[Function], constant: Term) -> Term:
    """The space's expression, with `constant` as the hole (or the value) of all constants.

    Statements come in four groups, equally likely under uniform sampling: tensors combined, tensors with
    scalars, functions of one tensor, and whatever gives a scalar; those without a function are left out.
    """
    groups: dict[str, list[Term]] = {"combine": [], "scale": [], "apply": [], _S: []}
    for function in functions:
        for signature in function.signatures:
            groups[_group(signature)].append(LANGUAGE.call(function, signature, constant))
    lets = [let(_S if key == _S else _T, oneof(*calls)) for key, calls in groups.items() if calls]
    inputs = op.inputs(w=_T, g=_T, m=_T, v=_T, lr=_S)
    outputs = {name: use(kind) for name, kind in OUTPUTS.items()}
    return program(inputs, repeat(oneof(*lets), 0, max_statements), **outputs)


def _group(signature: Signature) -> str:
    tensors = signature.arguments.count(_T)
    if signature.result == _S:
        return _S
    if tensors > 1:
        return "combine"
    return "apply" if len(signature.arguments) == 1 else "scale"


def _chosen(functions: str | Sequence[str]) -> tuple[Function, ...]:
    if isinstance(functions, str) and functions in SETS:
        return SETS[functions]
    names = [functions] if isinstance(functions, str) else list(functions)
    unknown = [name for name in names if name not in UPDATE_RULES]
    if unknown or not names:
        listed = ", ".join(UPDATE_RULES.names())
        raise SpaceError(
            f'{NAME}: functions: "small", "paper" or names out of {listed} are expected; got {functions!r}'
        )
    return tuple(function for function in LANGUAGE.functions if function.name in names)


def compile_optimizer(architecture: Architecture) -> Callable[[Iterable[Any], float], Optimizer]:
    """A program as a torch optimizer: `(parameters, lr) -> Optimizer`.

    Statements that have no effect on any update, in this step or a later one, are left out, and so is
    state that only they read. Updates are applied as they come, finite or not: who trains with
    them checks for divergence.

    Raises:
        CompileError: the architecture is no update rule.
    """
    from nas.search_spaces.programmed_optimizer import ProgrammedOptimizer, bind, scalar

    rule = compile_program(
        architecture.network, LANGUAGE, bind, outputs=OUTPUTS, carried=STATE, constant=scalar
    )

    def make(parameters: Iterable[Any], lr: float) -> Optimizer:
        return ProgrammedOptimizer(parameters, lr, rule=rule)

    return make


def _text(statements: str, outputs: str) -> str:
    inputs = "inputs(w='tensor', g='tensor', m='tensor', v='tensor', lr='scalar')"
    return f"program({inputs}, {statements}, {outputs})"


SGD = _text("mul(g, lr)", "update=x0, m=m, v=v")

# torch.optim.SGD(momentum=0.9): m is the sum, not the average, of the decayed gradients
SGD_MOMENTUM = _text("mul(m, 0.9) >> add(x0, g) >> mul(x1, lr)", "update=x2, m=x1, v=v")

# without bias correction; eps is the 1e-8 that `div` adds: m / (sqrt(v) + 1e-8)
ADAM = _text(
    "interpolate(g, m, 0.9) >> square(g) >> interpolate(x1, v, 0.999) >> sqrt(x2) >> div(x0, x3)"
    " >> mul(x4, lr)",
    "update=x5, m=x0, v=x2",
)

# the paper's first program, AdamW without bias correction; its own factor of 0.001 asks for an lr of about 1
INITIAL = _text(
    "square(g) >> interpolate(g, m, 0.9) >> interpolate(x0, v, 0.999) >> sqrt(x2) >> div(x1, x3)"
    " >> mul(w, 0.01) >> add(x4, x5) >> mul(lr, 0.001) >> mul(x6, x7)",
    "update=x8, m=x1, v=x2",
)

# betas 0.9 and 0.99; the decay of 0.01 is decoupled (the authors' default is 0)
LION = _text(
    "interpolate(g, m, 0.9) >> sign(x0) >> mul(w, 0.01) >> add(x1, x2) >> mul(x3, lr)"
    " >> interpolate(g, m, 0.99)",
    "update=x4, m=x5, v=v",
)

# the paper's find without redundant statements; needs "paper" functions; m is overwritten before it is read
DISCOVERED = _text(
    "clip_by_global_norm(g, lr) >> arcsin(x0) >> interpolate(x1, v, 0.899) >> mul(x2, x2)"
    " >> interpolate(x1, x2, 1.109) >> sqrt(x3) >> div(x2, x5) >> mul(w, 0.4602) >> add(x6, x7)"
    " >> mul(lr, 0.0002) >> cosh(x8) >> mul(x8, x9)",
    "update=x11, m=x10, v=x4",
)

KNOWN = {
    "sgd": SGD,
    "sgd_momentum": SGD_MOMENTUM,
    "adam": ADAM,
    "initial": INITIAL,
    "lion": LION,
    "discovered": DISCOVERED,
}
