"""`ip link add … type vxlan …`, and the VXLAN line of `ip -d link` (iproute2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.digits import is_number
from cnmsim.kernel.address import MAC_ZERO, Address, family_of, format_ip, is_multicast, parse_ip
from cnmsim.kernel.vxlan import Vxlan, VxlanConfig
from cnmsim.userland.ip.arguments import IpCommandError, find_device, wrong_argument

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device
    from cnmsim.userland.ip.arguments import Words
    from cnmsim.userland.ip.link_request import LinkRequest

_LINUX_PORT = 8472
_SWITCHES = ("learning", "proxy", "l2miss", "l3miss", "udpcsum")


def _number(words: Words, most: int, what: str, *, least: int = 0) -> int:
    text = words.take()
    if not is_number(text) or not least <= int(text) <= most:
        raise wrong_argument(text, what)
    return int(text)


def _address(words: Words, what: str, family: int) -> Address | None:
    text = words.take()
    if text == "any":
        return None
    try:
        address = parse_ip(text)
    except ValueError:
        raise IpCommandError(f'any valid address is expected rather than "{text}".') from None
    if is_multicast(address) or not any(address):
        raise wrong_argument(text, what)
    if family and len(address) != (16 if family == 6 else 4):
        raise IpCommandError(f'{"inet" if family == 4 else "inet6"} address is expected rather than "{text}".')
    return address


def make_vxlan(request: LinkRequest) -> Device:
    """Create a VXLAN device. Raises `IpCommandError` for invalid words, `OSError` if the kernel refuses."""
    words = request.words
    vni: int | None = None
    ends: dict[str, Address | None] = {"local": None, "remote": None}
    underlay: Device | None = None
    port, ttl, ageing = _LINUX_PORT, 0, 300
    switches = {"learning": True, "proxy": False, "l2miss": False, "l3miss": False, "udpcsum": True}
    while words:
        word = words.take()
        if word in ("id", "vni"):
            vni = _number(words, (1 << 24) - 1, "invalid id")
        elif word in ends:
            other = ends["remote" if word == "local" else "local"]
            family = 0 if other is None else family_of(other)
            ends[word] = _address(words, f"invalid {word} address", family)
        elif word == "dev":
            underlay = find_device(request.namespace, words.take())
        elif word == "dstport":
            port = _number(words, 65535, "dst port") or _LINUX_PORT
        elif word in ("ttl", "hoplimit"):
            if words.first == "auto":
                words.take()
            else:
                ttl = _number(words, 255, "TTL must be <= 255")
        elif word == "ageing":
            ageing = _number(words, (1 << 32) - 1, "ageing timer")
        elif word.removeprefix("no") in _SWITCHES:
            switches[word.removeprefix("no")] = not word.startswith("no")
        else:
            raise IpCommandError(f'vxlan: unknown command "{word}"?')
    if vni is None:
        raise IpCommandError("vxlan: missing virtual network identifier")
    config = VxlanConfig(
        vni, port, switches["learning"], switches["proxy"], switches["l2miss"], switches["l3miss"], ends["local"],
        ends["remote"], underlay, ttl, udp_checksum=switches["udpcsum"], ageing_s=float(ageing),
    )  # fmt: skip
    return Vxlan.create(request.namespace, request.name_or("vxlan"), request.mac, config)


def vxlan_text(device: Vxlan) -> str:
    """Format the VXLAN settings of a device for `ip -d link`."""
    config = device.config
    words = [f"vxlan id {config.vni}"]
    default = device.fdb.peek(MAC_ZERO)
    if default is not None:
        words.append(f"remote {format_ip(default.remotes[0])}")
    if config.local is not None:
        words.append(f"local {format_ip(config.local)}")
    if config.underlay is not None:
        words.append(f"dev {config.underlay.name}")
    words.append(f"srcport 0 0 dstport {config.port} ttl {config.ttl or 'auto'} ageing {device.fdb.ageing_s:.0f}")
    words += [] if config.learning else ["nolearning"]
    words += [name for name in ("proxy", "l2miss", "l3miss") if getattr(config, name)]
    words += [] if config.udp_checksum else ["noudp_csum"]
    return " ".join(words)
