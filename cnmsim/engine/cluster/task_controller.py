"""The controller of a task: the operations of the agent's task state machine, on a container of this engine.

Source: moby `daemon/cluster/executor/container/{controller,adapter}.go` (docker-v29.7.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.engine.cluster.managed_networks import ManagedNetworks, is_predefined
from cnmsim.engine.cluster.secret_files import write_files
from cnmsim.engine.cluster.task_container import create_body, image_name, service_bindings
from cnmsim.engine.containers.container import Container
from cnmsim.engine.containers.create import create_container
from cnmsim.engine.containers.log_start import connect_log
from cnmsim.engine.containers.state import ContainerState
from cnmsim.errors import EngineError, NoSuchNetwork, NotFound
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.task import Future, sleep
from cnmsim.swarm.agent.exec import Dependencies, ExitError
from cnmsim.swarm.objects import ContainerSpec, ContainerStatus, PortConfig, PublishMode, Task

if TYPE_CHECKING:
    from cnmsim.engine.backend import Backend

#: Delay between withdrawing a task's service records and stopping it, in seconds (moby `defaultGossipConvergeDelay`).
_GOSSIP_DELAY_S = 2.0
_UNHEALTHY = "dockerexec: unhealthy container"


@define(eq=False)
class ContainerController:
    """Runs one task as a container of this engine. `spec` is its container spec with expanded templates."""

    backend: Backend = field(repr=False)
    networks: ManagedNetworks = field(repr=False)
    task: Task
    spec: ContainerSpec
    dependencies: Dependencies = field(repr=False)
    _container_id: str = field(default="", init=False)

    # --- start

    async def prepare(self) -> None:
        """Wait for this node's addresses, then create the task's networks, volumes and container.

        Raises an `EngineError` if one of them cannot be created, or if a manager allocates no addresses in time.
        """
        context, networks = self.backend.context, tuple(attachment.network for attachment in self.task.networks)
        await self.networks.wait_for_addresses(networks)
        await self._make_networks()
        self._create_volumes()
        pull_error = self._pull()
        if self._container() is not None:
            return
        if pull_error is not None and context.profile.task_reports_pull_error:
            raise pull_error
        body = create_body(self.task, self.spec)
        try:
            container, _ = create_container(
                context, self.backend.networking, self.task.name, body, context.api_version
            )
        except NotFound as error:
            raise type(error)(error.message) from None
        self._container_id = container.id
        container.is_managed = True
        container.service_bindings = service_bindings(self.task)

    async def _make_networks(self) -> None:
        for attachment in self.task.networks:
            await self.networks.make(attachment.network)

    def _create_volumes(self) -> None:
        """Create the volumes of mounts that name a volume driver.

        All other volumes are created with the container.
        """
        for mount in self.spec.mounts:
            options = mount.get("VolumeOptions") or {}
            driver = options.get("DriverConfig")
            if mount.get("Type") == "volume" and driver is not None:
                self.backend.context.volumes.create(
                    mount.get("Source") or "",
                    driver=driver.get("Name") or "",
                    labels=options.get("Labels"),
                    options=driver.get("Options"),
                )

    def _pull(self) -> EngineError | None:
        """Pull the task's image if it is missing. Return the error if that fails, else `None`."""
        store, name = self.backend.context.images, image_name(self.spec.image)
        if store.find(name) is not None:
            return None
        try:
            for _ in store.pull(name):
                pass
        except EngineError as error:
            return error
        return None

    def _write_files(self) -> None:
        write_files(self._present().files, self.spec, self.task, self.dependencies, self.backend.context.profile)

    async def start(self) -> None:
        """Start the container, and publish its service records.

        If the container has a health check, wait until it is healthy before the records are published. Raises an
        `EngineError` if the start fails, and `ExitError` if the container exits with an error before it is healthy.
        """
        container = self._present()
        if container.state is ContainerState.CREATED:
            container.write_files = self._write_files
            try:
                await self._start(container)
            except EngineError as error:
                raise type(error)(f"starting container failed: {error.message}") from None
        if _has_healthcheck(container):
            await self._become_healthy(container)
            if not container.is_running:
                return
        self._sandbox_do("enable_service", container)

    async def _start(self, container: Container) -> None:
        await connect_log(self.backend.context, container)
        try:
            self.backend.lifecycle.start(container)
        except NoSuchNetwork:
            # Another task's last container was removed since `prepare`, and its networks with it.
            await self._make_networks()
            self.backend.lifecycle.start(container)

    async def _become_healthy(self, container: Container) -> None:
        cause = ""
        while container.is_running:
            health = container.health
            if health is None or health.status == "healthy":
                return
            if health.status == "unhealthy":
                cause = _UNHEALTHY
                await self.shutdown()
                break
            await self._next_health_change(container)
        if container.exit_code:
            raise ExitError(container.exit_code, cause)

    async def _next_health_change(self, container: Container) -> None:
        changed: Future[None] = Future(self.backend.context.clock)

        def wake(_: object = None) -> None:
            if not changed.is_done:
                changed.set_result(None)

        container.when("not-running").add_done_callback(wake)
        if container.health is not None:
            container.health.watchers.append(wake)
        await changed

    def _sandbox_do(self, action: str, container: Container) -> None:
        sandbox = self.backend.networking.sandbox_of(container)
        if sandbox is not None:
            if action == "enable_service":
                sandbox.enable_service()
            else:
                sandbox.disable_service()

    # --- end

    async def wait(self) -> None:
        """Wait until the container exits. If it becomes unhealthy, shut it down, and do not wait any longer.

        The task ends with the first exit, even if a user then restarts the container. Raises `ExitError` for an
        exit status other than 0.
        """
        container = self._present()
        ended = container.when("not-running")
        cause = ""
        while not ended.is_done:
            health = container.health
            if health is not None and health.status == "unhealthy":
                cause = _UNHEALTHY
                await self.shutdown()
                break
            await self._next_health_change(container)
        container.forget(ended)
        exit_code = ended.result() if ended.is_done else container.exit_code
        if exit_code:
            raise ExitError(exit_code, cause)

    async def shutdown(self) -> None:
        """Withdraw the container's service records, and stop the container two seconds later."""
        context, container = self.backend.context, self._container()
        if self._has_service_binding():
            if container is not None:
                self._sandbox_do("disable_service", container)
            await sleep(context.clock, _GOSSIP_DELAY_S)
        container = self._container()
        if container is not None:
            grace = self.spec.stop_grace_period_ns
            timeout_s = None if grace is None else int(grace // NS_PER_S)
            await self.backend.lifecycle.stop(container, timeout_s=timeout_s)
        self._drop_networks()

    async def remove(self) -> None:
        """Stop the container, and remove it with its anonymous volumes."""
        container = self._container()
        if container is not None and container.is_running:
            await self.shutdown()
        container = self._container()
        if container is not None:
            self.backend.lifecycle.remove(container, force=True, volumes=True)
        self._drop_networks()

    def _drop_networks(self) -> None:
        for attachment in self.task.networks:
            if not is_predefined(attachment.network) and not attachment.network.is_ingress:
                self.networks.delete(attachment.network.id)

    def _has_service_binding(self) -> bool:
        return any(
            not (is_predefined(attachment.network) and attachment.network.name == "bridge")
            for attachment in self.task.networks
        )

    # --- status

    def _container(self) -> Container | None:
        return self.backend.context.containers.find(self._container_id or self.task.name)

    def _present(self) -> Container:
        container = self._container()
        if container is None:
            raise NotFound(f"No such container: {self.task.name}")
        return container

    def container_status(self) -> ContainerStatus | None:
        """Return the container's id, process id and exit code; `None` if there is no container."""
        container = self._container()
        if container is None:
            return None
        pid = container.process.pid if container.process is not None else 0
        return ContainerStatus(container.id, pid, container.exit_code)

    def port_status(self) -> tuple[PortConfig, ...] | None:
        """Return the ports that the container publishes on this host; `None` if it does not run."""
        container = self._container()
        if container is None or not container.is_running:
            return None
        ports: list[PortConfig] = []
        for target, bindings in container.ports.items():
            number, _, protocol = target.partition("/")
            # A port has a binding for each address it is bound to, usually one for IPv4 and one for IPv6.
            ports += [
                PortConfig(
                    protocol=protocol,
                    target_port=int(number),
                    published_port=int(binding["HostPort"]),
                    publish_mode=PublishMode.HOST,
                )
                for binding in bindings or ()
                if binding["HostPort"]
            ]
        return tuple(ports)


def _has_healthcheck(container: Container) -> bool:
    test = (container.config.get("Healthcheck") or {}).get("Test") or ["NONE"]
    return bool(test[0] != "NONE")
