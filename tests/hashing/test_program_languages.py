"""Programs of languages of one's own: run step by step, and unhashable ones."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from nas.hashing.programs import Coder, ProgramProbe
from nas.language import parse
from nas.programs import Function, Language, ProgramMeaning, Signature
from nas.space import Architecture

PROBE = ProgramProbe()


NUMBERS = Language(
    "accumulators",
    (
        Function("plus", (Signature(("number", "number"), "number"),)),
        Function("root", (Signature(("number",), "number"),)),
    ),
    number="number",
)
SUMS = NUMBERS.vocabulary(meaning="tests.hashing.test_program_languages:SUMS_MEANING")
SUMS_MEANING = ProgramMeaning(
    NUMBERS,
    {"y": "number", "s": "number"},
    ("s",),
    lambda function, _: {"plus": np.add, "root": np.sqrt}[function.name],
    lambda seed: ({"a": np.array([1.0 + seed]), "s": np.zeros(1)}, *[{"a": np.array([2.0])}] * 2),
)  # fmt: skip


def test_the_probe_serves_any_language():
    def of(body, outputs):
        text = f"program(inputs(a='number', s='number'), {body}, {outputs})"
        return Architecture("sums", SUMS, (), parse(text))

    code = Coder(SUMS_MEANING).code(of("plus(a, s) >> root(x0)", "y=x0, s=x0").term)
    assert [float(value[0]) for value in code.run(SUMS_MEANING.steps(0))] == [1.0, 3.0, 5.0]
    assert len(code.steps) == 1
    first = PROBE.digest(of("plus(a, s)", "y=x0, s=x0"))
    assert first.digest
    assert first == PROBE.digest(of("plus(s, a) >> root(a)", "y=x0, s=x0"))
    assert first != PROBE.digest(of("plus(s, a) >> root(a)", "y=x0, s=x1"))


_calls = itertools.count()
NOISY = NUMBERS.vocabulary(meaning="tests.hashing.test_program_languages:NOISY_MEANING")
FAILING = NUMBERS.vocabulary(meaning="tests.hashing.test_program_languages:FAILING_MEANING")
NOISY_MEANING = replace(SUMS_MEANING, bind=lambda function, _: lambda *values: values[0] + next(_calls))
FAILING_MEANING = replace(SUMS_MEANING, bind=lambda function, _: lambda *values: 1 / 0)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (NOISY, "results of equal runs differ: hidden randomness or state"),
        (FAILING, "ZeroDivisionError: division by zero"),
        (
            NUMBERS.vocabulary(meaning="tests.nowhere:MEANING"),
            "ModuleNotFoundError: No module named 'tests.nowhere'",
        ),
    ],
)
def test_functions_that_cannot_be_hashed_have_a_reason(words, reason):
    term = parse("program(inputs(a='number', s='number'), plus(a, s), y=x0, s=x0)")
    assert PROBE.digest(Architecture("sums", words, (), term)).reason == reason
