"""Orchestration: the loops that make, replace and remove the tasks of services (swarmkit `manager/orchestrator`)."""

from cnmsim.swarm.orchestrator.enforcer import ConstraintEnforcer
from cnmsim.swarm.orchestrator.everywhere import GlobalOrchestrator
from cnmsim.swarm.orchestrator.jobs import JobsOrchestrator
from cnmsim.swarm.orchestrator.reaper import TaskReaper
from cnmsim.swarm.orchestrator.replicated import ReplicatedOrchestrator

__all__ = ["ConstraintEnforcer", "GlobalOrchestrator", "JobsOrchestrator", "ReplicatedOrchestrator", "TaskReaper"]
