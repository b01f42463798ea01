"""Hosts that will not carry what they are to carry: forwarding, the bridge's firewall hooks, MTUs."""

from __future__ import annotations

from collections.abc import Iterator

from cnmsim.kernel.device import Nic
from cnmsim.observe.doctor.fault import Fault, Severity
from cnmsim.observe.doctor.ward import Net, Ward
from cnmsim.observe.stations import Station
from cnmsim.observe.tunnels import ESP_BYTES, VXLAN_BYTES
from cnmsim.underlay.segment import Segment

_ICC = "com.docker.network.bridge.enable_icc"
_FALSE = frozenset({"0", "f", "F", "false", "False", "FALSE"})


def forwarding(ward: Ward) -> Iterator[Fault]:
    """Find Docker hosts that forward no IP."""
    for host in ward.docker_hosts:
        key = "net.ipv4.ip_forward"
        has_bridges = any(net.driver == "bridge" and not net.is_internal for net in ward.networks if net.host is host)
        if has_bridges and host.namespace.sysctl_get(key) == "0":
            yield Fault(
                Severity.ERROR, "ip-forward-off", host.name,
                f"{key} = 0: containers reach nothing beyond {host.name}, and its published ports work by docker-proxy alone",
                f"sysctl -w {key}=1 on {host.name}, and find what switches it off",
            )  # fmt: skip


def bridge_filter(ward: Ward) -> Iterator[Fault]:
    """Find networks with icc=false on hosts whose bridges do not ask the packet filter."""
    key = "net.bridge.bridge-nf-call-iptables"
    for net in ward.networks:
        if net.driver != "bridge" or net.options.get(_ICC, "true") not in _FALSE:
            continue
        if net.host.namespace.sysctl_get(key) == "0":
            yield Fault(
                Severity.ERROR, "icc-without-br-netfilter", net.place,
                f"icc is false, but {key} = 0: frames between its containers never meet the rule that is to drop them",
                f"modprobe br_netfilter; sysctl -w {key}=1 on {net.host.name}",
            )  # fmt: skip


def sizes(ward: Ward) -> Iterator[Fault]:
    """Find networks whose packets are too long for the way out of their host, or for the tunnel between hosts."""
    for net in ward.networks:
        smallest, where = smallest_mtu(ward, net.host)
        mtu = _mtu_of(ward, net)
        if not smallest or not mtu or net.is_internal:
            continue
        if net.driver == "bridge" and mtu > smallest:
            yield Fault(
                Severity.WARNING, "mtu", net.place,
                f"its MTU is {mtu}, but {where} carries {smallest} bytes: large answers hang where the ICMP message about it is lost",
                f"make it with -o com.docker.network.driver.mtu={smallest} (a daemon's mtu is for the default bridge only)",
            )  # fmt: skip
        if net.driver == "overlay":
            header = VXLAN_BYTES + (ESP_BYTES if "encrypted" in net.options else 0)
            if mtu + header > smallest:
                yield Fault(
                    Severity.ERROR, "mtu", net.place,
                    f"its MTU is {mtu} and its tunnel adds {header} bytes, but {where} carries {smallest}: full packets are lost",
                    f"make it with -o com.docker.network.driver.mtu={smallest - header}",
                )  # fmt: skip


def smallest_mtu(ward: Ward, host: Station) -> tuple[int, str]:
    """Give the smallest MTU of a host's cables, of the segments they are in and of the machines on those; (0, "") without any."""
    found: list[tuple[int, str]] = []
    for device in host.namespace.devices.values():
        if isinstance(device, Nic) and device.is_up:
            found.append((device.mtu, f"{host.name} {device.name}"))
            if isinstance(device.medium, Segment):
                found.append((device.medium.mtu, f"segment {device.medium.name}"))
    for other in ward.hosts:
        # Whoever leads on is on the way of everything that leaves.
        if other is not host and other.namespace.sysctl_get("net.ipv4.ip_forward") == "1" and not other.has_engine:
            found += [
                (device.mtu, f"{other.name} {device.name}")
                for device in other.namespace.devices.values()
                if isinstance(device, Nic) and device.is_up
            ]
    return min(found, default=(0, ""))


def _mtu_of(ward: Ward, net: Net) -> int:
    if net.driver == "bridge":
        return _configured(net) or int(
            ward.engines[net.host.name].config.mtu or 1500 if net.name == "bridge" else 1500
        )
    # An overlay tells containers its MTU; without an option it leaves room in 1,500 bytes.
    return _configured(net) or 1500 - VXLAN_BYTES


def _configured(net: Net) -> int:
    text = net.options.get("com.docker.network.driver.mtu", "")
    return int(text) if text.isdigit() else 0
