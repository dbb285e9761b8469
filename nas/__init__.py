"""Neural architecture and program search: one language for search spaces that serves every method.

The names that a script needs, each imported on first use: `import nas` itself loads nothing, and torch
comes only with `nas.compile_network` and `nas.load_network`. Searchers are in `algorithms`, spaces in
`search_spaces`; `nas.dsl` has the whole language, programs included.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas.architecture import Architecture as Architecture
    from nas.cache import Hasher as Hasher
    from nas.compile import compile_network as compile_network
    from nas.dsl import add as add
    from nas.dsl import choose as choose
    from nas.dsl import concat as concat
    from nas.dsl import define as define
    from nas.dsl import empty as empty
    from nas.dsl import integer as integer
    from nas.dsl import let as let
    from nas.dsl import oneof as oneof
    from nas.dsl import op as op
    from nas.dsl import optional as optional
    from nas.dsl import parse as parse
    from nas.dsl import permutation as permutation
    from nas.dsl import real as real
    from nas.dsl import ref as ref
    from nas.dsl import repeat as repeat
    from nas.dsl import residual as residual
    from nas.dsl import rule as rule
    from nas.dsl import shared as shared
    from nas.dsl import to_text as to_text
    from nas.dsl import train as train
    from nas.dsl import use as use
    from nas.errors import CompileError as CompileError
    from nas.errors import ConfigError as ConfigError
    from nas.errors import DeadEndError as DeadEndError
    from nas.errors import EvaluationError as EvaluationError
    from nas.errors import NasError as NasError
    from nas.errors import ProtocolError as ProtocolError
    from nas.errors import SpaceError as SpaceError
    from nas.errors import StoreError as StoreError
    from nas.evaluation import Evaluation as Evaluation
    from nas.evaluation import Evaluator as Evaluator
    from nas.evaluation import Fidelity as Fidelity
    from nas.evaluation import Objective as Objective
    from nas.evaluation import Status as Status
    from nas.evaluation import Task as Task
    from nas.executor import Executor as Executor
    from nas.executor import InlineExecutor as InlineExecutor
    from nas.executor import SimulatedExecutor as SimulatedExecutor
    from nas.operators import crossover as crossover
    from nas.operators import enumerate_architectures as enumerate_architectures
    from nas.operators import mutate as mutate
    from nas.operators import neighbours as neighbours
    from nas.operators import sample as sample
    from nas.progress import Observer as Observer
    from nas.searcher import Searcher as Searcher
    from nas.searcher import SearchFinished as SearchFinished
    from nas.searcher import Suggestion as Suggestion
    from nas.searcher import Trial as Trial
    from nas.space import SearchSpace as SearchSpace
    from nas.stages import Budget as Budget
    from nas.stages import Plan as Plan
    from nas.study import Study as Study
    from nas.training.function import FunctionEvaluator as FunctionEvaluator
    from nas.training.weights import load_network as load_network

_NAMES = {
    "nas.architecture": "Architecture",
    "nas.cache": "Hasher",
    "nas.compile": "compile_network",
    "nas.dsl": "add choose concat define empty integer let oneof op optional parse permutation real "
    "ref repeat residual rule shared to_text train use",
    "nas.errors": "CompileError ConfigError DeadEndError EvaluationError NasError ProtocolError SpaceError "
    "StoreError",
    "nas.evaluation": "Evaluation Evaluator Fidelity Objective Status Task",
    "nas.executor": "Executor InlineExecutor SimulatedExecutor",
    "nas.operators": "crossover enumerate_architectures mutate neighbours sample",
    "nas.progress": "Observer",
    "nas.searcher": "Searcher SearchFinished Suggestion Trial",
    "nas.space": "SearchSpace",
    "nas.stages": "Budget Plan",
    "nas.study": "Study",
    "nas.training.function": "FunctionEvaluator",
    "nas.training.weights": "load_network",
}
__all__ = [name for names in _NAMES.values() for name in names.split()]  # pyright: ignore
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
