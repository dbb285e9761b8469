"""The words of an expression: Primitive, its attributes, its rules, and the Vocabulary that holds them.

Primitives and functions state the laws that they obey, on which rewritings rely.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias

from nas.callables import load
from nas.errors import SpaceError, describe_error, quoted
from nas.language.dsl import WORDS
from nas.language.terms import check_name

if TYPE_CHECKING:
    from torch import nn


class Law(StrEnum):
    """One algebraic law; it holds exactly in floating point, for every value of attributes and weights.

    Laws of one argument are about its values, of a network's layer about what comes in.
    """

    COMMUTES = "commutes"  # its arguments may come in any order, as far as their types allow
    IDEMPOTENT = "idempotent"  # f(f(x)) = f(x); of two arguments f(x, x) = x
    INVOLUTION = "involution"  # f(f(x)) = x
    IGNORES_SIGN = "ignores_sign"  # f(-x) = f(x)
    NEGATES = "negates"  # f(x) = -x
    KEEPS_ZERO = "keeps_zero"  # zeros in, zeros out; and no weights


Shape: TypeAlias = tuple[int, ...]  # of one example, without the batch dimension: (C, H, W) or (F,)
Inputs: TypeAlias = Shape | tuple[Shape, Shape]  # a cell in a chain reads the two previous outputs
Kind = Literal["int", "float", "str", "bool", "ints"]


class Default(Enum):
    """What stands in for an attribute that is not given."""

    REQUIRED = "required"  # nothing does: it is an error
    INHERIT = "inherit"  # the field of the same name in the compile context


REQUIRED: Final = Default.REQUIRED
INHERIT: Final = Default.INHERIT


class ShapeMismatch(ValueError):
    """Raised by rules and builders as "expected; got; remedy"; compiling adds the place."""


class SideMismatch(ShapeMismatch):
    """A misfit of heights or widths alone, which images of other sides may not have.

    Args:
        reason: "expected; got".
        remedy: in the expression; compiling adds the sides of images that fit, if any do.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}; {remedy}")
        self.reason, self.remedy = reason, remedy


@dataclass(frozen=True, slots=True)
class Context:
    """What parts inherit from the composites around them.

    Attributes:
        num_classes: outputs of `head`, or None where none may occur.
        width: channels of operations that do not give their own; None: as many as come in.
        stride: 2 on the edges that leave the inputs of a reduction cell, otherwise 1.
        affine: whether normalisation has a learnt scale and shift.
        mode: in "search", as in the papers' supernets, cell pooling ends in a normalisation.
    """

    num_classes: int | None
    width: int | None = None
    stride: int = 1
    affine: bool = True
    mode: Literal["standard", "search"] = "standard"


class Part(Protocol):
    """A sub-expression at its place, as the rules of composites see it.

    `label` is the name of the definition or the primitive, for the module tree, `name` that of the
    primitive, None for a sequence. `parts` are those of a sequence, copies of a `repeat` included,
    or the arguments of a primitive; `steps` are the primitives of a sequence in order, nested ones
    flattened, or the primitive itself.
    """

    @property
    def label(self) -> str: ...

    @property
    def name(self) -> str | None: ...

    @property
    def parts(self) -> tuple[Part, ...]: ...

    @property
    def steps(self) -> tuple[Part, ...]: ...

    def takes_stride(self) -> bool:
        """Whether a stride of the context would have an effect here."""
        ...

    def attributes(self, context: Context) -> Mapping[str, Any]:
        """Values of all attributes, those not given filled in."""
        ...

    def shape(self, in_shape: Inputs, context: Context) -> Shape:
        """Shape that comes out; raises CompileError with the place of the fault."""
        ...

    def build(self, in_shape: Inputs, context: Context) -> nn.Module:
        """A new module with weights of its own."""
        ...


ShapeRule: TypeAlias = Callable[[Any, Mapping[str, Any], tuple[Part, ...], Context], Shape]
Builder: TypeAlias = Callable[[Any, Mapping[str, Any], tuple[Part, ...], Context], "nn.Module"]


@dataclass(frozen=True, slots=True)
class Lazy:
    """A function named "module:function", imported when called: naming it costs no torch.

    Its `leading` arguments come before those of the call.
    """

    target: str
    leading: tuple[Any, ...] = ()

    def __call__(self, *args: Any) -> Any:
        return load(self.target)(*self.leading, *args)


@dataclass(frozen=True, slots=True)
class Attribute:
    """A named value of a primitive.

    Attributes:
        name: as written in the expression.
        kind: "ints" is a tuple of integers; a "float" may be written as an integer.
        default: `REQUIRED`, `INHERIT` or a value; where that is None, None may also be given.
        low: least value, inclusive; for "ints", of each element.
        high: greatest value, inclusive.
        choices: the values there are, or None for all of the kind.
        summary: one line.
        rule: a further check of a value of the kind: the reason against it, or None.
    """

    name: str
    kind: Kind
    default: Any = REQUIRED
    low: float | None = None
    high: float | None = None
    choices: tuple[Any, ...] | None = None
    summary: str = ""
    rule: Callable[[Any], str | None] | None = None

    def __post_init__(self) -> None:
        check_name("attribute", self.name)
        if self.kind not in _NOUNS:
            kinds = ", ".join(map(repr, _NOUNS))
            raise SpaceError(
                f"attribute {self.name}: expected kind to be one of {kinds}, got {quoted(self.kind)}"
            )

    def check(self, value: Any) -> str | None:
        """Why `value` is not admissible, in one line, or None if it is.

        Raises:
            SpaceError: a rule of the user's that raises.
        """
        if value is None and self.default is None:
            return None
        if self._admits(value):
            return None if self.rule is None else self._ruled(value)
        return f"{self.name}: expected {self.domain()}; got {quoted(value)}"

    def _ruled(self, value: Any) -> str | None:
        assert self.rule is not None
        try:
            reason = self.rule(value)
        except Exception as error:  # the user's code runs here
            raised = f"its rule raised {describe_error(error)} on {quoted(value)}"
            raise SpaceError(
                f"attribute {self.name}: {raised}; a rule returns None, or the reason"
            ) from error
        if reason is not None and not isinstance(reason, str):
            answer = f"its rule's answer is None or the reason; got {quoted(reason)} on {quoted(value)}"
            raise SpaceError(f"attribute {self.name}: {answer}")
        return reason

    def domain(self) -> str:
        """The admissible values in words, e.g. "an integer of at least 1"."""
        if self.choices is not None:
            return "one of " + ", ".join(repr(choice) for choice in self.choices)
        noun = _NOUNS[self.kind]
        ends = (("at least", self.low), ("at most", self.high))
        bounds = " and ".join(f"{word} {bound}" for word, bound in ends if bound is not None)
        return f"{noun} of {bounds}" if bounds else noun

    def _admits(self, value: Any) -> bool:
        if self.kind == "ints":
            fits = isinstance(value, tuple) and all(self._is_number(item, int) for item in value)
            return fits and (self.choices is None or value in self.choices)
        if self.kind == "int":
            fits = self._is_number(value, int)
        elif self.kind == "float":
            fits = self._is_number(value, (int, float))
        else:
            fits = isinstance(value, str if self.kind == "str" else bool)
        return fits and (self.choices is None or value in self.choices)

    def _is_number(self, value: Any, types: type | tuple[type, ...]) -> bool:
        if isinstance(value, bool) or not isinstance(value, types) or not math.isfinite(value):
            return False
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)


_NOUNS: Final = {
    "int": "an integer",
    "float": "a finite number",
    "str": "a text",
    "bool": "True or False",
    "ints": "a tuple of integers",
}


@dataclass(frozen=True, slots=True)
class Primitive:
    """One word: its attributes, how many expressions it takes, and its rules.

    Attributes:
        name: as written in the expression.
        attributes: all of them, in the order of the documentation.
        arity: least and greatest number of positional expressions; None for no bound.
        summary: one line, with the source where there is one.
        shape: `(in_shape, attributes, parts, context) -> out_shape`, without torch; raises `ShapeMismatch`.
        build: the same arguments -> module; a `Lazy` one keeps torch out until it is called.
        kind: "network" for what compiles to a module; other languages name their own.
        laws: that it obeys.
    """

    name: str
    attributes: tuple[Attribute, ...] = ()
    arity: tuple[int, int | None] = (0, 0)
    summary: str = ""
    shape: ShapeRule | None = None
    build: Builder | Lazy | None = None
    kind: str = "network"
    laws: frozenset[Law] = frozenset()

    def __post_init__(self) -> None:
        check_name("primitive", self.name)
        if self.name in WORDS:
            raise SpaceError(
                f"primitive {self.name}: expected another name, as this is a word of the language"
            )
        listed = isinstance(self.attributes, tuple | list)
        if not listed or not all(isinstance(each, Attribute) for each in self.attributes):
            got = quoted(self.attributes)
            raise SpaceError(
                f"primitive {self.name}: expected attributes as (Attribute(...), ...), got {got}"
            )
        pair = self.arity if isinstance(self.arity, tuple) and len(self.arity) == 2 else (None, 0)
        if not isinstance(pair[0], int) or not isinstance(pair[1], int | None):
            got = f"{quoted(self.arity)}; write (1, 1) for exactly one, (0, None) for any number"
            raise SpaceError(f"primitive {self.name}: expected arity as (least, greatest), got {got}")

    def attribute(self, name: str) -> Attribute | None:
        """The attribute called `name`, or None."""
        return next((attribute for attribute in self.attributes if attribute.name == name), None)

    def check(self, attributes: Iterable[str], number_of_args: int) -> str | None:
        """Why these attribute names and this number of arguments do not fit, in one line, or None."""
        given, known = tuple(attributes), tuple(attribute.name for attribute in self.attributes)
        for name in given:
            if name not in known:
                has = ", ".join(known) or "none"
                return f'"{self.name}" has no attribute "{name}"; it has: {has}{_hint(name, known)}'
        least, most = self.arity
        if number_of_args < least or (most is not None and number_of_args > most):
            free = [name for name in known if name not in given]
            named = (
                f"; values are given by name: {self.name}({free[0]}=...)" if free and number_of_args else ""
            )
            return f'"{self.name}" expects {_count(least, most)}; got {number_of_args}{named}'
        missing = [a.name for a in self.attributes if a.default is REQUIRED and a.name not in given]
        if missing:
            got = ", ".join(given) or "none"
            return f'"{self.name}" expects the attribute "{missing[0]}"; got {got}; write {missing[0]}=...'
        return None


def _count(least: int, most: int | None) -> str:
    if most is None:
        return f"at least {least} expression(s) inside its parentheses"
    return f"{least if least == most else f'{least} to {most}'} expression(s) inside its parentheses"


def _hint(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, tuple(known), n=1)
    return f'; did you mean "{close[0]}"?' if close else ""


# The platform's own vocabularies by their names, which stay for good, with their homes, which may change.
VOCABULARIES: Mapping[str, str] = {
    "network": "nas.layers:NETWORK",
    "update rules": "nas.search_spaces.update_rule:UPDATE_RULES",
    "activation functions": "nas.search_spaces.activation:ACTIVATIONS",
}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The primitives that an expression may use.

    Attributes:
        name: for messages; of the platform's own (`VOCABULARIES`) also the identity, so no other may have it.
        primitives: in the order of the documentation; names are unique.
        home: "module:ATTRIBUTE", as which it pickles; without it, it pickles by value.
        meaning: "module:ATTRIBUTE" of what its expressions compute (`nas.programs.program`); None for
            networks.
    """

    name: str
    primitives: tuple[Primitive, ...]
    home: str | None = None
    meaning: str | None = None
    _index: dict[str, Primitive] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if VOCABULARIES.get(self.name, self.home) != self.home:
            taken = f"the platform's own at {VOCABULARIES[self.name]} has this one"
            raise SpaceError(f'vocabulary "{self.name}": expected another name, as {taken}; choose one')
        index: dict[str, Primitive] = {}
        for primitive in self.primitives:
            if not isinstance(primitive, Primitive):
                got = quoted(primitive)
                raise SpaceError(f'vocabulary "{self.name}": expected Primitive(...), got {got}')
            if index.setdefault(primitive.name, primitive) is not primitive:
                raise SpaceError(f'vocabulary "{self.name}": primitive "{primitive.name}" is there already')
        object.__setattr__(self, "_index", index)

    def __hash__(self) -> int:
        return hash((self.name, self.home))

    def __contains__(self, name: str) -> bool:
        return name in self._index

    def __iter__(self) -> Iterator[Primitive]:
        return iter(self.primitives)

    def __reduce__(self) -> tuple[Any, ...]:
        if self.home is None:
            return (Vocabulary, (self.name, self.primitives, None, self.meaning))
        if load(self.home) is not self:
            raise SpaceError(f'vocabulary "{self.name}": its home {self.home} holds another object')
        return (load, (self.home,))

    @property
    def identity(self) -> str:
        """What logs call it: the name of one of the platform's own; of others the home, if there is one."""
        return self.name if self.name in VOCABULARIES else self.home or self.name

    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted(self._index))

    def get(self, name: str) -> Primitive:
        """The primitive called `name`; raises SpaceError listing the names if there is none."""
        if name not in self._index:
            raise SpaceError(self._unknown(name))
        return self._index[name]

    def extended(self, name: str, *primitives: Primitive, home: str | None = None) -> Vocabulary:
        """A new vocabulary with further primitives; raises SpaceError if a name is taken."""
        return Vocabulary(name, self.primitives + primitives, home)

    def check(self, op_name: str, attributes: Iterable[str], number_of_args: int) -> str | None:
        """Why this use of names does not fit, in one line, or None; values are `Attribute.check`'s."""
        if op_name not in self._index:
            return self._unknown(op_name)
        return self._index[op_name].check(attributes, number_of_args)

    def _unknown(self, name: str) -> str:
        has = ", ".join(self.names()) + _hint(name, (*self._index, *WORDS))
        return f'primitive "{name}" is not in the vocabulary "{self.name}"; it has: {has}'
