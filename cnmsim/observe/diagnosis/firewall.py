"""Why a packet filter let a packet go no further: what the rule that did it is there for.

Rules are told apart by the chain Docker keeps them in and by their shape (moby
`libnetwork/drivers/bridge/internal/iptabler`, docker-v29.7.2; `libnetwork/drivers/bridge/setup_ip_tables.go` of
docker-v26.1.5): which rule it was says what its author wanted.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from cnmsim.kernel.address import format_ip, is_loopback
from cnmsim.kernel.netfilter.nftables import NfTables
from cnmsim.observe.diagnosis import rule_sets
from cnmsim.observe.diagnosis.advice import Advice, networks_of, publish, where_lost
from cnmsim.observe.diagnosis.diagnosis_context import (
    DiagnosisContext,
    address_at,
    destination_of,
    port_of,
    source_of,
)
from cnmsim.observe.location import Location, shared_networks
from cnmsim.observe.trace.hops import Hop

#: `! -i br-x … -o br-x -j DROP` (filter) and `-d ADDRESS ! -i br-x -j DROP` (raw): only from the bridge itself.
_NOT_FROM_BRIDGE = re.compile(r"! -i (\S+) .*-j DROP|! -i (\S+) -j DROP")
_SAME_BRIDGE = re.compile(r"(?<!! )-i (\S+) -o \1 -j (DROP|REJECT)")


def filtered(context: DiagnosisContext, loss: Hop) -> Advice:
    """Advise on a packet that a rule dropped."""
    rule = loss.decision
    for fits, explain in _RULES:
        if fits(context, loss, rule):
            return explain(context, loss)
    raise AssertionError("the last rule fits all")


def _is_icc(rule: str) -> bool:
    return bool(_SAME_BRIDGE.search(rule)) or rule_sets.is_docker_rule(rule, "ICC")


def _is_isolation(context: DiagnosisContext, loss: Hop, rule: str) -> bool:
    del context, loss
    if rule_sets.is_docker_rule(rule, "DROP DIRECT ACCESS", "UNPUBLISHED PORT DROP"):
        return True
    return "ISOLATION" in rule or bool(_NOT_FROM_BRIDGE.search(rule))


def _is_internal(context: DiagnosisContext, loss: Hop, rule: str) -> bool:
    del context, loss
    if rule_sets.is_docker_rule(rule, "INTERNAL NETWORK"):
        return True
    return "DOCKER-INTERNAL" in rule or bool(re.search(r"ISOLATION\S*: .*! -[sd] \S+ -[io] ", rule))


def _is_loopback_guard(context: DiagnosisContext, loss: Hop, rule: str) -> bool:
    del context
    address = address_at(loss)
    if rule_sets.is_docker_rule(rule, "DROP REMOTE LOOPBACK"):
        return True
    return "! -i lo" in rule or (address is not None and is_loopback(address) and "PREROUTING" in rule)


def _isolated(context: DiagnosisContext, loss: Hop) -> Advice:
    address = address_at(loss)
    target = context.directory.owner(address) if address else None
    head = where_lost(context, loss)
    if context.is_reply(loss):
        target, asker = context.source, context.location(context.sender(loss))
    else:
        asker = context.source
    if target is None or asker is None:
        return f"{head}: only stations on that bridge may send there", "send from a container on the same network"
    if asker.is_container and not shared_networks(asker, target):
        where = f"{asker.name} is on {networks_of(asker)}, {target.name} on {networks_of(target)}"
        fix = f"attach both to one network: docker network connect {_join_network(asker, target)}"
        return f"{head}; the two share no network ({where})", fix
    if asker.is_container:
        shared = shared_networks(asker, target)[0]
        better = target.on_network(shared)
        own = format_ip(better.addresses[0]) if better and better.addresses else target.name
        return f"{head}; {destination_of(loss)} is {target.name} on a network {asker.name} is not on", (
            f"use its address on {shared}: {own}, or its name {target.name}"
        )
    return f"{head}; a container's own address cannot be reached from outside its host", publish(
        target, port_of(loss)
    )


def _join_network(asker: Location, target: Location) -> str:
    """Write `NETWORK CONTAINER` for the simplest connection: the asker joins a user-defined network of the target."""
    for one, other in ((target, asker), (asker, target)):
        for item in one.attachments:
            if not item.is_default:
                return f"{item.network} {other.name}"
    return f"NETWORK {asker.name}"


def _internal(context: DiagnosisContext, loss: Hop) -> Advice:
    names = [
        item.network
        for location in (context.source, context.destination)
        if location is not None
        for item in location.attachments
        if item.is_internal
    ]
    network = names[0] if names else "the network"
    source, target = context.source, context.destination
    if target is not None and target.is_container and not shared_networks(source, target):
        head = f"{where_lost(context, loss)}; {network} is internal: nothing enters or leaves it"
        if source.is_container:
            return f"{head}, and {_stranger(source, target, network)} is not on it", (
                f"attach both to one network: docker network connect {_join_network(source, target)}"
            )
        return head, f"attach {target.name} to a network without --internal and publish the port there"
    return f"{where_lost(context, loss)}; {network} is internal: nothing enters or leaves it", (
        f"attach {context.source.name} to a network without --internal as well"
    )


def _stranger(source: Location, target: Location, network: str) -> str:
    return source.name if source.on_network(network) is None else target.name


def _same_bridge(context: DiagnosisContext, loss: Hop) -> Advice:
    found = re.search(r"-o (\S+)|iifname \"([^\"]+)", loss.decision)
    bridge = (found[1] or found[2]) if found else loss.device or "the bridge"
    names = [item.network for item in context.source.attachments if item.bridge == bridge]
    network = names[0] if names else bridge
    return f"{where_lost(context, loss)}; containers on {network} may not talk to each other (icc is false)", (
        "use a network with com.docker.network.bridge.enable_icc=true (for the default bridge: daemon option icc)"
    )


def _loopback_guard(context: DiagnosisContext, loss: Hop) -> Advice:
    return f"{where_lost(context, loss)}; the port is published on 127.0.0.1, for {loss.place} itself only", (
        "publish it on another address of the host, or ask from the host"
    )


def _operator(context: DiagnosisContext, loss: Hop) -> Advice:
    return f"{where_lost(context, loss)}; a rule in DOCKER-USER, which Docker leaves to the operator", (
        f"delete that rule on {loss.place}, or put an ACCEPT for {source_of(loss)} before it"
    )


def _host_input(context: DiagnosisContext, loss: Hop) -> Advice:
    place = loss.place
    location = context.location(place)
    from_container = context.source.is_container and location is not None and not location.is_container
    what = f"; the firewall of {place} filters what comes to the host itself" if from_container else ""
    device = f" -i {loss.device}" if loss.device else ""
    port = f" -p {context.target.protocol} --dport {port_of(loss)}" if port_of(loss) else ""
    return f"{where_lost(context, loss)}{what}", f"let it in on {place}: iptables -I INPUT{device}{port} -j ACCEPT"


def _host_output(context: DiagnosisContext, loss: Hop) -> Advice:
    return f"{where_lost(context, loss)}, before it left", f"change that rule of the OUTPUT chain on {loss.place}"


def _some_rule(context: DiagnosisContext, loss: Hop) -> Advice:
    return where_lost(context, loss), f"change that rule on {loss.place}, or accept {source_of(loss)} before it"


def _other_rule_set(context: DiagnosisContext, loss: Hop) -> Advice:
    cause = f"{where_lost(context, loss)}: {rule_sets.why(loss)}"
    host = context.location(loss.place)
    command = rule_sets.command_against(loss, host.namespace if host is not None else None)
    return cause, f"take it back on {loss.place}: {command}" if command else f"change that rule on {loss.place}"


_Fits = Callable[[DiagnosisContext, Hop, str], bool]
_RULES: tuple[tuple[_Fits, Callable[[DiagnosisContext, Hop], Advice]], ...] = (
    (lambda _case, _loss, rule: rule_sets.is_foreign(rule), _other_rule_set),
    (lambda _case, _loss, rule: "DOCKER-USER:" in rule or "-A DOCKER-USER" in rule, _operator),
    (_is_loopback_guard, _loopback_guard),
    (_is_internal, _internal),
    (lambda _case, _loss, rule: _is_icc(rule), _same_bridge),
    (_is_isolation, _isolated),
    (lambda _case, _loss, rule: rule.startswith("filter INPUT"), _host_input),
    (lambda _case, _loss, rule: rule.startswith("filter OUTPUT"), _host_output),
    (lambda _case, _loss, _rule: True, _some_rule),
)


def by_policy(context: DiagnosisContext, loss: Hop) -> Advice:
    """Advise on a packet that no rule accepted."""
    if rule_sets.is_foreign(loss.decision):
        return _other_rule_set(context, loss)
    if "INPUT" in loss.decision:
        return _host_input(context, loss)
    host = context.location(loss.place)
    if host is not None and _writes_nftables(host):
        return (
            f"{where_lost(context, loss)}: Docker's rules are those of nftables here, and what they accept iptables may still drop",
            f"let iptables accept it on {loss.place}: iptables -P FORWARD ACCEPT",
        )
    if host is not None and host.has_engine and not _has_docker_chains(host, loss):
        return (
            f"{where_lost(context, loss)}: none of Docker's chains is there any more, a reload of the firewall wiped them",
            f"restart Docker on {loss.place}, and always after the firewall: it makes its rules anew",
        )
    return f"{where_lost(context, loss)}: no rule accepts it", (
        f"accept it on {loss.place}: iptables -I DOCKER-USER -s {source_of(loss)} -d {destination_of(loss)} -j ACCEPT"
    )


def _writes_nftables(host: Location) -> bool:
    return any(name == rule_sets.DOCKER_TABLE for _, name in NfTables.of(host.namespace.netfilter).tables)


def _has_docker_chains(host: Location, loss: Hop) -> bool:
    family = 6 if "[" in loss.addresses else 4
    return ":DOCKER" in host.namespace.netfilter.iptables(family).save("filter")


def rejected(context: DiagnosisContext, loss: Hop) -> Advice:
    """Advise on a packet that a rule rejected."""
    cause, fix = filtered(context, loss)
    return cause.replace("dropped on", "rejected on", 1), fix
