"""The host driver: containers share the host's own namespace (moby `daemon/libnetwork/drivers/host`)."""

from __future__ import annotations

from attrs import define, field

from cnmsim.libnetwork.drivers.null import NullDriver


@define(eq=False)
class HostDriver(NullDriver):
    """A driver with nothing to connect, for its sandboxes are the host. Of its networks there is one, and it stays."""

    name: str = field(default="host", init=False)
