"""The iptables rules of the bridge driver, and the operations that install them, for each release.

Everything here is a pure function that returns operations; `firewall.py` applies them. The matches of a rule are in
the order of `iptables -S`. Sources: moby `libnetwork/drivers/bridge/setup_ip_tables_linux.go` (26.1.5),
`libnetwork/drivers/bridge/internal/iptabler/` (28.5.2) and `daemon/libnetwork/drivers/bridge/internal/iptabler/`
(docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum

from attrs import frozen

from cnmsim.kernel.address import Address, Prefix, format_endpoint, format_ip, is_loopback
from cnmsim.libnetwork.drivers.bridge.labels import BridgeOptions, GatewayMode
from cnmsim.libnetwork.options import PortBinding, TransportPort
from cnmsim.libnetwork.profile import Profile

USER_CHAIN = "DOCKER-USER"
STAGE_1 = "DOCKER-ISOLATION-STAGE-1"
STAGE_2 = "DOCKER-ISOLATION-STAGE-2"
FORWARD_CHAIN = "DOCKER-FORWARD"
BRIDGE_CHAIN = "DOCKER-BRIDGE"
CT_CHAIN = "DOCKER-CT"
INTERNAL_CHAIN = "DOCKER-INTERNAL"
DOCKER_CHAIN = "DOCKER"


class Action(Enum):
    """The kinds of operation. Append and insert do nothing if the chain already contains the rule."""

    APPEND = "append"
    INSERT = "insert"
    TOP = "top"  # delete if present, then insert at the head
    NEW_CHAIN = "new chain"


@frozen
class RuleOp:
    """One operation on one chain. `rule` is empty for `NEW_CHAIN`.

    `purpose` is the rule's name in the engine's error messages. `wording` is the rule as those messages print it,
    with its arguments in the order in which the engine passes them to iptables; it is empty if it equals `rule`.
    """

    action: Action
    table: str
    chain: str
    rule: str = ""
    purpose: str = ""
    wording: str = ""


@frozen
class NetworkFacts:
    """The properties of a bridge network that its rules depend on.

    `hairpin` is set if there is no userland proxy. `ipv4` and `ipv6` are the subnets. `allow_direct_routing` leaves
    out the rules that drop packets from other hosts to container addresses; `no_raw` leaves out all rules of the
    table raw.
    """

    options: BridgeOptions
    internal: bool
    hairpin: bool
    ipv4: Prefix | None
    ipv6: Prefix | None
    allow_direct_routing: bool = False
    no_raw: bool = False

    @property
    def bridge(self) -> str:
        """The name of the bridge device."""
        return self.options.bridge_name

    def prefix(self, family: int) -> Prefix | None:
        """Return the subnet of address family 4 or 6; `None` if the network does not have the family."""
        return self.ipv6 if family == 6 else self.ipv4


def _append(table: str, chain: str, rule: str) -> RuleOp:
    return RuleOp(Action.APPEND, table, chain, rule)


def _insert(table: str, chain: str, rule: str, purpose: str = "") -> RuleOp:
    return RuleOp(Action.INSERT, table, chain, rule, purpose)


def _top(chain: str, rule: str) -> RuleOp:
    return RuleOp(Action.TOP, "filter", chain, rule)


def start_program(profile: Profile, family: int, *, hairpin: bool, accept_fwmark: str = "") -> list[RuleOp]:
    """Return the operations for the daemon's start: create Docker's chains and the jumps between them.

    `hairpin` is True if there is no userland proxy. Packets with the firewall mark `accept_fwmark` are accepted (""
    for no such mark).
    """
    chains = [DOCKER_CHAIN]
    if profile.has_forward_chain:
        chains += [FORWARD_CHAIN, BRIDGE_CHAIN, CT_CHAIN]
    if profile.has_isolation_chains:
        chains += [STAGE_1, STAGE_2]
    if profile.has_internal_chain:
        chains.append(INTERNAL_CHAIN)
    program = [RuleOp(Action.NEW_CHAIN, "nat", DOCKER_CHAIN)]
    program += [RuleOp(Action.NEW_CHAIN, "filter", chain) for chain in chains]
    if not profile.has_forward_chain:
        return [*program, _append("filter", STAGE_1, "-j RETURN"), _append("filter", STAGE_2, "-j RETURN")]
    if profile.nat_jumps_at_start:
        program += nat_jumps(family, hairpin=hairpin)
    program += [
        _top("FORWARD", f"-j {FORWARD_CHAIN}"),
        _top(FORWARD_CHAIN, f"-j {BRIDGE_CHAIN}"),
        _top(FORWARD_CHAIN, f"-j {INTERNAL_CHAIN if profile.has_internal_chain else STAGE_1}"),
        _top(FORWARD_CHAIN, f"-j {CT_CHAIN}"),
    ]
    if accept_fwmark:
        program.append(_insert("filter", FORWARD_CHAIN, f"-m mark --mark {accept_fwmark} -j ACCEPT"))
    return program


def user_chain_program(profile: Profile) -> list[RuleOp]:
    """Return the release's operations that create DOCKER-USER and move the jump to it to the top of FORWARD."""
    program = [RuleOp(Action.NEW_CHAIN, "filter", USER_CHAIN)]
    if profile.docker_user_has_return:
        program.append(_append("filter", USER_CHAIN, "-j RETURN"))
    return [*program, _top("FORWARD", f"-j {USER_CHAIN}")]


def nat_jumps(family: int, *, hairpin: bool) -> list[RuleOp]:
    """Return the operations that add the jumps to the chain DOCKER of the table nat.

    If `hairpin` is False (there is a userland proxy), the jump from OUTPUT excludes loopback addresses, which the
    proxy serves.
    """
    loopback = "::1/128" if family == 6 else "127.0.0.0/8"
    exclusion = "" if hairpin else f"! -d {loopback} "
    return [
        _append("nat", "PREROUTING", "-m addrtype --dst-type LOCAL -j DOCKER"),
        _append("nat", "OUTPUT", f"{exclusion}-m addrtype --dst-type LOCAL -j DOCKER"),
    ]


def lasting_program(profile: Profile, facts: NetworkFacts, family: int) -> list[RuleOp]:
    """Return the operations for rules that remain after their network has been deleted.

    In 26.1 these are the jumps to the chain DOCKER in the table nat. In later releases there are none.
    """
    if profile.nat_jumps_at_start or facts.internal or facts.prefix(family) is None:
        return []
    return nat_jumps(family, hairpin=facts.hairpin)


def network_program(profile: Profile, facts: NetworkFacts, family: int) -> list[RuleOp]:
    """Return the operations that install a network's rules for `family` (4 or 6), in the order of `profile`."""
    if profile.has_forward_chain:
        prefix = facts.prefix(family)
        if prefix is None:
            return []
        if facts.internal:
            return _internal_rules(profile, facts, prefix)
        return _forward_chain_rules(profile, facts, prefix)
    return _built_in_chain_rules(facts, family)


def _source_nat(options: BridgeOptions, family: int) -> str:
    address = options.host_ipv6 if family == 6 else options.host_ipv4
    return f"SNAT --to-source {format_ip(address)}" if address is not None else "MASQUERADE"


def _nat_rules(profile_returns: bool, facts: NetworkFacts, prefix: Prefix) -> Iterator[RuleOp]:
    """Yield the NAT rules of a network with the subnet `prefix`.

    If `profile_returns` is True, the release exempts packets from the network's own bridge from DNAT, by a rule with
    the target RETURN.
    """
    options, bridge, family = facts.options, facts.bridge, prefix.family
    nat = _source_nat(options, family)
    if options.masquerade and options.mode(family) is not GatewayMode.ROUTED:
        yield _insert("nat", "POSTROUTING", f"-s {prefix} ! -o {bridge} -j {nat}", "NAT")
    if options.masquerade and profile_returns and not facts.hairpin:
        yield _insert("nat", DOCKER_CHAIN, f"-i {bridge} -j RETURN", "SKIP DNAT")
    if facts.hairpin:
        yield _insert("nat", "POSTROUTING", f"-o {bridge} -m addrtype --src-type LOCAL -j {nat}", "MASQ LOCAL HOST")


def _internal_drops(facts: NetworkFacts, prefix: Prefix, chain: str) -> list[RuleOp]:
    bridge = facts.bridge
    if prefix.family == 4:
        outward, inward = f"! -d {prefix} -i {bridge} -j DROP", f"! -s {prefix} -o {bridge} -j DROP"
    else:
        outward = f"! -d {prefix} -i {bridge} ! -o {bridge} -j DROP"
        inward = f"! -s {prefix} ! -i {bridge} -o {bridge} -j DROP"
    return [_insert("filter", chain, outward), _insert("filter", chain, inward)]


def _built_in_chain_rules(facts: NetworkFacts, family: int) -> list[RuleOp]:
    """Return the operations for a network in 26.1.

    That release inserts rules directly at the top of the built-in chain FORWARD, so the newest network's rules come
    first. Later releases use chains of their own.
    """
    bridge, prefix = facts.bridge, facts.prefix(family)
    program: list[RuleOp] = []
    if facts.internal:
        if prefix is None:
            return []
        program += _internal_drops(facts, prefix, STAGE_1)
        program.append(_icc_rule(facts))
        return [*program, _top("FORWARD", f"-j {STAGE_1}")]
    if prefix is not None:
        program += _nat_rules(profile_returns=True, facts=facts, prefix=prefix)
        program.append(_icc_rule(facts))
        program.append(_insert("filter", "FORWARD", f"-i {bridge} ! -o {bridge} -j ACCEPT"))
        program.append(_insert("filter", "FORWARD", f"-o {bridge} -j {DOCKER_CHAIN}"))
        program.append(
            _insert("filter", "FORWARD", f"-o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
        )
    # Once ip6tables is enabled, isolation rules are installed for IPv6 even for networks without IPv6.
    return [
        *program,
        _top("FORWARD", f"-j {STAGE_1}"),
        _insert("filter", STAGE_1, f"-i {bridge} ! -o {bridge} -j {STAGE_2}"),
        _insert("filter", STAGE_2, f"-o {bridge} -j DROP"),
    ]


def _icc_rule(facts: NetworkFacts) -> RuleOp:
    bridge = facts.bridge
    if facts.options.icc:
        return _insert("filter", "FORWARD", f"-i {bridge} -o {bridge} -j ACCEPT")
    return _append("filter", "FORWARD", f"-i {bridge} -o {bridge} -j DROP")


def _internal_rules(profile: Profile, facts: NetworkFacts, prefix: Prefix) -> list[RuleOp]:
    chain = INTERNAL_CHAIN if profile.has_internal_chain else STAGE_1
    verdict = "ACCEPT" if facts.options.icc else "DROP"
    between = _append("filter", FORWARD_CHAIN, f"-i {facts.bridge} -o {facts.bridge} -j {verdict}")
    return [*_internal_drops(facts, prefix, chain), between]


def _forward_chain_rules(profile: Profile, facts: NetworkFacts, prefix: Prefix) -> list[RuleOp]:
    """Return the operations for a network in 28 and later; its filter rules are all in chains that Docker created."""
    bridge, options = facts.bridge, facts.options
    mode = options.mode(prefix.family)
    program = list(_nat_rules(profile.nat_returns_from_bridge, facts, prefix))
    if not options.icc:
        program.append(_append("filter", FORWARD_CHAIN, f"-i {bridge} -o {bridge} -j DROP"))
    if mode is GatewayMode.ROUTED:
        icmp = "ipv6-icmp" if prefix.family == 6 else "icmp"
        program.append(_append("filter", DOCKER_CHAIN, f"-o {bridge} -p {icmp} -j ACCEPT"))
    outward = f"-i {bridge}" if options.icc else f"-i {bridge} ! -o {bridge}"
    verdict = "ACCEPT" if mode is GatewayMode.NAT_UNPROTECTED else "DROP"
    established = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    program += [
        _append("filter", FORWARD_CHAIN, f"{outward} -j ACCEPT"),
        _append("filter", DOCKER_CHAIN, f"! -i {bridge} -o {bridge} -j {verdict}"),
        _append("filter", CT_CHAIN, f"-o {bridge} {established}"),
        _append("filter", BRIDGE_CHAIN, f"-o {bridge} -j {DOCKER_CHAIN}"),
    ]
    if not profile.has_isolation_chains:
        return program
    if mode is GatewayMode.ROUTED:
        program.append(_insert("filter", STAGE_1, f"-o {bridge} -j RETURN"))
        program.append(_insert("filter", STAGE_1, f"-i {bridge} {established}"))
    return [
        *program,
        _append("filter", STAGE_1, f"-i {bridge} ! -o {bridge} -j {STAGE_2}"),
        _insert("filter", STAGE_2, f"-o {bridge} -j DROP"),
    ]


def endpoint_program(profile: Profile, facts: NetworkFacts, address: Address) -> list[RuleOp]:
    """Return the operations for rules that drop packets from other hosts to the container address `address`.

    The list is empty in releases without such rules, for internal networks, if the rules are disabled (`no_raw` or
    `allow_direct_routing`), and in gateway modes other than `nat`.
    """
    options = facts.options
    if not profile.has_raw_rules or facts.no_raw or facts.internal or facts.allow_direct_routing:
        return []
    if options.mode(6 if len(address) == 16 else 4) is not GatewayMode.NAT:
        return []
    host = _host(address)
    program = [_append("raw", "PREROUTING", f"-d {host} -i {name} -j ACCEPT") for name in options.trusted_interfaces]
    return [*program, _append("raw", "PREROUTING", f"-d {host} ! -i {facts.bridge} -j DROP")]


def port_program(profile: Profile, facts: NetworkFacts, binding: PortBinding) -> list[RuleOp]:
    """Return the operations that install the rules of one published port in the release `profile`.

    `binding` contains the container address and the host address.
    """
    container, host = binding.container_ip, binding.host_ip
    assert container is not None
    assert host is not None
    program: list[RuleOp] = []
    if profile.has_raw_rules and not facts.no_raw and len(host) == 4 and is_loopback(host) and binding.host_port:
        match = f"-d {_host(host)} ! -i lo {_port_match(binding.protocol, 'dport', binding.host_port)}"
        program.append(_append("raw", "PREROUTING", f"{match} -j DROP"))
    if len(host) != len(container):
        return program
    family = 6 if len(container) == 16 else 4
    mode = facts.options.mode(family)
    if binding.host_port and mode.translates:
        program.append(_dnat_rule(profile, facts, binding, container, host))
    to_port = _port_match(binding.protocol, "dport", binding.container_port)
    accept = f"-d {_host(container)} ! -i {facts.bridge} -o {facts.bridge} {to_port} -j ACCEPT"
    itself = _append("nat", "POSTROUTING", f"-s {_host(container)} -d {_host(container)} {to_port} -j MASQUERADE")
    if profile.port_rules_are_appended:
        program += [_append("filter", DOCKER_CHAIN, accept), itself]
    else:
        if facts.hairpin and binding.host_port and mode.translates:
            program.append(itself)
        if mode is not GatewayMode.NAT_UNPROTECTED:
            program.append(_insert("filter", DOCKER_CHAIN, accept))
    if binding.protocol == "sctp" and profile.sctp_checksum == "always":
        from_port = _port_match("sctp", "sport", binding.container_port)
        program.append(_append("mangle", "POSTROUTING", f"{from_port} -j CHECKSUM --checksum-fill"))
    return program


def _dnat_rule(
    profile: Profile, facts: NetworkFacts, binding: PortBinding, container: Address, host: Address
) -> RuleOp:
    matches: list[str] = []
    if len(host) == 16 and profile.dnat6_excludes_link_local:
        matches.append("! -s fe80::/10")
    if any(host):
        matches.append(f"-d {_host(host)}")
    if not facts.hairpin:
        matches.append(f"! -i {facts.bridge}")
    matches.append(_port_match(binding.protocol, "dport", binding.host_port))
    target = f"-j DNAT --to-destination {format_endpoint(container, binding.container_port)}"
    wording = [
        f"-p {binding.protocol} -d {format_ip(host) if any(host) else '0/0'} --dport {binding.host_port} {target}"
    ]
    wording += [match for match in matches if match.startswith("! ")]
    return RuleOp(
        Action.APPEND,
        "nat",
        DOCKER_CHAIN,
        f"{' '.join(matches)} {target}",
        purpose="DNAT" if profile.has_forward_chain else "",
        wording=" ".join(wording),
    )


def link_program(
    facts: NetworkFacts, parent: Address, child: Address, ports: Iterable[TransportPort]
) -> list[RuleOp]:
    """Return the operations that install the rules of a legacy link (`--link`) from `parent` to ports of `child`."""
    bridge, program = facts.bridge, []
    for port in ports:
        to_child = _port_match(port.protocol, "dport", port.port)
        to_parent = _port_match(port.protocol, "sport", port.port)
        program += [
            _append(
                "filter",
                DOCKER_CHAIN,
                f"-s {_host(parent)} -d {_host(child)} -i {bridge} -o {bridge} {to_child} -j ACCEPT",
            ),
            _append(
                "filter",
                DOCKER_CHAIN,
                f"-s {_host(child)} -d {_host(parent)} -i {bridge} -o {bridge} {to_parent} -j ACCEPT",
            ),
        ]
    return program


def _port_match(protocol: str, side: str, port: int) -> str:
    return f"-p {protocol} -m {protocol} --{side} {port}"


def _host(address: Address) -> str:
    return f"{format_ip(address)}/{len(address) * 8}"
