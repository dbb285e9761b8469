"""A comparison of searchers: many studies on equal terms, from the section `compare` to one report.

comparison.json                 what is compared; written first
baseline/                       one study of random architectures
studies/METHOD/SEED/            one study each, an ordinary run that can be resumed by itself
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from nas.errors import ConfigError, NasError, nearest, one_line, refusal
from nas.evaluation import Evaluator, hypervolume, non_dominated
from nas.report import FORMAT, MANIFEST, format_duration, seeds_needed
from nas.run.compose import (
    SAMPLES,
    Components,
    build_hasher,
    cache_policy,
    check_options,
    composed,
    composition_lines,
    evaluation_seconds,
    forget,
    make_launcher,
    mistakes_at,
    options_of,
)
from nas.run.config import (
    BaselineSection,
    BudgetSection,
    CacheSection,
    CompareSection,
    Config,
    FinalSection,
    of_one_study,
    resolved,
)
from nas.run.folder import MAX_NAME, held
from nas.run.jobs import Launcher, carry_out_jobs, exit_status, stop_on_signals
from nas.run.single import StudyJob, ends_of
from nas.study import (
    FILE_NAME,
    OVERHEAD,
    check_same_study,
    hashing_facts,
    opening,
    plain,
    search_notes,
    versions,
    write_json,
)

BASELINE = "baseline"
STUDIES = "studies"
_QUICK = 0.05  # seconds; if evaluations take less, the rest of a study costs more
_SHORT = 50  # evaluations of a short study for the estimate


@dataclass(frozen=True, slots=True)
class ComparisonRun:
    """A comparison that can begin; see `nas.run.__main__.Execution`.

    Attributes:
        config: as composed.
        plan: methods, seeds and budgets.
        components: of the study of random architectures; space and evaluator are those of all studies.
        launcher: where the studies run.
        warnings: one line each, printed before it starts.
    """

    config: Config
    plan: ComparisonPlan
    components: Components
    launcher: Launcher
    warnings: tuple[str, ...]

    def check(self, folder: Path) -> None:
        _finished(self, all_jobs(self, folder))

    def preview(self) -> str:
        """Methods, numbers of studies, their cost."""
        self._print_warnings()
        plan, trials, baseline = self.plan, self.config.budget.trials, self.config.baseline.samples
        studies = len(plan.methods) * len(plan.seeds)
        return "\n".join(
            [
                *composition_lines(self.config),
                f"{len(plan.methods)} methods: {', '.join(plan.methods)}",
                f"{studies} studies of {trials or 'any number of'} evaluations, seeds {plan.seeds[0]} to "
                f"{plan.seeds[-1]}, and {baseline} random architectures",
                *(_cost_of_studies(self, trials) if trials else ["cost: no estimate without trials"]),
            ]
        )

    def _print_warnings(self) -> None:
        for line in self.warnings:
            print(f"warning: {line}", file=sys.stderr, flush=True)

    def run(self, folder: Path) -> int:
        """Runs or continues all studies; the exit status: 0, 1 if studies failed, 130 after a signal."""
        with held(folder / MANIFEST):
            jobs = all_jobs(self, folder)
            done = _finished(self, jobs)
            write_json(folder / MANIFEST, manifest(self))
            left = [job for job in jobs if job.name not in done]
            failures = 0
            with stop_on_signals(self.launcher.stop, folder) as stop:
                if left:
                    self._print_warnings()
                    failures = carry_out_jobs(self.launcher, jobs, left)
            status = _report(folder)
            return exit_status(folder, stop.called, f"{failures} studies" * bool(failures), status)


def prepare_comparison(config: Config) -> ComparisonRun:
    """Checks and builds everything once, each method's searcher included.

    Raises:
        NasError: one line, that of a searcher with its label.
    """
    config = replace(config, searcher={})  # which is not used
    plan = comparison_plan(config)
    if config.executor.get("name") == "ray":
        expected = "inline or simulated in a comparison, whose studies run side by side on Ray"
        raise ConfigError(refusal("executor", expected, "ray", "add executor=inline"))
    launcher = make_launcher(config)
    forget()  # an earlier study may have had other files of the same name
    baseline = baseline_job(config, Path()).config
    check_options(baseline)
    studies = {label: study_job(config, label, plan.seeds[0], Path()).config for label in plan.methods}
    for label, study in studies.items():  # all of them before the data are read
        with mistakes_at(f"compare.searchers.{label}"):
            check_options(study)
    few_seeds = seeds_warning(plan)
    notes = [] if few_seeds is None else [few_seeds]
    for label, study in studies.items():
        with mistakes_at(f"compare.searchers.{label}"):
            parts = composed(study)
        notes += search_notes(label, parts.searcher, parts.space, study.budget.trials)
    components = composed(baseline)
    reference_of(config, components.evaluator)
    return ComparisonRun(config, plan, components, launcher, tuple(notes))


@dataclass(frozen=True, slots=True)
class ComparisonPlan:
    """What a comparison runs.

    Attributes:
        methods: label -> section of its searcher, in order.
        seeds: one study of each method for each; the same for all methods.
        budgets: evaluations after which the report compares, ascending; the last is that of the studies.
        default: label of the method with which the others are compared, or None.
    """

    methods: Mapping[str, Mapping[str, Any]]
    seeds: tuple[int, ...]
    budgets: tuple[int, ...]
    default: str | None


def comparison_plan(config: Config) -> ComparisonPlan:
    """The methods that run, with their seeds and budgets.

    Raises:
        ConfigError: an unknown label, a number out of range, or no method left to run.
    """
    section = config.compare
    for label in section.searchers:
        if not re.fullmatch(rf"[A-Za-z0-9_][A-Za-z0-9_.+-]{{0,{MAX_NAME - 1}}}", str(label)):
            raise ConfigError(
                refusal(
                    "compare.searchers",
                    f"labels of at most {MAX_NAME} letters, digits and _.+-, as they name folders",
                    one_line(repr(label)),
                    "rename it",
                )
            )
    for key in ("only", "skip", "slow", "more_trials"):
        _check_labels(key, getattr(section, key), section)
    wanted = section.only or section.searchers
    left_out = {*section.skip, *(() if section.with_slow or section.only else section.slow)}
    chosen = [label for label in section.searchers if label in wanted and label not in left_out]
    if not chosen:
        expected = f"at least one of {', '.join(section.searchers)} to run"
        remedy = "name one in compare.only, shorten compare.skip or set compare.with_slow=true"
        raise ConfigError(refusal("compare", expected, "none", remedy))
    for label, factor in section.more_trials.items():
        if not 1 <= factor < math.inf:
            raise ConfigError(
                refusal(
                    f"compare.more_trials.{label}",
                    "a number of at least 1, by which budget.trials is multiplied",
                    f"{factor:g}",
                    "leave it out for budget.trials alone",
                )
            )
    _check_caches(section)
    if section.default is not None:
        _check_labels("default", [section.default], section)
    least = {"seeds": 1, "workers": 1, "cpus_per_study": 0, "gpus_per_study": 0, "first_seed": 0}
    for key, low in least.items():  # workers too, although they have no effect inline
        value = getattr(section, key)
        if value is not None and not low <= value < math.inf:
            raise ConfigError(
                refusal(f"compare.{key}", f"{low} or more", f"{value:g}", "leave it out for the default")
            )
    return ComparisonPlan(
        methods={label: _section(label, section.searchers[label], section.searchers) for label in chosen},
        seeds=tuple(range(section.first_seed, section.first_seed + section.seeds)),
        budgets=_budgets(section.budgets, config.budget.trials),
        default=section.default if section.default in chosen else None,
    )


def _check_labels(key: str, labels: Iterable[str], section: CompareSection) -> None:
    for label in labels:
        if label not in section.searchers:
            listed = ", ".join(section.searchers)
            remedy = nearest(label, section.searchers, "name one of these")
            raise ConfigError(refusal(f"compare.{key}", f"one of {listed}", label, remedy))


def _section(label: str, section: Any, labels: Collection[str]) -> Mapping[str, Any]:
    where, adding = (
        f"compare.searchers.{label}",
        f"write +searcher@compare.searchers.{label}=OPTION to add one",
    )
    if isinstance(section, Mapping) and not section.get("name"):  # an option of an unknown label
        others = [other for other in labels if other != label]
        expected = f"a section with a name, like those of {', '.join(others) or 'none'}"
        raise ConfigError(refusal(where, expected, repr(dict(section)), nearest(label, others, adding)))
    if not isinstance(section, Mapping):
        raise ConfigError(refusal(where, "a searcher's section", repr(section), adding))
    return section


def _budgets(budgets: Sequence[int], trials: int | None) -> tuple[int, ...]:
    """The budgets up to that of the studies, and that budget itself."""
    if not budgets or min(budgets) < 1:
        remedy = "give e.g. compare.budgets=[10,100]"
        raise ConfigError(refusal("compare.budgets", "numbers of at least 1", list(budgets), remedy))
    if trials is None:
        return tuple(sorted(set(budgets)))
    return tuple(sorted({*(budget for budget in budgets if budget <= trials), trials}))


def trials_of(config: Config, method: str) -> int | None:
    """Most trials of the studies of a method, at all fidelities; None for no bound."""
    trials = config.budget.trials
    return None if trials is None else math.ceil(trials * config.compare.more_trials.get(method, 1.0))


def seeds_warning(plan: ComparisonPlan) -> str | None:
    """One line if there are too few seeds for any pairwise test to find a difference; else None."""
    count = len(plan.methods)
    needed = seeds_needed(count * (count - 1) // 2)
    if count < 2 or len(plan.seeds) >= needed:
        return None
    return (
        f"compare.seeds: with {len(plan.seeds)} no pairwise test of {count} methods can find a difference, "
        f"however large; {needed} or more are needed"
    )


def _check_caches(section: CompareSection) -> None:
    known = [field.name for field in fields(CacheSection)]
    for key, sections in (("hashing", section.hashing), ("cache", section.cache)):
        _check_labels(key, sections, section)
        for label, own in sections.items():
            if not isinstance(own, Mapping) or (key == "hashing" and "name" not in own):
                expected = "a hasher's section with its name" if key == "hashing" else "options of the cache"
                raise ConfigError(
                    refusal(f"compare.{key}.{label}", expected, repr(own), "write it as {key: value}")
                )
            unknown = [name for name in own if key == "cache" and name not in known]
            if unknown:
                where, remedy = f"compare.cache.{label}", nearest(unknown[0], known, "leave it out")
                raise ConfigError(refusal(where, f"one of {', '.join(known)}", unknown[0], remedy))


def reference_of(config: Config, evaluator: Evaluator) -> dict[str, float]:
    """The hypervolume's reference point: as configured, or the worst of the evaluator's table; {} for none.

    Raises:
        ConfigError: there are several objectives and no such point.
    """
    names = [objective.name for objective in evaluator.objectives]
    given = config.compare.reference
    unknown = [name for name in given if name not in names]
    if unknown:
        raise ConfigError(
            refusal(
                "compare.reference",
                f"one of {', '.join(names)}",
                unknown[0],
                nearest(unknown[0], names, "leave it out"),
            )
        )
    if len(names) == 1 and not given:
        return {}
    point: dict[str, float] = {}
    for objective in evaluator.objectives:
        value = given.get(objective.name)
        if value is None and (known := evaluator.values_of(objective)) is not None:
            value = max(known, key=objective.loss)
        if value is None or not math.isfinite(value):
            expected = f"a number for each of {', '.join(names)}, for the hypervolume"
            got, remedy = f"none for {objective.name}", f"add +compare.reference.{objective.name}=VALUE"
            raise ConfigError(refusal("compare.reference", expected, got, remedy))
        point[objective.name] = float(value)
    return point


def optimum_of(evaluator: Evaluator, reference: Mapping[str, float]) -> dict[str, float]:
    """The best possible value of each quantity, if the evaluator knows all values, as a table does.

    With several objectives also the hypervolume of the best front, under the name "hypervolume".
    """
    known: dict[str, Sequence[float]] = {}
    found: dict[str, float] = {}
    for quantity in (*evaluator.objectives, evaluator.reported):
        values = evaluator.values_of(quantity)
        if values is None:
            return {}
        known[quantity.name], found[quantity.name] = values, min(values, key=quantity.loss)
    if len(evaluator.objectives) > 1:
        losses = np.array([[o.loss(value) for value in known[o.name]] for o in evaluator.objectives]).T
        front = losses[non_dominated(losses)]
        point = [objective.loss(reference[objective.name]) for objective in evaluator.objectives]
        found["hypervolume"] = hypervolume(front, point)
    return found


def study_job(config: Config, method: str, seed: int, folder: Path) -> StudyJob:
    """The study of one method with one seed, in its place in the comparison's folder."""
    section = config.compare
    own = of_one_study(
        config,
        searcher=dict(section.searchers[method]),
        hashing=dict(section.hashing.get(method, config.hashing)),
        cache=replace(config.cache, **section.cache.get(method, {})),
        seed=seed,
        baseline=BaselineSection(0),
        budget=replace(config.budget, trials=trials_of(config, method)),
    )
    return StudyJob(method, own, folder.absolute() / STUDIES / method / str(seed))


def baseline_job(config: Config, folder: Path) -> StudyJob:
    """The study of the random architectures: a baseline without a search."""
    own = of_one_study(
        config,
        searcher={"name": "none"},
        seed=config.compare.first_seed,
        budget=BudgetSection(1),
        final=FinalSection(0),
    )
    return StudyJob(BASELINE, own, folder.absolute() / BASELINE)


def manifest(run: ComparisonRun) -> dict[str, Any]:
    """The content of `comparison.json`."""
    config, plan, evaluator = run.config, run.plan, run.components.evaluator
    limits, reference = evaluator.fidelity_range, reference_of(config, evaluator)
    return {
        "format": FORMAT,
        "name": config.name,
        "methods": list(plan.methods),
        "seeds": list(plan.seeds),
        "budgets": list(plan.budgets),
        "objectives": [asdict(objective) for objective in evaluator.objectives],
        "reported": asdict(evaluator.reported),
        "fidelity_range": None if limits is None else list(limits),
        "optimum": optimum_of(evaluator, reference),
        "reference": reference,
        "default": plan.default,
        "config": plain(resolved(config)),
        "versions": dict(versions()),
    }


def all_jobs(run: ComparisonRun, folder: Path) -> list[StudyJob]:
    """The random architectures, then the studies seed by seed, so that methods stay level if interrupted."""
    config, plan = run.config, run.plan
    first = [baseline_job(config, folder)] if config.baseline.samples else []
    return [
        *first,
        *(study_job(config, method, seed, folder) for seed in plan.seeds for method in plan.methods),
    ]


def _cost_of_studies(run: ComparisonRun, trials: int) -> list[str]:
    """An estimate from short studies if evaluations are fast, else from a few evaluations."""
    config, plan = run.config, run.plan
    unit = evaluation_seconds(run.components, config.seed)
    if unit is None:
        return ["cost: no sample could be evaluated, so there is no estimate"]
    baseline = unit * config.baseline.samples
    if unit > _QUICK:
        each = sum(trials_of(config, label) or trials for label in plan.methods)
        work = unit * each * len(plan.seeds) + baseline
        return [
            f"cost: {format_duration(unit)} an evaluation (mean of {SAMPLES} samples, one worker of this "
            f"machine)\n  {format_duration(work)} of work in all, shared among the workers; the methods' own "
            "time on top; at most that for methods that choose fidelities: every trial counts as a full one "
            "here",
        ]
    short = replace(config, budget=replace(config.budget, trials=min(trials, _SHORT)))
    per_study: dict[str, float] = {}  # seconds, including the method's own time
    long = []
    for label in plan.methods:
        with TemporaryDirectory() as folder:
            study = study_job(short, label, config.compare.first_seed, Path(folder))
            if composed(study.config).searcher.trains_supernet:  # which may take long
                long.append(label)
            else:
                per_study[label] = study().seconds / (short.budget.trials or 1) * trials
    work = sum(per_study.values()) * len(plan.seeds) + baseline
    return [
        f"cost: {format_duration(work)} of work in all, shared among the workers; by studies of "
        f"{short.budget.trials} evaluations, one worker of this machine",
        *(f"  {label}: {format_duration(seconds)} a study" for label, seconds in per_study.items()),
        *(f"  {label}: not measured; the training of its supernets comes on top" for label in long),
    ]


def _finished(run: ComparisonRun, jobs: Sequence[StudyJob]) -> set[str]:
    """The jobs that earlier sessions finished with the present plan.

    Raises:
        StoreError: a folder holds another study.
    """
    found, parts = set[str](), run.components
    for job in jobs:
        log, config = job.folder / FILE_NAME, job.config
        opened, closed = ends_of(log)
        if not opened:
            continue
        budget = replace(parts.plan.budget, trials=config.budget.trials, seconds=config.budget.seconds)
        baseline, final = config.baseline.samples, config.final.seeds
        plan = replace(parts.plan, seed=config.seed, budget=budget, baseline=baseline, final=final)
        mine = {
            **opening(parts.space, parts.evaluator, plan),
            "searcher": {"name": config.searcher["name"], "options": plain(options_of(config.searcher))},
            **hashing_facts(build_hasher(config.hashing), options_of(config.hashing), cache_policy(config)),
        }
        check_same_study(opened, mine, log, () if config.accept is None else (config.accept,))
        planned = all(opened[part] == mine[part] for part in ("budget", "baseline", "final"))
        if planned and closed.get("reason") == "finished" and (job.folder / OVERHEAD).exists():
            found.add(job.name)
    return found


def _report(folder: Path) -> int:
    """Writes and prints the report; returns 1 if some output is missing, else 0."""
    from nas.report import write_comparison

    try:
        written = write_comparison(folder)
    except NasError as error:  # too few studies are done yet
        print(f"no report yet: {error}\nfiles: {folder}", file=sys.stderr)
        return 0
    written.show()
    return written.status
