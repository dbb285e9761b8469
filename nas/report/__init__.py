"""From logs to tables and figures: the only user of pandas and matplotlib; `__main__` is its command."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
