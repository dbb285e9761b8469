from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from nas.errors import ConfigError, NasError, StoreError
from nas.report.__main__ import main, report_folders, write_report
from nas.run.__main__ import carry_out
from nas.run.config import AuditSection, CompareSection, RunSection
from nas.space import sample
from nas.study import FILE_NAME, baseline_rng
from nas.study.record import PROTOCOL, read_study
from tests.run.protocol_kit import EVALUATOR, TEXTS, Held, config, small

VARIANTS = {
    "base": None,
    "half": {"evaluator": {"factor": 0.5}},
    "wide": {"space": {"width": 16}},
    "down": {"evaluator": {"factor": -1.0}},
}


@pytest.fixture(autouse=True)
def drawn(request, monkeypatch):
    """Figures are drawn where a test asks for them; they take longer than all the rest."""
    if "rebuilt" not in request.node.name:
        monkeypatch.setattr("nas.report.output.image", lambda figure, kind: kind.encode())


def carried_out(folder: Path, variants=None, **options) -> Path:
    given = config(VARIANTS if variants is None else variants, **{"architectures": TEXTS, **options})
    assert carry_out(replace(given, run=RunSection(str(folder)))) == 0
    return folder


def test_every_variant_is_a_study_of_the_same_choices(tmp_path):
    folder = carried_out(tmp_path / "run")
    records = {name: read_study(folder / name) for name in VARIANTS}
    texts = {name: [row.architecture for row in record.trials] for name, record in records.items()}
    assert texts["base"] == texts["half"] == TEXTS
    assert texts["wide"] == [text.replace("width=8", "width=16") for text in TEXTS]
    seeds = {name: [row.seed for row in record.trials] for name, record in records.items()}
    assert len({tuple(each) for each in seeds.values()}) == 1
    assert all(record.closed["reason"] == "finished" for record in records.values())


def test_samples_are_the_random_baseline_of_a_run_with_this_seed(tmp_path):
    folder = carried_out(tmp_path, {"base": {}, "again": {"seed": 3}}, architectures=None, samples=4)
    expected = [sample(small(), baseline_rng(0, index)).text for index in range(4)]
    for name in ("base", "again"):
        record = read_study(folder / name)
        assert [row.architecture for row in record.trials] == expected
    assert [read_study(folder / name).opened["seed"] for name in ("base", "again")] == [0, 3]


def test_the_report_holds_what_was_measured(tmp_path):
    folder = carried_out(tmp_path / "run")
    text = (folder / "protocol.md").read_text()
    lines = [line.split("|") for line in text.split("Kendall's tau (n)")[0].splitlines()]
    rows = {line[1].strip(): [cell.strip() for cell in line[2:-1]] for line in lines if len(line) > 3}
    # kernels 1 3 5 7 9: mean 49 + 5, sample deviation sqrt(10)
    assert rows["base"][:4] == ["54.00 ± 3.16", "58.00", "50.00", "5"]
    assert rows["half"][:6] == ["51.50 ± 1.58", "53.50", "49.50", "5", "1.00 (p = 0.017)", "0 of 5"]
    assert rows["half"][6].startswith("-2.50 [")
    assert rows["half"][7:9] == ["2.50 ± 1.58", "4.50"]
    assert rows["down"][4:6] == ["-1.00 (p = 0.017)", "4 of 5"]
    assert "The means differ by up to 10.00 percentage points, from down to base" in " ".join(text.split())
    assert "- wide: factor" not in text
    assert "- wide: width=16" in text
    with (folder / "protocol_values.csv").open() as file:
        values = list(csv.DictReader(file))
    assert [row["text"] for row in values] == TEXTS
    assert [float(row["down"]) for row in values] == [48, 46, 44, 42, 40]
    with (folder / "protocol_pairs.csv").open() as file:
        pairs = {(row["first"], row["second"]): row for row in csv.DictReader(file)}
    assert len(pairs) == 6
    assert float(pairs["half", "down"]["tau"]) == pytest.approx(-1)
    assert pairs["half", "down"]["n"] == "5"
    latex = (folder / "protocol.tex").read_text()
    assert latex.count(r"\toprule") == latex.count(r"\bottomrule") == 2
    assert {path.name for path in folder.iterdir() if path.is_file()} == {
        *("protocol.json", "protocol.md", "protocol.tex", "protocol.png", "protocol.pdf", "trials.csv"),
        *("protocol_values.csv", "protocol_pairs.csv"),
    }


def test_the_report_is_rebuilt_from_the_logs(tmp_path, capsys):
    folder = carried_out(tmp_path / "run")
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    for name in before:
        if name != PROTOCOL:
            (folder / name).unlink()
    assert main([str(folder)]) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert "### study: space small, evaluator Scores" in capsys.readouterr().out


def test_a_failed_evaluation_enters_no_figure(tmp_path):
    folder = carried_out(tmp_path / "run", {"base": {}, "worse": {"evaluator": {"fails_on": 5}}})
    text = " ".join((folder / "protocol.md").read_text().split())
    assert "Failed evaluations: 1 under worse; they enter no figure." in text
    assert "With n = 4 no rank correlation can reach p < 0.05." in text


def test_seeds_change_values_and_the_report_says_by_how_much(tmp_path):
    noisy = {"name": EVALUATOR, "noise": 1.0}
    variants = {f"seed-{seed}": {"seed": seed} for seed in (0, 1)}
    given = replace(config(variants, architectures=TEXTS), evaluator=noisy, run=RunSection(str(tmp_path)))
    carry_out(given)
    values = [[row.value("test_accuracy") for row in read_study(tmp_path / name).trials] for name in variants]
    largest = max(abs(a - b) for a, b in zip(*values, strict=True))
    assert largest > 0
    with (tmp_path / "protocol_pairs.csv").open() as file:
        assert float(next(csv.DictReader(file))["largest_change"]) == pytest.approx(largest)


def test_resume_evaluates_what_is_left_only(tmp_path):
    folder = carried_out(tmp_path / "run")
    log = folder / "wide" / FILE_NAME
    lines = log.read_bytes().splitlines(keepends=True)
    cut = next(i for i, line in enumerate(lines) if b'"evaluated"' in line) + 1
    log.write_bytes(b"".join(lines[:cut]))
    others = {name: (folder / name / FILE_NAME).read_bytes() for name in ("base", "half", "down")}
    before = (folder / "protocol_values.csv").read_text()
    given = config(VARIANTS, architectures=TEXTS)
    assert carry_out(replace(given, resume=str(folder))) == 0
    assert {name: (folder / name / FILE_NAME).read_bytes() for name in others} == others
    record = read_study(folder / "wide")
    assert record.sessions == 2
    assert sum(b'"evaluated"' in line for line in log.read_bytes().splitlines()) == len(TEXTS)
    assert (folder / "protocol_values.csv").read_text() == before


def test_a_repaired_evaluator_keeps_what_was_finished_where_it_is_accepted(tmp_path):
    folder = carried_out(tmp_path / "run", {"base": None, "half": {"evaluator": {"factor": 0.5}}})
    before = {name: read_study(folder / name).trials for name in ("base", "half")}
    repaired = config({"base": None, "half": {"evaluator": {"factor": 0.5}}}, architectures=TEXTS)
    repaired = replace(repaired, evaluator={"name": EVALUATOR, "noise": 0.5}, resume=str(folder))
    with pytest.raises(StoreError, match=r"add accept=evaluator if it was repaired"):
        carry_out(repaired)
    assert carry_out(replace(repaired, accept="evaluator")) == 0
    for name, trials in before.items():
        assert [row.values for row in read_study(folder / name).trials] == [row.values for row in trials]


@pytest.mark.parametrize("dry_run", [False, True])
def test_an_audit_has_no_trials_that_could_be_kept(tmp_path, dry_run):
    audit = replace(config({}), audit=AuditSection(exact="symbolic"), dry_run=dry_run)
    with pytest.raises(ConfigError, match=r"^accept: expected a run, .* got an audit; leave accept out"):
        carry_out(replace(audit, resume=str(tmp_path), accept="evaluator"))


def test_an_executor_that_can_be_held_is_held_over_all_variants(tmp_path):
    Held.story.clear()
    given = replace(config(VARIANTS, architectures=TEXTS), executor={"name": "tests.run.protocol_kit:Held"})
    assert carry_out(replace(given, run=RunSection(str(tmp_path / "run")))) == 0
    assert Held.story == ["held", *["open"] * len(VARIANTS), "released"]


def test_one_variant_alone(tmp_path):
    folder = carried_out(tmp_path / "run", variant="half")
    assert [path.name for path in report_folders(folder)] == ["half"]
    assert json.loads((folder / PROTOCOL).read_text())["config"]["protocol"]["variants"] == VARIANTS


def test_dry_run_says_what_it_costs_and_writes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert carry_out(replace(config(VARIANTS, architectures=TEXTS), dry_run=True)) == 0
    out = capsys.readouterr().out
    assert all(f"variant {name}: 5 evaluations of " in out for name in VARIANTS)
    assert "cost: " in out
    assert list(tmp_path.iterdir()) == []


def test_two_studies_have_two_tables_and_other_runs_their_own(tmp_path):
    folders = [carried_out(tmp_path / name, {"base": {}, "half": VARIANTS["half"]}) for name in ("a", "b")]
    report = write_report(
        [path for folder in folders for path in report_folders(folder)], tmp_path / "report"
    )
    assert report.text.count("### study") == 2
    assert report.tables == ()
    assert (tmp_path / "report" / "protocol_values_2.csv").exists()
    assert not (tmp_path / "report" / "results.md").exists()


def test_variants_of_different_architectures_are_no_study(tmp_path):
    folder = carried_out(tmp_path / "run", {"base": {}, "half": VARIANTS["half"]})
    other = carried_out(tmp_path / "other", {"odd": {}}, architectures=TEXTS[::-1])
    (other / "odd").rename(folder / "odd")
    message = r"odd: expected the architectures of variant base, got another one in trial 0; give the folder"
    with pytest.raises(StoreError, match=message):
        write_report(report_folders(folder), folder)


@pytest.mark.parametrize(
    ("variants", "options", "message"),
    [
        (
            {"a": {"evaluater": {}}},
            {},
            r"^protocol\.variants\.a: expected sections among .*, got evaluater; did you mean evaluator",
        ),
        (
            {"a": {"evaluator": {"fctor": 2}}},
            {},
            r'^protocol\.variants\.a: evaluator ".*": has no option "fctor"',
        ),
        (
            {"a": {"evaluator": 3}},
            {},
            r"^protocol\.variants\.a\.evaluator: expected a mapping of options, got 3",
        ),
        (
            {"a": 3},
            {},
            r"^protocol\.variants\.a: expected a mapping of space, evaluator, search, seed, got 3",
        ),
        (
            {"a": {"seed": -1}},
            {},
            r"^protocol\.variants\.a\.seed: expected a whole number of at least 0, got -1",
        ),
        (
            {"a": {"search": {"fidelity": 9}}},
            {},
            r"^protocol\.variants\.a: search\.fidelity: expected 1 to 4 epochs",
        ),
        (
            {"a": {"search": {"epochs": 2}}},
            {},
            r"^protocol\.variants\.a\.search: expected fidelity with a number",
        ),
        (
            {"a/b": {}},
            {},
            r"^protocol\.variants: expected a name of at most 100 letters, .*, got 'a/b'",
        ),
        ({"..": {}}, {}, r"^protocol\.variants: expected a name of at most 100 letters"),
        (
            {"a": {}},
            {"architectures": TEXTS[:2]},
            r"^protocol\.architectures: expected at least 3 .*, as the rank correlation of",
        ),
        (
            {"a": {}},
            {"architectures": None, "samples": 2},
            r"^protocol\.samples: expected at least 3 .*, got 2; ask for more$",
        ),
        ({"a": {}}, {"architectures": [*TEXTS, "relu()"]}, r"^protocol\.architectures\[5\]: small"),
        ({"a": {}}, {"variant": "b"}, r"^protocol\.variant: expected one of a, got b; name one of these$"),
        (
            {"a": {"space": {"name": "nasbench201"}}},
            {},
            r"^protocol\.variants\.a: space: expected a space with the same options of every choice as small",
        ),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(tmp_path, variants, options, message):
    given = config(variants, **{"architectures": TEXTS, **options})
    with pytest.raises(NasError, match=message) as error:
        carry_out(replace(given, run=RunSection(str(tmp_path / "run"))))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_comparison_has_no_variants_and_a_folder_of_another_kind_is_refused(tmp_path):
    both = replace(config(VARIANTS), compare=CompareSection({"r": {"name": "random"}}))
    with pytest.raises(ConfigError, match=r"^compare\.searchers: expected one kind of study, got compare"):
        carry_out(both)
    folder = carried_out(tmp_path / "run")
    inner = replace(config(VARIANTS, architectures=TEXTS), resume=str(folder / "base"))
    with pytest.raises(ConfigError, match=r"base: expected a study of protocols, .*, got a run; give"):
        carry_out(inner)
    again = replace(config(VARIANTS, architectures=TEXTS), run=RunSection(str(folder)))
    with pytest.raises(ConfigError, match=r"run, which holds one; add resume="):
        carry_out(again)
