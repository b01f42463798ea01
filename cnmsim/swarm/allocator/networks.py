"""Subnets, VXLAN ids and addresses of a cluster's networks (moby `libnetwork/cnmallocator`, `overlay/ovmanager`).

This state is kept in the leader's memory only. A new leader rebuilds it from the objects in the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from attrs import define, evolve, field

from cnmsim.digits import is_number
from cnmsim.errors import CnmsimError
from cnmsim.kernel.address import format_ip, parse_ip
from cnmsim.libnetwork.ipam import GLOBAL_SPACE, AddressOutOfRange, Ipam, NoAvailableAddresses, swarm_pools
from cnmsim.libnetwork.ipam.allocator import PoolRequest
from cnmsim.libnetwork.profile import Profile
from cnmsim.swarm.allocator.bitmap import BitUnavailable, SerialBitmap
from cnmsim.swarm.objects import (
    Driver,
    IpamConfig,
    IpamOptions,
    Network,
    NetworkAttachment,
    PublishMode,
    ResolutionMode,
    Service,
    Task,
    VirtualIp,
)

#: Drivers of node-local networks: the cluster allocates nothing for them.
LOCAL_DRIVERS = frozenset({"bridge", "host", "ipvlan", "macvlan"})
GLOBAL_DRIVERS = frozenset({"overlay"})
VXLAN_ID_LIST = "com.docker.network.driver.overlay.vxlanid_list"
_FIRST_VNI = 4096
_LAST_VNI = (1 << 24) - 1


class AllocationError(Exception):
    """An allocation failed. The leader logs it and retries later."""


@define
class _NetworkState:
    """The allocations of one network.

    `pools` maps each subnet to the id of its IPAM pool, in the order of the network's configuration. `endpoints` maps
    each allocated address to the id of the pool that it belongs to.
    """

    network: Network
    is_node_local: bool
    pools: dict[str, str] = field(factory=dict)
    endpoints: dict[str, str] = field(factory=dict)
    vnis: tuple[int, ...] = ()


def is_ingress_needed(service: Service | None) -> bool:
    """Return True if a service publishes a port through the routing mesh, which needs the ingress network."""
    if service is None or service.spec.endpoint is None:
        return False
    return any(port.publish_mode is PublishMode.INGRESS for port in service.spec.endpoint.ports)


def driver_of(network: Network) -> str:
    """Return the name of a network's driver, such as `overlay`."""
    if network.driver_state is not None and network.driver_state.name:
        return network.driver_state.name
    return network.spec.driver.name if network.spec.driver and network.spec.driver.name else "overlay"


class NetworkAllocator:
    """Allocates the subnets, VXLAN ids and addresses of one cluster.

    `pools` and `subnet_size` are the options of `swarm init`. Empty `pools` and a `subnet_size` of 0 mean the
    defaults.
    """

    def __init__(self, profile: Profile, pools: Sequence[str] = (), subnet_size: int = 0) -> None:
        self._ipam = Ipam(profile, global_pools=swarm_pools(pools, subnet_size))
        #: The allocator of VXLAN ids.
        self.vnis = SerialBitmap(0, _LAST_VNI, _FIRST_VNI)
        self._networks: dict[str, _NetworkState] = {}
        self._services: set[str] = set()
        self._tasks: set[str] = set()
        self._nodes: set[tuple[str, str]] = set()

    # ---- networks

    def is_allocated(self, network_id: str) -> bool:
        """Return True if the network's subnets are allocated."""
        return network_id in self._networks

    def addresses_in_use(self, network_id: str) -> int:
        """Return the number of addresses allocated on a network, not counting its gateways."""
        return len(self._networks[network_id].endpoints)

    def allocate(self, network: Network) -> Network:
        """Allocate a network's subnets, gateways and VXLAN ids. Return the network with these values filled in.

        Values that the network already has are kept. Raises `AllocationError` if the network is allocated already,
        its driver is unknown, or a value is invalid or in use.
        """
        if network.id in self._networks:
            raise AllocationError(f"network {network.id} already allocated")
        name = network.spec.driver.name if network.spec.driver and network.spec.driver.name else "overlay"
        if name in LOCAL_DRIVERS:
            allocated = evolve(network, driver_state=Driver(name), ipam=IpamOptions(Driver()))
            self._networks[network.id] = _NetworkState(allocated, is_node_local=True)
            return allocated
        if name not in GLOBAL_DRIVERS:
            raise AllocationError(f"network driver {name} not found")
        local = _NetworkState(network, is_node_local=False)
        try:
            ipam = self._allocate_pools(network, local)
        except CnmsimError as error:
            self._free_pools(local, [])
            raise AllocationError(
                f"failed allocating pools and gateway IP for network {network.id}: {error.message}"
            ) from None
        try:
            state = self._allocate_vnis(network, ipam, local)
        except (BitUnavailable, ValueError) as error:
            self._free_pools(local, ipam.configs)
            raise AllocationError(f"failed while allocating driver state for network {network.id}: {error}") from None
        local.network = evolve(network, ipam=ipam, driver_state=Driver(name, state))
        self._networks[network.id] = local
        return local.network

    def _allocate_pools(self, network: Network, local: _NetworkState) -> IpamOptions:
        spec = network.spec.ipam
        requested_configs: Sequence[IpamConfig] = ()
        if network.ipam is not None:
            requested_configs = network.ipam.configs
        elif spec is not None:
            requested_configs = spec.configs
        allocated: list[IpamConfig] = []
        for config in requested_configs or (IpamConfig(),):
            pool = self._ipam.request_pool(PoolRequest(GLOBAL_SPACE, config.subnet, config.range))
            local.pools[str(pool.prefix)] = pool.id
            requested = parse_ip(config.gateway) if config.gateway else None
            try:
                gateway, _ = self._ipam.request_address(pool.id, requested, serial=True)
            except CnmsimError:
                self._free_pools(local, allocated)
                raise
            allocated.append(evolve(config, subnet=str(pool.prefix), gateway=format_ip(gateway)))
        driver = spec.driver if spec is not None and spec.driver is not None and spec.driver.name else None
        return IpamOptions(Driver("default", driver.options or None if driver else None), tuple(allocated))

    def _allocate_vnis(self, network: Network, ipam: IpamOptions, local: _NetworkState) -> dict[str, str]:
        options: dict[str, str] = {}
        for source in (network.spec.driver, network.driver_state):
            if source is not None and source.options:
                options.update(source.options)
        requested: list[int] = []
        for text in filter(None, options.pop(VXLAN_ID_LIST, "").split(",")):
            if not is_number(text.strip()):
                raise ValueError(f'invalid vxlan id value "{text}" passed')
            requested.append(int(text))
        allocated: list[int] = []
        try:
            for index, config in enumerate(ipam.configs):
                allocated.append(
                    self._allocate_vni(requested[index] if index < len(requested) else None, config.subnet)
                )
        except BitUnavailable:
            for vni in allocated:
                self.vnis.release(vni)
            raise
        local.vnis = tuple(allocated)
        options[VXLAN_ID_LIST] = ",".join(map(str, allocated))
        return options

    def _allocate_vni(self, requested: int | None, subnet: str) -> int:
        try:
            if requested is None:
                return self.vnis.allocate_next()
            self.vnis.take(requested)
        except BitUnavailable as error:
            if requested is None:
                raise BitUnavailable(f"could not obtain vxlan id for pool {subnet}: {error}") from None
            raise BitUnavailable(f"could not assign vxlan id {requested} to pool {subnet}: {error}") from None
        return requested

    def deallocate(self, network: Network) -> None:
        """Release a network's subnets and VXLAN ids. Raises `AllocationError` if the network is not allocated."""
        local = self._networks.pop(network.id, None)
        if local is None:
            raise AllocationError(f"could not get networker state for network {network.id}")
        if local.is_node_local:
            return
        for vni in local.vnis:
            self.vnis.release(vni)
        self._free_pools(local, local.network.ipam.configs if local.network.ipam else ())

    def _free_pools(self, local: _NetworkState, configs: Sequence[IpamConfig]) -> None:
        for config in configs:
            self._ipam.release_address(local.pools[config.subnet], parse_ip(config.gateway))
        for pool in local.pools.values():
            with suppress(CnmsimError):  # since 28 an IPv6 pool was never allocated: see Ipam.request_pool
                self._ipam.release_pool(pool)
        local.pools.clear()

    # ---- addresses

    def _request_address(self, network_id: str, requested: str, kind: str) -> str:
        """Allocate an address and return it in prefix form such as `10.0.1.3/24`, or "" for a node-local network.

        `requested` is the address to allocate, or "" for any free one. `kind` is the kind of address that error
        messages mention. Raises `AllocationError` if the network is not allocated, the requested address is invalid
        or in use, or no address is free.
        """
        local = self._networks.get(network_id)
        if local is None:
            raise AllocationError(f"could not find network allocator state for network {network_id}")
        if local.is_node_local:
            return ""
        try:
            address = parse_ip(requested.partition("/")[0]) if requested else None
        except ValueError:
            raise AllocationError(f"could not parse address string {requested}") from None
        for pool in local.pools.values():
            try:
                allocated, length = self._ipam.request_address(pool, address, serial=True)
            except (NoAvailableAddresses, AddressOutOfRange):
                continue
            except CnmsimError as error:
                raise AllocationError(f"could not allocate {kind} from IPAM: {error.message}") from None
            text = f"{format_ip(allocated)}/{length}"
            local.endpoints[text] = pool
            return text
        raise AllocationError("could not find an available IP" + (" while allocating VIP" if kind == "VIP" else ""))

    def _release_address(self, network_id: str, address: str) -> None:
        """Release an address, if its network still exists and the address is allocated."""
        local = self._networks.get(network_id)
        pool = local.endpoints.pop(address, None) if local is not None else None
        if pool is not None:
            self._ipam.release_address(pool, parse_ip(address.partition("/")[0]))

    def _has_address(self, network_id: str, address: str) -> bool:
        local = self._networks.get(network_id)
        return local is not None and (local.is_node_local or address in local.endpoints)

    # ---- services

    def _is_on_ingress(self, vip: VirtualIp) -> bool:
        local = self._networks.get(vip.network_id)
        return local is not None and local.network.is_ingress

    def is_service_allocated(self, service: Service) -> bool:
        """Return True if a service has a virtual IP on each network that its spec requires, and on no other."""
        endpoint, spec = service.endpoint, service.spec.endpoint
        network_ids = {attachment.target for attachment in service.networks}
        vips = endpoint.virtual_ips if endpoint is not None else ()
        if network_ids and (spec is None or spec.mode is ResolutionMode.VIP):
            if service.id not in self._services or not vips:
                return False
            if network_ids - {vip.network_id for vip in vips}:
                return False
        for vip in vips:
            if self._is_on_ingress(vip) and is_ingress_needed(service):
                if service.id not in self._services:
                    return False
            elif vip.network_id not in network_ids:
                return False
        return not (spec is not None and spec.mode is ResolutionMode.DNSRR and service.id in self._services)

    def allocate_vips(self, service: Service, vips: Sequence[VirtualIp]) -> tuple[VirtualIp, ...]:
        """Allocate a service's virtual IPs and return them.

        `vips` are the service's present virtual IPs. A virtual IP without an address gets one; a virtual IP on a
        network that the service no longer uses is released and left out. Raises `AllocationError` if an address
        cannot be allocated; the service then has no virtual IPs.
        """
        if service.spec.endpoint is not None and service.spec.endpoint.mode is ResolutionMode.DNSRR:
            self.deallocate_vips(service.id, vips)
            return ()
        network_ids = list(dict.fromkeys(attachment.target for attachment in service.networks))
        allocated: list[VirtualIp] = []
        try:
            for vip in vips:
                if (self._is_on_ingress(vip) and is_ingress_needed(service)) or vip.network_id in network_ids:
                    allocated.append(self._allocate_vip(vip))
                else:
                    self._release_address(vip.network_id, vip.addr)
            present = {vip.network_id for vip in vips}
            allocated.extend(
                self._allocate_vip(VirtualIp(network)) for network in network_ids if network not in present
            )
        except AllocationError:
            self.deallocate_vips(service.id, (*vips, *allocated))
            raise
        if allocated:
            self._services.add(service.id)
        else:
            self._services.discard(service.id)
        return tuple(allocated)

    def restore_vips(self, service_id: str, vips: Sequence[VirtualIp]) -> None:
        """Mark as allocated `vips`, the virtual IPs that a former leader gave to a service.

        Raises `AllocationError` if one of them is not available; the service then has no virtual IPs.
        """
        restored: list[VirtualIp] = []
        try:
            for vip in vips:
                restored.append(self._allocate_vip(vip))  # noqa: PERF401 - undone below if a later one fails
        except AllocationError:
            self.deallocate_vips(service_id, restored)
            raise
        if restored:
            self._services.add(service_id)

    def _allocate_vip(self, vip: VirtualIp) -> VirtualIp:
        if vip.addr and self._has_address(vip.network_id, vip.addr):
            return vip
        return evolve(vip, addr=self._request_address(vip.network_id, vip.addr, "VIP"))

    def deallocate_vips(self, service_id: str, vips: Sequence[VirtualIp]) -> None:
        """Release a service's virtual IPs."""
        for vip in vips:
            self._release_address(vip.network_id, vip.addr)
        self._services.discard(service_id)

    # ---- tasks

    def is_task_allocated(self, task: Task) -> bool:
        """Return True if a task has networks and an address on each of them."""
        if task.id not in self._tasks or not task.networks:
            return False
        return all(self._is_attached(attachment) for attachment in task.networks)

    def _is_attached(self, attachment: NetworkAttachment) -> bool:
        local = self._networks.get(attachment.network.id)
        if local is None or local.is_node_local:
            return local is not None
        return bool(attachment.addresses) and attachment.addresses[0] in local.endpoints

    def allocate_task(self, task: Task, attachments: Sequence[NetworkAttachment]) -> tuple[NetworkAttachment, ...]:
        """Allocate an address for a task on the network of each attachment.

        Return the attachments with these addresses. Raises `AllocationError` if an address cannot be allocated; the
        task then has no addresses.
        """
        allocated: list[NetworkAttachment] = []
        try:
            for attachment in attachments:
                allocated.append(self._attach(attachment))  # noqa: PERF401 - undone below if a later one fails
        except AllocationError as error:
            self._detach(allocated)
            network = attachments[len(allocated)].network.id
            raise AllocationError(
                f"failed to allocate network IP for task {task.id} network {network}: {error}"
            ) from None
        self._tasks.add(task.id)
        return tuple(allocated)

    def _attach(self, attachment: NetworkAttachment) -> NetworkAttachment:
        local = self._networks.get(attachment.network.id)
        if local is not None and local.is_node_local:
            return attachment
        addresses = attachment.addresses or ("",)
        address = self._request_address(attachment.network.id, addresses[0], "IP")
        return evolve(attachment, addresses=(address, *addresses[1:]))

    def _detach(self, attachments: Sequence[NetworkAttachment]) -> None:
        for attachment in attachments:
            for address in attachment.addresses:
                self._release_address(attachment.network.id, address)

    def deallocate_task(self, task: Task) -> None:
        """Release a task's addresses."""
        self._tasks.discard(task.id)
        self._detach(task.networks)

    # ---- nodes

    def is_node_attached(self, node_id: str, attachment: NetworkAttachment) -> bool:
        """Return True if a node's load balancer has an address on the network of `attachment`."""
        return (node_id, attachment.network.id) in self._nodes and self._is_attached(attachment)

    def attach_node(self, node_id: str, attachment: NetworkAttachment) -> NetworkAttachment:
        """Allocate an address for a node's load balancer on a network, and return the attachment with that address.

        Raises `AllocationError` if no address is available.
        """
        allocated = self._attach(attachment)
        self._nodes.add((node_id, attachment.network.id))
        return allocated

    def detach_node(self, node_id: str, attachment: NetworkAttachment) -> None:
        """Release the address of a node's load balancer on the network of `attachment`."""
        self._nodes.discard((node_id, attachment.network.id))
        self._detach((attachment,))
