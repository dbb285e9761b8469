"""Digest of the training settings that stand beside a network."""

from __future__ import annotations

from nas.hashing.digests import hex_of
from nas.language import Define, Literal, Op, Ref, Term, to_text

VERSION = 1


def settings_digest(term: Term) -> str:
    """Digest of what stands in `train(network, lr=..., ...)` around the network; "" without such settings.

    Sorted by name. Defaults are not filled in: an evaluator may have others. Numbers count by their value,
    so that 1 and 1.0 are the same setting; references to definitions are looked up.
    """
    definitions: dict[str, Term] = {}
    while isinstance(term, Define):
        definitions |= dict(term.bindings)
        term = term.body
    if not isinstance(term, Op) or term.name != "train" or not term.attributes:
        return ""
    given = sorted((name, _written(value, definitions)) for name, value in term.attributes)
    return f"settings:{VERSION}:{hex_of(*(part for pair in given for part in pair))}"


def _written(value: Term, definitions: dict[str, Term]) -> str:
    seen: set[str] = set()
    while isinstance(value, Ref) and value.name in definitions and value.name not in seen:
        seen.add(value.name)
        value = definitions[value.name]
    if isinstance(value, Literal) and type(value.value) in (int, float):
        return repr(float(value.value)) if abs(value.value) < 2**53 else repr(value.value)  # type: ignore[arg-type, operator]
    return to_text(value)
