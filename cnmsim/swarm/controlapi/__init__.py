"""The control API: operations on the cluster's objects, served by the leader (moby/swarmkit `manager/controlapi`)."""

from cnmsim.swarm.controlapi.api import ControlApi
from cnmsim.swarm.controlapi.common import Filters, RaftView

__all__ = ["ControlApi", "Filters", "RaftView"]
