"""Validation of restored values, e.g. texts that must be addresses and numbers that must be ports or timestamps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from cnmsim.gostrconv import atoi
from cnmsim.kernel.address import Prefix, parse_interface, parse_ip
from cnmsim.swarm.allocator.networks import VXLAN_ID_LIST
from cnmsim.swarm.dispatcher.messages import ManagerPeer
from cnmsim.swarm.node import NodeConfig
from cnmsim.swarm.objects import EncryptionKey, Network, NetworkAttachment, PortConfig, VirtualIp
from cnmsim.swarm.persistence.serialization import MalformedData
from cnmsim.swarm.raft import Member
from cnmsim.swarm.rpc import split_host_port

_MAX_NS = 2**63
_PORTS = range(2**16)
#: Service ports have 32 bits in SwarmKit, which refuses ports above 65535 only later.
_SERVICE_PORTS = range(2**32)
_KEY_BYTES = 16


def validate(value: Any) -> None:
    """Check a value and all values that it contains, by the rules for their fields.

    Raises `MalformedData` for a value that violates a rule.
    """
    for item in _attrs_values(value):
        test = _VALIDATORS.get(type(item))
        try:
            if test is not None:
                test(item)
        except (ValueError, OSError) as error:
            raise MalformedData(f"{type(item).__name__}: {error}") from None
        for name in _timestamp_fields(type(item)):
            at_ns = getattr(item, name)
            if at_ns is not None and not 0 <= at_ns < _MAX_NS:
                raise MalformedData(f"{type(item).__name__}: {name} is {at_ns}")


def _attrs_values(value: Any) -> Iterator[Any]:
    pending = [value]
    while pending:
        item = pending.pop()
        if attrs.has(type(item)):
            yield item
            pending += [getattr(item, attribute.name) for attribute in attrs.fields(type(item))]
        elif isinstance(item, tuple):
            pending += item
        elif isinstance(item, Mapping):
            pending += item.values()


def _timestamp_fields(kind: type) -> list[str]:
    return [attribute.name for attribute in attrs.fields(kind) if attribute.name.endswith("_ns")]


def _prefixes(*texts: str) -> None:
    for text in texts:
        if text:
            Prefix.parse(text, strict=False)


def _interfaces(*texts: str) -> None:
    for text in texts:
        if text:
            parse_interface(text)


def _network(network: Network) -> None:
    configs = network.ipam.configs if network.ipam is not None else ()
    for config in configs:
        _prefixes(config.subnet, config.range)
        if config.gateway:
            parse_ip(config.gateway)
    options = network.driver_state.options if network.driver_state is not None else None
    for number in (options or {}).get(VXLAN_ID_LIST, "0").split(","):
        atoi(number)


def _remote(text: str) -> None:
    host, port = split_host_port(text)
    if len(host) not in {4, 16} or port not in _PORTS:
        raise ValueError(f"{text} is not an address with a port")


def _node_config(config: NodeConfig) -> None:
    for text in (config.listen, config.advertise, config.join_address):
        if text:
            _remote(text)
    _prefixes(*(config.pools or ()))


def _port(config: PortConfig) -> None:
    if config.target_port not in _SERVICE_PORTS or config.published_port not in _SERVICE_PORTS:
        raise ValueError(f"port {config.target_port} or {config.published_port} is out of range")


def _key(key: EncryptionKey) -> None:
    if len(key.key) != _KEY_BYTES:
        raise ValueError(f"the key has {len(key.key)} bytes instead of {_KEY_BYTES}")


_VALIDATORS: dict[type, Callable[[Any], None]] = {
    Network: _network,
    NetworkAttachment: lambda item: _interfaces(*item.addresses),
    VirtualIp: lambda item: _interfaces(item.addr),
    ManagerPeer: lambda item: _remote(item.addr),
    Member: lambda item: _remote(item.address),
    NodeConfig: _node_config,
    PortConfig: _port,
    EncryptionKey: _key,
}
