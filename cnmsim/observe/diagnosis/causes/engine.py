"""Causes for which a Docker engine refused a request."""

from __future__ import annotations

from attrs import frozen

from cnmsim.observe.diagnosis.causes.base import Cause


@frozen
class PortHeldByContainer(Cause):
    """The engine refused to publish a port of the host `host` because `container` already publishes it.

    `address` is the host address at which it is published.
    """

    container: str
    host: str
    port: int
    protocol: str
    address: str


@frozen
class PortHeldByProgram(Cause):
    """The engine refused to publish a port because a program of the host already listens on it.

    `listener` is the program's socket as text, e.g. `0.0.0.0:80`.
    """

    program: str
    host: str
    listener: str


@frozen
class PoolsExhausted(Cause):
    """The engine refused to create a network because the existing ones use all default address pools of the host.

    `count` is the number of these networks; `examples` are some of them, e.g. `app 172.18.0.0/16`.
    """

    host: str
    count: int
    examples: tuple[str, ...]


@frozen
class SubnetOverlaps(Cause):
    """The engine refused to create a network because its `subnet` overlaps that of an existing network.

    `network` and `network_subnet` are the name and the subnet of the existing network.
    """

    subnet: str
    network: str
    network_subnet: str
    host: str


@frozen
class NetworkInUse(Cause):
    """The engine refused to remove a network because containers are still attached to it."""

    network: str
    containers: tuple[str, ...]


@frozen
class AddressHeld(Cause):
    """The engine refused to assign an address because another container already has it."""

    container: str
    host: str
    address: str


@frozen
class BridgeFull(Cause):
    """The engine could not attach a container because the bridge already has as many ports as the kernel allows."""

    bridge: str
    host: str
    ports: int
