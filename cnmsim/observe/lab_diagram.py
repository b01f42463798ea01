"""Draw a lab in the text formats of mermaid and Graphviz.

Containers and networks are drawn inside their host.
"""

from __future__ import annotations

from attrs import frozen

from cnmsim.kernel.address import Prefix, format_ip
from cnmsim.observe.diagnosis.file_names import names_of
from cnmsim.observe.directory import Directory
from cnmsim.observe.location import Attachment, Location
from cnmsim.observe.trace.sequence_diagram import mermaid_text
from cnmsim.observe.trace.tracer import LabView, directory_of


@frozen
class _Plan:
    """The contents of a diagram. Nodes are referred to by their id, such as `s0`.

    `hosts` has (id, label, kind) for each node in a host, `segments` (id, label) for each node outside hosts. `edges`
    has (id, other id, label) for each line, and `tunnels` the same for overlay networks between hosts.
    """

    hosts: dict[str, list[tuple[str, str, str]]]
    segments: list[tuple[str, str]]
    edges: list[tuple[str, str, str]]
    tunnels: list[tuple[str, str, str]]


def _plan(directory: Directory) -> _Plan:
    hosts: dict[str, list[tuple[str, str, str]]] = {}
    segments: dict[Prefix, str] = {}
    edges: list[tuple[str, str, str]] = []
    numbers: dict[str, str] = {}
    tunnels: list[tuple[str, str, str]] = []
    overlays: dict[str, str] = {}
    names = names_of(directory)

    def number(key: str) -> str:
        return numbers.setdefault(key, f"n{len(numbers)}")

    for location in directory.locations:
        if not location.is_container:
            hosts[location.name] = [(number(f"host {location.name}"), location.name, "host")]
            _draw_wires(location, segments, edges, number(f"host {location.name}"))
    for location in directory.locations:
        if location.is_container:
            own = number(f"container {location.label}")
            label = location.replica_names[0] if location.task else location.name
            label = names.get(location.name, label)
            hosts[location.host].append((own, label, "container"))
            for item in location.attachments:
                key = f"network {location.host} {item.network}"
                if key not in numbers:
                    subnet = ", ".join(map(str, item.subnets))
                    label = f"{names.get(item.network, item.network)} {subnet}".strip() + (
                        " (internal)" if item.is_internal else ""
                    )
                    hosts[location.host].append((number(key), label, "network"))
                    edges += _ways_out(item, number(key), number(f"host {location.host}"), segments)
                    if item.driver == "overlay":
                        if item.network in overlays:
                            tunnels.append((overlays[item.network], number(key), f"VXLAN {_vni(item)}".strip()))
                        overlays[item.network] = number(key)
                edges.append((own, number(key), ", ".join(map(format_ip, item.addresses))))
    return _Plan(hosts, [(name, str(prefix)) for prefix, name in segments.items()], edges, tunnels)


def _vni(item: Attachment) -> str:
    return item.options.get("com.docker.network.driver.overlay.vxlanid_list", "").partition(",")[0]


def _ways_out(item: Attachment, own: str, host: str, segments: dict[Prefix, str]) -> list[tuple[str, str, str]]:
    """Return the edges that connect a network to the rest of the diagram, as (node, other node, label).

    `own` is the network's node, `host` its host's node; `segments` maps the subnet of each segment to the segment's
    node. A macvlan or ipvlan network is connected to the segment whose subnet it uses, an internal network to
    nothing, any other network to its host.
    """
    parent = item.options.get("parent", "") if item.driver in {"macvlan", "ipvlan"} else ""
    on_wire = [(own, segments[subnet], parent) for subnet in item.subnets if parent and subnet in segments]
    if on_wire:
        return on_wire
    if item.driver in {"macvlan", "ipvlan"}:
        return [(own, host, parent)] if parent else []
    return [] if item.is_internal else [(own, host, "")]


def _draw_wires(location: Location, segments: dict[Prefix, str], edges: list[tuple[str, str, str]], own: str) -> None:
    for device in location.namespace.devices.values():
        if device.kind != "nic":
            continue
        for item in device.addresses:
            if item.scope == "global":
                name = segments.setdefault(item.prefix, f"s{len(segments)}")
                edges.append((own, name, f"{device.name} {item}"))


def to_mermaid(lab: LabView) -> str:
    """Return the lab as a mermaid flowchart."""
    plan = _plan(directory_of(lab))
    shapes = {"host": ("[[", "]]"), "container": ("(", ")"), "network": ("{{", "}}")}
    lines = ["flowchart TB"]
    for position, (host, nodes) in enumerate(plan.hosts.items()):
        lines.append(f'    subgraph h{position}["{mermaid_text(host)}"]')
        for name, label, kind in nodes:
            left, right = shapes[kind]
            lines.append(f'        {name}{left}"{mermaid_text(label)}"{right}')
        lines.append("    end")
    lines += [f'    {name}[/"{label}"/]' for name, label in plan.segments]
    lines += [
        f'    {one} ---|"{mermaid_text(label)}"| {other}' if label else f"    {one} --- {other}"
        for one, other, label in plan.edges
    ]
    lines += [f'    {one} -.-|"{mermaid_text(label)}"| {other}' for one, other, label in plan.tunnels]
    return "\n".join(lines) + "\n"


def _dot_text(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def to_dot(lab: LabView) -> str:
    """Return the lab in Graphviz's DOT language."""
    plan = _plan(directory_of(lab))
    shapes = {"host": "box3d", "container": "box", "network": "ellipse"}
    lines = [
        "graph lab {", "    graph [fontname=sans, style=rounded];", "    node [fontname=sans, fontsize=12];",
        "    edge [fontname=sans, fontsize=10];",
    ]  # fmt: skip
    for position, (host, nodes) in enumerate(plan.hosts.items()):
        lines.append(f"    subgraph cluster_{position} {{")
        lines.append(f"        label={_dot_text(host)};")
        lines += [f"        {name} [label={_dot_text(label)}, shape={shapes[kind]}];" for name, label, kind in nodes]
        lines.append("    }")
    lines += [f"    {name} [label={_dot_text(label)}, shape=cds];" for name, label in plan.segments]
    lines += [f"    {one} -- {other} [label={_dot_text(label)}];" for one, other, label in plan.edges]
    lines += [
        f"    {one} -- {other} [label={_dot_text(label)}, style=dashed, constraint=false];"
        for one, other, label in plan.tunnels
    ]
    return "\n".join([*lines, "}"]) + "\n"
