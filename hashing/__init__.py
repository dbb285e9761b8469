"""Hashers: what makes two candidates equal, so that no function is trained twice."""

from __future__ import annotations

from nas.registry import Registry

HASHERS = Registry("hashing")
HASHERS.register("none", "nas.hashing.canonical:no_hasher", "no cache: every suggestion is evaluated")
HASHERS.register("text", "nas.study.cache:TextHasher", "equal expressions are evaluated once")
HASHERS.register(
    "functional",
    "nas.hashing.functional:FunctionalHasher",
    "networks and programs that compute the same are evaluated once",
)
HASHERS.register(
    "symbolic",
    "nas.hashing.audit.symbolic:SymbolicHasher",
    "normal form of NAS-Bench-201 cells by algebra; exact",
)
HASHERS.register(
    "isomorphic",
    "nas.hashing.audit.isomorphism:IsomorphicHasher",
    "NAS-Bench-201 cells as its authors tell them apart (Dong and Yang 2020)",
)
HASHERS.register(
    "canonical",
    "nas.hashing.canonical:CanonicalHasher",
    "expressions with equal normal forms are evaluated once",
)
HASHERS.register(
    "callable",
    "nas.hashing.callables:CallableHasher",
    "Python functions that return the same are evaluated once, e.g. activations and losses",
)
HASHERS.register(
    "unified",
    "nas.hashing.unified:UnifiedHasher",
    "candidates whose short training gives equal truncated values (Gillard et al. 2023)",
)
