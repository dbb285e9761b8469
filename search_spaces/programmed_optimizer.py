"""What the functions of the update rules compute, and the torch optimizer that runs a compiled program.

A "tensor" of the language is a list, one torch tensor for each weight tensor of a parameter group; a
"scalar" is a torch tensor of shape (). Scalars are float64 on the CPU: torch takes them beside tensors of any
device and leaves the type of those as it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from nas.errors import ConfigError, EvaluationError
from nas.programs import Compiled, Function, Signature

EPS = 1e-8  # added to denominators

Tensors = list[Tensor]


class ProgrammedOptimizer(Optimizer):
    """Each step runs the program on w, g, its state and lr, and subtracts `update` from w.

    State slots are zero at first; those that the program never reads do not exist. Weights without a
    gradient are passed over. Where the program takes a norm over all weights, those of one parameter
    group are meant.

    Args:
        params: tensors or parameter groups, as every torch optimizer takes them.
        lr: learning rate, at least 0; groups and schedulers may change it.
        rule: the compiled program; inputs w, g, m, v, lr; outputs update, m, v.

    Raises:
        ConfigError: an lr that is negative or no number.
    """

    def __init__(self, params: Iterable[Any], lr: float, *, rule: Compiled) -> None:
        if not float(lr) >= 0:
            raise ConfigError(f"optimizer program: lr: expected a number of at least 0, got {lr!r}")
        super().__init__(params, {"lr": lr})
        self.rule = rule
        self.slots = tuple(name for name, _ in rule.outputs if name != "update")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One step over all groups; returns what `closure`, run first with gradients, returns.

        Raises:
            EvaluationError: a sparse gradient.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights:
                self._update(weights, scalar(group["lr"]))
        return loss

    def _update(self, weights: Tensors, lr: Tensor) -> None:
        if any(weight.grad.is_sparse for weight in weights if weight.grad is not None):
            raise EvaluationError("optimizer program: dense gradients are expected, got a sparse one")
        gradients = [weight.grad for weight in weights]
        inputs = {"w": weights, "g": gradients, "lr": lr}
        inputs.update((slot, [self._slot(weight, slot) for weight in weights]) for slot in self.slots)
        outputs = self.rule.run(inputs)
        for slot in self.slots:
            for weight, value in zip(weights, outputs[slot], strict=True):
                self.state[weight][slot] = _stored(value, weight)
        for weight, update in zip(weights, outputs["update"], strict=True):
            weight.sub_(update)

    def _slot(self, weight: Tensor, slot: str) -> Tensor:
        state = self.state[weight]
        if slot not in state:
            state[slot] = torch.zeros_like(weight, memory_format=torch.preserve_format)
        return state[slot]


def scalar(value: Any) -> Tensor:
    """A number as a value of the language."""
    return torch.as_tensor(value, dtype=torch.float64)


def _stored(value: Tensor, weight: Tensor) -> Tensor:
    """A state to keep: of the weight's type, and not the weight or the gradient, which change in place."""
    if value is weight or value is weight.grad:
        return value.clone()
    return value.to(weight.dtype)  # a weight of shape () takes the type of the scalars


def bind(function: Function, signature: Signature) -> Callable[..., Any]:
    """What a function computes: over all weights at once, or for each of them, or of scalars alone."""
    whole = _WHOLE.get(function.name)
    if whole is not None:
        return whole
    each = _EACH[function.name]
    return _mapped(each, signature) if "tensor" in signature.arguments else each


def _mapped(function: Callable[..., Tensor], signature: Signature) -> Callable[..., Tensors]:
    """The function for each weight; scalars are the same for all of them."""
    lists = tuple(kind == "tensor" for kind in signature.arguments)

    def apply(*arguments: Any) -> Tensors:
        columns = (a if is_list else itertools.repeat(a) for a, is_list in zip(arguments, lists, strict=True))
        return [function(*row) for row in zip(*columns, strict=False)]

    return apply


def _global_norm(xs: Tensors) -> Tensor:
    return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(x) for x in xs]))


def _dot(xs: Tensors, ys: Tensors) -> Tensor:
    return torch.stack([(x * y).sum() for x, y in zip(xs, ys, strict=True)]).sum()


def _cosine(xs: Tensors, ys: Tensors) -> Tensor:
    return _dot(xs, ys) / (_global_norm(xs) * _global_norm(ys) + EPS)


def _clip(xs: Tensors, most: Tensor) -> Tensors:
    factor = torch.clamp(most / (_global_norm(xs) + EPS), max=1.0)
    return [x * factor for x in xs]


_WHOLE: dict[str, Callable[..., Any]] = {
    "global_norm": _global_norm,
    "dot": _dot,
    "cosine_sim": _cosine,
    "clip_by_global_norm": _clip,
}

_EACH: dict[str, Callable[..., Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": lambda x, y: x / (y + EPS),
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "interpolate": lambda x, y, a: (1 - a) * x + a * y,
    "abs": torch.abs,
    "negative": torch.neg,
    "sign": torch.sign,
    "square": torch.square,
    "cube": lambda x: x * x * x,
    "sqrt": lambda x: torch.sqrt(torch.abs(x)),
    "cbrt": lambda x: torch.sign(x) * torch.abs(x).pow(1 / 3),
    "power": lambda x, a: torch.pow(torch.abs(x), a),
    "reciprocal": lambda x: 1 / (x + EPS),
    "exp": torch.exp,
    "exp2": torch.exp2,
    "exp10": lambda x: torch.pow(10.0, x),
    "expm1": torch.expm1,
    "log": lambda x: torch.log(torch.abs(x)),
    "log2": lambda x: torch.log2(torch.abs(x)),
    "log10": lambda x: torch.log10(torch.abs(x)),
    "log1p": lambda x: torch.log1p(torch.abs(x)),
    "sin": torch.sin,
    "cos": torch.cos,
    "tan": torch.tan,
    "arcsin": torch.arcsin,
    "arccos": torch.arccos,
    "arctan": torch.arctan,
    "sinh": torch.sinh,
    "cosh": torch.cosh,
    "tanh": torch.tanh,
    "arcsinh": torch.arcsinh,
    "arccosh": torch.arccosh,
    "arctanh": torch.arctanh,
    "norm": lambda x: torch.linalg.vector_norm(x).expand_as(x),
}
