"""Neural architecture and program search: one language for search spaces that serves every method.

The names that a script needs, each imported on first use: `import nas` itself loads nothing, and torch
comes only with `nas.compile_network` and `nas.load_network`. Searchers are in `nas.algorithms`,
spaces in `nas.search_spaces`; `nas.language` has the whole language, programs included.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
