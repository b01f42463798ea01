"""A Compose project on an engine.

`up` and `down` work as in `docker compose` (docker/compose v2.26.1, `pkg/compose`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from attrs import evolve

from cnmsim.engine.standins.standin import StandIn
from cnmsim.errors import EngineError, InvalidParameter, NotFound
from cnmsim.kernel.clock import Clock
from cnmsim.lab.compose.bodies import (
    LABEL_HASH,
    LABEL_NETWORK,
    LABEL_NUMBER,
    LABEL_PROJECT,
    LABEL_SERVICE,
    container_body,
    container_name,
    image_name,
    network_body,
    service_hash,
)
from cnmsim.lab.compose.error_location import keys_of_network_error, keys_of_service_error
from cnmsim.lab.compose.hints import add_hints
from cnmsim.lab.compose.model import ComposeProject, Network, Service
from cnmsim.lab.compose.reading import start_order

if TYPE_CHECKING:
    from cnmsim.engine.client.containers import Container
    from cnmsim.engine.engine import Engine

#: Seconds of virtual time that a dependency may take to complete, or to become healthy.
_PATIENCE_S = 600
#: Seconds of virtual time after which a running container whose health check cannot be simulated counts as healthy.
_HEALTHY_AFTER_S = 1
#: Seconds of virtual time that pass until all managers of a swarm know that containers have left its networks.
_DETACHING_S = 1


class Project:
    """A Compose project on one engine, before or after `up`.

    cnmsim does not simulate the programs of most images. The ports on which they listen are read from the Compose
    file: from `x-cnmsim: {listens: [8000]}`, or from the environment, commands and labels of other services that
    refer to them.
    """

    def __init__(self, model: ComposeProject, engine: Engine, clock: Clock, *, is_strict: bool = False) -> None:
        self.model = model
        self.engine = engine
        self.clock = clock
        self.is_strict = is_strict
        self._assumed_networks: list[str] = []

    def __repr__(self) -> str:
        return f"<Project {self.name}: {', '.join(self.model.services)}>"

    @property
    def name(self) -> str:
        """The project's name."""
        return self.model.name

    # ---- lookup

    def containers(self, service: str | None = None) -> list[Container]:
        """Return the project's containers, or only the containers of one service, in the order of their numbers."""
        found = [
            container
            for container in self.engine.containers.list(all=True)
            if container.labels.get(LABEL_PROJECT) == self.name
            and (service is None or container.labels.get(LABEL_SERVICE) == service)
        ]
        return sorted(found, key=lambda each: (each.labels[LABEL_SERVICE], int(each.labels[LABEL_NUMBER])))

    def container(self, service: str, number: int = 1) -> Container:
        """Return the container of a service that has the given number (from 1).

        Raises `NotFound` if there is no such container.
        """
        for container in self.containers(service):
            if container.labels[LABEL_NUMBER] == str(number):
                return container
        raise NotFound(f'service "{service}" has no container #{number}')

    def port(self, service: str, target: int, protocol: str = "tcp") -> str:
        """Return the host address and port at which a container port is published, such as `0.0.0.0:8080`.

        `target` is the container port, `protocol` is `tcp` or `udp`. Raises `NotFound` if the port is not published.
        """
        container = self.container(service)
        container.reload()
        bindings = container.attrs["NetworkSettings"]["Ports"].get(f"{target}/{protocol}")
        if not bindings:
            raise NotFound(f"no port {target}/{protocol} for container {container.name}")
        return f"{bindings[0]['HostIp']}:{bindings[0]['HostPort']}"

    @property
    def stand_ins(self) -> dict[str, StandIn]:
        """The placeholders that run in place of programs that are not simulated, by the name of the service."""
        found: dict[str, StandIn] = {}
        for container in self.containers():
            process = container.record.process
            if process is not None and isinstance(process.program, StandIn):
                found.setdefault(container.labels[LABEL_SERVICE], process.program)
        return found

    @property
    def notes(self) -> list[str]:
        """The assumptions made to start the project, as sentences.

        They concern external networks that did not exist, and health checks whose result the simulation cannot
        determine.
        """
        notes = [
            f"network {name} is external and was not there: it is assumed to be a plain bridge network"
            for name in self._assumed_networks
        ]
        for container in self.containers():
            health = container.record.health
            if health is not None and health.undecided:
                outcome = "fails" if self.is_strict else "counts as passed"
                notes.append(
                    f"the health check of {container.labels[LABEL_SERVICE]} {outcome}, as it cannot be decided: "
                    f"{health.undecided}"
                )
        return list(dict.fromkeys(notes))

    # ---- up

    def up(self, *, scale: Mapping[str, int] | None = None) -> None:
        """Start the project: first its networks, then its containers, each after the services that it depends on.

        `scale` maps services to numbers of containers. Running containers whose configuration has not changed are
        kept. If the engine refuses a request, everything that this call created is removed, and `FileError` is raised
        with the line in the file.
        """
        services = self._scaled(scale or {})
        add_hints(self.model, self.engine.image_store.catalogue.hints)
        made: list[tuple[str, str]] = []
        try:
            for network in self.model.networks.values():
                self._ensure_network(network, made)
            for service in services:
                self._ensure_containers(service, made)
            for service in services:
                self._wait_for(service)
                self._start(service)
        except BaseException:
            self._take_back(made)
            raise

    def _scaled(self, scale: Mapping[str, int]) -> list[Service]:
        for name in scale:
            if name not in self.model.services:
                raise InvalidParameter(f"no such service: {name}")
        return [
            evolve(service, replicas=scale.get(service.name, service.replicas)) for service in start_order(self.model)
        ]

    def _ensure_network(self, network: Network, made: list[tuple[str, str]]) -> None:
        present = [each for each in self.engine.networks.list(names=[network.name]) if each.name == network.name]
        if network.is_external:
            if not present and not self.is_strict:
                self._assume_network(network, made)
            elif not present:
                text = f"network {network.name} declared as external, but could not be found"
                raise self.model.error(text, "networks", network.key)
            return
        if present:
            label = (present[0].attrs["Labels"] or {}).get(LABEL_NETWORK)
            if label != network.key:
                text = (
                    f'network {network.name} was found but has incorrect label {LABEL_NETWORK} set to "{label or ""}"'
                )
                raise self.model.error(text, "networks", network.key)
            return
        try:
            making = self.engine.rest.networks.create(network_body(self.model, network))
            identity = self.engine.complete(making)["Id"]
        except EngineError as error:
            text = f"failed to create network {network.name}: {error.message}"
            text = "; ".join([text, *getattr(error, "__notes__", ())])
            raise self.model.error(text, *keys_of_network_error(self.model, network, error)) from error
        made.append(("network", identity))

    def _assume_network(self, network: Network, made: list[tuple[str, str]]) -> None:
        """Create a missing external network, as `docker network create` without options does.

        Append its (kind, id) to `made`, the list of everything created so far. Raises `FileError` if the engine
        refuses.
        """
        try:
            created = self.engine.networks.create(network.name, driver="bridge")
        except EngineError as error:
            raise self.model.error(error.message, "networks", network.key) from None
        made.append(("network", created.id))
        self._assumed_networks.append(network.name)

    def _ensure_containers(self, service: Service, made: list[tuple[str, str]]) -> None:
        """Remove a service's surplus containers and those with another configuration, then create the missing ones.

        Append the (kind, id) of each new container to `made`, the list of everything created so far.
        """
        requested = range(1, service.replicas + 1)
        kept: set[int] = set()
        for container in self.containers(service.name):
            number = int(container.labels[LABEL_NUMBER])
            if number in requested and container.labels[LABEL_HASH] == service_hash(service):
                kept.add(number)
            else:
                container.remove(force=True)
        for number in (each for each in requested if each not in kept):
            made += [("container", self._create(service, number))]  # one by one: a later one may be refused

    def _create(self, service: Service, number: int) -> str:
        self._pull(service)
        try:
            body = container_body(
                self.model, service, number, links=self._links(service, number), network_mode=self._mode(service)
            )
            name = container_name(self.model, service, number)
            return str(self.engine.rest.containers.create(body, {"name": name})["Id"])
        except EngineError as error:
            raise self.model.error(error.message, *keys_of_service_error(self.model, service, error)) from error

    def _pull(self, service: Service) -> None:
        """Pull the image of a service, if the engine does not have it.

        Raises `FileError` at the line of the service's `image` if the pull fails.
        """
        name = image_name(self.model, service)
        try:
            if self.engine.image_store.find(name) is None:
                list(self.engine.image_store.pull(name))
        except EngineError as error:
            raise self.model.error(error.message, "services", service.name, "image") from None

    def _links(self, service: Service, number: int) -> list[str]:
        links: list[str] = []
        for link in service.links:
            target, _, alias = link.partition(":")
            for container in self.containers(target):
                names = (alias or target, f"{target}-{number}", f"{self.name}-{target}-{number}")
                links += [f"{container.name}:{name}" for name in names]
        for link in service.external_links:
            target, _, alias = link.partition(":")
            links.append(f"{target}:{alias or target}")
        return links

    def _mode(self, service: Service) -> str:
        mode = service.network_mode
        if not mode.startswith("service:"):
            return mode
        found = self.containers(mode.removeprefix("service:"))
        if not found:
            text = f'service "{mode.removeprefix("service:")}" has no container to share a network with'
            raise self.model.error(text, "services", service.name, "network_mode")
        return f"container:{found[0].id}"

    def _wait_for(self, service: Service) -> None:
        for dependency in service.depends_on:
            containers = self.containers(dependency.service)
            if dependency.service not in self.model.services or dependency.condition == "service_started":
                continue
            if dependency.condition == "service_healthy":
                self.clock.run_for(_HEALTHY_AFTER_S)
                self._let_pass(lambda found: not any(map(_is_starting, found)), containers)
            else:
                self._let_pass(lambda found: all(map(_has_ended, found)), containers)
            self._judge(service, dependency.service, dependency.condition, is_required=dependency.is_required)

    def _let_pass(self, is_over: Callable[[list[Container]], bool], containers: list[Container]) -> None:
        self.clock.run_for(_PATIENCE_S, stop=lambda: is_over(containers))

    def _judge(self, service: Service, name: str, condition: str, *, is_required: bool) -> None:
        for container in self.containers(name):
            container.reload()
            code = container.attrs["State"]["ExitCode"]
            text = ""
            health = container.attrs["State"].get("Health", {}).get("Status", "healthy")
            if condition == "service_healthy" and container.status != "running":
                text = f"dependency failed to start: container {container.name} exited ({code})"
            elif condition == "service_healthy" and health != "healthy":
                text = f"dependency failed to start: container {container.name} is {health}"
            elif condition == "service_completed_successfully" and container.status == "running":
                text = f'service "{name}" has not completed after {_PATIENCE_S} seconds'
            elif condition == "service_completed_successfully" and code:
                text = f'service "{name}" didn\'t complete successfully: exit {code}'
            if text and is_required:
                raise self.model.error(text, "services", service.name, "depends_on", name)

    def _start(self, service: Service) -> None:
        for container in self.containers(service.name):
            if container.status == "running":
                continue
            try:
                container.start()
            except EngineError as error:
                keys = keys_of_service_error(self.model, service, error)
                raise self.model.error(error.message, *keys) from error

    def _take_back(self, made: list[tuple[str, str]]) -> None:
        for kind, identity in reversed(made):
            if kind == "container":
                self.engine.containers.get(identity).remove(force=True)
            else:
                self.engine.networks.get(identity).remove()

    # ---- down

    def down(self) -> None:
        """Remove the project's containers, dependent ones first, then its networks except external ones."""
        order = {service.name: number for number, service in enumerate(start_order(self.model))}
        for container in sorted(self.containers(), key=lambda each: -order.get(each.labels[LABEL_SERVICE], 0)):
            container.remove(force=True)
        if self.engine.controller.cluster is not None:
            self.clock.run_for(_DETACHING_S)
        for network in self.engine.networks.list():
            if (network.attrs["Labels"] or {}).get(LABEL_PROJECT) == self.name:
                network.remove()


def _has_ended(container: Container) -> bool:
    container.reload()
    return container.status in {"exited", "dead"}


def _is_starting(container: Container) -> bool:
    container.reload()
    return container.status == "running" and container.attrs["State"].get("Health", {}).get("Status") == "starting"
