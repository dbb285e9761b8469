"""What the expressions of a vocabulary compute, for those who compare behaviour instead of text.

A vocabulary names its meaning ("module:attribute"); without one its expressions are networks, whose
meaning is `nas.compile`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nas.program import Bind, Language


@dataclass(frozen=True, slots=True)
class ProgramMeaning:
    """Programs over numpy arrays, run once a step.

    Attributes:
        language: of the programs.
        outputs: their types, by name.
        carried: outputs that come back as inputs of their names in the next step; what they do to later
            steps counts, they themselves do not.
        bind: what a function computes, on arrays of float64; scalars are arrays of shape (1,).
        steps: `(seed) -> one mapping of inputs for each step`, the same for equal seeds in every process;
            the first has the carried ones too.
        floor: outputs below it in magnitude count as zero: beside what they are applied to they are nothing.
        grown: factor of what is carried into the last step, as if so many times more steps had added to it:
            what counts steps meets its bounds then; 1 for none.
    """

    language: Language
    outputs: Mapping[str, str]
    carried: tuple[str, ...]
    bind: Bind
    steps: Callable[[int], tuple[Mapping[str, Any], ...]]
    floor: float = 0.0
    grown: float = 1.0


@dataclass(frozen=True, slots=True)
class CallableMeaning:
    """Plain Python callables.

    Attributes:
        compile: `(architecture) -> callable`; the callable takes and returns numpy arrays.
        arguments: how many it takes, or `(seed) -> arguments`.
    """

    compile: Callable[[Any], Callable[..., Any]]
    arguments: int | Callable[[int], tuple[Any, ...]] = 1
