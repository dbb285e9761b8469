"""Hashers: what makes two candidates equal, so that no function is trained twice."""

from __future__ import annotations

from nas.registry import Registry

HASHERS = Registry("hashing")
HASHERS.register("none", "hashing.none:no_hasher", "no cache: every suggestion is evaluated")
HASHERS.register("text", "nas.cache:TextHasher", "equal expressions are evaluated once")
