"""Messages that are safe to show, whatever text they quote."""

import pickle

from hypothesis import given
from hypothesis import strategies as st

from nas.errors import ConfigError, describe_error, one_line
from nas.evaluation import Evaluation, Status, failure


@given(st.text(st.characters(), max_size=200), st.integers(10, 100))
def test_a_line_is_printable_encodable_and_no_longer_than_its_limit(text, limit):
    line = one_line(text, limit)
    assert len(line) <= limit
    assert line.isprintable()
    line.encode("utf-8")


@given(st.text("abc é", max_size=80))
def test_plain_text_only_has_its_white_space_folded(text):
    assert one_line(text) == " ".join(text.split())


def test_escape_sequences_and_surrogates_are_written_as_escapes():
    assert one_line("a\x1b[31mb\ud8e9") == "a\\x1b[31mb\\ud8e9"


def test_the_middle_is_cut_so_that_the_remedy_stays():
    line = one_line("where: " + "x" * 100_000 + "; do this", 100)
    assert line.startswith("where: xxx")
    assert line.endswith("xxx; do this")
    assert " ... " in line


def test_an_object_that_cannot_be_printed_is_named():
    class Odd(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    assert describe_error(Odd()) == "Odd: <Odd that cannot be printed: RuntimeError>"
    assert describe_error(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_errors_are_cut_and_survive_pickling():
    error = ConfigError("x: " + "y" * 1_000_000)
    assert len(str(error)) == 4000
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_reasons_of_failures_are_cleaned_where_they_enter():
    assert failure(Status.ERROR, "a\n\x07b").reason == "a \\x07b"
    assert Evaluation(Status.ERROR, reason="caf\udce9").reason == "caf\\udce9"
