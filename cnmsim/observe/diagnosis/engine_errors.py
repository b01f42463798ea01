"""Why an engine refused something: what its message leaves out, such as who holds the port, the subnet or the network.

Messages are those of moby `daemon/libnetwork` (26.1.5 to docker-v29.7.2); `{}` of what they leave out is looked up in the lab.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from attrs import frozen

from cnmsim.errors import CnmsimError
from cnmsim.kernel.address import Prefix, format_ip
from cnmsim.kernel.bridge import Bridge
from cnmsim.observe.diagnosis.stale_vxlan import FILE_EXISTS, leftovers
from cnmsim.observe.display import Displayable
from cnmsim.observe.doctor.lab_snapshot import LabSnapshot
from cnmsim.observe.trace.tracer import LabView

_Why = Callable[[LabSnapshot, "re.Match[str]", str], "tuple[str, str] | None"]


@frozen
class ErrorExplanation(Displayable):
    """An engine's refusal: its `message`, the `cause` in a sentence ("" if the message says it all), and a `fix`."""

    message: str
    cause: str = ""
    fix: str = ""

    def _lines(self) -> list[tuple[str, str]]:
        lines = [("refused", self.message), ("decided by", self.cause), ("fix", self.fix)]
        return [line for line in lines if line[1]]

    def __str__(self) -> str:
        return "\n".join(f"{label}: {text}" for label, text in self._lines())

    def _repr_html_(self) -> str:
        from cnmsim.observe.views.answers import error_card

        return error_card(self)


def explain_error(lab: LabView, error: BaseException, *, asked: str = "") -> ErrorExplanation:
    """Say what an engine's error leaves out. `asked` is the subnet or address that was asked for, if there was one."""
    message = error.message if isinstance(error, CnmsimError) else str(error)
    snapshot = LabSnapshot.of(lab)
    for pattern, why in _WHY:
        found = re.search(pattern, message)
        said = why(snapshot, found, asked) if found else None
        if said is not None:
            return ErrorExplanation(message, *said)
    return ErrorExplanation(message)


def _port_taken(snapshot: LabSnapshot, found: re.Match[str], asked: str) -> tuple[str, str] | None:
    del asked
    port = int(found.group(1))
    for container in snapshot.containers():
        for item in container.published:
            if item.host_port == port:
                where = item.host_ip or "every address"
                return (
                    f"container {container.name} on {container.host} has port {port}/{item.protocol} on {where}",
                    f"publish another port, or docker rm -f {container.name}",
                )
    for host in snapshot.docker_hosts:
        heard = [item for protocol in ("tcp", "udp") for item in host.listening_on(protocol, port)]
        if heard:
            return (
                f"{heard[0].program or 'a program'} of {host.name} itself listens on {heard[0]}",
                "publish another port, or stop that program",
            )
    return None


def _no_pools(snapshot: LabSnapshot, found: re.Match[str], asked: str) -> tuple[str, str] | None:
    del found, asked
    hosts = {
        net.host.name: [each for each in snapshot.networks if each.host is net.host and each.driver == "bridge"]
        for net in snapshot.networks
    }
    name, nets = max(hosts.items(), key=lambda item: len(item[1]))
    shown = ", ".join(f"{net.name} {net.subnets[0]}" for net in nets[:4] if net.subnets)
    return (
        f"{len(nets)} networks hold all default pools of {name}: {shown}, …",
        'docker network prune, or more and smaller default-address-pools ([{"base": "172.20.0.0/14", "size": 24}] makes 1,024)',
    )


def _overlaps(snapshot: LabSnapshot, found: re.Match[str], asked: str) -> tuple[str, str] | None:
    del found
    if not asked:
        return None
    prefix = Prefix.parse(asked, strict=False)
    for net in snapshot.networks:
        for subnet in net.subnets:
            if subnet.family == prefix.family and subnet.overlaps(prefix):
                return (
                    f"{asked} overlaps network {net.name} ({subnet}) of {net.host.name}",
                    f"use another subnet, or docker network rm {net.name}",
                )
    return None


def _in_use(snapshot: LabSnapshot, found: re.Match[str], asked: str) -> tuple[str, str] | None:
    del asked
    members = [item.name for item in snapshot.containers() if item.on_network(found.group(1)) is not None]
    if not members:
        return None
    listed = ", ".join(members)
    verb = "is" if len(members) == 1 else "are"
    return (
        f"container{'s' * (len(members) > 1)} {listed} {verb} on network {found.group(1)}",
        "; ".join(f"docker network disconnect {found.group(1)} {name}" for name in members),
    )


def _address_taken(snapshot: LabSnapshot, found: re.Match[str], asked: str) -> tuple[str, str] | None:
    del found
    for container in snapshot.containers():
        if any(format_ip(address) == asked for address in container.addresses):
            return (
                f"container {container.name} on {container.host} has {asked}: addresses are given out from the lowest on",
                "keep the addresses you give yourself out of --ip-range",
            )
    return None


def _bridge_full(snapshot: LabSnapshot, found: re.Match[str], asked: str) -> tuple[str, str] | None:
    del asked
    for host in snapshot.docker_hosts:
        bridge = host.namespace.devices.get(found.group(1))
        if isinstance(bridge, Bridge):
            return (
                f"{bridge.name} of {host.name} has {len(bridge.ports):,} ports, and the kernel gives a bridge no more",
                "spread the containers over more networks",
            )
    return None


def _needs_subnet(snapshot: LabSnapshot, found: re.Match[str], asked: str) -> tuple[str, str] | None:
    del snapshot, found, asked
    return (
        "the network's subnet was chosen by Docker, and would be another one after it is made anew",
        "make the network with --subnet",
    )


def _vni_taken(snapshot: LabSnapshot, found: re.Match[str], asked: str) -> tuple[str, str] | None:
    """Name the device that has the VNI. Of an attachment that is refused on a node, its manager only says that it waited."""
    del found, asked
    for each in leftovers(snapshot.directory.locations, snapshot.directory.swarms):
        return str(each), each.fix
    return None


_WHY: tuple[tuple[str, _Why], ...] = (
    (r":(\d+) failed: port is already allocated", _port_taken),
    (r"failed to bind host port (?:for )?\S*?:(\d+)[:/].*address already in use", _port_taken),
    (r"listen \w+ \S+:(\d+): bind: address already in use", _port_taken),
    (r"fully subnetted|non-overlapping IPv\d address pool|available IPv\d addresses?(?= pool)", _no_pools),
    (r"Pool overlaps with other one", _overlaps),
    (r"network (\S+) (?:id \S+ )?has active endpoints", _in_use),
    (r"Address already in use", _address_taken),
    (r"to bridge (\S+) failed: exchange full", _bridge_full),
    (f"{FILE_EXISTS}|attaching to network failed.*deadline exceeded", _vni_taken),
    (r"user (?:specified|configured) .*subnet|user configured subnets", _needs_subnet),
)
