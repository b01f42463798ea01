"""One class with all operations of the control API."""

from __future__ import annotations

from cnmsim.swarm.controlapi.cluster import ClusterOperations
from cnmsim.swarm.controlapi.networks import NetworkOperations
from cnmsim.swarm.controlapi.nodes import NodeOperations
from cnmsim.swarm.controlapi.secrets import ConfigOperations, SecretOperations
from cnmsim.swarm.controlapi.services import ServiceOperations
from cnmsim.swarm.controlapi.tasks import TaskOperations


class ControlApi(
    ClusterOperations,
    NodeOperations,
    ServiceOperations,
    TaskOperations,
    NetworkOperations,
    SecretOperations,
    ConfigOperations,
):
    """All operations of the control API.

    Operations read the store directly. An operation that raises an error leaves the store unchanged.
    """
