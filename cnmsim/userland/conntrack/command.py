"""conntrack (conntrack-tools 1.4.8): list, get, count, update, delete and flush entries, statistics, events.

Entries cannot be created (`-I`, `-A`, `-R`): the simulated kernel refuses that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.digits import is_number
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.netfilter.cttext import entry_command, entry_line, entry_xml
from cnmsim.kernel.task import Queue
from cnmsim.userland.conntrack.options import ConntrackError, Request, parse_command_line

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.connection import Connection
    from cnmsim.kernel.netfilter.conntrack import Conntrack, Event
    from cnmsim.kernel.process import Process

_HEAD = "conntrack v1.4.8 (conntrack-tools)"
_HINT = "Try `conntrack -h' or 'conntrack --help' for more information.\n"
_XML = '<?xml version="1.0" encoding="utf-8"?>\n<conntrack>\n'
_PARTICIPLES = {"L": "shown", "G": "shown", "D": "deleted", "U": "updated"}
_MARKS = {"new": "    [NEW] ", "update": " [UPDATE] ", "destroy": "[DESTROY] "}
_VERBS = {"new": "-A", "update": "-U", "destroy": "-D"}
#: How often expired entries are removed while events are shown. The kernel's garbage collector is no slower.
_SWEEP_S = 1.0
_USAGE = """\
Command line interface for the connection tracking system. Version 1.4.8
Usage: conntrack [commands] [options]

Commands:
  -L [table] [options]\t\tList conntrack or expectation table
  -G [table] parameters\t\tGet conntrack or expectation
  -D [table] parameters\t\tDelete conntrack or expectation
  -I [table] parameters\t\tCreate a conntrack or expectation
  -U [table] parameters\t\tUpdate a conntrack
  -E [table] [options]\t\tShow events
  -F [table]\t\t\tFlush table
  -C [table]\t\t\tShow counter
  -S\t\t\t\tShow statistics

Tables: conntrack, expect, dying, unconfirmed
"""


async def main(process: Process) -> int:
    """Run `conntrack -L|-G|-D|-U|-E|-F|-C|-S [-p PROTO] [-s ADDRESS] [-d ADDRESS] [-f FAMILY] [-o FORMAT] …`."""
    try:
        request = parse_command_line(process.argv[1:])
        return await _run(process, request)
    except ConntrackError as error:
        hint = _HINT if error.status == 2 else ""
        process.error(f"{error.warning}{_HEAD}: {error}\n{hint}")
        return error.status


async def _run(process: Process, request: Request) -> int:
    table = process.namespace.netfilter.conntrack
    if request.command in ("", "h"):
        process.write(_USAGE)
        return 0
    if request.command == "V":
        process.write(f"{_HEAD}\n")
        return 0
    if request.command in ("I", "A", "R"):
        raise ConntrackError("Operation failed: Operation not supported", 1)
    if request.command == "S":
        _statistics(process, table)
        return 0
    if request.table != "conntrack":
        return _run_on_empty_table(process, request)
    if request.command == "C":
        process.write(f"{table.count}\n")
        return 0
    if request.command == "F":
        table.flush(lambda connection: request.family in {None, connection.family})
        process.error(f"{_HEAD}: connection tracking table has been emptied.\n")
        return 0
    if request.command == "E":
        return await _events(process, request, table)
    return _entries(process, request, table)


def _entries(process: Process, request: Request, table: Conntrack) -> int:
    """List, get, delete or update the entries that `request` selects. Return the exit status.

    Raises `ConntrackError` if the command is to get an entry and none matches.
    """
    connections = [connection for connection in table.entries() if request.matches(connection)]
    changed = connections
    if request.command == "U":
        changed = [connection for connection in connections if _update(table, connection, request)]
    if "xml" in request.outputs:
        process.write(_XML)
    for connection in changed:
        text = _text(connection, table.remaining_s(connection), request)
        # While an entry is updated or fetched, its use count is one higher.
        process.write(f"{text.replace('use=1', 'use=2') if request.command in 'UG' else text}\n")
    if "xml" in request.outputs:
        process.write("</conntrack>\n")
    if request.command == "G" and not connections:
        raise ConntrackError("Operation failed: such conntrack doesn't exist", 1)
    if request.command == "D":
        table.flush(request.matches)
    process.error(f"{_HEAD}: {len(changed)} flow entries have been {_PARTICIPLES[request.command]}.\n")
    return int(request.command in "DU" and not changed)


def _text(connection: Connection, seconds: int, request: Request) -> str:
    if "save" in request.outputs:
        return entry_command(connection, seconds)
    if "xml" in request.outputs:
        return entry_xml(connection, seconds)
    return entry_line(connection, seconds, is_extended="extended" in request.outputs, has_id="id" in request.outputs)


def _update(table: Conntrack, connection: Connection, request: Request) -> bool:
    """Set a connection's mark and timeout as requested. Return False if the request changes neither."""
    value, mask = request.mark or (0, 0)
    mark = connection.mark & ~mask ^ value
    text = request.options.get("t", "")
    timeout = int(text) if is_number(text) else None
    if mark == connection.mark and timeout is None:
        return False
    table.set_mark_or_timeout(connection, mark=mark, timeout_s=timeout)
    return True


def _run_on_empty_table(process: Process, request: Request) -> int:
    """Run a command on the table `expect`, `dying` or `unconfirmed`. These tables are always empty here.

    Return the exit status. Raises `ConntrackError` if the command does not support that table.
    """
    if request.command == "C":
        process.write("0\n")
    elif request.command == "F" and request.table == "expect":
        process.error(f"{_HEAD}: expectation table has been emptied.\n")
    elif request.command == "L":
        what = "expectations" if request.table == "expect" else "flow entries"
        process.error(f"{_HEAD}: 0 {what} have been shown.\n")
    else:
        raise ConntrackError("Can't use this command with this table")
    return 0


def _statistics(process: Process, table: Conntrack) -> None:
    process.write(
        f"cpu=0   \tfound=0 invalid={table.invalid} insert=0 insert_failed=0 drop={table.table_full} "
        f"early_drop={table.early_drops} error=0 search_restart=0 clash_resolve=0 chaintoolong=0 \n"
    )


async def _events(process: Process, request: Request, table: Conntrack) -> int:
    """Print the connection events that match `request` until the process is interrupted."""
    lines: Queue[str] = Queue(process.clock)
    shown = 0

    def listener(event: Event, connection: Connection) -> None:
        if not process.is_running:
            table.listeners.remove(listener)
        elif event in request.events and request.matches(connection):
            lines.put(_event_text(process, request, table, event, connection))

    def stop() -> None:
        if listener in table.listeners:
            table.listeners.remove(listener)
        if "xml" in request.outputs:
            process.write("</conntrack>\n")
        process.error(f"{_HEAD}: {shown} flow events have been shown.\n")
        process.exit(0)

    process.handlers[2] = process.handlers[15] = stop
    if "xml" in request.outputs:
        process.write(_XML)
    table.listeners.append(listener)
    while True:
        try:
            text = await lines.get(_SWEEP_S)
        except TimeoutError:
            table.purge()
            continue
        process.write(text)
        shown += 1


def _event_text(process: Process, request: Request, table: Conntrack, event: Event, connection: Connection) -> str:
    seconds: int | None = table.remaining_s(connection)
    # An entry destroyed because it timed out is shown without a timeout.
    seconds = None if event == "destroy" and not seconds else seconds
    if "save" in request.outputs:
        return f"{entry_command(connection, seconds, _VERBS[event])}\n"
    if "xml" in request.outputs:
        return f"{entry_xml(connection, seconds, event)}\n"
    stamp = ""
    if "timestamp" in request.outputs:
        at_s, at_ns = divmod(process.clock.now_ns, NS_PER_S)
        stamp = f"[{process.clock.epoch_s + at_s}.{at_ns // 1000:06d}]\t"
    extended, has_id = "extended" in request.outputs, "id" in request.outputs
    return (
        f"{stamp}"
        f"{_MARKS[event]}{entry_line(connection, seconds, is_extended=extended, has_id=has_id, is_event=True)}\n"
    )
