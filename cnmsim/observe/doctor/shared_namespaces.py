"""Find programs that cannot bind their port, because another program of the same network namespace has it.

Containers share a namespace with `network_mode: host` (that of the host) and `service:` or `container:`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cnmsim.engine.standins.knownport import VAGUE, KnownPort, PortSource
from cnmsim.observe.doctor.fault import Fault, Severity
from cnmsim.observe.doctor.lab_snapshot import LabSnapshot
from cnmsim.observe.fixes.changes import Change, ContainerOption, PublishPort, RecreateContainer, Steps
from cnmsim.observe.location import Location
from cnmsim.observe.taken_ports import taken_port

_SHARED = ("host", "container:")
_LAST_PORT = 65535


def taken_ports(snapshot: LabSnapshot) -> Iterator[Fault]:
    """Find containers whose program cannot listen on a TCP port, because another program of the namespace does."""
    for host in snapshot.docker_hosts:
        containers = list(snapshot.containers(host))
        running = {container.id: container for container in containers}
        for record in snapshot.engines[host.name].store:
            mode = record.network_mode
            if not mode.startswith(_SHARED):
                continue
            shared = _sharing(snapshot, host, mode)
            if shared is None:
                continue
            for port, is_assumed in _refused(record, running.get(record.id)):
                holder, may_be_wrong = _holder(shared, containers, record.name, port)
                if holder:
                    is_guess = is_assumed or may_be_wrong
                    yield _fault(snapshot, host, shared, record, port, holder, is_assumed=is_guess)


def _refused(record: Any, container: Location | None) -> Iterator[tuple[int, bool]]:
    """Yield the ports that the program of a container could not bind.

    Each comes with a bool: True if only the container's image says that the program binds the port. `record` is the
    container in the engine; `container` is its location, `None` if it does not run.
    """
    if container is None:
        port, is_assumed = taken_port(line.text for line in record.log.lines)
        if port:
            yield port, is_assumed
        return
    own = {(item.protocol, item.port) for item in container.services}
    for program in container.stand_ins:
        if program.container == container.name:
            for known in program.ports:
                if known.protocol == "tcp" and _is_clear(known) and ("tcp", known.number) not in own:
                    yield known.number, _is_from_image(known)


def _sharing(snapshot: LabSnapshot, host: Location, mode: str) -> Location | None:
    """Return the location whose namespace a container on `host` shares; `None` if that location does not run.

    `mode` is the container's network mode: `host` or `container:NAME`.
    """
    if mode == "host":
        return host
    name = mode.partition(":")[2]
    return next((item for item in snapshot.containers(host) if name in {item.id, item.name}), None)


def _holder(shared: Location, containers: list[Location], name: str, port: int) -> tuple[str, bool]:
    """Return a text that says what has `port` in the namespace of `shared`, and a bool; ("", False) if nothing has.

    The bool is True if only the image of the holder says that its program listens there. The container `name` does
    not count, nor does a program that is not simulated and only may listen there.
    """
    # The owner of a namespace is asked last: its sockets are those of all programs that share the namespace.
    for container in sorted(containers, key=lambda item: not item.network_mode.startswith(_SHARED)):
        if container.namespace is shared.namespace and container.name != name:
            for item in container.services:
                if (item.protocol, item.port) == ("tcp", port) and (item.known is None or _is_clear(item.known)):
                    return f"{container.name} listens there", _is_from_image(item.known)
        elif not shared.is_container and any(
            (item.protocol, item.host_port) == ("tcp", port) for item in container.published
        ):
            return f"{container.name} publishes it", False
    own = (item.program for item in shared.listening_on("tcp", port) if item.known is None)
    return next((f"{program} listens there" for program in own), ""), False


def _is_clear(known: KnownPort) -> bool:
    return known.source not in VAGUE


def _is_from_image(known: KnownPort | None) -> bool:
    return known is not None and known.source is PortSource.CATALOGUE


def _fault(
    snapshot: LabSnapshot, host: Location, shared: Location, record: Any, port: int, holder: str, *, is_assumed: bool
) -> Fault:
    name = record.config.get("Labels", {}).get("com.docker.swarm.service.name") or record.name
    source = "" if snapshot.places is None else snapshot.places.service(host.name, name, ("network_mode",))
    changes: tuple[Change, ...] = ()
    if record.network_mode == "host":
        free = next(number for number in range(port + 1, _LAST_PORT) if not host.listening_on("tcp", number))
        leave = RecreateContainer(host.name, record.name, ContainerOption.BRIDGE_NETWORK)
        changes = tuple(
            Steps((leave, PublishPort(host.name, record.name, port, free, host_ip=address)))
            for address in ("", "127.0.0.1")
        )
    return Fault(
        Severity.WARNING if is_assumed else Severity.ERROR,
        "port-taken", f"{host.name}: container {record.name}",
        f"its program cannot listen on port {port} of {shared.name}: {holder}"
        + (" (assumed from the image)" if is_assumed else ""),
        f"configure its program to listen on a port other than {port}, or put it on its own network",
        str(source), changes,
    )  # fmt: skip
