"""The null driver: its sandboxes have only a loopback device (moby `daemon/libnetwork/drivers/null`)."""

from __future__ import annotations

from typing import Any

from attrs import define, field

from cnmsim.errors import Forbidden
from cnmsim.libnetwork.driver import Capability, EndpointInterface, JoinInfo, NetworkRequest, SandboxContext
from cnmsim.libnetwork.options import EndpointOptions


@define(eq=False)
class NullDriver:
    """The null driver. Its containers are connected to nothing. It has one network, which cannot be deleted."""

    name: str = field(default="null", init=False)
    capability: Capability = field(factory=Capability, init=False)
    is_special: bool = field(default=True, init=False)
    _network_id: str = field(default="", init=False)

    def create_network(self, request: NetworkRequest) -> None:
        """Register the network. Raises `Forbidden` for a second one."""
        if self._network_id:
            raise Forbidden(f'only one instance of "{self.name}" network is allowed')
        self._network_id = request.id

    def delete_network(self, network_id: str) -> None:
        """Raise `Forbidden`: the network cannot be deleted."""
        del network_id
        raise Forbidden(f'network of type "{self.name}" cannot be deleted')

    def create_endpoint(
        self, network_id: str, endpoint_id: str, interface: EndpointInterface, options: EndpointOptions
    ) -> None:
        """Do nothing."""

    def delete_endpoint(self, network_id: str, endpoint_id: str) -> None:
        """Do nothing."""

    def operational_info(self, network_id: str, endpoint_id: str) -> dict[str, Any]:  # noqa: ARG002 - none has any
        """Return an empty dict."""
        return {}

    def join(self, network_id: str, endpoint_id: str, sandbox: SandboxContext, info: JoinInfo) -> None:
        """Do nothing: the sandbox has its loopback device only."""

    def leave(self, network_id: str, endpoint_id: str) -> None:
        """Do nothing."""
