"""What becomes of an engine when its host loses power, and when it is back.

Nothing is said to anybody: containers end as in a crash (the daemon finds them dead and notes exit code 255), the node of a swarm
falls silent. Back again, containers are started as their restart policies say, those with `--rm` are gone, and the node calls
its managers as the node that it was; the tasks it ran have failed. Source: moby `daemon/daemon.go` (`restore`), `daemon/monitor.go`.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.engine.containers.container import Container
from cnmsim.engine.containers.state import ContainerState
from cnmsim.errors import EngineError
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.task import Task, sleep

if TYPE_CHECKING:
    from cnmsim.engine.cluster.cluster import Cluster
    from cnmsim.engine.engine import Engine

#: What `docker ps` shows of a container that died with its host.
EXIT_CODE = 255
_SIGKILL = 9
#: How long containers on networks of the cluster wait for a manager, and how often they look, in seconds.
_SESSION_TIMEOUT_S, _SESSION_POLL_S = 120.0, 0.1


@frozen
class CrashState:
    """What is on the host's disk and counts when power is back: containers to be started, the node of a swarm."""

    starting: tuple[Container, ...]
    cluster: Cluster | None


def lose_power(engine: Engine) -> CrashState:
    """Stop all that runs, at this instant. The host's cables are to be pulled before: what is said must not be heard."""
    cluster = engine.cluster if engine.controller.cluster is not None else None
    if cluster is not None and cluster.node is not None:
        cluster.node.halt()
    waiting = engine.cluster.waiting
    starting = tuple(
        container for container in engine.store if _is_to_start(container, was_to=container.id in waiting)
    )
    waiting.clear()
    for container in list(engine.store):
        _die(engine, container)
    if cluster is not None:
        cluster.executor.networks.forget()
        engine.controller.agent_stop()
        cluster.executor.networks.release_ingress()
        engine.controller.cluster = None
    return CrashState(starting, cluster)


def _is_to_start(container: Container, *, was_to: bool) -> bool:
    policy = container.restarts.policy
    is_up = was_to or container.is_running or container.state is ContainerState.RESTARTING
    return container.has_been_started and (policy == "always" or (policy == "unless-stopped" and is_up))


def _die(engine: Engine, container: Container) -> None:
    before, container.was_stopped = container.was_stopped, True  # or its restart policy would act on it
    if container.process is not None:
        container.process.kill(_SIGKILL)
        container.exit_code = EXIT_CODE
    if container.state is ContainerState.RESTARTING:
        return  # given up when its pause is over
    container.was_stopped = before
    if container.host_config["AutoRemove"] and container.name:
        with suppress(EngineError):
            engine.lifecycle.remove(container, force=True, volumes=True)


def regain_power(engine: Engine, crash_state: CrashState) -> None:
    """Go on with what is on the disk."""
    engine.controller.reload_networks()
    cluster = crash_state.cluster
    if cluster is not None and cluster.node is not None:
        engine.controller.cluster = cluster
        cluster.node.resume()
    start_again(
        engine, [container for container in crash_state.starting if engine.store.find(container.id) is not None]
    )


def start_again(engine: Engine, containers: Iterable[Container]) -> None:
    """Start containers in this order; as in a daemon that starts, a failure is noted in the container's state and stops nothing else.

    What needs a network of the cluster, and who shares its network, is started once a manager is heard
    (moby `cmd/dockerd`, RestartSwarmContainers).
    """
    later: dict[str, Container] = {}
    for container in containers:
        if engine.networking.unattached(container) or container.joined_container in later:
            later[container.id] = container
        else:
            with suppress(EngineError):
                engine.lifecycle.start(container)
    if later:
        engine.cluster.waiting |= {identity: container.name for identity, container in later.items()}
        Task(engine.clock, _start_attached(engine, later))


async def _start_attached(engine: Engine, containers: dict[str, Container]) -> None:
    cluster, begun_ns = engine.cluster, engine.clock.now_ns
    while (
        cluster.node is not None
        and not cluster.node.obstacle
        and not cluster.node.agent.has_session
        and engine.clock.now_ns - begun_ns < _SESSION_TIMEOUT_S * NS_PER_S
    ):
        await sleep(engine.clock, _SESSION_POLL_S)
    for identity, container in containers.items():
        # It is no longer waited for if the power was lost meanwhile.
        if identity in cluster.waiting and engine.store.find(identity) is not None:
            with suppress(EngineError):
                await engine.lifecycle.attach_and_start(container)
        cluster.waiting.pop(identity, None)
