"""Validation of a container's configuration, before anything is created.

Source: moby `runconfig/hostconfig*.go`, `daemon/container.go` (26.1.5, 28.5.2), `daemon/internal/runconfig`,
`daemon/{container,daemon_unix}.go` (docker-v29.7.2).
"""

from __future__ import annotations

import re
from typing import Any

from cnmsim.engine.containers.exec_user import check_capabilities
from cnmsim.engine.containers.kernel_namespaces import check_modes
from cnmsim.engine.containers.resources import check_isolation, check_resources
from cnmsim.engine.wire.ports import check_bindings
from cnmsim.engine.wire.signals import parse_signal
from cnmsim.errors import InvalidParameter
from cnmsim.kernel.address import parse_ip, parse_mac
from cnmsim.libnetwork.profile import Profile

_POLICIES = ("no", "always", "on-failure", "unless-stopped")
_SHORTEST_NS = 1_000_000
_LONGEST_HOSTNAME = 64
HOST_NETWORK_LINKS = (
    "conflicting options: host type networking can't be used with links. This would result in undefined behavior"
)


def check_network_mode(profile: Profile, config: dict[str, Any], host_config: dict[str, Any]) -> None:
    """Check that no option of the container conflicts with its network mode. Raises `InvalidParameter` if one does.

    For example, a container with the network mode `host` cannot have legacy links.
    """
    mode = host_config["NetworkMode"]
    if mode == "container" or mode.startswith("container:"):
        _check_container_mode(profile, mode, config, host_config)
    if host_config["UTSMode"] == "host" and config["Hostname"]:
        raise InvalidParameter("conflicting options: hostname and the UTS mode")
    if mode == "host" and host_config["Links"]:
        raise InvalidParameter(HOST_NETWORK_LINKS)


def _check_container_mode(profile: Profile, mode: str, config: dict[str, Any], host_config: dict[str, Any]) -> None:
    if mode in {"container", "container:"}:
        raise InvalidParameter(profile.container_mode_format_text)
    conflicts = (
        (config["Hostname"], "conflicting options: hostname and the network mode"),
        (
            host_config["Links"],
            (
                "conflicting options: container type network can't be used with links. This would result in undefined"
                " behavior"
            ),
        ),
        (host_config["Dns"], "conflicting options: dns and the network mode"),
        (host_config["ExtraHosts"], "conflicting options: custom host-to-IP mapping and the network mode"),
        (
            host_config["PortBindings"] or host_config["PublishAllPorts"],
            "conflicting options: port publishing and the container type network mode",
        ),
        (config.get("ExposedPorts"), "conflicting options: port exposing and the container type network mode"),
    )
    for is_asked, text in conflicts:
        if is_asked:
            raise InvalidParameter(text)


def check_config(profile: Profile, config: dict[str, Any]) -> None:
    """Validate a container's Config by the rules of the release `profile`.

    Raises `InvalidParameter` for an invalid field.
    """
    if config["WorkingDir"] and not config["WorkingDir"].startswith("/"):
        raise InvalidParameter(
            f"the working directory '{config['WorkingDir']}' is invalid, it needs to be an absolute path"
        )
    if config.get("StopSignal"):
        parse_signal(config["StopSignal"])
    for entry in config["Env"] or ():
        if not entry or entry.startswith("="):
            raise InvalidParameter(f"invalid environment variable: {entry}")
    _check_health(config.get("Healthcheck"))
    if profile.checks_hostname and len(config["Hostname"]) > _LONGEST_HOSTNAME:
        raise InvalidParameter(f'hostname "{config["Hostname"]}" is too long (maximum {_LONGEST_HOSTNAME} bytes)')


def _check_health(health: dict[str, Any] | None) -> None:
    for key in ("Interval", "Timeout", "StartPeriod", "StartInterval"):
        if 0 != (health or {}).get(key, 0) < _SHORTEST_NS:
            raise InvalidParameter(f"{key} in Healthcheck cannot be less than 1ms")
    if (health or {}).get("Retries", 0) < 0:
        raise InvalidParameter("Retries in Healthcheck cannot be negative")


def check_host_config(profile: Profile, host_config: dict[str, Any]) -> list[str]:
    """Validate a HostConfig by the rules of the release `profile`. Return the texts of warnings.

    Raises `InvalidParameter` for the first invalid value.
    """
    policy = host_config["RestartPolicy"]
    if host_config["AutoRemove"] and policy["Name"] not in {"", "no"}:
        raise InvalidParameter("can't create 'AutoRemove' container with restart policy")
    for entry in host_config["ExtraHosts"] or ():
        _check_extra_host(entry)
    check_bindings(profile, host_config["PortBindings"])
    check_restart_policy(policy)
    check_capabilities(host_config)
    check_modes(host_config)
    check_isolation(host_config)
    warnings = check_resources(profile, host_config)
    for key in host_config.get("Annotations") or {}:
        if not key:
            raise InvalidParameter("invalid Annotations: the empty string is not permitted as an annotation key")
    if host_config["ShmSize"] < 0:
        raise InvalidParameter("SHM size can not be less than 0")
    if not -1000 <= host_config["OomScoreAdj"] <= 1000:
        raise InvalidParameter(
            f"Invalid value {host_config['OomScoreAdj']}, range for oom score adj is [-1000, 1000]"
        )
    if host_config["NetworkMode"] == "host" and host_config["PortBindings"]:
        warnings.append("Published ports are discarded when using host network mode")
    return warnings


def check_restart_policy(policy: dict[str, Any]) -> None:
    """Validate a restart policy such as `{"Name": "on-failure", "MaximumRetryCount": 3}`.

    Raises `InvalidParameter` for an unknown name, or for a retry count with another policy than `on-failure`.
    """
    name, retries = policy["Name"], policy["MaximumRetryCount"]
    if name and name not in _POLICIES:
        raise InvalidParameter(
            f"invalid restart policy: unknown policy '{name}'; use one of 'no', 'always', 'on-failure', or"
            " 'unless-stopped'"
        )
    if not name and retries:
        raise InvalidParameter("invalid restart policy: maximum retry count cannot be used with empty policy")
    if retries and name != "on-failure":
        cause = "can only be used with 'on-failure'"
        if retries < 0:
            cause += " and cannot be negative"
        raise InvalidParameter(f"invalid restart policy: maximum retry count {cause}")
    if retries < 0:
        raise InvalidParameter("invalid restart policy: maximum retry count cannot be negative")


def _check_extra_host(entry: str) -> None:
    host, colon, address = entry.partition(":")
    if not colon or not host:
        raise InvalidParameter(f'bad format for add-host: "{entry}"')
    if address == "host-gateway":
        return
    try:
        parse_ip(address.strip("[]"))
    except ValueError:
        raise InvalidParameter(f'invalid IP address in add-host: "{address}"') from None


def check_mac_address(address: str, *, prefix: str = "") -> None:
    """Raise `InvalidParameter` for an invalid MAC address; "" is valid. `prefix` precedes the error text."""
    try:
        if address:
            parse_mac(address)
    except ValueError:
        raise InvalidParameter(f"{prefix}invalid MAC address {address}") from None


def parse_link(text: str) -> tuple[str, str]:
    """Parse the argument of `--link`, `name:alias` or `name`, into name and alias.

    Raises `ValueError`, with Docker's text, if it is empty or has more than two parts.
    """
    if not text:
        raise ValueError("empty string specified for links")
    parts = text.split(":")
    if len(parts) > 2:
        raise ValueError(f"bad format for links: {text}")
    name = parts[0]
    alias = parts[1] if len(parts) == 2 else name
    # Links as inspect prints them, `/db:/web/alias`, are accepted too.
    return (name.removeprefix("/"), alias.rpartition("/")[2]) if name.startswith("/") else (name, alias)


def is_interface_sysctl(name: str) -> bool:
    """Return True if a sysctl's name contains a container's interface, as in `net.ipv4.conf.eth0.forwarding`."""
    return re.fullmatch(r"net\.[^.]+\.[^.]+\.eth[^.]*\..+", name) is not None
