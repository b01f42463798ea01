"""Six ways to ask whether one service reaches another by its name give one answer."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnmsim import Lab
from cnmsim.testing.assertions import assert_reachable
from cnmsim.testing.policy import check_policy

PORT = 8000
NETWORKS = ("front", "back")


@st.composite
def compose_files(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a Compose file of two to four services that listen on one port, in all ways of being on networks."""
    names = [f"s{number}" for number in range(draw(st.integers(2, 4)))]
    services: dict[str, Any] = {}
    for number, name in enumerate(names):
        listens = "0.0.0.0" if draw(st.booleans()) else "127.0.0.1"
        service: dict[str, Any] = {"image": "python:3.12", "command": f"python -m http.server {PORT} -b {listens}"}
        owners = [other for other in names[:number] if "network_mode" not in services[other]]
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


def answers(lab: Lab, source: str, target: str) -> dict[str, bool]:
    """Return the answer of each of the six, by name."""
    destination = f"{target}:{PORT}"
    found = {
        "trace": lab.trace(source, destination, timeout_s=2).is_reachable,
        "explain": lab.explain(source, destination).reachable,
        "exec": lab.container(source).exec(f"nc -w 2 -z {target} {PORT}").status == 0,
    }
    try:
        found["assert_reachable"] = bool(assert_reachable(lab, source, destination))
    except AssertionError:
        found["assert_reachable"] = False
    matrix = lab.reachability(port=PORT)
    try:
        found["reachability"] = matrix.reaches(source, destination)
    except KeyError:
        return found  # the target has no address of its own, so it is no row of a matrix
    if any(socket.port == PORT for socket in matrix.service(matrix.cells.named(source, destination)[1])[0].services):
        found["check"] = source == target or check_policy(lab, {"require": [f"{source} -> {destination}"]}).passed
    return found


def truth(services: dict[str, Any], source: str, target: str) -> bool | None:
    """Return what must be so between two services that have networks of their own; `None` for all others."""
    one, other = (services[name].get("networks") for name in (source, target))
    if one is None or other is None:
        return None
    return bool(set(one) & set(other)) and "0.0.0.0" in services[target]["command"]


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(document=compose_files(), data=st.data())
def test_six_ways_to_ask_agree(document: dict[str, Any], data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "compose.yml"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        lab = Lab.from_compose(path)
    assert lab.project is not None
    # Of services that share a network namespace, the first has the port, and the programs of the others end.
    is_running = {item.labels["com.docker.compose.service"]: item.status for item in lab.project.containers()}
    names = [name for name in sorted(document["services"]) if is_running[name] == "running"]
    source, target = data.draw(st.sampled_from(names)), data.draw(st.sampled_from(names))
    found = answers(lab, source, target)
    if source == target:
        found.pop("check", None)
    assert len(set(found.values())) == 1, (source, target, found)
    expected = truth(document["services"], source, target)
    assert expected is None or found["trace"] is expected, (source, target, found)
