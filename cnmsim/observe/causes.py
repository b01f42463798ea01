"""Why a packet was lost, and what to do: one function a reason, chosen by the reason the kernel gave.

Packet filter rules are told apart by the chain Docker keeps them in and by their shape (moby
`libnetwork/drivers/bridge/internal/iptabler`, docker-v29.7.2; `libnetwork/drivers/bridge/setup_ip_tables.go` of
docker-v26.1.5): which rule it was says what its author wanted.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from cnmsim.kernel.address import format_ip, is_loopback
from cnmsim.kernel.events import DropReason, Step
from cnmsim.observe import rulesets, services, ways, wires
from cnmsim.observe.case import Case, address_at, destination_of, port_of, source_of
from cnmsim.observe.hops import Hop
from cnmsim.observe.stations import Station, shared_networks
from cnmsim.observe.tunnels import advice_in_tunnel

#: A cause and its fix.
Advice = tuple[str, str]

#: `! -i br-x … -o br-x -j DROP` (filter) and `-d ADDRESS ! -i br-x -j DROP` (raw): only from the bridge itself.
_NOT_FROM_BRIDGE = re.compile(r"! -i (\S+) .*-j DROP|! -i (\S+) -j DROP")
_SAME_BRIDGE = re.compile(r"(?<!! )-i (\S+) -o \1 -j (DROP|REJECT)")


def advice_on(case: Case, loss: Hop) -> Advice:
    """Say why the packet was lost there, in one sentence, and give one fix."""
    assert loss.reason is not None
    if _is_multicast(case):
        return _multicast(case, loss)
    in_tunnel = advice_in_tunnel(case, loss)
    if in_tunnel is not None:
        return in_tunnel
    explain = _BY_REASON.get(loss.reason, _plain)
    return explain(case, loss)


def _is_multicast(case: Case) -> bool:
    """Whether a group was asked, not a machine (RFC 5771 section 3, RFC 4291 section 2.7)."""
    address = case.outcome.address
    return address is not None and (address[0] == 0xFF if len(address) == 16 else 224 <= address[0] < 240)


def _multicast(case: Case, loss: Hop) -> Advice:
    sent = next((hop for hop in case.knocking if hop.step is Step.ROUTED), None)
    by = f" by {sent.device} ({sent.decision})" if sent is not None and sent.decision else ""
    return (
        f"{case.address} is a multicast address: {case.source.name} sends it{by}, it stops on {loss.place}, and no router or tunnel of "  # noqa: ISC004
        "Docker carries it on",
        "find the others by name: a service's tasks.NAME gives the addresses of all its tasks",
    )


def where_lost(case: Case, loss: Hop, verb: str = "dropped") -> str:
    """Begin the sentence: what was lost where, by which rule."""
    subject = f"the answer from {case.sender(loss)} is " if case.is_answer(loss) else ""
    by = f" by {loss.decision}" if loss.decision else ""
    return f"{subject}{verb} on {loss.place}{by}"


def _networks(station: Station) -> str:
    names = [item.network for item in station.attachments]
    return " and ".join(names) if names else "no network"


# ---- packet filters


def _filtered(case: Case, loss: Hop) -> Advice:
    rule = loss.decision
    for fits, explain in _RULES:
        if fits(case, loss, rule):
            return explain(case, loss)
    raise AssertionError("the last rule fits all")


def _is_icc(rule: str) -> bool:
    return bool(_SAME_BRIDGE.search(rule)) or rulesets.is_docker_rule(rule, "ICC")


def _is_isolation(case: Case, loss: Hop, rule: str) -> bool:
    del case, loss
    if rulesets.is_docker_rule(rule, "DROP DIRECT ACCESS", "UNPUBLISHED PORT DROP"):
        return True
    return "ISOLATION" in rule or bool(_NOT_FROM_BRIDGE.search(rule))


def _is_internal(case: Case, loss: Hop, rule: str) -> bool:
    del case, loss
    if rulesets.is_docker_rule(rule, "INTERNAL NETWORK"):
        return True
    return "DOCKER-INTERNAL" in rule or bool(re.search(r"ISOLATION\S*: .*! -[sd] \S+ -[io] ", rule))


def _is_loopback_guard(case: Case, loss: Hop, rule: str) -> bool:
    del case
    address = address_at(loss)
    if rulesets.is_docker_rule(rule, "DROP REMOTE LOOPBACK"):
        return True
    return "! -i lo" in rule or (address is not None and is_loopback(address) and "PREROUTING" in rule)


def _isolated(case: Case, loss: Hop) -> Advice:
    address = address_at(loss)
    target = case.directory.owner(address) if address else None
    head = where_lost(case, loss)
    if case.is_answer(loss):
        target, asker = case.source, case.station(case.sender(loss))
    else:
        asker = case.source
    if target is None or asker is None:
        return f"{head}: only stations on that bridge may send there", "send from a container on the same network"
    if asker.is_container and not shared_networks(asker, target):
        where = f"{asker.name} is on {_networks(asker)}, {target.name} on {_networks(target)}"
        fix = f"attach both to one network: docker network connect {_join_network(asker, target)}"
        return f"{head}; the two share no network ({where})", fix
    if asker.is_container:
        shared = shared_networks(asker, target)[0]
        better = target.on_network(shared)
        own = format_ip(better.addresses[0]) if better and better.addresses else target.name
        return f"{head}; {destination_of(loss)} is {target.name} on a network {asker.name} is not on", (
            f"use its address on {shared}: {own}, or its name {target.name}"
        )
    return f"{head}; a container's own address cannot be reached from outside its host", _publish(
        target, port_of(loss)
    )


def _join_network(asker: Station, target: Station) -> str:
    """Write `NETWORK CONTAINER` for the simplest connection: the asker joins a user-defined network of the target."""
    for one, other in ((target, asker), (asker, target)):
        for item in one.attachments:
            if not item.is_default:
                return f"{item.network} {other.name}"
    return f"NETWORK {asker.name}"


def _publish(target: Station, port: int) -> str:
    for item in target.published:
        if item.port == port and not item.is_loopback_only:
            return f"use the published port {target.host}:{item.host_port}"
    suffix = f"{port}:{port}" if port else "HOSTPORT:PORT"
    return f"publish the port (-p {suffix}) and ask {target.host}, or set the network's gateway_mode to routed"


def _internal(case: Case, loss: Hop) -> Advice:
    names = [
        item.network
        for station in (case.source, case.destination)
        if station is not None
        for item in station.attachments
        if item.is_internal
    ]
    network = names[0] if names else "the network"
    source, target = case.source, case.destination
    if target is not None and target.is_container and not shared_networks(source, target):
        head = f"{where_lost(case, loss)}; {network} is internal: nothing enters or leaves it"
        if source.is_container:
            return f"{head}, and {_stranger(source, target, network)} is not on it", (
                f"attach both to one network: docker network connect {_join_network(source, target)}"
            )
        return head, f"attach {target.name} to a network without --internal and publish the port there"
    return f"{where_lost(case, loss)}; {network} is internal: nothing enters or leaves it", (
        f"attach {case.source.name} to a network without --internal as well"
    )


def _stranger(source: Station, target: Station, network: str) -> str:
    return source.name if source.on_network(network) is None else target.name


def _same_bridge(case: Case, loss: Hop) -> Advice:
    found = re.search(r"-o (\S+)|iifname \"([^\"]+)", loss.decision)
    bridge = (found[1] or found[2]) if found else loss.device or "the bridge"
    names = [item.network for item in case.source.attachments if item.bridge == bridge]
    network = names[0] if names else bridge
    return f"{where_lost(case, loss)}; containers on {network} may not talk to each other (icc is false)", (
        "use a network with com.docker.network.bridge.enable_icc=true (for the default bridge: daemon option icc)"
    )


def _loopback_guard(case: Case, loss: Hop) -> Advice:
    return f"{where_lost(case, loss)}; the port is published on 127.0.0.1, for {loss.place} itself only", (
        "publish it on another address of the host, or ask from the host"
    )


def _operator(case: Case, loss: Hop) -> Advice:
    return f"{where_lost(case, loss)}; a rule in DOCKER-USER, which Docker leaves to the operator", (
        f"delete that rule on {loss.place}, or put an ACCEPT for {source_of(loss)} before it"
    )


def _host_input(case: Case, loss: Hop) -> Advice:
    place = loss.place
    station = case.station(place)
    from_container = case.source.is_container and station is not None and not station.is_container
    what = f"; the firewall of {place} filters what comes to the host itself" if from_container else ""
    device = f" -i {loss.device}" if loss.device else ""
    port = f" -p {case.target.protocol} --dport {port_of(loss)}" if port_of(loss) else ""
    return f"{where_lost(case, loss)}{what}", f"let it in on {place}: iptables -I INPUT{device}{port} -j ACCEPT"


def _host_output(case: Case, loss: Hop) -> Advice:
    return f"{where_lost(case, loss)}, before it left", f"change that rule of the OUTPUT chain on {loss.place}"


def _some_rule(case: Case, loss: Hop) -> Advice:
    return where_lost(case, loss), f"change that rule on {loss.place}, or accept {source_of(loss)} before it"


def _other_rule_set(case: Case, loss: Hop) -> Advice:
    cause = f"{where_lost(case, loss)}: {rulesets.why(loss)}"
    host = case.station(loss.place)
    command = rulesets.command_against(loss, host.namespace if host is not None else None)
    return cause, f"take it back on {loss.place}: {command}" if command else f"change that rule on {loss.place}"


_Fits = Callable[[Case, Hop, str], bool]
_RULES: tuple[tuple[_Fits, Callable[[Case, Hop], Advice]], ...] = (
    (lambda _case, _loss, rule: rulesets.is_foreign(rule), _other_rule_set),
    (lambda _case, _loss, rule: "DOCKER-USER:" in rule or "-A DOCKER-USER" in rule, _operator),
    (_is_loopback_guard, _loopback_guard),
    (_is_internal, _internal),
    (lambda _case, _loss, rule: _is_icc(rule), _same_bridge),
    (_is_isolation, _isolated),
    (lambda _case, _loss, rule: rule.startswith("filter INPUT"), _host_input),
    (lambda _case, _loss, rule: rule.startswith("filter OUTPUT"), _host_output),
    (lambda _case, _loss, _rule: True, _some_rule),
)


def _policy(case: Case, loss: Hop) -> Advice:
    if rulesets.is_foreign(loss.decision):
        return _other_rule_set(case, loss)
    if "INPUT" in loss.decision:
        return _host_input(case, loss)
    host = case.station(loss.place)
    if host is not None and _writes_nftables(host):
        return (
            f"{where_lost(case, loss)}: Docker's rules are those of nftables here, and what they accept iptables may still drop",
            f"let iptables accept it on {loss.place}: iptables -P FORWARD ACCEPT",
        )
    if host is not None and host.has_engine and not _has_docker_chains(host, loss):
        return (
            f"{where_lost(case, loss)}: none of Docker's chains is there any more, a reload of the firewall wiped them",
            f"restart Docker on {loss.place}, and always after the firewall: it makes its rules anew",
        )
    return f"{where_lost(case, loss)}: no rule accepts it", (
        f"accept it on {loss.place}: iptables -I DOCKER-USER -s {source_of(loss)} -d {destination_of(loss)} -j ACCEPT"
    )


def _writes_nftables(host: Station) -> bool:
    return any(name == rulesets.DOCKER_TABLE for _, name in host.namespace.netfilter.nft.tables)


def _has_docker_chains(host: Station, loss: Hop) -> bool:
    family = 6 if "[" in loss.addresses else 4
    return ":DOCKER" in host.namespace.netfilter.iptables(family).save("filter")


def _rejected(case: Case, loss: Hop) -> Advice:
    cause, fix = _filtered(case, loss)
    return cause.replace("dropped on", "rejected on", 1), fix


# ---- routes, neighbours, links


def _no_route(case: Case, loss: Hop) -> Advice:
    child = wires.no_way_to_child(case, loss)
    if child is not None:
        return child
    station = case.station(loss.place)
    if station is not None and station is case.source:
        return no_route_from(case)
    if case.is_answer(loss) and case.source.is_container and loss.place != case.source.host:
        return (
            f"the answer is lost: {loss.place} has no route to {destination_of(loss)}, "  # noqa: ISC004
            f"and {case.source.host} let that address of {case.source.name} out untranslated",
            f"let {case.source.host} masquerade it (daemon option iptables, or the network's enable_ip_masquerade), "  # noqa: ISC004
            f"or add a route to it on {loss.place}",
        )
    return f"{loss.place} has no route to {destination_of(loss)}", f"add a route on {loss.place}"


def no_route_from(case: Case) -> Advice:
    """Say why the source itself knows no way."""
    source = case.source
    own = ways.link_down(case) or ways.no_address(case) or ways.narrow_mask(case)
    if own is not None:
        return own
    if source.is_container and not source.attachments:
        return f"{source.name} has no route to {case.address}: it is attached to no network", join_a_network(source)
    target = case.destination
    if not source.is_container and target is not None and target.is_container and target.host != source.name:
        return (
            f"{source.name} has no route to {case.address}: only {target.host} knows the network of {target.name}",
            _publish(target, case.target.port),
        )
    family = "IPv6 " if ":" in case.address else ""
    if source.is_container and all(item.is_internal for item in source.attachments):
        return (
            f"{source.name} has no default route: {_networks(source)} is internal and leads nowhere else",
            f"attach {source.name} to a network without --internal as well",
        )
    if source.is_container and family:
        return f"{source.name} has no IPv6 route to {case.address}: its networks have no IPv6", (
            "create the network with enable_ipv6 (--ipv6)"
        )
    return (
        f"{source.name} has no {family}route to {case.address}",
        f"add a route or a default gateway on {source.name}",
    )


def join_a_network(source: Station) -> str:
    """Say how a container without a network gets one: one that was started with `none` takes no other."""
    if source.network_mode == "none":
        return f"start {source.name} on a network instead of none: a container in network_mode none takes no other"
    return f"docker network connect NETWORK {source.name}"


def _route_says(case: Case, loss: Hop) -> Advice:
    refusing = re.match(r"ip rule (\d+): ", loss.decision)
    if refusing is not None:
        return f"{where_lost(case, loss)}: that rule is meant to refuse", (
            f"delete it on {loss.place}: ip rule del pref {refusing[1]}"
        )
    return f"{where_lost(case, loss)}: the route there is meant to refuse", (
        f"delete it on {loss.place}: ip route del {loss.decision.partition(', by rule ')[0]}"
    )


def _forwarding_off(case: Case, loss: Hop) -> Advice:
    key = loss.decision.partition(" ")[0] or "net.ipv4.ip_forward"
    subject = "the answer" if case.is_answer(loss) else "it"
    return (
        f"{subject} stops on {loss.place}: IP forwarding is disabled there ({key} = 0), before any chain is asked",
        f"sysctl -w {key}=1 on {loss.place}",
    )


def _neighbour_failed(case: Case, loss: Hop) -> Advice:
    wire = wires.unanswered(case, loss) or ways.silent_gateway(case, loss)
    if wire is not None:
        return wire
    address = destination_of(loss)
    who = case.directory.owner(address_at(loss) or b"")
    if who is None:
        known = "; no running container or host has that address" if "." in address or ":" in address else ""
        return f"{loss.place} asked for {address} on {loss.device or 'its link'} and nobody answered{known}", (
            "use the name instead of a remembered address: a restarted container may have another one"
        )
    hiding = _hiding_network(case, loss)
    if hiding and who.host != loss.place and who.on_network(hiding) is None:
        return (
            f"{loss.place} looks for {address}, which is {who.label}, on its own network {hiding}: the network's subnet contains that "  # noqa: ISC004
            f"address, and its route is preferred to the one that leads to {who.name}",
            f"make network {hiding} with another --subnet",
        )
    if ways.is_off(who):
        return (
            f"{loss.place} asked for {address} on {loss.device or 'its link'}, and {who.name}, which has that address, has no power or no cable",
            f"bring {who.name} back (lab.heal(), or power_on() of the host)",
        )
    return f"{loss.place} asked on {loss.device or 'its link'} and nobody answered for the next hop to {address}", (
        f"check that {who.label} and {loss.place} are on one segment, and the route's gateway"
    )


def _hiding_network(case: Case, loss: Hop) -> str:
    """Name the network of the host whose bridge was asked, "" if it was another device."""
    here = (item for station in case.directory.stations if station.host == loss.place for item in station.attachments)
    return next((item.network for item in here if item.bridge and item.bridge == loss.device), "")


def _reverse_path(case: Case, loss: Hop) -> Advice:
    return f"{where_lost(case, loss)}: a packet from {source_of(loss)} should not come in by {loss.device}", (
        f"make the route back to {source_of(loss)} symmetric, or let the filter take any way back: "
        f"sysctl -w net.ipv4.conf.all.rp_filter=2 on {loss.place}"
    )


def _martian(case: Case, loss: Hop) -> Advice:
    return (
        f"{where_lost(case, loss)}: {source_of(loss)} > {destination_of(loss)} has no business on {loss.device}",
        "use an address that is valid on that link (127.0.0.0/8 never leaves its host)",
    )


def _ttl(case: Case, loss: Hop) -> Advice:
    round_trip = ways.loop(case, loss)
    if round_trip is not None:
        return round_trip
    return f"{where_lost(case, loss)}: its TTL ran out", "look for a routing loop in the walk above"


def _too_big(case: Case, loss: Hop) -> Advice:
    return f"{where_lost(case, loss)}: {loss.what}", (
        "set the network's MTU to the smallest on the way (com.docker.network.driver.mtu)"
    )


def _link(case: Case, loss: Hop) -> Advice:
    del case
    reason = loss.reason.value if loss.reason else loss.what
    return f"lost at {loss.where}: {reason}", f"bring the link at {loss.where} up"


def _link_loss(case: Case, loss: Hop) -> Advice:
    if loss.decision:
        subject = f"the answer from {case.sender(loss)} is " if case.is_answer(loss) else ""
        return f"{subject}lost at {loss.where}: {loss.decision}", "mend the wiring there (lab.heal())"
    return f"lost on the link at {loss.where}, which loses packets", "set a lower loss on that link"


def _nat_exhausted(case: Case, loss: Hop) -> Advice:
    return f"{where_lost(case, loss)}: no free port is left for address translation", (
        "widen net.ipv4.ip_local_port_range, or open fewer connections to one destination"
    )


def _no_destination(case: Case, loss: Hop) -> Advice:
    of_swarm = services.no_destination(case, loss)
    if of_swarm is not None:
        return of_swarm
    return (
        f"{where_lost(case, loss, 'refused')}: {loss.what}",
        f"look at `ipvsadm -Ln` on {loss.place}: give the service a real server whose weight is not 0",
    )


def _untracked(case: Case, loss: Hop) -> Advice:
    return ways.table_full(loss) or _plain(case, loss)


def _stray(case: Case, loss: Hop) -> Advice:
    of_swarm = services.forgotten(case, loss)
    if of_swarm is not None:
        return of_swarm
    return (
        f"{loss.place} answers {loss.packet} with a reset: it knows no connection it belongs to",
        "open the connection anew, and see why that end forgot it (restarted, or moved to another container)",
    )


def _ipv6_disabled(case: Case, loss: Hop) -> Advice:
    return (
        f"{where_lost(case, loss)}: IPv6 is disabled on {loss.device}",
        "create the network with enable_ipv6 (--ipv6)",
    )


def _plain(case: Case, loss: Hop) -> Advice:
    reason = loss.reason.value if loss.reason else loss.what
    return f"{where_lost(case, loss)}: {reason}", f"look at {loss.where} in the walk above"


_BY_REASON: dict[DropReason, Callable[[Case, Hop], Advice]] = {
    DropReason.NETFILTER_DROP: _filtered,
    DropReason.CONNTRACK_INVALID: _untracked,
    DropReason.STRAY_SEGMENT: _stray,
    DropReason.NETFILTER_POLICY: _policy,
    DropReason.NETFILTER_REJECT: _rejected,
    DropReason.NAT_EXHAUSTED: _nat_exhausted,
    DropReason.NO_DESTINATION: _no_destination,
    DropReason.NO_ROUTE: _no_route,
    DropReason.UNREACHABLE_ROUTE: _route_says,
    DropReason.BLACKHOLE_ROUTE: _route_says,
    DropReason.PROHIBIT_ROUTE: _route_says,
    DropReason.FORWARDING_DISABLED: _forwarding_off,
    DropReason.NEIGHBOUR_FAILED: _neighbour_failed,
    DropReason.REVERSE_PATH: _reverse_path,
    DropReason.MARTIAN: _martian,
    DropReason.TTL_EXCEEDED: _ttl,
    DropReason.FRAGMENTATION_NEEDED: _too_big,
    DropReason.MTU_EXCEEDED: _too_big,
    DropReason.LINK_DOWN: _link,
    DropReason.NO_CARRIER: _link,
    DropReason.LINK_LOSS: _link_loss,
    DropReason.IPV6_DISABLED: _ipv6_disabled,
    DropReason.PORT_SECURITY: wires.port_security,
    DropReason.NO_VLAN: wires.no_vlan,
    DropReason.KEPT_APART: wires.kept_apart,
}
