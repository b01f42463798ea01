"""The options of the network `bridge`, which a daemon creates when it starts. They follow from the daemon's options.

Source: moby `daemon/daemon_unix.go`, initBridgeDriver and getDefaultBridgeIPAMConf (docker-v29.7.2);
`daemon/daemon_unix.go` (v26.1.5).
"""

from __future__ import annotations

from cnmsim.errors import InvalidParameter
from cnmsim.kernel.address import Prefix
from cnmsim.kernel.device import InterfaceAddress
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.libnetwork.config import DaemonConfig
from cnmsim.libnetwork.drivers.bridge import labels
from cnmsim.libnetwork.drivers.bridge.state import DEFAULT_GATEWAY4, DEFAULT_GATEWAY6
from cnmsim.libnetwork.options import IpamConfig, NetworkOptions
from cnmsim.libnetwork.profile import Profile


def default_bridge_options(config: DaemonConfig, profile: Profile, root: NetworkNamespace) -> NetworkOptions:
    """Return the options of the network `bridge` that follow from the daemon's options `config`.

    `root` is the host's namespace, in which docker0 may exist already. Raises `InvalidParameter` if the release
    requires an IPv6 subnet and none is configured.
    """
    name = config.bridge or labels.DEFAULT_BRIDGE_NAME
    masquerade = config.ip_masq and config.iptables
    ipam = [entry for entry in (_ipv4(config, root, name), _ipv6(config, profile)) if entry is not None]
    return NetworkOptions(
        driver_opts={
            labels.DEFAULT_BRIDGE: "true",
            labels.ENABLE_ICC: _go_bool(config.icc),
            labels.ENABLE_IP_MASQUERADE: _go_bool(masquerade),
            labels.DEFAULT_BINDING_IP: config.ip,
            labels.BRIDGE_NAME: name,
            labels.DRIVER_MTU: str(config.mtu or 1500),
        },
        ipam_config=ipam,
        enable_ipv6=config.ipv6,
    )


def _ipv4(config: DaemonConfig, root: NetworkNamespace, bridge_name: str) -> IpamConfig | None:
    device = root.devices.get(bridge_name)
    present = [a for a in device.addresses if a.family == 4] if device is not None else []
    subnet = gateway = ""
    if config.bip:
        subnet, gateway = _network_of(config.bip), config.bip.partition("/")[0]
    elif present:
        subnet, gateway = _network_of(str(present[0])), _address_of(present[0])
    ip_range = config.fixed_cidr or ""
    auxiliary = {DEFAULT_GATEWAY4: config.default_gateway} if config.default_gateway else {}
    if not (subnet or ip_range or auxiliary):
        return None
    return IpamConfig(subnet or ip_range, ip_range, gateway, auxiliary)


def _ipv6(config: DaemonConfig, profile: Profile) -> IpamConfig | None:
    if not config.ipv6:
        return None
    ip_range = config.fixed_cidr_v6 or ""
    if not ip_range and profile.default_bridge_ipv6_needs_subnet:
        raise InvalidParameter(
            "IPv6 is enabled for the default bridge, but no subnet is configured. Specify an IPv6 subnet using "
            "--fixed-cidr-v6"
        )
    subnet = gateway = ""
    if config.bip6 and profile.has_bip6:
        subnet, gateway = _network_of(config.bip6), config.bip6.partition("/")[0]
    auxiliary = {DEFAULT_GATEWAY6: config.default_gateway_v6} if config.default_gateway_v6 else {}
    if not (subnet or ip_range or auxiliary):
        return None
    is_whole_range = not subnet
    return IpamConfig(subnet or ip_range, "" if is_whole_range else ip_range, gateway, auxiliary)


def _go_bool(claim: bool) -> str:
    return "true" if claim else "false"


def _network_of(interface: str) -> str:
    return str(Prefix.parse(interface, strict=False))


def _address_of(address: InterfaceAddress) -> str:
    return str(address).partition("/")[0]
