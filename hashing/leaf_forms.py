"""Normal form of single layers: attributes resolved, strides and widths as they are inherited."""

from __future__ import annotations

from typing import Any

from nas.hashing.attributes import Scope, given_value, kept_attributes
from nas.hashing.forms import Form, single
from nas.hashing.symbolic_shapes import Around, Symbol, shape_after
from nas.language import INHERIT, REQUIRED, Literal, Op, Primitive, Term, to_text
from nas.layers import shapes


def leaf_form(
    op: Op, primitive: Primitive, scope: Scope, around: Around, before: Symbol, *, standard: bool
) -> Form:
    """The form of a layer at its place; `standard` for one of the standard vocabulary's."""
    attributes, values = _attributes(op, primitive, scope, around, before)
    if standard and _does_nothing(op.name, values):
        return Form((), (), before, 0)
    term = Op(op.name, (), attributes)
    return single(term, shape_after(primitive, values, before, around, to_text(term)), before, 1)


def _attributes(
    op: Op, primitive: Primitive, scope: Scope, around: Around, before: Symbol
) -> tuple[tuple[tuple[str, Term], ...], dict[str, Any]]:
    """Attributes as they are written, and the values of all of them."""
    given = {name: value for name, value in op.attributes if value != Literal(None)}
    values = {a.name: None if a.default is INHERIT else a.default for a in primitive.attributes}
    values |= {name: given_value(op, name, scope) for name in given}
    known: dict[str, Any] = {}
    stride, width = primitive.attribute("stride"), primitive.attribute("width")
    if stride is not None and stride.default is INHERIT:
        values["stride"] = values["stride"] or around.stride
        given["stride"] = Literal(values["stride"])
        known["stride"] = 1 if around.ambient == 1 else REQUIRED
    elif primitive.shape is shapes.pool:
        known["stride"] = values.get("kernel")
    if width is not None and width.default is INHERIT:
        inherited = before[0] if around.width is None else around.width
        known["width"] = inherited if isinstance(inherited, int) else REQUIRED
    return kept_attributes(Op(op.name, (), tuple(given.items())), scope, **known), values


def _does_nothing(name: str, values: dict[str, Any]) -> bool:
    """Whether a standard layer hands on what comes in, in training too."""
    return (
        name == "identity"
        or (name == "skip" and values["stride"] == 1)
        or (name == "dropout" and not values["rate"])
    )
