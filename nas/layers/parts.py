"""Sub-expressions at their places: names resolved, attributes checked, faults placed; no torch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import TYPE_CHECKING, Any, TypeVar

from nas.errors import CompileError, NasError, describe_error, nearest, one_line, quoted, refusal
from nas.language import (
    INHERIT,
    Context,
    Inputs,
    Part,
    Primitive,
    Shape,
    ShapeMismatch,
    SideMismatch,
    Term,
    Vocabulary,
)
from nas.language import terms as tree

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Scope:
    """Definitions in reach. Each keeps the scope before it, so that none can contain itself."""

    vocabulary: Vocabulary
    definitions: Mapping[str, tuple[Term, Scope]] = field(default_factory=dict)

    def defining(self, bindings: tuple[tuple[str, Term], ...]) -> Scope:
        """The scope of a body; a definition sees those before it."""
        scope = self
        for name, body in bindings:
            scope = replace(scope, definitions={**scope.definitions, name: (body, scope)})
        return scope

    def resolve(self, name: str, path: str) -> tuple[Term, Scope]:
        if name not in self.definitions:
            listed = ", ".join(self.definitions) or "none"
            remedy = nearest(name, self.definitions, "bind it with define(network, name=...)")
            raise CompileError(refusal(path, f"a name that is defined here ({listed})", name, remedy))
        return self.definitions[name]


def make_part(term: Term, scope: Scope, path: str = "root", label: str | None = None) -> Part:
    """The part at a place, with definitions and references resolved.

    Raises:
        CompileError: an undefined name, or a term that is no network, such as an open choice.
    """
    match term:
        case tree.Define(body, bindings):
            return make_part(body, scope.defining(bindings), f"{path}.body", label)
        case tree.Ref(name):
            body, inner = scope.resolve(name, path)
            return make_part(body, inner, f"{path}->{name}", name)
        case tree.Op():
            return _primitive_part(term, scope, path, label)
        case tree.Seq(parts):
            return SequencePart(_making(parts, scope, f"{path}.parts"), label or "sequence")
        case tree.Repeat(body, low, high) if low == high:
            return SequencePart(_making((body,) * low, scope, f"{path}.body"), label or "repeat")
    hint = "fill its holes before compiling" if list(tree.children(term)) else "write a network here"
    got = f"{type(term).__name__} {one_line(term, 60)}"
    raise CompileError(refusal(path, "a network", got, hint))


def _making(terms: tuple[Term, ...], scope: Scope, path: str) -> Callable[[], tuple[Part, ...]]:
    return lambda: tuple(make_part(term, scope, f"{path}[{i}]") for i, term in enumerate(terms))


def _primitive_part(op: tree.Op, scope: Scope, path: str, label: str | None) -> PrimitivePart:
    place = f'{path} "{op.name}"'
    reason = scope.vocabulary.check(op.name, [name for name, _ in op.attributes], len(op.args))
    if reason is not None:
        raise CompileError(f"{place}: {reason}")
    if op.name == "train" and not set(path.split(".")) <= {"root", "body"}:
        expected, remedy = "train(...) at the root alone", "write it around the whole expression"
        raise CompileError(refusal(place, expected, "it inside, where its settings never apply", remedy))
    primitive = scope.vocabulary.get(op.name)
    if primitive.shape is None or primitive.build is None:
        got = f"a primitive of kind {primitive.kind}"
        raise CompileError(refusal(place, "a network", got, "take one that builds a layer"))
    given = {name: _value(primitive, name, value, scope, place) for name, value in op.attributes}
    return PrimitivePart(primitive, given, _making(op.args, scope, f"{path}.args"), path, label or op.name)


def _value(primitive: Primitive, name: str, term: Term, scope: Scope, place: str) -> Any:
    """A checked attribute value; it may refer to a definition."""
    while isinstance(term, tree.Ref):
        term, scope = scope.resolve(term.name, place)
    if not isinstance(term, tree.Literal):
        got = f"{type(term).__name__} {one_line(term, 60)}"
        raise CompileError(
            refusal(place, f"a plain value for {name}", got, "write the value itself, such as 3")
        )
    attribute = primitive.attribute(name)
    assert attribute is not None, "Vocabulary.check knows the names"
    reason = attribute.check(term.value)
    if reason is not None:
        raise CompileError(f"{place}: {reason}")
    return term.value


class SideError(CompileError):
    """A CompileError of the sides of images, on its way to `at_sides`; see `SideMismatch`."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}; {remedy}")
        self.reason, self.remedy = reason, remedy


T = TypeVar("T")
_FAR = (4096, 4095, 4094, 4093)  # sides that are large and leave any remainder by 4
_NEAR = 32  # pixels around the given side in which others are looked for


def at_sides(shape: Callable[[Shape], T], in_shape: Shape) -> T:
    """`shape(in_shape)`; where the sides of the images are the fault, the error names those that fit.

    Raises:
        CompileError: as `shape`.
    """
    try:
        return shape(in_shape)
    except SideError as error:
        images = _other_sides(shape, in_shape)
        raise CompileError(f"{error.reason}; {images}{error.remedy}") from None


def _other_sides(shape: Callable[[Shape], Any], in_shape: Shape) -> str:
    """A remedy on the images, with " or "; empty where it is not their sides that do not fit."""
    if len(in_shape) != 3:
        return ""
    channels, *sides = in_shape

    def fits(side: int) -> bool:
        try:
            shape((channels, side, side))
        except NasError:
            return False
        return True

    if not any(map(fits, _FAR)):
        return ""
    side = next((side for side in sides if not fits(side)), None)
    if side is None:
        return ""
    above = list(itertools.islice(filter(fits, range(side + 1, side + _NEAR + 1)), 3))
    below = list(itertools.islice(filter(fits, range(side - 1, max(0, side - _NEAR - 1), -1)), 1))
    if not below and len(above) == 3 and above[2] == above[0] + 2:
        listed = f"at least {above[0]}"
    elif below or above:
        *most, last = map(str, (below + above)[:3])
        listed = f"{', '.join(most)} or {last}" if most else last
    else:
        return ""
    return (
        f"sides of {side} do not fit: give images with sides of {listed} pixels (a folder's are scaled "
        f"with evaluator.image_size={(below + above)[0]}), or "
    )


@contextmanager
def _placed(place: str, what: str) -> Iterator[None]:
    try:
        yield
    except SideMismatch as misfit:
        raise SideError(f"{place}: {misfit.reason}", misfit.remedy) from None
    except ShapeMismatch as misfit:
        raise CompileError(f"{place}: {misfit}") from None
    except (NasError, RecursionError, MemoryError):
        raise
    except Exception as error:  # the user's code runs here
        if what == "builder" and isinstance(error, RuntimeError):  # torch's, as when memory runs out
            raise
        remedy = 'raise nas.language.ShapeMismatch("expected ..., got ...; remedy") where it does not fit'
        message = refusal(place, f"its {what} to work", describe_error(error), remedy)
        raise CompileError(message) from error


def _checked_shape(shape: object, place: str) -> Shape:
    whole = isinstance(shape, tuple) and shape and all(isinstance(side, Integral) for side in shape)
    if not whole:
        expected = "its shape rule to return a tuple of integers, (C, H, W) or (F,)"
        raise CompileError(refusal(place, expected, quoted(shape), "return such a tuple"))
    return shape  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class PrimitivePart:
    """A primitive with its attributes checked; `make` gives the parts that are its arguments."""

    primitive: Primitive
    given: Mapping[str, Any]
    make: Callable[[], tuple[Part, ...]]
    path: str
    label: str

    @property
    def name(self) -> str | None:
        return self.primitive.name

    @property
    def parts(self) -> tuple[Part, ...]:
        return self.make()

    @property
    def steps(self) -> tuple[Part, ...]:
        return (self,)

    def takes_stride(self) -> bool:
        stride = self.primitive.attribute("stride")
        if stride is not None:
            return stride.default is INHERIT and "stride" not in self.given
        return any(part.takes_stride() for part in self.parts)

    def attributes(self, context: Context) -> Mapping[str, Any]:
        filled = {a.name: a.default for a in self.primitive.attributes} | dict(self.given)
        return {name: getattr(context, name) if value is INHERIT else value for name, value in filled.items()}

    def shape(self, in_shape: Inputs, context: Context) -> Shape:
        assert self.primitive.shape is not None, "checked when the part was made"
        place = f'{self.path} "{self.name}"'
        with _placed(place, "shape rule"):
            found = self.primitive.shape(in_shape, self.attributes(context), self.parts, context)
        return _checked_shape(found, place)

    def build(self, in_shape: Inputs, context: Context) -> nn.Module:
        assert self.primitive.build is not None, "checked when the part was made"
        from torch import nn

        place = f'{self.path} "{self.name}"'
        with _placed(place, "builder"):
            module = self.primitive.build(in_shape, self.attributes(context), self.parts, context)
        if not isinstance(module, nn.Module):
            remedy = "return one, such as torch.nn.Identity()"
            raise CompileError(refusal(place, "its builder to return a torch module", quoted(module), remedy))
        return module


@dataclass(frozen=True, slots=True)
class SequencePart:
    """One part after the other; a stride from outside goes to the first part that can take it."""

    make: Callable[[], tuple[Part, ...]]
    label: str

    @property
    def name(self) -> str | None:
        return None

    @property
    def parts(self) -> tuple[Part, ...]:
        return self.make()

    @property
    def steps(self) -> tuple[Part, ...]:
        return tuple(step for part in self.parts for step in part.steps)

    def takes_stride(self) -> bool:
        return any(part.takes_stride() for part in self.parts)

    def attributes(self, context: Context) -> Mapping[str, Any]:  # noqa: ARG002 - a sequence has none
        return {}

    def shape(self, in_shape: Inputs, context: Context) -> Shape:
        shape = in_shape
        for part, inner in in_context(self.parts, context):
            shape = part.shape(shape, inner)
        return shape  # type: ignore[return-value] - a pair reaches cells only

    def build(self, in_shape: Inputs, context: Context) -> nn.Module:
        from torch import nn

        modules = nn.Sequential()
        shape = in_shape
        for index, (part, inner) in enumerate(in_context(self.parts, context)):
            modules.add_module(f"{part.label}_{index}", part.build(shape, inner))
            shape = part.shape(shape, inner)
        return modules


def in_context(parts: tuple[Part, ...], context: Context) -> Iterator[tuple[Part, Context]]:
    """The parts of a sequence, each with its context: the first that takes a stride uses it up."""
    for part in parts:
        yield part, context
        if context.stride != 1 and part.takes_stride():
            context = replace(context, stride=1)
