"""The store: a cluster's objects, changed in transactions and watched (moby/swarmkit `manager/state/store`)."""

from cnmsim.swarm.store.store import Event, EventKind, Store, Watch
from cnmsim.swarm.store.tables import Table, TaskTable

__all__ = ["Event", "EventKind", "Store", "Table", "TaskTable", "Watch"]
