"""Outputs of reports: any value, any name, any fault of one of them."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from xml.etree import ElementTree

import pandas as pd
import pytest

from nas.report import latex_grid, markdown_grid, markdown_list, markdown_text, output, write_report
from nas.report.__main__ import main
from nas.report.tables import latex_text
from tests.report.cache_kit import CacheLog
from tests.report.comparison.comparison_kit import TEST, VALIDATION, baseline, study, write_manifest
from tests.report.report_kit import Log, finished_run, pairs

NAMES = (
    *("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0"),
    *(
        r"\input{/etc/passwd}",
        "<b>x</b>",
        "<script>alert(1)</script>",
        "a|b",
        "`x`",
        "$x$",
        "$",
        "$$",
        r"\$x",
    ),
    *(
        "50%",
        "a_b",
        "_hidden",
        "x^2",
        "a&b",
        "&lt;",
        "#1",
        "~",
        "{x}",
        "}",
        "a\nb",
        "\\",
        "a\\\\b",
        "--",
        "[x]",
    ),
    *(
        "[a](http://x.example)",
        "![a](x.png)",
        "[x]: http://x.example",
        "* x",
        "# x",
        "1. x",
        "> x",
        "*x*",
        "%",
    ),
    *(
        "\U0001f600",
        "\u05e9\u05dc\u05d5\u05dd",
        "\u202eabc",
        "\u0645",
        "caf\udce9",
        "\x00",
        "\x1b[31m",
        "",
        " ",
    ),
    *("n" * 500, "\u6f22", "-0.5", "nan", "None", "../../x", "/etc/x"),
)
HUGE = (
    *(1e308, -1e308, 1.7e308, 5e-324, -5e-324, 1e154, 1e160, -1e200, 1e-300, 0.0, -0.0),
    *(float("inf"), float("-inf"), float("nan"), 1, 2**63, 94.0),
)


def cells_of(content: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


def run_of(directory, values, *, direction="maximize", unit="", **more):
    """A finished run of search, baseline and final trials with these values in turn."""
    log = Log(directory, direction=direction, unit=unit, **more).opened()
    log.search(*[(value, value) for value in values])
    log.baseline(*[(value, value) for value in values[::-1]])
    for index in range(len(values)):
        log.final(f"stem(width={16 + index}) >> conv(kernel=3) >> head()", *[(v, v) for v in values[:4]])
    return log.closed().write()


def check(report) -> None:
    """All files are there, and CSV and SVG can be read."""
    assert report.failures == ()
    assert report.status == 0
    for path in report.files:
        content = path.read_bytes()
        if path.suffix == ".csv":
            head, *rows = cells_of(content)
            assert all(len(row) == len(head) for row in rows)
        elif path.suffix == ".svg" and content != b"svg":
            ElementTree.fromstring(content)
        elif path.suffix in {".md", ".tex", ".txt", ".yaml"}:
            content.decode()


# values


@pytest.mark.slow
@pytest.mark.parametrize(
    "values",
    [
        HUGE,
        HUGE[:4],
        (1e308, 1e308, 1e308),
        (-1e308, 1e308),
        (5e-324, 0.0),
        (1.0, 2**63),
        (float("nan"),) * 3,
        (1e-320, 2e-320, 3e-320),
        (1e200, 1.0),
        (94.0,),
        (),
    ],
    ids=lambda values: f"{len(values)} from {str(values[:1])[:12]}",
)
@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_every_value_has_a_full_report(tmp_path, values, direction):
    report = write_report([run_of(tmp_path, values, direction=direction)], tmp_path)
    check(report)
    assert {"results.md", "results.tex", "trials.csv", "best_so_far.png", "final_comparison.pdf"} <= {
        path.name for path in report.files
    }
    assert not re.search(r"\d{40}", report.text), "no number is written with hundreds of digits"


def test_the_large_values_of_the_table_are_right(tmp_path):
    log = Log(tmp_path, unit="").opened().search((1.0, 1e200), (2.0, 1e200))
    log.baseline(*[(1.0, value) for value in (-1e200, 1.0, -1e200, 1.0)])
    log.final(
        "stem(width=17) >> conv(kernel=3) >> head()", *[(1.0, value) for value in (1e200, 2e200, 3e200)]
    )
    report = write_report([log.closed().write()], tmp_path)
    check(report)
    text = re.sub(" +", " ", report.text)
    assert "-5e+199 ± 5.7735e+199 (4)" in text
    assert "2e+200 ± 1e+200 (3)" in text
    assert "/ 1e200" not in text, "the table has the values themselves"


@pytest.mark.slow
@pytest.mark.parametrize("cost", [1e308, 2**63, 0.0, -1.0, float("nan"), float("inf")], ids=str)
def test_every_cost_has_a_full_report(tmp_path, cost):
    log = Log(tmp_path).opened()
    for stage in ("search", "baseline"):
        for index in range(3):
            number = log.asked(stage, index, f"stem(width={index + 1})")
            log.evaluated(number, (90.0 + index, 89.0), cost_seconds=cost)
    check(write_report([log.closed().write()], tmp_path))


def test_facts_of_any_kind_are_cells(tmp_path):
    log = Log(tmp_path).opened()
    facts = {"size": 10**400, "=name": "=1+1", "mixed": "x", "truth": True, "lone": "\udce9", "f": 1e308}
    log.evaluated(log.asked("search", 0), (91.0, 90.0), info=facts)
    log.evaluated(log.asked("search", 1), (91.0, 90.0), info={"mixed": -0.5, "size": 3, "f": 5})
    report = write_report([log.closed().write()], tmp_path)
    check(report)
    head, first, second = cells_of((tmp_path / "trials.csv").read_bytes())
    cells = [dict(zip(head, row, strict=True)) for row in (first, second)]
    assert cells[0]["size"] == str(10**400)
    assert cells[0]["'=name"] == "'=1+1"
    assert cells[0]["lone"] == "\\udce9"
    assert [float(each["f"]) for each in cells] == [1e308, 5.0]
    assert cells[1]["mixed"] == "-0.5", "a number stays one"
    assert "# size = " in (tmp_path / "chosen.txt").read_text()


def every_prefix(directory):
    """The lines of a log up to each of them."""
    lines = (directory / "events.jsonl").read_text().splitlines(keepends=True)
    return ["".join(lines[:count]) for count in range(1, len(lines) + 1)]


def test_a_run_killed_at_any_line_has_a_report(tmp_path, monkeypatch):
    monkeypatch.setattr("nas.report.output.image", lambda figure, kind: kind.encode())
    for number, content in enumerate(every_prefix(run_of(tmp_path / "whole", (1e308, float("nan"), 1.0)))):
        directory = tmp_path / str(number)
        directory.mkdir()
        (directory / "events.jsonl").write_text(content)
        check(write_report([directory], directory))


@pytest.mark.parametrize(
    "fill",
    [
        lambda log: log,
        lambda log: log.search(None, None),
        lambda log: log.search(None).baseline(None, None),
        lambda log: log.search((91.0, 90.0)),
        lambda log: log.baseline((91.0, 90.0)),
        lambda log: log.search((91.0, 90.0)).baseline((1.0, 1.0)).final("stem(width=16)", None),
    ],
    ids=["empty", "failed", "all-failed", "one", "baseline", "final-failed"],
)
def test_studies_with_little_in_them_have_reports(tmp_path, fill):
    check(write_report([fill(Log(tmp_path).opened()).closed().write()], tmp_path))


@pytest.mark.parametrize(
    "chooser", [VALIDATION, {**VALIDATION, "direction": "minimize", "unit": "$%&_"}], ids=str
)
@pytest.mark.parametrize("optimum", [{}, {"validation_accuracy": 1e308, "test_accuracy": -1e308}], ids=str)
def test_a_comparison_of_any_values_has_a_report(tmp_path, chooser, optimum):
    latency = {"name": "latency", "direction": "minimize", "unit": "ms"}
    write_manifest(
        tmp_path, ["a", "b_"], 3, objectives=[chooser, latency], reported=TEST, optimum=optimum, default="a"
    )
    finite = (1e308, -1e308, 5e-324, 1e160, 0.0, 2**63)
    for seed in range(3):
        for place, method in enumerate(("a", "b_")):
            values = finite[place + seed :] + finite[: place + seed]
            study(tmp_path, method, seed, [{"values": (v, v), "latency": v, "cost": 1e300} for v in values])
    baseline(tmp_path, (1e308, 1e308), (-1e308, 1e308), None)
    check(output_of(tmp_path))


def output_of(directory):
    from nas.report import write_comparison

    return write_comparison(directory)


def test_a_comparison_with_one_seed_claims_nothing(tmp_path):
    write_manifest(tmp_path, ["a", "b"], 1)
    for method, value in (("a", 90), ("b", 99)):
        study(tmp_path, method, 0, [(value, value)] * 4)
    baseline(tmp_path, *pairs((80.0,) * 20))
    written = output_of(tmp_path)
    check(written)
    text = (tmp_path / "comparison.md").read_text()
    assert "**" not in text
    assert not re.search(r"\d\*", text), "no asterisk of a significant gain"
    assert re.search(r"\| a +\| +6\.00 \|", text), "no quartiles of one run"
    assert (tmp_path / "pairwise.csv").read_text().count("\n") == 1


def protocol_run(directory, name, values, objective):
    """The study of one variant with these values."""
    config = {
        "name": "$s_|",
        "protocol": {"variant": name},
        "evaluator": {"=x": name},
        "budget": {"trials": 3},
    }
    log = Log(directory).opened(
        config=config,
        evaluator={"name": "<b>", "fingerprint": "e", "objectives": [objective], "reported": objective},
    )
    for index, value in enumerate(values):
        number = log.asked("search", index, f"=relu() # {index}")
        log.evaluated(number, (1.0, 1.0), values={objective["name"]: value})
    return log.closed().write()


@pytest.mark.slow
@pytest.mark.parametrize(
    "values", [HUGE, (1e308, -1e308, 5e-324), (1.0,), (float("nan"),) * 3], ids=lambda v: len(v)
)
@pytest.mark.parametrize("names", [("a", "b"), ("$x_", "=1"), ("_a", "<b>", "|`\udce9")], ids=ascii)
def test_a_study_of_protocols_with_any_values_and_names_has_a_report(tmp_path, values, names):
    objective = {"name": "$q_|", "direction": "maximize", "unit": "^%"}
    runs = [
        protocol_run(tmp_path / "study" / str(place), name, values[place:] + values[:place], objective)
        for place, name in enumerate(names)
    ]
    report = write_report(runs, tmp_path / "out")
    check(report)
    assert {"protocol.md", "protocol.tex", "protocol_values.csv", "protocol.png"} <= {
        p.name for p in report.files
    }
    assert not re.search(r"\d{40}", report.text)
    assert "<b>" not in report.text


def test_a_cache_with_any_seconds_and_reasons_has_a_report(tmp_path):
    log = CacheLog(tmp_path, hashing="$h_").opened()
    for index, reason in enumerate(("=1+1", "<b>|$x_", "\x1b[31m", "caf\udce9")):
        number = log.suggest(index)
        log.hashed(number, None, 1e17, reason).cached(number, "miss", None, None, reason=reason)
        log.evaluated(number, (1e308, 90.0), cost=0.0, cost_seconds=1e308)
    for index in (4, 5):
        number = log.suggest(index)
        log.hashed(number, ["=k:$_", ""], 5e-324)
        log.cached(number, "miss" if index == 4 else "hit", None if index == 4 else 4, ["=k:$_", ""])
        if index == 4:
            log.evaluated(number, (1e308, 90.0), cost_seconds=float("inf"))
        log.add(event="told", trial=number, cached_from=None if index == 4 else 4, clock=log.clock)
    report = write_report([log.closed().write()], tmp_path)
    check(report)
    assert {"cache.md", "cache.csv", "cache.png"} <= {path.name for path in report.files}
    assert "\x1b" not in report.text


@pytest.mark.parametrize(
    "row", [{}, {"epoch": 1}, {"epoch": 1e308, "train_accuracy": "x"}, {"skips": 1}], ids=str
)
def test_a_supernet_with_a_strange_curve_leaves_the_table(tmp_path, row):
    log = Log(tmp_path).opened()
    log.evaluated(log.asked("supernet", 0), (1.0, 1.0), curve=[row] if "x" not in row.values() else [])
    log.search((91.0, 90.0))
    report = write_report([log.closed().write()], tmp_path)
    check(report)
    assert "| random sampling" in report.text


# names


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_names_stay_names_in_a_report(tmp_path, name, monkeypatch):
    monkeypatch.setattr("nas.report.output.FIGURE_DPI", 40)
    objective = {"name": name or "x", "direction": "maximize", "unit": name}
    log = Log(tmp_path / "run", searcher=name, options={"option": name}, name=name).opened(
        space={"name": name, "fingerprint": "s", "text": name},
        evaluator={"name": name, "fingerprint": "e", "objectives": [objective], "reported": objective},
    )
    for stage in ("search", "baseline"):
        for index in range(3):
            number = log.asked(stage, index, name if index == 2 else "relu()", info={"origin": name})
            values = {name or "x": 90.0 + index}
            failed = {"status": "error", "reason": name, "values": {}} if index == 1 else {"values": values}
            log.evaluated(number, (1.0, 1.0), info={"fact": name, name or "y": name}, **failed)
    report = write_report([log.closed().write()], tmp_path / "out")
    check(report)
    assert {path.parent for path in report.files} == {tmp_path / "out"}
    for row in cells_of((tmp_path / "out/trials.csv").read_bytes()):
        assert not [cell for cell in row if re.match(r"[=+@\t\r]|-(?![\d.])", cell)]
    markdown = (tmp_path / "out/results.md").read_text()
    assert not re.search(r"<[a-z/!]", markdown), "no HTML begins"
    assert not re.search(r"\]\(|\]: ", re.sub(r"\\\]", "", markdown)), "no link"
    assert "\x1b" not in report.text
    tex = (tmp_path / "out/results.tex").read_text()
    assert r"\input" not in tex
    plain = re.sub(r"\\[{}]", "", tex)
    assert plain.count("{") == plain.count("}")
    table = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "-x", "@x", "\t1", "\r1", "\n1"])
def test_texts_that_begin_like_formulas_are_quoted_in_csv(name):
    frame = pd.DataFrame({name: [name, None, "plain"], "number": [-0.5, 1e308, float("nan")]})
    head, first, empty, plain = cells_of(output.csv_of(frame))
    assert head == [f"'{name}", "number"]
    assert first == [f"'{name}", "-0.5"]
    assert empty == ["", "1e+308"]
    assert plain == ["plain", ""]


@pytest.mark.parametrize(
    ("text", "markdown", "latex"),
    [
        ("<b>", "&lt;b>", "$<$b$>$"),
        ("p < 0.05", "p < 0.05", "p $<$ 0.05"),
        ("&lt;", "&amp;lt;", r"\&lt;"),
        ("[a](b)", r"[a\](b)", "{}[a](b)"),
        ("[low, high]", "[low, high]", "{}[low, high]"),
        ("[a]: b", r"[a\]: b", "{}[a]: b"),
        (
            "`x` $y$ ~z~",
            r"\`x\` \$y\$ \~z\~",
            r"\textasciigrave{}x\textasciigrave{} \$y\$ \textasciitilde{}z\textasciitilde{}",
        ),
        ("a_b _c_", r"a_b \_c\_", r"a\_b \_c\_"),
        ("# x", r"\# x", r"\# x"),
        ("1. x", r"1\. x", "1. x"),
        ("- x", r"\- x", "- x"),
        ("*x*", r"\*x\*", "{}*x*"),
        (r"\input{x}", r"\\input{x}", r"\textbackslash{}input\{x\}"),
        ("a--b", "a--b", "a-{}-b"),
        ("x|y", "x|y", r"x\textbar{}y"),
        ("-0.5 to -1", "-0.5 to -1", "$-$0.5 to $-$1"),
        ("a\r\nb\x1b", r"a b\\x1b", r"a b\textbackslash{}x1b"),
    ],
    ids=ascii,
)
def test_markup_is_written_as_text(text, markdown, latex):
    assert markdown_text(text) == markdown
    assert latex_text(text) == latex


def test_pipes_do_not_make_cells_and_lists_no_lists():
    assert markdown_grid([["a|b", "c"], ["d", r"e\|f"]])[2].count(r"\|") == 1
    for words in range(5, 40):
        for mark in ("-", "+", "#", "1.", ">", "12)", "---", "==="):
            (item,) = markdown_list([f"{'word ' * words}{mark} x"])
            others = item.split("\n")[1:]
            assert not [line for line in others if re.match(r" *([-+#>]|\d+[.)])(\s|$)", line)]
            shown = re.sub(r"\\([-+#>.)=])", r"\1", item).replace("&gt;", ">")
            assert " ".join(shown.split()) == f"- {'word ' * words}{mark} x"


def test_a_row_of_latex_is_no_option_of_the_row_before():
    text = latex_grid("c", [["[head]", "x"], ["[2cm]", "x"], ["*", "x"]])
    assert not re.search(r"(\\\\|rule)\s*[\[*]", text)


def test_names_of_files_stay_in_their_folder():
    for name in NAMES:
        assert re.fullmatch(r"[A-Za-z0-9_+-][A-Za-z0-9_.+-]{0,99}", output.file_name(name))


def test_a_quantity_named_like_a_path_writes_no_file_elsewhere(tmp_path):
    chooser = {**VALIDATION, "name": "../../x y"}
    folder = write_manifest(
        tmp_path / "a" / "b", ["a", "b"], 2, objectives=[chooser], reported=chooser, optimum={}
    )
    for seed in range(2):
        for method in "ab":
            directory = study(folder, method, seed, [(90, 80)] * 4)
            log = (directory / "events.jsonl").read_text().replace("validation_accuracy", "../../x y")
            (directory / "events.jsonl").write_text(log)
    written = output_of(folder)
    check(written)
    assert {path.parent for path in written.files} == {folder}
    assert {path.name for path in tmp_path.iterdir()} == {"a"}
    linked = re.findall(r"!\[.*\]\((.*)\)", (folder / "comparison.md").read_text())
    assert linked
    assert all((folder / name).is_file() for name in linked)


# faults


@pytest.mark.slow
@pytest.mark.parametrize(
    ("broken", "missing"),
    [
        ("nas.report.report.trials_table", {"trials.csv"}),
        ("nas.report.report.markdown", {"results.md"}),
        ("nas.report.report.latex", {"results.tex"}),
        ("nas.report.figures.progress_figure", {"best_so_far.png", "best_so_far.pdf"}),
        ("nas.report.report.chosen.text", {"chosen.txt"}),
        ("nas.report.report.to_yaml", {"config.yaml"}),
        ("nas.report.report.chosen.picture", {"chosen.svg", "chosen.png"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_broken_output_stops_no_other(tmp_path, monkeypatch, capsys, broken, missing):
    directory = finished_run(tmp_path / "run")
    whole = {path.name for path in write_report([directory], tmp_path / "whole").files}

    def fail(*_, **__):
        raise OverflowError("int too large to convert\nto float")

    monkeypatch.setattr(broken, fail)
    assert main([str(directory), "--output", str(tmp_path / "out")]) == 1
    err = capsys.readouterr().err
    assert {path.name for path in (tmp_path / "out").iterdir()} == whole - missing
    for name in missing:
        said = f"warning: {name}: not written; OverflowError: int too large to convert to float; the other"
        assert len([line for line in err.splitlines() if line.startswith(said)]) == 1
    assert "Traceback" not in err


def test_broken_tables_leave_what_does_not_need_them(tmp_path, monkeypatch):
    monkeypatch.setattr("nas.report.report.result_tables", lambda runs: 1 / 0)
    report = write_report([finished_run(tmp_path)], tmp_path)
    assert {path.name for path in report.files} >= {"trials.csv", "chosen.txt", "chosen.svg"}
    assert report.failures == (
        "result tables: not written; ZeroDivisionError: division by zero; the other outputs are there",
    )
    assert "finished" in report.text


def test_a_terminal_without_unicode_shows_the_report(tmp_path):
    log = Log(tmp_path, searcher="caf\udce9 \u05e9").opened().search((91.0, 90.0))
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict"}
    command = [sys.executable, "-m", "nas.report", str(log.closed().write())]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert "\\xb1" in found.stdout
    assert (
        json.loads((tmp_path / "events.jsonl").read_text().splitlines()[0])["searcher"]["name"]
        == "caf\udce9 \u05e9"
    )
