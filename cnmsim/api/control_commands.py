"""The commands for a lab that is already served: `trace`, `explain` and `capture` with `--dir`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from cnmsim.printable import echo, printable

if TYPE_CHECKING:
    from cnmsim.api.frames import Frame

_FOLDER = click.Path(file_okay=False, path_type=Path)
_PCAPNG = click.Path(dir_okay=False, path_type=Path, allow_dash=True)
_directory = click.option(
    "--dir", "directory", type=_FOLDER, required=True, help="The folder of the served lab (`cnmsim serve --dir`)."
)


def _refused(message: str) -> NoReturn:
    echo(f"cnmsim: {message}", err=True)
    raise SystemExit(2)


def _ask(directory: Path, request: dict[str, Any]) -> Any:
    from cnmsim.api.control_client import ask
    from cnmsim.errors import CnmsimError

    try:
        return ask(directory, request)
    except CnmsimError as error:
        _refused(error.message)


@click.command()
@_directory
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DST[:PORT]")
@click.option("--tcp", "protocol", flag_value="tcp", help="Connect by TCP (the default with a port).")
@click.option("--udp", "protocol", flag_value="udp", help="Send a UDP datagram.")
@click.option("--icmp", "protocol", flag_value="icmp", help="Send an echo request (the default without a port).")
@click.option("--timeout", type=click.FloatRange(min=0.001), default=5.0, show_default=True, help="Seconds to wait.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (trace.schema.json in the package).")
@click.option("-v", "--verbose", count=True, help="Show the walk of the packets; twice: every step of it.")
def trace_served(
    directory: Path, source: str, destination: str, protocol: str | None, timeout: float, as_json: bool, verbose: int
) -> None:
    """Send real packets from SRC to DST in a served lab and show whether they arrive, by what, and their path."""
    request = {
        "verb": "trace", "source": source, "destination": destination, "protocol": protocol, "timeout_s": timeout,
        "verbose": verbose,
    }  # fmt: skip
    answer = _ask(directory, request)
    walk = answer["walk"]
    echo(json.dumps(walk, indent=2, ensure_ascii=False) if as_json else answer["text"])
    raise SystemExit(0 if walk["reachable"] else 1)


@click.command()
@_directory
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="DST[:PORT]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain_served(directory: Path, source: str, destination: str, as_json: bool) -> None:
    """Show whether SRC reaches DST in a served lab, and what decides it."""
    answer = _ask(directory, {"verb": "explain", "source": source, "destination": destination})
    explanation = answer["explanation"]
    echo(json.dumps(explanation, indent=2, ensure_ascii=False) if as_json else answer["text"])
    raise SystemExit(0 if explanation["reachable"] else 1)


@click.command()
@_directory
@click.argument("devices", nargs=-1, required=True, metavar="HOST:DEVICE…")
@click.option("-w", "--write", "target", type=_PCAPNG, help="Write a pcapng file (- is stdout) instead of lines.")
@click.option("-c", "--count", type=click.IntRange(min=1), help="End after this number of frames.")
@click.option("--duration", type=click.FloatRange(min=0.001), metavar="SECONDS", help="End after this many seconds.")
def capture(
    directory: Path, devices: tuple[str, ...], target: Path | None, count: int | None, duration: float | None
) -> None:
    """Show the frames at devices of a served lab, until Ctrl-C.

    Devices are those of hosts and containers, with wildcards; time keeps step with real time meanwhile.

    \b
        cnmsim capture --dir $XDG_RUNTIME_DIR/lab node1:eth0
        cnmsim capture --dir $XDG_RUNTIME_DIR/lab 'node1:br-*' web:eth0 -w out.pcapng --duration 10
    """  # noqa: D301 - click's own mark
    from cnmsim.api import control_client
    from cnmsim.api.frames import Frame
    from cnmsim.errors import CnmsimError

    def tell(kind: Frame, content: bytes) -> None:
        stream = sys.stdout if kind is Frame.STDOUT else sys.stderr
        stream.buffer.write(printable(content.decode(errors="replace")).encode())
        stream.buffer.flush()

    is_file = target is not None
    request = {"devices": list(devices), "count": count, "duration_s": duration, "as_file": is_file}
    try:
        file = control_client.capture(directory, request, tell)
        if target is not None:
            with click.open_file(str(target), "wb") as out:
                out.write(file)
    except CnmsimError as error:
        _refused(error.message)
    except BrokenPipeError:
        raise SystemExit(141) from None  # the reader of the lines has exited, as `head` does
    except OSError as error:
        _refused(str(error))
