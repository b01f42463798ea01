"""The handlers of the Engine API's operations. Importing this registers all of them."""

from __future__ import annotations

from cnmsim.api.handlers import containers, execs, images, networks, secrets, services, swarm, system, volumes
from cnmsim.api.router import OPERATIONS, dispatch

__all__ = [
    "OPERATIONS",
    "containers",
    "dispatch",
    "execs",
    "images",
    "networks",
    "secrets",
    "services",
    "swarm",
    "system",
    "volumes",
]
