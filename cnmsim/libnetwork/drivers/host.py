"""The host driver: containers share the host's own namespace (moby `daemon/libnetwork/drivers/host`)."""

from __future__ import annotations

from attrs import define, field

from cnmsim.libnetwork.drivers.null import NullDriver


@define(eq=False)
class HostDriver(NullDriver):
    """The host driver. Its containers share the host's namespace. It has one network, which cannot be deleted."""

    name: str = field(default="host", init=False)
