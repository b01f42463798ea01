"""Spreading of tasks: evenly over the values of the placement preferences, then over nodes.

Source: moby/swarmkit `scheduler/{scheduler,nodeset,decision_tree}.go`. Where the engine iterates over a Go map, in
random order, this module takes nodes in the order in which they joined, and tasks in the order of their creation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from attrs import define, field

from cnmsim.swarm.constraint import label_value
from cnmsim.swarm.objects import Task
from cnmsim.swarm.scheduler.filters import Pipeline
from cnmsim.swarm.scheduler.nodeinfo import NodeInfo


@define(eq=False)
class DecisionNode:
    """A node of the decision tree; it represents the swarm nodes that have the same value of a placement preference.

    `tasks` is the number of the service's tasks on these swarm nodes. `branches` maps each value of the next
    preference to a subtree; `nodes` are the swarm nodes of a leaf.
    """

    tasks: int = 0
    branches: dict[str, DecisionNode] = field(factory=dict)
    nodes: list[NodeInfo] = field(factory=list)


def build_decision_tree(nodes: Iterable[NodeInfo], task: Task, fits: Callable[[NodeInfo], bool]) -> DecisionNode:
    """Return a decision tree of `nodes`, with one level for each placement preference of `task`.

    Its leaves contain only nodes for which `fits` returns True, but its task counts include the service's tasks on
    all `nodes`.
    """
    root = DecisionNode()
    preferences = task.spec.placement.preferences if task.spec.placement is not None else ()
    for info in nodes:
        count = info.active_by_service.get(task.service_id, 0)
        tree_node = root
        for descriptor in preferences:
            value = label_value(descriptor, info.node)
            if value is not None:
                tree_node.tasks += count
                tree_node = tree_node.branches.setdefault(value, DecisionNode())
        tree_node.tasks += count
        if fits(info):
            tree_node.nodes.append(info)
    return root


@define(eq=False)
class Spreader:
    """Assigns nodes to tasks that have the same spec.

    `waiting` are the tasks that have no node yet. `assign` is called with each task and the node chosen for it.
    """

    waiting: list[Task]
    pipeline: Pipeline
    now_ns: int
    assign: Callable[[Task, NodeInfo], None]

    def spread(self, count: int, node: DecisionNode) -> int:
        """Assign up to `count` tasks to nodes in the subtree `node`. Return the number of tasks assigned.

        Fewer than `count` are assigned if no branch can take another task. Engines up to 28.2 then loop forever.
        """
        if not node.branches:
            return self._assign_to_nodes(count, node.nodes)
        placed = 0
        in_usable = node.tasks
        full: set[int] = set()
        is_converging = True
        while placed != count and len(full) != len(node.branches) and is_converging:
            share, remainder = divmod(in_usable + count - placed, len(node.branches) - len(full))
            is_converging = False
            for child in node.branches.values():
                if id(child) in full or not (child.tasks < share or (child.tasks == share and remainder > 0)):
                    continue
                is_converging = True
                quota = share - child.tasks + (remainder > 0)
                assigned = self.spread(quota, child)
                if assigned < quota:
                    full.add(id(child))
                    in_usable -= child.tasks
                elif remainder > 0:
                    remainder -= 1
                placed += assigned
        return placed

    def _assign_to_nodes(self, count: int, candidates: Sequence[NodeInfo]) -> int:
        if not self.waiting or not candidates:
            return 0
        sample = self.waiting[0]
        nodes = sorted(
            (info for info in candidates if self.pipeline.fits(info)), key=lambda info: info.rank(sample, self.now_ns)
        )[: len(self.waiting)]
        if not nodes:
            return 0
        placed = at = 0
        unfit: set[int] = set()
        while self.waiting and placed < count:
            info = nodes[at % len(nodes)]
            self.assign(self.waiting.pop(0), info)
            placed += 1
            if placed == count or not self.waiting:
                break
            if at + 1 < len(nodes):
                # Level the numbers of tasks first: advance to the next node only when it has become the better
                # choice.
                if nodes[at + 1].rank(sample, self.now_ns) < info.rank(sample, self.now_ns):
                    at += 1
            else:
                at += 1
            first_tried = at
            while at % len(nodes) in unfit or not self.pipeline.fits(nodes[at % len(nodes)]):
                unfit.add(at % len(nodes))
                at += 1
                if at - first_tried == len(nodes):
                    return placed
        return placed
