"""The absence of a hasher: every suggestion is evaluated."""

from __future__ import annotations


def no_hasher() -> None:
    """No hasher at all, which switches the study's cache off."""
    return
