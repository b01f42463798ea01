"""VXLAN devices that stand in the way of an overlay network: one VNI can be on one device of a host only.

Docker moves its own devices into the network's namespace; one that stays among the host's was left by an engine that died, or made
by hand (moby `libnetwork/drivers/overlay`, createVxlan; Linux drivers/net/vxlan, vxlan_vni_in_use).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import frozen

from cnmsim.kernel.vxlan import Vxlan
from cnmsim.observe.location import Location
from cnmsim.observe.swarm_view import SwarmView

#: What the overlay driver says of such a device.
FILE_EXISTS = "error creating vxlan interface: file exists"
_VNIS = "com.docker.network.driver.overlay.vxlanid_list"


@frozen
class Leftover:
    """A VXLAN device of `host` that has the VNI of `network`."""

    host: str
    device: str
    vni: int
    network: str

    def __str__(self) -> str:
        return f"device {self.device} of {self.host} has VNI {self.vni}, which is that of network {self.network}"

    @property
    def fix(self) -> str:
        """What to type."""
        return f"on {self.host}: ip link del {self.device}"


def leftovers(locations: Iterable[Location], swarms: Iterable[SwarmView]) -> Iterator[Leftover]:
    """Find such devices on the nodes of swarms."""
    machines = [location for location in locations if not location.is_container]
    for swarm in swarms:
        networks = {vni: network for network, vnis in _vnis(swarm) for vni in vnis}
        for host in machines:
            if host.name not in swarm.members:
                continue
            for device in host.namespace.devices.values():
                if isinstance(device, Vxlan) and device.vni in networks and device.port == swarm.data_path_port:
                    yield Leftover(host.name, device.name, device.vni, networks[device.vni])


def _vnis(swarm: SwarmView) -> Iterator[tuple[str, list[int]]]:
    for network in swarm.store.networks:
        state = network.driver_state
        listed = (state.options or {}).get(_VNIS, "") if state is not None else ""
        yield network.name, [int(text) for text in listed.split(",") if text]
