"""How good an architecture is: evaluators, tables, functions, and the executors that run them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
