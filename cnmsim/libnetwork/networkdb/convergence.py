"""Whether the nodes of a lab agree: on who is there, on who is attached to what, and on every entry.

What this looks at is what a user would compare on all hosts; it changes nothing, and costs no virtual time. Nodes that agree
may go on telling each other for a while what all know already: a message is transmitted a number of times, whoever has it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cnmsim.kernel.clock import Clock, collecting_seldom
from cnmsim.libnetwork.networkdb.store import Key, store_of

if TYPE_CHECKING:
    from cnmsim.libnetwork.networkdb.networkdb import NetworkDB
    from cnmsim.libnetwork.networkdb.tables import NetworkTables

_LOOK_INTERVAL_S = 0.1


def is_converged(clock: Clock) -> bool:
    """Tell whether all nodes of a lab that take part in gossip have the same view, and wait for nothing.

    Nodes that cannot reach each other never agree: give whoever waits for this a limit.
    """
    return agree(store_of(clock).databases)


def agree(databases: Iterable[NetworkDB]) -> bool:
    """Tell whether these nodes have the same view of each other, and wait for nothing."""
    databases = list(databases)
    return not is_busy(databases) and first_difference(databases) == ""


def converge(clock: Clock, limit_s: float = 120.0) -> float:
    """Let time pass until all nodes agree, and tell how many seconds of virtual time that took, to a tenth of one.

    Raises `TimeoutError`, which says in what they differ, if they do not after `limit_s` seconds.
    """
    begun_s = clock.now
    clock.run_ready()
    with collecting_seldom():
        while not is_converged(clock):
            if clock.now - begun_s >= limit_s:
                difference = first_difference(store_of(clock).databases)
                raise TimeoutError(difference or "a node waits for an answer of another")
            clock.run_for(_LOOK_INTERVAL_S)
    return clock.now - begun_s


def is_busy(databases: Iterable[NetworkDB]) -> bool:
    """Tell whether one of these nodes suspects another, or waits for an answer."""
    return any(_is_busy(db) for db in databases)


def _is_busy(db: NetworkDB) -> bool:
    if db.members.suspicions or db.bulk.is_waiting or db.rejoiner.joining:
        return True
    return any(not (tables.is_in_sync or tables.is_leaving) for tables in db.networks.values())


def first_difference(databases: Iterable[NetworkDB]) -> str:
    """Say in what two nodes differ, or "" if they agree.

    The nodes compared are those that some chain of common members joins: two clusters of one lab need not agree.
    """
    for cluster in _clusters(list(databases)):
        names = {db.name for db in cluster}
        for db in cluster:
            active = db.nodes.active.keys()
            if active != names:
                wrong = ", ".join(sorted(active ^ names))
                return f"{db.name} on {db.process.machine.name} differs from the others about node {wrong}"
        difference = _difference_in_networks(cluster)
        if difference:
            return difference
    return ""


def _clusters(databases: list[NetworkDB]) -> list[list[NetworkDB]]:
    by_name = {db.name: db for db in databases}
    left = dict(by_name)
    found: list[list[NetworkDB]] = []
    while left:
        name, db = next(iter(left.items()))
        names, todo = {name}, [db]
        while todo:
            known = todo.pop().nodes
            # Whole sets at a time: most often all know the same.
            new = (known.active.keys() | known.failed.keys() if known.failed else known.active.keys()) - names
            names |= new
            todo += [by_name[other] for other in new if other in by_name]
        for each in names:
            left.pop(each, None)
        found.append([db for db in databases if db.name in names])
    return found


def _difference_in_networks(cluster: list[NetworkDB]) -> str:
    attached: dict[str, list[tuple[NetworkDB, NetworkTables]]] = {}
    for db in cluster:
        for network, tables in db.networks.items():
            if not tables.is_leaving:
                attached.setdefault(network, []).append((db, tables))
    for network, nodes in attached.items():
        names = {db.name for db, _ in nodes}
        first: set[tuple[Key, int]] | None = None
        first_codes = None
        for db, tables in nodes:
            if set(tables.nodes) != names:
                wrong = ", ".join(sorted(set(tables.nodes) ^ names))
                return f"{db.name} differs from the others about {wrong} on network {network}"
            if first_codes is not None and tables.view.codes == first_codes:
                continue
            entries = {(v.slot.key, v.ltime) for v in tables.view if not v.is_deleted}
            if first is None:
                first, first_codes = entries, tables.view.codes
            elif entries != first:
                return f"{db.name} differs from {nodes[0][0].name} about {len(entries ^ first)} entries of {network}"
    return ""
