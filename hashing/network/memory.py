"""Results that a process remembers, up to a number of bytes."""

from __future__ import annotations

from typing import Any

_OVERHEAD = 500  # bytes of a key and its place


class Memory:
    """Results by key, of at most so many bytes; those not asked for of late are forgotten.

    Two generations: what is asked for moves to the young one; when that is full, the old one is dropped.
    """

    def __init__(self, nbytes: int) -> None:
        self._limit, self._held = nbytes // 2, 0
        self._young: dict[Any, tuple[Any, int]] = {}
        self._old: dict[Any, tuple[Any, int]] = {}

    def get(self, key: Any) -> Any:
        """The result, or None."""
        found = self._young.get(key)
        if found is None:
            found = self._old.pop(key, None)
            if found is None:
                return None
            self.put(key, *found)
        return found[0]

    def put(self, key: Any, result: Any, nbytes: int = 0) -> None:
        """Keeps a result; every one counts some bytes more for its key."""
        self._young[key] = result, nbytes
        self._held += nbytes + _OVERHEAD
        if self._held > self._limit:
            self._old, self._young, self._held = self._young, {}, 0

    @property
    def nbytes(self) -> int:
        """Of results held, keys not counted."""
        return sum(size for held in (self._young, self._old) for _, size in held.values())
