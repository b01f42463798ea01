"""Power loss of an engine's host, and the restart of the engine when power is back.

No other machine is notified of the loss: containers die (the daemon later records exit code 255), and the swarm node
sends nothing more. After the restart containers are started according to their restart policies, those with `--rm`
are removed, and the swarm node reconnects to its managers under its old identity; its tasks have failed. Source: moby
`daemon/daemon.go` (`restore`), `daemon/monitor.go`.
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

#: Exit code of a container that died with its host.
EXIT_CODE = 255
_SIGKILL = 9
#: Timeout for a manager's session, on which containers on networks of the swarm depend, and the polling interval, in
#: seconds.
_SESSION_TIMEOUT_S, _SESSION_POLL_S = 120.0, 0.1


@frozen
class CrashState:
    """What the host's disk holds for the restart: the containers to start, and the swarm node's state.

    `cluster` is `None` outside of a swarm.
    """

    starting: tuple[Container, ...]
    cluster: Cluster | None


def lose_power(engine: Engine) -> CrashState:
    """Stop the engine with everything that runs on it. Return the state that `regain_power` needs for the restart.

    The caller must have taken the host's links down before, so that no other machine receives a message about the
    end.
    """
    halt_node(engine)
    starting = to_start(engine)
    for container in list(engine.store):
        _die(engine, container)
    return CrashState(starting, leave_networks(engine))


def to_start(engine: Engine) -> tuple[Container, ...]:
    """Return the containers that the engine starts when it restarts.

    Also forget which containers were waiting for a network of the swarm.
    """
    waiting = engine.cluster.waiting
    starting = tuple(
        container for container in engine.store if _is_to_start(container, was_to=container.id in waiting)
    )
    waiting.clear()
    return starting


def halt_node(engine: Engine) -> None:
    """Stop the swarm node, if there is one, without a message to others."""
    if engine.controller.cluster is not None and engine.cluster.node is not None:
        engine.cluster.node.halt()


def leave_networks(engine: Engine) -> Cluster | None:
    """Delete the copies of the swarm's networks, and stop gossip. Return the cluster, `None` outside a swarm."""
    cluster = engine.cluster if engine.controller.cluster is not None else None
    if cluster is not None:
        cluster.executor.networks.forget()
        engine.controller.agent_stop()
        cluster.executor.networks.release_ingress()
        engine.controller.cluster = None
    return cluster


def _is_to_start(container: Container, *, was_to: bool) -> bool:
    policy = container.restarts.policy
    is_up = was_to or container.is_running or container.state is ContainerState.RESTARTING
    return container.has_been_started and (policy == "always" or (policy == "unless-stopped" and is_up))


def _die(engine: Engine, container: Container) -> None:
    before, container.was_stopped = container.was_stopped, True  # otherwise its restart policy would restart it
    if container.process is not None:
        container.process.kill(_SIGKILL)
        container.exit_code = EXIT_CODE
    if container.state is ContainerState.RESTARTING:
        return  # the pending restart gives up, because the container is stopped
    container.was_stopped = before
    if container.host_config["AutoRemove"] and container.name:
        with suppress(EngineError):
            engine.lifecycle.remove(container, force=True, volumes=True)


def regain_power(engine: Engine, crash_state: CrashState) -> None:
    """Restart the engine from `crash_state`, which `lose_power` returned."""
    engine.controller.reload_networks()
    cluster = crash_state.cluster
    if cluster is not None and cluster.node is not None:
        engine.controller.cluster = cluster
        cluster.node.resume()
    start_containers(
        engine, [container for container in crash_state.starting if engine.store.find(container.id) is not None]
    )


def start_containers(engine: Engine, containers: Iterable[Container]) -> None:
    """Start containers in the given order, except that some must wait for the swarm.

    Those are the containers that need a network of the swarm, or share the namespace of one that does: they start
    once the node has a session with a manager (moby `cmd/dockerd`, RestartSwarmContainers). A failure is recorded in
    the container's state and does not stop the others.
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
        # Not if it was dropped by another power loss meanwhile.
        if identity in cluster.waiting and engine.store.find(identity) is not None:
            with suppress(EngineError):
                await engine.lifecycle.attach_and_start(container)
        cluster.waiting.pop(identity, None)
