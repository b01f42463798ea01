"""The scheduler: assigns tasks to nodes (moby/swarmkit `manager/scheduler`)."""

from cnmsim.swarm.scheduler.scheduler import Scheduler

__all__ = ["Scheduler"]
