"""The public internet around a Compose project: one host that answers at every public name and address.

The machines behind public addresses are not simulated. A host named `internet` represents all of them: its name
server answers for every name under a public top-level domain, and netfilter redirects packets for any public address
to the host's own servers. A verdict that depends on this host lists it as an assumption.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cnmsim.kernel.address import Prefix, parse_ip
from cnmsim.kernel.route import Route

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process
    from cnmsim.lab.host import Host

_DISCARD_PORT = 9
#: The unicast addresses of IPv4 that are neither private (RFC 1918), shared (RFC 6598), link-local nor loopback.
_PUBLIC = (
    "1.0.0.0/8", "2.0.0.0/7", "4.0.0.0/6", "8.0.0.0/7", "11.0.0.0/8", "12.0.0.0/6", "16.0.0.0/4", "32.0.0.0/3",
    "64.0.0.0/3", "96.0.0.0/6", "100.0.0.0/10", "100.128.0.0/9", "101.0.0.0/8", "102.0.0.0/7", "104.0.0.0/5",
    "112.0.0.0/5", "120.0.0.0/6", "124.0.0.0/7", "126.0.0.0/8", "128.0.0.0/3", "160.0.0.0/5", "168.0.0.0/8",
    "169.0.0.0/9", "169.128.0.0/10", "169.192.0.0/11", "169.224.0.0/12", "169.240.0.0/13", "169.248.0.0/14",
    "169.252.0.0/15", "169.255.0.0/16", "170.0.0.0/7", "172.0.0.0/12", "172.32.0.0/11", "172.64.0.0/10",
    "172.128.0.0/9", "173.0.0.0/8", "174.0.0.0/7", "176.0.0.0/4", "192.0.0.0/9", "192.128.0.0/11",
    "192.160.0.0/13", "192.169.0.0/16", "192.170.0.0/15", "192.172.0.0/14", "192.176.0.0/12", "192.192.0.0/10",
    "193.0.0.0/8", "194.0.0.0/7", "196.0.0.0/6", "200.0.0.0/5", "208.0.0.0/4",
)  # fmt: skip
#: The global unicast addresses of IPv6 (RFC 4291).
_PUBLIC_6 = "2000::/3"
#: Every TCP port leads to the web server, and port 53 to the name server; other UDP datagrams are discarded.
_RULES = (
    "-p udp --dport 53 -j REDIRECT",
    "-p tcp --dport 53 -j REDIRECT",
    "-p tcp -j REDIRECT --to-ports 80",
    f"-p udp -j REDIRECT --to-ports {_DISCARD_PORT}",
    "-p icmp -j REDIRECT",
)


def stand_for_internet(host: Host, addresses: Iterable[str], router: Host) -> None:
    """Make `host` answer for every public address, and make `router` route these addresses to it.

    `addresses` are the host's own addresses, IPv4 or IPv6, on the subnet that it shares with the router; only public
    addresses of the same IP versions are covered. Private addresses get no route.
    """
    namespace = router.namespace
    for gateway in map(parse_ip, addresses):
        is_ipv6 = len(gateway) == 16
        device = next(
            device
            for device in namespace.devices.values()
            if any(gateway in item.prefix for item in device.addresses if device.kind != "loopback")
        )
        for prefix in (_PUBLIC_6,) if is_ipv6 else _PUBLIC:
            namespace.add_route(Route(prefix=Prefix.parse(prefix), device=device, gateway=gateway))
        for rule in _RULES:
            text = rule.replace("-p icmp", "-p ipv6-icmp --icmpv6-type echo-request") if is_ipv6 else rule
            host.namespace.netfilter.iptables(6 if is_ipv6 else 4).append("nat", "PREROUTING", text)
    host.plain.services.append(host.machine.spawn(_discard_server, ["discard"]))


def stand_for_machine(host: Host) -> None:
    """Make `host`, a machine on the LAN that a Compose file names, answer at each of its ports.

    It has a web server and a name server. A verdict that depends on it lists it as an assumption.
    """
    for rule in _RULES:
        host.namespace.netfilter.iptables(4).append("nat", "PREROUTING", rule)
    host.plain.services.append(host.machine.spawn(_discard_server, ["discard"]))
    host.built_with = {**host.built_with, "stands_for_machine": True}


async def _discard_server(process: Process) -> int:
    """Receive UDP datagrams on the port of the discard service (RFC 863) and answer none, until it is killed."""
    socket = process.udp(6)
    socket.bind(("::", _DISCARD_PORT))
    while True:
        await socket.recvfrom()
