"""Attachment of ordinary containers (not tasks) to networks of a swarm.

The manager creates a task without a service for the container. The assignment of that task to this node carries the
allocated addresses, and the task lasts until the container leaves the network. Source: moby
`daemon/cluster/networks.go`,
`daemon/cluster/executor/container/attachment.go` (docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from attrs import define, field

from cnmsim.engine.cluster.managed_networks import ManagedNetworks
from cnmsim.engine.cluster.task_container import endpoint_settings
from cnmsim.engine.context import EngineContext
from cnmsim.errors import CnmsimError, SystemFault
from cnmsim.kernel.task import Future, wait_for
from cnmsim.swarm.objects import ContainerStatus, NetworkAttachment, PortConfig, Task

_REQUEST_TIMEOUT_S = 20.0

#: Calls a manager. The arguments are the name of a method and the method's argument.
Ask = Callable[[str, Any], Coroutine[Any, Any, Any]]


@define(eq=False)
class _Attachment:
    attached: Future[NetworkAttachment]
    detached: Future[None]
    task_id: str = ""
    settings: dict[str, Any] | None = None


@define(eq=False)
class Attachers:
    """The attachments of one engine's containers to swarm networks.

    `ask` is a function that calls a method of a manager. The key of an attachment consists of the network's name or
    id, as in the request, and of the container's id.
    """

    context: EngineContext = field(repr=False)
    ask: Ask = field(repr=False)
    _known: dict[tuple[str, str], _Attachment] = field(factory=dict, init=False, repr=False)

    async def attach(self, target: str, container_id: str, addresses: list[str]) -> dict[str, Any]:
        """Ask a manager to allocate a container's addresses on the network `target`, and wait for them.

        `addresses` are the requested addresses. Return the settings of the endpoint that the caller must now create.
        Raises `SystemFault` if the manager refuses, or does not allocate the addresses in time.
        """
        key, clock = (target, container_id), self.context.clock
        known = self._known.get(key)
        if known is not None and known.settings is not None:
            return known.settings
        attachment = self._known[key] = _Attachment(Future(clock), Future(clock))
        try:
            attachment.task_id = await self.ask("resource.attach", (container_id, target, addresses))
        except CnmsimError as error:
            del self._known[key]
            raise SystemFault(f"Could not attach to network {target}: {error.message}").about(target) from None
        try:
            got = await wait_for(clock, attachment.attached, _REQUEST_TIMEOUT_S)
        except TimeoutError:
            del self._known[key]
            await self._release(attachment.task_id)
            raise SystemFault(
                "attaching to network failed, make sure your network options are correct and check manager logs:"
                " context deadline exceeded"
            ) from None
        attachment.settings = endpoint_settings(got)
        return attachment.settings

    async def _release(self, task_id: str) -> None:
        try:
            await self.ask("resource.detach", task_id)
        except CnmsimError as error:
            self.context.controller.log.append(f"Failed remove network attachment {task_id}: {error.message}")

    def detach(self, target: str, container_id: str) -> None:
        """End a container's attachment to the network `target`, if there is one.

        The coroutine `left` then asks a manager to release the attachment.
        """
        attachment = self._known.pop((target, container_id), None)
        if attachment is not None and not attachment.detached.is_done:
            attachment.detached.set_result(None)

    def allocated(self, target: str, container_id: str, attachment: NetworkAttachment) -> None:
        """Pass the allocated addresses to the `attach` call that waits for them.

        Raises `SystemFault` if no call waits for this container and network.
        """
        known = self._known.get((target, container_id))
        if known is None:
            raise SystemFault(f"could not find attacher for container {container_id} to network {target}")
        if not known.attached.is_done:
            known.attached.set_result(attachment)

    async def left(self, names: tuple[str, ...], container_id: str, task_id: str) -> None:
        """Wait until a container leaves a network, then ask a manager to release the attachment `task_id`.

        `names` are the name and the id of the network, because the request to attach may have used either.
        """
        known = next(
            (self._known[(name, container_id)] for name in names if (name, container_id) in self._known), None
        )
        if known is not None and known.task_id in {"", task_id}:
            await known.detached
        await self._release(task_id)


@define(eq=False)
class AttachmentController:
    """Executes the task of one attachment: the agent calls its methods, such as `prepare` and `start`."""

    networks: ManagedNetworks = field(repr=False)
    attachers: Attachers = field(repr=False)
    task: Task

    @property
    def _container_id(self) -> str:
        attachment = self.task.spec.attachment
        return attachment.container_id if attachment is not None else ""

    @property
    def _attachment(self) -> NetworkAttachment:
        if not self.task.networks:
            raise SystemFault("the attachment has no network")
        return self.task.networks[0]

    async def prepare(self) -> None:
        """Create this node's copy of the network. Raises an `EngineError` if that fails."""
        network = self._attachment.network
        await self.networks.wait_for_addresses((network,))
        await self.networks.make(network)

    async def start(self) -> None:
        """Pass the allocated addresses to the call of `Attachers.attach` that waits for them.

        Raises `SystemFault` if the task has no network, or if no call waits for this container and network.
        """
        network = self._attachment.network
        error = None
        for name in (network.name, network.id):
            try:
                self.attachers.allocated(name, self._container_id, self._attachment)
            except SystemFault as fault:
                error = fault
            else:
                return
        assert error is not None
        raise error

    async def wait(self) -> None:
        """Wait until the container leaves the network."""
        network = self._attachment.network
        await self.attachers.left((network.name, network.id), self._container_id, self.task.id)

    async def shutdown(self) -> None:
        """Do nothing: no process has to be stopped."""

    async def remove(self) -> None:
        """Delete this node's copy of the network if it is unused."""
        for attachment in self.task.networks:
            self.networks.delete(attachment.network.id)

    def container_status(self) -> ContainerStatus | None:
        """Return `None`: an attachment has no container of its own."""
        return None

    def port_status(self) -> tuple[PortConfig, ...] | None:
        """Return `None`: an attachment publishes no ports."""
        return None
