"""The options of `daemon.json`, as the user of a lab gives them for a Docker host.

Options that concern neither networking nor logging (storage, registries…) are accepted and ignored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import fields_dict

from cnmsim.errors import InvalidParameter, NotSimulated
from cnmsim.kernel.address import Prefix
from cnmsim.libnetwork.config import AddressPool, DaemonConfig
from cnmsim.libnetwork.profile import Profile
from cnmsim.libnetwork.profile.directives import MAPPINGS

#: The daemon's configuration file on its host.
DAEMON_JSON = "/etc/docker/daemon.json"
_TYPE_NAMES: dict[type, str] = {bool: "boolean", str: "string", int: "number", list: "list", dict: "mapping"}
_KNOWN = fields_dict(DaemonConfig)
#: An environment variable of the daemon (DOCKER_INSECURE_NO_IPTABLES_RAW), not an option of its file.
_ENVIRONMENT = "no-iptables-raw"


def daemon_json(options: bool | Mapping[str, Any]) -> bytes:
    """Return the content of a host's daemon.json with these options. A boolean means no options."""
    return (json.dumps({} if isinstance(options, bool) else dict(options), indent=2) + "\n").encode()


def daemon_config(options: bool | Mapping[str, Any], profile: Profile) -> DaemonConfig:
    """Convert the options of `daemon.json` to the configuration of a daemon. `True` means no options.

    `profile` describes the daemon's release. Raises `InvalidParameter` for an option that the release does not have,
    `NotSimulated` for rootless mode.
    """
    if options is True:
        return DaemonConfig()
    if not isinstance(options, Mapping):
        raise InvalidParameter(f"docker must be true or a mapping of daemon options, not {options!r}")
    directives = dict(_directives(options))
    unknown = [key for key in directives if key not in profile.daemon_directives and key != _ENVIRONMENT]
    if unknown:
        raise InvalidParameter(
            "unable to configure the Docker daemon with file /etc/docker/daemon.json: "
            f"the following directives don't match any configuration option: {', '.join(unknown)}"
        )
    if directives.get("rootless"):
        raise NotSimulated("rootless mode is not simulated")
    if "host-gateway-ips" in directives:
        if "host-gateway-ip" in directives:
            raise InvalidParameter(
                "unable to configure the Docker daemon with file /etc/docker/daemon.json: "
                "host-gateway-ip and host-gateway-ips must not both be specified in the config file"
            )
        addresses = directives.pop("host-gateway-ips")
        if not isinstance(addresses, list):
            raise InvalidParameter(f"host-gateway-ips: must be a list, not {addresses!r}")
        directives["host-gateway-ip"] = ",".join(map(str, addresses))
    values = {
        name: _daemon_value(key, name, value)
        for key, value in directives.items()
        if (name := key.replace("-", "_")) in _KNOWN
    }
    config = DaemonConfig(**values)
    config.validate(profile)
    return config


def _directives(options: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) for each option, where `_` in the name is replaced by `-`.

    If the value of an option is a mapping, the mapping's entries are yielded in its place (moby: configValuesSet). An
    option in `MAPPINGS`, whose value is meant to be a mapping, is yielded as it is.
    """
    for key, value in options.items():
        name = str(key).replace("_", "-")
        if isinstance(value, Mapping) and name not in MAPPINGS:
            yield from ((str(inner).replace("_", "-"), inner_value) for inner, inner_value in value.items())
        else:
            yield name, value


def _daemon_value(key: str, name: str, value: Any) -> Any:
    default = getattr(DaemonConfig(), name)
    if name == "default_address_pools":
        try:
            return [AddressPool(str(Prefix.parse(pool["base"])), int(pool["size"])) for pool in value]
        except (KeyError, TypeError, ValueError) as wrong:
            raise InvalidParameter(f"{key}: a pool is {{base: 10.10.0.0/16, size: 24}}: {wrong}") from None
    expected = type(default) if default is not None else None
    if expected is None:
        expected = {"mtu": int, "ip6tables": bool}.get(name, str)
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        raise InvalidParameter(f"{key}: must be a {_TYPE_NAMES[expected]}, not {value!r}")
    return value
