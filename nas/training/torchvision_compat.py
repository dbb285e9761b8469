"""The one place that imports torchvision, also where its compiled part is missing.

torchvision without its compiled part (a CUDA build beside a CPU build of torch, for one) registers fake
kernels for two operators that nothing has declared, and its import fails. No data set needs these
operators: declaring them is enough.
"""

from __future__ import annotations

import functools
import importlib
import sys
from types import ModuleType
from typing import Any

_SYMPTOM = "operator torchvision::nms does not exist"
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def import_torchvision() -> ModuleType:
    """The module torchvision; every other failure of its import is passed on."""
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if _SYMPTOM not in str(error):
            raise
    _forget_partial_import()
    _declare_operators()
    return importlib.import_module("torchvision")


def _forget_partial_import() -> None:
    # the failed import leaves submodules behind that a second one would find half-initialised
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]


@functools.cache  # a declaration lives as long as its library object
def _declare_operators() -> Any:
    from torch.library import Library

    library = Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        library.define(schema)
    return library
