"""Whatever befalls a swarm on real wires: mended, it comes to what is wanted, and nothing is left of what was
removed."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from cnmsim.testing.swarm_machine import SwarmMachine

TestSwarm = SwarmMachine.TestCase
TestSwarm.settings = settings(
    max_examples=6, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
