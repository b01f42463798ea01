"""Swarm operations on an engine that is in no swarm (moby `daemon/cluster`, `errNoSwarm`)."""

from __future__ import annotations

from cnmsim.api.host import HostApi
from cnmsim.api.message import Answer, Request
from cnmsim.api.router import not_simulated, operation
from cnmsim.errors import Unavailable

_NO_MANAGER = (
    'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to'
    " swarm and try again."
)
_OPERATIONS = (
    ("GET", "/swarm"),
    ("POST", "/swarm/update"),
    ("GET", "/swarm/unlockkey"),
    ("GET", "/nodes"),
    ("GET", "/nodes/{id}"),
    ("DELETE", "/nodes/{id}"),
    ("POST", "/nodes/{id}/update"),
    ("GET", "/services"),
    ("POST", "/services/create"),
    ("GET", "/services/{id}"),
    ("DELETE", "/services/{id}"),
    ("POST", "/services/{id}/update"),
    ("GET", "/services/{id}/logs"),
    ("GET", "/tasks"),
    ("GET", "/tasks/{id}"),
    ("GET", "/tasks/{id}/logs"),
    ("GET", "/secrets"),
    ("POST", "/secrets/create"),
    ("GET", "/secrets/{id}"),
    ("DELETE", "/secrets/{id}"),
    ("POST", "/secrets/{id}/update"),
    ("GET", "/configs"),
    ("POST", "/configs/create"),
    ("GET", "/configs/{id}"),
    ("DELETE", "/configs/{id}"),
    ("POST", "/configs/{id}/update"),
)


async def _refuse(_api: HostApi, _request: Request, **_: str) -> Answer:
    raise Unavailable(_NO_MANAGER)


for _method, _path in _OPERATIONS:
    operation(_method, _path)(_refuse)


@operation("POST", "/swarm/leave")
async def leave(_api: HostApi, _request: Request) -> Answer:
    """Leave the swarm this node is not in."""
    raise Unavailable("This node is not part of a swarm")


for _path in ("/swarm/init", "/swarm/join", "/swarm/unlock"):
    not_simulated("POST", _path, "swarm mode is not simulated through the API")
