"""Evaluators that train: data, augmentation, the training loop, checkpoints and saved weights."""
