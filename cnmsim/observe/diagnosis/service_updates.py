"""Changes of the containers of swarm tasks, converted to changes of their services.

A task's container cannot be changed: the swarm would replace it by one that follows the service's spec.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from functools import singledispatch
from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.engine.standins.commandline import wildcard_option
from cnmsim.observe.fixes.changes import (
    Change,
    ConnectNetwork,
    ContainerOption,
    CreateNetwork,
    PublishPort,
    RebindProgram,
    RecreateContainer,
    Steps,
    UpdateService,
)
from cnmsim.observe.swarm_view import SwarmView, ports_of

if TYPE_CHECKING:
    from cnmsim.observe.directory import Directory
    from cnmsim.observe.location import Location
    from cnmsim.swarm.objects import Service


@frozen
class _Owner:
    """The service of a task, and its swarm. `asked` is the name that the probe looked up."""

    swarm: SwarmView
    service: Service
    asked: str

    def update(self, option: str, value: str) -> Change:
        return UpdateService(self.swarm.manager, self.service.name, option, value)


def for_services(changes: Iterable[Change], directory: Directory, asked: str) -> tuple[Change, ...]:
    """Return `changes`, with changes of a task's container replaced by the same changes of the task's service.

    `asked` is the name that the probe looked up. Other changes are returned as they are.
    """
    tasks = {item.name: item for item in directory.locations if item.task}
    return tuple(_for_service(change, directory, tasks, asked) for change in changes) if tasks else tuple(changes)


def _for_service(change: Change, directory: Directory, tasks: dict[str, Location], asked: str) -> Change:
    if isinstance(change, Steps):
        steps = tuple(_for_service(step, directory, tasks, asked) for step in change.changes)
        joined = {step.value for step in steps if isinstance(step, UpdateService) and step.option == "--network-add"}
        return Steps(
            tuple(
                CreateNetwork(step.host, step.network, "overlay")
                if isinstance(step, CreateNetwork) and step.network in joined
                else step
                for step in steps
            )
        )
    task = tasks.get(getattr(change, "container", ""))
    if task is None:
        return change
    owners = ((swarm, swarm.service(task.service)) for swarm in directory.swarms)
    owner = next((_Owner(swarm, service, asked) for swarm, service in owners if service is not None), None)
    return change if owner is None else _updated(change, owner)


@singledispatch
def _updated(change: Change, owner: _Owner) -> Change:
    del owner
    return change


@_updated.register(ConnectNetwork)
def _(change: ConnectNetwork, owner: _Owner) -> Change:
    return owner.update("--network-add", change.network)


@_updated.register(PublishPort)
def _(change: PublishPort, owner: _Owner) -> Change:
    removed = "".join(
        f"--publish-rm {port.target_port}/{port.protocol} "
        for port in ports_of(owner.service)
        if (port.published_port, port.protocol) == (change.host_port, change.protocol)
    )
    value = f"published={change.host_port},target={change.port},protocol={change.protocol}"
    return owner.update(f"{removed}--publish-add", value)


@_updated.register(RebindProgram)
def _(change: RebindProgram, owner: _Owner) -> Change:
    container = owner.service.spec.task.container
    if container is None:
        return change
    option = wildcard_option([*container.command, *container.args])
    words = [word.replace(change.address, "0.0.0.0") for word in container.args] + [*option]  # noqa: S104
    return owner.update("--args", shlex.join(words))


@_updated.register(RecreateContainer)
def _(change: RecreateContainer, owner: _Owner) -> Change:
    container = owner.service.spec.task.container
    if container is None:
        return change
    if change.option is ContainerOption.NO_DNS:
        servers = (container.dns_config or {}).get("Nameservers") or ()
        return Steps(tuple(owner.update("--dns-rm", server) for server in servers))
    if change.option is ContainerOption.NO_EXTRA_HOSTS:
        pairs = [(words[0], name) for words in map(str.split, container.hosts) for name in words[1:]]
        return Steps(
            tuple(owner.update("--host-rm", f"{name}:{address}") for address, name in pairs if name == owner.asked)
        )
    return change
