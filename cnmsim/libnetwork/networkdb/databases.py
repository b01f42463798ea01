"""The running databases of a lab, for checks that compare all nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cnmsim.kernel.clock import Clock
    from cnmsim.libnetwork.networkdb.networkdb import NetworkDB


def databases_of(clock: Clock) -> list[NetworkDB]:
    """Return the running databases of the lab that a clock belongs to, in order of their start."""
    databases: list[NetworkDB] = clock.registry.setdefault("networkdb databases", [])
    return databases
