"""Published ports of the routing mesh (moby/swarmkit `manager/allocator/portallocator.go`).

Each protocol has its own port space, shared by all nodes. If the spec gives no published port, the allocator chooses
one from 30000-32767, and the service keeps it across updates.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve

from cnmsim.swarm.allocator.bitmap import BitUnavailable, SerialBitmap
from cnmsim.swarm.objects import PortConfig, PublishMode, Service

DYNAMIC_FIRST = 30000
DYNAMIC_LAST = 32767


class _PortSpace:
    """The ports of one protocol.

    `all` records every allocated port; `dynamic` records those from 30000 to 32767 and chooses among these if the
    spec gives no port. Allocating a port that the spec gives does not move the cursor of `dynamic`.
    """

    def __init__(self) -> None:
        self.all = SerialBitmap(1, 65535, 1)
        self.dynamic = SerialBitmap(DYNAMIC_FIRST, DYNAMIC_LAST, DYNAMIC_FIRST)

    def allocate(self, port: int) -> int:
        if not port:
            chosen = self.dynamic.allocate_next()
            self.all.take(chosen)
            return chosen
        self.all.take(port)
        if DYNAMIC_FIRST <= port <= DYNAMIC_LAST:
            self.dynamic.take(port)
        return port

    def free(self, port: int) -> None:
        self.dynamic.release(port)
        self.all.release(port)


class _AllocatedPorts:
    """A service's allocated ports.

    An allocated port matches a port of the spec that has the same name, protocol and target port.
    """

    def __init__(self, ports: Iterable[PortConfig]) -> None:
        self._ports: dict[tuple[str, str, int], dict[int, PortConfig]] = {}
        for port in ports:
            self._ports.setdefault(_key(port), {})[port.published_port] = port

    def take(self, port: PortConfig) -> PortConfig | None:
        """Remove and return the allocated port that matches `port`, a port of the spec; `None` if there is none."""
        candidates = self._ports.get(_key(port), {})
        if port.published_port:
            return candidates.pop(port.published_port, None)
        for published in candidates:
            if published:
                return candidates.pop(published)
        return None


def _key(port: PortConfig) -> tuple[str, str, int]:
    return port.name, port.protocol, port.target_port


def _of_mode(ports: Iterable[PortConfig], mode: PublishMode) -> list[PortConfig]:
    return [port for port in ports if port.publish_mode is mode]


class PortAllocator:
    """Allocates the published ports of all services."""

    def __init__(self) -> None:
        self._spaces = {protocol: _PortSpace() for protocol in ("tcp", "udp", "sctp")}

    @property
    def in_use(self) -> int:
        """The number of allocated ports."""
        return sum(len(space.all) for space in self._spaces.values())

    def allocate(self, service: Service) -> tuple[PortConfig, ...]:
        """Allocate the published ports of a service's spec. Return the ports with the chosen numbers filled in.

        If the spec gives no published port, the service keeps the number that was chosen earlier. Raises
        `BitUnavailable` if a port is in use or no port is free; the service then has no ports.
        """
        assert service.spec.endpoint is not None
        requested = self._reconcile(service)
        self.free(service)
        allocated: list[PortConfig] = []
        for port in requested:
            if port.publish_mode is PublishMode.INGRESS:
                try:
                    published = self._spaces[port.protocol].allocate(port.published_port)
                except BitUnavailable:
                    self.free_ports(allocated)
                    raise
                allocated.append(evolve(port, published_port=published))
            else:
                allocated.append(port)
        return tuple(allocated)

    def restore(self, ports: Iterable[PortConfig]) -> None:
        """Mark as allocated the `ports` of a service that a former leader allocated.

        Raises `BitUnavailable` if one of them is in use; none of them is then allocated.
        """
        restored: list[PortConfig] = []
        for port in _of_mode(ports, PublishMode.INGRESS):
            try:
                self._spaces[port.protocol].allocate(port.published_port)
            except BitUnavailable:
                self.free_ports(restored)
                raise
            restored.append(port)

    @staticmethod
    def _reconcile(service: Service) -> list[PortConfig]:
        assert service.spec.endpoint is not None
        requested = service.spec.endpoint.ports
        if service.endpoint is None or len(requested) != len(service.endpoint.ports):
            return list(requested)
        allocated = _AllocatedPorts(_of_mode(service.endpoint.ports, PublishMode.INGRESS))
        reconciled: list[PortConfig] = []
        for port in requested:
            if port.publish_mode is PublishMode.HOST or port.published_port:
                if port.publish_mode is PublishMode.INGRESS:
                    allocated.take(port)
                reconciled.append(port)
        reconciled.extend(
            allocated.take(port) or port
            for port in _of_mode(requested, PublishMode.INGRESS)
            if not port.published_port
        )
        return reconciled

    def free(self, service: Service) -> None:
        """Release all ports of a service's endpoint."""
        if service.endpoint is not None:
            self.free_ports(service.endpoint.ports)

    def free_ports(self, ports: Iterable[PortConfig]) -> None:
        """Release the given ports; host-mode ports are ignored."""
        for port in _of_mode(ports, PublishMode.INGRESS):
            self._spaces[port.protocol].free(port.published_port)

    @staticmethod
    def host_ports_changed(service: Service) -> bool:
        """Return True if a host-mode port whose number the spec gives is missing in the service's endpoint."""
        requested = service.spec.endpoint.ports if service.spec.endpoint else ()
        present = service.endpoint.ports if service.endpoint else ()
        allocated = _AllocatedPorts(_of_mode(present, PublishMode.HOST))
        return any(port.published_port and not allocated.take(port) for port in _of_mode(requested, PublishMode.HOST))

    @staticmethod
    def is_allocated(service: Service) -> bool:
        """Return True if a service's endpoint already has all ports of its spec."""
        spec, endpoint = service.spec.endpoint, service.endpoint
        if spec is None or endpoint is None:
            return spec is None and endpoint is None
        if len(spec.ports) != len(endpoint.ports):
            return False
        allocated = _AllocatedPorts(_of_mode(endpoint.ports, PublishMode.INGRESS))
        host_targets = {port.target_port for port in _of_mode(endpoint.ports, PublishMode.HOST)}
        ingress = _of_mode(spec.ports, PublishMode.INGRESS)
        fixed = [port for port in ingress if port.published_port]
        free = [port for port in ingress if not port.published_port]
        if any(allocated.take(port) is None for port in fixed):
            return False
        if any(allocated.take(port) is None for port in free):
            return False
        return all(port.target_port in host_targets for port in _of_mode(spec.ports, PublishMode.HOST))
