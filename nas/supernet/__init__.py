"""Weight sharing: search spaces relaxed to supernets, their training, and architectures taken from them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
