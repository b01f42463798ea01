"""NetworkDB: the gossip database of a swarm's networks, on port 7946."""

from cnmsim.libnetwork.networkdb.context import NetworkDBConfig
from cnmsim.libnetwork.networkdb.convergence import converge, first_difference, is_converged
from cnmsim.libnetwork.networkdb.messages import TableOperation
from cnmsim.libnetwork.networkdb.networkdb import NetworkDB
from cnmsim.libnetwork.networkdb.store import store_of
from cnmsim.libnetwork.networkdb.tables import WatchEvent

__all__ = [
    "NetworkDB",
    "NetworkDBConfig",
    "TableOperation",
    "WatchEvent",
    "converge",
    "first_difference",
    "is_converged",
    "store_of",
]
