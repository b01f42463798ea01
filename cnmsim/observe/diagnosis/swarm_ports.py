"""Find the packet filter rule that closes a port between two swarm nodes, by sending a real packet to that port.

The rule is read from the drop that the packet's trace reports, so that any rule set and any policy is found, and
only a rule that really drops the packet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from cnmsim.kernel.address import Address, format_ip, parse_ip
from cnmsim.kernel.events import DropReason
from cnmsim.observe.diagnosis.causes.base import Cause
from cnmsim.observe.diagnosis.causes.gossip import ClosedPort, GossipFiltered, HeartbeatsFiltered
from cnmsim.observe.diagnosis.diagnosis import Diagnosis
from cnmsim.observe.diagnosis.firewall import without_rule
from cnmsim.observe.fixes.changes import AddRule, Change, Steps
from cnmsim.observe.trace.rule_decision import RuleSet
from cnmsim.observe.trace.target import Target

if TYPE_CHECKING:
    from cnmsim.observe.directory import Directory
    from cnmsim.observe.swarm_view import SwarmView
    from cnmsim.observe.trace.hops import Hop

GOSSIP_PORT = 7946
MANAGER_PORT = 2377
FILTERED = frozenset({DropReason.NETFILTER_DROP, DropReason.NETFILTER_POLICY, DropReason.NETFILTER_REJECT})
_TIMEOUT_S = 0.5


def port_drop(directory: Directory, swarm: SwarmView, source: str, goal: str, protocol: str, port: int) -> Hop | None:
    """Send a probe from the node `source` to `port` of the node `goal` by `protocol` (`tcp` or `udp`).

    Return the hop where a packet filter dropped the packet or its answer. Return `None` if no filter did, if one of
    the nodes has no power, or if the address of `goal` is not known. The result is stored in the directory, and a
    later call with the same arguments returns it without a probe.
    """
    key = (source, goal, protocol, port)
    if key not in directory.port_drops:
        directory.port_drops[key] = _port_drop(directory, swarm, source, goal, Target("node", port, protocol))
    return directory.port_drops[key]


def _port_drop(directory: Directory, swarm: SwarmView, source: str, goal: str, target: Target) -> Hop | None:
    from cnmsim.observe.trace.probe import Probe
    from cnmsim.observe.trace.tracer import send_probe

    address = _address_of(swarm, goal)
    location = next((item for item in directory.locations if not item.is_container and item.name == source), None)
    if address is None or location is None or not {source, goal} <= set(swarm.members):
        return None
    target = Target(format_ip(address), target.port, target.protocol)
    walk = send_probe(directory, location, Probe(target, _TIMEOUT_S, address))
    return next((hop for hop in walk.drops if hop.rule is not None and hop.reason in FILTERED), None)


def _address_of(swarm: SwarmView, name: str) -> Address | None:
    node = next((member for member in swarm.store.nodes if member.hostname == name), None)
    text = node.status.addr if node is not None else ""
    return parse_ip(text) if text and text != "0.0.0.0" else None  # noqa: S104 - the value of an unknown address


def gossip_filtered(directory: Directory, swarm: SwarmView, one: str, other: str) -> Diagnosis | None:
    """Diagnose packet filters that drop the gossip between two nodes; return `None` if none does.

    Both directions are probed, with UDP and TCP. Gossip needs all of them, so each change opens all that are closed.
    """
    probes = [(*pair, protocol) for pair in ((other, one), (one, other)) for protocol in ("udp", "tcp")]
    drops = [port_drop(directory, swarm, *probe, GOSSIP_PORT) for probe in probes]
    return _closed(directory, drops, GOSSIP_PORT, GossipFiltered)


def heartbeats_filtered(directory: Directory, swarm: SwarmView, node: str) -> Diagnosis | None:
    """Diagnose packet filters that drop the heartbeats of a node to all managers.

    Return `None` if heartbeats to one of them pass, which is enough, or are lost for another reason.
    """
    managers = [name for name in swarm.members if swarm.role_of(name) == "manager" and name != node]
    drops = [port_drop(directory, swarm, node, manager, "tcp", MANAGER_PORT) for manager in managers]
    if None in drops:
        return None
    return _closed(directory, drops, MANAGER_PORT, partial(HeartbeatsFiltered, node))


def _closed(
    directory: Directory, drops: Iterable[Hop | None], port: int, cause: Callable[[tuple[ClosedPort, ...]], Cause]
) -> Diagnosis | None:
    """Return the diagnosis of the drops of packets to `port`; `None` if there are none.

    `cause` is called with the closed ports. The first change deletes all rules that closed them.
    """
    protocols: dict[tuple[str, str], list[str]] = {}
    alternatives: list[tuple[Change, ...]] = []
    for drop in drops:
        if drop is None:
            continue
        protocol = drop.layer4.protocol
        named = protocols.setdefault((drop_text(drop), drop.place), [])
        if protocol.upper() not in named:
            named.append(protocol.upper())
        alternatives.append(opening_changes(directory, drop, protocol, port))
    if not alternatives:
        return None
    closed = tuple(ClosedPort(rule, host, " and ".join(names), port) for (rule, host), names in protocols.items())
    series = (tuple(dict.fromkeys(changes)) for changes in zip(*alternatives, strict=False))
    return Diagnosis(cause(closed), tuple(each[0] if len(each) == 1 else Steps(each) for each in series))


def drop_text(hop: Hop) -> str:
    """Return the rule (in the form of its own program) or the policy that dropped a packet at `hop`, as text."""
    rule = hop.rule
    assert rule is not None
    if rule.policy:
        return f"policy {rule.policy} of {rule.table_label} {rule.hook_chain}"
    return rule.rule if rule.rule_set is RuleSet.IPTABLES else f"{rule.rule} in {rule.table_label} {rule.chain}"


def opening_changes(directory: Directory, hop: Hop, protocol: str, port: int = 0) -> tuple[Change, ...]:
    """Return the changes after which the packet that was dropped at `hop` may pass, the best first.

    If a rule of the operator dropped the packet: delete the rule, or insert an accepting rule before it. If a rule of
    Docker did: insert the accepting rule. If a policy did: insert the accepting rule, which opens nothing else, or
    set the policy to ACCEPT. For a table of nft no accepting rule is returned.

    The accepting rule matches `protocol` and `port` (0: all ports). `port` is its source port if an answer was
    dropped, otherwise its destination port.
    """
    rule, location = hop.rule, directory.at(hop.place)
    if rule is None:
        return ()
    change = without_rule(hop, rule, location)
    changes = [] if change is None else [change]
    if rule.rule_set is not RuleSet.NFTABLES:
        side = "--sport" if hop.source_port == port != hop.destination_port else "--dport"
        match = f"-p {protocol} {side} {port}" if port else f"-p {protocol}"
        program = ("ip6tables" if hop.is_ipv6 else "iptables") + ("-legacy" * (rule.rule_set is RuleSet.LEGACY))
        changes.insert(0 if rule.policy else 1, AddRule(hop.place, rule.hook_chain, match, program))
    return tuple(changes)
