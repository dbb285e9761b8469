"""The text of an expression: terms, their parser and printer, primitives. Needs neither numpy nor torch."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
