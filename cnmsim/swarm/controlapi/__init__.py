"""The control API: what administrators ask of the manager that leads (moby/swarmkit `manager/controlapi`)."""

from cnmsim.swarm.controlapi.api import ControlApi
from cnmsim.swarm.controlapi.common import Filters, RaftMember, RaftView

__all__ = ["ControlApi", "Filters", "RaftMember", "RaftView"]
