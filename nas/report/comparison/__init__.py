"""Searchers compared: from the logs of many studies of many methods to tests, tables and figures."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
