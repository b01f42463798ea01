"""Bridge and veth devices of the bridge driver: names, MAC addresses, addresses, sysctls.

Source: moby `daemon/libnetwork/drivers/bridge/{setup_device,setup_ipv4,setup_ipv6,interface}_linux.go` and
`daemon/libnetwork/netutils/utils_linux.go` (docker-v29.7.2).
"""

from __future__ import annotations

from contextlib import ExitStack
from random import Random

from cnmsim.errors import Forbidden, SystemFault
from cnmsim.kernel.address import Address, Mac, Prefix
from cnmsim.kernel.bridge import Bridge
from cnmsim.kernel.device import Veth
from cnmsim.kernel.errno_text import go_strerror
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.libnetwork.driver import IpamInfo
from cnmsim.libnetwork.drivers.bridge.labels import DEFAULT_BRIDGE_NAME, BridgeOptions, GatewayMode
from cnmsim.libnetwork.profile import Profile

_MAX_NAME = 15


def random_mac(random: Random) -> Mac:
    """Return a random unicast, locally administered MAC address."""
    drawn = random.randbytes(6)
    return bytes([drawn[0] & 0xFE | 0x02]) + drawn[1:]


def container_mac(profile: Profile, address: Address | None, random: Random) -> Mac:
    """Return the MAC address of a container's interface.

    In 26.1 it is derived from the IPv4 address `address`; in later releases, or without an address, it is random.
    """
    if profile.mac_from_ip and address is not None:
        return b"\x02\x42" + address[-4:]
    return random_mac(random)


def bridge_mac(profile: Profile, random: Random) -> Mac:
    """Return a random MAC address for a bridge device. In releases with a fixed prefix it begins with 02:42."""
    return b"\x02\x42" + random.randbytes(4) if profile.bridge_mac_prefix_0242 else random_mac(random)


def veth_name(random: Random, *taken_in: NetworkNamespace) -> str:
    """Return a random device name, `veth` and 7 hex digits, that is unused in every namespace of `taken_in`.

    Raises `SystemFault` after three attempts, as in moby.
    """
    for _ in range(3):
        name = f"veth{random.randbytes(4).hex()[:7]}"
        if not any(name in namespace.devices for namespace in taken_in):
            return name
    raise SystemFault("could not generate interface name")


def set_up_bridge(
    host: NetworkNamespace,
    options: BridgeOptions,
    *,
    profile: Profile,
    random: Random,
    ipv4: IpamInfo | None,
    ipv6: IpamInfo | None,
    hairpin: bool,
    undo: ExitStack,
) -> tuple[Bridge, bool]:
    """Create a network's bridge device, or reuse an existing one, and assign its addresses. A new device is down.

    The addresses are the gateways of the pools `ipv4` and `ipv6`; a pool is `None` if the network does not have that
    family. `hairpin` sets the device's sysctl route_localnet, for DNAT of connections to 127.0.0.1. Return the
    device, and True if this call created it. Callbacks on `undo` revert the changes. Raises `SystemFault` or
    `Forbidden` with the driver's message if the device or an address cannot be set up.
    """
    name = options.bridge_name
    bridge, is_new = _find_or_make(host, options, profile, random, undo)
    host.sysctl_set(f"net.ipv6.conf.{name}.accept_ra", "0")
    if options.mtu:
        bridge.set_mtu(options.mtu)
    takes_ipv4 = not options.inhibit_ipv4 and options.mode4 is not GatewayMode.ISOLATED
    if takes_ipv4 and ipv4 is not None and ipv4.gateway is not None:
        _set_ipv4(host, bridge, ipv4, undo)
    if ipv6 is not None:
        _set_ipv6(host, bridge, ipv6, options, profile, undo)
    if hairpin:
        host.sysctl_set(f"net.ipv4.conf.{name}.route_localnet", "1")
    return bridge, is_new


def _find_or_make(
    host: NetworkNamespace, options: BridgeOptions, profile: Profile, random: Random, undo: ExitStack
) -> tuple[Bridge, bool]:
    name = options.bridge_name
    if len(name) > _MAX_NAME:
        raise SystemFault("numerical result out of range")
    existing = host.devices.get(name)
    if isinstance(existing, Bridge):
        return existing, False
    if options.default_bridge and name != DEFAULT_BRIDGE_NAME:
        raise Forbidden(f"bridge device with non default name {name} must be created manually")
    bridge = Bridge(name, bridge_mac(profile, random), host.clock)
    bridge.txqueuelen = 0
    host.add_device(bridge)
    undo.callback(host.remove_device, bridge)
    return bridge, True


def _set_ipv4(host: NetworkNamespace, bridge: Bridge, info: IpamInfo, undo: ExitStack) -> None:
    address_text = info.gateway_interface
    current = [a for a in bridge.addresses if a.family == 4]
    if any(str(address) == address_text for address in current):
        return
    # Replace the first address that is inside the subnet. If there is none, replace the first address.
    inside = [address for address in current if address.address in info.pool]
    replaced = (inside or current)[:1]
    for address in replaced:
        host.remove_address(bridge, str(address))
        undo.callback(host.add_address, bridge, str(address))
    host.add_address(bridge, address_text, broadcast=_broadcast(info.pool))
    undo.callback(host.remove_address, bridge, address_text)


def _set_ipv6(
    host: NetworkNamespace, bridge: Bridge, info: IpamInfo, options: BridgeOptions, profile: Profile, undo: ExitStack
) -> None:
    key = f"net.ipv6.conf.{bridge.name}.disable_ipv6"
    try:
        host.sysctl_get(key)
    except FileNotFoundError as error:
        path = f"/proc/sys/net/ipv6/conf/{bridge.name}/disable_ipv6"
        raise SystemFault(
            f"Cannot read IPv6 setup for bridge {bridge.name}: open {path}: {go_strerror(error)}"
        ) from None
    if options.mode6 is GatewayMode.ISOLATED:
        host.sysctl_set(key, "1")
        return
    host.sysctl_set(key, "0")
    texts = [info.gateway_interface] if info.gateway is not None else []
    if profile.bridge_has_fe80_1:
        texts.insert(0, "fe80::1/64")
    for text in texts:
        if all(str(address) != text for address in bridge.addresses):
            host.add_address(bridge, text, nodad=profile.bridge_addresses_skip_dad)
            undo.callback(host.remove_address, bridge, text)


def _broadcast(pool: Prefix) -> Address | None:
    return pool.broadcast if pool.family == 4 and pool.length < 31 else None


def make_veth(
    host: NetworkNamespace, container: NetworkNamespace, mac: Mac, *, mtu: int, random: Random, undo: ExitStack
) -> tuple[Veth, Veth]:
    """Create a veth pair with one end on the host and the other in the namespace `container`.

    Return (host end, container end), both down. `mac` is the MAC address of the container's end. A callback on `undo`
    deletes the pair.
    """
    host_name = veth_name(random, host)
    container_name = veth_name(random, host, container)
    inside, outside = Veth.pair(host.clock, container_name, host_name, mac, random_mac(random))
    for end in (inside, outside):
        end.txqueuelen = 0
        if mtu:
            end.set_mtu(mtu)
    container.add_device(inside)
    undo.callback(_remove_if_there, inside)
    host.add_device(outside)
    return outside, inside


def _remove_if_there(device: Veth) -> None:
    if device.namespace is not None:
        device.namespace.remove_device(device)


def plug_into_bridge(bridge: Bridge, device: Veth, *, hairpin: bool) -> None:
    """Attach `device`, the host end of a veth pair, to a bridge, and set the device up.

    Only the name of `bridge` is used: the bridge must exist in the device's namespace. `hairpin` sets the port's
    hairpin mode. Raises `SystemFault` if there is no such bridge, or if the bridge has no free port number.
    """
    assert device.namespace is not None
    master = device.namespace.devices.get(bridge.name)
    if not isinstance(master, Bridge):
        raise SystemFault(f"adding interface {device.name} to bridge {bridge.name} failed: Device does not exist")
    try:
        master.add_port(device, hairpin=hairpin)
    except OSError as error:
        text = go_strerror(error)
        raise SystemFault(f"adding interface {device.name} to bridge {bridge.name} failed: {text}") from None
    device.set_up()


def mac_derived_ipv6(prefix: Prefix, mac: Mac) -> Address:
    """Return an IPv6 address: `prefix`, with the MAC address as the last six bytes (26.1, default bridge only)."""
    return prefix.network[:10] + mac
