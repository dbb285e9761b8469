"""Monte Carlo tree search, UCT over derivations (Negrinho and Gordon 2017; https://arxiv.org/abs/1704.08792).

From the root of the tree of decisions, the child with the highest score is followed until one is new,

    score = mean reward + c * sqrt(2 ln N / n),     n visits of the child, N of the node,

children without a visit first and ties at random; after the new node, decisions are drawn uniformly. The
result is added to the nodes of the tree on the path, not to the drawn decisions. The formula is that of
DeepArchitect's released code, whose default is c = 1 and whose experiments use c = 0.5, the default here. If
the formula is written mean + 2 c sqrt(2 ln N / n), as the paper is said to do, its c is half of this one.

Differs from the paper:
- a reward is the loss as a share of the range of losses so far, 1 for the best and 0 for the worst success;
  all rewards change as the range grows, so that c means the same for every objective (the paper's rewards are
  accuracies in [0, 1]). While all successes are equal, their reward is 1;
- failed trials have reward 0, and so has a node from which no drawn completion meets the constraints;
- many trials may be in flight: each is a visit of reward 0 on its path until its result is told (a virtual
  loss of one visit; Chaslot et al. 2008, https://doi.org/10.1007/978-3-540-87608-3_6), so that the next trial
  takes another path;
- real numbers, and integers and repeats with more than `branching` options, get children one by one: at N
  visits at most widening * sqrt(N), rounded up, drawn along the scale (progressive widening; Couetoux et al.
  2011, https://doi.org/10.1007/978-3-642-25566-3_32);
- complete architectures that break a constraint, and nodes without any children left, are removed from the
  tree. For one suggestion, 20 paths through the tree with 50 completions each are tried, then a random one.

As in the paper, known architectures may be suggested again: an explored part of a small space is revisited.
The tree grows by at most 20 nodes for each trial, and by one if nothing breaks a constraint.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from nas.algorithms.shared.method import SearchMethod, check_range, loss_of
from nas.errors import DeadEndError
from nas.evaluation import Objective
from nas.language import Number, Repeat
from nas.space import Architecture, Decision, Derivation, UniformDraws, number_at, sample
from nas.study import Suggestion, Trial

if TYPE_CHECKING:
    from nas.space import SearchSpace


Option = int | float
_LARGEST = 1e290  # bound on the size of a loss, so that their sum does not overflow


@dataclass(slots=True)
class TreeNode:
    """The results of the architectures that begin with some decisions.

    Attributes:
        children: numbers of nodes, by option.
        gone: options that lead to no admissible architecture.
        told: results so far, failures included.
        successes: results with a loss.
        losses: the sum of these.
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
    """Nodes by number, the root first; they refer to one another by number, which avoids recursion.

    Args:
        exploration: c of the score.
    """

    def __init__(self, exploration: float) -> None:
        self.nodes: list[TreeNode] = []
        self._exploration = exploration
        self._best, self._worst = math.inf, -math.inf  # losses of successes

    def grow(self, parent: int | None, option: Option) -> int:
        """Number of a new node."""
        number = len(self.nodes)
        self.nodes.append(TreeNode())
        if parent is not None:
            self.nodes[parent].children[option] = number
        return number

    def remove(self, parent: int, option: Option) -> None:
        """Removes a child that leads to no admissible architecture."""
        del self.nodes[parent].children[option]
        self.nodes[parent].gone.add(option)

    def count_pending(self, path: Iterable[int], trials: int) -> None:
        """Adds trials in flight to the nodes of a path; -1 removes one."""
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

    def reward(self, node: TreeNode) -> float:
        """Mean reward in [0, 1] of a visited node; a trial in flight counts as 0."""
        span = self._worst - self._best
        gained = node.successes if span <= 0 else (node.successes * self._worst - node.losses) / span
        return gained / node.visits

    def score(self, parent: TreeNode, child: TreeNode) -> float:
        """UCT score; infinite without a visit."""
        if not child.visits:
            return math.inf
        return uct(self.reward(child), parent.visits, child.visits, self._exploration)

    def best_options(self, node: TreeNode) -> list[Option]:
        """The options with the highest score; none without children."""
        scores = {option: self.score(node, self.nodes[child]) for option, child in node.children.items()}
        highest = max(scores.values(), default=0.0)
        return [option for option, score in scores.items() if score == highest]

    def by_path(self) -> Mapping[tuple[Option, ...], TreeNode]:
        """The nodes by the options that lead to them; the root's key is empty."""
        found: dict[tuple[Option, ...], TreeNode] = {}
        stack: list[tuple[tuple[Option, ...], int]] = [((), 0)] if self.nodes else []
        while stack:
            path, number = stack.pop()
            found[path] = self.nodes[number]
            stack += [((*path, option), child) for option, child in found[path].children.items()]
        return found


def uct(reward: float, visits: int, child_visits: int, exploration: float) -> float:
    """Mean reward + exploration * sqrt(2 ln visits / child_visits); `visits` are those of the parent."""
    return reward + exploration * math.sqrt(2 * math.log(visits) / child_visits)


_WALKS = 20  # through the tree for one suggestion
_ROLL_OUTS = 50  # behind one node


class TreePath(NamedTuple):
    """A path through the tree: its nodes, the options between them, and its end (None for a dead end)."""

    nodes: list[int]
    options: list[Option]
    end: Derivation | None


class Visit(NamedTuple):
    """A trial in flight: its nodes and its decisions."""

    nodes: list[int]
    decisions: tuple[Decision, ...]


class MonteCarloTreeSearch(SearchMethod[Visit]):
    """UCT on the first objective.

    Args:
        space: to search.
        objectives: the first one counts.
        seed: of all randomness.
        exploration: c above, 0 or more.
        branching: most options of a number or a repeat that all become children at once, 1 or more.
        widening: children of other numbers over the square root of the visits, above 0.

    Raises:
        ConfigError: an option out of range.
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Sequence[Objective],
        *,
        seed: int,
        exploration: float = 0.5,
        branching: int = 16,
        widening: float = 1.0,
    ) -> None:
        check_range("mcts", "exploration", exploration, 0)
        check_range("mcts", "branching", branching, 1)
        check_range("mcts", "widening", widening, 0, above=True)
        super().__init__(space, objectives, seed=seed)
        self._branching = branching
        self._widening = widening
        self._draw = UniformDraws(self._rng)
        self._tree = Tree(exploration)

    @property
    def uninformed(self) -> float:
        """The root, and one visit of each child of the first node with several: then rewards decide."""
        derivation, asked = self._space.start(), 1
        while derivation.site is not None:
            options = derivation.options
            if isinstance(derivation.choice, Number | Repeat) and not 0 < len(options) <= self._branching:
                return asked + max(2, math.ceil(self._visits_to_widen()) - 1)
            admissible = [option for option in options if _leads_on(derivation, option)]
            if len(admissible) != 1:
                # constraints may remove children later; at least two are compared
                return asked + (2 if self._space.constraints else max(2, len(admissible)))
            derivation, asked = derivation.take(admissible[0]), asked + 1
        return math.inf

    def _take(self, trial: Trial, remembered: Visit) -> None:
        self._tree.count_pending(remembered.nodes, -1)
        same = trial.architecture.decisions == remembered.decisions
        nodes = remembered.nodes if same else self._known_nodes(trial.architecture)
        self._tree.back_up(nodes, loss_of(trial, self._objective))

    def tree(self) -> Mapping[tuple[Option, ...], TreeNode]:
        """Visits and results by the options that lead to a node; the root's key is empty."""
        return self._tree.by_path()

    def _suggest(self) -> Suggestion:
        nodes, architecture = self._find()
        self._tree.count_pending(nodes, 1)
        self._in_flight.add(Visit(nodes, architecture.decisions))
        return Suggestion(architecture, info={"origin": "tree", "depth": len(nodes) - 1})

    def _visits_to_widen(self) -> float:
        """Visits n of a node at which n - 1 = widening * sqrt(n), so that its n - 1 children are enough."""
        return ((self._widening + math.hypot(self._widening, 2.0)) / 2) ** 2

    def _find(self) -> tuple[list[int], Architecture]:
        """The nodes and the architecture of the next trial; raises DeadEndError if there is none."""
        for _ in range(_WALKS):
            walk = self._walk()
            architecture = None if walk.end is None else self._roll_out(walk.end)
            if architecture is not None:
                return walk.nodes, architecture
            if walk.end is None or walk.end.site is None:
                if walk.options:
                    self._tree.remove(walk.nodes[-2], walk.options[-1])
            else:
                self._tree.back_up(walk.nodes, math.inf)
        architecture = sample(self._space, self._rng)
        return self._known_nodes(architecture), architecture

    def _walk(self) -> TreePath:
        """From the root to a new node, or to a complete architecture."""
        derivation, nodes, options = self._space.start(), [0], []
        new = not self._tree.nodes
        if new:
            self._tree.grow(None, 0)
        while derivation.site is not None and not new:
            node = self._tree.nodes[nodes[-1]]
            option = self._next_option(node, derivation)
            if option is None:
                return TreePath(nodes, options, None)
            new = option not in node.children
            nodes.append(self._tree.grow(nodes[-1], option) if new else node.children[option])
            options.append(option)
            try:
                derivation = derivation.take(option)
            except DeadEndError:
                return TreePath(nodes, options, None)
        return TreePath(nodes, options, derivation)

    def _next_option(self, node: TreeNode, derivation: Derivation) -> Option | None:
        """The option to follow from a node: a new one, or the best child's; None if all are gone."""
        options = derivation.options
        numeric = isinstance(derivation.choice, Number | Repeat)
        if numeric and not 0 < len(options) <= self._branching:
            if len(node.children) < self._widening * math.sqrt(node.visits):
                drawn = self._uniform(derivation)
                if drawn not in node.gone:
                    return drawn
            if not node.children and len(node.gone) < (len(options) or math.inf):
                return self._uniform(derivation)
        else:
            new = [option for option in options if option not in node.children and option not in node.gone]
            if new:
                return new[self._draw.index(len(new))]
        best = self._tree.best_options(node)
        return best[self._draw.index(len(best))] if best else None

    def _uniform(self, derivation: Derivation) -> Option:
        number, options = derivation.choice, derivation.options
        if isinstance(number, Number):
            return number_at(number, self._draw())
        return options[self._draw.index(len(options))]

    def _roll_out(self, start: Derivation) -> Architecture | None:
        """A random completion that meets the constraints, or None if none was found."""
        for _ in range(_ROLL_OUTS if start.site is not None else 1):
            derivation = start
            try:
                while derivation.site is not None:
                    derivation = derivation.take(self._uniform(derivation))
            except DeadEndError:
                continue
            architecture = derivation.architecture()
            if self._space.violation(architecture) is None:
                return architecture
        return None

    def _known_nodes(self, architecture: Architecture) -> list[int]:
        """The nodes of the tree on the path of an architecture."""
        known = {(decision.hole, decision.prefix): decision for decision in architecture.decisions}
        derivation, nodes = self._space.start(), [0]
        while derivation.site is not None:
            decision = known.get(derivation.key)
            child = None if decision is None else self._tree.nodes[nodes[-1]].children.get(decision.option)
            if decision is None or child is None:
                break
            nodes.append(child)
            derivation = derivation.take(decision.option, decision.ids)
        return nodes


def _leads_on(derivation: Derivation, option: Option) -> bool:
    try:
        derivation.take(option)
    except DeadEndError:
        return False
    return True
