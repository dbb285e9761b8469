"""The tree of a tree search: visits and rewards of partial architectures, and the UCT score."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Option = int | float
_LARGEST = 1e290  # size of a loss, so that no sum of them overflows


@dataclass(slots=True)
class Node:
    """What is known of the architectures behind some first decisions.

    Attributes:
        children: numbers of nodes, by option.
        gone: options that lead to nothing admissible.
        told: results that came back, failures included.
        successes: those of them that have a loss.
        losses: its sum.
        pending: trials in flight.
    """

    children: dict[Option, int] = field(default_factory=dict)
    gone: set[Option] = field(default_factory=set)
    told: int = 0
    successes: int = 0
    losses: float = 0.0
    pending: int = 0

    @property
    def visits(self) -> int:
        return self.told + self.pending


class Tree:
    """Nodes by number, the root first; they refer to one another by number, so that depth costs no recursion.

    Args:
        exploration: c of the score.
    """

    def __init__(self, exploration: float) -> None:
        self.nodes: list[Node] = []
        self._exploration = exploration
        self._best, self._worst = math.inf, -math.inf  # losses of successes

    def grow(self, parent: int | None, option: Option) -> int:
        """Number of a new node."""
        number = len(self.nodes)
        self.nodes.append(Node())
        if parent is not None:
            self.nodes[parent].children[option] = number
        return number

    def remove(self, parent: int, option: Option) -> None:
        """Takes a child that leads to nothing out of the tree, for good."""
        del self.nodes[parent].children[option]
        self.nodes[parent].gone.add(option)

    def fly(self, path: Iterable[int], trials: int) -> None:
        """Counts trials in flight on the nodes of a path; -1 takes one back."""
        for number in path:
            self.nodes[number].pending += trials

    def back_up(self, path: Iterable[int], loss: float) -> None:
        """Adds a result to the nodes of a path; a loss that is not finite is a failure."""
        success = math.isfinite(loss)
        if success:
            loss = max(-_LARGEST, min(_LARGEST, loss))
            self._best, self._worst = min(self._best, loss), max(self._worst, loss)
        for number in path:
            node = self.nodes[number]
            node.told += 1
            if success:
                node.successes += 1
                node.losses += loss

    def reward(self, node: Node) -> float:
        """Mean reward in [0, 1] of a visited node; a trial in flight counts as 0."""
        spread = self._worst - self._best
        gained = node.successes if spread <= 0 else (node.successes * self._worst - node.losses) / spread
        return gained / node.visits

    def score(self, parent: Node, child: Node) -> float:
        """UCT score; infinite without a visit."""
        if not child.visits:
            return math.inf
        return uct(self.reward(child), parent.visits, child.visits, self._exploration)

    def best_options(self, node: Node) -> list[Option]:
        """The options of highest score; none without children."""
        scores = {option: self.score(node, self.nodes[child]) for option, child in node.children.items()}
        highest = max(scores.values(), default=0.0)
        return [option for option, score in scores.items() if score == highest]

    def by_path(self) -> Mapping[tuple[Option, ...], Node]:
        """The nodes by the options that lead to them; the root has none."""
        found: dict[tuple[Option, ...], Node] = {}
        stack: list[tuple[tuple[Option, ...], int]] = [((), 0)] if self.nodes else []
        while stack:
            path, number = stack.pop()
            found[path] = self.nodes[number]
            stack += [((*path, option), child) for option, child in found[path].children.items()]
        return found


def uct(reward: float, visits: int, child_visits: int, exploration: float) -> float:
    """Mean reward + exploration * sqrt(2 ln visits / child_visits); `visits` are those of the parent."""
    return reward + exploration * math.sqrt(2 * math.log(visits) / child_visits)
