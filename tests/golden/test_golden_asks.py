"""The first asks of every searcher on the small spaces, as they were when this was last looked at.

A change here means that equal seeds give other searches than before: logs of earlier versions are then
continued with a warning, and published seeds no longer give the published runs.
"""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.searcher_kit import drive, make, names, refusal, spaces
from tests.golden.stored import check

FILE = Path(__file__).with_name("asks.json")
ASKS = 12
# their last digits, and so at some point their asks, depend on the processor's linear algebra
LEFT_OUT = {"gp", "ngram_smbo", "surrogate"}
NAMES = [name for name in names() if name not in LEFT_OUT]


def first_asks(name: str) -> dict[str, list[str]]:
    """Texts by space, with the parent's number where there is one."""
    return {
        key: [
            f"{suggestion.architecture.text}{'' if suggestion.parent is None else f'  # {suggestion.parent}'}"
            for suggestion in islice(drive(make(name, space), trials=ASKS), ASKS)
        ]
        for key, space in spaces().items()
        if refusal(name, space) is None
    }


def text(asks: dict[str, Any]) -> str:
    return json.dumps(asks, indent=1, sort_keys=True) + "\n"


@pytest.mark.parametrize("name", NAMES)
def test_the_first_asks_are_those_of_before(name: str) -> None:
    stored = json.loads(FILE.read_text(encoding="utf-8"))
    check(FILE, text({**stored, name: first_asks(name)}))


def test_nothing_is_stored_that_is_not_tested() -> None:
    stored = json.loads(FILE.read_text(encoding="utf-8"))
    check(FILE, text({name: stored[name] for name in NAMES if name in stored}))
