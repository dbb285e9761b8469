"""The numbers of trials: which stage a number belongs to."""

from __future__ import annotations

from collections.abc import Mapping

from nas.evaluation import Stage

# The n-th suggestion of the searcher is trial n, whatever runs beside it and however often the study is
# continued; the other stages count from their own first number, so their seeds depend on no timing.
FIRST_TRIAL: Mapping[Stage, int] = {
    Stage.SEARCH: 0,
    Stage.BASELINE: 10_000_000,
    Stage.FINAL: 20_000_000,
    Stage.SUPERNET: 30_000_000,
}


def stage_of(number: int) -> Stage:
    """The stage that a trial of this number belongs to."""
    return max((s for s in Stage if FIRST_TRIAL[s] <= number), key=FIRST_TRIAL.__getitem__)


def trial_label(number: int) -> str:
    """A trial's stage and its number within it, e.g. "search 12"."""
    stage = stage_of(number)
    return f"{stage.value} {number - FIRST_TRIAL[stage]}"
