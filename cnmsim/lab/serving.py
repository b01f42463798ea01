"""Protocols (interfaces) of the server of a lab's Engine APIs.

The server, `cnmsim.api.inprocess`, belongs to a higher layer than the lab. The lab therefore knows only these
protocols, and imports the server by name when a lab is first served.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Protocol, TypeAlias, TypeVar, cast

if TYPE_CHECKING:
    from cnmsim.lab.lab import Lab

#: The ways in which a served lab's time passes: `real`, in step with real time; `fast`, also in jumps while a client
#: waits for something in the lab; `paused`, only in such jumps.
ClockMode: TypeAlias = Literal["real", "fast", "paused"]
P = ParamSpec("P")
T = TypeVar("T")
_SERVER = "cnmsim.api.inprocess"
_ENGINE_SOCKET = "cnmsim.api.engine_socket"


class ServedLab(Protocol):
    """The sockets of a served lab: a mapping from the names of its Docker hosts to paths."""

    @property
    def directory(self) -> Path:
        """The folder of the sockets: the argument of `cnmsim sh --dir`."""

    @property
    def ports(self) -> dict[str, tuple[str, int]]:
        """The real addresses of the exposed ports, by port and protocol: `{"8080/tcp": ("127.0.0.1", 8080)}`."""

    def __getitem__(self, host: str, /) -> Path:
        """Return the path of a Docker host's socket. Raises `KeyError` if there is no Docker host of that name."""

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names of the Docker hosts."""

    def __len__(self) -> int:
        """Return the number of Docker hosts."""

    def values(self) -> Collection[Path]:
        """Return the paths of the sockets."""

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `function` in the server's thread. Return its result or raise its error."""


class PluginControl(Protocol):
    """A control socket for plugin processes."""

    @property
    def path(self) -> Path:
        """The path of the socket."""

    def environment(self, host: str, folder: Path) -> dict[str, str]:
        """Return environment variables with which a plugin process's `ip`, `iptables` and so on act on `host`.

        The scripts that replace these programs are written to `folder`.
        """


class Server(Protocol):
    """The module that serves labs."""

    def serve(
        self, lab: Lab, directory: Path | None, *, clock: ClockMode, expose_ports: str | None
    ) -> AbstractContextManager[ServedLab]:
        """Serve the Engine API of a lab's Docker hosts while a `with` block lasts; see `Lab.serve`."""

    def open_plugin_control(self, lab: Lab, directory: Path | None) -> AbstractContextManager[PluginControl]:
        """Serve a control socket for plugins while a `with` block lasts; see `Lab.open_plugin_control`."""


def server() -> Server:
    """Import the server of the Engine API and return it.

    It belongs to a higher layer than the lab, so it is imported by name.
    """
    return cast("Server", import_module(_SERVER))


def connect_to_engine(lab: Lab, host: str) -> Any:
    """Open a connection to a host's engine from inside the lab, as to its /var/run/docker.sock.

    Return the client's end. Raises `ConnectionRefusedError` if the engine does not run.
    """
    return import_module(_ENGINE_SOCKET).connect(lab, host)
