"""IPVS of one namespace: configuration of services and destinations (ip_vs_ctl.c)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from cnmsim.kernel.address import Address, family_of, parse_ip
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.interning import InternedMultiMap, intern_pool
from cnmsim.kernel.ipvs.connection import ConnectionTable, IpvsConnection
from cnmsim.kernel.ipvs.hooks import Hooks
from cnmsim.kernel.ipvs.scheduler import SCHEDULERS
from cnmsim.kernel.ipvs.service import (
    PROTOCOLS,
    Destination,
    DestinationKey,
    DestinationParameters,
    Method,
    Service,
    ServiceKey,
    destination_parameters,
)
from cnmsim.kernel.ipvs.state import TIMEOUTS_S, IpvsState
from cnmsim.kernel.ipvs.sysctls import DEFAULTS, PREFIX

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from cnmsim.kernel.namespace import NetworkNamespace

_SHARED = "destinations"


class Ipvs:
    """The load balancer of one namespace.

    `hooks` processes packets. `generation` changes whenever a service or a destination changes. The hooks are
    registered with netfilter from the first service until the last connection ends.
    """

    __slots__ = (
        "_namespace", "_services", "_sysctls", "_sysctls_generation", "_timeouts", "_trash", "connections",
        "generation", "hooks",
    )  # fmt: skip

    def __init__(self, namespace: NetworkNamespace) -> None:
        self._namespace = namespace
        self._timeouts: Mapping[IpvsState, int] = TIMEOUTS_S
        self._trash: list[Destination] = []
        self._sysctls: dict[str, int] = {}
        self._sysctls_generation = -1
        self._services: dict[ServiceKey, Service] = {}
        self.connections = ConnectionTable(namespace.clock, self._expired)
        self.hooks = Hooks(self, namespace)
        self.generation = 0
        namespace.sysctl.declare(DEFAULTS)
        namespace.on_destroy.append(self._release)

    @property
    def services(self) -> list[Service]:
        """The services in the order of their creation."""
        return list(self._services.values())

    def find(self, key: ServiceKey) -> Service | None:
        """Return the service with that key (`Service.key`), or `None` if there is none."""
        return self._services.get(key)

    # --- services and destinations

    def add_service(
        self,
        *,
        fwmark: int = 0,
        protocol: str = "",
        address: str = "",
        port: int = 0,
        scheduler: str = "wlc",
        family: int = 4,
        intern_key: Hashable = None,
    ) -> Service:
        """Add a virtual service and return it.

        A service is selected by `fwmark` and `family` (4 or 6), or else by `protocol` (tcp, udp), `address` and
        `port`. Services of several namespaces with the same `intern_key` share the storage of equal destinations; use
        it for services with mostly the same destinations.

        Raises `OSError`: EEXIST if the service exists, ENOENT for an unknown scheduler, EINVAL for port 0,
        EAFNOSUPPORT for an invalid address, EPROTONOSUPPORT for another protocol.
        """
        kind = SCHEDULERS.get(scheduler)
        if kind is None:
            raise OSError(errno.ENOENT, "No such file or directory", scheduler)
        entries = InternedMultiMap[DestinationKey, DestinationParameters](
            None if intern_key is None else intern_pool(self._namespace.clock, _SHARED, intern_key)
        )
        if fwmark:
            created = Service(family, kind(), fwmark=fwmark, entries=entries)
        else:
            if protocol not in PROTOCOLS:
                raise OSError(errno.EPROTONOSUPPORT, "Protocol not supported", protocol)
            if not port:
                raise OSError(errno.EINVAL, "Invalid argument")
            raw = _address(address)
            created = Service(
                family_of(raw), kind(), protocol=PROTOCOLS[protocol], address=raw, port=port, entries=entries
            )
        if created.key in self._services:
            raise OSError(errno.EEXIST, "File exists")
        self._services[created.key] = created
        self._changed()
        return created

    def edit_service(self, service: Service, *, scheduler: str) -> None:
        """Change the scheduler of a service.

        Raises `OSError`: ESRCH if the service does not exist, ENOENT for an unknown scheduler.
        """
        self._require_service(service)
        kind = SCHEDULERS.get(scheduler)
        if kind is None:
            raise OSError(errno.ENOENT, "No such file or directory", scheduler)
        if not isinstance(service.scheduler, kind):
            service.scheduler = kind()
            if kind.tracks_changes:
                service.scheduler.changed(service.destinations)
        self._changed()

    def remove_service(self, service: Service) -> None:
        """Remove a service and its destinations. Raises `OSError(ESRCH)` if it does not exist."""
        self._require_service(service)
        del self._services[service.key]
        for destination in service.clear():
            self._unlink(destination)
        self._expire_orphans()
        self._changed()

    def clear(self) -> None:
        """Remove every service, as `ipvsadm -C` does."""
        for service in self.services:
            self.remove_service(service)

    def _release(self) -> None:
        """Release the storage shared with other namespaces, because this one is destroyed."""
        for service in self.services:
            service.clear()

    def find_service(
        self, *, fwmark: int = 0, protocol: str = "", address: str = "", port: int = 0, family: int = 4
    ) -> Service:
        """Return the service that `add_service` added with these arguments.

        Raises `OSError(ESRCH)` if there is none.
        """
        if fwmark:
            key = (family, fwmark, 0, b"", 0)
        else:
            raw = _address(address)
            key = (family_of(raw), 0, PROTOCOLS.get(protocol, 0), raw, port)
        service = self.find(key)
        if service is None:
            raise OSError(errno.ESRCH, "No such process")
        return service

    def add_destination(
        self, service: Service, address: str | Address, *, port: int = 0, weight: int = 1, method: str = "masq"
    ) -> None:
        """Add a real server to a service. `method` is masq, dr or tunnel.

        A port other than the service's takes effect only with masquerading; 0 keeps the port of the request. Raises
        `OSError`: ESRCH if the service does not exist, EEXIST if the destination exists, EINVAL for another address
        family, ERANGE for a negative weight.
        """
        self._require_service(service)
        raw, terms = _address(address), destination_parameters(weight, method)
        forward = terms[1]
        if family_of(raw) != service.family and forward is not Method.TUNNELING:
            raise OSError(errno.EINVAL, "Invalid argument")
        if weight < 0:
            raise OSError(errno.ERANGE, "Numerical result out of range")
        if service.port and (forward is not Method.MASQUERADING or not port):
            port = service.port
        # An existing destination is never in the trash.
        destination = self._restore_from_trash(service, raw, port)
        if destination is None:
            if not service.add_entry(raw, port, terms):
                raise OSError(errno.EEXIST, "File exists")
        else:
            (destination.weight, destination.method), destination.service = terms, service
            destination.is_available = True
            destination.counters.zero()
            service.add(destination)
        self.generation += 1

    def update_destination(
        self, service: Service, address: str | Address, *, port: int = 0, weight: int = 1, method: str = "masq"
    ) -> None:
        """Change the weight and method of the real server with that `address` and `port` (0: the service's port).

        Existing connections keep their method. Raises `OSError`: ESRCH if the service does not exist, ENOENT if the
        destination does not exist, ERANGE for a negative weight.
        """
        raw, port = self._require_destination(service, address, port)
        if weight < 0:
            raise OSError(errno.ERANGE, "Numerical result out of range")
        service.change(raw, port, destination_parameters(weight, method))
        self.generation += 1

    def remove_destination(self, service: Service, address: str | Address, *, port: int = 0) -> None:
        """Remove the real server with that `address` and `port` (0: the service's port).

        With the sysctl `expire_nodest_conn` its connections end at once; otherwise their packets are dropped until
        they time out. Raises `OSError`: ESRCH if the service does not exist, ENOENT if the destination does not
        exist.
        """
        destination = service.remove(*self._require_destination(service, address, port))
        if destination is not None:
            self._unlink(destination)
        self._expire_orphans()
        self.generation += 1

    def set_timeouts(self, tcp_s: int, tcp_fin_s: int, udp_s: int) -> None:
        """Set the timeouts, in seconds, of established TCP, of TCP after a FIN and of UDP; 0 leaves one unchanged."""
        for state, seconds in (
            (IpvsState.ESTABLISHED, tcp_s), (IpvsState.FIN_WAIT, tcp_fin_s), (IpvsState.UDP, udp_s),
        ):  # fmt: skip
            if seconds:
                self._timeouts = {**self._timeouts, state: seconds}

    @property
    def timeouts(self) -> tuple[int, int, int]:
        """The three timeouts in seconds: of established TCP, of TCP after a FIN, and of UDP."""
        timeouts = self._timeouts
        return timeouts[IpvsState.ESTABLISHED], timeouts[IpvsState.FIN_WAIT], timeouts[IpvsState.UDP]

    def lifetime_s(self, state: IpvsState) -> int:
        """Return the timeout of connections in this state, in seconds."""
        return self._timeouts[state]

    def remaining_s(self, connection: IpvsConnection) -> int:
        """Return the seconds until a connection expires, rounded down."""
        return max(0, (connection.expires_ns - self._namespace.clock.now_ns) // NS_PER_S)

    @property
    def is_idle(self) -> bool:
        """Whether there are neither services nor connections."""
        return not self._services and not len(self.connections)

    def _require_service(self, service: Service) -> None:
        if self._services.get(service.key) is not service:
            raise OSError(errno.ESRCH, "No such process")

    def _require_destination(self, service: Service, address: str | Address, port: int) -> tuple[Address, int]:
        self._require_service(service)
        destination = _address(address), port or service.port
        if not service.has(*destination):
            raise OSError(errno.ENOENT, "No such file or directory")
        return destination

    def _unlink(self, destination: Destination) -> None:
        destination.is_available = False
        if destination.active or destination.inactive:
            self._trash.append(destination)

    def _restore_from_trash(self, service: Service, address: Address, port: int) -> Destination | None:
        """Return the removed destination with this address and port if connections still use it, else `None`.

        Removed destinations that connections still use are kept in a list, the trash. The returned destination is
        taken out of the trash, and its connections continue.
        """
        if len(self.connections):
            self.connections.purge()
        if not self._trash:
            return None
        self._trash = [removed for removed in self._trash if removed.active or removed.inactive]
        for removed in self._trash:
            if removed.service.key == service.key and removed.address == address and removed.port == port:
                self._trash.remove(removed)
                return removed
        return None

    def _expire_orphans(self) -> None:
        if self.sysctl("expire_nodest_conn"):
            for connection in self.connections.entries():
                if not connection.destination.is_available:
                    self.connections.expire(connection)

    def _changed(self) -> None:
        self.generation += 1
        netfilter = self._namespace.netfilter
        netfilter.ipvs = None if self.is_idle else self
        netfilter.rules_changed()

    def _expired(self, connection: IpvsConnection) -> None:
        """Delete the conntrack entry of an expired connection (ip_vs_conn_drop_conntrack)."""
        if connection.uses_conntrack:
            conntrack = self._namespace.netfilter.conntrack
            tracked = conntrack.find(connection.request_key)
            if tracked is not None:
                conntrack.destroy(tracked)
        if self.is_idle:
            self._changed()

    def sysctl(self, name: str) -> int:
        """Return the value of a numeric sysctl below net.ipv4.vs."""
        generation = self._namespace.generation
        if generation != self._sysctls_generation:
            self._sysctls.clear()
            self._sysctls_generation = generation
        value = self._sysctls.get(name)
        if value is None:
            value = self._sysctls[name] = int(self._namespace.sysctl_get(PREFIX + name))
        return value


def _address(address: str | Address) -> Address:
    if isinstance(address, bytes):
        return address
    try:
        return parse_ip(address)
    except ValueError:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol", address) from None
