"""systemd's journalctl: shows the journal of the host."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cnmsim.digits import is_number
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.journal import JournalEntry
from cnmsim.kernel.task import Signal
from cnmsim.userland.libc.getopt import Options, UsageError, getopt

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

_LONG = {
    "unit=": "u", "follow": "f", "lines=": "n", "no-pager": "P", "output=": "o", "identifier=": "t", "reverse": "r",
    "boot": "b", "priority=": "p", "quiet": "q", "pager-end": "e", "catalog": "x", "no-hostname": "H", "all": "a",
    "since=": "S", "until=": "U",
}  # fmt: skip
_PRIORITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
_FORMATS = ("short", "short-iso", "short-precise", "short-unix", "cat", "json")


async def main(process: Process) -> int:
    """Run `journalctl [-u UNIT] [-t IDENTIFIER] [-p PRIORITY] [-n N] [-o FORMAT] [-f] [-r] [FIELD=VALUE…]`.

    -S and -U select the entries since and until a time, such as `2026-01-01 10:00:00`, or `-5s` (five seconds ago).
    """
    try:
        options = getopt(process.argv[1:], "u:fn:o:t:rbp:qexaS:U:", _LONG)
        selects, render, count = _selection(process, options), _renderer(process, options), _count(options)
    except (UsageError, ValueError) as error:
        process.error(f"journalctl: {error}\n" if isinstance(error, UsageError) else f"{error}\n")
        return 1
    journal = process.machine.journal
    waiting: list[JournalEntry] = []
    signal = Signal(process.clock)
    entries = [entry for entry in journal.entries if selects(entry)]
    if count is not None:
        entries = entries[len(entries) - count :] if count else []
    if not entries and "q" not in options and "f" not in options:
        process.write("-- No entries --\n")
    for entry in reversed(entries) if "r" in options else entries:
        process.write(render(entry))
    if "f" not in options:
        return 0

    def take(entry: JournalEntry) -> None:
        if selects(entry):
            waiting.append(entry)
            signal.notify()

    stop = journal.follow(take)
    try:
        while True:
            await signal.wait_until(lambda: bool(waiting))
            while waiting:
                process.write(render(waiting.pop(0)))
    finally:
        stop()


def _count(options: Options) -> int | None:
    text = options.get("n")
    if text is None:
        return 10 if "f" in options else 1000 if "e" in options else None
    if text == "all":
        return None
    if not is_number(text):
        raise ValueError(f"Failed to parse lines '{text}'")
    return int(text)


def _selection(process: Process, options: Options) -> Callable[[JournalEntry], bool]:
    units = {unit if "." in unit else f"{unit}.service" for unit in options.every("u")}
    identifiers, matches = options.every("t"), [_match(word) for word in options.operands]
    most = _priority(options.get("p", "debug") or "debug")
    since_ns, until_ns = (_moment(process, options.get(key)) for key in ("S", "U"))

    def selects(entry: JournalEntry) -> bool:
        fields = _fields(entry)
        return (
            (not units or entry.unit in units)
            and (not identifiers or entry.identifier in identifiers)
            and entry.priority <= most
            and (since_ns is None or entry.time_ns >= since_ns)
            and (until_ns is None or entry.time_ns <= until_ns)
            and all(fields.get(name) in {value for key, value in matches if key == name} for name, _ in matches)
        )

    return selects


def _match(word: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals:
        raise ValueError(f"Failed to add match '{word}': Invalid argument")
    return name, value


def _priority(text: str) -> int:
    if text in _PRIORITIES:
        return _PRIORITIES.index(text)
    if is_number(text) and int(text) < len(_PRIORITIES):
        return int(text)
    raise ValueError(f"Unknown log level {text}")


def _moment(process: Process, text: str | None) -> int | None:
    if text is None:
        return None
    now_ns = process.clock.unix_ns
    if text == "now":
        return now_ns
    if text.startswith("-") and text.endswith("s") and is_number(text[1:-1]):
        return now_ns - int(text[1:-1]) * NS_PER_S
    for layout in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"):
        try:
            return int(datetime.strptime(text, layout).replace(tzinfo=UTC).timestamp()) * NS_PER_S
        except ValueError:
            continue
    raise ValueError(f"Failed to parse timestamp: {text}")


def _fields(entry: JournalEntry) -> dict[str, str]:
    return {
        "__REALTIME_TIMESTAMP": str(entry.time_ns // 1000),
        "PRIORITY": str(entry.priority),
        "SYSLOG_IDENTIFIER": entry.identifier,
        "_PID": str(entry.pid),
        **({"_SYSTEMD_UNIT": entry.unit} if entry.unit else {}),
        **entry.fields,
        "MESSAGE": entry.message,
    }


def _renderer(process: Process, options: Options) -> Callable[[JournalEntry], str]:
    form = options.get("o", "short") or "short"
    if form not in _FORMATS:
        raise ValueError(f"Unknown output '{form}'.")
    host = "" if "H" in options else f"{process.machine.name} "

    def render(entry: JournalEntry) -> str:
        if form == "cat":
            return f"{entry.message}\n"
        if form == "json":
            return json.dumps({**_fields(entry), "_HOSTNAME": process.machine.name}, separators=(",", ":")) + "\n"
        moment = datetime.fromtimestamp(entry.time_ns // NS_PER_S, UTC)
        fraction = f"{entry.time_ns % NS_PER_S // 1000:06d}"
        stamp = {
            "short": f"{moment:%b %d %H:%M:%S}",
            "short-iso": f"{moment:%Y-%m-%dT%H:%M:%S}+00:00",
            "short-precise": f"{moment:%b %d %H:%M:%S}.{fraction}",
            "short-unix": f"{entry.time_ns // NS_PER_S}.{fraction}",
        }[form]
        return f"{stamp} {host}{entry.identifier}[{entry.pid}]: {entry.message}\n"

    return render
