"""What may put right what was found: candidates, of which only those that are seen to work are offered as fixes.

Advice that is a command is taken at its word: what people are told to type is what is run. The other candidates follow from the
verdict and from where it was decided.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from attrs import frozen

from cnmsim.errors import InvalidParameter
from cnmsim.kernel.address import format_ip, is_loopback
from cnmsim.kernel.events import DropReason
from cnmsim.kernel.macvlan import Macvlan
from cnmsim.observe.diagnosis import rule_sets
from cnmsim.observe.fixes.changes import (
    Body,
    Change,
    bind_everywhere,
    docker,
    make_network_again,
    publish,
    run_again,
    typed,
    with_option,
)
from cnmsim.observe.location import Directory, Station, shared_networks
from cnmsim.observe.trace.target import Target
from cnmsim.observe.diagnosis.finding import Verdict
from cnmsim.swarm.objects import NodeRole

if TYPE_CHECKING:
    from cnmsim.observe.trace.trace import Trace

_DOCKER = re.compile(
    r"docker (?:network (?:connect|create)|start|restart|unpause|service (?:scale|update)|node update)[^;,()]*"
)
_ON_HOST = re.compile(r"on ([\w.-]+): ((?:iptables|ip6tables|ip) [^;(]+)")
_SYSCTL = re.compile(r"(sysctl -w [\w./-]+=\S+) on ([\w.-]+)")
_ASK = re.compile(
    r"^(?:use|ask)(?: the published port| the name of who does:| its address on \S+:)? (\[\S+\]:\d+|[\w.-]+(?::\d+)?)(?=$|,| )"
)
_USE_PORT = re.compile(r"^use (?:port |(tcp|udp)/)(\d+)$")
_PUBLISH = re.compile(r"-p (\d+):(\d+)")
_RULE = re.compile(r"^(\w+) [^:]*: (-A .*)$")
#: Rules that are Docker's own: in its chains, or the guard of a container's address in the raw table.
_DOCKER_RULE = re.compile(r"-A (DOCKER(?!-USER)\S*|PREROUTING -d \S+ ! -i )")
_MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
_SMALLER_MTU = re.compile(r"com\.docker\.network\.driver\.mtu=(\d+)")


@frozen
class Remedy:
    """A candidate: what it is in words, the changes it makes, and the question to ask afterwards if it is another one."""

    text: str
    changes: tuple[Change, ...] = ()
    destination: str = ""
    service: str = ""


@frozen
class Suspect:
    """What is known of a question that was answered in the negative."""

    source: Station
    goal: Station | None
    target: Target
    walk: Trace
    directory: Directory

    @property
    def advice(self) -> str:
        """The advice in words."""
        return self.walk.finding.fix if self.walk.finding is not None else ""


def remedies(suspect: Suspect) -> Iterator[Remedy]:
    """Give candidates, the best first."""
    yield from _as_advised(suspect)
    yield from _another_question(suspect)
    yield from _publishing(suspect)
    yield from _rules(suspect)
    yield from _listening(suspect)
    yield from _subnets(suspect)
    yield from _networks(suspect)
    yield from _children(suspect)
    yield from _sizes(suspect)


# ---- advice at its word


def _as_advised(suspect: Suspect) -> Iterator[Remedy]:
    advice, changes = suspect.advice, []
    for command in _DOCKER.findall(advice):
        if re.search(r"\b[A-Z]{4,}\b", command):
            continue  # a placeholder is for people to fill in
        if command.startswith("docker network create ") and command.split()[-1] in _networks_on(suspect):
            continue
        change = docker(_where_typed(suspect, command), command.strip())
        if change is not None:
            changes.append(change)
    changes += [typed(host, command.strip()) for host, command in _ON_HOST.findall(advice)]
    changes += [typed(host, command) for command, host in _SYSCTL.findall(advice)]
    if changes:
        yield Remedy(advice, tuple(changes))
    if "lab.heal()" in advice:
        yield Remedy(advice, (Change("lab.heal()", "", _heal),))


def _heal(lab: Any) -> None:
    lab.heal()


def _where_typed(suspect: Suspect, command: str) -> str:
    """Name the host on which a docker command is typed: a manager for the swarm's, else where the container is."""
    words = command.split()
    if words[1] in {"service", "node"}:
        swarm = next((each for each in suspect.directory.swarms), None)
        managers = [node.hostname for node in swarm.store.nodes if node.role is NodeRole.MANAGER] if swarm else []
        return managers[0] if managers else suspect.source.host
    known = [item.host for item in suspect.directory.stations if item.is_container and item.name == words[-1]]
    known += [item.host for item in suspect.directory.at_rest if item.name == words[-1]]
    return known[0] if len(known) == 1 else suspect.source.host


def _another_question(suspect: Suspect) -> Iterator[Remedy]:
    advice, target = suspect.advice, suspect.target
    port = _USE_PORT.match(advice)
    if port:
        yield Remedy(advice, (), target.host, f"{port.group(1) or target.protocol}/{port.group(2)}")
    found = _ASK.match(advice)
    if found and port is None:
        host, colon, text = found.group(1).rpartition(":")
        if colon and text.isdigit():
            yield Remedy(advice, (), host.strip("[]"), f"{target.protocol}/{text}")
        elif not colon:
            yield Remedy(advice, (), text, _service(target))
    if "ask for its address" in advice and suspect.goal is not None and suspect.goal.addresses:
        address = format_ip(suspect.goal.addresses[0])
        yield Remedy(f"ask for its address, {address}", (), address, _service(target))
    near = [item for item in suspect.directory.stations if item.name in advice.split()]
    for station in near:
        if station is not suspect.source and station.name != target.host and advice.startswith("use "):
            yield Remedy(advice, (), station.name, _service(target))


def _service(target: Target) -> str:
    return "icmp" if target.protocol == "icmp" else f"{target.protocol}/{target.port}"


# ---- ports


def _publishing(suspect: Suspect) -> Iterator[Remedy]:
    found, target = _PUBLISH.search(suspect.advice), suspect.target
    if found is None:
        return
    host_port, port = int(found.group(1)), int(found.group(2))
    for station in _could_publish(suspect, host_port, port):
        host = suspect.directory.find(station.host)
        change = publish(station.host, station.name, port, host_port, target.protocol)
        asked = target.host if suspect.goal is host or target.host == host.name else host.name
        text = f"publish port {port} of {station.name} as port {host_port} of {host.name}"
        yield Remedy(text, (change,), asked, f"{target.protocol}/{host_port}")


def _could_publish(suspect: Suspect, host_port: int, port: int) -> list[Station]:
    containers = [item for item in suspect.directory.stations if item.is_container and not item.task]
    if suspect.goal in containers:
        return [suspect.goal] if suspect.goal is not None else []
    has_binding = [item for item in containers if any(each.host_port == host_port for each in item.published)]
    heard = [item for item in containers if item.listening_on(suspect.target.protocol, port)]
    return has_binding or heard


def _listening(suspect: Suspect) -> Iterator[Remedy]:
    finding = suspect.walk.finding
    if finding is None or finding.verdict is not Verdict.REFUSED or finding.hop is None:
        return
    server = suspect.directory.at(finding.hop.place)
    if server is None or not server.is_container:
        return
    for item in server.services:
        if item.is_loopback_only and item.protocol == suspect.target.protocol:
            yield Remedy(suspect.advice, (bind_everywhere(server.host, server.name, format_ip(item.address)),))
            return


# ---- packet filters


def _rules(suspect: Suspect) -> Iterator[Remedy]:
    """Delete the rule that decided, where it is the operator's own."""
    finding = suspect.walk.finding
    if finding is None or finding.hop is None:
        return
    found = _RULE.match(finding.hop.decision)
    host = suspect.directory.at(finding.hop.place)
    command = rule_sets.command_against(finding.hop, host.namespace if host is not None else None)
    if command and host is not None:
        yield Remedy(suspect.advice, (typed(host.name, command),))
        return
    if found is None or host is None or _DOCKER_RULE.match(found.group(2)):
        return
    program = "ip6tables" if "[" in finding.hop.addresses else "iptables"
    command = f"{program} -t {found.group(1)} {found.group(2).replace('-A', '-D', 1)}"
    if host.is_container:
        path = next((key for key, each in host.machine.namespaces.items() if each is host.namespace), "")
        if not path:
            return
        command = f"nsenter --net={path} {command}"
    yield Remedy(f"delete the rule {'in' if host.is_container else 'on'} {host.name}", (typed(host.host, command),))


# ---- networks


def _networks(suspect: Suspect) -> Iterator[Remedy]:
    source, goal, advice = suspect.source, suspect.goal, suspect.advice
    if not source.is_container:
        return
    if "enable_icc" in advice and goal is not None:
        yield from _let_talk(suspect, source, goal)
    if "without --internal" in advice:
        open_one = next((name for name in _open_networks(suspect) if source.on_network(name) is None), "")
        words = [] if open_one else ["network create outside"]
        words.append(f"network connect {open_one or 'outside'} {source.name}")
        yield Remedy(advice, _docker_changes(source.host, words))
    if "enable_ipv6" in advice:
        for item in source.attachments:
            if not item.is_default and item.driver == "bridge":
                yield Remedy(advice, (make_network_again(source.host, item.network, "--ipv6", _with_ipv6),))
                return
    named = re.match(r"attach (\S+) to a network of (\S+) and use its name", advice)
    if named:
        yield from _meet(suspect, suspect.directory.find(named.group(2)))
    if "enable_ip_masquerade" in advice:
        for item in source.attachments:
            if not item.is_default and item.options.get(_MASQUERADE) == "false":
                change = make_network_again(
                    source.host, item.network, f"-o {_MASQUERADE}=true", with_option(_MASQUERADE, "true")
                )
                yield Remedy(f"let {source.host} masquerade what leaves {item.network}", (change,))
                return
    if "(dns)" in advice:
        yield Remedy(
            f"run {source.name} without --dns", (run_again(source.host, source.name, "(no --dns)", _without("Dns")),)
        )
    if "extra_hosts" in advice and "take" in advice:
        changed = run_again(source.host, source.name, "(no --add-host)", _without("ExtraHosts"))
        yield Remedy(suspect.advice, (changed,))
    if "instead of none" in advice:

        def on_bridge(body: dict[str, object]) -> None:
            body["HostConfig"]["NetworkMode"] = "bridge"  # type: ignore[index]
            body["NetworkingConfig"] = {"EndpointsConfig": {"bridge": {}}}

        yield Remedy(advice, (run_again(source.host, source.name, "--network bridge", on_bridge),))


def _subnets(suspect: Suspect) -> Iterator[Remedy]:
    """Let Docker choose another subnet for a network that hides somebody."""
    found, finding = re.match(r"make network (\S+) with another --subnet", suspect.advice), suspect.walk.finding
    if found is None or finding is None or finding.hop is None:
        return
    change = make_network_again(finding.hop.place, found.group(1), "(another --subnet)", _without_subnet)
    yield Remedy(suspect.advice, (change,))


def _without(option: str) -> Callable[[Body], None]:
    """Leave an option of the container out. Raises `InvalidParameter` where it was not given."""

    def change(body: Body) -> None:
        if not body["HostConfig"].get(option):
            raise InvalidParameter(f"{option} was not given")
        body["HostConfig"][option] = None

    return change


def _without_subnet(options: dict[str, object]) -> None:
    options["ipam"] = None


def _with_ipv6(options: dict[str, object]) -> None:
    options["enable_ipv6"] = True


def _let_talk(suspect: Suspect, source: Station, goal: Station) -> Iterator[Remedy]:
    for name in shared_networks(source, goal):
        item = source.on_network(name)
        if item is not None and not item.is_default:
            change = make_network_again(
                source.host, name, "-o com.docker.network.bridge.enable_icc=true",
                with_option("com.docker.network.bridge.enable_icc", "true"),
            )  # fmt: skip
            yield Remedy(suspect.advice, (change,))
            return
    yield from _meet(suspect, goal)


def _meet(suspect: Suspect, goal: Station) -> Iterator[Remedy]:
    """Put two containers on a network, a new one if `goal` is on none of the user's own, and use the name there."""
    source = suspect.source
    name = next(
        (
            item.network
            for item in goal.attachments
            if not item.is_default and source.on_network(item.network) is None
        ),
        "",
    )
    words = [f"network connect {name} {source.name}"]
    if not name:
        name = next(each for each in ("app", "app2", "app3", "app4") if each not in _networks_on(suspect))
        words = [f"network create {name}", *(f"network connect {name} {each.name}" for each in (goal, source))]
    yield Remedy(
        f"put both on network {name}", _docker_changes(source.host, words), goal.name, _service(suspect.target)
    )


def _docker_changes(host: str, commands: list[str]) -> tuple[Change, ...]:
    return tuple(each for words in commands if (each := docker(host, f"docker {words}")) is not None)


def _networks_on(suspect: Suspect) -> set[str]:
    """Name the networks that containers of the source's host are on."""
    here = (item for item in suspect.directory.stations if item.host == suspect.source.host)
    return {item.network for station in here for item in station.attachments}


def _open_networks(suspect: Suspect) -> list[str]:
    """Name the user's networks of the source's host that lead out."""
    found = [
        item.network
        for station in suspect.directory.stations
        if station.host == suspect.source.host
        for item in station.attachments
        if not item.is_internal and not item.is_default and item.driver == "bridge"
    ]
    return list(dict.fromkeys(found))


# ---- the wire


def _children(suspect: Suspect) -> Iterator[Remedy]:
    """Give a host a child of its own interface, beside the children of its containers, which it cannot hear otherwise."""
    found = re.search(r"ip link add link (\S+) name (\S+) type (\S+) mode (\S+)\)", suspect.advice)
    if found is None:
        return
    parent, name, kind, mode = found.groups()
    host, guest = (
        (suspect.source, suspect.goal) if not suspect.source.is_container else (suspect.goal, suspect.source)
    )
    if host is None or guest is None:
        return
    device = next((each for each in guest.namespace.devices.values() if isinstance(each, Macvlan)), None)
    free = _free_address(suspect, guest)
    if device is None or not free:
        return
    guest_address = next(each for each in guest.addresses if len(each) == 4)
    commands = (
        f"ip link add link {parent} name {name} type {kind} mode {mode}",
        f"ip address add {free}/32 dev {name}",
        f"ip link set {name} up",
        f"ip route add {format_ip(guest_address)}/32 dev {name}",
    )
    # A container asks its host at the address it can hear.
    asked = format_ip(guest_address) if host is suspect.source else free
    yield Remedy(suspect.advice, tuple(typed(host.name, each) for each in commands), asked, _service(suspect.target))


def _free_address(suspect: Suspect, guest: Station) -> str:
    subnet = next((each for item in guest.attachments for each in item.subnets if len(each.network) == 4), None)
    if subnet is None:
        return ""
    taken = {address for item in suspect.directory.stations for address in item.addresses if not is_loopback(address)}
    last = int.from_bytes(subnet.network) + 2 ** (32 - subnet.length) - 2
    number = next((each for each in range(last, last - 100, -1) if each.to_bytes(4) not in taken), None)
    return format_ip(number.to_bytes(4)) if number is not None else ""


def _sizes(suspect: Suspect) -> Iterator[Remedy]:
    finding = suspect.walk.finding
    if finding is None or finding.hop is None or finding.hop.reason not in _TOO_LONG:
        return
    wanted = _SMALLER_MTU.search(suspect.advice)
    for item in suspect.source.attachments:
        if not item.is_default and wanted is not None:
            change = make_network_again(
                suspect.source.host, item.network, f"-o com.docker.network.driver.mtu={wanted.group(1)}",
                with_option("com.docker.network.driver.mtu", wanted.group(1)),
            )  # fmt: skip
            yield Remedy(suspect.advice, (change,))


_TOO_LONG = frozenset({DropReason.FRAGMENTATION_NEEDED, DropReason.MTU_EXCEEDED})
