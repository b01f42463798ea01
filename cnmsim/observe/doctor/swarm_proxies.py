"""Find swarm services to which Traefik is to forward requests, and cannot.

In swarm mode Traefik reads the labels of services (`deploy.labels` of a stack file), never those of their containers.
A service has no port by default there, so that a label must state it. Traefik uses the address of each task on the
network that a label or an option names, and else on any one of the task's networks, which include the ingress network
if the service publishes a port (traefik: pkg/provider/docker, pswarm.go, shared_labels.go and config.go). The
ingress network does not help: a task accepts there only packets to its published ports.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from attrs import frozen

from cnmsim.observe.doctor.fault import Fault, Severity
from cnmsim.observe.doctor.lab_snapshot import LabSnapshot
from cnmsim.observe.doctor.proxies import (
    DOCKER,
    IMAGES,
    NETWORK_LABELS,
    SWARM,
    Settings,
    is_true,
    traefik_route,
    words_of,
)
from cnmsim.observe.fixes.changes import Change, Steps, UpdateService
from cnmsim.observe.swarm_view import SwarmView, ports_of, short_name
from cnmsim.swarm.objects import PublishMode, Service

_LABELS = ("deploy", "labels")
_INGRESS = "ingress"
_NAMED = re.compile(r"traefik\.(http|tcp|udp)\.services\.([^.]+)\.", re.IGNORECASE)
_PORT = re.compile(
    r"traefik\.(?:(?:http|tcp|udp)\.services\.([^.]+)\.loadbalancer\.server\.|(?:[\w-]+\.)?)port", re.IGNORECASE
)


@frozen
class _Route:
    """A label of `service` that makes the service `proxy` forward requests to it.

    `options` are the static configuration of the proxy, `provider` is the prefix of the options of its provider.
    """

    snapshot: LabSnapshot
    swarm: SwarmView
    service: Service
    proxy: Service
    label: str
    options: Mapping[str, str]
    provider: str

    @property
    def labels(self) -> Mapping[str, str]:
        return self.service.spec.annotations.labels or {}

    @property
    def network_label(self) -> str:
        """The label that names the network: the one that the service has, else that of the provider.

        Traefik refuses a service that has labels of both kinds, `traefik.docker.` and `traefik.swarm.`.
        """
        docker, swarm = NETWORK_LABELS
        has_docker = any(name.startswith("traefik.docker.") for name in self.labels)
        return docker if has_docker or self.provider == DOCKER else swarm

    def fault(self, kind: str, text: str, advice: str, keys: tuple[str, ...], changes: tuple[Change, ...]) -> Fault:
        """Return a fault of the service. `keys` lead to its cause in the stack file."""
        source = self.snapshot.service_source(self.swarm, self.service.name, keys, keys[:-1])
        return Fault(Severity.WARNING, kind, f"service {self.service.name}", text, advice, source, changes)

    def updated(self, option: str, value: str) -> UpdateService:
        """Return the change of an option of the service."""
        return UpdateService(self.swarm.manager, self.service.name, option, value)


def proxied_swarm_services(snapshot: LabSnapshot) -> Iterator[Fault]:
    """Find services that Traefik in swarm mode is to serve, but makes no route to or cannot reach."""
    for swarm in snapshot.directory.swarms:
        proxies = [(service, *read) for service in swarm.store.services if (read := _provider(service)) is not None]
        for service in swarm.store.services:
            found = [
                _faults(snapshot, swarm, service, proxy, options, provider)
                for proxy, options, provider in proxies
                if service is not proxy
            ]
            # A service may be meant for any one of several proxies.
            if found and all(found):
                yield from found[0]


def _provider(proxy: Service) -> tuple[Mapping[str, str], str] | None:
    """Return the static configuration of Traefik and its provider of swarm services.

    Return `None` if the service does not run Traefik, or if it has no such provider.

    The provider is `providers.swarm`, or before Traefik 3 `providers.docker` with the option `swarmMode`.
    """
    container = proxy.spec.task.container
    if container is None or not IMAGES["traefik"].search(container.image):
        return None
    env = dict(str(item).partition("=")[::2] for item in container.env)
    options = Settings({}, env, words_of((*container.command, *container.args))).traefik_options
    if any(name == SWARM or name.startswith(f"{SWARM}.") for name in options):
        return (options, SWARM) if options.get(SWARM, "").lower() in {"", "true"} else None
    return (options, DOCKER) if is_true(options.get(f"{DOCKER}.swarmmode", "false")) else None


def _faults(
    snapshot: LabSnapshot, swarm: SwarmView, service: Service, proxy: Service, options: Mapping[str, str],
    provider: str,
) -> list[Fault]:  # fmt: skip
    """Return the faults of a service that is to be served by `proxy`; an empty list if there are none."""
    if options.get(f"{provider}.constraints") or service.spec.task.container is None:
        return []  # constraints may exclude the service
    own = service.spec.annotations.labels or {}
    of_container = service.spec.task.container.labels or {}
    if label := traefik_route(own, options, provider):
        route = _Route(snapshot, swarm, service, proxy, label, options, provider)
        return [*_without_port(route), *_apart(route)]
    if any(name.startswith("traefik.") for name in own) or not (
        label := traefik_route(of_container, options, provider)
    ):
        return []
    route = _Route(snapshot, swarm, service, proxy, label, options, provider)
    moved = [
        route.updated("--label-add", f"{name}={value}")
        for name, value in of_container.items()
        if name.startswith("traefik.")
    ]
    return [
        route.fault(
            "proxy-ignores-label",
            f"label {label} is one of its containers: {proxy.name} reads only the labels of services in swarm mode",
            "move the traefik labels from labels to deploy.labels",
            ("labels", label), (Steps(tuple(moved)) if len(moved) > 1 else moved[0],),
        )
    ]  # fmt: skip


def _without_port(route: _Route) -> Iterator[Fault]:
    """Yield a fault for every service of Traefik, defined by labels of the swarm service, that has no port."""
    named = {match[2]: match[1] for name in route.labels if (match := _NAMED.match(name))}
    ports = [match[1] for name in route.labels if (match := _PORT.fullmatch(name))]
    if None in ports:  # Traefik 1 knows one port of a service
        return
    protocol = next((kind for kind in ("tcp", "udp") if route.label.lower().startswith(f"traefik.{kind}.")), "http")
    for name, kind in (named or {short_name(route.service): protocol}).items():
        if name in ports:
            continue
        label = f"traefik.{kind}.services.{name}.loadbalancer.server.port"
        listening = dict.fromkeys(
            socket.port
            for location in route.snapshot.containers()
            if location.task and location.service == route.service.name
            for socket in location.services
            if socket.protocol == ("udp" if kind == "udp" else "tcp") and not socket.is_loopback_only
        )
        yield route.fault(
            "proxy-without-port",
            f"label {route.label} makes {route.proxy.name} forward requests to it, but no label states the port: "
            "Traefik then ignores a service of a swarm",
            f"set {label} in deploy.labels to the port on which the service listens", (*_LABELS, route.label),
            tuple(route.updated("--label-add", f"{label}={port}") for port in listening),
        )  # fmt: skip


def _apart(route: _Route) -> Iterator[Fault]:
    """Yield the fault of a service whose address, as Traefik chooses it, is on no network of the proxy."""
    own, theirs = (route.swarm.networks_of(item) for item in (route.service, route.proxy))
    shared = [name for name in own if name in theirs]
    proxy, label = route.proxy.name, route.network_label
    if not shared:
        on = [", ".join(names) or "no overlay network" for names in (theirs, own)]
        yield route.fault(
            "proxy-without-network",
            f"label {route.label} makes {proxy} forward requests to it, but the two share no overlay network "
            f"({proxy} is on {on[0]}, {route.service.name} on {on[1]})",
            f"attach {route.service.name} to a network of {proxy}", (*_LABELS, route.label),
            (
                *(UpdateService(route.swarm.manager, proxy, "--network-add", name) for name in own),
                *(
                    Steps((route.updated("--network-add", name), route.updated("--label-add", f"{label}={name}")))
                    for name in theirs
                ),
            ),
        )  # fmt: skip
        return
    network = route.labels.get(label) or route.options.get(f"{route.provider}.network", "")
    is_published = any(port.publish_mode is PublishMode.INGRESS for port in ports_of(route.service))
    every = [*own, *([_INGRESS] if is_published else [])]
    if network in shared or len(every) == len(shared):
        return
    if network in every:
        text = f"the network that {proxy} is to use for it is {network}, and {proxy} is not on it"
    else:
        why = f"no network of it is called {network!r}" if network else "no label names one"
        text = (
            f"it is on the networks {', '.join(every)}; {proxy} reaches it on {', '.join(shared)} only, but sends "
            f"requests to its address on any one of its networks, as {why}"
        )
    yield route.fault(
        "proxy-network-by-chance", text,
        f"set {label} in deploy.labels to the name that `docker network ls` prints for network {shared[0]}",
        (*_LABELS, label if label in route.labels else route.label),
        tuple(route.updated("--label-add", f"{label}={name}") for name in shared),
    )  # fmt: skip
