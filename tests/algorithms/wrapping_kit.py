"""Parts for tests of wrappers: searchers that follow a script and remember what they are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from nas.evaluation import Evaluation, Objective, Status, failure
from nas.space import SearchSpace
from nas.study import Searcher, SearchFinished, Suggestion, Trial

OBJECTIVES = (Objective("accuracy"),)
NAMES = "abcdefgh"
_BY_NAME = dict(
    zip(NAMES, ("relu", "gelu", "silu", "tanh", "sigmoid", "identity", "relu6", "hardswish"), strict=True)
)


def letters(names: str = NAMES) -> SearchSpace:
    """A choice of architectures that tests call a, b, c, ..."""
    return SearchSpace("letters", " | ".join(f"{_BY_NAME[name]}()" for name in names))


def letter(suggestion: Suggestion | Trial) -> str:
    """What tests call its architecture."""
    text = suggestion.architecture.text
    return next(name for name, function in _BY_NAME.items() if text == f"{function}()")


class Script(Searcher):
    """Proposes these in turn, "." for nothing now; then it is finished. Remembers what it is told."""

    def __init__(self, space: SearchSpace, script: str, parents: Mapping[int, int] | None = None) -> None:
        self._space = space
        self._script = list(script)
        self._parents = parents or {}
        self._count = 0
        self.told: list[Trial] = []

    def ask(self, count: int = 1) -> Sequence[Suggestion]:
        if not self._script:
            raise SearchFinished
        name = self._script.pop(0)
        if name == ".":
            return ()
        parent = self._parents.get(self._count)
        self._count += 1
        return (Suggestion(self._space.parse(f"{_BY_NAME[name]}()"), parent=parent),)

    def tell(self, trial: Trial) -> None:
        self.told.append(trial)

    @property
    def heard(self) -> list[tuple[int, str]]:
        """Its own number and the architecture of each trial that it was told."""
        return [(trial.number, letter(trial)) for trial in self.told]


def ended(number: int, suggestion: Suggestion, accuracy: float | None) -> Trial:
    """A trial with this result; None for a failure."""
    if accuracy is None:
        return Trial(number, suggestion, evaluation=failure(Status.DIVERGED, "loss is nan", 2.0))
    return Trial(number, suggestion, evaluation=Evaluation(Status.COMPLETED, {"accuracy": accuracy}, 2.0))


def one_by_one(
    searcher: Searcher, accuracy: Callable[[Suggestion], float | None], trials: int = 1000
) -> Iterator[Suggestion]:
    """Asks and tells one trial at a time, until there is nothing."""
    for number in range(trials):
        try:
            given = searcher.ask(1)
        except SearchFinished:
            return
        if not given:
            return
        yield given[0]
        searcher.tell(ended(number, given[0], accuracy(given[0])))
