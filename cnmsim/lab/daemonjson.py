"""The options of `daemon.json`, as a lab's user writes them for a Docker host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cnmsim.errors import InvalidParameter
from cnmsim.kernel.address import Prefix
from cnmsim.libnetwork.config import AddressPool, DaemonConfig

_TYPE_NAMES: dict[type, str] = {bool: "boolean", str: "string", int: "number", list: "list", dict: "mapping"}


def daemon_config(options: bool | Mapping[str, Any]) -> DaemonConfig:
    """Read the options of `daemon.json`. Raises `InvalidParameter` for one that a daemon does not know."""
    if options is True:
        return DaemonConfig()
    if not isinstance(options, Mapping):
        raise InvalidParameter(f"docker must be true or a mapping of daemon options, not {options!r}")
    known = {attribute.name: attribute for attribute in DaemonConfig.__attrs_attrs__}
    values: dict[str, Any] = {}
    for key, value in options.items():
        name = str(key).replace("-", "_")
        if name not in known:
            raise InvalidParameter(f"the following directives don't match any configuration option: {key}")
        values[name] = _daemon_value(str(key), name, value)
    config = DaemonConfig(**values)
    config.validate()
    return config


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
