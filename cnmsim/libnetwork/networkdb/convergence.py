"""Checks whether the nodes of a lab agree: on members, on attachments to networks, and on every entry.

A check compares the nodes' databases, changes nothing, and takes no virtual time. After the nodes agree, gossip may
go on for a while, because each message is transmitted a fixed number of times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from cnmsim.kernel.clock import Clock, rare_garbage_collection
from cnmsim.libnetwork.networkdb.databases import databases_of

if TYPE_CHECKING:
    from cnmsim.libnetwork.networkdb.networkdb import NetworkDB
    from cnmsim.libnetwork.networkdb.tables import NetworkTables

_LOOK_INTERVAL_S = 0.1
#: The interval, in checks, at which a check compares everything; the others first test only the last difference.
_ALL_AGAIN = 10


@frozen
class Difference:
    """A difference between the databases of two nodes.

    `text` describes it; `persists()` is True as long as it exists. `size` is the number of nodes or entries in which
    the two databases differ.
    """

    text: str
    size: int
    persists: Callable[[], bool]


@define
class ConvergenceChecker:
    """A check whether all nodes have the same entries, for a caller that repeats it until it succeeds.

    To save work, a check first tests whether the difference found last still exists. Nodes that cannot reach each
    other always differ, so the caller needs a time limit.
    """

    _difference: Difference | None = field(default=None, init=False)
    _looks: int = field(default=0, init=False)

    def is_converged(self, databases: Iterable[NetworkDB]) -> bool:
        """Return True if the databases of these nodes have the same content and no node is busy (see `is_busy`)."""
        databases = list(databases)
        if is_busy(databases):
            return False
        self._looks += 1
        # Compare everything now and then: the two nodes of the last difference may be in different clusters by now.
        if self._looks % _ALL_AGAIN and self._difference is not None and self._difference.persists():
            return False
        self._difference = _find_difference(databases)
        return self._difference is None


def is_converged(clock: Clock) -> bool:
    """Return True if the databases of a lab's gossiping nodes have the same content and no node is busy.

    See `is_busy`.
    """
    return ConvergenceChecker().is_converged(databases_of(clock))


def converge(clock: Clock, limit_s: float = 120.0) -> float:
    """Run the lab until all nodes have the same entries. Return the virtual seconds that passed, to a tenth.

    Raises `TimeoutError` if they still differ after `limit_s` virtual seconds. Its message describes one difference.
    """
    begun_s = clock.now
    clock.run_ready()
    checker = ConvergenceChecker()
    with rare_garbage_collection():
        while not checker.is_converged(databases_of(clock)):
            if clock.now - begun_s >= limit_s:
                difference = first_difference(databases_of(clock))
                raise TimeoutError(difference or "a node is waiting for a response")
            clock.run_for(_LOOK_INTERVAL_S)
    return clock.now - begun_s


def is_busy(databases: Iterable[NetworkDB]) -> bool:
    """Return True if one of these nodes suspects another, is joining or syncing, or waits for a response."""
    return any(_is_busy(db) for db in databases)


def _is_busy(db: NetworkDB) -> bool:
    return bool(db.members.suspicions) or db.bulk.is_pending or _is_joining(db)


def is_joining(databases: Iterable[NetworkDB]) -> bool:
    """Return True if one of these nodes has not finished joining the cluster, or the first sync of a network."""
    return any(_is_joining(db) for db in databases)


def _is_joining(db: NetworkDB) -> bool:
    return db.rejoiner.pending_joins > 0 or any(
        not (tables.is_in_sync or tables.is_leaving) for tables in db.networks.values()
    )


def difference_count(databases: list[NetworkDB]) -> int:
    """Return the number of nodes and entries in which the databases of these nodes differ, plus further clusters.

    It is 0 if all nodes are in one cluster and have the same content.
    """
    clusters = clusters_of(databases)
    return len(clusters) - 1 + sum(difference.size for difference in _differences(clusters))


def first_difference(databases: Iterable[NetworkDB]) -> str:
    """Return a text that describes a difference between the databases of two nodes; "" if all have the same content.

    Only nodes of the same cluster (see `clusters_of`) are compared.
    """
    difference = _find_difference(list(databases))
    return "" if difference is None else difference.text


def _find_difference(databases: list[NetworkDB]) -> Difference | None:
    return next(_differences(clusters_of(databases)), None)


def _differences(clusters: list[list[NetworkDB]]) -> Iterator[Difference]:
    for cluster in clusters:
        names = {db.name for db in cluster}
        for db in cluster:
            if db.nodes.active.keys() != names:
                wrong = db.nodes.active.keys() ^ names
                listed = ", ".join(sorted(wrong))
                text = f"{db.name} on {db.process.machine.name} differs from the others about node {listed}"
                yield Difference(text, len(wrong), partial(_knows_others, db.nodes.active, names))
        yield from _differences_in_networks(cluster)


def _knows_others(known: Iterable[str], names: set[str]) -> bool:
    return set(known) != names


def clusters_of(databases: list[NetworkDB]) -> list[list[NetworkDB]]:
    """Group databases by cluster.

    Two nodes are in one cluster if a chain of nodes connects them, each of which lists the next as active or failed.
    """
    by_name = {db.name: db for db in databases}
    left = dict(by_name)
    clusters: list[list[NetworkDB]] = []
    while left:
        name, db = next(iter(left.items()))
        names, todo = {name}, [db]
        while todo:
            known = todo.pop().nodes
            # Set operations, which are fast, as usually all nodes have the same members.
            failed = known.failed
            new = (known.active.keys() | failed.keys() if failed else known.active.keys()) - names
            names |= new
            todo += [by_name[other] for other in new if other in by_name]
        for member in names:
            left.pop(member, None)
        clusters.append([db for db in databases if db.name in names])
    return clusters


def _differences_in_networks(cluster: list[NetworkDB]) -> Iterator[Difference]:
    attached: dict[str, list[tuple[NetworkDB, NetworkTables]]] = {}
    for db in cluster:
        for network, tables in db.networks.items():
            if not tables.is_leaving:
                attached.setdefault(network, []).append((db, tables))
    for network, nodes in attached.items():
        names = {db.name for db, _ in nodes}
        first_db, first = nodes[0]
        is_first_right = set(first.nodes) == names
        for db, tables in nodes:
            if not (is_first_right and tables.nodes.is_same_as(first.nodes)) and set(tables.nodes) != names:
                wrong = set(tables.nodes) ^ names
                text = f"{db.name} differs from the others about {', '.join(sorted(wrong))} on network {network}"
                yield Difference(text, len(wrong), partial(_knows_others, tables.nodes, names))
            wrong_entries = sum(map(len, _unlike_entries(first, tables)))
            if wrong_entries:
                text = f"{db.name} differs from {first_db.name} about {wrong_entries} entries of {network}"
                yield Difference(text, wrong_entries, partial(_have_other_entries, first, tables))


def _unlike_entries(one: NetworkTables, other: NetworkTables) -> Iterator[set[int]]:
    """For each entry in which two nodes differ, yield the set of its Lamport times on the two nodes.

    A node without the entry, or with a deleted one, adds no time. Entries that both lack or have deleted are skipped.
    """
    for versions in one.view.differences(other.view):
        times = [version.ltime for version in versions if version is not None and not version.is_deleted]
        if times and times != times[:1] * 2:
            yield set(times)


def _have_other_entries(one: NetworkTables, other: NetworkTables) -> bool:
    return any(_unlike_entries(one, other))
