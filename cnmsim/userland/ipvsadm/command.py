"""ipvsadm 1.31: adds, changes, removes and lists the virtual services of the namespace.

Not modelled: persistent services (-p), connection thresholds (-x, -y), rates, SCTP and the synchronisation daemons.
"""

from __future__ import annotations

import errno
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attrs import frozen

from cnmsim.digits import is_number
from cnmsim.kernel.address import format_ip, parse_ip
from cnmsim.kernel.errno_text import errno_of, strerror
from cnmsim.kernel.netfilter.errors import ParameterProblemError
from cnmsim.kernel.netfilter.option_values import parse_port
from cnmsim.userland.invocation import read_all
from cnmsim.userland.ipvsadm.listing import (
    BANNER,
    Format,
    connections_text,
    header,
    ordered_services,
    rules_text,
    service_text,
)
from cnmsim.userland.libc.getopt import Options, UsageError, getopt

if TYPE_CHECKING:
    from cnmsim.kernel.ipvs import Ipvs
    from cnmsim.kernel.process import Process

_SHORT = "AEDCRSaedLlZt:u:f:s:r:gimw:cn6hv"
_LONG = {
    "add-service": "A", "edit-service": "E", "delete-service": "D", "clear": "C", "restore": "R", "save": "S",
    "add-server": "a", "edit-server": "e", "delete-server": "d", "list": "L", "zero": "Z", "set": "set", "help": "h",
    "tcp-service=": "t", "udp-service=": "u", "fwmark-service=": "f", "ipv6": "6", "scheduler=": "s",
    "real-server=": "r", "gatewaying": "g", "ipip": "i", "masquerading": "m", "weight=": "w", "connection": "c",
    "numeric": "n", "stats": "stats", "timeout": "timeout", "thresholds": "thresholds",
    "persistent-conn": "persistent-conn", "sort": "sort", "nosort": "nosort", "exact": "exact",
    "tun-type=": "tun-type", "version": "v",
}  # fmt: skip
_COMMANDS = {
    "A": "add-service", "E": "edit-service", "D": "delete-service", "C": "flush", "R": "restore", "S": "save",
    "a": "add-server", "e": "edit-server", "d": "delete-server", "L": "list", "Z": "zero", "set": "set",
}  # fmt: skip
#: For each command: the options it requires, and the options it also allows.
_REQUIRED = {"A": "v", "E": "v", "D": "v", "a": "vr", "e": "vr", "d": "vr"}
_ALLOWED = {"A": "s", "E": "s", "a": "fw", "e": "fw", "L": "vcnlo", "S": "no", "Z": "v"}
_KINDS = {
    "v": (("t", "u", "f"), "service-address"), "r": (("r",), "real-server"), "s": (("s",), "scheduler"),
    "f": (("g", "i", "m"), "forwarding-method"), "w": (("w",), "weight"), "c": (("c",), "connection"),
    "n": (("n",), "numeric"), "l": (("stats", "timeout", "thresholds", "persistent-conn", "exact"), "stats"),
    "o": (("sort", "nosort"), "nosort"),
}  # fmt: skip
_METHODS = {"m": "masq", "g": "dr", "i": "tunnel"}
_FAILURES: dict[tuple[str, int], str] = {
    ("A", errno.EEXIST): "Service already exists",
    ("A", errno.ENOENT): "Scheduler or persistence engine not found",
    ("E", errno.ENOENT): "Scheduler or persistence engine not found",
    ("a", errno.ESRCH): "Service not defined", ("a", errno.EEXIST): "Destination already exists",
    ("e", errno.ESRCH): "Service not defined", ("e", errno.ENOENT): "No such destination",
    ("d", errno.ESRCH): "Service not defined", ("d", errno.ENOENT): "No such destination",
}  # fmt: skip
_STATUS_NO_SERVICE, _STATUS_USAGE, _STATUS_REFUSED = 1, 2, 255


@frozen
class _Command:
    """A parsed command line.

    `command` is the letter of the command, `options` holds all options. `service` holds the keyword arguments with
    which `Ipvs.find_service` finds the virtual service.
    """

    command: str
    service: dict[str, Any]
    options: Options

    @property
    def server(self) -> dict[str, Any]:
        """The real server that the options describe, as keyword arguments for `Ipvs.add_destination`."""
        address, port = _host_and_port(self.options.get("r") or "", "illegal real server address[:port] specified")
        method = next((_METHODS[letter] for letter in "mig" if letter in self.options), "dr")
        return {"address": address, "port": port, "weight": self._weight(), "method": method}

    def _weight(self) -> int:
        text = self.options.get("w", "1") or ""
        if not is_number(text) or int(text) > 2**31 - 1:
            raise UsageError("illegal weight specified")
        return int(text)


async def main(process: Process) -> int:
    """Run `ipvsadm COMMAND OPTION…`. If no command is given, list the services."""
    try:
        arguments = process.argv[1:] or ["-L"]
        command_line = _read(arguments)
        if command_line.command == "R":
            text = (await read_all(process.stdin)).decode(errors="replace")
            for line in text.splitlines():
                if line.strip() and not line.lstrip().startswith("#"):
                    _execute(process, _read(shlex.split(line)))
        else:
            _execute(process, command_line)
    except UsageError as error:
        process.error(f"{error}\n")
        return _STATUS_USAGE
    except _KernelError as error:
        process.error(f"{error.text}\n")
        return error.status
    return 0


class _KernelError(Exception):
    """The kernel refused the command. `text` is ipvsadm's error text, `status` its exit status."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


def _read(arguments: Sequence[str]) -> _Command:
    options = getopt(arguments, _SHORT, _LONG)
    if "l" in options:
        options.values.setdefault("L", []).extend(options.values.pop("l"))
    commands = [letter for letter in _COMMANDS if letter in options]
    if "h" in options or "v" in options:
        return _Command("h", {}, options)
    if not commands:
        raise UsageError("Try `ipvsadm -h' or 'ipvsadm --help' for more information.")
    if len(commands) > 1:
        raise UsageError(f"invalid option `-{commands[-1]}'")
    command = commands[0]
    _check(command, options)
    return _Command(command, _service(options), options)


def _check(command: str, options: Options) -> None:
    required, allowed = _REQUIRED.get(command, ""), _ALLOWED.get(command, "")
    for letter, (names, title) in _KINDS.items():
        is_given = any(name in options for name in names)
        if letter in required and not is_given:
            raise UsageError(f"You need to supply the '{title}' option for the '{_COMMANDS[command]}' command")
        if is_given and letter not in required + allowed:
            raise UsageError(f"Illegal '{title}' option with the '{_COMMANDS[command]}' command")


def _service(options: Options) -> dict[str, Any]:
    """Return the keyword arguments for `Ipvs.find_service` that identify the service, {} if the options name none.

    Raises `UsageError` if an option is invalid.
    """
    mark = options.get("f")
    if mark is not None:
        if not is_number(mark) or not 0 < int(mark) < 2**32:
            raise UsageError(f"invalid fwmark value `{mark}' specified")
        return {"fwmark": int(mark), "family": 6 if "6" in options else 4}
    for letter, protocol in (("t", "tcp"), ("u", "udp")):
        text = options.get(letter)
        if text is not None:
            address, port = _host_and_port(text, "illegal virtual server address[:port] specified")
            return {"protocol": protocol, "address": address, "port": port}
    return {}


def _host_and_port(text: str, complaint: str) -> tuple[str, int]:
    """Parse `10.0.1.4:80`, `10.0.1.4`, `[fd01::4]:80` or `fd01::4`. Return the host and the port, 0 if there is none.

    `complaint` is the text of the `UsageError` that is raised if the address is invalid.
    """
    if text.startswith("["):
        host, bracket, port = text[1:].partition("]:")
        if not bracket:
            raise UsageError(complaint)
    elif text.count(":") > 1:
        host, port = text, ""
    else:
        host, _, port = text.partition(":")
    try:
        return format_ip(parse_ip(host)), parse_port(port) if port else 0
    except (ValueError, ParameterProblemError):
        raise UsageError(complaint) from None


def _execute(process: Process, command_line: _Command) -> None:
    try:
        _dispatch(process, process.namespace.ipvs, command_line)
    except OSError as error:
        number = errno_of(error)
        if number == errno.ESRCH and command_line.command not in "aed":
            raise _KernelError(
                "No such service", _STATUS_NO_SERVICE if command_line.command == "L" else _STATUS_REFUSED
            ) from None
        raise _KernelError(_FAILURES.get((command_line.command, number), strerror(error)), _STATUS_REFUSED) from None


def _dispatch(process: Process, ipvs: Ipvs, command_line: _Command) -> None:
    command, options, named = command_line.command, command_line.options, command_line.service
    if command == "A":
        if not named.get("fwmark") and not named["port"]:
            raise UsageError("Zero port specified for non-persistent service")
        ipvs.add_service(**named, scheduler=options.get("s", "wlc") or "")
    elif command == "E":
        ipvs.edit_service(ipvs.find_service(**named), scheduler=options.get("s", "wlc") or "")
    elif command == "D":
        ipvs.remove_service(ipvs.find_service(**named))
    elif command == "C":
        ipvs.clear()
    elif command in "aed":
        _change_server(ipvs, command_line)
    elif command == "set":
        ipvs.set_timeouts(*_timeouts(options))
    elif command == "Z":
        for service in [ipvs.find_service(**named)] if named else ipvs.services:
            service.counters.zero()
            for destination in service.destinations:
                destination.counters.zero()
    else:
        process.write(_printed(ipvs, command_line))


def _change_server(ipvs: Ipvs, command_line: _Command) -> None:
    server = command_line.server
    service = ipvs.find_service(**command_line.service)
    if command_line.command == "a":
        ipvs.add_destination(service, **server)
    elif command_line.command == "e":
        ipvs.update_destination(service, **server)
    else:
        ipvs.remove_destination(service, server["address"], port=server["port"])


def _timeouts(options: Options) -> tuple[int, int, int]:
    words = options.operands
    if len(words) != 3 or not all(is_number(word) for word in words):
        raise UsageError("--set option requires 3 timeout values")
    return int(words[0]), int(words[1]), int(words[2])


def _printed(ipvs: Ipvs, command_line: _Command) -> str:
    options = command_line.options
    if command_line.command == "h":
        return "ipvsadm v1.31 2019/12/24 (compiled with popt and IPVS v1.2.1)\n"
    style = Format(is_numeric="n" in options, is_sorted="nosort" not in options, is_exact="exact" in options)
    if command_line.command == "S":
        return rules_text(ipvs.services, style)
    if "c" in options:
        return connections_text(ipvs, style)
    if "timeout" in options:
        return "Timeout (tcp tcpfin udp): {} {} {}\n".format(*ipvs.timeouts)
    kind = next((name for name in ("stats", "thresholds", "persistent-conn") if name in options), "")
    ipvs.connections.purge()
    if command_line.service:
        return header(kind) + service_text(ipvs.find_service(**command_line.service), kind, style)
    listed = ordered_services(ipvs.services, style)
    return BANNER + header(kind) + "".join(service_text(service, kind, style) for service in listed)
