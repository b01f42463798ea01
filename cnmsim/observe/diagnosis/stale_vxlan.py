"""Find stale VXLAN devices, which keep an overlay network from coming up because their VNI is in use on the host.

Docker moves its own devices into the network's namespace. A device that remains in the host's namespace was left
behind by an engine that died, or was made by hand (moby `libnetwork/drivers/overlay`, createVxlan; Linux
drivers/net/vxlan, vxlan_vni_in_use).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from cnmsim.observe.diagnosis.causes.overlay import VniTaken
from cnmsim.observe.location import Location
from cnmsim.observe.swarm_view import SwarmView

#: The overlay driver's error if the VNI is already in use.
FILE_EXISTS = "error creating vxlan interface: file exists"
_VNIS = "com.docker.network.driver.overlay.vxlanid_list"


def stale_vxlan_devices(locations: Iterable[Location], swarms: Iterable[SwarmView]) -> Iterator[VniTaken]:
    """Yield the VXLAN devices on swarm members that occupy the VNI of one of the swarm's overlay networks."""
    from cnmsim.kernel.vxlan import Vxlan

    machines = [location for location in locations if not location.is_container]
    for swarm in swarms:
        networks = {vni: network for network, vnis in _vnis(swarm) for vni in vnis}
        for host in machines:
            if host.name not in swarm.members:
                continue
            for device in host.namespace.devices.values():
                if isinstance(device, Vxlan) and device.vni in networks and device.port == swarm.data_path_port:
                    yield VniTaken(host.name, device.name, device.vni, networks[device.vni])


def _vnis(swarm: SwarmView) -> Iterator[tuple[str, list[int]]]:
    for network in swarm.store.networks:
        state = network.driver_state
        options = (state.options or {}).get(_VNIS, "") if state is not None else ""
        yield network.name, [int(text) for text in options.split(",") if text]
