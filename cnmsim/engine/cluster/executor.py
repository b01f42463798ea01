"""The executor of a swarm agent: describes the node, and runs tasks as containers.

Source: moby `daemon/cluster/executor/container/executor.go` (docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.engine.cluster.attacher import Ask, Attachers, AttachmentController
from cnmsim.engine.cluster.managed_networks import ManagedNetworks
from cnmsim.engine.cluster.task_container import check_mounts
from cnmsim.engine.cluster.task_controller import ContainerController
from cnmsim.engine.daemon.system import NO_SWARM, info_view
from cnmsim.engine.logdrivers.message import LogLine
from cnmsim.errors import EngineError, SystemFault
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.swarm.agent.exec import Dependencies, TaskController
from cnmsim.swarm.manager.logbroker import LogMessage, LogOptions
from cnmsim.swarm.objects import (
    EncryptionKey,
    EngineDescription,
    Node,
    NodeDescription,
    Platform,
    Resources,
    Task,
)
from cnmsim.swarm.template import expand_container

if TYPE_CHECKING:
    from cnmsim.engine.backend import Backend


@define(eq=False)
class EngineExecutor:
    """Runs the tasks that the agent of one engine's node receives.

    `ask` calls a manager; `on_keys` is called when the node receives new keys for gossip and encrypted networks.
    """

    backend: Backend = field(repr=False)
    ask: Ask = field(repr=False)
    on_keys: Callable[[tuple[EncryptionKey, ...]], None] = field(repr=False)
    networks: ManagedNetworks = field(init=False, repr=False)
    attachers: Attachers = field(init=False, repr=False)
    _node: Node | None = field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.networks = ManagedNetworks(self.backend)
        self.attachers = Attachers(self.backend.context, self.ask)

    def describe(self) -> NodeDescription:
        """Return the description of this node that `docker node inspect` prints."""
        context = self.backend.context
        info = info_view(context, NO_SWARM, context.api_version)
        plugins = {
            *(("Volume", name) for name in info["Plugins"]["Volume"]),
            *(("Network", name) for name in ("overlay", *info["Plugins"]["Network"])),
            *(("Log", name) for name in info["Plugins"]["Log"]),
        }
        labels = dict(label.partition("=")[::2] for label in info["Labels"])
        return NodeDescription(
            hostname=info["Name"],
            platform=Platform(info["Architecture"], info["OSType"]),
            resources=Resources(info["NCPU"] * NS_PER_S, info["MemTotal"]),
            engine=EngineDescription(info["ServerVersion"], labels, tuple(sorted(plugins))),
        )

    def has_plugin(self, name: str, kind: str) -> bool:
        """Return True if the engine finds a plugin called `name` that implements `kind`, such as "NetworkDriver".

        The search activates the plugin.
        """
        try:
            self.backend.context.controller.plugins.require(name, kind)
        except EngineError:
            return False
        return True

    async def configure(self, node: Node) -> None:
        """Store the addresses that the manager allocated to this node, and set up its ingress endpoint."""
        addresses = {
            attachment.network.id: attachment.addresses[0] for attachment in node.attachments if attachment.addresses
        }
        before = self._node.attachments if self._node is not None else ()
        gone = [
            attachment.network.id
            for attachment in before
            if attachment.addresses
            and addresses.get(attachment.network.id) != attachment.addresses[0]
            and not attachment.network.is_ingress
        ]
        self._node = node
        ingress = next(
            (attachment for attachment in node.attachments if attachment.network.is_ingress and attachment.addresses),
            None,
        )
        if ingress is None:
            self.networks.release_ingress()
        else:
            self.networks.set_up_ingress(ingress.network, ingress.addresses[0])
        for network_id in gone:
            self.networks.delete(network_id)
        self.networks.reset(addresses)

    def set_network_bootstrap_keys(self, keys: tuple[EncryptionKey, ...]) -> None:
        """Store the encryption keys of gossip and of encrypted networks that a manager has sent."""
        self.on_keys(keys)

    def controller(self, task: Task, dependencies: Dependencies) -> TaskController:
        """Return the object that performs the agent's steps for a task, such as `prepare` and `start`.

        `dependencies` are the secrets and configs that the node received. Raises `SystemFault` for a task that is
        neither a container nor an attachment.
        """
        if task.spec.attachment is not None:
            return AttachmentController(self.networks, self.attachers, task)
        if task.spec.container is None:
            raise SystemFault("unsupported runtime: %!q(<nil>)")
        if not task.spec.container.image:
            raise SystemFault("dockerexec: image required")
        check_mounts(task.spec.container)
        spec = expand_container(task, self.describe(), self.backend.context.profile)
        return ContainerController(self.backend, self.networks, task, spec, dependencies)

    def logs(self, task: Task, options: LogOptions) -> list[LogMessage]:
        """Return the lines that a task's container has logged, as far as `options` selects them."""
        container = self.backend.context.containers.find(task.name)
        if container is None or not container.log.is_readable:
            return []
        lines = container.log.select(
            stdout="stdout" in options.streams,
            stderr="stderr" in options.streams,
            tail=options.tail,
            since_ns=options.since_ns,
        )
        return [_message(task, line) for line in lines]

    def follow_logs(
        self, task: Task, options: LogOptions, publish: Callable[[LogMessage], None]
    ) -> Callable[[], None]:
        """Call `publish` with each further line of a task's container. Return a function that unsubscribes."""
        container = self.backend.context.containers.find(task.name)
        if container is None or not container.log.is_readable:
            return lambda: None
        return container.log.follow(
            lambda line: publish(_message(task, line)) if line.stream in options.streams else None
        )


def _message(task: Task, line: LogLine) -> LogMessage:
    return LogMessage(task.node_id, task.service_id, task.id, line.stream, line.time_ns, line.text)
