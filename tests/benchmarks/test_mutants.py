import ast
from pathlib import Path

import pytest

from tests.benchmarks.mutants import ROOT, mutants_of

SOURCE = '''
"""A text with 1 < 2."""

LIMIT: Literal[3] = 4


@decorated(slots=True)
def choose(values: list[int], last: bool = False) -> int | None:
    """Not 5."""
    total = 0
    for value in values:
        if not value or value > LIMIT:
            continue
        total += value
    if last and "ä" in NAMES and total:
        raise ValueError(f"{total + 1} is too much")
    log(total)
    return total - 1 if last else None
'''
CHANGES = """
4 -> 5
False -> True
0 -> 1
condition negated
Or -> And
`not` left out
Gt -> GtE
statement left out
Add -> Sub
statement left out
condition negated
And -> Or
In -> NotIn
statement left out
statement left out
returns None
condition negated
Sub -> Add
1 -> 2
"""


def test_each_place_that_a_test_could_see_is_changed_once():
    mutants = mutants_of("some.py", SOURCE)
    assert [mutant.change for mutant in mutants] == CHANGES.split("\n")[1:-1]
    assert (
        len({ast.dump(ast.parse(mutant.source)) for mutant in mutants} | {ast.dump(ast.parse(SOURCE))}) == 20
    )
    assert {mutant.function for mutant in mutants} == {None, 7}  # the line of the decorator
    (changed,) = [mutant for mutant in mutants if mutant.change == "In -> NotIn"]
    assert changed.line == 15
    assert "    if last and ('ä' not in NAMES) and total:\n" in changed.source


@pytest.mark.parametrize("path", ["nas/errors.py", "tests/conftest.py"])
def test_mutants_of_real_files_are_code(path):
    source = Path(ROOT, path).read_text()
    mutants = mutants_of(path, source)
    assert mutants
    for mutant in mutants:
        assert ast.dump(ast.parse(mutant.source)) != ast.dump(ast.parse(source)), mutant
