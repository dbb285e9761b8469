from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import pytest

from nas.errors import ConfigError
from nas.registry import Registry, build, prepare

THINGS = Registry("thing")
THINGS.register("typed", f"{__name__}:typed", "with plain types")
THINGS.register("open", f"{__name__}:open_ended", "that checks its own options")
THINGS.register("made", f"{__name__}:MADE", "that is finished")
THINGS.register("searching", f"{__name__}:Searching", "with positional values")
MADE = ("made",)


def typed(
    number: int, *, share: float = 0.5, text: str | None = None, on: bool = False, rich: Sequence[int] = ()
) -> tuple[Any, ...]:
    return (number, share, text, on, rich)


def open_ended(**options: Any) -> dict[str, Any]:
    return options


class Searching:
    def __init__(self, space: str, by: Literal["a", "b"] = "a", *rest: str, seed: int) -> None:
        self.all = (space, by, rest, seed)


def thing(name: Any = "typed", **options: Any) -> Any:
    return build(THINGS, {"name": name, **options})


def test_a_section_becomes_a_call():
    assert thing(number=3) == (3, 0.5, None, False, ())
    assert thing(number=3, share=1, text="x", on=True, rich=[1, 2]) == (3, 1, "x", True, [1, 2])
    assert thing("open", a=1) == {"a": 1}
    assert thing("made") is MADE


def test_given_and_fixed_values_stand_beside_the_options():
    assert build(THINGS, {"name": "searching", "by": "b"}, "space", seed=7).all == ("space", "b", (), 7)


def test_names_with_a_colon_need_no_registration():
    assert thing("builtins:dict", a=1) == {"a": 1}
    assert thing("math:pi") == pytest.approx(3.14159, abs=1e-5)
    assert thing("math:hypot") == 0.0  # a built-in of any number of arguments


def test_options_are_checked_before_the_call():
    with pytest.raises(ConfigError, match=r'^thing "searching": has no option "x"'):
        prepare(THINGS, {"name": "searching", "x": 1}, 1, seed=0)
    make = prepare(THINGS, {"name": "searching"}, 1, seed=0)
    assert make("later").all == ("later", "a", (), 0)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({}, r"^thing\.name: expected a name, got None; registered: made, open, searching, typed$"),
        ({"name": 3}, r"^thing\.name: expected a name, got 3; "),
        ({"name": "tped"}, r'^thing "tped" is not registered; registered: .*; did you mean "typed"\?$'),
        ({"name": "nowhere:x"}, r'^thing\.name: expected module:attribute, got "nowhere:x": No module'),
        ({"name": "math:x"}, r'^thing\.name: expected module:attribute, got "math:x": module .math.'),
        ({"name": "typed"}, r'^thing "typed": expected the option number, got none; give it a value$'),
        ({"name": "typed", "numbr": 1}, r'^thing "typed": has no option "numbr"; options: number, share, '),
        ({"name": "typed", "number": "1"}, r"^thing \"typed\": number: expected int, got '1'; change it$"),
        ({"name": "typed", "number": 1.0}, r"number: expected int, got 1\.0; change it$"),
        ({"name": "typed", "number": True}, r"number: expected int, got True; change it$"),
        ({"name": "typed", "number": None}, r"number: expected int, got None; change it$"),
        ({"name": "typed", "number": 1, "share": "x"}, r"share: expected float, got 'x'; change it$"),
        (
            {"name": "typed", "number": 1, "text": 3},
            r"text: expected str or None, got 3; a text that looks like .* wants quotes",
        ),
        ({"name": "typed", "number": 1, "on": 1}, r"on: expected bool, got 1; change it$"),
        ({"name": "made", "a": 1}, r'^thing "made": expected no options, got a; leave them out$'),
    ],
)
def test_what_does_not_fit_is_one_line(section, message):
    with pytest.raises(ConfigError, match=message) as caught:
        build(THINGS, section)
    assert "\n" not in str(caught.value)


def test_a_callable_of_another_form_is_refused():
    with pytest.raises(
        ConfigError, match=r"^thing \"os:getcwd\": expected a callable of 2 positional arguments and see"
    ):
        prepare(THINGS, {"name": "os:getcwd"}, 2, seed=0)
