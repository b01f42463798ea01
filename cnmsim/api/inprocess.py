"""Serve the Engine API of a lab from within a Python program, for the length of a `with` block.

Server and lab run in a thread of their own. For access to the lab beyond its sockets, `ServedLab.call` runs a
function in that thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from cnmsim.api.plugin_control import open_plugin_control as open_plugin_control  # noqa: PLC0414 - part of `lab.serving.Server`
from cnmsim.api.server import ApiServer

if TYPE_CHECKING:
    from cnmsim.lab import Lab
    from cnmsim.lab.serving import ClockMode

P = ParamSpec("P")
T = TypeVar("T")


class ServedLab(Mapping[str, Path]):
    """A lab that is being served: a mapping from the names of its Docker hosts to the paths of their sockets."""

    def __init__(self, server: ApiServer, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop

    def __getitem__(self, host: str) -> Path:
        if host not in self._server.apis:
            raise KeyError(host)
        return self._server.socket_path(host)

    def __iter__(self) -> Iterator[str]:
        return iter(self._server.apis)

    def __len__(self) -> int:
        return len(self._server.apis)

    @property
    def directory(self) -> Path:
        """The folder that contains the sockets: the argument of `cnmsim sh --dir`."""
        return self._server.directory

    @property
    def ports(self) -> dict[str, tuple[str, int]]:
        """The real addresses at which published ports are open: `{"8080/tcp": ("127.0.0.1", 8080)}`.

        The keys are port and protocol in the lab. Empty unless the lab is served with `expose_ports`.
        """
        forwarded = self._server.forwarded_ports
        return self.call(lambda: forwarded.table) if forwarded is not None else {}

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `function` in the server's thread, while this thread does nothing else.

        Return the function's result or raise its error.

        >>> sockets.call(lab.host("client").curl, "http://10.0.0.15:8080/")  # doctest: +SKIP
        """

        async def run() -> T:
            return function(*args, **kwargs)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()


@contextlib.contextmanager
def serve(
    lab: Lab, directory: Path | None = None, *, clock: ClockMode = "paused", expose_ports: str | None = None
) -> Iterator[ServedLab]:
    """Serve `lab` until the `with` block ends, with sockets in `directory` or in a temporary folder.

    `expose_ports` is the name of a Docker host: the ports that this host publishes are also open on this machine's
    loopback. Raises `InvalidParameter` if there is no such Docker host, `OSError` if a socket cannot be opened, and
    at the end of the block the error that ended the simulation, if there was one.
    """
    with contextlib.ExitStack() as stack:
        if directory is None:
            # The path of a Unix socket has about a hundred characters at most: a short folder leaves room for the
            # host's name.
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cnmsim-")))
        yield stack.enter_context(_running(lab, directory, clock=clock, expose_ports=expose_ports))


@contextlib.contextmanager
def _running(lab: Lab, directory: Path, *, clock: ClockMode, expose_ports: str | None) -> Iterator[ServedLab]:
    opened = threading.Event()
    served: list[ServedLab] = []
    errors: list[BaseException] = []
    stop = asyncio.Event()

    async def run() -> None:
        async with ApiServer(lab, directory, clock=clock, expose_ports=expose_ports) as server:
            served.append(ServedLab(server, asyncio.get_running_loop()))
            opened.set()
            await server.run_until(stop)

    def work() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that serves
            errors.append(error)
        finally:
            opened.set()

    thread = threading.Thread(target=work, name="cnmsim serve")
    thread.start()
    opened.wait()
    try:
        if served:
            for name, path in served[0].items():
                lab.host(name).socket = path
            yield served[0]
    finally:
        for host in lab.hosts.values():
            host.socket = None
        if served and thread.is_alive():
            with contextlib.suppress(RuntimeError):  # the loop ended by itself meanwhile
                served[0]._loop.call_soon_threadsafe(stop.set)
        thread.join()
    if errors:
        raise errors[0]
