"""Six ways to ask whether one service reaches another by its name give one answer."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnmsim import Lab
from cnmsim.testing.assertions import assert_reachable
from cnmsim.testing.policy import check_policy

PORTS = (8000, 9000)
NETWORKS = ("front", "back")


@st.composite
def compose_files(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a Compose file of two to four services, in all ways of being on networks.

    Each listens on one of two ports, or has a program that ends at once. Of two that share a network namespace and a
    port, the program of the second ends.
    """
    names = [f"s{number}" for number in range(draw(st.integers(2, 4)))]
    services: dict[str, Any] = {}
    for number, name in enumerate(names):
        listens = "0.0.0.0" if draw(st.booleans()) else "127.0.0.1"
        port = draw(st.sampled_from(PORTS))
        command = draw(st.sampled_from([f"python -m http.server {port} -b {listens}"] * 5 + ["true"]))
        service: dict[str, Any] = {"image": "python:3.12", "command": command}
        owners = [
            other
            for other in names[:number]
            if "network_mode" not in services[other] and services[other]["command"] != "true"
        ]
        kind = draw(st.sampled_from(["networks"] * 4 + ["host", "bridge", "none"] + ["service"] * bool(owners)))
        if kind == "networks":
            joined = draw(st.sets(st.sampled_from(NETWORKS), min_size=1))
            service["networks"] = {
                network: {"aliases": [draw(st.sampled_from(["web", "api"]))]} if draw(st.booleans()) else None
                for network in sorted(joined)
            }
        elif kind == "service":
            service["network_mode"] = f"service:{draw(st.sampled_from(owners))}"
        else:
            service["network_mode"] = kind
        services[name] = service
    networks = {
        network: {"internal": draw(st.booleans()), "enable_ipv6": draw(st.booleans())} for network in NETWORKS
    }
    return {"services": services, "networks": networks}


def answers(lab: Lab, source: str, target: str, port: int) -> dict[str, bool]:
    """Return the answer of each of the six, by name."""
    destination = f"{target}:{port}"
    found = {
        "trace": lab.trace(source, destination, timeout_s=2).is_reachable,
        "explain": lab.explain(source, destination).reachable,
        "exec": lab.container(source).exec(f"nc -w 2 -z {target} {port}").status == 0,
    }
    try:
        found["assert_reachable"] = bool(assert_reachable(lab, source, destination))
    except AssertionError:
        found["assert_reachable"] = False
    if source != target:
        found["check"] = check_policy(lab, {"require": [f"{source} -> {destination}"]}).passed
    with suppress(KeyError):  # a target without an address of its own, or that has ended, is no row of a matrix
        found["reachability"] = lab.reachability(port=port).reaches(source, destination)
    return found


def truth(services: dict[str, Any], source: str, target: str, port: int) -> bool | None:
    """Return what must be so between two services that have networks of their own; `None` for all others."""
    one, other = (services[name].get("networks") for name in (source, target))
    if one is None or other is None:
        return None
    if any(service.get("network_mode") == f"service:{target}" for service in services.values()):
        return None
    return bool(set(one) & set(other)) and f"{port} -b 0.0.0.0" in services[target]["command"]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(document=compose_files(), data=st.data())
def test_six_ways_to_ask_agree(document: dict[str, Any], data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "compose.yml"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        lab = Lab.from_compose(path)
    assert lab.project is not None
    status = {item.labels["com.docker.compose.service"]: item.status for item in lab.project.containers()}
    names = sorted(document["services"])
    running = [name for name in names if status[name] == "running"]
    if not running:
        return
    source, target = data.draw(st.sampled_from(running)), data.draw(st.sampled_from(names))
    port = data.draw(st.sampled_from(PORTS))
    found = answers(lab, source, target, port)
    assert len(set(found.values())) == 1, (source, target, found)
    expected = truth(document["services"], source, target, port)
    assert expected is None or found["trace"] is expected, (source, target, found)
