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
from cnmsim.observe.diagnosis.finding import Verdict
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
from cnmsim.observe.location import Directory, Location, shared_networks
from cnmsim.observe.trace.target import Target
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
class FixCandidate:
    """A candidate: what it is in words, the changes it makes, and the question to ask afterwards if it is another one."""

    text: str
    changes: tuple[Change, ...] = ()
    destination: str = ""
    service: str = ""


@frozen
class FailedProbe:
    """What is known of a question that was answered in the negative."""

    source: Location
    goal: Location | None
    target: Target
    walk: Trace
    directory: Directory

    @property
    def advice(self) -> str:
        """The advice in words."""
        return self.walk.finding.fix if self.walk.finding is not None else ""


def fix_candidates(failed: FailedProbe) -> Iterator[FixCandidate]:
    """Give candidates, the best first."""
    yield from _as_advised(failed)
    yield from _another_question(failed)
    yield from _publishing(failed)
    yield from _rules(failed)
    yield from _listening(failed)
    yield from _subnets(failed)
    yield from _networks(failed)
    yield from _children(failed)
    yield from _sizes(failed)


# ---- advice at its word


def _as_advised(failed: FailedProbe) -> Iterator[FixCandidate]:
    advice, changes = failed.advice, []
    for command in _DOCKER.findall(advice):
        if re.search(r"\b[A-Z]{4,}\b", command):
            continue  # a placeholder is for people to fill in
        if command.startswith("docker network create ") and command.split()[-1] in _networks_on(failed):
            continue
        change = docker(_where_typed(failed, command), command.strip())
        if change is not None:
            changes.append(change)
    changes += [typed(host, command.strip()) for host, command in _ON_HOST.findall(advice)]
    changes += [typed(host, command) for command, host in _SYSCTL.findall(advice)]
    if changes:
        yield FixCandidate(advice, tuple(changes))
    if "lab.heal()" in advice:
        yield FixCandidate(advice, (Change("lab.heal()", "", _heal),))


def _heal(lab: Any) -> None:
    lab.heal()


def _where_typed(failed: FailedProbe, command: str) -> str:
    """Name the host on which a docker command is typed: a manager for the swarm's, else where the container is."""
    words = command.split()
    if words[1] in {"service", "node"}:
        swarm = next((each for each in failed.directory.swarms), None)
        managers = [node.hostname for node in swarm.store.nodes if node.role is NodeRole.MANAGER] if swarm else []
        return managers[0] if managers else failed.source.host
    known = [item.host for item in failed.directory.locations if item.is_container and item.name == words[-1]]
    known += [item.host for item in failed.directory.stopped_containers if item.name == words[-1]]
    return known[0] if len(known) == 1 else failed.source.host


def _another_question(failed: FailedProbe) -> Iterator[FixCandidate]:
    advice, target = failed.advice, failed.target
    port = _USE_PORT.match(advice)
    if port:
        yield FixCandidate(advice, (), target.host, f"{port.group(1) or target.protocol}/{port.group(2)}")
    found = _ASK.match(advice)
    if found and port is None:
        host, colon, text = found.group(1).rpartition(":")
        if colon and text.isdigit():
            yield FixCandidate(advice, (), host.strip("[]"), f"{target.protocol}/{text}")
        elif not colon:
            yield FixCandidate(advice, (), text, _service(target))
    if "ask for its address" in advice and failed.goal is not None and failed.goal.addresses:
        address = format_ip(failed.goal.addresses[0])
        yield FixCandidate(f"ask for its address, {address}", (), address, _service(target))
    near = [item for item in failed.directory.locations if item.name in advice.split()]
    for location in near:
        if location is not failed.source and location.name != target.host and advice.startswith("use "):
            yield FixCandidate(advice, (), location.name, _service(target))


def _service(target: Target) -> str:
    return "icmp" if target.protocol == "icmp" else f"{target.protocol}/{target.port}"


# ---- ports


def _publishing(failed: FailedProbe) -> Iterator[FixCandidate]:
    found, target = _PUBLISH.search(failed.advice), failed.target
    if found is None:
        return
    host_port, port = int(found.group(1)), int(found.group(2))
    for location in _could_publish(failed, host_port, port):
        host = failed.directory.find(location.host)
        change = publish(location.host, location.name, port, host_port, target.protocol)
        asked = target.host if failed.goal is host or target.host == host.name else host.name
        text = f"publish port {port} of {location.name} as port {host_port} of {host.name}"
        yield FixCandidate(text, (change,), asked, f"{target.protocol}/{host_port}")


def _could_publish(failed: FailedProbe, host_port: int, port: int) -> list[Location]:
    containers = [item for item in failed.directory.locations if item.is_container and not item.task]
    if failed.goal in containers:
        return [failed.goal] if failed.goal is not None else []
    has_binding = [item for item in containers if any(each.host_port == host_port for each in item.published)]
    heard = [item for item in containers if item.listening_on(failed.target.protocol, port)]
    return has_binding or heard


def _listening(failed: FailedProbe) -> Iterator[FixCandidate]:
    finding = failed.walk.finding
    if finding is None or finding.verdict is not Verdict.REFUSED or finding.hop is None:
        return
    server = failed.directory.at(finding.hop.place)
    if server is None or not server.is_container:
        return
    for item in server.services:
        if item.is_loopback_only and item.protocol == failed.target.protocol:
            yield FixCandidate(failed.advice, (bind_everywhere(server.host, server.name, format_ip(item.address)),))
            return


# ---- packet filters


def _rules(failed: FailedProbe) -> Iterator[FixCandidate]:
    """Delete the rule that decided, where it is the operator's own."""
    finding = failed.walk.finding
    if finding is None or finding.hop is None:
        return
    found = _RULE.match(finding.hop.decision)
    host = failed.directory.at(finding.hop.place)
    command = rule_sets.command_against(finding.hop, host.namespace if host is not None else None)
    if command and host is not None:
        yield FixCandidate(failed.advice, (typed(host.name, command),))
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
    yield FixCandidate(
        f"delete the rule {'in' if host.is_container else 'on'} {host.name}", (typed(host.host, command),)
    )


# ---- networks


def _networks(failed: FailedProbe) -> Iterator[FixCandidate]:
    source, goal, advice = failed.source, failed.goal, failed.advice
    if not source.is_container:
        return
    if "enable_icc" in advice and goal is not None:
        yield from _let_talk(failed, source, goal)
    if "without --internal" in advice:
        open_one = next((name for name in _open_networks(failed) if source.on_network(name) is None), "")
        words = [] if open_one else ["network create outside"]
        words.append(f"network connect {open_one or 'outside'} {source.name}")
        yield FixCandidate(advice, _docker_changes(source.host, words))
    if "enable_ipv6" in advice:
        for item in source.attachments:
            if not item.is_default and item.driver == "bridge":
                yield FixCandidate(advice, (make_network_again(source.host, item.network, "--ipv6", _with_ipv6),))
                return
    named = re.match(r"attach (\S+) to a network of (\S+) and use its name", advice)
    if named:
        yield from _meet(failed, failed.directory.find(named.group(2)))
    if "enable_ip_masquerade" in advice:
        for item in source.attachments:
            if not item.is_default and item.options.get(_MASQUERADE) == "false":
                change = make_network_again(
                    source.host, item.network, f"-o {_MASQUERADE}=true", with_option(_MASQUERADE, "true")
                )
                yield FixCandidate(f"let {source.host} masquerade what leaves {item.network}", (change,))
                return
    if "(dns)" in advice:
        yield FixCandidate(
            f"run {source.name} without --dns", (run_again(source.host, source.name, "(no --dns)", _without("Dns")),)
        )
    if "extra_hosts" in advice and "take" in advice:
        changed = run_again(source.host, source.name, "(no --add-host)", _without("ExtraHosts"))
        yield FixCandidate(failed.advice, (changed,))
    if "instead of none" in advice:

        def on_bridge(body: dict[str, object]) -> None:
            body["HostConfig"]["NetworkMode"] = "bridge"  # type: ignore[index]
            body["NetworkingConfig"] = {"EndpointsConfig": {"bridge": {}}}

        yield FixCandidate(advice, (run_again(source.host, source.name, "--network bridge", on_bridge),))


def _subnets(failed: FailedProbe) -> Iterator[FixCandidate]:
    """Let Docker choose another subnet for a network that hides somebody."""
    found, finding = re.match(r"make network (\S+) with another --subnet", failed.advice), failed.walk.finding
    if found is None or finding is None or finding.hop is None:
        return
    change = make_network_again(finding.hop.place, found.group(1), "(another --subnet)", _without_subnet)
    yield FixCandidate(failed.advice, (change,))


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


def _let_talk(failed: FailedProbe, source: Location, goal: Location) -> Iterator[FixCandidate]:
    for name in shared_networks(source, goal):
        item = source.on_network(name)
        if item is not None and not item.is_default:
            change = make_network_again(
                source.host, name, "-o com.docker.network.bridge.enable_icc=true",
                with_option("com.docker.network.bridge.enable_icc", "true"),
            )  # fmt: skip
            yield FixCandidate(failed.advice, (change,))
            return
    yield from _meet(failed, goal)


def _meet(failed: FailedProbe, goal: Location) -> Iterator[FixCandidate]:
    """Put two containers on a network, a new one if `goal` is on none of the user's own, and use the name there."""
    source = failed.source
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
        name = next(each for each in ("app", "app2", "app3", "app4") if each not in _networks_on(failed))
        words = [f"network create {name}", *(f"network connect {name} {each.name}" for each in (goal, source))]
    yield FixCandidate(
        f"put both on network {name}", _docker_changes(source.host, words), goal.name, _service(failed.target)
    )


def _docker_changes(host: str, commands: list[str]) -> tuple[Change, ...]:
    return tuple(each for words in commands if (each := docker(host, f"docker {words}")) is not None)


def _networks_on(failed: FailedProbe) -> set[str]:
    """Name the networks that containers of the source's host are on."""
    here = (item for item in failed.directory.locations if item.host == failed.source.host)
    return {item.network for location in here for item in location.attachments}


def _open_networks(failed: FailedProbe) -> list[str]:
    """Name the user's networks of the source's host that lead out."""
    found = [
        item.network
        for location in failed.directory.locations
        if location.host == failed.source.host
        for item in location.attachments
        if not item.is_internal and not item.is_default and item.driver == "bridge"
    ]
    return list(dict.fromkeys(found))


# ---- the wire


def _children(failed: FailedProbe) -> Iterator[FixCandidate]:
    """Give a host a child of its own interface, beside the children of its containers, which it cannot hear otherwise."""
    found = re.search(r"ip link add link (\S+) name (\S+) type (\S+) mode (\S+)\)", failed.advice)
    if found is None:
        return
    parent, name, kind, mode = found.groups()
    host, guest = (failed.source, failed.goal) if not failed.source.is_container else (failed.goal, failed.source)
    if host is None or guest is None:
        return
    device = next((each for each in guest.namespace.devices.values() if isinstance(each, Macvlan)), None)
    free = _free_address(failed, guest)
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
    asked = format_ip(guest_address) if host is failed.source else free
    yield FixCandidate(
        failed.advice, tuple(typed(host.name, each) for each in commands), asked, _service(failed.target)
    )


def _free_address(failed: FailedProbe, guest: Location) -> str:
    subnet = next((each for item in guest.attachments for each in item.subnets if len(each.network) == 4), None)
    if subnet is None:
        return ""
    taken = {address for item in failed.directory.locations for address in item.addresses if not is_loopback(address)}
    last = int.from_bytes(subnet.network) + 2 ** (32 - subnet.length) - 2
    number = next((each for each in range(last, last - 100, -1) if each.to_bytes(4) not in taken), None)
    return format_ip(number.to_bytes(4)) if number is not None else ""


def _sizes(failed: FailedProbe) -> Iterator[FixCandidate]:
    finding = failed.walk.finding
    if finding is None or finding.hop is None or finding.hop.reason not in _TOO_LONG:
        return
    wanted = _SMALLER_MTU.search(failed.advice)
    for item in failed.source.attachments:
        if not item.is_default and wanted is not None:
            change = make_network_again(
                failed.source.host, item.network, f"-o com.docker.network.driver.mtu={wanted.group(1)}",
                with_option("com.docker.network.driver.mtu", wanted.group(1)),
            )  # fmt: skip
            yield FixCandidate(failed.advice, (change,))


_TOO_LONG = frozenset({DropReason.FRAGMENTATION_NEEDED, DropReason.MTU_EXCEEDED})
