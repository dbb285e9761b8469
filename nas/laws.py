"""Laws that primitives and functions obey: what a rewriting may rely on, stated where they are defined."""

from __future__ import annotations

from enum import StrEnum


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
