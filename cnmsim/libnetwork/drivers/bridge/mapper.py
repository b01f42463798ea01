"""The port mapper: allocates host ports for groups of bindings, installs their rules and starts their proxies.

The module `portmap` makes the groups. Source: 26.1.5 `libnetwork/portmapper/mapper.go`; docker-v29.7.2
`daemon/libnetwork/portmappers/nat/mapper_linux.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from attrs import define, evolve, field, frozen

from cnmsim.errors import EngineError, SystemFault
from cnmsim.kernel.address import format_endpoint
from cnmsim.kernel.errno_text import go_strerror
from cnmsim.kernel.machine import Machine
from cnmsim.kernel.process import Process
from cnmsim.libnetwork.drivers.bridge.firewall import Firewall
from cnmsim.libnetwork.drivers.bridge.portmap import Candidate, host_addresses
from cnmsim.libnetwork.drivers.bridge.proxy import listen_on_host, start_proxy
from cnmsim.libnetwork.drivers.bridge.rules import NetworkFacts
from cnmsim.libnetwork.options import PortBinding
from cnmsim.libnetwork.portallocator import PortAllocator, noop
from cnmsim.libnetwork.profile import Profile

_MAX_TRIES = 10


@define(eq=False)
class Mapping:
    """One published port.

    `binding` contains the allocated host port. `kind` is the `MappingKinds` attribute to which the mapping belongs,
    e.g. "ipv4".
    """

    binding: PortBinding
    kind: str
    _release: ExitStack = field(factory=ExitStack, repr=False)

    def release(self) -> None:
        """Unpublish the port: release the host port, delete the rules and stop the proxy."""
        self._release.close()


@frozen
class PortMapper:
    """The port mapper of one endpoint.

    `has_proxy` is True if there is a userland proxy. If not, the daemon's process, which `daemon` returns, binds the
    host ports.
    """

    machine: Machine
    daemon: Callable[[], Process]
    allocator: PortAllocator
    profile: Profile
    firewall: Firewall
    has_proxy: bool

    def map_group(self, facts: NetworkFacts, group: Sequence[Candidate]) -> list[Mapping]:
        """Publish the bindings of one group, all on the same host port. Return their mappings.

        Raises an `EngineError` with the engine's message if a port cannot be allocated or bound, or a rule cannot be
        installed; then none of the bindings is published.
        """
        with ExitStack() as undo:
            if group[0].is_routed:
                mappings = [Mapping(candidate.binding, candidate.kind) for candidate in group]
            else:
                mappings = self._allocate_and_bind(group, undo)
            for mapping in mappings:
                undo.callback(mapping.release)
                self._write_rules(facts, mapping)
            undo.pop_all()
        return mappings

    def _allocate_and_bind(self, group: Sequence[Candidate], undo: ExitStack) -> list[Mapping]:
        binding = group[0].binding
        is_ephemeral = binding.host_port == 0
        is_range = binding.last_host_port > binding.host_port
        may_retry = is_ephemeral or (is_range and self.profile.range_is_retried)
        addresses = host_addresses(group)
        tries = _MAX_TRIES if may_retry else 1
        while True:
            tries -= 1
            port = self._allocate(group)
            with ExitStack() as attempt:
                attempt.callback(self.allocator.release_ports, addresses, binding.protocol, port)
                try:
                    mappings = self._bind(group, port, attempt)
                except OSError as error:
                    if tries:
                        continue
                    raise self._bind_error(group, port, error) from None
                for mapping in mappings[1:]:
                    undo.callback(mapping.release)
                mappings[0]._release.push(attempt.pop_all())
                return mappings

    def _allocate(self, group: Sequence[Candidate]) -> int:
        binding = group[0].binding
        return self.allocator.request_ports(
            host_addresses(group), binding.protocol, binding.host_port, binding.last_host_port
        )

    def _bind(self, group: Sequence[Candidate], port: int, undo: ExitStack) -> list[Mapping]:
        mappings = []
        bound: set[bytes | None] = set()
        for candidate in group:
            settled = evolve(candidate.binding, host_port=port, host_port_end=port)
            if settled.host_ip in bound:
                raise self._duplicate_error(settled)
            bound.add(settled.host_ip)
            undo.callback(self._bind_host_port(settled))
            undo.callback(self.allocator.register_bound(settled))
            mappings.append(Mapping(settled, candidate.kind))
        return mappings

    def _bind_host_port(self, binding: PortBinding) -> Callable[[], None]:
        """Bind the host port, by a proxy or by the daemon. Return the function that closes the socket.

        For SCTP no socket is bound: only the firewall rules forward it.
        """
        if binding.protocol == "sctp":
            return noop
        if self.has_proxy:
            return start_proxy(self.machine, binding, self.profile).kill
        # Without a proxy the daemon reserves the port with a socket from which it never accepts.
        return listen_on_host(self.daemon(), binding, self.profile).close

    def _write_rules(self, facts: NetworkFacts, mapping: Mapping) -> None:
        written = self.firewall.add_port(facts, mapping.binding)
        if written is not None:
            mapping._release.callback(written.withdraw)

    def _duplicate_error(self, binding: PortBinding) -> EngineError:
        return SystemFault(
            self.profile.port_duplicate_text.format(
                address=_host_text(binding), proto=binding.protocol, mapping=binding
            )
        )

    def _bind_error(self, group: Sequence[Candidate], port: int, error: OSError) -> EngineError:
        requested = group[0].binding
        settled = evolve(requested, host_port=port, host_port_end=port)
        cause = go_strerror(error)
        assert requested.host_ip is not None
        text = self.profile.port_bind_text.format(
            network=f"{requested.protocol}{6 if len(requested.host_ip) == 16 else 4}",
            address=_host_text(settled),
            proto=requested.protocol,
            mapping=requested,
            error=cause,
        )
        if self.profile.ports_are_grouped:
            if requested.last_host_port > requested.host_port and not self.profile.skips_reserved_ports:
                text = f"failed to bind host port {port} for {requested}: {cause}"
            return SystemFault(text).about(str(port))
        text = f"Error starting userland proxy: {text}" if self.has_proxy else text
        return SystemFault(text).about(str(port))


def _host_text(binding: PortBinding) -> str:
    host = binding.host_ip
    assert host is not None
    return format_endpoint(host, binding.host_port)
