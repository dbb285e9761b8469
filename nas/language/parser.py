"""Reads the language's text with `ast`; nothing is evaluated."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Mapping

from nas.errors import SpaceError, one_line, quoted
from nas.language.terms import (
    MAX_DEPTH,
    MAX_INTEGER,
    Literal,
    Name,
    Op,
    Ref,
    Term,
    Value,
    as_term,
    branches,
    check_extent,
    check_name,
    choice,
    seq,
)

Constructors = Mapping[str, Callable[..., Term]]

MAX_TEXT = 1_000_000  # characters; far above any real space, a guard against files that are none
MAX_NESTING = MAX_DEPTH


def read(text: str, constructors: Constructors) -> Term:
    """The term denoted by `text`; calls of a constructor's name go to it, all others make an Op.

    Raises:
        SpaceError: with line and column of what is not of the language.
    """
    if not isinstance(text, str):
        raise SpaceError(f"text: expected an expression as a text, got {quoted(text)}")
    if len(text) > MAX_TEXT:
        got = f"text of {len(text)} characters"
        raise SpaceError(f"{got}; at most {MAX_TEXT} are read; write copies as repeat, or build it in Python")
    if not text.strip():
        raise SpaceError(
            "text, line 1, column 1: invalid syntax; an expression is expected, the text is empty"
        )
    skipped = text[: len(text) - len(text.lstrip())].count("\n")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what Python only warns of, such as "\d", is refused as well
            tree = ast.parse("\n" * skipped + text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line, column = getattr(error, "lineno", None) or 1, getattr(error, "offset", None) or 1
        message = one_line(getattr(error, "msg", None) or str(error) or type(error).__name__)
        if "integer string conversion" in message:  # Python's advice is to lift a limit of its own
            message = f"expected an integer of at most {MAX_INTEGER}, got one of thousands of digits"
        if isinstance(error, RecursionError | MemoryError):  # of Python's own parser
            message = f"nested too deep, or a chain of too many steps ({message}); use repeat or define(...)"
        raise SpaceError(
            f"text, line {line}, column {column}: {message}; an expression is expected"
        ) from None
    try:
        term = _Reader(constructors).term(tree.body, frozenset(), 0)
    except RecursionError:
        raise _error(tree.body, "nested too deep to be read here; name parts with define(...)") from None
    try:
        check_extent(term)
    except SpaceError as error:
        raise _error(tree.body, str(error)) from None
    return term


class _Reader:
    def __init__(self, constructors: Constructors) -> None:
        self.constructors = constructors

    def term(self, node: ast.expr, parts: frozenset[str], level: int) -> Term:
        """The term of one syntax node; `parts` are the names that Define and Rule bind here."""
        if level > MAX_NESTING:
            raise _error(node, f"nested more than {MAX_NESTING} levels deep; name parts with define(...)")
        match node:
            case ast.BinOp(left, ast.RShift() | ast.BitOr() | ast.Add() as operator, right):
                return self._operator(left, operator, right, parts, level)
            case ast.Call(ast.Name(name) | ast.Attribute(ast.Name("op"), name), args, keywords):
                return self._call(node, name, args, keywords, parts, level)
            case ast.Name(name):
                return self._made(node, lambda: _reference(name, parts))
            case ast.Attribute(ast.Name("op"), name):
                raise _error(node, f"{_kind(node)} lacks its parentheses: write {one_line(name, 60)}()")
            case ast.Constant() | ast.Tuple() | ast.UnaryOp():
                return _literal(node)
            case _:
                raise _error(
                    node, f"{_kind(node)} is not of the language; calls, names, values, >>, | and + are"
                )

    def _operator(
        self, left: ast.expr, operator: ast.operator, right: ast.expr, parts: frozenset[str], level: int
    ) -> Term:
        # a chain a >> b >> c leans left: walked in a loop, so that long chains do not nest
        chain = [right]
        while isinstance(left, ast.BinOp) and type(left.op) is type(operator):
            chain.append(left.right)
            left = left.left
        terms = [self.term(item, parts, level + 1) for item in (left, *reversed(chain))]
        match operator:
            case ast.RShift():
                return self._made(right, lambda: seq(*terms))
            case ast.BitOr():
                return self._made(right, lambda: choice(*terms))
            case _:
                return self._made(right, lambda: branches("add", *terms))

    def _call(
        self,
        node: ast.Call,
        name: str,
        args: list[ast.expr],
        keywords: list[ast.keyword],
        parts: frozenset[str],
        level: int,
    ) -> Term:
        if any(isinstance(arg, ast.Starred) for arg in args) or any(k.arg is None for k in keywords):
            raise _error(node, "* and ** are not of the language; write the arguments out")
        seen: set[str | None] = set()
        for given in keywords:
            if given.arg in seen:
                raise _error(given, f"{one_line(given.arg, 60)}= is given twice; once is expected")
            seen.add(given.arg)
        if bound := self._bound(node, name, args, keywords):
            parts = parts | bound
        positional = [self.term(arg, parts, level + 1) for arg in args]
        named = {str(k.arg): self.term(k.value, parts, level + 1) for k in keywords}
        constructor = self.constructors.get(name)

        def make() -> Term:
            if constructor is None:
                for word in (name, *named):
                    check_name("name", word)
                return Op(name, tuple(positional), tuple(named.items()))
            if name in ("define", "program"):  # their keywords name parts and outputs, which are terms
                return constructor(*positional, **named)
            return constructor(*map(_plain, positional), **{key: _plain(v) for key, v in named.items()})

        return self._made(node, make)

    @staticmethod
    def _made(node: ast.expr, make: Callable[[], Term]) -> Term:
        """What `make` gives; a refusal gets the node's place."""
        try:
            return make()
        except (SpaceError, TypeError) as error:
            raise _error(node, one_line(error)) from None

    def _bound(
        self, node: ast.Call, name: str, args: list[ast.expr], keywords: list[ast.keyword]
    ) -> frozenset[str]:
        if name == "define":
            return frozenset(str(k.arg) for k in keywords)
        if name == "rule":
            if not (args and isinstance(args[0], ast.Constant) and isinstance(args[0].value, str)):
                raise _error(node, 'rule: its name is expected first, e.g. rule("block", ..., depth=3)')
            return frozenset((args[0].value,))
        return frozenset()


def _reference(name: str, parts: frozenset[str]) -> Term:
    check_name("name", name)
    return Ref(name) if name in parts else Name(name)


def _plain(term: Term) -> object:
    """Constructors take plain values for bounds, names and flags."""
    return term.value if isinstance(term, Literal) else term


def _literal(node: ast.expr) -> Term:
    value = _value(node)
    try:
        return as_term(value)
    except SpaceError as error:
        raise _error(node, str(error)) from None


def _value(node: ast.expr) -> Value:
    match node:
        case ast.Constant(value) if value is None or isinstance(value, bool | int | float | str):
            return value
        case ast.UnaryOp(ast.USub(), ast.Constant(int() | float() as number)) if not isinstance(number, bool):
            return -number
        case ast.Tuple(items):
            return tuple(_value(item) for item in items)
        case _:
            raise _error(
                node, f"{_kind(node)} is no plain value (number, string, True, False, None or a tuple)"
            )


def _kind(node: ast.AST) -> str:
    try:
        text = ast.unparse(node)
    except (RecursionError, ValueError):  # nested too deep, or an integer of endless digits
        return f"this {type(node).__name__}"
    return '"' + " ".join(text.split())[:40] + '"'


def _error(node: ast.expr | ast.keyword, message: str) -> SpaceError:
    return SpaceError(f"text, line {node.lineno}, column {node.col_offset + 1}: {message}")
