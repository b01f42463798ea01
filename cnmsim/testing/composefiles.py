"""Hypothesis strategies for Compose files, generated as dicts that `Lab.from_compose` accepts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.strategies import SearchStrategy

Service = dict[str, Any]
_NAMES = ("web", "db", "cache", "api", "worker")
_NETWORKS = ("front", "back", "data")
_FIRST_HOST_PORT = 8080


def services(
    *,
    networks: Sequence[str] = (),
    images: Sequence[str] = ("nginx", "redis", "alpine"),
    max_networks: int | None = None,
    max_ports: int = 1,
    max_replicas: int = 1,
    host_ports: Sequence[int] = (8080, 8081),
) -> SearchStrategy[Service]:
    """Return a strategy for the services of a Compose file.

    A service is on up to `max_networks` of `networks`, or on the project's default network. Several services may
    publish the same host port, the more often the fewer `host_ports` there are; this is intended. A service with
    several replicas publishes no port. Shrinks to a service with an image only. Raises Hypothesis's `InvalidArgument`
    for impossible bounds.
    """
    if not images:
        raise InvalidArgument("images must not be empty")
    limit = len(networks) if max_networks is None else max_networks
    if not 0 <= limit <= len(networks):
        raise InvalidArgument(f"max_networks={limit} is not within 0 to {len(networks)}")
    if not 0 <= max_ports <= len(host_ports):
        raise InvalidArgument(f"max_ports={max_ports} is not within 0 to {len(host_ports)}")
    if not 1 <= max_replicas <= 10:
        raise InvalidArgument(f"max_replicas={max_replicas} is not within 1 to 10")

    @st.composite
    def service(draw: st.DrawFn) -> Service:
        definition: Service = {"image": draw(st.sampled_from(list(images)))}
        if definition["image"] == "alpine":
            definition["command"] = "sleep infinity"
        if networks and (joined := draw(st.lists(st.sampled_from(list(networks)), max_size=limit, unique=True))):
            definition["networks"] = joined
        if ports := draw(st.lists(st.sampled_from(list(host_ports)), max_size=max_ports, unique=True)):
            address = draw(st.sampled_from(["", "127.0.0.1:"]))
            definition["ports"] = [f"{address}{port}:80" for port in ports]
        elif (replicas := draw(st.integers(1, max_replicas))) > 1:
            definition["deploy"] = {"replicas": replicas}
        return definition

    return service()


def compose_files(
    *,
    min_services: int = 1,
    max_services: int = 3,
    max_networks: int = 2,
    max_replicas: int = 2,
    allow_internal: bool = True,
    images: Sequence[str] = ("nginx", "redis", "alpine"),
) -> SearchStrategy[dict[str, Any]]:
    """Return a strategy for Compose files of projects that can start: no two services publish the same host port.

    The bounds limit the number of services, of networks, and of replicas of a service; without `allow_internal` no
    network is internal. Services use `images`. Shrinks to one service with the first image. Raises Hypothesis's
    `InvalidArgument` for impossible bounds.
    """
    if not 1 <= min_services <= max_services <= len(_NAMES):
        raise InvalidArgument(f"services from {min_services} to {max_services} are not within 1 to {len(_NAMES)}")
    if not 0 <= max_networks <= len(_NETWORKS):
        raise InvalidArgument(f"max_networks={max_networks} is not within 0 to {len(_NETWORKS)}")

    @st.composite
    def compose_file(draw: st.DrawFn) -> dict[str, Any]:
        networks = list(_NETWORKS[: draw(st.integers(0, max_networks))])
        project: dict[str, Any] = {"services": {}}
        for number in range(draw(st.integers(min_services, max_services))):
            ports = (_FIRST_HOST_PORT + number,)
            project["services"][_NAMES[number]] = draw(
                services(networks=networks, images=images, max_replicas=max_replicas, host_ports=ports)
            )
        if networks:
            project["networks"] = {
                name: {"internal": True} if allow_internal and draw(st.booleans()) else {} for name in networks
            }
        return project

    return compose_file()
