"""Six ways to ask about a stack give one answer: by services' names, by `tasks.NAME`, and at published ports."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnmsim import Lab
from cnmsim.lab.stack.default_topology import stack_lab
from cnmsim.testing.assertions import assert_reachable
from cnmsim.testing.policy import check_policy

PORT, PUBLISHED = 8000, 8080
NETWORKS = ("front", "back")


@st.composite
def stack_files(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a stack of two or three services on one or two overlay networks, in all ways to publish a port."""
    services: dict[str, Any] = {}
    for number in range(draw(st.integers(2, 3))):
        listens = draw(st.sampled_from(["0.0.0.0", "0.0.0.0", "127.0.0.1"]))
        deploy = {
            "replicas": draw(st.sampled_from([1, 1, 2, 0])),
            "endpoint_mode": draw(st.sampled_from(["vip", "dnsrr"])),
        }
        service: dict[str, Any] = {
            "image": "python:3.12",
            "command": f"python -m http.server {PORT} -b {listens}",
            "networks": sorted(draw(st.sets(st.sampled_from(NETWORKS), min_size=1))),
            "deploy": deploy,
        }
        modes = ["", "host"] if deploy["endpoint_mode"] == "dnsrr" else ["", "ingress", "host"]
        if mode := draw(st.sampled_from(modes)):
            service["ports"] = [{"target": PORT, "published": PUBLISHED + number, "mode": mode}]
        services[f"s{number}"] = service
    return {"services": services, "networks": {name: {"internal": draw(st.booleans())} for name in NETWORKS}}


def running(lab: Lab, service: str) -> list[str]:
    """Return the names of a service's running containers."""
    found = [
        container for host in lab.hosts.values() if host.has_docker for container in host.docker.containers.list()
    ]
    return [item.name for item in found if item.labels.get("com.docker.swarm.service.name") == f"stk_{service}"]


def answers(lab: Lab, source: str, destination: str, replicas: dict[str, list[str]]) -> dict[str, bool]:
    """Return the answer of each of the six to a question between services, by name."""
    asking = replicas[source][0] if source in replicas else source
    name, _, port = destination.partition(":")
    found = {
        "trace": lab.trace(asking, destination, timeout_s=2).is_reachable,
        "explain": lab.explain(asking, destination).reachable,
    }
    try:
        found["assert_reachable"] = bool(assert_reachable(lab, asking, destination))
    except AssertionError:
        found["assert_reachable"] = False
    if source not in replicas:
        found["exec"] = lab.host(source).exec(f"nc -w 2 -z {lab.host(name).address} {port}").status == 0
        return found
    found["exec"] = lab.container(asking).exec(f"nc -w 2 -z {name} {port}").status == 0
    target = name.removeprefix("tasks.")
    if len(replicas.get(target, ())) != 1:
        return found
    matrix = lab.reachability(port=PORT)
    found["reachability"] = matrix.reaches(asking, f"{replicas[target][0]}:{PORT}")
    if source != target:
        found["check"] = check_policy(lab, {"require": [f"{asking} -> {target}:{PORT}"]}).passed
    return found


def truth(services: dict[str, Any], source: str, target: str) -> bool:
    """Return whether a service must reach another one."""
    one, other = services[source], services[target]
    is_up = other["deploy"]["replicas"] > 0 and "0.0.0.0" in other["command"]
    return bool(set(one["networks"]) & set(other["networks"])) and is_up


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(document=stack_files(), nodes=st.integers(1, 2), data=st.data())
def test_six_ways_to_ask_about_a_stack_agree(document: dict[str, Any], nodes: int, data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "stk.yml"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        lab = stack_lab([path], managers=1, workers=nodes - 1, env={})
    services = document["services"]
    replicas = {name: running(lab, name) for name in services}
    for name, service in services.items():
        fitting = nodes if service.get("ports", [{}])[0].get("mode") == "host" else 2
        assert len(replicas[name]) == min(service["deploy"]["replicas"], fitting), name
    asking = [name for name in services if replicas[name]]
    for source in asking:
        target = data.draw(st.sampled_from(sorted(set(services) - {source})))
        form = data.draw(st.sampled_from(["{}", "tasks.{}"]))
        found = answers(lab, source, f"{form.format(target)}:{PORT}", replicas)
        assert set(found.values()) == {truth(services, source, target)}, (source, form, target, found)
    for name, service in services.items():
        for port in service.get("ports", ()):
            node = data.draw(st.sampled_from([f"node{number + 1}" for number in range(nodes)]))
            found = answers(lab, "client", f"{node}:{port['published']}", replicas)
            is_up = bool(replicas[name]) and "0.0.0.0" in service["command"]
            is_there = port["mode"] == "ingress" or (
                # A task has no way out of internal networks, and Docker then publishes no port for it.
                bool({container.name for container in lab.host(node).docker.containers.list()} & set(replicas[name]))
                and not all(document["networks"][network]["internal"] for network in service["networks"])
            )
            assert set(found.values()) == {is_up and is_there}, (node, name, port, found)
