"""The documentation is true: its Python runs, its tables are those of the code, its links lead to files.

As a program (`python tests/test_docs.py`) it prints the tables of docs/language.md as they should be.
"""

from __future__ import annotations

import doctest
import inspect
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

import nas.run.command  # noqa: F401 - registers the schema of the configuration
from nas.algorithms import SEARCHERS
from nas.language import INHERIT, REQUIRED, Attribute, Primitive, dsl
from nas.layers import NETWORK
from nas.registry import build
from nas.run.config import Config
from nas.search_spaces import SPACES
from nas.space import SearchSpace

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# Python


def python_of(document: Path, *, sessions: bool) -> str:
    """The Python of a document, blank lines in place of all else, so that line numbers are the document's.

    A block is a session if it begins with a prompt, otherwise a part of one program.
    """
    kept, block, inside = [], [], False
    for line in document.read_text(encoding="utf-8").splitlines():
        fence = line.startswith("```")
        if fence and inside:
            wanted = bool(block) and block[0].startswith(">>>") == sessions
            kept += [*(block if wanted else [""] * len(block)), ""]
            block, inside = [], False
        elif inside:
            block.append(line)
        else:
            inside = line == "```python"
            kept.append("")
    return "\n".join(kept) + "\n"


def having(*, sessions: bool) -> list[Path]:
    return [document for document in DOCUMENTS if python_of(document, sessions=sessions).strip()]


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("document", having(sessions=True), ids=name_of)
def test_sessions_give_what_they_show(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = python_of(document, sessions=True)
    examples = doctest.DocTestParser().get_doctest(source, {}, name_of(document), str(document), 0)
    shown: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    result = runner.run(examples, out=shown.append)
    assert result.attempted
    assert not result.failed, "".join(shown)


@pytest.mark.slow
@pytest.mark.parametrize("document", having(sessions=False), ids=name_of)
def test_programs_run(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("program.py").write_text(python_of(document, sessions=False), encoding="utf-8")
    runpy.run_path("program.py", run_name="__main__")


# Tables


def block_of(name: str, marker: str) -> str:
    """What stands between `<!-- marker -->` and the next `<!-- end -->`."""
    found = re.search(rf"<!-- {marker} -->\n(.*?)<!-- end -->", text_of(name), re.DOTALL)
    assert found is not None, f"{name} has no <!-- {marker} --> ... <!-- end -->"
    return found[1]


def primitives_table() -> str:
    rows = [f"| `{written(primitive)}` | {primitive.summary} |" for primitive in NETWORK]
    return "\n".join(["| primitive | what it is |", "|---|---|", *rows, ""])


def written(primitive: Primitive) -> str:
    """A call with all that may be given, e.g. `dropout(rate)`."""
    least, most = primitive.arity
    parts = ["part"] * least + (["..."] if most is None else [])
    return f"{primitive.name}({', '.join([*parts, *map(with_default, primitive.attributes)])})"


def with_default(attribute: Attribute) -> str:
    if attribute.default is REQUIRED:
        return attribute.name
    return (
        f"{attribute.name}=..." if attribute.default is INHERIT else f"{attribute.name}={attribute.default!r}"
    )


def attributes_table() -> str:
    """One row for each meaning of a name."""
    meanings: dict[tuple[str, str, str], list[str]] = {}
    for primitive in NETWORK:
        for attribute in primitive.attributes if primitive.name != "train" else ():
            meaning = (attribute.name, attribute.domain(), attribute.summary)
            meanings.setdefault(meaning, []).append(primitive.name)
    shared = {name for name, *_ in meanings if len({key for key in meanings if key[0] == name}) > 1}
    rows = []
    for (name, domain, summary), users in sorted(meanings.items(), key=lambda item: item[0][0]):
        of = f" of {', '.join(users)}" if name in shared else ""
        rows.append(f"| `{name}`{of} | {domain} | {summary} |")
    return "\n".join(["| attribute | values | meaning |", "|---|---|---|", *rows, ""])


LANGUAGE_TABLES = {"primitives": primitives_table, "attributes": attributes_table}


@pytest.mark.parametrize("marker", LANGUAGE_TABLES)
def test_tables_of_the_language_are_those_of_the_code(marker: str) -> None:
    """To mend it: `python tests/test_docs.py` prints them."""
    assert block_of("docs/language.md", marker) == LANGUAGE_TABLES[marker]()


def test_every_word_of_the_language_is_documented() -> None:
    text = text_of("docs/language.md")
    for word in dsl.__all__:
        assert f"`{word}(" in text or (word == "op" and "`op." in text) or f", `{word}(" in text, word


def rows_of(name: str, heading: str) -> Iterator[list[str]]:
    """Cells of the table whose first line begins like this, without its first two lines."""
    lines = text_of(name).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(heading))
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_spaces_are_listed_with_their_sizes() -> None:
    listed = {name.strip("`"): size for name, size, *_ in rows_of("docs/spaces.md", "| space | size |")}
    sizes = {name: SPACES.get(name)().size() for name in SPACES.names()}
    assert listed == {name: "unbounded" if size is None else f"{size:,}" for name, size in sizes.items()}


def test_options_of_spaces_are_listed_with_their_defaults() -> None:
    listed: dict[str, dict[str, str]] = {}
    space = ""
    for name, option, default, _ in rows_of("docs/spaces.md", "| space | option |"):
        space = name.strip("`") or space  # empty where it is that of the row above
        listed.setdefault(space, {})[option.strip("`")] = default.strip("`")
    for name in SPACES.names():
        options = inspect.signature(SPACES.get(name)).parameters
        assert list(listed[name]) == list(options), name
        for option, parameter in options.items():
            if not isinstance(parameter.default, tuple) or len(parameter.default) == 2:
                expected = "none" if parameter.default is None else str(parameter.default)
                assert listed[name][option] == expected, (name, option)


def test_methods_are_listed_with_their_files() -> None:
    rows = {row[0].strip("`"): row for row in rows_of("docs/methods.md", "| method |")}
    assert set(rows) == set(SEARCHERS.names())
    for entry in SEARCHERS:
        file = entry.target.split(":")[0].removeprefix("nas.").replace(".", "/") + ".py"
        assert f"[{file}](../{file})" in rows[entry.name][1]
        assert "../tests/" in rows[entry.name][3]
        if rows[entry.name][2].startswith("none"):
            continue  # an idea that is nobody's
        authors, year = re.match(r"(\w+).*? (\d{4})", rows[entry.name][2]).groups()  # type: ignore[union-attr]
        assert authors in text_of(file)
        assert year in text_of(file)


@pytest.mark.parametrize("document", DOCUMENTS[1:], ids=name_of)
def test_links_lead_to_files(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (document.parent / target).exists(), target


# Command lines


def commands() -> list[tuple[str, str]]:
    """(document, overrides) of all shown runs that are composed anew."""
    found = []
    for document in DOCUMENTS:
        lines = re.findall(
            r"^python -m nas\.run (.*?)(?: +#.*)?$", document.read_text(encoding="utf-8"), re.MULTILINE
        )
        found += [(name_of(document), line) for line in lines if not re.search(r"(^| )(-m|resume=)", line)]
    return found


@pytest.mark.parametrize(("document", "line"), commands(), ids=lambda value: value.removeprefix("docs/"))
def test_shown_commands_name_a_space_and_its_options(
    document: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runs themselves are not run; files that the document shows are in the folder."""
    for name, content in shown_files(document).items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with initialize_config_module("nas.experiments", version_base="1.3"):
        config = OmegaConf.to_object(compose("config", overrides=shlex.split(line)))
    assert isinstance(config, Config)
    assert config.name
    assert isinstance(build(SPACES, config.space), SearchSpace)


def shown_files(document: str) -> dict[str, str]:
    """Blocks that begin with `# NAME.txt` or `# NAME.py`, by name."""
    blocks = re.findall(r"```\w+\n(# (\w+\.\w+)\n.*?)```", text_of(document), re.DOTALL)
    return {name: content for content, name in blocks}


if __name__ == "__main__":
    for marker, table in LANGUAGE_TABLES.items():
        print(f"<!-- {marker} -->\n{table()}<!-- end -->\n")
