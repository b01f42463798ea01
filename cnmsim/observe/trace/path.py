"""The path of a probe in a few lines: the places it passed, and what changed at each.

Only the first packet towards the destination is followed (the TCP SYN, datagram or echo request), and the packet that
a proxy sends in its place. Name lookups, neighbour lookups and replies are left out; the table of a trace has them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import define, field, frozen

from cnmsim.kernel.events import DropReason, Step
from cnmsim.observe.diagnosis.file_names import in_file_names, names_of
from cnmsim.observe.directory import Directory
from cnmsim.observe.trace.hops import Hop
from cnmsim.observe.trace.packet_summary import endpoint_text

#: The maximum number of lines of a path.
MAX_LINES = 6
#: First words of the changes that `path_line` shows: a redirection of the packet, or the end of its path.
_REDIRECTIONS = ("DNAT", "IPVS")
_ENDS = ("dropped", "refused")


@frozen
class Station:
    """A place on the path: a host, a container, or the bridge of a network.

    `label` is its name; `changes` are texts on what happened to the packet there.
    """

    label: str
    changes: tuple[str, ...] = ()


@define
class _Collected:
    place: str
    label: str
    changes: list[str] = field(factory=list)
    networks: list[str] = field(factory=list)


def stations(
    hops: Sequence[Hop], directory: Directory | None, question: Mapping[str, Any], *, is_open: bool = False
) -> tuple[Station, ...]:
    """Return the places that the probe passed, in order.

    The `question` of the trace has the probe's source, protocol, port and address, which select its packets among the
    others of the trace. `directory` has the names to show; with `None` the engine's names are shown. `is_open` is
    True for the verdict "path open": a closed port at the destination is then not shown as a refusal.
    """
    protocol, port = str(question.get("protocol", "")), int(question.get("port") or 0)
    address = str(question.get("address") or "")
    bridges = _bridges(directory)
    labels = _labels(directory)
    locations = directory.locations if directory is not None else ()
    stand_ins = {item.name for item in locations if item.stands_for_internet or item.stands_for_machine}
    collected: list[_Collected] = []
    forward = _forward_messages(hops, protocol, port, address)
    repeated: set[int] = set()
    tunnel = ""
    for hop in hops:
        if hop.message not in forward or (hop.message in repeated and not hop.is_drop):
            continue
        if hop.is_repeated:
            repeated.add(hop.message)
            continue
        place = _place(hop.place, labels)
        if tunnel and place != tunnel and not hop.is_drop:
            continue  # the hosts along a tunnel only carry the outer packet
        if not collected or collected[-1].place != place:
            collected.append(_Collected(place, labels.get(place, place)))
        station = collected[-1]
        if hop.step in {Step.ENCAPSULATED, Step.DECAPSULATED}:
            tunnel = place if hop.step is Step.ENCAPSULATED else ""
        network = bridges.get((hop.place, hop.device)) if hop.step in {Step.BRIDGED, Step.ROUTED} else None
        if network is not None and network not in station.networks:
            station.networks.append(network)
        # How a host that represents other machines redirects packets to its servers is not part of the path.
        change = in_file_names(_change(hop), labels) if place not in stand_ins or hop.is_drop else ""
        if is_open and hop.reason is DropReason.PORT_CLOSED:
            change = "arrived; what listens here is not known"
        if change and change not in station.changes:
            station.changes.append(change)
    if collected and directory is not None:
        collected[0].label = _source_label(collected[0], directory, str(question.get("source", "")), labels)
    return tuple(_merged(collected))


def _source_label(first: _Collected, directory: Directory, source: str, labels: Mapping[str, str]) -> str:
    """Return the label of the first place. It is the source's name, even if the source uses another's network stack.

    `labels` maps the engine's names to the names to show.
    """
    name = source.rpartition(":")[2]
    asker = next((item for item in directory.locations if item.name == name), None)
    owner = next((item for item in directory.locations if item.namespace.name == first.place), None)
    is_shared = asker is not None and owner is not None and asker.namespace is owner.namespace
    return labels.get(name, name) if is_shared else first.label


def _forward_messages(hops: Sequence[Hop], protocol: str, port: int, address: str) -> set[int]:
    """Return the numbers of the messages that carry the probe towards its destination.

    The first is the message sent to the probe's port. If a program (such as docker-proxy) receives it and sends a
    message of the same kind from the same place, that message is the next, and so on.
    """
    forward: set[int] = set()
    for hop in hops:
        if hop.step is not Step.SENT or hop.message in forward or not _is_request(hop, protocol):
            continue
        if not forward:
            if hop.destination_port == port and (not address or hop.destination_text == address):
                forward.add(hop.message)
        elif _continues(hops, forward, hop):
            forward.add(hop.message)
    return forward


def _is_request(hop: Hop, protocol: str) -> bool:
    if protocol == "icmp":
        return hop.layer4.is_echo_request
    return hop.layer4.is_syn if protocol == "tcp" else hop.layer4.protocol == protocol


def _continues(hops: Sequence[Hop], forward: set[int], sent: Hop) -> bool:
    return any(
        hop.message in forward
        and hop.step is Step.DELIVERED
        and hop.place == sent.place
        and hop.time_ns <= sent.time_ns
        and (sent.destination, sent.destination_port) != (hop.source, hop.source_port)
        for hop in hops
    )


def _place(place: str, labels: Mapping[str, str]) -> str:
    """Return the name of a place on the path. The namespaces of one overlay network on all hosts have the same name.

    Example: `node1: overlay app` becomes `app (overlay)`. `labels` maps names of networks to the names to show.
    """
    _, separator, network = place.partition(": overlay ")
    return f"{labels.get(network, network)} (overlay)" if separator else place


def _labels(directory: Directory | None) -> Mapping[str, str]:
    """Return a mapping from the engine's names of containers to the names to show.

    These are the names in the Compose file, and for swarm tasks the names without the task id if they are unique.
    """
    if directory is None:
        return {}
    tasks = {location.name: location.replica_names[0] for location in directory.locations if location.task}
    taken = Counter(tasks.values())
    return {name: short for name, short in tasks.items() if taken[short] == 1} | names_of(directory)


def _bridges(directory: Directory | None) -> Mapping[tuple[str, str], str]:
    if directory is None:
        return {}
    names = names_of(directory)
    return {
        (location.name, device): names.get(network, network)
        for location in directory.locations
        if not location.is_container
        for device, network in location.bridges.items()
    }


def _change(hop: Hop) -> str:
    """Return a text on what the hop did to the packet: how it changed the packet or ended its path; else ""."""
    if hop.reason is DropReason.PORT_CLOSED:
        return f"refused: {DropReason.PORT_CLOSED.value}"
    if hop.is_drop:
        if hop.rule is not None:
            return f"dropped by {hop.decision}"
        return f"dropped: {hop.reason.value}" if hop.reason is not None else "dropped"
    if hop.step is Step.TRANSLATED:
        by = "IPVS" if "IPVS" in hop.what else ""
        if hop.what.startswith("source"):
            return f"SNAT to {hop.source_text}"
        return f"{by or 'DNAT'} to {_endpoint(hop)}"
    if hop.step is Step.ENCAPSULATED:
        return f"VXLAN {hop.what}" if hop.what.startswith("into") else hop.what
    if hop.step is Step.DELIVERED:
        program = hop.decision.removeprefix("socket: ")
        return f"received by {program}" if program else "received"
    if hop.step is Step.FRAGMENTED:
        return "fragmented"
    return ""


def _endpoint(hop: Hop) -> str:
    return "" if hop.destination is None else endpoint_text(hop.destination, hop.destination_port)


def _merged(collected: Sequence[_Collected]) -> Iterator[Station]:
    """Convert the collected places to stations.

    The bridge of a network becomes a station that is named after the network.
    """
    for item in collected:
        is_bridge_only = bool(item.networks) and not item.changes
        if not is_bridge_only:
            yield Station(item.label, tuple(item.changes))
        is_end = any(change.startswith(_ENDS) for change in item.changes)
        for network in () if is_end else item.networks:
            yield Station(f"{network} (bridge)")


def path_line(path: Sequence[Station]) -> str:
    """Return the path on one line, such as `client → node1 → DNAT → shop (bridge) → web`."""
    parts: list[str] = []
    for station in path:
        parts.append(station.label)
        parts += [change.partition(" ")[0] for change in station.changes if change.startswith(_REDIRECTIONS)]
        parts += [change.partition(" ")[0].rstrip(":") for change in station.changes if change.startswith(_ENDS)]
    return " → ".join(parts)


def path_lines(path: Sequence[Station]) -> list[str]:
    """Return one line for each place where the packet was changed or its path ended; at most `MAX_LINES` lines."""
    changed = [station for station in path if station.changes]
    if len(changed) > MAX_LINES:
        half = MAX_LINES // 2
        middle = Station("…", (f"{len(changed) - MAX_LINES + 1} further places",))
        changed = [*changed[: MAX_LINES - half - 1], middle, *changed[-half:]]
    width = max((len(station.label) for station in changed), default=0)
    return [f"{station.label:<{min(width, 24)}}  {'; '.join(station.changes)}" for station in changed]
