"""Normal forms of programs: rewritings and laws."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.hashing.canonical import CanonicalHasher, normal_form
from nas.search_spaces.update_rule import INITIAL, KNOWN
from nas.space import mutate
from tests.hashing.program_kit import PAPER, of_term, rewritten, rule

HASHER = CanonicalHasher()
SEEDS = st.integers(0, 2**32 - 1)


def digest(architecture):
    hashed = HASHER.hash(architecture)
    assert hashed.reason is None
    return hashed.digest


@settings(max_examples=60)
@given(seed=SEEDS)
def test_rewritings_of_programs_keep_the_digest(seed):
    rng = np.random.default_rng(seed)
    parent = PAPER.parse(INITIAL)
    for _ in range(int(rng.integers(12))):
        parent = mutate(PAPER, parent, rng)
    assert digest(of_term(rewritten(parent.term, rng))) == digest(parent)


def test_laws_of_programs():
    def text(body, outputs):
        return str(normal_form(rule(body, outputs).term, PAPER.vocabulary)).split("), ", 1)[1]

    assert (
        text("negative(g) >> negative(x0) >> abs(x0)", "update=x1, m=x2, v=v")
        == "empty(), m=m, update=g, v=v)"
    )
    assert text("negative(g) >> square(x0) >> sqrt(x1)", "update=x2, m=m, v=v") == (
        "square(g) >> sqrt(x0), m=m, update=x1, v=v)"
    )
    merged = text("maximum(g, g) >> add(x0, w) >> mul(x1, lr) >> add(w, g)", "update=x2, m=x3, v=m")
    assert merged in [f"add({pair}) >> mul(x0, lr), m=m, update=x1, v=v)" for pair in ("w, g", "g, w")]
    found = {digest(rule(body, "update=x0, m=m, v=v")) for body in ("sub(g, w)", "sub(w, g)")}
    assert len(found) == 2
    assert len({digest(PAPER.parse(known)) for known in KNOWN.values()}) == len(KNOWN)
