"""Default values of a service spec (moby/swarmkit `api/defaults/service.go`)."""

from __future__ import annotations

from attrs import evolve

from cnmsim.swarm.objects.cluster import SECOND_NS
from cnmsim.swarm.objects.service import (
    Placement,
    ResourceRequirements,
    RestartPolicy,
    ServiceSpec,
    TaskSpec,
    UpdateConfig,
)

STOP_GRACE_PERIOD_NS = 10 * SECOND_NS
RESTART_DELAY_NS = 5 * SECOND_NS
MONITOR_NS = 5 * SECOND_NS
UPDATE = UpdateConfig(parallelism=1, monitor_ns=MONITOR_NS)


def restart_delay_ns(spec: TaskSpec) -> int:
    """Return the time in nanoseconds that the replacement of an ended task waits before it starts."""
    if spec.restart is None or spec.restart.delay_ns is None:
        return RESTART_DELAY_NS
    return spec.restart.delay_ns


def _update_or_default(config: UpdateConfig | None) -> UpdateConfig:
    if config is None:
        return UPDATE
    return config if config.monitor_ns is not None else evolve(config, monitor_ns=MONITOR_NS)


def interpolate(spec: ServiceSpec) -> ServiceSpec:
    """Return a service spec with all defaults filled in, as `service inspect` prints it with `insertDefaults`."""
    task = spec.task
    container = task.container
    if container is not None:
        container = evolve(
            container,
            stop_grace_period_ns=(
                STOP_GRACE_PERIOD_NS if container.stop_grace_period_ns is None else container.stop_grace_period_ns
            ),
            dns_config={} if container.dns_config is None else container.dns_config,
        )
    restart = task.restart or RestartPolicy()
    if restart.delay_ns is None:
        restart = evolve(restart, delay_ns=RESTART_DELAY_NS)
    task = evolve(
        task,
        container=container,
        resources=task.resources or ResourceRequirements(),
        restart=restart,
        placement=task.placement or Placement(),
    )
    return evolve(spec, task=task, update=_update_or_default(spec.update), rollback=_update_or_default(spec.rollback))
