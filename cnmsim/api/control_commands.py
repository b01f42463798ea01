"""The commands for a lab that is already served: `trace`, `explain` and `capture` with `--dir`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnmsim.cli_arguments import Question, question_options
from cnmsim.cli_output import echo_json
from cnmsim.printable import echo, fail, printable

if TYPE_CHECKING:
    from cnmsim.api.frames import Frame

_FOLDER = click.Path(file_okay=False, path_type=Path)
_PCAPNG = click.Path(dir_okay=False, path_type=Path, allow_dash=True)
_directory = click.option(
    "--dir", "directory", type=_FOLDER, required=True, help="The folder of the served lab (`cnmsim serve --dir`)."
)


def _question(verb: str, about: str) -> click.Command:
    """Create the command `trace` or `explain` for a served lab, such as `cnmsim trace --dir …`.

    `verb` is the command's name, `about` its help text.
    """

    @click.command(verb, help=about)
    @_directory
    @question_options
    def command(directory: Path, question: Question) -> None:
        from cnmsim.api.control_client import ask
        from cnmsim.errors import CnmsimError

        try:
            reply = ask(directory, {"verb": verb, **question._asdict()})
        except CnmsimError as error:
            fail(error.message)
        answer = reply["answer"]
        if question.as_json:
            echo_json(answer)
        else:
            echo(reply["text"])
        raise SystemExit(0 if answer["reachable"] else 1)

    return command


trace_served = _question(
    "trace",
    "Send real packets from SRC to DST in a served lab and show whether they arrive, by what, and their path.",
)
explain_served = _question("explain", "Show whether SRC reaches DST in a served lab, and what decides it.")


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
        fail(error.message)
    except BrokenPipeError:
        raise SystemExit(141) from None  # the reader of the lines has exited, as `head` does
    except OSError as error:
        fail(str(error))
