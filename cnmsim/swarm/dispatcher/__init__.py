"""The dispatcher: sessions of agents, and the assignments sent to them (moby/swarmkit `manager/dispatcher`)."""

from cnmsim.swarm.dispatcher.dispatcher import Dispatcher
from cnmsim.swarm.dispatcher.messages import AssignmentsMessage, ManagerPeer, SessionMessage
from cnmsim.swarm.dispatcher.sessions import Stream

__all__ = ["AssignmentsMessage", "Dispatcher", "ManagerPeer", "SessionMessage", "Stream"]
