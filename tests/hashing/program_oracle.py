"""Whether two update rules do the same, on inputs that the hash has not seen: wide draws, in torch.

Trainings of random length, most of a few steps, one of hundreds; each has its own magnitudes of gradients
and weights and its own rate. Beside them pairs of rules in which one has a bound more, or another one: what
a hash joins by mistake, since its inputs must reach the bound to tell them apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas.language import Literal, Name, Op, Program, Term, seq
from nas.programs import compile_program, statements
from nas.programs.program import pruned
from nas.search_spaces.programmed_optimizer import bind, scalar
from nas.search_spaces.update_rule import LANGUAGE, OUTPUTS, STATE
from nas.space import Architecture
from tests.hashing.program_kit import of_term

SIZES = (5, 1, 9)
SHORT, SHORT_STEPS = 40, 8
LONG_STEPS = 200
RTOL, ATOL = 1e-5, 1e-9  # of updates, relative to the larger one and to the weights


@dataclass(frozen=True, slots=True)
class Training:
    """Weights, gradients and rates, step by step; the weights are drawn and not updated."""

    steps: tuple[Mapping[str, Any], ...]


def trainings(seed: int) -> tuple[Training, ...]:
    """Many short ones and a long one."""
    rng = np.random.default_rng(seed)
    lengths = [int(rng.integers(1, SHORT_STEPS + 1)) for _ in range(SHORT)] + [LONG_STEPS]
    return tuple(_training(rng, length) for length in lengths)


def _training(rng: np.random.Generator, length: int) -> Training:
    """Each weight keeps its own magnitudes; from step to step they change as well."""
    rate, spread = rng.uniform(-5.0, 0.0), rng.uniform(0.0, 1.5, 2)
    decades = {"w": rng.uniform(-3.0, 4.0), "g": rng.uniform(-7.0, 4.0)}
    own = {name: decade + rng.uniform(-spread[0], spread[0], sum(SIZES)) for name, decade in decades.items()}
    steps = []
    for _ in range(length):
        given = {name: _tensors(rng, at + spread[1] * rng.normal()) for name, at in own.items()}
        steps.append({**given, "lr": scalar(10.0**rate)})
    return Training(tuple(steps))


def _tensors(rng: np.random.Generator, decades: NDArray[np.float64]) -> list[Tensor]:
    values = rng.normal(size=decades.size) * 10.0**decades
    values[rng.random(values.size) < 0.05] = 0.0
    return list(torch.from_numpy(values).split(SIZES))


def updates(architecture: Architecture, training: Training) -> Tensor:
    """All updates of a training, one row for each step."""
    rule = compile_program(
        architecture.network, LANGUAGE, bind, outputs=OUTPUTS, carried=STATE, constant=scalar
    )
    state: dict[str, Any] = {slot: [torch.zeros(n, dtype=torch.float64) for n in SIZES] for slot in STATE}
    found = []
    for given in training.steps:
        outputs = rule.run({name: value for name, value in (given | state).items() if name in rule.inputs})
        state |= {slot: outputs[slot] for slot in STATE if slot in outputs}
        found.append(torch.cat(outputs["update"]))
    return torch.stack(found)


def difference(first: Architecture, second: Architecture, seed: int) -> str:
    """Where the updates of two rules part; "" where they do not."""
    for number, training in enumerate(trainings(seed)):
        one, other = updates(first, training), updates(second, training)
        scale = torch.maximum(one.abs(), other.abs()).nan_to_num(posinf=0.0)
        parted = ~torch.isclose(one, other, rtol=0.0, atol=0.0, equal_nan=True)
        parted &= ~((one - other).abs() <= RTOL * scale + ATOL)
        if parted.any():
            step, place = (int(i) for i in parted.nonzero()[0])
            return f"training {number}, step {step}: {one[step, place]:g} and {other[step, place]:g}"
    return ""


def bounded(architecture: Architecture, rng: np.random.Generator) -> Architecture:
    """The rule with a bound by a constant, or a clipping, put on one of the values that matter."""
    program = architecture.term
    assert isinstance(program, Program)
    program = pruned(program, STATE)
    calls = list(statements(program).values())
    kinds = {name: kind for name, kind in LANGUAGE.types(program).items() if name not in STATE}
    name = sorted(kinds)[int(rng.integers(len(kinds)))]
    at = int(name[1:]) + 1 if name.startswith("x") else 0
    names = ["maximum", "minimum", *(["clip_by_global_norm"] if kinds[name] == "tensor" else [])]
    bound = Literal(float(10.0 ** rng.uniform(-4.0, 1.0)))
    shift = {f"x{i}": Name(f"x{i + (i >= at)}") for i in range(len(calls))} | {name: Name(f"x{at}")}
    made: list[Term] = [*calls[:at], Op(names[int(rng.integers(len(names)))], (Name(name), bound))]
    made += [
        Op(call.name, tuple(shift.get(a.name, a) if isinstance(a, Name) else a for a in call.args))
        for call in calls[at:]
    ]
    outputs = tuple(
        (key, shift.get(value.name, value) if isinstance(value, Name) else value)
        for key, value in program.outputs
    )
    return of_term(Program(program.inputs, seq(*made), outputs))
