"""The dispatcher: sessions of agents, and what each node is to do (moby/swarmkit `manager/dispatcher`)."""

from cnmsim.swarm.dispatcher.messages import AssignmentsMessage, ManagerPeer, SessionMessage

__all__ = ["AssignmentsMessage", "ManagerPeer", "SessionMessage"]
