"""Orchestration: loops that create, replace and remove tasks of services (moby/swarmkit `manager/orchestrator`)."""

from cnmsim.swarm.orchestrator.constraint_enforcer import ConstraintEnforcer
from cnmsim.swarm.orchestrator.global_ import GlobalOrchestrator
from cnmsim.swarm.orchestrator.jobs import JobsOrchestrator
from cnmsim.swarm.orchestrator.replicated import ReplicatedOrchestrator
from cnmsim.swarm.orchestrator.task_reaper import TaskReaper

__all__ = ["ConstraintEnforcer", "GlobalOrchestrator", "JobsOrchestrator", "ReplicatedOrchestrator", "TaskReaper"]
