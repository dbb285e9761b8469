"""How far a study is and how long it will take, from its ledger and its plan; O(1)."""

from __future__ import annotations

from nas.evaluation import Stage
from nas.ledger import Ledger
from nas.progress import Progress
from nas.stages import Budget, Plan

# A searcher without a limit on trials that proposes only what is known would never end, as cached
# answers take no time on a simulated clock.
_MAX_HITS_IN_A_ROW = 10_000


def search_is_over(ledger: Ledger, budget: Budget, clock: float) -> bool:
    """Whether no search trial will be asked any more; some may still be in flight."""
    if budget.trials is None and ledger.most_hits_in_a_row >= _MAX_HITS_IN_A_ROW:
        return True
    return (
        ledger.exhausted
        or (budget.trials is not None and ledger.asked[Stage.SEARCH] >= budget.trials)
        or (budget.seconds is not None and clock >= budget.seconds)
    )


def search_is_settled(ledger: Ledger, budget: Budget, clock: float) -> bool:
    """Whether every search trial there will be was told: the choice is made."""
    told = all(ledger.asked[stage] == ledger.over[stage] for stage in (Stage.SEARCH, Stage.SUPERNET))
    return told and search_is_over(ledger, budget, clock)


def is_complete(ledger: Ledger, plan: Plan, clock: float) -> bool:
    """Whether everything planned is done."""
    return (
        not ledger.open
        and search_is_settled(ledger, plan.budget, clock)
        and ledger.asked[Stage.BASELINE] >= plan.baseline
        and (ledger.chosen is None or ledger.finals_of[ledger.chosen.digest] >= plan.final)
    )


def progress(ledger: Ledger, plan: Plan, clock: float) -> Progress:
    """What observers are shown."""
    over = search_is_over(ledger, plan.budget, clock)
    search = ledger.asked[Stage.SEARCH] if over else plan.budget.trials
    others = _planned_others(ledger, plan, over)
    done = sum(ledger.over.values())
    chosen = ledger.chosen
    return Progress(
        stage=_stage(ledger, plan, over).value,
        done=done,
        total=None if search is None else search + others,
        in_flight=ledger.running,
        failed=ledger.failed,
        cache_hits=ledger.hits,
        best=None if chosen is None else chosen.value,
        best_trial=None if chosen is None else chosen.number,
        elapsed=clock,
        time_left=_time_left(ledger, plan, clock, search, others),
        cache_waits=ledger.waits,
        cache_misses=ledger.misses,
        unhashed=ledger.unhashed,
        seconds_saved=ledger.seconds_saved,
        hash_seconds=ledger.hash_seconds,
    )


def _stage(ledger: Ledger, plan: Plan, over: bool) -> Stage:
    if not over or ledger.over[Stage.SEARCH] < ledger.asked[Stage.SEARCH]:
        return Stage.SEARCH
    return Stage.BASELINE if ledger.over[Stage.BASELINE] < plan.baseline else Stage.FINAL


def _planned_others(ledger: Ledger, plan: Plan, over: bool) -> int:
    """Baseline trials and final ones, those of earlier choices included."""
    chosen, finals = ledger.chosen, ledger.asked[Stage.FINAL]
    if chosen is not None:
        finals += max(0, plan.final - ledger.finals_of[chosen.digest])
    elif not over:
        finals += plan.final
    return max(plan.baseline, ledger.asked[Stage.BASELINE]) + finals + ledger.asked[Stage.SUPERNET]


def _time_left(ledger: Ledger, plan: Plan, clock: float, search: int | None, others: int) -> float | None:
    """At the rate of the trials so far, which covers parallel work, cache hits and downtime of workers."""
    done = sum(ledger.over.values())
    if done == 0:
        return None
    rate = clock / done
    limits = [] if search is None else [(search - ledger.over[Stage.SEARCH]) * rate]
    if plan.budget.seconds is not None:
        limits.append(max(0.0, plan.budget.seconds - clock))
    others_left = others - sum(ledger.over[stage] for stage in Stage if stage is not Stage.SEARCH)
    return min(limits) + others_left * rate
