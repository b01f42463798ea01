"""Validation of a logging driver's name and options, as `docker create` does it.

Faults in the values of some options, such as `max-size`, are found only when the container starts. Source: moby
`daemon/logger/{factory,log_cache_opts}.go` and `ValidateLogOpt` of each driver (v26.1.5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from cnmsim.digits import is_number
from cnmsim.engine.wire.timestamps import parse_duration_ns
from cnmsim.errors import InvalidParameter
from cnmsim.gostrconv import atoi, parse_bool, parse_uint, quote
from cnmsim.gounits import ram_in_bytes
from cnmsim.libnetwork.profile import Profile

#: The drivers that are not plugins, as `docker info` lists them. `none` is not listed.
DRIVERS = ("awslogs", "fluentd", "gcplogs", "gelf", "journald", "json-file", "local", "splunk", "syslog")
_FILE = ("max-file", "max-size", "compress")
_ATTRIBUTES = ("labels", "labels-regex", "env", "env-regex")
#: Options of every driver, for the local cache of drivers that cannot be read.
CACHE_OPTIONS = ("cache-disabled", *(f"cache-{name}" for name in _FILE))
_BUILT_IN = ("mode", "max-buffer-size", *CACHE_OPTIONS)
_OPTIONS: dict[str, tuple[str, ...]] = {
    "json-file": (*_FILE, *_ATTRIBUTES, "tag"),
    "local": _FILE,
    "journald": (*_ATTRIBUTES, "tag"),
    "syslog": (
        *_ATTRIBUTES, "tag", "syslog-address", "syslog-facility", "syslog-tls-ca-cert", "syslog-tls-cert",
        "syslog-tls-key", "syslog-tls-skip-verify", "syslog-format",
    ),
    "gelf": (
        *_ATTRIBUTES, "tag", "gelf-address", "gelf-compression-level", "gelf-compression-type",
        "gelf-tcp-max-reconnect", "gelf-tcp-reconnect-delay",
    ),
    "fluentd": (
        *_ATTRIBUTES, "tag", "fluentd-address", "fluentd-async", "fluentd-async-connect",
        "fluentd-async-reconnect-interval", "fluentd-buffer-limit", "fluentd-max-retries", "fluentd-request-ack",
        "fluentd-retry-wait", "fluentd-sub-second-precision",
    ),
    "awslogs": (
        "awslogs-group", "awslogs-stream", "awslogs-create-group", "awslogs-create-stream", "awslogs-region",
        "awslogs-endpoint", "tag", "awslogs-datetime-format", "awslogs-multiline-pattern",
        "awslogs-credentials-endpoint", "awslogs-force-flush-interval-seconds", "awslogs-max-buffered-events",
        "awslogs-format",
    ),
    "gcplogs": (
        "gcp-project", *_ATTRIBUTES, "gcp-log-cmd", "gcp-meta-zone", "gcp-meta-name", "gcp-meta-id",
    ),
    "splunk": (
        *_ATTRIBUTES, "tag", "splunk-url", "splunk-token", "splunk-source", "splunk-sourcetype", "splunk-index",
        "splunk-capath", "splunk-caname", "splunk-insecureskipverify", "splunk-format", "splunk-verify-connection",
        "splunk-gzip", "splunk-gzip-level", "splunk-index-acknowledgment",
    ),
}  # fmt: skip
_UNKNOWN = {
    "local": "unknown log opt '{key}' for log driver {driver}",
    "gelf": 'unknown log opt "{key}" for {driver} log driver',
    "gcplogs": '"{key}" is not a valid option for the {driver} driver',
}
FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "", "", "", "", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
)  # fmt: skip


def check_log_config(
    profile: Profile, driver: str, options: Mapping[str, str], exists: Callable[[str], bool]
) -> None:
    """Check the name and the options of a logging driver by the rules of the release `profile`.

    `exists` is a function that returns True if a path exists on the host. Raises `InvalidParameter`, with the
    daemon's text, for an unknown driver, or an option or value that the driver does not permit.
    """
    if driver == "none":
        return
    try:
        _check_common(options)
        if driver not in DRIVERS:
            raise ValueError(f'error looking up logging plugin {driver}: plugin "{driver}" not found')
        own = {key: value for key, value in options.items() if key not in _BUILT_IN}
        if driver == "gelf":
            gelf_address(own.get("gelf-address", ""))
        permitted = _OPTIONS[driver]
        if driver == "local" and profile.local_log_has_attributes:
            permitted = (*permitted, *_ATTRIBUTES, "tag")
        for key in sorted(own):
            if key not in permitted:
                text = _UNKNOWN.get(driver, "unknown log opt '{key}' for {driver} log driver")
                raise ValueError(text.format(key=key, driver=driver))
        check = _CHECKS.get(driver)
        if check is not None:
            check(own, exists)
    except ValueError as error:
        raise InvalidParameter(str(error)) from None


def _check_common(options: Mapping[str, str]) -> None:
    mode = options.get("mode", "")
    if mode not in {"", "blocking", "non-blocking"}:
        raise ValueError(f"logger: logging mode not supported: {mode}")
    if "max-buffer-size" in options:
        if mode != "non-blocking":
            raise ValueError("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
        try:
            ram_in_bytes(options["max-buffer-size"])
        except ValueError as error:
            raise ValueError(f"error parsing option max-buffer-size: {error}") from None
    disabled = options.get("cache-disabled", "")
    if disabled:
        try:
            parse_bool(disabled)
        except ValueError:
            raise ValueError(f"invalid value for option cache-disabled: {disabled}") from None


# --- syslog


def syslog_address(text: str, exists: Callable[[str], bool]) -> tuple[str, str]:
    """Parse the option `syslog-address`, such as `udp://10.0.0.9:514`, into protocol and address.

    ("", "") means the host's own syslog. `exists` returns True if a path exists on the host. Raises `ValueError` for
    an unknown protocol, or a Unix socket that does not exist.
    """
    if not text:
        return "", ""
    url = urlsplit(text)
    if url.scheme in {"unix", "unixgram"}:
        if not exists(url.path):
            raise ValueError(f"stat {url.path}: no such file or directory")
        return url.scheme, url.path
    if url.scheme not in {"udp", "tcp", "tcp+tls"}:
        raise ValueError(f"unsupported scheme: '{url.scheme}'")
    return url.scheme, url.netloc if _has_port(url.netloc) else f"{url.netloc}:514"


def _has_port(host: str) -> bool:
    return ":" in host.rpartition("]")[2]


def facility_number(text: str) -> int:
    """Convert a syslog facility, given by name (`daemon`) or number, to its number; "" means `daemon`.

    Raises `ValueError` for an unknown name or a number above 23.
    """
    if not text:
        return FACILITIES.index("daemon")
    if text in FACILITIES:
        return FACILITIES.index(text)
    if is_number(text) and int(text) <= 23:
        return int(text)
    raise ValueError("invalid syslog facility")


def _check_syslog(options: Mapping[str, str], exists: Callable[[str], bool]) -> None:
    syslog_address(options.get("syslog-address", ""), exists)
    facility_number(options.get("syslog-facility", ""))
    if options.get("syslog-format", "") not in {"", "rfc3164", "rfc5424", "rfc5424micro"}:
        raise ValueError("Invalid syslog format")


# --- gelf


def gelf_address(text: str) -> tuple[str, str]:
    """Parse the option `gelf-address`, such as `udp://10.0.0.9:12201`, into protocol and address.

    Raises `ValueError` if the option is empty, or if the protocol or the port is missing or invalid.
    """
    if not text:
        raise ValueError("gelf-address is a required parameter")
    url = urlsplit(text)
    if url.scheme not in {"udp", "tcp"}:
        raise ValueError("gelf: endpoint needs to be TCP or UDP")
    if not _has_port(url.netloc):
        raise ValueError("gelf: please provide gelf-address as proto://host:port")
    return url.scheme, url.netloc


def _check_gelf(options: Mapping[str, str], _exists: Callable[[str], bool]) -> None:
    scheme, _ = gelf_address(options["gelf-address"])
    for key, value in sorted(options.items()):
        if key.startswith("gelf-compression"):
            if scheme != "udp":
                raise ValueError("compression is only supported on UDP")
            allowed = {"gzip", "zlib", "none"} if key == "gelf-compression-type" else set(map(str, range(-1, 10)))
            if value not in allowed:
                raise ValueError(f'unknown value {quote(value)} for log opt "{key}" for gelf log driver')
        elif key.startswith("gelf-tcp"):
            if scheme != "tcp":
                raise ValueError(f'"{key}" is only valid for TCP')
            if not is_number(value):
                raise ValueError(f'"{key}" must be a positive integer')


# --- fluentd, awslogs


def _check_fluentd(options: Mapping[str, str], _exists: Callable[[str], bool]) -> None:
    address = options.get("fluentd-address", "")
    try:
        _check_fluentd_address(address)
    except ValueError as error:
        raise ValueError(f"invalid fluentd-address ({address}): {error}") from None
    if limit := options.get("fluentd-buffer-limit"):
        ram_in_bytes(limit)
    if wait := options.get("fluentd-retry-wait"):
        parse_duration_ns(wait)
    if retries := options.get("fluentd-max-retries"):
        parse_uint(retries, 32)
    for key in ("fluentd-async-connect", "fluentd-async", "fluentd-sub-second-precision", "fluentd-request-ack"):
        if value := options.get(key):
            parse_bool(value)


def _check_fluentd_address(address: str) -> None:
    url = urlsplit(address if "://" in address else f"tcp://{address}")
    if url.scheme == "unix":
        if not url.path.lstrip("/"):
            raise ValueError("path is empty")
        return
    if url.scheme not in {"tcp", "tls"}:
        raise ValueError(f"unsupported scheme: '{url.scheme}'")
    port = url.netloc.rpartition("]")[2].partition(":")[2]
    if port and not is_number(port):
        raise ValueError(f'parse "{url.geturl()}": invalid port ":{port}" after host')
    if url.path:
        raise ValueError("should not contain a path element")
    if port:
        try:
            parse_uint(port, 16)
        except ValueError as error:
            raise ValueError(f"invalid port: {error}") from None


def _check_awslogs(options: Mapping[str, str], _exists: Callable[[str], bool]) -> None:
    if not options.get("awslogs-group"):
        raise ValueError("must specify a value for log opt 'awslogs-group'")
    for key in ("awslogs-create-group", "awslogs-create-stream"):
        if options.get(key):
            try:
                parse_bool(options[key])
            except ValueError as error:
                raise ValueError(f"must specify valid value for log opt '{key}': {error}") from None
    for key in ("awslogs-force-flush-interval-seconds", "awslogs-max-buffered-events"):
        if (value := options.get(key)) and not _is_positive(value):
            raise ValueError(f"must specify a positive integer for log opt '{key}': {value}")
    times, pattern = "awslogs-datetime-format", "awslogs-multiline-pattern"
    if times in options and pattern in options:
        raise ValueError(f"you cannot configure log opt '{times}' and '{pattern}' at the same time")
    if form := options.get("awslogs-format"):
        if form != "json/emf":
            raise ValueError(f"unsupported log format '{form}'")
        if times in options or pattern in options:
            raise ValueError(
                f"you cannot configure log opt '{times}' or '{pattern}' when log opt 'awslogs-format' is set to"
                f" '{form}'"
            )


def _is_positive(text: str) -> bool:
    try:
        return atoi(text) > 0
    except ValueError:
        return False


_CHECKS: dict[str, Callable[[Mapping[str, str], Callable[[str], bool]], None]] = {
    "syslog": _check_syslog,
    "gelf": _check_gelf,
    "fluentd": _check_fluentd,
    "awslogs": _check_awslogs,
}
