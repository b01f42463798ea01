"""Diagnose a packet that a packet filter dropped or rejected, by the purpose of the rule that decided it.

Docker's iptables rules are recognised by their chain and their shape (moby
`libnetwork/drivers/bridge/internal/iptabler`, docker-v29.7.2; `libnetwork/drivers/bridge/setup_ip_tables_linux.go`
of v26.1.5), its nftables rules by their comment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from cnmsim.kernel.address import format_ip, is_loopback
from cnmsim.observe.diagnosis.causes.base import Cause, Fact
from cnmsim.observe.diagnosis.causes.filters import (
    Filtered,
    IccDisabled,
    InternalNetwork,
    LoopbackOnly,
    NoSharedNetwork,
    OtherNetworkAddress,
    OtherRuleSet,
    ProtectsHost,
)
from cnmsim.observe.diagnosis.diagnosis import (
    Diagnosis,
    diagnosis,
    drop_of,
    join_user_network,
    leave_internal_network,
    networks_of,
    publish,
    share_network,
)
from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext
from cnmsim.observe.fixes.changes import (
    AcceptByPolicy,
    AddRule,
    AskOther,
    Change,
    DeleteNftRule,
    DeleteRule,
    Manual,
    NetworkSetting,
    RecreateNetwork,
    RestartDaemon,
)
from cnmsim.observe.fixes.fix_candidates import is_dockers_own
from cnmsim.observe.fixes.tasks import Task
from cnmsim.observe.location import Location, shared_networks
from cnmsim.observe.trace.hops import Hop
from cnmsim.observe.trace.rule_decision import DOCKER_TABLE, RuleDecision, RuleSet

_ICC = "com.docker.network.bridge.enable_icc"
#: Docker's rules that drop packets to a container unless they come from its own bridge: `! -i br-x … -o br-x -j DROP`
#: (table filter) and `-d ADDRESS ! -i br-x -j DROP` (table raw).
_NOT_FROM_BRIDGE = re.compile(r"! -i (\S+) .*-j DROP|! -i (\S+) -j DROP")
_SAME_BRIDGE = re.compile(r"(?<!! )-i (\S+) -o \1 -j (DROP|REJECT)")
_OUT_BRIDGE = re.compile(r"-o (\S+)|iifname \"([^\"]+)")
_NOT_IN_SUBNET = re.compile(r"-A DOCKER-ISOLATION\S* .*! -[sd] \S+ -[io] ")


def dropped_by_rule(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    """Diagnose a packet that a rule dropped or rejected, by the purpose of that rule."""
    rule = hop.rule
    if rule is None:
        return _some_rule(context, hop)
    return next(diagnose for fits, diagnose in _PURPOSES if fits(hop, rule))(context, hop)


def _filtered(context: DiagnosisContext, hop: Hop, purpose: Cause | None, *changes: Change) -> Diagnosis:
    return diagnosis(Filtered(drop_of(context, hop), purpose), *changes)


# ---- which rule


def _is_foreign(hop: Hop, rule: RuleDecision) -> bool:
    del hop
    return rule.is_foreign


def _is_operators(hop: Hop, rule: RuleDecision) -> bool:
    del hop
    return rule.chain == "DOCKER-USER" or rule.rule.startswith("-A DOCKER-USER")


def _is_loopback_guard(hop: Hop, rule: RuleDecision) -> bool:
    if rule.has_docker_comment("DROP REMOTE LOOPBACK") or "! -i lo" in rule.rule:
        return True
    return hop.destination is not None and is_loopback(hop.destination) and rule.hook_chain == "PREROUTING"


def _is_internal(hop: Hop, rule: RuleDecision) -> bool:
    del hop
    return (
        rule.has_docker_comment("INTERNAL NETWORK")
        or any("DOCKER-INTERNAL" in chain for chain in rule.chains)
        or bool(_NOT_IN_SUBNET.search(rule.rule))
    )


def _is_icc(hop: Hop, rule: RuleDecision) -> bool:
    del hop
    return bool(_SAME_BRIDGE.search(rule.rule)) or rule.has_docker_comment("ICC")


def _is_isolation(hop: Hop, rule: RuleDecision) -> bool:
    del hop
    if rule.has_docker_comment("DROP DIRECT ACCESS", "UNPUBLISHED PORT DROP"):
        return True
    return any("ISOLATION" in chain for chain in rule.chains) or bool(_NOT_FROM_BRIDGE.search(rule.rule))


def _is_input(hop: Hop, rule: RuleDecision) -> bool:
    del hop
    return (rule.table, rule.hook_chain) == ("filter", "INPUT")


def _is_output(hop: Hop, rule: RuleDecision) -> bool:
    del hop
    return (rule.table, rule.hook_chain) == ("filter", "OUTPUT")


def _is_any(hop: Hop, rule: RuleDecision) -> bool:
    del hop, rule
    return True


# ---- what it is for


def _isolated(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    target, asker = context.owner_of_destination(hop), context.source
    if context.is_reply(hop):
        target, asker = context.source, context.location_at(context.sender(hop)) or context.source
    if target is None:
        return _filtered(context, hop, Fact.BRIDGE_ONLY, Manual(Task.ASK_FROM_SAME_NETWORK))
    if asker.is_container and not shared_networks(asker, target):
        purpose: Cause = NoSharedNetwork(asker.name, networks_of(asker), target.name, networks_of(target))
        return _filtered(context, hop, purpose, share_network(asker, target))
    if asker.is_container:
        shared = shared_networks(asker, target)[0]
        attachment = target.on_network(shared)
        addresses = attachment.addresses if attachment is not None else ()
        own = format_ip(addresses[0]) if addresses else target.name
        purpose = OtherNetworkAddress(hop.destination_text, target.name, asker.name)
        return _filtered(context, hop, purpose, AskOther(own), AskOther(target.name))
    changes = publish(target, hop.destination_port, context.target.protocol)
    return _filtered(context, hop, Fact.CONTAINER_ADDRESS_FROM_OUTSIDE, *changes)


def _internal(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    source, target = context.source, context.destination
    internal = [
        item.network
        for location in (source, target)
        if location is not None
        for item in location.attachments
        if item.is_internal
    ]
    network = internal[0] if internal else "the network"
    if target is not None and target.is_container and not shared_networks(source, target):
        if source.is_container:
            stranger = source.name if source.on_network(network) is None else target.name
            return _filtered(context, hop, InternalNetwork(network, stranger), share_network(source, target))
        return _filtered(context, hop, InternalNetwork(network), Manual(Task.PUBLISH_ON_OPEN_NETWORK, target.name))
    return _filtered(
        context, hop, InternalNetwork(network), leave_internal_network(context.directory, context.source)
    )


def _same_bridge(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    match = _OUT_BRIDGE.search(hop.decision)
    bridge = (match[1] or match[2]) if match else hop.device or "the bridge"
    source, goal = context.source, context.destination
    network = next((item.network for item in source.attachments if item.bridge == bridge), bridge)
    shared = shared_networks(source, goal) if goal is not None else ()
    user_defined = [item.network for item in source.attachments if item.network in shared and not item.is_default]
    changes: list[Change] = [
        RecreateNetwork(source.host, name, NetworkSetting.OPTION, f"{_ICC}=true") for name in user_defined[:1]
    ]
    if not user_defined:
        changes.append(RecreateNetwork(source.host, "bridge", NetworkSetting.OPTION, f"{_ICC}=true"))
        if source.is_container and goal is not None and goal.is_container:
            changes.append(join_user_network(context, goal, ask=True))
    return _filtered(context, hop, IccDisabled(network), *changes)


def _loopback_guard(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    purpose = LoopbackOnly(hop.place)
    return _filtered(context, hop, purpose, Manual(Task.PUBLISH_OTHER_ADDRESS), Manual(Task.ASK_FROM_HOST))


def _operator(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    rule = hop.rule
    program = "ip6tables" if hop.is_ipv6 else "iptables"
    changes: list[Change] = []
    if rule is not None and rule.rule_set is RuleSet.IPTABLES and rule.rule:
        changes.append(DeleteRule(hop.place, program, rule.table, rule.rule))
    changes.append(AddRule(hop.place, "DOCKER-USER", f"-s {hop.source_text}", program))
    return _filtered(context, hop, Fact.OPERATOR_RULE, *changes)


def _host_input(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    location = context.location_at(hop.place)
    is_from_container = context.source.is_container and location is not None and not location.is_container
    device = f"-i {hop.device} " if hop.device else ""
    port = f"-p {context.target.protocol} --dport {hop.destination_port}" if hop.destination_port else ""
    program = "ip6tables" if hop.is_ipv6 else "iptables"
    purpose = ProtectsHost(hop.place) if is_from_container else None
    return _filtered(context, hop, purpose, AddRule(hop.place, "INPUT", f"{device}{port}".strip(), program))


def _host_output(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    return _filtered(context, hop, Fact.OUTPUT_RULE, Manual(Task.CHANGE_OUTPUT_RULE, hop.place))


def _some_rule(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    return _filtered(context, hop, None, Manual(Task.CHANGE_RULE, hop.place))


def _other_rule_set(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    rule, location = hop.rule, context.location_at(hop.place)
    assert rule is not None
    change = without_rule(hop, rule, location) or Manual(Task.CHANGE_RULE, hop.place)
    return _filtered(context, hop, OtherRuleSet(hop.place, is_legacy=rule.rule_set is RuleSet.LEGACY), change)


def without_rule(hop: Hop, rule: RuleDecision, location: Location | None) -> Change | None:
    """Return the change that deletes a rule of the operator, or sets a policy to accept.

    Return `None` if Docker wrote the rule, if the rule no longer exists, or if `location`, the host or container that
    has the rule, is `None`.
    """
    if location is None or rule.is_docker_nftables:
        return None
    if rule.rule_set is RuleSet.IPTABLES:
        program = "ip6tables" if hop.is_ipv6 else "iptables"
        if rule.policy:
            return AcceptByPolicy(location.name, program, rule.table, rule.hook_chain)
        return None if is_dockers_own(rule.rule) else DeleteRule(location.name, program, rule.table, rule.rule)
    if rule.rule_set is RuleSet.LEGACY:
        program = "ip6tables-legacy" if hop.is_ipv6 else "iptables-legacy"
        if rule.policy:
            return AcceptByPolicy(location.name, program, rule.table, rule.hook_chain)
        return DeleteRule(location.name, program, rule.table, rule.rule)
    if rule.policy:
        return AcceptByPolicy(location.name, "nft", rule.table, rule.chain)
    family, _, name = rule.table.partition(" ")
    table = _nft_tables(location).get((family, name))
    entries = table.chains[rule.chain].rules if table is not None and rule.chain in table.chains else []
    handle = next((entry.handle for entry in entries if entry.rule.text() == rule.rule), None)
    return DeleteNftRule(location.name, rule.table, rule.chain, handle) if handle is not None else None


_Fits = Callable[[Hop, RuleDecision], bool]
_PURPOSES: tuple[tuple[_Fits, Callable[[DiagnosisContext, Hop], Diagnosis]], ...] = (
    (_is_foreign, _other_rule_set),
    (_is_operators, _operator),
    (_is_loopback_guard, _loopback_guard),
    (_is_internal, _internal),
    (_is_icc, _same_bridge),
    (_is_isolation, _isolated),
    (_is_input, _host_input),
    (_is_output, _host_output),
    (_is_any, _some_rule),
)


# ---- policies


def dropped_by_policy(context: DiagnosisContext, hop: Hop) -> Diagnosis:
    """Diagnose a packet that no rule of a chain accepted, so that the chain's policy dropped it."""
    rule = hop.rule
    if rule is not None and rule.is_foreign:
        return _other_rule_set(context, hop)
    if rule is not None and rule.hook_chain == "INPUT":
        return _host_input(context, hop)
    host = context.location_at(hop.place)
    if host is not None and _writes_nftables(host):
        return _filtered(
            context, hop, Fact.NFTABLES_POLICY, AcceptByPolicy(hop.place, "iptables", "filter", "FORWARD")
        )
    if host is not None and host.has_engine and not _has_docker_chains(host, hop):
        return _filtered(context, hop, Fact.CHAINS_WIPED, RestartDaemon(hop.place))
    match = f"-s {hop.source_text} -d {hop.destination_text}"
    return _filtered(context, hop, Fact.NO_RULE_ACCEPTS, AddRule(hop.place, "DOCKER-USER", match))


def _nft_tables(location: Location) -> Mapping[tuple[str, str], Any]:
    from cnmsim.kernel.netfilter.nftables import NfTables

    return NfTables.of(location.namespace.netfilter).tables


def _writes_nftables(host: Location) -> bool:
    return any(name == DOCKER_TABLE for _, name in _nft_tables(host))


def _has_docker_chains(host: Location, hop: Hop) -> bool:
    return ":DOCKER" in host.namespace.netfilter.iptables(6 if hop.is_ipv6 else 4).save("filter")
