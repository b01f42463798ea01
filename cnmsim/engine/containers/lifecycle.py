"""Start, stop, kill, pause and remove containers, and handle the exit of their processes.

Source: moby `daemon/{start,stop,kill,pause,restart,delete,monitor}.go` (v26.1.5, v28.5.2, docker-v29.7.2).
"""

from __future__ import annotations

from attrs import define

from cnmsim.engine.containers.container import Container
from cnmsim.engine.containers.environment import process_environment
from cnmsim.engine.containers.exec_user import find_user, with_capabilities, with_groups
from cnmsim.engine.containers.health_monitor import start_monitor
from cnmsim.engine.containers.host_resources import add_devices, check_devices, resource_limits
from cnmsim.engine.containers.init import with_init
from cnmsim.engine.containers.kernel_namespaces import check_ipc, joined_pid_namespace
from cnmsim.engine.containers.log_start import connect_log, start_logging
from cnmsim.engine.containers.processes import kill_descendants, processes_of, spawn_process
from cnmsim.engine.containers.resources import check_platform, control_group, start_control_group
from cnmsim.engine.containers.runtime_errors import (
    UNKNOWN,
    StartError,
    as_runtime_error,
    check_limits,
    check_sysctls,
    find_command,
    require_devices,
    set_key,
)
from cnmsim.engine.containers.state import Change, ContainerState
from cnmsim.engine.containers.streams import StandardStreams
from cnmsim.engine.context import EngineContext
from cnmsim.engine.logdrivers.drivers import directory_of, remove_directory
from cnmsim.engine.networks.attachment import Networking
from cnmsim.engine.networks.legacy_links import check_links
from cnmsim.engine.volumes.mounting import mount_all, unmount_images, unmount_tmpfs
from cnmsim.engine.wire.signals import parse_signal
from cnmsim.errors import Conflict, EngineError, SystemFault
from cnmsim.kernel import devices, procfs, procsys, sysfs
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.credentials import Credentials
from cnmsim.kernel.files import File
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.pid_namespace import PidNamespace
from cnmsim.kernel.process import SIGKILL, SIGTERM, Process, Program
from cnmsim.kernel.task import Task, wait_for
from cnmsim.libnetwork.sandbox import Sandbox

_STOP_TIMEOUT_S = 10


@define
class Lifecycle:
    """The life cycle operations of one engine's containers."""

    context: EngineContext
    networking: Networking

    # --- start

    def start(self, container: Container) -> bool:
        """Start a container. Return False if it runs already, else True.

        Raises `Conflict` if it is paused. If the start fails, raises an `EngineError`, and stores its text in the
        container's state, where `docker inspect` prints it.
        """
        if container.state is ContainerState.PAUSED:
            raise Conflict("cannot start a paused container, try unpause instead")
        if container.is_running:
            return False
        check_platform(self.context.profile, container.host_config)  # `docker update` does not check them
        container.restarts.reset()
        container.was_stopped = False
        self._start(container)
        return True

    async def attach_and_start(self, container: Container) -> bool:
        """Wait for a container's addresses and log connection, then start the container as `start` does.

        The addresses are those on networks of the swarm, which a manager allocates; the connection is that of a
        logging driver that uses TCP. Return the result of `start`.
        """
        if container.state is not ContainerState.PAUSED and not container.is_running:
            try:
                await self.networking.attach(container)
            except EngineError as error:
                profile = self.context.profile
                prefix = "" if profile.allocates_before_task else profile.start_error_prefix
                failure = type(error)(prefix + error.message)
                container.exit_code = container.exit_code or UNKNOWN
                self._fail(container, failure)
                raise failure from None
            try:
                await connect_log(self.context, container)
            except EngineError as error:
                container.exit_code = container.exit_code or UNKNOWN
                self._fail(container, error)
                raise
        return self.start(container)

    def _start(self, container: Container) -> None:
        if container.state in {ContainerState.REMOVING, ContainerState.DEAD}:
            raise Conflict("container is marked for removal and cannot be started")
        try:
            self._run(container)
        except StartError as failure:
            container.exit_code = failure.exit_code
            self._fail(container, failure.error)
            raise failure.error from None
        except EngineError as error:
            container.exit_code = container.exit_code or UNKNOWN
            self._fail(container, error)
            raise

    def _fail(self, container: Container, error: EngineError) -> None:
        container.error = error.message
        container.checkpoint = None
        container.keep_checkpoint()
        self._unmount(container)
        self.networking.release(container)
        if container.host_config["AutoRemove"]:
            self.remove(container, force=True, volumes=True)

    def _run(self, container: Container) -> None:
        context, networking = self.context, self.networking
        allocates_first = context.profile.allocates_before_task
        sandbox = self._initialise(container)
        if sandbox is not None and allocates_first:
            networking.allocate(container, sandbox)
        self._mount(container)
        if container.host_config["CpuShares"] < 0:
            raise SystemFault("shares: invalid argument")
        if container.write_files is not None:
            container.write_files()
        check_links(context.containers, container)
        argv = container.command
        user = with_capabilities(find_user(container.config["User"], container.files), container.host_config)
        user = with_groups(context.profile, user, container.host_config["GroupAdd"] or (), container.files)
        check_ipc(context, container)
        pid_namespace = joined_pid_namespace(context, container)
        env = process_environment(
            context, container, container.config["Env"] or (), user, has_terminal=container.has_terminal
        )
        start_logging(context, container)
        check_devices(container, context.machine)
        check_sysctls(context.profile, container)
        check_limits(context.profile, container)
        program, words = find_command(context, container, argv, env)
        if sandbox is not None and not container.config.get("NetworkDisabled"):
            set_key(context.profile, sandbox)
        if sandbox is not None and not allocates_first:
            try:
                networking.allocate(container, sandbox)
            except EngineError as error:
                raise type(error)(context.profile.start_error_prefix + error.message) from None
        require_devices(context.profile, container, sandbox)
        self._bind_files(container)
        if container.host_config.get("Init"):
            program, words = with_init(program, words)
        self._spawn(container, program, words, env, user, pid_namespace)
        context.log_container(container, "start")

    def _initialise(self, container: Container) -> Sandbox | None:
        try:
            return self.networking.initialise(container)
        except EngineError as error:
            raise as_runtime_error(self.context.profile, error) from None

    def _bind_files(self, container: Container) -> None:
        sandbox = self.networking.sandbox_of(container)
        bound = {} if sandbox is None else {"hosts": sandbox.hosts_file, "resolv.conf": sandbox.resolv_conf}
        self._bind_etc(container, {**bound, "hostname": File(f"{container.hostname}\n".encode())})
        is_privileged = bool(container.host_config.get("Privileged"))
        shm_size = 0 if container.host_config["IpcMode"] == "none" else container.host_config["ShmSize"]
        devices.mount(container.files, self.context.clock, shm_size=shm_size)
        add_devices(container, self.context.machine)
        procfs.mount(container.files, self.context.machine, container.pid_namespace)
        procsys.mount(container.files, self._namespace(container), is_read_only=not is_privileged)
        sysfs.mount(container.files, self._namespace(container))
        container.files.mount(
            "/sys/fs/cgroup", control_group(container), is_read_only=not is_privileged, device="cgroup",
            kind="cgroup2", options="nosuid,nodev,noexec,relatime",
        )  # fmt: skip

    def _bind_etc(self, container: Container, files: dict[str, File]) -> None:
        """Mount the engine's files, by name, in /etc of a container, unless the user mounts something there.

        The files also appear in the container's directory on the host.
        """
        directory = directory_of(self.context, container)
        is_read_only = bool(container.host_config["ReadonlyRootfs"])
        taken = {mount.destination for mount in container.mounts}
        for name, file in files.items():
            if (path := f"/etc/{name}") not in taken:
                container.files.mount(path, file, is_read_only=is_read_only, device="/dev/vda1", kind="ext4")
            directory.set(name, file)

    def _namespace(self, container: Container) -> NetworkNamespace:
        sandbox = self.networking.sandbox_of(container)
        if sandbox is None or sandbox.namespace is None:
            # A container without networks has only a loopback device.
            namespace = self.context.machine.new_namespace(container.name)
            namespace.loopback.set_up()
            return namespace
        return sandbox.namespace

    def _spawn(
        self,
        container: Container,
        program: Program,
        argv: list[str],
        env: dict[str, str],
        user: Credentials,
        pid_namespace: PidNamespace | None,
    ) -> None:
        context = self.context
        streams = container.streams
        if streams is None or streams.ended.is_done:
            streams = self.open_streams(container)
        container.has_been_started = True
        container.change(Change.START)
        container.started_ns = context.clock.unix_ns
        container.exit_code, container.error = 0, ""
        start_control_group(container, context.machine)
        container.process = spawn_process(
            context,
            container,
            program,
            argv,
            namespace=self._namespace(container),
            env=env,
            credentials=user,
            streams=streams,
            on_exit=lambda process: self._ended(container, process),
            pid_namespace=pid_namespace,
        )
        container.process.rlimits = resource_limits(container)
        start_monitor(context, container)

    def open_streams(self, container: Container) -> StandardStreams:
        """Return the standard streams of a container's process.

        If the container does not run, they are the streams of the process that starts next, so that clients can
        attach before the start.
        """
        if container.streams is None or container.streams.ended.is_done:
            config = container.config
            streams = StandardStreams(
                self.context.clock, has_stdin=bool(config["OpenStdin"]), is_terminal=container.has_terminal
            )
            streams.listen(container.log.take)
            container.streams = streams
        return container.streams

    # --- mounts

    def _mount(self, container: Container) -> None:
        mount_all(self.context, container)
        for mount in container.mounts:
            if mount.type == "volume":
                attributes = {
                    "container": container.id,
                    "destination": mount.destination,
                    "driver": "local",
                    "propagation": "",
                    "read/write": str(mount.is_writable).lower(),
                }
                self.context.events.log("volume", "mount", mount.name, attributes)

    def _unmount(self, container: Container) -> None:
        unmount_tmpfs(container)
        for mount in container.mounts:
            if mount.type == "volume" and container.started_ns is not None:
                self.context.events.log(
                    "volume", "unmount", mount.name, {"container": container.id, "driver": "local"}
                )

    # --- exit

    def _ended(self, container: Container, process: Process) -> None:
        status = process.exit_status or 0
        kill_descendants(process)
        for execution in tuple(container.execs.values()):
            execution.container_ended()
        namespace = process.namespace
        container.process = None
        container.log.end()
        if container.health is not None:
            container.health.end()
        ran_s = (self.context.clock.unix_ns - (container.started_ns or 0)) / NS_PER_S
        pause_s = container.restarts.pause_before_restart(status, ran_s, was_stopped=container.was_stopped)
        self.networking.release(container)
        self._drop_orphaned(namespace)
        self._unmount(container)
        container.exit_code = status
        container.finished_ns = self.context.clock.unix_ns
        container.change(Change.EXIT if pause_s is None else Change.EXIT_TO_RESTART)
        if pause_s is not None:
            container.restart_count += 1
        self.context.controller.log.write(
            "info", "ignoring event", container=container.id, module="libcontainerd", namespace="moby",
            topic="/tasks/delete", type="*events.TaskDelete",
        )  # fmt: skip
        self.context.log_container(container, "die", {"execDuration": str(int(ran_s)), "exitCode": str(status)})
        if container.streams is not None:
            container.streams.finish(status)
        container.announce_exit()
        if pause_s is not None:
            self.context.clock.call_later(pause_s, self._restart_after_pause, container)
        elif container.host_config["AutoRemove"] and not container.is_restarted_by_hand:
            self.context.clock.call_soon(self._auto_remove, container)

    def _drop_orphaned(self, namespace: NetworkNamespace) -> None:
        """Destroy a network namespace if it belongs neither to a sandbox nor to the host, and no process is in it."""
        machine = self.context.machine
        if namespace is machine.root or any(other is namespace for other in machine.namespaces.values()):
            return
        if not any(process.namespace is namespace for process in machine.processes.values()):
            namespace.destroy()

    def _restart_after_pause(self, container: Container) -> None:
        if container.state is not ContainerState.RESTARTING:
            return
        if container.was_stopped:
            self._give_up_restart(container)
            return
        if self.networking.unattached(container):
            Task(self.context.clock, self._restart_attached(container))
        else:
            self._start_again(container)

    async def _restart_attached(self, container: Container) -> None:
        try:
            await self.networking.attach(container)
        except EngineError as error:
            container.error = error.message
            self._give_up_restart(container)
            return
        if container.state is ContainerState.RESTARTING:
            self._start_again(container)

    def _start_again(self, container: Container) -> None:
        try:
            self._start(container)
        except EngineError:
            if container.state is ContainerState.RESTARTING:
                self._give_up_restart(container)

    def _give_up_restart(self, container: Container) -> None:
        container.change(Change.GIVE_UP_RESTART)
        container.announce_exit()
        if container.host_config["AutoRemove"]:
            self._auto_remove(container)

    def _auto_remove(self, container: Container) -> None:
        if container.state is ContainerState.EXITED and container in tuple(self.context.containers):
            self.remove(container, force=True, volumes=True)

    # --- signals

    def kill(self, container: Container, number: int) -> None:
        """Send the signal `number` to a container's first process.

        Raises `Conflict` if the container does not run.
        """
        container.require_running()
        self.send_signal(container, number)

    def send_signal(self, container: Container, number: int) -> None:
        """Send a signal to a running container.

        A signal that stops the container also disables its restart policy.
        """
        stop_signal = container.config.get("StopSignal")
        if not stop_signal or number in {SIGKILL, parse_signal(stop_signal)}:
            container.was_stopped = True
        if container.state is ContainerState.RESTARTING:
            self._give_up_restart(container)
            return
        self.context.log_container(container, "kill", {"signal": str(number)})
        process = container.process
        if process is None:
            return
        if container.state is ContainerState.PAUSED and number != SIGKILL:
            container.change(Change.UNPAUSE)
            self._each_process(container, Process.unpause)
        process.kill(number)

    async def stop(self, container: Container, *, signal: str = "", timeout_s: int | None = None) -> bool:
        """Stop a container: send its stop signal, or `signal`, then SIGKILL after the timeout.

        Return True, or False if the container does not run. `timeout_s` replaces the container's own timeout; a
        negative one waits without limit. Raises `InvalidParameter` for an unknown signal.
        """
        if not container.is_running:
            return False
        number = parse_signal(signal or container.config.get("StopSignal") or str(SIGTERM))
        if timeout_s is None:
            timeout_s = container.config.get("StopTimeout", _STOP_TIMEOUT_S)
        stopped = container.when("not-running")
        self.send_signal(container, number)
        try:
            await wait_for(self.context.clock, stopped, None if timeout_s < 0 else timeout_s)
        except TimeoutError:
            if container.is_running:
                self.send_signal(container, SIGKILL)
        self.context.log_container(container, "stop")
        return True

    async def restart(self, container: Container, *, signal: str = "", timeout_s: int | None = None) -> None:
        """Stop a container if it runs, then start it. Raises the errors of `stop` and `start`."""
        container.is_restarted_by_hand = True
        try:
            await self.stop(container, signal=signal, timeout_s=timeout_s)
            await self.attach_and_start(container)
        finally:
            container.is_restarted_by_hand = False
        self.context.log_container(container, "restart")

    def pause(self, container: Container) -> None:
        """Freeze all processes of a container.

        Raises `Conflict` if the container does not run or is paused already.
        """
        container.require_running()
        if container.state is ContainerState.PAUSED:
            raise Conflict(f"Container {container.id} is already paused")
        container.require_not_restarting(f"Container {container.id}")
        container.change(Change.PAUSE)
        self._each_process(container, Process.pause)
        self.context.log_container(container, "pause")

    def unpause(self, container: Container) -> None:
        """Resume the processes of a paused container. Raises `SystemFault` if the container is not paused."""
        if container.state is not ContainerState.PAUSED:
            raise SystemFault(f"Container {container.id} is not paused")
        container.change(Change.UNPAUSE)
        self._each_process(container, Process.unpause)
        self.context.log_container(container, "unpause")

    def _each_process(self, container: Container, action: object) -> None:
        assert callable(action)
        for process in processes_of(container):
            action(process)

    # --- removal

    def remove(self, container: Container, *, force: bool = False, volumes: bool = False, term: str = "") -> None:
        """Remove a container; with `force` a running one is killed first, without it `Conflict` is raised.

        `volumes` also removes the container's anonymous volumes. `term` is the name that the caller used for the
        container, for the error text; "" means the container's own name.
        """
        prefix = f'cannot remove container "{term or "/" + container.name}": '
        if container.state is ContainerState.REMOVING:
            raise Conflict(f"removal of container {term or container.name} is already in progress")
        if container.is_running:
            if not force and container.state is ContainerState.PAUSED:
                raise Conflict(f"{prefix}container is paused and must be unpaused first")
            if not force:
                raise Conflict(
                    f"{prefix}container is {container.state.value}: stop the container before removing or force"
                    " remove"
                )
            self.send_signal(container, SIGKILL)
        container.change(Change.REMOVE)
        context = self.context
        for identity in [execution.id for execution in context.execs.values() if execution.container is container]:
            del context.execs[identity]
        context.containers.remove(container)
        remove_directory(context, container)
        unmount_images(context, container)
        self._drop_volumes(container, anonymous=volumes)
        context.log_container(container, "destroy")
        container.announce_removal()

    def _drop_volumes(self, container: Container, *, anonymous: bool) -> None:
        for mount in container.mounts:
            if mount.type != "volume":
                continue
            volume = self.context.volumes.get(mount.name)
            volume.users.discard(container.id)
            if anonymous and mount.is_anonymous and not volume.users:
                self.context.volumes.remove(mount.name)
