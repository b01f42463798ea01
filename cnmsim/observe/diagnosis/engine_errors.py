"""Explain an engine's error: add what its message omits, e.g. which container holds the port.

Messages are those of moby `daemon/libnetwork` (26.1.5 to docker-v29.7.2).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from attrs import frozen

from cnmsim.errors import CnmsimError
from cnmsim.kernel.address import Prefix, format_ip
from cnmsim.kernel.bridge import Bridge
from cnmsim.observe.diagnosis.causes.base import Cause, Fact
from cnmsim.observe.diagnosis.causes.engine import (
    AddressHeld,
    BridgeFull,
    NetworkInUse,
    PoolsExhausted,
    PortHeldByContainer,
    PortHeldByProgram,
    SubnetOverlaps,
)
from cnmsim.observe.diagnosis.compose_sentences import advice
from cnmsim.observe.diagnosis.diagnosis import Diagnosis, diagnosis
from cnmsim.observe.diagnosis.sentences import sentence
from cnmsim.observe.diagnosis.stale_vxlan import FILE_EXISTS, stale_vxlan_devices
from cnmsim.observe.display import Displayable
from cnmsim.observe.doctor.lab_snapshot import LabSnapshot
from cnmsim.observe.fixes.changes import Change, DeleteLink, Manual, Steps
from cnmsim.observe.fixes.tasks import Task
from cnmsim.observe.trace.tracer import LabView

_Diagnose = Callable[[LabSnapshot, "re.Match[str]", str], Diagnosis | None]
#: The maximum number of networks that a sentence lists.
_MANY = 4


@frozen
class ErrorExplanation(Displayable):
    """The message of an engine's error with an explanation.

    `message` is the engine's text. `reason` is the cause; it is `None` if there is nothing to add to the message.
    `changes` may help; none of them was tried.
    """

    message: str
    reason: Cause | None = None
    changes: tuple[Change, ...] = ()

    @property
    def cause(self) -> str:
        """The cause as a sentence, "" if there is nothing to add to the message."""
        return sentence(self.reason) if self.reason is not None else ""

    @property
    def advice(self) -> str:
        """The changes that may help as a sentence, "" if there are none. None of them was tried."""
        return advice(self.changes, {})

    def _lines(self) -> list[tuple[str, str]]:
        lines = [("refused", self.message), ("decided by", self.cause), ("advice (not tried)", self.advice)]
        return [line for line in lines if line[1]]

    def __str__(self) -> str:
        return "\n".join(f"{label}: {text}" for label, text in self._lines())


def explain_error(lab: LabView, error: BaseException, *, asked: str = "") -> ErrorExplanation:
    """Return an explanation of an engine's error, with the cause and the changes that may help.

    `asked` is the subnet or address in the refused request, "" if it had none.
    """
    message = error.message if isinstance(error, CnmsimError) else str(error)
    snapshot = LabSnapshot.of(lab)
    for pattern, diagnose in _BY_MESSAGE:
        match = re.search(pattern, message)
        result = diagnose(snapshot, match, asked) if match else None
        if result is not None:
            return ErrorExplanation(message, result.cause, result.changes)
    return ErrorExplanation(message)


def _port_held(snapshot: LabSnapshot, match: re.Match[str], asked: str) -> Diagnosis | None:
    del asked
    port = int(match.group(1))
    other = Manual(Task.PUBLISH_OTHER_PORT)
    for container in snapshot.containers():
        for item in container.published:
            if item.host_port == port:
                cause: Cause = PortHeldByContainer(container.name, container.host, port, item.protocol, item.host_ip)
                return diagnosis(cause, other, Manual(Task.REMOVE_CONTAINER, container.name))
    for host in snapshot.docker_hosts:
        listeners = [item for protocol in ("tcp", "udp") for item in host.listening_on(protocol, port)]
        if listeners:
            cause = PortHeldByProgram(listeners[0].program, host.name, str(listeners[0]))
            return diagnosis(cause, other, Manual(Task.STOP_PROGRAM))
    return None


def _pools_exhausted(snapshot: LabSnapshot, match: re.Match[str], asked: str) -> Diagnosis | None:
    del match, asked
    by_host = {
        net.host.name: [each for each in snapshot.networks if each.host is net.host and each.driver == "bridge"]
        for net in snapshot.networks
    }
    name, nets = max(by_host.items(), key=lambda item: len(item[1]))
    examples = tuple(f"{net.name} {net.subnets[0]}" for net in nets[:_MANY] if net.subnets)
    cause = PoolsExhausted(name, len(nets), examples)
    return diagnosis(cause, Manual(Task.PRUNE_NETWORKS), Manual(Task.USE_SMALLER_POOLS))


def _subnet_overlaps(snapshot: LabSnapshot, match: re.Match[str], asked: str) -> Diagnosis | None:
    del match
    if not asked:
        return None
    prefix = Prefix.parse(asked, strict=False)
    for net in snapshot.networks:
        for subnet in net.subnets:
            if subnet.family == prefix.family and subnet.overlaps(prefix):
                cause = SubnetOverlaps(asked, net.name, str(subnet), net.host.name)
                return diagnosis(cause, Manual(Task.USE_OTHER_SUBNET), Manual(Task.REMOVE_NETWORK, net.name))
    return None


def _network_in_use(snapshot: LabSnapshot, match: re.Match[str], asked: str) -> Diagnosis | None:
    del asked
    network = match.group(1)
    members = tuple(item.name for item in snapshot.containers() if item.on_network(network) is not None)
    if not members:
        return None
    disconnect = tuple(Manual(Task.DISCONNECT, network, name) for name in members)
    return diagnosis(NetworkInUse(network, members), Steps(disconnect))


def _address_held(snapshot: LabSnapshot, match: re.Match[str], asked: str) -> Diagnosis | None:
    del match
    for container in snapshot.containers():
        if any(format_ip(address) == asked for address in container.addresses):
            return diagnosis(AddressHeld(container.name, container.host, asked), Manual(Task.USE_IP_RANGE))
    return None


def _bridge_full(snapshot: LabSnapshot, match: re.Match[str], asked: str) -> Diagnosis | None:
    del asked
    for host in snapshot.docker_hosts:
        bridge = host.namespace.devices.get(match.group(1))
        if isinstance(bridge, Bridge):
            cause = BridgeFull(bridge.name, host.name, len(bridge.ports))
            return diagnosis(cause, Manual(Task.USE_MORE_NETWORKS))
    return None


def _subnet_not_fixed(snapshot: LabSnapshot, match: re.Match[str], asked: str) -> Diagnosis | None:
    del snapshot, match, asked
    return diagnosis(Fact.SUBNET_NOT_FIXED, Manual(Task.USE_FIXED_SUBNET))


def _vni_taken(snapshot: LabSnapshot, match: re.Match[str], asked: str) -> Diagnosis | None:
    """Diagnose an overlay network whose VNI another VXLAN device of the host already uses; `None` if none does.

    When a worker fails to attach a container for that reason, the manager reports only a timeout. The cause is
    therefore read from the lab. `match`, the match of the error message, and `asked` are not used.
    """
    del match, asked
    for device in stale_vxlan_devices(snapshot.directory.locations, snapshot.directory.swarms):
        return diagnosis(device, DeleteLink(device.host, device.device))
    return None


_BY_MESSAGE: tuple[tuple[str, _Diagnose], ...] = (
    (r":(\d+) failed: port is already allocated", _port_held),
    (r"failed to bind host port (?:for )?\S*?:(\d+)[:/].*address already in use", _port_held),
    (r"listen \w+ \S+:(\d+): bind: address already in use", _port_held),
    (r"fully subnetted|non-overlapping IPv\d address pool|available IPv\d addresses?(?= pool)", _pools_exhausted),
    (r"Pool overlaps with other one", _subnet_overlaps),
    (r"network (\S+) (?:id \S+ )?has active endpoints", _network_in_use),
    (r"Address already in use", _address_held),
    (r"to bridge (\S+) failed: exchange full", _bridge_full),
    (f"{FILE_EXISTS}|attaching to network failed.*deadline exceeded", _vni_taken),
    (r"user (?:specified|configured) .*subnet|user configured subnets", _subnet_not_fixed),
)
