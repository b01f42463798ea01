"""Logging drivers: the messages of a container that each of them stores, and the server to which it sends them.

Source: moby `container/container.go` (`StartLogger`), `daemon/logger`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cnmsim.engine.logdrivers.description import DEFAULT_TAG, details, extra_attributes, log_tag
from cnmsim.engine.logdrivers.driver import LogDriver, is_readable
from cnmsim.engine.logdrivers.encodings import JsonEncoding, LocalEncoding
from cnmsim.engine.logdrivers.options import facility_number, gelf_address, syslog_address
from cnmsim.engine.logdrivers.storage import LogStorage
from cnmsim.errors import NotSimulated, SystemFault
from cnmsim.gojson.encode import encode
from cnmsim.gojson.fields import rfc3339, sorted_map
from cnmsim.gostrconv import atoi, parse_bool
from cnmsim.gounits import from_human_size
from cnmsim.kernel.address import parse_ip
from cnmsim.kernel.inode import Directory

if TYPE_CHECKING:
    from cnmsim.engine.containers.container import Container
    from cnmsim.engine.context import EngineContext
    from cnmsim.engine.logdrivers.fluentd import FluentdFormat
    from cnmsim.engine.logdrivers.remote import GelfFormat, SyslogFormat, UdpSender
    from cnmsim.engine.logdrivers.tcp import TcpSender
    from cnmsim.libnetwork.profile import Profile

ROOT = "/var/lib/docker/containers"
_FLUENTD_PORT = 24224
_LOCAL_SIZE, _LOCAL_FILES = 20 << 20, 5


def directory_of(context: EngineContext, container: Container) -> Directory:
    """Return a container's directory on its host, after creating it if it is missing."""
    files, path = context.machine.files, f"{ROOT}/{container.id}"
    try:
        inode = files.inode(path)
    except FileNotFoundError:
        files.makedirs(ROOT, 0o710)
        files.mkdir(path, 0o710)
        inode = files.inode(path)
    assert isinstance(inode, Directory), "only the engine creates entries in this directory"
    return inode


def remove_directory(context: EngineContext, container: Container) -> None:
    """Remove a container's directory on its host, with the log files in it."""
    files, path = context.machine.files, f"{ROOT}/{container.id}"
    if files.exists(path):
        files.remove_tree(path)


def create_driver(context: EngineContext, container: Container) -> LogDriver:
    """Create the logging driver that a container's LogConfig names, with empty storage.

    Raises `SystemFault` with the daemon's text for invalid options and unreachable servers, and `NotSimulated` for a
    driver that is not simulated.
    """
    log_config = container.host_config["LogConfig"]
    options: Mapping[str, str] = log_config["Config"] or {}
    try:
        driver = _DRIVERS[log_config["Type"]](context, container, options)
        if driver.storage is None and is_readable(log_config):
            own = {key.removeprefix("cache-"): options[key] for key in options if key in _CACHED}
            cache = _local_storage(context.profile, own)
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
    encoding = JsonEncoding(encode(sorted_map(attributes)) if attributes else "")
    storage = LogStorage(encoding, capacity, files, compresses)
    return LogDriver(storage, details=details(attributes), file=f"{container.id}-json.log")


def _local(context: EngineContext, container: Container, options: Mapping[str, str]) -> LogDriver:
    storage = _local_storage(context.profile, options)
    if not context.profile.local_log_has_attributes:
        return LogDriver(storage, file="local-logs/container.log")
    attributes = extra_attributes(container)
    tag = log_tag(container, context.machine.name, "")
    if tag:
        attributes["tag"] = tag
    storage.encoding = LocalEncoding(tuple(sorted(attributes.items())))
    return LogDriver(storage, details=details(attributes), file="local-logs/container.log")


def _local_storage(profile: Profile, options: Mapping[str, str]) -> LogStorage:
    capacity, files, compresses = _LOCAL_SIZE, _LOCAL_FILES, True
    if "max-size" in options:
        size = options["max-size"]
        capacity = _checked(f"invalid value for max-size: {size}", from_human_size, size)
    if "max-file" in options:
        number = options["max-file"]
        files = _checked(f"invalid value for max-file: {number}", atoi, number)
    if "compress" in options:
        compresses = bool(_checked(profile.local_log_compress_text, parse_bool, options["compress"]))
    if files < 0:
        raise ValueError(profile.local_log_files_text)
    if compresses and files <= 1:
        raise ValueError("compression cannot be enabled when max file count is 1")
    return LogStorage(LocalEncoding(), capacity, max(files, 1), compresses)


def _checked(prefix: str, parse: Callable[[str], int], text: str) -> int:
    try:
        return parse(text)
    except ValueError as error:
        raise ValueError(f"{prefix}: {error}") from None


def _syslog(context: EngineContext, container: Container, options: Mapping[str, str]) -> LogDriver:
    from cnmsim.engine.logdrivers.remote import JournalSender, SyslogFormat

    machine = context.machine
    tag = log_tag(container, machine.name, DEFAULT_TAG)
    protocol, where = syslog_address(options.get("syslog-address", ""), machine.files.exists)
    if not protocol or where == "/dev/log":
        return LogDriver(sender=JournalSender(machine.journal, tag, context.controller.daemon().pid, {}))
    if protocol not in {"udp", "tcp"}:
        raise NotSimulated(f"syslog over {protocol} is not simulated: use udp or tcp, as in udp://HOST:514")
    formatter = SyslogFormat(
        options.get("syslog-format", ""), facility_number(options.get("syslog-facility", "")), machine.name, tag,
        context.controller.daemon().pid,
    )  # fmt: skip
    return LogDriver(sender=_sender(context, protocol, where, formatter))


def _journald(context: EngineContext, container: Container, _options: Mapping[str, str]) -> LogDriver:
    from cnmsim.engine.logdrivers.remote import JournalSender

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
    """Convert the name of a label or variable to a valid field name of the journal: `my.label` becomes `MY_LABEL`."""
    text = re.sub(r"[^A-Z0-9]", "_", name.upper())
    return text.lstrip("_")


def _gelf(context: EngineContext, container: Container, options: Mapping[str, str]) -> LogDriver:
    from cnmsim.engine.logdrivers.remote import GelfFormat

    machine = context.machine
    protocol, where = gelf_address(options.get("gelf-address", ""))
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
    compression = options.get("gelf-compression-type", "gzip") if protocol == "udp" else "none"
    formatter = GelfFormat(machine.name, dict(sorted(extra.items())), compression)
    error = f"gelf: cannot connect to GELF endpoint: {where} {{reason}}"
    return LogDriver(sender=_sender(context, protocol, where, formatter, error, b"\0"))


def _sender(
    context: EngineContext,
    protocol: str,
    where: str,
    formatter: SyslogFormat | GelfFormat | FluentdFormat,
    error: str = "{reason}",
    terminator: bytes = b"",
    *,
    is_lazy: bool = False,
) -> UdpSender | TcpSender:
    from cnmsim.engine.logdrivers.fluentd import FluentdFormat
    from cnmsim.engine.logdrivers.remote import UdpSender
    from cnmsim.engine.logdrivers.tcp import TcpSender

    host, _, port = where.rpartition(":")
    if protocol == "udp":
        assert not isinstance(formatter, FluentdFormat)
        return UdpSender(context.machine.root, host.strip("[]"), atoi(port), formatter)
    try:
        parse_ip(host.strip("[]"))
    except ValueError:
        raise NotSimulated(f"names of log servers are not simulated over TCP: use the address of {host}") from None
    return TcpSender(context.machine.root, host, atoi(port), formatter, error, terminator, is_lazy)


def _fluentd(context: EngineContext, container: Container, options: Mapping[str, str]) -> LogDriver:
    from cnmsim.engine.logdrivers.fluentd import FluentdFormat

    address = options.get("fluentd-address", "")
    protocol, _, where = address.rpartition("://")
    if protocol in {"unix", "tls"}:
        raise NotSimulated(f"fluentd over {protocol} is not simulated: use fluentd-address=HOST:PORT")
    host, _, port = where.rpartition(":") if ":" in where.rpartition("]")[2] else (where, "", "")
    host = {"": "127.0.0.1", "localhost": "127.0.0.1"}.get(host, host)
    fields = {
        "container_id": container.id,
        "container_name": f"/{container.name}",
        **extra_attributes(container),
    }
    tag = log_tag(container, context.machine.name, DEFAULT_TAG)
    formatter = FluentdFormat(tag, fields, parse_bool(options.get("fluentd-sub-second-precision") or "false"))
    is_lazy = any(parse_bool(options.get(key) or "false") for key in ("fluentd-async", "fluentd-async-connect"))
    return LogDriver(sender=_sender(context, "tcp", f"{host}:{port or _FLUENTD_PORT}", formatter, is_lazy=is_lazy))


def _splunk(_context: EngineContext, _container: Container, options: Mapping[str, str]) -> LogDriver:
    for key in ("splunk-url", "splunk-token"):
        if key not in options:
            raise ValueError(f"splunk: {key} is expected")
    url = urlsplit(options["splunk-url"])
    if not url.scheme or not url.netloc or url.path not in {"", "/"} or url.query or url.fragment:
        raise ValueError("splunk: expected format scheme://dns_name_or_ip:port for splunk-url")
    raise NotSimulated("the logging driver splunk is not simulated: use syslog, gelf or fluentd")


def _awslogs(_context: EngineContext, _container: Container, options: Mapping[str, str]) -> LogDriver:
    """Raise `ValueError`: the driver `awslogs` cannot start, because a simulated host is not a machine of Amazon's.

    The text is that of dockerd on a host without Amazon's metadata service and credentials.
    """
    metadata = "http://169.254.169.254/latest"
    end = "dial tcp 169.254.169.254:80: i/o timeout"
    tries = "exceeded maximum number of attempts, 3, request send failed"
    if not options.get("awslogs-region"):
        raise ValueError(
            f"cannot determine region for awslogs driver: operation error ec2imds: GetRegion, {tries}, "
            f'Get "{metadata}/dynamic/instance-identity/document": {end}'
        )
    raise ValueError(
        "failed to create Cloudwatch log stream: operation error CloudWatch Logs: CreateLogStream, get identity: get "
        "credentials: failed to refresh cached credentials, no EC2 IMDS role found, operation error ec2imds: "
        f'GetMetadata, {tries}, Get "{metadata}/meta-data/iam/security-credentials/": {end}'
    )


def _gcplogs(context: EngineContext, _container: Container, options: Mapping[str, str]) -> LogDriver:
    """Raise `ValueError`: the driver `gcplogs` cannot start, because a simulated host is not a machine of Google's.

    The text is that of dockerd on a host without Google's metadata service and credentials.
    """
    if not options.get("gcp-project"):
        raise ValueError(
            "No project was specified and couldn't read project from the metadata server. Please specify a project"
        )
    raise ValueError(
        f"{context.profile.google_error_prefix}could not find default credentials. See "
        "https://cloud.google.com/docs/authentication/external/set-up-adc for more information"
    )


_DRIVERS: dict[str, _Create] = {
    "none": _none,
    "json-file": _json_file,
    "local": _local,
    "journald": _journald,
    "syslog": _syslog,
    "gelf": _gelf,
    "splunk": _splunk,
    "fluentd": _fluentd,
    "awslogs": _awslogs,
    "gcplogs": _gcplogs,
}
