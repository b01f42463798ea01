"""The agent: one node's part in the control plane of swarm networks.

It runs this node's NetworkDB, and passes encryption keys and the addresses of cluster nodes to the drivers. It
publishes this node's endpoints as gossiped table entries, and applies the entries of other nodes to service discovery
and drivers. Source: moby `daemon/libnetwork/agent.go` (docker-v29.7.2), `libnetwork/agent.go` (v26.1.5, v28.5.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING

from attrs import define, evolve, field, frozen
from attrs.converters import optional

from cnmsim.errors import EngineError, NotFound, SystemFault
from cnmsim.kernel.address import IPV4_ANY, IPV6_ANY, Address, format_endpoint, format_ip
from cnmsim.kernel.errno_text import go_strerror
from cnmsim.kernel.vxlan import VXLAN_PORT
from cnmsim.libnetwork.driver import DataPath, TableWatcher, node_discovery, table_watcher
from cnmsim.libnetwork.networkdb.context import NetworkDBConfig
from cnmsim.libnetwork.networkdb.messages import TableOperation
from cnmsim.libnetwork.networkdb.networkdb import NetworkDB
from cnmsim.libnetwork.networkdb.tables import WatchEvent
from cnmsim.libnetwork.options import PortConfig
from cnmsim.libnetwork.readable import IpAddress
from cnmsim.libnetwork.servicerecords import ENDPOINT_TABLE, endpoint_record

if TYPE_CHECKING:
    from cnmsim.libnetwork.controller import Controller
    from cnmsim.libnetwork.endpoint import Endpoint
    from cnmsim.libnetwork.network import Network
    from cnmsim.libnetwork.servicerecords import EndpointRecord

GOSSIP = "networking:gossip"
IPSEC = "networking:ipsec"
#: The number of keys that each subsystem must have (moby `keyringSize`).
KEYS_PER_SUBSYSTEM = 3


@frozen
class EncryptionKey:
    """An encryption key that the swarm's manager distributes to the nodes.

    `subsystem` is `GOSSIP` or `IPSEC`. `algorithm` 0 is AES-128-GCM. Of two keys the newer one has the higher
    `lamport_time`.
    """

    subsystem: str
    algorithm: int
    key: bytes = field(repr=False)
    lamport_time: int


@frozen
class AgentConfig:
    """The configuration of one node's agent.

    `bind_addr` is this node's own address in the swarm; IPsec uses it. `advertise_addr` is the address at which other
    nodes reach this node. `data_path_addr` is the source address of this node's VXLAN tunnels; `None` means
    `advertise_addr`. `data_path_port` is the tunnels' UDP port. `listen_addr` is the address that the gossip sockets
    bind; `None` means any address. `remotes` are the addresses of the swarm's managers. `node_id` is this node's id
    in the swarm, `keys` are the first encryption keys.
    """

    bind_addr: Address
    advertise_addr: Address
    data_path_addr: Address | None = None
    data_path_port: int = VXLAN_PORT
    node_id: str = ""
    keys: Sequence[EncryptionKey] = ()
    remotes: Sequence[Address] = ()
    listen_addr: Address | None = None

    @property
    def tunnel_addr(self) -> Address:
        """The address of this node's tunnel endpoint: `data_path_addr`, or `advertise_addr` if that is `None`."""
        return self.data_path_addr or self.advertise_addr


@frozen
class PeerInfo:
    """A node that is attached to a network: the node's name in the gossip cluster, and its address."""

    name: str
    ip: IpAddress = field(converter=ip_address)


@frozen
class TaskInfo:
    """One endpoint of a service, as listed in `network inspect --verbose`.

    `name` is the endpoint's name, such as `web.1.x7k2`. `info` is the driver's data about the endpoint.
    """

    name: str
    endpoint_id: str
    endpoint_ip: IpAddress = field(converter=ip_address)
    info: dict[str, str] = field(factory=dict, hash=False)


@define
class ServiceInfo:
    """A service in `network inspect --verbose`.

    `local_lb_index` is the service's firewall mark on this node, 0 if it has none. `tasks` are the service's tasks on
    all nodes. Containers that are not tasks are listed under the service name "".
    """

    virtual_ip: IpAddress | None = field(converter=optional(ip_address))
    local_lb_index: int
    ports: list[PortConfig] = field(factory=list)
    tasks: list[TaskInfo] = field(factory=list)


@define(eq=False)
class Agent:
    """The running agent of one controller, created by `Controller.agent_start`.

    Creating an agent opens the gossip sockets. Raises `SystemFault` if the gossip port is in use.
    """

    controller: Controller = field(repr=False)
    config: AgentConfig
    keys: list[EncryptionKey] = field(factory=list, repr=False)
    db: NetworkDB = field(init=False, repr=False)
    _replaces: bool = field(init=False, repr=False)
    _watches: dict[str, list[Callable[[], None]]] = field(factory=dict, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        controller, config = self.controller, self.config
        random = controller.machine.random
        name = random.randbytes(6).hex()
        gossip = NetworkDBConfig(
            name,
            _listened_on(config.listen_addr),
            config.advertise_addr,
            controller.profile,
            keys=[key.key for key in keys_of(self.keys, GOSSIP)],
            packet_size=controller.config.gossip_packet_size,
        )
        stream = controller.machine.clock.stream(f"networkdb/{controller.machine.name}/{name}")
        try:
            self.db = NetworkDB(controller.daemon(), stream, gossip, self._node_changed)
        except OSError as error:
            listened_on = config.listen_addr or IPV4_ANY
            raise SystemFault(
                "failed to create memberlist: Could not set up network transport: failed to obtain an address: "
                f'Failed to start TCP listener on "{format_ip(listened_on)}" port {gossip.port}: '
                f"listen tcp {format_endpoint(listened_on, gossip.port)}: bind: {go_strerror(error)}"
            ) from None
        self._replaces = controller.profile.table_updates_are_replaced
        self.db.watch(ENDPOINT_TABLE, "", self._replace_record if self._replaces else self._apply_message)
        for driver in self._data_paths():
            driver.data_path_set(config.tunnel_addr, config.bind_addr, config.data_path_port)
            driver.keys_set(_pairs(keys_of(self.keys, IPSEC)))
        for network in controller.networks:
            self.join_network(network)

    def _data_paths(self) -> list[DataPath]:
        return [driver for driver in self.controller.drivers if isinstance(driver, DataPath)]

    def join(self, remotes: Sequence[Address]) -> None:
        """Join the gossip cluster through the nodes at the addresses `remotes`.

        If none of them responds, the attempt is repeated every minute.
        """
        self.db.join(remotes)

    def stop(self) -> None:
        """Leave the gossip cluster. Remove all services, and the DNS names of all swarm networks, from this node."""
        for cancels in self._watches.values():
            for cancel in cancels:
                cancel()
        self._watches.clear()
        self.controller.discovery.clear()
        self.db.close()

    # --- keys and nodes

    def set_keys(self, keys: Sequence[EncryptionKey]) -> None:
        """Replace the agent's keys by `keys`.

        The new keys are added first, then the new primary key (see `keys_of`) is used, then the keys that are not in
        `keys` are removed. Source: moby `handleKeyChange`.
        """
        times = {key.lamport_time for key in keys}
        before = {key.lamport_time for key in self.keys}
        gone = [key for key in self.keys if key.lamport_time not in times]
        new = [key for key in keys if key.lamport_time not in before]
        self.keys = [key for key in self.keys if key.lamport_time in times] + new
        ring = self.db.keyring
        for key in new:
            if key.subsystem == GOSSIP:
                ring.add(key.key)
        ring.use(keys_of(self.keys, GOSSIP)[0].key)
        for key in gone:
            if key.subsystem == GOSSIP:
                ring.remove(key.key)
        ipsec = keys_of(self.keys, IPSEC)
        for driver in self._data_paths():
            try:
                driver.keys_updated(_last_pair(new), _pairs(ipsec[:1])[0] if ipsec else None, _last_pair(gone))
            except EngineError as error:
                self.controller.log.append(
                    f"Failed to update datapath keys; resetting datapath keys: {error.message}"
                )
                driver.keys_set(_pairs(ipsec))

    def _node_changed(self, address: Address, is_there: bool) -> None:
        for driver in self.controller.drivers:
            discovery = node_discovery(driver)
            if discovery is None:
                continue
            if is_there:
                discovery.node_joined(address, is_self=address == self.config.advertise_addr)
            else:
                discovery.node_left(address)

    # --- networks

    def join_network(self, network: Network) -> None:
        """Attach this node to a network in NetworkDB.

        Do nothing if the network is not a swarm network (moby `joinCluster`).
        """
        if not network.is_gossiped:
            return
        self.db.join_network(network.id)
        watcher = table_watcher(network.driver)
        if watcher is None:
            return
        self._watches[network.id] = [
            self.db.watch(table, network.id, (_replace_entry if self._replaces else _apply_entry)(watcher))
            for table in watcher.tables
        ]

    async def wait_until_synced(self, network: Network) -> None:
        """Wait until the initial sync of a network is over (`NetworkDB.wait_until_synced`).

        Do nothing if the network is not a swarm network.
        """
        if network.is_gossiped:
            await self.db.wait_until_synced(network.id)

    def leave_network(self, network: Network) -> None:
        """Detach this node from a network in NetworkDB, and end the subscriptions to the network's tables."""
        for cancel in self._watches.pop(network.id, []):
            cancel()
        if network.id in self.db.networks:
            self.db.leave_network(network.id)

    def peers(self, network: Network) -> list[PeerInfo]:
        """Return the name and address of each node attached to a network, this node included."""
        return [PeerInfo(member.name, member.address) for member in self.db.peers(network.id)]

    def services(self, network: Network) -> dict[str, ServiceInfo]:
        """Return the services of a network with their tasks on all nodes, by service name.

        Containers that are not tasks are listed under the service name "".
        """
        infos: dict[str, dict[str, str]] = {}
        driver = table_watcher(network.driver)
        if driver is not None:
            for table in driver.tables:
                for key, value in self.db.entries(table, network.id).items():
                    endpoint_id, info = driver.decode_table_entry(table, key, value)
                    infos[endpoint_id] = info
        services: dict[str, ServiceInfo] = {}
        for endpoint_id, record in self.db.entries(ENDPOINT_TABLE, network.id).items():
            service = services.get(record.service_name)
            if service is None:
                mark = self.controller.discovery.mark_of(record.service_id, network.id, record.ports)
                service = services[record.service_name] = ServiceInfo(record.virtual_ip, mark, list(record.ports))
            service.tasks.append(TaskInfo(record.name, endpoint_id, record.endpoint_ip, infos.get(endpoint_id, {})))
        return services

    # --- endpoints of this node

    def add_driver_entries(self, endpoint: Endpoint) -> None:
        """Create the table entries that the endpoint's driver requested when the endpoint joined."""
        for entry in endpoint.join_info.table_entries:
            self.db.create_entry(entry.table, endpoint.network.id, entry.key, entry.value)

    def delete_driver_entries(self, endpoint: Endpoint) -> None:
        """Delete the table entries that the endpoint's driver requested. Failures are only logged."""
        for entry in endpoint.join_info.table_entries:
            with self.controller.log.logging_errors(SystemFault):
                self.db.delete_entry(entry.table, endpoint.network.id, entry.key)

    def add_service_info(self, endpoint: Endpoint) -> None:
        """Publish an endpoint's names and service: add them to service discovery on this node, and gossip them.

        Do nothing if `endpoint_record` returns `None` for the endpoint. Raises `SystemFault` if the endpoint is
        published already.
        """
        record = endpoint_record(endpoint)
        if record is None:
            return
        self.controller.discovery.add(endpoint.network, endpoint.id, record)
        self.db.create_entry(ENDPOINT_TABLE, endpoint.network.id, endpoint.id, record)

    def delete_service_info(self, endpoint: Endpoint, *, fully: bool) -> None:
        """Withdraw an endpoint's names and service from this node's service discovery and from gossip.

        With `fully=False` they are only marked as disabled: the endpoint gets no new connections, but keeps serving
        established ones. Failures to update the gossiped entry are only logged.
        """
        record = endpoint_record(endpoint)
        if record is None:
            return
        network_id = endpoint.network.id
        with self.controller.log.logging_errors(SystemFault, NotFound):
            if fully:
                self.db.delete_entry(ENDPOINT_TABLE, network_id, endpoint.id)
            else:
                known: EndpointRecord = self.db.get_entry(ENDPOINT_TABLE, network_id, endpoint.id)
                self.db.update_entry(ENDPOINT_TABLE, network_id, endpoint.id, evolve(known, is_disabled=True))
        self.controller.discovery.remove(network_id, endpoint.id, record, fully=fully)

    # --- endpoints of other nodes

    def _apply_message(self, event: WatchEvent) -> None:
        """Update service discovery from one gossip message about another node's endpoint (26.1, 28.5).

        Only the value in the message is used. The entry's previous value, which `event` also contains, is ignored.
        """
        record: EndpointRecord = event.message_value
        discovery = self.controller.discovery
        if event.operation is TableOperation.CREATE:
            network = self.controller.network_by_id(event.network)
            if network is not None:
                discovery.add(network, event.key, record)
        elif event.operation is TableOperation.DELETE:
            discovery.remove(event.network, event.key, record, fully=True)
        elif record.service_id and record.is_disabled:
            discovery.remove(event.network, event.key, record, fully=False)

    def _replace_record(self, event: WatchEvent) -> None:
        """Update service discovery with the difference between an entry's previous and new record (29.x)."""
        before: EndpointRecord | None = event.previous
        now: EndpointRecord | None = event.value
        discovery = self.controller.discovery
        if before is not None:
            if now is not None and before.is_equivalent(now):
                if before.is_disabled == now.is_disabled:
                    return
                if now.is_disabled:
                    discovery.remove(event.network, event.key, now, fully=not now.service_id)
                    return
            elif before.service_id or not before.is_disabled:
                discovery.remove(event.network, event.key, before, fully=True)
        if now is not None and not now.is_disabled:
            network = self.controller.network_by_id(event.network)
            if network is not None:
                discovery.add(network, event.key, now)


def _replace_entry(driver: TableWatcher) -> Callable[[WatchEvent], None]:
    """Return a callback for `NetworkDB.watch` that passes each entry's previous and new value to `driver` (29.x)."""
    changed = driver.table_changed
    return lambda event: changed(event.network, event.table, event.key, event.previous, event.value)


def _apply_entry(driver: TableWatcher) -> Callable[[WatchEvent], None]:
    """Return a callback for `NetworkDB.watch` that passes the value in each gossip message to `driver` (26.1, 28.5).

    The value of a created entry is passed as the new value. The value of a deleted or updated entry is passed as the
    previous value, without a new one: in these releases the driver treats an update as a deletion.
    """

    def apply(event: WatchEvent) -> None:
        is_new = event.operation is TableOperation.CREATE
        before, now = (None, event.message_value) if is_new else (event.message_value, None)
        driver.table_changed(event.network, event.table, event.key, before, now)

    return apply


def _listened_on(address: Address | None) -> Address:
    """Return the address to bind for gossip: `address`, or `::` if it is `None` or unspecified (0.0.0.0).

    A socket on `::` also accepts IPv4, as in listeners of Go's net package.
    """
    return IPV6_ANY if address is None or not any(address) else address


def _pairs(keys: Sequence[EncryptionKey]) -> list[tuple[bytes, int]]:
    return [(key.key, key.lamport_time) for key in keys]


def _last_pair(keys: Sequence[EncryptionKey]) -> tuple[bytes, int] | None:
    pairs = _pairs([key for key in keys if key.subsystem == IPSEC])
    return pairs[-1] if pairs else None


def check_keys(keys: Sequence[EncryptionKey]) -> None:
    """Raise `SystemFault` if a key's subsystem is unknown, or if a subsystem has keys, but not three of them.

    The message is moby's.
    """
    counts: dict[str, int] = {}
    for key in keys:
        if key.subsystem not in {GOSSIP, IPSEC}:
            raise SystemFault("key received for unrecognized subsystem")
        counts[key.subsystem] = counts.get(key.subsystem, 0) + 1
    for subsystem, count in counts.items():
        if count != KEYS_PER_SUBSYSTEM:
            raise SystemFault(f"incorrect number of keys for subsystem {subsystem}")


def keys_of(keys: Sequence[EncryptionKey], subsystem: str) -> list[EncryptionKey]:
    """Return the keys of one subsystem (`GOSSIP` or `IPSEC`), the primary key first (moby `getKeys`)."""
    ordered = sorted((key for key in keys if key.subsystem == subsystem), key=lambda key: key.lamport_time)
    if len(ordered) > 1:
        ordered[0], ordered[1] = ordered[1], ordered[0]
    return ordered
