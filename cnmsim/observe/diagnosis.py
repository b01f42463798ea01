"""From what a probe saw and where its packets ended to one finding: verdict, cause, fix.

The verdict follows from the outcome alone. The cause follows from the last loss on the way and from what the lab
looks like: who listens where, who shares a network with whom.
"""

from __future__ import annotations

import difflib
import errno
import re

from attrs import evolve

from cnmsim.kernel.address import Address, format_ip, is_loopback
from cnmsim.kernel.clock import NS
from cnmsim.kernel.events import DropReason, Step
from cnmsim.observe.case import Case, destination_of, port_of, source_of
from cnmsim.observe.causes import advice_on, join_a_network, no_route_from
from cnmsim.observe.hops import Hop
from cnmsim.observe.lookup import Lookup
from cnmsim.observe.probe import Ending
from cnmsim.observe.services import down_remarks, refused_port, service_remarks, unknown_service
from cnmsim.observe.stations import Listener, Station, shared_networks, stack_owner
from cnmsim.observe.tunnels import mtu_remarks, never_arrived
from cnmsim.observe.verdict import Finding, Verdict
from cnmsim.observe.wires import clashes

#: Published ports that a sentence lists at most.
_MANY = 4
_REFUSALS = frozenset({DropReason.PORT_CLOSED, DropReason.NETFILTER_REJECT, DropReason.NO_DESTINATION})


def diagnose(case: Case) -> Finding:
    """Give the finding on a probe that has ended."""
    verdict = verdict_of(case)
    finding = {
        Verdict.ANSWERED: _arrived,
        Verdict.DELIVERED: _arrived,
        Verdict.REFUSED: _refused,
        Verdict.UNREACHABLE: _unreachable,
        Verdict.TIMEOUT: _timed_out,
        Verdict.NAME_NOT_FOUND: _no_name,
    }[verdict](case, verdict)
    if not verdict.is_reachable:
        finding = _by_hosts_file(case, finding)
    return evolve(finding, remarks=(*finding.remarks, *clashes(case), *down_remarks(case)))


def _by_hosts_file(case: Case, finding: Finding) -> Finding:
    """Point to /etc/hosts where it gives a container's name another address."""
    lookup, name = case.outcome.lookup, case.target.host
    if lookup is None or case.outcome.address is None or lookup.queries[-1].server != "/etc/hosts":
        return finding
    owners = [item for item in case.directory.matching(name) if item is not case.source and item.addresses]
    if len(owners) != 1 or case.outcome.address in owners[0].addresses:
        return finding
    other = format_ip(owners[0].addresses[0])
    cause = f"{finding.cause}; {name} is {case.address} by the hosts file of {case.source.name}, while {owners[0].name} has {other}"
    return evolve(finding, cause=cause, fix=f"take {name} out of the extra_hosts (--add-host) of {case.source.name}")


def verdict_of(case: Case) -> Verdict:
    """Say which of the six it is."""
    ending = case.outcome.ending
    if ending is Ending.CLOSED:
        # A userland proxy accepts first and asks the container afterwards: its refusal is the answer.
        return Verdict.REFUSED if any(hop.reason in _REFUSALS for hop in case.losses) else Verdict.ANSWERED
    if ending is Ending.SILENCE and case.target.protocol == "udp" and case.taken is not None and not case.losses:
        return Verdict.DELIVERED
    return {
        Ending.ANSWERED: Verdict.ANSWERED,
        Ending.REFUSED: Verdict.REFUSED,
        Ending.ERROR: Verdict.UNREACHABLE,
        Ending.SILENCE: Verdict.TIMEOUT,
        Ending.NO_NAME: Verdict.NAME_NOT_FOUND,
    }[ending]


# ---- it arrived


def _arrived(case: Case, verdict: Verdict) -> Finding:
    hop = case.taken
    server = case.station(hop.place) if hop else case.destination
    name = server.name if server else case.address
    at = f" at {hop.addresses.partition(' > ')[2]}" if hop else f" at {case.goal}"
    if verdict is Verdict.DELIVERED:
        cause = f"{name} received the datagram{at} and, as UDP programs may, said nothing"
    else:
        verb = "answers the echo request" if case.target.protocol == "icmp" else "answers"
        cause = f"{name} {verb}{at}"
    return Finding(verdict, cause + _way(case, server), "", tuple(_remarks(case, hop, server)), hop)


#: The targets and statements that rewrite the destination, and those that rewrite the source.
_TO_ANOTHER = re.compile(r"\b(DNAT|REDIRECT|dnat|redirect)\b")
_FROM_ANOTHER = re.compile(r"\b(MASQUERADE|SNAT|masquerade|snat)\b")


def _way(case: Case, server: Station | None) -> str:
    """Say what carried it there."""
    source = case.source
    proxy = _proxy_note(case)
    if proxy is not None:
        return f"; docker-proxy on {proxy.place} carries it: a second connection starts there"
    rewritten = [hop for hop in case.translations() if _TO_ANOTHER.search(hop.decision)]
    if rewritten:
        return f"; {rewritten[-1].place} rewrote the destination by {rewritten[-1].decision}"
    if server is None or server is source:
        return "; it never left its own network stack" if server is source else ""
    shared = shared_networks(source, server)
    if shared:
        return f"; both are on network {shared[0]}"
    if source.is_container and server.name == source.host:
        return f"; it is the host {source.name} runs on"
    masked = [hop for hop in case.translations() if _FROM_ANOTHER.search(hop.decision)]
    if masked:
        return f"; {masked[-1].place} rewrote the source by {masked[-1].decision}"
    is_routed = any(hop.step is Step.ROUTED and not hop.what.startswith("sent by") for hop in case.knocking)
    return "; routed all the way" if is_routed else "; they are neighbours on one wire"


def _proxy_note(case: Case) -> Hop | None:
    return next((hop for hop in case.knocking if hop.step is Step.NOTE and "proxy" in hop.what), None)


def _remarks(case: Case, hop: Hop | None, server: Station | None) -> list[str]:
    remarks = []
    sent = next((other for other in case.knocking if other.step is Step.SENT), None)
    if hop is not None and server is not None and sent is not None and source_of(hop) != source_of(sent):
        remarks.append(f"{server.name} sees the client as {source_of(hop)}, not as {source_of(sent)}")
    for translation in case.translations():
        host = case.station(translation.place)
        if host is not None and "DNAT" in translation.decision and not host.is_container:
            remarks += _rules_never_visited(case, host, translation.decision)
    if server is not None and server.is_paused and case.target.protocol != "icmp":
        taken = "connections" if case.target.protocol == "tcp" else "datagrams"
        remarks.append(f"{server.name} is paused: its kernel takes {taken}, its program answers nothing")
    remarks += [*_second_try(case), *_rivals(case), *service_remarks(case), *mtu_remarks(case)]
    if len(case.outcome.queries) > 1:
        asked = "; ".join(str(query) for query in case.outcome.queries)
        remarks.append(f"the name took {len(case.outcome.queries)} questions: {asked}")
    return remarks


def _second_try(case: Case) -> list[str]:
    """Tell of a connection that came about only when its first packet was sent again."""
    place = case.source.namespace.name
    tries = [hop for hop in case.knocking if hop.step is Step.SENT and hop.packet == "TCP SYN" and hop.place == place]
    lost = [hop for hop in case.losses if len(tries) > 1 and hop.time_ns < tries[1].time_ns]
    if not lost:
        return []
    seconds = (tries[-1].time_ns - case.knocked_ns) / NS
    return [
        f"only try {len(tries)} came through, after {seconds:.0f} s; the first one: {advice_on(case, lost[-1])[0]}"
    ]


def _rivals(case: Case) -> list[str]:
    """Tell of a name that several containers have which are no replicas of one service."""
    lookup = case.outcome.lookup
    owners = [case.directory.owner(address) for address in lookup.addresses] if lookup else []
    found = list(dict.fromkeys(owner for owner in owners if owner is not None))
    if len({(owner.project, owner.service or owner.name) for owner in found}) < 2:
        return []
    texts = [f"{owner.name} ({format_ip(address)})" for owner, address in _with_addresses(owners, lookup)]
    who = f"{len(found)} containers answer to the name {case.target.host}: {', '.join(sorted(texts))}"
    return [f"{who}; which of them is asked changes from one lookup to the next"]


def _with_addresses(owners: list[Station | None], lookup: Lookup | None) -> list[tuple[Station, Address]]:
    addresses = lookup.addresses if lookup else ()
    return [(owner, address) for owner, address in zip(owners, addresses, strict=True) if owner is not None]


def _rules_never_visited(case: Case, host: Station, rule: str) -> list[str]:
    """Find INPUT rules that name the published port: translated packets go through FORWARD and never meet them."""
    wanted = re.compile(rf"--dports? (\d+,)*{case.target.port}(,\d+)*\b.* -j (DROP|REJECT|ufw\S*deny)")
    family = 6 if ":" in case.address else 4
    found = [
        line
        for line in host.namespace.netfilter.iptables(family).save("filter").splitlines()
        if re.match(r"-A (INPUT|ufw6?-\S*input)\b", line) and wanted.search(line)
    ]
    del rule
    return [
        f"{line} on {host.name} was never visited: a published port goes through FORWARD, not INPUT; "
        "filter it in DOCKER-USER, or publish it on 127.0.0.1"
        for line in found
    ]


# ---- refused


def _refused(case: Case, verdict: Verdict) -> Finding:
    losses = [hop for hop in case.losses if hop.reason in _REFUSALS | {DropReason.STRAY_SEGMENT}]
    if not losses:
        return Finding(verdict, f"{case.goal} answered with a refusal", "start a program that listens there")
    loss = losses[-1]
    if loss.reason is not DropReason.PORT_CLOSED:
        cause, fix = advice_on(case, loss)
        return Finding(verdict, cause, fix, (), loss)
    server = case.station(loss.place)
    if server is None:
        return Finding(verdict, f"{loss.place} is alive, but nothing listens on {case.goal}", "", (), loss)
    cause, fix = _nobody_listens(case, loss, server)
    return Finding(verdict, cause, fix, _through(case, server), loss)


def _through(case: Case, server: Station) -> tuple[str, ...]:
    proxy = _proxy_note(case)
    if proxy is not None:
        return (f"docker-proxy on {proxy.place} took the connection and closed it when {server.name} refused",)
    return ()


def _nobody_listens(case: Case, loss: Hop, server: Station) -> tuple[str, str]:
    port, protocol = port_of(loss), case.target.protocol
    goal = loss.addresses.partition(" > ")[2] or case.goal
    same_port = server.listening_on(protocol, port)
    alone = [item for item in same_port if item.is_loopback_only]
    if not server.is_container and any(_is_kept_to_itself(item, port) for item in _containers_on(case, server)):
        return _host_port(case, loss, server, port, goal)
    elsewhere = None if server.is_container else _on_other_family(case, server, port, goal)
    if elsewhere is not None:
        return elsewhere
    if alone and len(alone) == len(same_port):
        return (
            f"{server.name} answers, but nothing listens on {goal} (only {alone[0]} is listened on)",
            f"let the program in {server.name} bind 0.0.0.0 instead of {format_ip(alone[0].address)}",
        )
    address = case.outcome.address
    if case.source is server and address is not None and is_loopback(address) and server.is_container:
        return _localhost(case, server, port)
    if same_port:
        heard = ", ".join(str(item) for item in same_port)
        return f"{server.name} answers, but nothing listens on {goal} (only {heard} is)", (
            f"ask {_askable(server, same_port[0])}"
        )
    if not server.is_container:
        return _host_port(case, loss, server, port, goal)
    other = "udp" if protocol == "tcp" else "tcp"
    if any(not item.is_loopback_only for item in server.listening_on(other, port)):
        return (
            f"{server.name} answers, but nothing listens on {goal} by {protocol}; it listens on {port}/{other}",
            f"use {other}/{port}",
        )
    others = [item for item in server.services if not item.is_loopback_only]
    head = f"{server.name} answers, but nothing listens on {goal}"
    if others:
        heard = ", ".join(dict.fromkeys(f"{item.port}/{item.protocol}" for item in others))
        return f"{head}; it listens on {heard}", _other_port(case, server, others[0].port)
    return f"{head}, nor on any other port", f"start the program that is to listen in {server.name}"


def _on_other_family(case: Case, server: Station, port: int, goal: str) -> tuple[str, str] | None:
    """Explain a port that is published for the other address family only."""
    is_ipv6 = case.outcome.address is not None and len(case.outcome.address) == 16
    for item in _containers_on(case, server):
        bindings = [each for each in item.published if each.host_port == port and each.host_ip]
        if bindings and all((":" in each.host_ip) is not is_ipv6 for each in bindings):
            where = " and ".join(dict.fromkeys(each.host_ip for each in bindings))
            return (
                f"nothing listens on {goal}: {item.name} publishes port {port} of {server.name} on {where} only, which is no "  # noqa: ISC004
                f"IPv{6 if is_ipv6 else 4} address",
                f"publish it without the address: -p {port}:{bindings[0].port}",
            )
    return None


def _askable(server: Station, listener: Listener) -> str:
    """Write where a listener can be asked: an address of its family in place of the wildcard."""
    if any(listener.address):
        return str(listener)
    own = next((item for item in server.addresses if len(item) == len(listener.address)), listener.address)
    return str(evolve(listener, address=own))


def _other_port(case: Case, server: Station, port: int) -> str:
    if case.destination is not None and case.destination is not server:
        return f"publish port {port} of {server.name} instead: -p {case.target.port}:{port}"
    return f"use port {port}"


def _localhost(case: Case, server: Station, port: int) -> tuple[str, str]:
    others = [
        item
        for item in case.directory.stations
        if item is not server and item.listening_on(case.target.protocol, port) and item.is_container
    ]
    near = [item for item in others if shared_networks(server, item)]
    cause = (
        f"{case.target.host} inside {server.name} is {server.name} itself, and nothing listens on port {port} there"
    )
    if near:
        return cause, f"use the name of who does: {near[0].service or near[0].name}:{port}"
    if others:
        return cause, f"attach {server.name} to a network of {others[0].name} and use its name"
    return cause, "use the name of the container that listens"


def _containers_on(case: Case, host: Station) -> list[Station]:
    return [item for item in case.directory.stations if item.host == host.name and item.is_container]


def _is_kept_to_itself(station: Station, port: int) -> bool:
    """Whether the host's port is published for this container, and on the host's loopback address only."""
    bindings = [item for item in station.published if item.host_port == port]
    return bool(bindings) and all(item.is_loopback_only for item in bindings)


def _host_port(case: Case, loss: Hop, server: Station, port: int, goal: str) -> tuple[str, str]:
    of_swarm = refused_port(case, loss, server)
    if of_swarm is not None:
        return of_swarm
    containers = _containers_on(case, server)
    for item in containers:
        for binding in item.published:
            if binding.host_port == port and binding.is_loopback_only:
                return (
                    f"nothing listens on {goal}: port {port} of {server.name} is published on {binding.host_ip} only",
                    f"publish it without the address: -p {port}:{binding.port}",
                )
    for item in containers:
        for binding in item.published:
            if binding.port == port and not binding.is_loopback_only:
                return (
                    f"{server.name} answers, but nothing listens on {goal}; "  # noqa: ISC004
                    f"{item.name}'s port {port} is published as {binding.host_port}",
                    f"use {server.name}:{binding.host_port}",
                )
    for rest in case.directory.at_rest:
        if rest.host == server.name and any(each.host_port == port for each in rest.published):
            return (
                f"{server.name} answers, but nothing listens on {goal}: {rest.name}, which publishes the port, is not running ({rest.status})",
                f"docker start {rest.name}",
            )
    for item in containers:
        if item.listening_on(case.target.protocol, port):
            return (
                f"{server.name} answers, but nothing listens on {goal}; {item.name} does, and does not publish it",
                f"publish it: -p {port}:{port}",
            )
    return _among_published(case, server, goal, containers)


def _among_published(case: Case, server: Station, goal: str, containers: list[Station]) -> tuple[str, str]:
    """Explain a port of a host that nobody has, with those that its containers have."""
    cause = f"{server.name} answers, but nothing listens on {goal}"
    known = {
        each.host_port: item.name
        for item in containers
        for each in item.published
        if each.protocol == case.target.protocol and not each.is_loopback_only
    }
    if not known:
        return cause, f"start a program that listens there on {server.name}"
    listed = ", ".join(f"{port} ({name})" for port, name in sorted(known.items())[:_MANY])
    more = ", …" if len(known) > _MANY else ""
    ask = f"use {server.name}:{next(iter(known))}" if len(known) == 1 else "use one of those"
    return (
        f"{cause}; published there: {listed}{more}",
        f"{ask}, or start a program that listens there on {server.name}",
    )


# ---- unreachable


def _unreachable(case: Case, verdict: Verdict) -> Finding:
    outcome = case.outcome
    errors = [hop for hop in case.knocking if "ICMP" in hop.packet and not _is_echo(hop)]
    reporter = case.sender(errors[-1]) if errors else ""
    if case.losses:
        loss = case.losses[-1]
        cause, fix = advice_on(case, loss)
        # A stack that finds no way itself needs no message to tell its own program.
        told = (
            f"; {reporter} answers with {errors[-1].packet}"
            if errors and reporter != case.source.namespace.name
            else ""
        )
        return Finding(verdict, cause + told, fix, (), loss)
    if outcome.error in {errno.ENETUNREACH, errno.EADDRNOTAVAIL}:
        return Finding(verdict, *no_route_from(case))
    if errors:
        who = errors[-1]
        return Finding(verdict, f"{reporter} answers with {who.packet}", f"look at {reporter}", (), who)
    text = outcome.text or errno.errorcode.get(outcome.error, "error")
    return Finding(verdict, f"{case.source.name}'s own network stack says: {text.lower()}", "check its routes")


def _is_echo(hop: Hop) -> bool:
    return "echo" in hop.packet


# ---- silence


def _timed_out(case: Case, verdict: Verdict) -> Finding:
    if case.losses:
        loss = case.losses[-1]
        cause, fix = advice_on(case, loss)
        return Finding(verdict, cause, fix, (), loss)
    hop = case.taken
    if hop is not None:
        return Finding(
            verdict, f"{hop.place} took it, and no answer ever came", f"check that {hop.place} is not paused", (), hop
        )
    last = case.knocking[-1] if case.knocking else None
    stale = never_arrived(case)
    if stale is not None:
        return Finding(verdict, *stale, (), last)
    where = f" (last seen at {last.where}: {last.what})" if last else ""
    return Finding(verdict, f"nothing answered from {case.goal}{where}", "check the way behind that point", (), last)


# ---- no name


def _no_name(case: Case, verdict: Verdict) -> Finding:
    name, source = case.target.host, case.source
    queries = case.outcome.queries
    lookup = case.outcome.lookup
    hop = next((hop for hop in reversed(case.hops) if hop.packet.startswith("DNS ")), None)
    if lookup is None or lookup.is_silent:
        return _silent_resolver(case, verdict, hop)
    said = queries[-1]
    of_swarm = unknown_service(case, name)
    if of_swarm is not None:
        cause = f"{said.server} says {said.result} for {said.name}: {of_swarm[0]}"
        return Finding(verdict, cause, of_swarm[1], _asked(case), hop)
    head = f"{said.server} says {said.result} for {said.name}"
    is_known = case.directory.matching(name) or name in case.directory.stopped
    if said.result in {"SERVFAIL", "REFUSED"} and not is_known:
        where = case.asking_losses[-1] if case.asking_losses else hop
        return Finding(verdict, head + _behind_resolver(case), _reach_a_server(source), _asked(case), where)
    cause, fix = _why_unknown(case, source, name)
    return Finding(verdict, f"{head}: {cause}", fix, _asked(case), hop)


def _behind_resolver(case: Case) -> str:
    """Say what became of the question behind the resolver that was asked."""
    notes = [hop.what for hop in case.hops if hop.step is Step.NOTE and hop.what.startswith("resolver: ")]
    lost = sorted({destination_of(loss) for loss in case.asking_losses})
    if lost:
        loss = case.asking_losses[-1]
        by = f": the question was lost on {loss.place} by {loss.decision}" if loss.decision else f" from {loss.place}"
        return f"; its upstream {', '.join(lost)} was not reached{by}"
    if not notes:
        return ""
    _, unasked, why = notes[-1].partition("not asked, ")
    return f"; it asked no other server, {why}" if unasked else f"; {notes[-1].removeprefix('resolver: ')}"


def _reach_a_server(source: Station) -> str:
    if source.attachments and all(item.is_internal for item in source.attachments):
        return f"attach {source.name} to a network without --internal as well"
    return "set name servers that can be reached (dns)"


def _asked(case: Case) -> tuple[str, ...]:
    queries = case.outcome.queries
    return (f"asked: {'; '.join(map(str, queries))}",) if len({query.name for query in queries}) > 1 else ()


def _silent_resolver(case: Case, verdict: Verdict, hop: Hop | None) -> Finding:
    servers = ", ".join(dict.fromkeys(query.server for query in case.outcome.queries)) or "its name server"
    source, name = case.source, case.target.host
    knows_none = not source.is_container or (
        bool(source.attachments) and all(item.is_default for item in source.attachments)
    )
    if knows_none and any(item.is_container for item in case.directory.matching(name)):
        why, fix = _why_unknown(case, source, name)
        return Finding(
            verdict, f"{servers} gave no answer (and would know no container): {why}", fix, _asked(case), hop
        )
    if case.asking_losses:
        loss = case.asking_losses[-1]
        if loss.reason is DropReason.PORT_CLOSED:
            cause = f"{case.source.name} asks {servers} for names, and no name server listens there ({loss.place})"
            return Finding(verdict, cause, "name a server in its resolv.conf (dns)", _asked(case), loss)
        reason = loss.reason.value if loss.reason else loss.what
        by = f" by {loss.decision}" if loss.decision else ""
        cause = f"{servers} gave no answer: the question was lost on {loss.place}{by} ({reason})"
        return Finding(verdict, cause, "name a server that can be reached (dns)", _asked(case), loss)
    results = {query.result for query in case.outcome.queries}
    if len(results) == 1 and not any(result.startswith("no answer") for result in results):
        cause = f"{case.source.name} cannot ask its name server {servers}: {results.pop()}"
        if case.source.is_container and not case.source.attachments:
            return Finding(verdict, cause, join_a_network(case.source), (), hop)
        return Finding(verdict, cause, "name a server that can be reached (dns)", _asked(case), hop)
    return Finding(verdict, f"{servers} gave no answer", "name a server that can be reached (dns)", _asked(case), hop)


def _why_unknown(case: Case, source: Station, name: str) -> tuple[str, str]:
    stopped = case.directory.stopped.get(name)
    if stopped:
        return f"{name} is not running ({stopped})", f"docker start {name}"
    owners = [item for item in case.directory.matching(name) if item is not source]
    if not owners:
        return _unknown(case, source, name)
    owner = owners[0]
    if not source.is_container:
        return f"a host's resolver knows no container names, and {name} is a container", _ask_published(case, owner)
    keeper = stack_owner(owner, case.directory)
    if keeper is not None:
        return _lodger(owner, keeper)
    if owner.is_container and not owner.attachments:
        return f"{owner.name} has no network (network_mode none)", f"start {owner.name} on a network of {source.name}"
    if not source.attachments:
        return f"{source.name} uses no Docker network, so no resolver of Docker's", _ask_published(case, owner)
    if owner.is_container and all(item.is_default for item in source.attachments):
        return (
            "the default bridge has no names, its containers ask the host's name server",
            f"attach both to a user-defined network: docker network create app; docker network connect app {owner.name}; "  # noqa: ISC004
            f"docker network connect app {source.name}",
        )
    namesakes = {item.network for item in source.attachments} & {item.network for item in owner.attachments}
    if namesakes and source.host != owner.host and not shared_networks(source, owner):
        name = min(namesakes)
        return (
            f"{owner.name} runs on {owner.host}, and network {name} of {owner.host} is not network {name} of {source.host}: a bridge ends at its host",
            _ask_published(case, owner).replace("or ask for its address", f"and ask {owner.host}")
            + ", or put both on an overlay network",
        )
    if owner.is_container and not shared_networks(source, owner):
        ours = " and ".join(item.network for item in source.attachments)
        theirs = " and ".join(item.network for item in owner.attachments) or "none"
        network = next((item.network for item in owner.attachments if not item.is_default), "NETWORK")
        return (
            f"the two share no network ({source.name} is on {ours}, {owner.name} on {theirs})",
            f"attach both to one network: docker network connect {network} {source.name}",
        )
    return f"{owner.label} exists, but not under that name on a network of {source.name}", f"use {owner.name}"


def _lodger(owner: Station, keeper: Station) -> tuple[str, str]:
    """Advise on the name of a container that lives in the network stack of `keeper`."""
    if not keeper.is_container:
        return f"{owner.name} uses the network stack of its host {keeper.name}, and has no name there", (
            "give the asking container extra_hosts host.docker.internal:host-gateway, and ask host.docker.internal"
        )
    return f"{owner.name} uses the network stack of {keeper.name}, and has no name of its own", (
        f"use {keeper.service or keeper.name}"
    )


def _ask_published(case: Case, owner: Station) -> str:
    for item in owner.published:
        if item.port == case.target.port and not item.is_loopback_only:
            return f"use the published port {owner.host}:{item.host_port}"
    return f"publish a port of {owner.name}, or ask for its address"


def _unknown(case: Case, source: Station, name: str) -> tuple[str, str]:
    known = {item.name for item in case.directory.stations if item is not source}
    known |= {item.service for item in case.directory.stations} - {""}
    close = difflib.get_close_matches(name, sorted(known), 1)
    if close:
        return "no container, service or host has that name", f"use {close[0]}"
    if "." in name:
        return "no container, service or host has that name", "check the spelling"
    return "no container, service or host has that name", (
        f"check the spelling; if {name} is short for a longer name, ask for that, or name its domain (dns_search)"
    )
