"""libnetwork's controllers on the hosts of a lab, without an engine: `Lab.controller` and `Controller()`."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Interface, ip_interface
from itertools import count
from typing import TYPE_CHECKING, Any

from cnmsim.errors import InvalidParameter
from cnmsim.lab.daemonjson import daemon_config
from cnmsim.libnetwork.controller import Controller
from cnmsim.libnetwork.profile import PROFILES

if TYPE_CHECKING:
    from cnmsim.kernel.machine import Machine
    from cnmsim.lab.host import Host
    from cnmsim.lab.lab import Lab

#: The address of the first host that is added without an address; each further host gets the next free one.
_FIRST_ADDRESS = IPv4Interface("10.0.0.15/24")


def add_controller(
    lab: Lab, name: str, addresses: tuple[str, ...], release: str, config: Mapping[str, Any] | None
) -> Controller:
    """Return the controller of the host `name`, created with its host if necessary; see `Lab.controller`."""
    host = lab.hosts.get(name)
    if host is not None:
        if addresses:
            raise InvalidParameter(f"host {name} exists: its addresses cannot be given again")
        if host.controller is not None:
            if config:
                raise InvalidParameter(f"host {name} has a controller: its configuration cannot be given again")
            return host.controller
    settings = daemon_config(config if config is not None else True, PROFILES[release])
    if host is None:
        host = lab.add_host(name, *(addresses or (_free_address(lab),)))
    host.own_controller = Controller(host.machine, PROFILES[release], settings, programs=lab.container_programs)
    return host.own_controller


def _free_address(lab: Lab) -> str:
    taken = {
        ip_interface(str(address)).ip
        for host in lab.hosts.values()
        for interface in host.plain.spec.interfaces
        for address in interface.addresses
    }
    network = _FIRST_ADDRESS.network
    addresses = (_FIRST_ADDRESS + number for number in count())
    address = next(candidate for candidate in addresses if candidate.ip not in taken)
    if address not in network or address.ip == network.broadcast_address:
        raise InvalidParameter(f"every address of {network} is taken: give the host one, such as '10.1.0.15/24'")
    return f"{address.ip}/{network.prefixlen}"


def new_machine() -> Machine:
    """Create a lab with one host, and return the host's simulated Linux machine."""
    from cnmsim.lab.lab import Lab

    host: Host = Lab().add_host("node1", str(_FIRST_ADDRESS))
    return host.machine
