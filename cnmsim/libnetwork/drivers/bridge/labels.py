"""The driver options of a bridge network.

Source: moby `daemon/libnetwork/drivers/bridge/{labels,bridge_linux}.go` and `netlabel/labels.go` (docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import TypeVar

from attrs import frozen

from cnmsim.errors import InvalidParameter
from cnmsim.gostrconv import atoi, parse_bool
from cnmsim.kernel.address import IPV4_ANY, Address, parse_ip
from cnmsim.libnetwork.profile import Profile

BRIDGE_NAME = "com.docker.network.bridge.name"
ENABLE_IP_MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
ENABLE_ICC = "com.docker.network.bridge.enable_icc"
INHIBIT_IPV4 = "com.docker.network.bridge.inhibit_ipv4"
GATEWAY_MODE_IPV4 = "com.docker.network.bridge.gateway_mode_ipv4"
GATEWAY_MODE_IPV6 = "com.docker.network.bridge.gateway_mode_ipv6"
DEFAULT_BINDING_IP = "com.docker.network.bridge.host_binding_ipv4"
DEFAULT_BRIDGE = "com.docker.network.bridge.default_bridge"
TRUSTED_HOST_INTERFACES = "com.docker.network.bridge.trusted_host_interfaces"
DRIVER_MTU = "com.docker.network.driver.mtu"
CONTAINER_IFACE_PREFIX = "com.docker.network.container_iface_prefix"
HOST_IPV4 = "com.docker.network.host_ipv4"
HOST_IPV6 = "com.docker.network.host_ipv6"
ENDPOINT_IFNAME = "com.docker.network.endpoint.ifname"

DEFAULT_BRIDGE_NAME = "docker0"

_T = TypeVar("_T")


class GatewayMode(Enum):
    """The gateway mode of a bridge network, one per address family: how the network is connected to the outside."""

    NAT = "nat"
    NAT_UNPROTECTED = "nat-unprotected"
    ROUTED = "routed"
    ISOLATED = "isolated"

    @property
    def translates(self) -> bool:
        """Whether published host ports are translated to container ports by NAT."""
        return self in {GatewayMode.NAT, GatewayMode.NAT_UNPROTECTED}


@frozen
class BridgeOptions:
    """The parsed driver options of one bridge network.

    `mode4` and `mode6` are the gateway modes. `inhibit_ipv4` leaves the bridge without an IPv4 address.
    `binding_address` is the host address of a published port whose binding states no address. `host_ipv4` and
    `host_ipv6` replace masquerading by SNAT to that address. Packets that arrive by one of `trusted_interfaces` are
    accepted for container addresses. `mtu` 0 means the kernel's default.
    """

    #: "" for docker0, if a network with the option `default_bridge` has no other name.
    bridge_name: str
    icc: bool = True
    masquerade: bool = True
    inhibit_ipv4: bool = False
    default_bridge: bool = False
    mode4: GatewayMode = GatewayMode.NAT
    mode6: GatewayMode = GatewayMode.NAT
    binding_address: Address = IPV4_ANY
    trusted_interfaces: tuple[str, ...] = ()
    mtu: int = 0
    interface_prefix: str = "eth"
    host_ipv4: Address | None = None
    host_ipv6: Address | None = None

    def mode(self, family: int) -> GatewayMode:
        """Return the gateway mode for address family 4 or 6."""
        return self.mode6 if family == 6 else self.mode4


def parse_options(options: Mapping[str, str], *, network_id: str, profile: Profile) -> BridgeOptions:
    """Parse the driver options of a bridge network. Options that the release `profile` does not have are ignored.

    The default name of the bridge is derived from `network_id`. Raises `InvalidParameter` with the driver's message
    if a value is invalid.
    """
    modes = options if profile.has_gateway_modes else {}
    is_default = _read(options, DEFAULT_BRIDGE, parse_bool, default=False)
    parsed = BridgeOptions(
        bridge_name=options.get(BRIDGE_NAME) or ("" if is_default else f"br-{network_id[:12]}"),
        icc=_read(options, ENABLE_ICC, parse_bool, default=True),
        masquerade=_read(options, ENABLE_IP_MASQUERADE, parse_bool, default=True),
        inhibit_ipv4=_read(options, INHIBIT_IPV4, parse_bool, default=False),
        default_bridge=is_default,
        mode4=_read(modes, GATEWAY_MODE_IPV4, _parse_mode, default=GatewayMode.NAT),
        mode6=_read(modes, GATEWAY_MODE_IPV6, _parse_mode, default=GatewayMode.NAT),
        binding_address=_read(options, DEFAULT_BINDING_IP, _parse_address, default=IPV4_ANY),
        trusted_interfaces=tuple(name for name in modes.get(TRUSTED_HOST_INTERFACES, "").split(":") if name),
        mtu=_read(options, DRIVER_MTU, atoi, default=0),
        interface_prefix=options.get(CONTAINER_IFACE_PREFIX) or "eth",
        host_ipv4=_read(options, HOST_IPV4, _parse_address, default=None),
        host_ipv6=_read(options, HOST_IPV6, _parse_address, default=None),
    )
    if parsed.mtu < 0:
        raise InvalidParameter(f"invalid MTU number: {parsed.mtu}")
    return parsed


def _read(options: Mapping[str, str], label: str, parse: Callable[[str], _T], *, default: _T) -> _T:
    text = options.get(label)
    if text is None:
        return default
    try:
        return parse(text)
    except ValueError as error:
        raise InvalidParameter(f"failed to parse {label} value: {text} ({error})") from None


def _parse_address(text: str) -> Address:
    try:
        return parse_ip(text)
    except ValueError:
        raise ValueError("nil ip") from None


def _parse_mode(text: str) -> GatewayMode:
    if not text:
        return GatewayMode.NAT
    try:
        return GatewayMode(text)
    except ValueError:
        raise ValueError(f"unknown gateway mode {text}") from None
