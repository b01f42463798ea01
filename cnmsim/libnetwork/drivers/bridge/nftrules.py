"""The nftables objects of the bridge driver: chains, maps and rules, computed from a network's `NetworkFacts`.

Everything here is a pure function that returns objects of `cnmsim.libnetwork.nftables`; `nftfirewall` installs them.
Source: moby `daemon/libnetwork/drivers/bridge/internal/nftabler/` (docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cnmsim.kernel.address import Address, Prefix, format_ip, is_loopback
from cnmsim.libnetwork.drivers.bridge.labels import GatewayMode
from cnmsim.libnetwork.drivers.bridge.rules import NetworkFacts
from cnmsim.libnetwork.nftables import BaseChain, Chain, Element, Object, Rule, VerdictMap
from cnmsim.libnetwork.options import PortBinding, TransportPort

TABLE = "docker-bridges"
FORWARD, POSTROUTING, PREROUTING, OUTPUT = "filter-FORWARD", "nat-POSTROUTING", "nat-PREROUTING", "nat-OUTPUT"
RAW = "raw-PREROUTING"
NAT = "nat-prerouting-and-output"
FORWARD_IN_MAP, FORWARD_OUT_MAP = "filter-forward-in-jumps", "filter-forward-out-jumps"
POSTROUTING_OUT_MAP, POSTROUTING_IN_MAP = "nat-postrouting-out-jumps", "nat-postrouting-in-jumps"

# Rule groups of a network's forward-in chain; groups are written in the order of these numbers.
_INITIAL, _FWMARK, _LINKS, _ICC, _PORTS, _FINAL = range(6)
_RAW_PORTS = 1


def family_name(family: int) -> str:
    """Return nft's name of address family 4 or 6: `ip` or `ip6`."""
    return "ip6" if family == 6 else "ip"


def start_program(family: int, *, hairpin: bool) -> list[Object]:
    """Return the objects that exist as long as the daemon runs.

    They are base chains, and maps that jump to a network's chains. `hairpin` is True if there is no userland proxy.
    """
    # With a userland proxy, packets to loopback addresses are not translated: the proxy serves them.
    spared = "" if hairpin else ("ip6 daddr != ::1 " if family == 6 else "ip daddr != 127.0.0.1/8 ")
    jump = f"fib daddr type local counter jump {NAT}"
    return [
        BaseChain(FORWARD, "filter", "forward", "filter"),
        VerdictMap(FORWARD_IN_MAP),
        Rule(FORWARD, f"oifname vmap @{FORWARD_IN_MAP}"),
        VerdictMap(FORWARD_OUT_MAP),
        Rule(FORWARD, f"iifname vmap @{FORWARD_OUT_MAP}"),
        BaseChain(POSTROUTING, "nat", "postrouting", "srcnat"),
        VerdictMap(POSTROUTING_OUT_MAP),
        Rule(POSTROUTING, f"iifname vmap @{POSTROUTING_OUT_MAP}"),
        VerdictMap(POSTROUTING_IN_MAP),
        Rule(POSTROUTING, f"oifname vmap @{POSTROUTING_IN_MAP}"),
        Chain(NAT),
        BaseChain(PREROUTING, "nat", "prerouting", "dstnat"),
        Rule(PREROUTING, jump),
        BaseChain(OUTPUT, "nat", "output", "dstnat"),
        Rule(OUTPUT, f"{spared}{jump}"),
        BaseChain(RAW, "filter", "prerouting", "raw"),
    ]


def _forward_in(bridge: str) -> str:
    return f"filter-forward-in__{bridge}"


def _forward_out(bridge: str) -> str:
    return f"filter-forward-out__{bridge}"


def _postrouting_in(bridge: str) -> str:
    return f"nat-postrouting-in__{bridge}"


def _postrouting_out(bridge: str) -> str:
    return f"nat-postrouting-out__{bridge}"


def network_program(facts: NetworkFacts, family: int, *, accept_fwmark: str = "") -> list[Object]:
    """Return the chains, jumps and rules of a network for one address family.

    `accept_fwmark` is the firewall mark of packets that are accepted unless the network is internal, "" for none.
    """
    prefix = facts.prefix(family)
    if prefix is None:
        return []
    bridge = facts.bridge
    program: list[Object] = []
    for chain, jumps in (
        (_forward_in(bridge), FORWARD_IN_MAP),
        (_forward_out(bridge), FORWARD_OUT_MAP),
        (_postrouting_in(bridge), POSTROUTING_IN_MAP),
        (_postrouting_out(bridge), POSTROUTING_OUT_MAP),
    ):
        program += [Chain(chain), Element(jumps, bridge, f"jump {chain}")]
    program += [
        Rule(chain, "ct state established,related counter accept")
        for chain in (_forward_in(bridge), _forward_out(bridge))
    ]
    if facts.internal:
        return [*program, *_internal_rules(facts)]
    return [*program, *_outside_rules(facts, prefix, accept_fwmark)]


def _icc(facts: NetworkFacts) -> str:
    return "accept" if facts.options.icc else "drop"


def _internal_rules(facts: NetworkFacts) -> Iterator[Rule]:
    bridge = facts.bridge
    yield Rule(_forward_in(bridge), f'iifname != {bridge} counter drop comment "INTERNAL NETWORK INGRESS"')
    yield Rule(_forward_out(bridge), f'oifname != {bridge} counter drop comment "INTERNAL NETWORK EGRESS"')
    yield Rule(_forward_in(bridge), f"counter {_icc(facts)} comment ICC", _ICC)


def _outside_rules(facts: NetworkFacts, prefix: Prefix, accept_fwmark: str) -> Iterator[Rule]:
    bridge, options, family = facts.bridge, facts.options, prefix.family
    mode = options.mode(family)
    if accept_fwmark:
        mark = _mark(accept_fwmark)
        yield Rule(_forward_in(bridge), f'meta mark {mark} counter accept comment "ALLOW FW MARK"', _FWMARK)
    yield Rule(_forward_in(bridge), f"iifname == {bridge} counter {_icc(facts)} comment ICC", _ICC)
    yield Rule(_forward_out(bridge), "counter accept comment OUTGOING")
    final = (
        'accept comment "UNPROTECTED"'
        if mode is GatewayMode.NAT_UNPROTECTED
        else 'drop comment "UNPUBLISHED PORT DROP"'
    )
    yield Rule(_forward_in(bridge), f"counter {final}", _FINAL)
    if mode is GatewayMode.ROUTED:
        protocol = "meta l4proto ipv6-icmp" if family == 6 else "ip protocol icmp"
        yield Rule(_forward_in(bridge), f"{protocol} counter accept comment ICMP")
    address = options.host_ipv6 if family == 6 else options.host_ipv4
    nat, comment = ("masquerade", "MASQUERADE") if address is None else (f"snat to {format_ip(address)}", "SNAT")
    if options.masquerade and mode is not GatewayMode.ROUTED:
        source = f"{family_name(family)} saddr {prefix}"
        yield Rule(_postrouting_out(bridge), f"oifname != {bridge} {source} counter {nat} comment {comment}")
    if facts.hairpin:
        yield Rule(_postrouting_in(bridge), f'fib saddr type local counter {nat} comment "{comment} FROM HOST"')


def _mark(text: str) -> str:
    value, slash, mask = text.partition("/")
    return f"and {int(mask, 0)} == {int(value, 0)}" if slash else str(int(value, 0))


def endpoint_program(facts: NetworkFacts, address: Address) -> list[Object]:
    """Return the rule that drops packets to the container address `address` if they come from another host.

    A packet comes from another host if neither the container's bridge nor a trusted interface received it. The list
    is empty for internal networks, if `facts.allow_direct_routing` is set, and in gateway modes other than `nat`.
    """
    family = 6 if len(address) == 16 else 4
    if facts.internal or facts.allow_direct_routing or facts.options.mode(family) is not GatewayMode.NAT:
        return []
    names = ", ".join([facts.bridge, *facts.options.trusted_interfaces])
    match = f"{family_name(family)} daddr {format_ip(address)} iifname != {{ {names} }}"
    return [Rule(RAW, f'{match} counter drop comment "DROP DIRECT ACCESS"', _RAW_PORTS)]


def port_program(facts: NetworkFacts, binding: PortBinding) -> list[Object]:
    """Return the rules of one published port. `binding` contains the container address and the host address."""
    container, host = binding.container_ip, binding.host_ip
    assert container is not None
    assert host is not None
    family = 6 if len(container) == 16 else 4
    if facts.internal or facts.prefix(family) is None:
        return []
    ip, address, protocol = family_name(family), format_ip(container), binding.protocol
    to_port = f"{protocol} dport {binding.container_port}"
    program: list[Object] = []
    if facts.options.mode(family) is not GatewayMode.NAT_UNPROTECTED:
        accept = f"{ip} daddr {address} {to_port} counter accept"
        program.append(Rule(_forward_in(facts.bridge), accept, _PORTS, ignore_exist=True))
    # Only the userland proxy can forward from a host's IPv6 address to a container's IPv4 address.
    if not binding.host_port or len(host) != len(container):
        return program
    program.append(_dnat_rule(facts, binding, host, f"[{address}]" if family == 6 else address))
    if facts.hairpin:
        itself = f'{ip} saddr {address} {ip} daddr {address} {to_port} counter masquerade comment "MASQ TO OWN PORT"'
        program.append(Rule(_postrouting_in(facts.bridge), itself, ignore_exist=True))
    if family == 4 and is_loopback(host):
        match = f"iifname != lo ip daddr {format_ip(host)} {protocol} dport {binding.host_port}"
        program.append(Rule(RAW, f'{match} counter drop comment "DROP REMOTE LOOPBACK"', _RAW_PORTS))
    return program


def _dnat_rule(facts: NetworkFacts, binding: PortBinding, host: Address, container: str) -> Rule:
    words = []
    if not facts.hairpin:
        words.append(f"iifname != {facts.bridge}")
    if len(host) == 16:
        words.append("ip6 saddr != fe80::/10")
    if any(host):
        words.append(f"{'ip6' if len(host) == 16 else 'ip'} daddr {format_ip(host)}")
    words.append(f"{binding.protocol} dport {binding.host_port}")
    return Rule(NAT, f"{' '.join(words)} counter dnat to {container}:{binding.container_port} comment DNAT")


def link_program(
    facts: NetworkFacts, parent: Address, child: Address, ports: Iterable[TransportPort]
) -> list[Object]:
    """Return the rules of a legacy link (`--link`) from the container `parent` to ports of `child`."""
    chain = _forward_in(facts.bridge)
    one, other = format_ip(parent), format_ip(child)
    program: list[Object] = []
    for port in ports:
        to_child = f"ip saddr {one} ip daddr {other} {port.protocol} dport {port.port} counter accept"
        to_parent = f"ip saddr {other} {port.protocol} sport {port.port} ip daddr {one} counter accept"
        program += [Rule(chain, to_child, _LINKS), Rule(chain, to_parent, _LINKS)]
    return program
