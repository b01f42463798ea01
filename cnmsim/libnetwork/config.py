"""The networking and logging options of a daemon: flags of `dockerd` and keys of `daemon.json`.

Source: moby `daemon/config/config_linux.go` and `cmd/dockerd/config_unix.go` (26.1.5 to docker-v29.7.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.errors import InvalidParameter
from cnmsim.kernel.address import Prefix

if TYPE_CHECKING:
    from cnmsim.libnetwork.profile import Profile

_SMALLEST_CONTROL_MTU = 500
#: The values of `log-level` (logrus `ParseLevel`); "" is `info`.
_LOG_LEVELS = frozenset({"", "trace", "debug", "info", "warn", "warning", "error", "fatal", "panic"})
_LINK_LOCAL = Prefix.parse("fe80::/64")
_INVALID = (
    "unable to configure the Docker daemon with file /etc/docker/daemon.json: "
    "merged configuration validation from file and command line flags failed: "
)


@define
class AddressPool:
    """One entry of `default-address-pools`: the block `base`, divided into subnets of prefix length `size`."""

    base: str
    size: int


@define
class DaemonConfig:
    """The networking and logging options of one daemon.

    Each attribute is named after the option in `daemon.json`, with `_` in place of `-`. The value `None` means that
    the option is not set, so that the release's default applies.
    """

    userland_proxy: bool = True
    iptables: bool = True
    ip6tables: bool | None = None
    experimental: bool = False
    live_restore: bool = False
    ip_forward: bool = True
    ip_forward_no_drop: bool = False
    icc: bool = True
    ip_masq: bool = True
    ip: str = "0.0.0.0"  # noqa: S104 - the documented default of --ip
    bridge: str = ""
    bip: str | None = None
    bip6: str | None = None
    mtu: int | None = None
    fixed_cidr: str | None = None
    fixed_cidr_v6: str | None = None
    default_gateway: str | None = None
    default_gateway_v6: str | None = None
    ipv6: bool = False
    default_address_pools: list[AddressPool] = field(factory=list)
    default_network_opts: dict[str, dict[str, str]] = field(factory=dict)
    dns: list[str] = field(factory=list)
    dns_search: list[str] = field(factory=list)
    dns_opts: list[str] = field(factory=list)
    host_gateway_ip: str | None = None
    allow_direct_routing: bool = False
    bridge_accept_fwmark: str = ""
    firewall_backend: str = ""
    swarm_default_advertise_addr: str = ""
    network_control_plane_mtu: int = 1500
    features: dict[str, bool] = field(factory=dict)
    no_iptables_raw: bool = False
    debug: bool = False
    log_level: str = ""
    log_driver: str = "json-file"
    log_opts: dict[str, str] = field(factory=dict)
    labels: list[str] = field(factory=list)

    @property
    def gossip_packet_size(self) -> int:
        """The largest gossip datagram in bytes: `network-control-plane-mtu`, at least 500, minus 100 (`agent.go`)."""
        return max(self.network_control_plane_mtu, _SMALLEST_CONTROL_MTU) - 100

    def validate(self, profile: Profile) -> None:
        """Raise `InvalidParameter` if a daemon of the release `profile` would refuse these options and not start.

        The message is the daemon's.
        """
        if self.bridge and self.bip:
            raise InvalidParameter("You specified -b & --bip, mutually exclusive options. Please specify only one")
        if not self.iptables and not self.icc:
            raise InvalidParameter(
                "You specified --iptables=false with --icc=false. ICC=false uses iptables to function. "
                "Please set --icc or --iptables to true"
            )
        if self.ip6tables and not self.experimental and profile.ip6tables_needs_experimental:
            raise InvalidParameter("ip6tables rules are only available if experimental features are enabled")
        if self.mtu is not None and self.mtu < 0:
            raise InvalidParameter(f"{_INVALID}invalid default MTU: {self.mtu}")
        if self.firewall_backend not in {"", "iptables", "nftables"}:
            raise InvalidParameter(
                f'{_INVALID}invalid firewall-backend: allowed values are "iptables" and "nftables"'
            )
        if self.log_level not in _LOG_LEVELS:
            raise InvalidParameter(f"{_INVALID}invalid logging level: {self.log_level}")
        for label in self.labels:
            if "=" not in label:
                raise InvalidParameter(f"{_INVALID}bad attribute format: {label}")
        self._check_fixed_cidr_v6(profile)

    def _check_fixed_cidr_v6(self, profile: Profile) -> None:
        if not self.fixed_cidr_v6:
            return
        try:
            subnet = Prefix.parse(self.fixed_cidr_v6, strict=False)
        except ValueError:
            return
        if fault := ipv6_subnet_fault(profile, subnet, self.fixed_cidr_v6):
            raise InvalidParameter(f"{_INVALID}invalid fixed-cidr-v6: {fault}")

    def uses_nftables(self, has_backends: bool) -> bool:
        """Return True if nftables is the firewall backend.

        `has_backends` is True for releases in which the user can choose the backend; earlier releases use iptables.
        """
        return has_backends and self.firewall_backend == "nftables"


def ipv6_subnet_fault(profile: Profile, subnet: Prefix, text: str) -> str:
    """Return the error message for a bridge network's IPv6 subnet, or "" if it is valid (moby `validateIPv6Subnet`).

    fe80::/64 is valid, but a different prefix that overlaps it is not: the kernel gives every interface a link-local
    address from fe80::/64. Multicast subnets are invalid in newer releases. `text` is the subnet as the message
    prints it. `profile` selects the release.
    """
    if profile.refuses_multicast_subnet and subnet.network[0] == 0xFF:
        return f"multicast subnet '{text}' is not allowed"
    if subnet != _LINK_LOCAL and subnet.overlaps(_LINK_LOCAL):
        return profile.link_local_clash_text.format(subnet=text)
    return ""
