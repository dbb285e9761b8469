from __future__ import annotations

import pytest

from nas.errors import ConfigError, SpaceError
from nas.space import SearchSpace
from nas.space.space import read_space

TEXT = "stem(width=8) >> repeat(conv(kernel=oneof(1, 3)) | relu(), 1, 3) >> head()"


def test_a_printed_space_is_read_back(tmp_path):
    space = SearchSpace("mine", TEXT)
    (tmp_path / "mine.txt").write_text(f"{space}\n")
    assert read_space(str(tmp_path / "mine.txt")).fingerprint() == space.fingerprint()


def test_an_expression_may_stand_in_several_lines(tmp_path):
    (tmp_path / "mine.txt").write_text("(\n    stem(width=8)\n    >> relu()  # the rest\n    >> head()\n)\n")
    assert str(read_space(str(tmp_path / "mine.txt"))) == "stem(width=8) >> relu() >> head()"


def test_a_byte_order_mark_is_no_part_of_the_expression(tmp_path):
    (tmp_path / "mine.txt").write_text("relu()", encoding="utf-8-sig")
    assert str(read_space(str(tmp_path / "mine.txt"))) == "relu()"


@pytest.mark.parametrize("content", [None, "folder", b"\xff\xfe\x00", "relu()".encode("utf-16")])
def test_what_is_no_text_file_is_one_line(content, tmp_path):
    path = tmp_path / "mine.txt"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(
        ConfigError, match=r"^space\.path: a text file is expected at '.*mine\.txt'; "
    ) as caught:
        read_space(str(path))
    assert "\n" not in str(caught.value)


def test_a_path_that_no_file_can_have_is_one_line():
    with pytest.raises(ConfigError, match=r"^space\.path: a text file is expected at 'a\\x00b'; "):
        read_space("a\0b")


@pytest.mark.parametrize(
    "text",
    ["", "stem(width=8) >>", "stm(width=8)", "stem(wdth=8)", "print('x')", "relu", "a" * 2_000_000],
    ids=range(7),
)
def test_what_is_no_space_is_one_line(text, tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text(text)
    with pytest.raises(SpaceError, match=r"^space\.path: '.*mine\.txt': ") as caught:
        read_space(str(path))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
