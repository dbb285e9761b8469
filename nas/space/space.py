"""SearchSpace: what may exist; also read from a text file with the expression as `print(space)` shows it."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from nas.callables import describe, load, stable
from nas.errors import ConfigError, SpaceError, describe_error, one_line, quoted
from nas.language import MAX_TEXT, Term, check_extent, to_text
from nas.language import parse as parse_term
from nas.space import counting, matching
from nas.space import sites as vetting
from nas.space.architecture import Architecture, Decision
from nas.space.derivation import Derivation, retrace, settle
from nas.space.sites import lay_out

if TYPE_CHECKING:
    from nas.language import Vocabulary


_STANDARD: Final = "nas.layers:NETWORK"  # by its name: layers build on spaces, and are loaded on demand
MAX_SPACE_NAME: Final = 255  # characters; it names files and rows

Constraint = Callable[[Architecture], "str | None"]  # None: satisfied; otherwise the reason, one line


class SearchSpace:
    """An expression with holes: the set of architectures that fill them.

    Args:
        name: short identifier; appears in logs and error messages.
        expression: a term, or its text.
        vocabulary: the primitives it may use; None for the standard networks' (`nas.layers.NETWORK`).
        constraints: callables `architecture -> None | reason`; must be picklable for workers.
        gate: how a supernet relaxes k inputs out of n of its cells' nodes: with "none", each edge may also
            be none, as in DARTS; None where no node chooses its inputs. It changes no architecture.

    Raises:
        SpaceError: unknown primitives or attributes, values out of range, unbound or clashing names,
            a rule that cannot end within its depth.
    """

    def __init__(
        self,
        name: str,
        expression: Term | str,
        *,
        vocabulary: Vocabulary | None = None,
        constraints: Sequence[Constraint] = (),
        gate: str | None = None,
    ) -> None:
        if vocabulary is None:
            vocabulary = load(_STANDARD)
        self.name = _checked_name(name)
        self.expression = parse_term(expression) if isinstance(expression, str) else expression
        self.vocabulary = _checked_vocabulary(name, vocabulary)
        self.constraints = _checked_constraints(name, constraints)
        if gate not in (None, "none"):
            raise SpaceError(f'{name}: gate: "none" or None is expected; got {gate!r}')
        self.gate = gate
        try:
            self._prepare()
        except RecursionError:
            remedy = "name parts with define(...), or lower the depth of rules inside rules"
            raise SpaceError(f"{name}: nested too deep; {remedy}") from None

    def _prepare(self) -> None:
        if not isinstance(self.expression, Term):
            got = f"{type(self.expression).__name__} {quoted(self.expression)}"
            raise SpaceError(f"{self.name}: an expression or its text is expected; got {got}")
        try:
            check_extent(self.expression)
        except SpaceError as error:
            raise SpaceError(f"{self.name}: {error}") from None
        vetting.check_expression(self.name, self.expression, self.vocabulary)
        self.layout = lay_out(self.expression, self.name)
        self.counter = counting.Counter(self.layout, self.name)
        if not self.counter.can_finish(self.layout.root, (0,) * len(self.layout.rules)):
            raise SpaceError(f"{self.name}: no end within a rule's depth; give it an option without itself")

    def __str__(self) -> str:
        return to_text(self.expression)

    def __repr__(self) -> str:
        return f"SearchSpace({self.name!r}, {str(self)!r})"

    @cached_property
    def _start(self) -> Derivation:
        depths = (0,) * len(self.layout.rules)
        return settle(self, (self.layout.root, (), depths, None), frozenset(), (), None)

    def start(self) -> Derivation:
        """The derivation with no decision taken yet."""
        return self._start

    def parse(self, text: str) -> Architecture:
        """The architecture with that text; the first in derivation order where several have it.

        Attributes may stand in any order, and repeats may be written out or not.

        Raises:
            SpaceError: malformed text, or an expression that is not in the space; with the place.
        """
        try:
            return self.architecture(matching.match(self, parse_term(text)))
        except RecursionError:
            raise SpaceError(f"{self.name}: the text is nested too deep to be read here") from None

    def architecture(self, decisions: Sequence[Decision]) -> Architecture:
        """The architecture that these decisions describe; they are trusted, see `check`."""
        return Architecture(self.name, self.vocabulary, tuple(decisions), self)

    def architecture_from_json(self, data: Any) -> Architecture:
        """Inverse of `Architecture.to_json`; the decisions are replayed and checked.

        Raises:
            SpaceError: decisions of another space, or damaged ones.
        """
        if not isinstance(data, dict) or not isinstance(data.get("decisions"), list):
            got = quoted(data, 80)
            raise SpaceError(f'{self.name}: {{"space": ..., "decisions": [...]}} is expected; got {got}')
        if data.get("space") != self.name:
            got = one_line(data.get("space"))
            raise SpaceError(f"{self.name}: an architecture of this space is expected; got one of {got}")
        return retrace(self.start(), [Decision.from_json(item) for item in data["decisions"]])

    def check(self, architecture: Architecture) -> SpaceError | None:
        """None if the architecture is in the space and meets the constraints, else why not (not raised)."""
        if not isinstance(architecture, Architecture):
            got = quoted(architecture)
            return SpaceError(f"{self.name}: expected an architecture, got {got}; parse(text) reads its text")
        try:
            replayed = retrace(self.start(), architecture.decisions)
        except SpaceError as error:
            return error
        if replayed.term != architecture.term:
            return SpaceError(
                f"{self.name}: decisions give {replayed.text}; the architecture is {architecture.text}"
            )
        reason = self.violation(architecture)
        return None if reason is None else SpaceError(f"{self.name}: {reason}")

    def violation(self, architecture: Architecture) -> str | None:
        """The first constraint's reason against the architecture, in one line, or None.

        Raises:
            SpaceError: a constraint that raises, or answers with anything but None or a text, such as True.
        """
        for constraint in self.constraints:
            try:
                reason = constraint(architecture)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # the user's code runs here; sys.exit() is no way to end a search
                found = f"{self._place(constraint, architecture)} raised {describe_error(error)}"
                remedy = "a constraint returns None, or in one line the reason against the architecture"
                raise SpaceError(f"{found}; {remedy}") from error
            if reason is not None:
                if not (isinstance(reason, str) and reason.strip()):
                    place = self._place(constraint, architecture)
                    raise SpaceError(
                        f"{place}: a constraint's answer is None or the reason; got {quoted(reason)}"
                    )
                return one_line(reason)
        return None

    def _place(self, constraint: Constraint, architecture: Architecture) -> str:
        known = one_line(getattr(constraint, "__qualname__", None) or stable(constraint), 100)
        return f"{self.name}: constraint {known} on {one_line(architecture.text, 200)}"

    def size(self) -> int | None:
        """Number of derivations, exact; None when a real-valued hole makes it unbounded.

        Different derivations may print the same text. Constraints are not subtracted.

        Raises:
            SpaceError: more derivations than are counted (`nas.space.counting`).
        """
        if isinstance(self._size, str):
            raise SpaceError(self._size)
        return self._size

    @cached_property
    def _size(self) -> int | str | None:
        """The size, or why it is not counted."""
        try:
            return self.counter.size()
        except SpaceError as error:
            return str(error)

    def size_within(self, limit: int) -> int | None:
        """The size if it is at most `limit`; None if it is more, unbounded or too large to be counted."""
        size = self._size
        return size if isinstance(size, int) and size <= limit else None

    def size_text(self) -> str:
        """The size for people, e.g. "15,625 derivations" or "about 10**34 derivations"."""
        size = self._size
        if size is None:
            return "unbounded"
        if isinstance(size, str):
            return "more derivations than are counted"
        if size >= 10**60:
            return f"about 10**{round((size.bit_length() - 0.5) * math.log10(2))} derivations"
        return f"{size:,} derivations"

    def fingerprint(self) -> str:
        """Digest of name, expression, vocabulary and constraints; stored with every study.

        A vocabulary enters by its identity, or without a home by its primitives' names, a constraint by its
        state and code; of the platform's own, nothing in it depends on the module where something lies.
        """
        words = self.vocabulary.identity if self.vocabulary.home else ", ".join(self.vocabulary.names())
        parts = [self.name, str(self), words, *map(describe, self.constraints)]
        return hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.name, self.expression, self.vocabulary, self.constraints, self.gate)


def _checked_name(name: object) -> str:
    if not (isinstance(name, str) and name and name.isprintable()):
        raise SpaceError(f"space: a name of one line is expected; got {quoted(name)}")
    if len(name) > MAX_SPACE_NAME:
        raise SpaceError(f"space: a name of at most {MAX_SPACE_NAME} characters is expected; got {len(name)}")
    return name


def _checked_vocabulary(name: str, vocabulary: object) -> Vocabulary:
    from nas.language import Vocabulary

    if not isinstance(vocabulary, Vocabulary):
        remedy = "give Vocabulary(name, (Primitive(...), ...)), or NETWORK.extended(name, Primitive(...))"
        raise SpaceError(f"{name}: a vocabulary is expected; got {quoted(vocabulary)}; {remedy}")
    return vocabulary


def _checked_constraints(name: str, constraints: Sequence[Constraint]) -> tuple[Constraint, ...]:
    listed = isinstance(constraints, Sequence) and not isinstance(constraints, str)
    if not listed or not all(map(callable, constraints)):
        got = quoted(constraints)
        raise SpaceError(f"{name}: constraints are expected as a list of functions; got {got}")
    return tuple(constraints)


def _rebuild(
    name: str, expression: Term, vocabulary: Vocabulary, constraints: Any, gate: str | None
) -> SearchSpace:
    return SearchSpace(name, expression, vocabulary=vocabulary, constraints=constraints, gate=gate)


def read_space(path: str) -> SearchSpace:
    """The space whose expression over the standard network vocabulary stands in the file.

    Raises:
        ConfigError: the file cannot be read.
        SpaceError: its text is no expression of the language; with the file's name.
    """
    try:
        if Path(path).exists() and not Path(path).is_file():
            raise OSError("it is a folder or a device")  # reading a pipe would wait for ever
        with open(path, encoding="utf-8-sig") as file:  # some editors begin a file with a mark
            text = file.read(MAX_TEXT + 1)
    except (OSError, ValueError) as error:
        reason = "it is not in UTF-8" if isinstance(error, UnicodeDecodeError) else one_line(error)
        raise ConfigError(
            f"space.path: a text file is expected at {quoted(path, 200)}; {reason}; "
            "write there what print(space) shows"
        ) from None
    try:
        return SearchSpace(Path(path).stem, text)
    except SpaceError as error:
        raise SpaceError(f"space.path: {quoted(path, 200)}: {error}") from None
