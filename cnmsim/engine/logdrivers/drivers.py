"""Logging drivers: what each keeps of a container's output, and where it sends it.

Source: moby `container/container.go` (`StartLogger`), `daemon/logger`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from cnmsim.engine.logdrivers.description import DEFAULT_TAG, details, extra_attributes, log_tag
from cnmsim.engine.logdrivers.driver import LogDriver, is_readable
from cnmsim.engine.logdrivers.encodings import JsonEncoding, LocalEncoding, go_json_map
from cnmsim.engine.logdrivers.options import facility_number, gelf_address, syslog_address
from cnmsim.engine.logdrivers.remote import GelfFormat, JournalSender, SyslogFormat, UdpSender
from cnmsim.engine.logdrivers.storage import LogStorage
from cnmsim.engine.wire.timestamps import rfc3339
from cnmsim.errors import NotSimulated, SystemFault
from cnmsim.gostrconv import atoi, parse_bool
from cnmsim.gounits import from_human_size
from cnmsim.kernel.inode import Directory

if TYPE_CHECKING:
    from cnmsim.engine.containers.container import Container
    from cnmsim.engine.context import EngineContext

ROOT = "/var/lib/docker/containers"
_LOCAL_SIZE, _LOCAL_FILES = 20 << 20, 5


def directory_of(context: EngineContext, container: Container) -> Directory:
    """Return the directory of a container on its host. It is created if it is missing."""
    path = f"{ROOT}/{container.id}"
    context.machine.files.makedirs(ROOT, 0o710)
    context.machine.files.makedirs(path, 0o710)
    inode = context.machine.files.inode(path)
    assert isinstance(inode, Directory), "makedirs created it"
    return inode


def remove_directory(context: EngineContext, container: Container) -> None:
    """Remove the directory of a container on its host, with its log."""
    files, path = context.machine.files, f"{ROOT}/{container.id}"
    if files.exists(path):
        files.remove_tree(path)


def create_driver(context: EngineContext, container: Container) -> LogDriver:
    """Return the logging driver of a container, with empty storage.

    Raises `SystemFault` with the daemon's text for invalid options and unreachable servers, and `NotSimulated`.
    """
    log_config = container.host_config["LogConfig"]
    options: Mapping[str, str] = log_config["Config"] or {}
    try:
        driver = _DRIVERS[log_config["Type"]](context, container, options)
        if driver.storage is None and is_readable(log_config):
            cache = _local_storage({key.removeprefix("cache-"): options[key] for key in options if key in _CACHED})
            return LogDriver(cache, driver.sender, file="container-cached.log")
    except ValueError as error:
        raise SystemFault(str(error)) from None
    return driver


_CACHED = ("cache-max-size", "cache-max-file", "cache-compress")
_Create = Callable[["EngineContext", "Container", Mapping[str, str]], LogDriver]


def _none(_context: EngineContext, _container: Container, _options: Mapping[str, str]) -> LogDriver:
    return LogDriver()


def _json_file(context: EngineContext, container: Container, options: Mapping[str, str]) -> LogDriver:
    capacity, files, compresses = -1, 1, False
    if "max-size" in options:
        capacity = from_human_size(options["max-size"])
        if capacity <= 0:
            raise ValueError("max-size must be a positive number")
    if "max-file" in options:
        files = atoi(options["max-file"])
        if files < 1:
            raise ValueError("max-file cannot be less than 1")
    if "compress" in options:
        compresses = parse_bool(options["compress"])
        if compresses and (files == 1 or capacity == -1):
            raise ValueError("compress cannot be true when max-file is less than 2 or max-size is not set")
    attributes = extra_attributes(container)
    tag = log_tag(container, context.machine.name, "")
    if tag:
        attributes["tag"] = tag
    encoding = JsonEncoding(go_json_map(attributes) if attributes else "")
    storage = LogStorage(encoding, capacity, files, compresses)
    return LogDriver(storage, details=details(attributes), file=f"{container.id}-json.log")


def _local(_context: EngineContext, _container: Container, options: Mapping[str, str]) -> LogDriver:
    return LogDriver(_local_storage(options), file="local-logs/container.log")


def _local_storage(options: Mapping[str, str]) -> LogStorage:
    capacity, files, compresses = _LOCAL_SIZE, _LOCAL_FILES, True
    if "max-size" in options:
        size = options["max-size"]
        capacity = _checked(f"invalid value for max-size: {size}", from_human_size, size)
    if "max-file" in options:
        number = options["max-file"]
        files = _checked(f"invalid value for max-file: {number}", atoi, number)
    if "compress" in options:
        compresses = bool(_checked("error reading compress log option", parse_bool, options["compress"]))
    if files < 0:
        raise ValueError("max file count cannot be less than 0")
    if compresses and files <= 1:
        raise ValueError("compression cannot be enabled when max file count is 1")
    return LogStorage(LocalEncoding(), capacity, max(files, 1), compresses)


def _checked(prefix: str, parse: Callable[[str], int], text: str) -> int:
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{prefix}: {error}") from None


def _syslog(context: EngineContext, container: Container, options: Mapping[str, str]) -> LogDriver:
    machine = context.machine
    tag = log_tag(container, machine.name, DEFAULT_TAG)
    protocol, where = syslog_address(options.get("syslog-address", ""), machine.files.exists)
    if not protocol or where == "/dev/log":
        return LogDriver(sender=JournalSender(machine.journal, tag, context.controller.daemon().pid, {}))
    if protocol != "udp":
        raise NotSimulated(f"syslog over {protocol} is not simulated: use syslog-address=udp://HOST:514")
    formatter = SyslogFormat(
        options.get("syslog-format", ""), facility_number(options.get("syslog-facility", "")), machine.name, tag,
        context.controller.daemon().pid,
    )  # fmt: skip
    return LogDriver(sender=_udp_sender(context, where, formatter))


def _journald(context: EngineContext, container: Container, _options: Mapping[str, str]) -> LogDriver:
    tag = log_tag(container, context.machine.name, DEFAULT_TAG)
    attributes = extra_attributes(container, _journal_field)
    fields = {
        "CONTAINER_ID": container.id[:12],
        "CONTAINER_ID_FULL": container.id,
        "CONTAINER_NAME": container.name,
        "CONTAINER_TAG": tag,
        "IMAGE_NAME": container.config["Image"],
        **attributes,
    }
    sender = JournalSender(context.machine.journal, tag, context.controller.daemon().pid, fields)
    return LogDriver(LogStorage(LocalEncoding()), sender, details(attributes))


def _journal_field(name: str) -> str:
    """Return a label's or variable's name as the name of a field of the journal."""
    text = re.sub(r"[^A-Z0-9]", "_", name.upper())
    return text.lstrip("_")


def _gelf(context: EngineContext, container: Container, options: Mapping[str, str]) -> LogDriver:
    machine = context.machine
    protocol, where = gelf_address(options.get("gelf-address", ""))
    if protocol != "udp":
        raise NotSimulated("gelf over tcp is not simulated: use gelf-address=udp://HOST:PORT")
    extra = {
        "_command": " ".join(container.command),
        "_container_id": container.id,
        "_container_name": container.name,
        "_created": rfc3339(container.created_ns),
        "_image_id": container.image.id,
        "_image_name": container.config["Image"],
        "_tag": log_tag(container, machine.name, DEFAULT_TAG),
        **extra_attributes(container, lambda key: key if key.startswith("_") else f"_{key}"),
    }
    compression = options.get("gelf-compression-type", "gzip")
    formatter = GelfFormat(machine.name, dict(sorted(extra.items())), compression)
    return LogDriver(sender=_udp_sender(context, where, formatter))


def _udp_sender(context: EngineContext, where: str, formatter: SyslogFormat | GelfFormat) -> UdpSender:
    host, _, port = where.rpartition(":")
    return UdpSender(context.machine.root, host.strip("[]"), atoi(port), formatter)


def _splunk(_context: EngineContext, _container: Container, options: Mapping[str, str]) -> LogDriver:
    for key in ("splunk-url", "splunk-token"):
        if key not in options:
            raise ValueError(f"splunk: {key} is expected")
    raise NotSimulated("the logging driver splunk is not simulated")


def _not_simulated(name: str) -> _Create:
    def create(_context: EngineContext, _container: Container, _options: Mapping[str, str]) -> LogDriver:
        raise NotSimulated(f"the logging driver {name} is not simulated")

    return create


_DRIVERS: dict[str, _Create] = {
    "none": _none,
    "json-file": _json_file,
    "local": _local,
    "journald": _journald,
    "syslog": _syslog,
    "gelf": _gelf,
    "splunk": _splunk,
    **{name: _not_simulated(name) for name in ("fluentd", "awslogs", "gcplogs")},
}
