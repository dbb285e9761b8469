from __future__ import annotations

import pytest

from nas.errors import ConfigError
from nas.run.config import (
    AuditSection,
    BudgetSection,
    CompareSection,
    Config,
    ProtocolSection,
    marker_of,
    of_one_study,
    resolved,
)

COMPARED = CompareSection(searchers={"a": {"name": "random"}}, seeds=3)
VARIANTS = ProtocolSection(variants={"a": {}}, samples=5)
AUDITED = AuditSection(exact="symbolic")


def test_what_is_logged_determines_the_run_and_says_nothing_of_the_process():
    config = Config(name="x", seed=3, budget=BudgetSection(trials=7), resume="run", dry_run=True)
    data = resolved(config)
    assert data["budget"] == {"trials": 7, "seconds": None}
    assert (data["name"], data["seed"]) == ("x", 3)
    assert not {"resume", "dry_run"} & set(data)


@pytest.mark.parametrize(
    ("config", "marker", "left_out"),
    [
        (Config(), "events.jsonl", {"compare", "protocol", "audit"}),
        (Config(compare=COMPARED), "comparison.json", {"searcher", "protocol", "audit"}),
        (
            Config(protocol=VARIANTS),
            "protocol.json",
            {"searcher", "hashing", "cache", "budget", "baseline", "final", "compare", "audit"},
        ),
        (
            Config(audit=AuditSection(exact="symbolic", searchers={"a": {}})),
            "audit.json",
            {"searcher", "cache", "baseline", "final", "protocol"},
        ),
        (
            Config(audit=AUDITED),
            "audit.json",
            {
                *("searcher", "cache", "baseline", "final", "protocol"),
                *("executor", "budget", "search", "trial", "checkpoints"),
            },
        ),
    ],
)
def test_a_kind_of_run_keeps_the_sections_that_it_uses(config, marker, left_out):
    assert marker_of(config) == marker
    assert vars(Config()).keys() - resolved(config).keys() == {
        *left_out,
        *("resume", "accept", "trust", "dry_run"),
    }


def test_an_audit_keeps_of_a_comparison_where_its_jobs_run():
    kept = resolved(Config(audit=AUDITED, compare=CompareSection(launcher="inline", workers=2)))["compare"]
    assert (kept.pop("launcher"), kept.pop("workers"), kept.pop("dashboard")) == ("inline", 2, True)
    assert kept.keys() == {"cpus_per_study", "gpus_per_study", "address"}


def test_one_study_of_several_is_a_single_run_with_the_name_of_its_variant():
    config = Config(name="all", compare=COMPARED, protocol=VARIANTS, resume="runs/1", dry_run=True)
    alone = of_one_study(config, seed=7, protocol=ProtocolSection(samples=5, variant="a"))
    assert marker_of(alone) == "events.jsonl"
    assert (alone.name, alone.seed, alone.resume, alone.dry_run) == ("all", 7, None, False)
    assert resolved(alone)["protocol"] == {"samples": 5, "random": 0, "variant": "a"}
    assert "compare" not in resolved(alone)


def test_two_kinds_of_run_at_once_are_refused():
    with pytest.raises(ConfigError, match=r"^compare\.searchers: expected one kind of study, got compare\.s"):
        marker_of(Config(compare=COMPARED, audit=AUDITED))
