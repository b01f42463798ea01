"""List the swarms of a lab: nodes, services with their virtual IPs, and tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnmsim.observe.trace.table import plain_grid
from cnmsim.observe.trace.tracer import LabView

_SHORT = 12


def swarms(lab: LabView) -> list[dict[str, Any]]:
    """Return the swarms of a lab as plain values: the `nodes`, `services` and `tasks` of each."""
    engines = (host.docker for host in lab.hosts.values() if host.has_docker)
    members = (engine for engine in engines if engine.controller.cluster is not None)
    return [_swarm(engine) for engine in members if _leads(engine)]


def _leads(engine: Any) -> bool:
    managing = engine.cluster.manager_node
    return managing is not None and managing.raft.is_leading


def _swarm(engine: Any) -> dict[str, Any]:
    # The leader's store is read directly, so that no virtual time passes.
    rest = engine.rest
    nodes = {each["ID"]: each for each in engine.complete(rest.nodes.list())}
    services = {each["ID"]: each for each in engine.complete(rest.services.list())}
    networks = {each["Id"]: each["Name"] for each in rest.networks.list()}
    tasks = engine.complete(rest.tasks.list())
    hostnames = {key: node["Description"].get("Hostname", "") for key, node in nodes.items()}
    running = [task for task in tasks if task["DesiredState"] in {"running", "complete"}]
    return {
        "leader": engine.machine.name,
        "nodes": [_node(each) for each in nodes.values()],
        "services": [_service(each, networks, running) for each in services.values()],
        "tasks": [
            _task(each, services, hostnames, networks) for each in _latest(tasks) if each["ServiceID"] in services
        ],
    }


def _latest(tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the task to show for each slot (or node, in global mode): the wanted one, or the last that failed."""
    slots: dict[tuple[str, object], list[dict[str, Any]]] = {}
    for task in tasks:
        slots.setdefault((task["ServiceID"], task.get("Slot") or task.get("NodeID")), []).append(task)
    found = []
    for own in slots.values():
        wanted = [task for task in own if task["DesiredState"] in {"running", "complete"}]
        failed = [task for task in own if task["Status"]["State"] in {"failed", "rejected"}]
        is_failing = any(task["DesiredState"] in {"ready", "running"} for task in own) and failed
        if is_failing and not any(task["Status"]["State"] == "running" for task in wanted):
            wanted = [max(failed, key=lambda task: str(task["Status"]["Timestamp"]))]
        found += wanted
    return found


def _node(node: dict[str, Any]) -> dict[str, Any]:
    manager = node.get("ManagerStatus") or {}
    return {
        "name": node["Description"].get("Hostname", ""),
        "address": node["Status"].get("Addr", ""),
        "role": "leader" if manager.get("Leader") else node["Spec"]["Role"],
        "status": node["Status"]["State"],
        "availability": node["Spec"]["Availability"],
        "labels": node["Spec"].get("Labels") or {},
    }


def _service(service: dict[str, Any], networks: dict[str, str], tasks: list[dict[str, Any]]) -> dict[str, Any]:
    endpoint = service.get("Endpoint") or {}
    (mode, wanted), *_ = service["Spec"]["Mode"].items()
    own = [task for task in tasks if task["ServiceID"] == service["ID"]]
    return {
        "name": service["Spec"]["Name"],
        "image": service["Spec"]["TaskTemplate"]["ContainerSpec"].get("Image", ""),
        "mode": mode,
        "wanted": wanted.get("Replicas", wanted.get("TotalCompletions", len(own))),
        "running": sum(task["Status"]["State"] == "running" for task in own),
        "addresses": {
            networks.get(each["NetworkID"], each["NetworkID"][:_SHORT]): each.get("Addr", "").partition("/")[0]
            for each in endpoint.get("VirtualIPs", ())
        },
        "ports": [_port(each) for each in endpoint.get("Ports", ())],
    }


def _port(port: dict[str, Any]) -> str:
    text = f"*:{port.get('PublishedPort', 0)}->{port['TargetPort']}/{port['Protocol']}"
    return f"{text} on its hosts" if port.get("PublishMode") == "host" else text


def _task(
    task: dict[str, Any], services: dict[str, Any], hostnames: dict[str, str], networks: dict[str, str]
) -> dict[str, Any]:
    node = task.get("NodeID", "")
    return {
        "name": f"{services[task['ServiceID']]['Spec']['Name']}.{task.get('Slot') or hostnames.get(node, node)}",
        "node": hostnames.get(node, ""),
        "state": task["Status"]["State"],
        "error": task["Status"].get("Err", ""),
        "networks": {
            networks.get(each["Network"]["ID"], each["Network"]["ID"][:_SHORT]): [
                address.partition("/")[0] for address in each.get("Addresses") or ()
            ]
            for each in task.get("NetworksAttachments") or ()
        },
    }


def swarms_text(found: list[dict[str, Any]], names: Mapping[str, str], width: int = 0) -> list[str]:
    """Return the lines of the tables that describe each swarm: its nodes, services and tasks.

    `found` is the result of `swarms`. `names` maps the engine's names to those in a stack's file. The tables have
    at most `width` columns (0: no limit).
    """

    def named(name: str) -> str:
        service, dot, slot = name.rpartition(".")
        return names.get(name) or f"{names.get(service, service)}{dot}{slot}"

    tables = []
    for swarm in found:
        nodes = [
            (
                each["name"], each["address"], each["role"], each["status"], each["availability"],
                " ".join(f"{key}={value}" for key, value in sorted(each["labels"].items())),
            )
            for each in swarm["nodes"]
        ]  # fmt: skip
        services = [
            (
                named(each["name"]), each["image"], each["mode"].lower(), f"{each['running']}/{each['wanted']}",
                ", ".join(f"{named(name)} {address}" for name, address in each["addresses"].items()),
                ", ".join(each["ports"]),
            )
            for each in swarm["services"]
        ]  # fmt: skip
        tasks = [
            (
                named(each["name"]), each["node"],
                f"{each['state']}: {each['error']}" if each["error"] else each["state"],
                ", ".join(" ".join((named(name), *addresses)) for name, addresses in each["networks"].items()),
            )
            for each in swarm["tasks"]
        ]  # fmt: skip
        tables.append(plain_grid(("NODE", "ADDRESS", "ROLE", "STATUS", "AVAILABILITY", "LABELS"), nodes, width))
        if services:
            header = ("SERVICE", "IMAGE", "MODE", "RUNNING", "VIRTUAL ADDRESSES", "PUBLISHED")
            tables.append(plain_grid(header, services, width))
        if tasks:
            tables.append(plain_grid(("TASK", "NODE", "STATE", "ADDRESSES"), tasks, width))
    return tables
