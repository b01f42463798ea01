"""A DHCP server for a plain host. It leases the addresses of one range as busybox's udhcpd does.

The search for a free address starts at a hash of the client's MAC. An address is not offered if another interface on
the link answers ARP requests for it. Source: busybox 1.37 `networking/udhcp/{dhcpd,arpping}.c`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import define, field, frozen

from cnmsim.kernel.address import IPV4_ANY, MAC_BROADCAST, MAC_ZERO, Address, Mac, Prefix, format_ip, parse_ip
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.packet import MalformedPacketError
from cnmsim.kernel.task import Queue
from cnmsim.kernel.transport import ARP_REPLY, ARP_REQUEST, ArpMessage
from cnmsim.underlay.dhcpmessage import REPLY, SERVER_PORT, DhcpMessage, MessageType, Option, broadcast_frame
from cnmsim.underlay.dhcpmessage import REQUEST as _FROM_CLIENT

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device
    from cnmsim.kernel.process import Process, Program

#: The default values of udhcpd's `lease`, `offer_time` and `conflict_time`, and the time it waits for ARP replies.
LEASE_S = 864_000
_LEASE_NS, _OFFER_NS, _CONFLICT_NS = LEASE_S * NS_PER_S, 60 * NS_PER_S, 3_600 * NS_PER_S
_ARP_WAIT_S = 2


@frozen
class DhcpRange:
    """The addresses that a server leases, from `first` to `last`.

    Raises `ValueError` for an empty range, or for IPv6.
    """

    first: Address
    last: Address

    @classmethod
    def of(cls, text: str) -> DhcpRange:
        """Parse a range such as `10.0.0.100-10.0.0.199`. Raises `ValueError` if it is invalid."""
        first, dash, last = text.partition("-")
        if not dash:
            raise ValueError(f"a DHCP range is FIRST-LAST: {text}")
        return cls(parse_ip(first.strip()), parse_ip(last.strip()))

    def __attrs_post_init__(self) -> None:
        if len(self.first) != 4 or len(self.last) != 4:
            raise ValueError("DHCP leases IPv4 addresses only")
        if self.first > self.last:
            raise ValueError(f"the DHCP range {self} is empty")

    def __str__(self) -> str:
        return f"{format_ip(self.first)}-{format_ip(self.last)}"

    def from_hash_of(self, mac: Mac) -> Iterator[Address]:
        """Yield each address of the range once, starting at one that depends on a hash of the MAC address.

        Addresses that end in 0 or 255 are omitted.
        """
        hashed = 0
        for octet in mac:
            hashed = (octet + (hashed << 6) + (hashed << 16)) & 0xFFFFFFFF  # udhcpd, too, adds and subtracts the hash
        first, count = int.from_bytes(self.first), int.from_bytes(self.last) - int.from_bytes(self.first) + 1
        for step in range(count):
            address = (first + (hashed + step) % count).to_bytes(4)
            if address[3] not in (0, 255):
                yield address


@define
class _Lease:
    """The client to which an address is leased, and the virtual time in nanoseconds at which the lease expires.

    If another interface on the link was found to use the address, `mac` is zero.
    """

    mac: Mac
    expires_ns: int


@define(eq=False)
class _Server:
    """The server on one interface. `router` and `name_server` are the addresses that it offers to clients.

    `own` is the server's address and `prefix` its subnet.
    """

    process: Process
    device: Device
    own: Address
    prefix: Prefix
    addresses: DhcpRange
    router: Address | None
    name_server: Address | None
    leases: dict[Address, _Lease] = field(factory=dict)

    @property
    def _now_ns(self) -> int:
        return self.process.clock.now_ns

    async def answer(self, request: DhcpMessage) -> None:
        kind = request.type
        if kind is MessageType.DISCOVER:
            await self._offer(request)
        elif kind is MessageType.REQUEST:
            self._request(request)
        elif kind is MessageType.DECLINE and self._is_addressed_here(request):
            address = request.address(Option.REQUESTED_ADDRESS)
            if address is not None and self._lease_of(request.mac) == address:
                self.leases[address] = _Lease(MAC_ZERO, self._now_ns + _CONFLICT_NS)
        elif (
            kind is MessageType.RELEASE
            and self._is_addressed_here(request)
            and self._lease_of(request.mac) == request.client
        ):
            self.leases[request.client].expires_ns = self._now_ns

    def _is_addressed_here(self, request: DhcpMessage) -> bool:
        return request.address(Option.SERVER_ID) in (None, self.own)

    def _lease_of(self, mac: Mac) -> Address | None:
        return next((address for address, lease in self.leases.items() if lease.mac == mac), None)

    def _is_free(self, address: Address, mac: Mac) -> bool:
        lease = self.leases.get(address)
        return address != self.own and (lease is None or lease.mac == mac or lease.expires_ns <= self._now_ns)

    async def _offer(self, request: DhcpMessage) -> None:
        address = await self._choose(request)
        if address is None:
            self.process.error("udhcpd: no free IP addresses. OFFER abandoned\n")
            return
        self._remove_lease(request.mac)
        self.leases[address] = _Lease(request.mac, self._now_ns + _OFFER_NS)
        self.process.error(f"udhcpd: sending OFFER to {format_ip(address)}\n")
        self._reply(request, MessageType.OFFER, address)

    async def _choose(self, request: DhcpMessage) -> Address | None:
        current = self._lease_of(request.mac)
        if current is not None:
            return current
        requested = request.address(Option.REQUESTED_ADDRESS)
        candidates = [*self.addresses.from_hash_of(request.mac)]
        if requested in candidates:
            candidates.insert(0, requested)
        for address in candidates:
            if self._is_free(address, request.mac):
                if not await self._has_owner(address, request.mac):
                    return address
                self.process.error(f"udhcpd: {format_ip(address)} belongs to someone, reserving it\n")
                self.leases[address] = _Lease(MAC_ZERO, self._now_ns + _CONFLICT_NS)
        return None

    async def _has_owner(self, address: Address, mac: Mac) -> bool:
        """Return True if an interface other than that of the client `mac` answers an ARP request for the address."""
        answers: Queue[Mac] = Queue(self.process.clock)

        def listen(_time_ns: int, direction: str, frame: bytes) -> None:
            if direction != "in" or frame[12:14] != b"\x08\x06":
                return
            try:
                message = ArpMessage.parse(frame[14:])
            except MalformedPacketError:
                return
            if message.operation == ARP_REPLY and message.sender_ip == address:
                answers.put(message.sender_mac)

        question = ArpMessage(ARP_REQUEST, self.device.mac, self.own, MAC_ZERO, address)
        self.device.taps += (listen,)
        try:
            self.device.transmit(MAC_BROADCAST + self.device.mac + b"\x08\x06" + question.to_wire())
            return await answers.get(_ARP_WAIT_S) != mac
        except TimeoutError:
            return False
        finally:
            self.device.taps = tuple(tap for tap in self.device.taps if tap is not listen)

    def _remove_lease(self, mac: Mac) -> None:
        for address in [address for address, lease in self.leases.items() if lease.mac == mac]:
            del self.leases[address]

    def _request(self, request: DhcpMessage) -> None:
        """Answer a DHCPREQUEST (RFC 2131 §4.3.2).

        If it requests the offered or leased address, acknowledge it. Otherwise refuse it if the client chose this
        server or the address is outside the subnet. Do nothing in any other case, and if the request is addressed to
        another server.
        """
        if not self._is_addressed_here(request):
            return  # the client chose another server
        address = request.address(Option.REQUESTED_ADDRESS) or request.client
        if address != IPV4_ANY and self._lease_of(request.mac) == address:
            self.leases[address] = _Lease(request.mac, self._now_ns + _LEASE_NS)
            self.process.error(f"udhcpd: sending ACK to {format_ip(address)}\n")
            self._reply(request, MessageType.ACK, address)
        elif Option.SERVER_ID in request.options or address not in self.prefix:
            self._reply(request, MessageType.NAK, IPV4_ANY)

    def _reply(self, request: DhcpMessage, kind: MessageType, address: Address) -> None:
        options = {int(Option.MESSAGE_TYPE): bytes((kind,)), int(Option.SERVER_ID): self.own}
        if kind is not MessageType.NAK:
            options[Option.LEASE_TIME] = LEASE_S.to_bytes(4)
            bits = 0xFFFFFFFF << (32 - self.prefix.length) & 0xFFFFFFFF
            options[Option.SUBNET_MASK] = bits.to_bytes(4)
            options |= {int(Option.ROUTER): self.router} if self.router is not None else {}
            options |= {int(Option.NAME_SERVER): self.name_server} if self.name_server is not None else {}
        message = DhcpMessage(REPLY, request.transaction, request.mac, options, yours=address)
        self.device.transmit(broadcast_frame(message, self.device.mac, self.own, from_server=True))


def dhcp_server(
    device: Device,
    own: Address,
    prefix: Prefix,
    addresses: DhcpRange,
    router: Address | None,
    name_server: Address | None,
) -> Program:
    """Return a program that leases `addresses` on the interface `device`.

    `own` is the server's address, `prefix` its subnet. `router` and `name_server` are offered to clients; None offers
    none.
    """

    async def main(process: Process) -> int:
        server = _Server(process, device, own, prefix, addresses, router, name_server)
        socket = process.udp(4)
        socket.bind_device(device.name)
        socket.bind(("0.0.0.0", SERVER_PORT))  # noqa: S104 - a socket of the simulated host
        while True:
            wire, _ = await socket.recvfrom()
            try:
                request = DhcpMessage.parse(wire)
            except ValueError:
                continue
            if request.operation == _FROM_CLIENT:
                process.task(server.answer(request))

    return main
