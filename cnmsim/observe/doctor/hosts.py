"""Faults of hosts: IP forwarding, bridge netfilter settings, and MTUs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cnmsim.digits import is_number
from cnmsim.kernel.address import Address
from cnmsim.kernel.device import Nic
from cnmsim.kernel.netfilter.hooks import LEGACY
from cnmsim.kernel.netfilter.nftables import NfTables
from cnmsim.observe.diagnosis.overlay import ESP_BYTES, VXLAN_BYTES
from cnmsim.observe.doctor.fault import Fault, Severity
from cnmsim.observe.doctor.lab_snapshot import MTU, LabSnapshot, Net
from cnmsim.observe.fixes.changes import NetworkSetting, RecreateNetwork, SetSysctl
from cnmsim.observe.location import Location
from cnmsim.observe.trace.rule_decision import DOCKER_TABLE
from cnmsim.underlay.segment import Segment

_ICC = "com.docker.network.bridge.enable_icc"
#: A documentation address (RFC 5737): no lab contains it, so only a default route leads there.
_SOMEWHERE: Address = bytes((192, 0, 2, 254))
_MOST_HOPS = 16
#: The path of keys to a network's MTU in a Compose or stack file.
MTU_PATH = ("driver_opts", MTU)
_FALSE = frozenset({"0", "f", "F", "false", "False", "FALSE"})


def forwarding(snapshot: LabSnapshot) -> Iterator[Fault]:
    """Find Docker hosts on which IP forwarding is off."""
    for host in snapshot.docker_hosts:
        key = "net.ipv4.ip_forward"
        has_bridges = any(
            net.driver == "bridge" and not net.is_internal for net in snapshot.networks if net.host is host
        )
        if has_bridges and host.namespace.sysctl_get(key) == "0":
            yield Fault(
                Severity.ERROR, "ip-forward-off", host.name,
                f"{key} = 0: containers reach nothing beyond {host.name}, "
                "and its published ports work by docker-proxy alone",
                f"sysctl -w {key}=1 on {host.name}, and find what switches it off",
                snapshot.host_source(host.name, key), (SetSysctl(host.name, key, "1"),),
            )  # fmt: skip


def rule_sets(snapshot: LabSnapshot) -> Iterator[Fault]:
    """Find Docker hosts with rules in a rule set other than the one that Docker uses there.

    The rule sets are iptables-legacy, iptables (nft) and native nftables. If Docker uses nftables, an operator's own
    nftables tables are no fault.
    """
    for host in snapshot.docker_hosts:
        netfilter = host.namespace.netfilter
        writes_nftables = any(name == DOCKER_TABLE for _, name in NfTables.of(netfilter).tables)
        listed = []
        for family, program in ((4, "iptables"), (6, "ip6tables")):
            if netfilter.has_legacy_tables(family) and netfilter.iptables(family, LEGACY).has_effect:
                listed.append(f"{program}-legacy -S")
            if writes_nftables and netfilter.iptables(family).has_effect:
                listed.append(f"{program} -S")
        if not writes_nftables and any(NfTables.of(netfilter).rule_set(family).has_effect for family in (4, 6)):
            listed.append("nft list ruleset")
        if listed:
            yield Fault(
                Severity.WARNING, "second-rule-set", host.name,
                f"besides Docker's rules there are the rules that {' and '.join(listed)} "
                f"{'shows' if len(listed) == 1 else 'show'}: a packet must pass all of them, and one rule set may "
                "drop what another accepts",
                f"keep the rules of {host.name} in one rule set",
                snapshot.host_source(host.name, "iptables-legacy", "ip6tables-legacy", "nft ", "iptables"),
            )  # fmt: skip


def bridge_filter(snapshot: LabSnapshot) -> Iterator[Fault]:
    """Find networks on which the option icc=false has no effect, because bridged packets bypass the packet filter."""
    key = "net.bridge.bridge-nf-call-iptables"
    for net in snapshot.networks:
        if net.driver != "bridge" or net.options.get(_ICC, "true") not in _FALSE:
            continue
        if net.host.namespace.sysctl_get(key) == "0":
            yield Fault(
                Severity.ERROR, "icc-without-br-netfilter", net.place,
                f"icc is false, but {key} = 0: "
                "frames between its containers bypass the rule that should drop them",
                f"modprobe br_netfilter; sysctl -w {key}=1 on {net.host.name}",
                snapshot.host_source(net.host.name, key) or snapshot.network_source(net, ("driver_opts", _ICC)),
                (SetSysctl(net.host.name, key, "1"),),
            )  # fmt: skip


def sizes(snapshot: LabSnapshot) -> Iterator[Fault]:
    """Find networks whose MTU is larger than that of a device or segment on the path of their packets.

    For a bridge network the path leads out of the lab; for an overlay network it leads to the other nodes of the
    swarm, and the headers of the tunnel are added to the MTU.
    """
    for net in snapshot.networks:
        smallest, where = smallest_mtu(snapshot, net.host, _outside(snapshot, net))
        mtu = _mtu_of(snapshot, net)
        if not smallest or not mtu or net.is_internal:
            continue
        if net.driver == "bridge" and mtu > smallest:
            yield Fault(
                Severity.WARNING, "mtu", net.place,
                f"its MTU is {mtu}, but {where} carries {smallest} bytes: "
                "large replies are lost wherever the ICMP error about their size is lost",
                f"create it with -o com.docker.network.driver.mtu={smallest} "
                "(a daemon's mtu is for the default bridge only)",
                snapshot.network_source(net, MTU_PATH), (smaller_mtu(net, smallest),),
            )  # fmt: skip
        if net.driver == "overlay":
            header = VXLAN_BYTES + (ESP_BYTES if "encrypted" in net.options else 0)
            if mtu + header > smallest:
                # If a packet is too large, a host fragments it or, with DF set, returns an ICMP error; a switch does
                # neither.
                is_switch = where.startswith("segment")
                what = "are lost" if is_switch else "are fragmented, or must be sent shorter"
                yield Fault(
                    Severity.ERROR if is_switch else Severity.WARNING, "mtu", net.place,
                    f"its MTU is {mtu} and its tunnel adds {header} bytes, but {where} carries {smallest}: "
                    f"full packets {what}",
                    f"create it with -o com.docker.network.driver.mtu={smallest} "
                    "(for an overlay network this is the MTU of the path between the nodes)",
                    snapshot.network_source(net, MTU_PATH), (smaller_mtu(net, smallest),),
                )  # fmt: skip


def smaller_mtu(net: Net, mtu: int) -> RecreateNetwork:
    """Return the change that sets the MTU of a network."""
    return RecreateNetwork(net.host.name, net.name, NetworkSetting.OPTION, f"{MTU}={mtu}")


def smallest_mtu(snapshot: LabSnapshot, host: Location, peers: Iterable[Address]) -> tuple[int, str]:
    """Return the smallest MTU on the paths from a host to `peers`, and the device or segment that has it.

    Return (0, "") if there is no path.
    """
    return min((hop for peer in peers for hop in _way(snapshot, host, peer)), default=(0, ""))


def _way(snapshot: LabSnapshot, host: Location, goal: Address) -> Iterator[tuple[int, str]]:
    """Follow the routes from `host` to `goal`, and yield (MTU, name) of each interface and segment on the path."""
    here: Location | None = host
    for _ in range(_MOST_HOPS):
        if here is None or goal in here.addresses:
            return
        route = here.namespace.find_route(goal)
        if route is None or route.device is None:
            return
        yield route.device.mtu, f"{here.name} {route.device.name}"
        if isinstance(route.device, Nic) and isinstance(route.device.link, Segment):
            yield route.device.link.mtu, f"segment {route.device.link.name}"
        here = snapshot.directory.owner(route.gateway or goal)


def _outside(snapshot: LabSnapshot, net: Net) -> list[Address]:
    """Return destinations outside the host for packets of the network `net`.

    For an overlay network, these are the addresses of the swarm's other nodes. For other networks, it is one address
    outside the lab.
    """
    if net.driver != "overlay":
        return [_SOMEWHERE]
    names = {name for swarm in snapshot.directory.swarms for name in swarm.members if net.host.name in swarm.members}
    others = [host for host in snapshot.hosts if host.name in names and host is not net.host]
    return [address for host in others for address in host.addresses[:1]]


def _mtu_of(snapshot: LabSnapshot, net: Net) -> int:
    if net.driver == "bridge":
        is_default = net.name == "bridge" and net.host.has_engine
        return _configured(net) or int((is_default and snapshot.engines[net.host.name].config.mtu) or 1500)
    # The option of an overlay network is the MTU between the nodes. Containers get that MTU minus the tunnel headers
    # (moby: overlay's maxMTU).
    mtu = (_configured(net) or 1500) - VXLAN_BYTES
    return (mtu - ESP_BYTES) // 4 * 4 if "encrypted" in net.options else mtu


def _configured(net: Net) -> int:
    text = net.options.get(MTU, "")
    return int(text) if is_number(text) else 0
