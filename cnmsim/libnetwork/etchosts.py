"""The text of a container's /etc/hosts: written when it starts, changed when a network is connected or disconnected.

Fields are separated by one tab. Source: moby `libnetwork/etchosts/etchosts.go`, `libnetwork/sandbox_dns_unix.go` and
`daemon/container_operations_unix.go` (all releases).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator

from attrs import frozen

from cnmsim.kernel.address import Address, format_ip
from cnmsim.libnetwork.profile import Profile

_IPV4_LINES = (("127.0.0.1", "localhost"),)


@frozen
class HostsRecord:
    """One line of /etc/hosts: an address as text, and its names, separated by spaces."""

    address: str
    names: str

    def __str__(self) -> str:
        return f"{self.address}\t{self.names}"


def build_hosts(profile: Profile, records: Iterable[HostsRecord] = (), *, has_ipv6: bool = True) -> str:
    """Return the text of /etc/hosts: the release's static lines for localhost, then `records`.

    `records` are the extra hosts, then the container's own addresses. If `has_ipv6` is False, because the loopback
    device has no ::1, all IPv6 lines are omitted.
    """
    zero = "0" if profile.hosts_zero_suffix else ""
    static = [HostsRecord(*record) for record in _IPV4_LINES]
    static += [
        HostsRecord("::1", "localhost ip6-localhost ip6-loopback"),
        HostsRecord(f"fe00::{zero}", "ip6-localnet"),
        HostsRecord(f"ff00::{zero}", "ip6-mcastprefix"),
        HostsRecord("ff02::1", "ip6-allnodes"),
        HostsRecord("ff02::2", "ip6-allrouters"),
    ]
    kept = [record for record in (*static, *records) if has_ipv6 or ":" not in record.address]
    return add_records("", kept)


def own_records(addresses: Iterable[Address], hostname: str, domainname: str = "") -> list[HostsRecord]:
    """Return the lines for a container's own addresses.

    Each line has the full name, e.g. `web.example.com`, and then the part before its first dot, if there is a dot.
    """
    full = f"{hostname}.{domainname}" if domainname else hostname
    short, dot, _ = full.partition(".")
    names = f"{full} {short}" if dot else full
    return [HostsRecord(format_ip(address), names) for address in addresses]


def add_records(text: str, records: Iterable[HostsRecord]) -> str:
    """Return `text`, the text of /etc/hosts, with `records` appended."""
    return text + "".join(f"{record}\n" for record in records)


def remove_endpoint(
    profile: Profile, text: str, addresses: Collection[Address], network_names: Collection[str] = ()
) -> str:
    """Return the text of /etc/hosts without the lines of an endpoint that leaves.

    These are the lines that begin with one of `addresses`. 26.1 instead removes the lines that end in one of
    `network_names`: all DNS names on the network except the endpoint's first name. A container's short id is among
    these names. So a container whose host name is its short id loses its own lines for all its networks.
    """
    if profile.hosts_cleanup_by_name:
        endings = tuple("\t" + name for name in network_names)
        return _without(text, lambda line: line.endswith(endings))
    beginnings = tuple(format_ip(address) + "\t" for address in addresses)
    return _without(text, lambda line: line.startswith(beginnings))


def _without(text: str, is_dropped: Callable[[str], bool]) -> str:
    def kept() -> Iterator[str]:
        for line in text.splitlines():
            if line.startswith("#") or (line and not is_dropped(line)):
                yield line + "\n"

    return "".join(kept())


def update_address(text: str, address: Address, hostname: str) -> str:
    """Return the text of /etc/hosts, with `address` in all lines whose first name is `hostname`.

    The engine does this in a container when a container linked to it has restarted with a new address.
    """
    pattern = rf"\S*(\t{re.escape(hostname)})(\s|\.)"
    return re.sub(pattern, lambda match: f"{format_ip(address)}{match[1]}{match[2]}", text)
