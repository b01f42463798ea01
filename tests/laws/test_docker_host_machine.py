"""Whatever an operator does to one Docker host, in any order: its books are right, and nothing is left at the end."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from cnmsim.testing.machine import DockerHostMachine

TestDockerHost = DockerHostMachine.TestCase
TestDockerHost.settings = settings(
    max_examples=100, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
