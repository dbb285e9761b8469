"""Evaluators that train: data, augmentation, the training loop, checkpoints and saved weights."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
