"""Find paths on which full packets vanish: packets with DF are lost, and no ICMP error about their size returns.

Path MTU discovery (RFC 1191) needs that error. Without it, small packets pass, but connections hang once they send
much data.
"""

from __future__ import annotations

from collections.abc import Iterator

from cnmsim.kernel.address import Address, format_ip
from cnmsim.observe.diagnosis.overlay import ESP_BYTES, VXLAN_BYTES
from cnmsim.observe.diagnosis.verdict import Verdict
from cnmsim.observe.doctor.fault import Fault, Severity
from cnmsim.observe.doctor.hosts import MTU_PATH, smaller_mtu, smallest_mtu
from cnmsim.observe.doctor.lab_snapshot import LabSnapshot, Net
from cnmsim.observe.location import Location

#: The bytes of an IPv4 header and of an ICMP echo header.
_HEADERS = 28
_TIMEOUT_S = 2.0


def black_holes(snapshot: LabSnapshot) -> Iterator[Fault]:
    """Send full packets with DF, and find networks from which they are lost without an ICMP error.

    Packets are sent only where a device or segment on the path has a smaller MTU than the container.
    """
    for net in snapshot.networks:
        sender = next((item for item in snapshot.containers(net.host) if item.on_network(net.name)), None)
        if sender is None or net.driver not in {"bridge", "overlay"}:
            continue
        mtu = _mtu_of(sender, net)
        for address, outer, where in _peers(snapshot, net):
            smallest, narrow = smallest_mtu(snapshot, net.host, [outer])
            header = VXLAN_BYTES + (ESP_BYTES if "encrypted" in net.options else 0) if net.driver == "overlay" else 0
            if not smallest or mtu + header <= smallest or not _vanishes(sender, address, mtu):
                continue
            yield Fault(
                Severity.ERROR, "mtu-black-hole", net.place,
                f"a packet of {mtu} bytes with DF from {sender.name} to {where} is lost, small ones arrive, and no "
                f"ICMP error returns: {narrow} carries {smallest} bytes",
                f"create it with -o com.docker.network.driver.mtu={smallest}, or let ICMP type 3 code 4 pass there",
                snapshot.network_source(net, MTU_PATH), (smaller_mtu(net, smallest),),
            )  # fmt: skip
            break


def _mtu_of(sender: Location, net: Net) -> int:
    attached = sender.on_network(net.name)
    own = attached.addresses if attached is not None else ()
    devices = sender.namespace.devices.values()
    return next((item.mtu for item in devices if any(each.address in own for each in item.addresses)), 0)


def _peers(snapshot: LabSnapshot, net: Net) -> Iterator[tuple[Address, Address, str]]:
    """Yield destinations of test packets from a network: (address, outer address, name of the machine or container).

    The outer address is the destination of the packets that leave the host. For an overlay network this is the
    address of the destination's node; otherwise it is the destination's own address.
    """
    machines = {host.name: host for host in snapshot.hosts if host is not net.host}
    if net.driver == "bridge":
        for host in machines.values():
            if not net.is_internal:
                yield from ((address, address, host.name) for address in host.addresses[:1] if len(address) == 4)
        return
    for peer in snapshot.containers():
        attached = peer.on_network(net.name)
        if attached is not None and peer.host in machines and machines[peer.host].addresses:
            inner = next((address for address in attached.addresses if len(address) == 4), None)
            if inner is not None:
                yield inner, machines[peer.host].addresses[0], peer.name


def _vanishes(sender: Location, address: Address, size: int) -> bool:
    """Send two packets from `sender` to `address`: a small one, and one of `size` bytes with DF.

    Return True if the small one arrives but the other is lost without an ICMP error.
    """
    from scapy.layers.inet import ICMP, IP

    from cnmsim.observe.packets.origin import Origin
    from cnmsim.observe.packets.sender import Batch

    def verdict(length: int) -> Verdict:
        packet = IP(dst=format_ip(address), flags="DF") / ICMP() / (b"x" * length)
        walks = Batch(Origin.of(sender)).send(packet, 0.0, None, _TIMEOUT_S)
        return walks[0].verdict

    return verdict(8).is_reachable and verdict(size - _HEADERS) is Verdict.TIMEOUT
