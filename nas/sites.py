"""Sites: the occurrences of sub-terms in an expression, each with its own number.

The same Python object may occur at several places of an expression, and two places are two
decisions; therefore sites, not terms, carry the addresses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from nas.term import Define, Let, Op, Program, Repeat, Rule, Term, children

FIXED: Final = 0  # no hole inside: derivation skips it
NODE: Final = 1  # holes in the children only
CHOICE: Final = 2
NUMBER: Final = 3
REPEAT: Final = 4
SHARED: Final = 5
RULE: Final = 6
EXPAND: Final = 7  # a reference to a rule
LET: Final = 8
BIND: Final = 9  # end of a LET: its value comes into scope
USE: Final = 10
PROGRAM: Final = 11


MAX_LABEL: Final = 200  # characters of a label in front of its last word; deeper places lose their beginning


class Site:
    """One occurrence of a term.

    Attributes:
        kind: one of the constants above.
        term: the term that stands there.
        index: number of the site in its space, depth first: the stable part of a decision's address.
        label: readable address, see `labels`.
        children: sites of the direct sub-terms, in the order of `term.children`; of a reference to a
            rule the rule's body.
        active: what of the children is to be decided, last first, as a stack takes it.
        options: of a CHOICE or an integer NUMBER or a REPEAT, all of its options.
        recursive: whether the depth bound of a rule may forbid something inside.
        plain: of a FIXED site, the term as architectures hold it, kept from its first use.
        distinct: whether every other option gives another architecture, kept from its first use.
        slot: RULE, EXPAND: number of the rule; LET, BIND: number of the statement; USE, LET: see `type`.
    """

    __slots__ = (
        "active",
        "children",
        "distinct",
        "index",
        "kind",
        "label",
        "options",
        "plain",
        "recursive",
        "slot",
        "term",
    )

    def __init__(self, kind: int, term: Term, index: int, label: str) -> None:
        self.kind = kind
        self.term = term
        self.index = index
        self.label = label
        self.children: tuple[Site, ...] = ()
        self.active: tuple[Site, ...] = ()
        self.options: tuple[int, ...] | range = ()
        self.recursive = False
        self.slot = 0
        self.plain: Term | None = None
        self.distinct: bool | None = None


@dataclass(slots=True)
class Layout:
    """All sites of an expression.

    Attributes:
        root: site of the whole expression.
        sites: by index.
        rules: depth bounds of the rules, by slot.
        inputs: (name, type) of the program's inputs; empty without a program.
        lets: types of the statements, by slot.
        texts: of the hole-free parts that architectures share, by `id`; filled as they are met.
    """

    root: Site
    sites: list[Site]
    rules: list[int]
    inputs: tuple[tuple[str, str], ...]
    lets: list[str]
    texts: dict[int, str] = field(default_factory=dict)


def labels(term: Term, label: str) -> list[str]:
    """Readable addresses of the direct sub-terms of a term at `label`.

    They name primitives, attributes, parts, rules and outputs, e.g. "train.residual.conv.kernel". What has no
    name, or shares it with one beside it, is counted from 0: "cell.node[1][0]" is the first argument of the
    second node.
    """
    match term:
        case Op(_, args, attributes):
            return _beside(args, label) + [_joined(label, key) for key, _ in attributes]
        case Let():
            return [label]
        case Repeat(body):
            return [_joined(label, _name(body) or "body")]
        case Rule(name, _):
            return [_joined(label, name)]
        case Define(_, bindings):
            return [name for name, _ in bindings] + [label]
        case Program(_, body, outputs):
            return _beside([body], _joined(label, "program")) + [_joined(label, key) for key, _ in outputs]
        case _:
            return _beside(children(term), label)


def root_label(term: Term) -> str:
    """Address of a whole expression: the name of its primitive, or "root"."""
    return term.name if isinstance(term, Op) else "root"


def _beside(parts: Sequence[Term], label: str) -> list[str]:
    names = [_name(part) for part in parts]
    several = Counter(name for name in names if name)
    seen: Counter[str] = Counter()
    found = []
    for i, name in enumerate(names):
        if name is None:
            found.append(label if len(parts) == 1 else f"{label}[{i}]")
            continue
        found.append(_joined(label, name) + (f"[{seen[name]}]" if several[name] > 1 else ""))
        seen[name] += 1
    return found


def _name(term: Term) -> str | None:
    while isinstance(term, Let):
        term = term.body
    return term.name if isinstance(term, Op) else None


def _joined(label: str, name: str) -> str:
    if label == "root":
        return name
    return f"{label if len(label) <= MAX_LABEL else f'...{label[-MAX_LABEL:]}'}.{name}"
