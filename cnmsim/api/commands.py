"""The commands `cnmsim serve` and `cnmsim sh`. Those for a lab that is already served are in `control_commands`."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnmsim.api.control_commands import capture
from cnmsim.digits import is_number
from cnmsim.printable import echo

if TYPE_CHECKING:
    from cnmsim.lab import Lab
    from cnmsim.lab.serving import ClockMode
    from cnmsim.lab.state.statefile import StateFile

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_STATE = click.Path(dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
#: Timeout for restored swarm nodes to find their managers, in seconds of virtual time.
_START_LIMIT_S = 120.0
CLOCK_MODES = ("real", "fast", "paused")
Load = Callable[[Path, str | None], "Lab"]


def add_commands(group: click.Group, load: Load) -> None:
    """Add the commands to `group`; `load(file, engine)` builds the lab of a lab file or Compose file."""
    group.add_command(_serve_command(load))
    group.add_command(shell)
    group.add_command(capture)


def _serve_command(load: Load) -> click.Command:
    @click.command()
    @click.argument("file", type=_FILE)
    @click.option("--dir", "directory", type=_FOLDER, required=True, help="Folder for the sockets.")
    @click.option("--engine", metavar="VERSION", help="Release of Docker to simulate (26.1.5, 28.5.2, 29.7.2).")
    @click.option(
        "--state", type=_STATE, help="Keep the state of the engines in this file, and restore them from it."
    )
    @click.option("--offline-images", is_flag=True, help="Let every pull fail, as on a host without a registry.")
    @click.option(
        "--clock",
        type=click.Choice(CLOCK_MODES),
        default="real",
        show_default=True,
        help="real: in step with real time. fast: so, and in jumps while a client waits. paused: only in such jumps.",
    )
    @click.option("--fast", "clock", flag_value="fast", help="The same as --clock fast.")
    @click.option(
        "--expose-ports", is_flag=False, flag_value="", metavar="[=HOST]",
        help="Also open the ports that this Docker host publishes on this machine's loopback.",
    )  # fmt: skip
    @click.option("--plugin-dir", multiple=True, type=_FOLDER, help="Look for network and IPAM plugins here.")
    @click.option(
        "--plugin-wait", type=click.FloatRange(min=0), metavar="SECONDS",
        help="Seconds to look for a plugin, and to retry one that does not respond (30).",
    )  # fmt: skip
    @click.option("--tcp", multiple=True, metavar="[NODE=]ADDRESS:PORT", help="Serve a Docker host over TCP as well.")
    @click.option("--tlsverify", is_flag=True, help="Accept only TCP clients with a certificate of the CA.")
    @click.option("--tlscacert", type=_FILE, help="The CA's certificate.")
    @click.option("--tlscert", type=_FILE, help="The server's certificate.")
    @click.option("--tlskey", type=_FILE, help="The server's key.")
    def serve(
        file: Path, directory: Path, engine: str | None, state: Path | None, offline_images: bool, clock: ClockMode,
        expose_ports: str | None, plugin_dir: tuple[Path, ...], plugin_wait: float | None,
        tcp: tuple[str, ...], tlsverify: bool, tlscacert: Path | None, tlscert: Path | None, tlskey: Path | None,
    ) -> None:  # fmt: skip
        """Open a Docker Engine API socket for every Docker host of FILE, until SIGINT or SIGTERM.

        \b
            cnmsim serve lab.yml --dir $XDG_RUNTIME_DIR/lab &
            export DOCKER_HOST=unix://$XDG_RUNTIME_DIR/lab/node1/docker.sock
        """  # noqa: D301 - click's own mark
        import asyncio  # imported here, because `cnmsim sh` runs for every program of a script and must start fast

        from cnmsim.cli_fix import refuse
        from cnmsim.errors import CnmsimError

        certificates = _certificates(tlsverify, tlscacert, tlscert, tlskey)
        try:
            lab = load(file, engine)
            lab.images.is_offline = offline_images
            lab.look_for_plugins(*plugin_dir, give_up_s=plugin_wait)
            with nullcontext() if state is None else _opened(state, lab, file) as state_file:
                asyncio.run(_serve(lab, directory, clock, expose_ports, tcp, certificates, state_file))
                if state_file is not None:
                    state_file.finish()
        except (CnmsimError, OSError, ValueError) as error:
            refuse(str(error), error)

    return serve


def _tell(message: str) -> None:
    echo(f"cnmsim: {message}", err=True)


@contextmanager
def _opened(path: Path, lab: Lab, source: Path) -> Iterator[StateFile]:
    """Open the state file `path` while a `with` block lasts, and restore `lab` from it.

    `source` is the file from which the lab was built. Raises `Conflict` if another server has opened the file,
    `FileError` if the content is invalid or does not fit the lab, and `OSError` if the file cannot be read or
    written.
    """
    from cnmsim.lab.state.restore import restore_lab
    from cnmsim.lab.state.statefile import StateFile

    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: no folder to write a state file to")
    state_file = StateFile.open(path)
    try:
        if state_file.content is not None:
            restore_lab(lab, state_file.content, path, int(time.time() - lab.now))
            # A daemon answers once its node has found the managers, or after a timeout.
            with suppress(TimeoutError):
                lab.settle(0, limit_s=_START_LIMIT_S)
        state_file.record(lab, source)
        yield state_file
    finally:
        state_file.close()


def _certificates(
    verifies: bool, ca: Path | None, certificate: Path | None, key: Path | None
) -> tuple[Path, Path, Path] | None:
    if not verifies:
        if ca or certificate or key:
            raise click.UsageError("--tlscacert, --tlscert and --tlskey need --tlsverify")
        return None
    if not (ca and certificate and key):
        raise click.UsageError("--tlsverify needs --tlscacert, --tlscert and --tlskey")
    return ca, certificate, key


async def _serve(
    lab: Lab,
    directory: Path,
    clock: ClockMode,
    expose_ports: str | None,
    tcp: tuple[str, ...],
    certificates: tuple[Path, Path, Path] | None,
    state: StateFile | None,
) -> None:
    import asyncio

    from cnmsim.api.server import ApiServer
    from cnmsim.api.tls import mutual_tls
    from cnmsim.lab.recorded_images import has_recorded_images
    from cnmsim.suggestion import suggestion

    tls = mutual_tls(*certificates) if certificates else None
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with ApiServer(
        lab, directory, clock=clock, expose_ports=expose_ports, announce=_tell, state=state
    ) as server:
        listening: list[str] = []
        for text in tcp:
            name, _, place = text.rpartition("=")
            address, _, port = place.rpartition(":")
            is_port = is_number(port) and len(port) < 6 and int(port) < 65536
            if not is_port or address.startswith("[") != address.endswith("]") or not (name or server.apis):
                raise ValueError(f"--tcp {text}: write [NODE=]ADDRESS:PORT, with a port from 0 to 65535")
            name = name or next(iter(server.apis))
            if name not in server.apis:
                raise ValueError(f"--tcp {text}: no Docker host is named {name}{suggestion(name, server.apis)}")
            bound = await server.listen_tcp(name, address.strip("[]") or "127.0.0.1", int(port), tls)
            listening.append(f"{name}: DOCKER_HOST=tcp://{address or '127.0.0.1'}:{bound}{' (TLS)' if tls else ''}")
        for name in server.apis:
            echo(f"{name}: DOCKER_HOST=unix://{server.socket_path(name).resolve()}")
        for line in listening:
            echo(line)
        if has_recorded_images(lab.images):
            _tell("nginx is the recordings' busybox httpd; `images: hub` in the file selects Docker Hub's images")
        sys.stdout.flush()
        await server.run_until(stop)


@click.command("sh", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--dir", "directory", type=_FOLDER, required=True, help="The folder of `cnmsim serve`.")
@click.option("--own", is_flag=True, help="Run a program of this machine, with HOST's programs first in its PATH.")
@click.argument("host")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[PROGRAM ARGUMENT…]")
def shell(directory: Path, own: bool, host: str, command: tuple[str, ...]) -> None:
    """Run a program on HOST of a served lab; without a program, open your shell with HOST's programs in PATH.

    \b
        cnmsim sh --dir $XDG_RUNTIME_DIR/lab client -- ping -c 1 10.0.0.15
        cnmsim sh --dir $XDG_RUNTIME_DIR/lab --own node1 -- python3 my_plugin.py
        cnmsim sh --dir $XDG_RUNTIME_DIR/lab node1
    """  # noqa: D301 - click's own mark
    from cnmsim.api.shell import open_shell, run_program

    words = list(command[1:] if command and command[0] == "--" else command)
    if words and not own:
        raise SystemExit(run_program(directory, host, words))
    from cnmsim.userland import HOST_PROGRAMS

    raise SystemExit(open_shell(directory, host, list(HOST_PROGRAMS), words))
