"""busybox udhcpc: configures an interface's address, default route and name servers by DHCP (RFC 2131).

busybox runs a script to apply a lease. Here the client itself does what Debian's and Alpine's default script does.
The client sends and receives raw frames, because the interface has no address yet. Renewals are broadcast, as busybox
does once the server stops answering. Source: busybox 1.37 `networking/udhcp/dhcpc.c`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.kernel.address import IPV4_ANY, MAC_BROADCAST, MAC_ZERO, Address, Prefix, format_ip, parse_ip
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.errno_text import strerror
from cnmsim.kernel.packet import MalformedPacketError
from cnmsim.kernel.route import Route
from cnmsim.kernel.skbuff import Packet
from cnmsim.kernel.task import Queue
from cnmsim.kernel.transport import ARP_REPLY, ARP_REQUEST, ArpMessage
from cnmsim.underlay.dhcpmessage import (
    CLIENT_PORT,
    REPLY,
    REQUEST,
    SERVER_PORT,
    DhcpMessage,
    MessageType,
    Option,
    broadcast_frame,
)
from cnmsim.userland.busybox.applet import complain, show_usage
from cnmsim.userland.deadline import deadline_ns, remaining_s
from cnmsim.userland.libc.getopt import UsageError, getopt

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device
    from cnmsim.kernel.process import Process

_SYNOPSIS = (
    "[-fbqRB] [-a[MSEC]] [-t N] [-T SEC] [-A SEC|-n]\n\t[-i IFACE] [-s PROG] [-p PIDFILE]\n"
    "\t[-oC] [-r IP] [-V VENDOR] [-F NAME] [-x OPT:VAL]... [-O OPT]..."
)
_VENDOR = b"udhcp 1.37.0"
_PARAMETERS = bytes((1, 3, 6, 12, 15, 28, 42))
_LARGEST = 576
_LEASE_S = 3600  # the lease time if the server specifies none
_CONFLICT_CHECK_S = 2.0


@define(eq=False)
class _Client:
    process: Process
    device: Device
    tries: int
    timeout_s: float
    checks_conflict: bool
    requested: Address | None
    replies: Queue[DhcpMessage] = field(init=False)
    transaction: bytes = b""
    lease: DhcpMessage | None = None

    def __attrs_post_init__(self) -> None:
        self.replies = Queue(self.process.clock)

    def log(self, text: str) -> None:
        self.process.error(f"udhcpc: {text}\n")

    # --- frames

    def listen(self, _time_ns: int, direction: str, frame: bytes) -> None:
        """Queue the DHCP message in a received `frame` if it is a reply to this client.

        This method is a tap: the interface calls it for each frame, with the time and the `direction` (`in` or
        `out`).
        """
        if direction != "in" or frame[12:14] != b"\x08\x00":
            return
        try:
            packet = Packet(frame[14:])
            if packet.protocol != 17 or (packet.sport, packet.dport) != (SERVER_PORT, CLIENT_PORT):
                return
            message = DhcpMessage.parse(packet.payload[8:])
        except (MalformedPacketError, ValueError):
            return
        is_mine = message.mac == self.device.mac and message.transaction == self.transaction
        if message.operation == REPLY and is_mine:
            self.replies.put(message)

    def _send(self, kind: MessageType, seconds: int = 0, client: Address = IPV4_ANY, **extra: bytes) -> None:
        options = {int(Option.MESSAGE_TYPE): bytes((kind,))}
        options |= {int(Option[name]): value for name, value in extra.items()}
        if kind in (MessageType.DISCOVER, MessageType.REQUEST):
            options |= {
                int(Option.LARGEST_MESSAGE): _LARGEST.to_bytes(2),
                int(Option.PARAMETERS): _PARAMETERS,
                int(Option.VENDOR_CLASS): _VENDOR,
            }
        options[Option.CLIENT_ID] = b"\x01" + self.device.mac
        message = DhcpMessage(REQUEST, self.transaction, self.device.mac, options, seconds=seconds, client=client)
        self.device.transmit(broadcast_frame(message, self.device.mac, client, from_server=False))

    async def _receive(self, kinds: tuple[MessageType, ...]) -> DhcpMessage | None:
        clock = self.process.clock
        until_ns = deadline_ns(clock, self.timeout_s)
        while clock.now_ns < until_ns:
            try:
                message = await self.replies.get(remaining_s(clock, until_ns))
            except TimeoutError:
                return None
            if message.type in kinds:
                return message
        return None

    # --- states (RFC 2131 figure 5)

    async def obtain(self) -> bool:
        """Try up to `tries` times to obtain a lease. Return True on success."""
        started_ns = self.process.clock.now_ns
        self.transaction = self.process.machine.random.randbytes(4)
        for _ in range(self.tries):
            self.log("broadcasting discover")
            extra = {"REQUESTED_ADDRESS": self.requested} if self.requested is not None else {}
            self._send(MessageType.DISCOVER, self._seconds_since(started_ns), **extra)
            offer = await self._receive((MessageType.OFFER,))
            if offer is not None and await self._select(offer, started_ns):
                return True
        return False

    def _seconds_since(self, started_ns: int) -> int:
        return (self.process.clock.now_ns - started_ns) // NS_PER_S

    async def _select(self, offer: DhcpMessage, started_ns: int) -> bool:
        server = offer.address(Option.SERVER_ID)
        if server is None:
            self.log("no server ID, using 0.0.0.0")
            server = IPV4_ANY
        for _ in range(self.tries):
            self.log(f"broadcasting select for {format_ip(offer.yours)}, server {format_ip(server)}")
            seconds = self._seconds_since(started_ns)
            self._send(MessageType.REQUEST, seconds, REQUESTED_ADDRESS=offer.yours, SERVER_ID=server)
            answer = await self._receive((MessageType.ACK, MessageType.NAK))
            if answer is None:
                continue
            if answer.type is MessageType.NAK:
                self.log("received DHCP NAK")
                return False
            if self.checks_conflict and await self._is_in_use(answer.yours):
                self.log("offered address is in use (got ARP reply), declining")
                self._send(MessageType.DECLINE, REQUESTED_ADDRESS=answer.yours, SERVER_ID=server)
                return False
            self._bind(answer, server)
            return True
        return False

    async def _is_in_use(self, address: Address) -> bool:
        answers: Queue[ArpMessage] = Queue(self.process.clock)

        def listen(_time_ns: int, direction: str, frame: bytes) -> None:
            if direction == "in" and frame[12:14] == b"\x08\x06":
                try:
                    message = ArpMessage.parse(frame[14:])
                except MalformedPacketError:
                    return
                if message.operation == ARP_REPLY and message.sender_ip == address:
                    answers.put(message)

        request = ArpMessage(ARP_REQUEST, self.device.mac, IPV4_ANY, MAC_ZERO, address)
        self.device.taps += (listen,)
        try:
            self.device.transmit(MAC_BROADCAST + self.device.mac + b"\x08\x06" + request.to_wire())
            await answers.get(_CONFLICT_CHECK_S)
        except TimeoutError:
            return False
        finally:
            self.device.taps = tuple(tap for tap in self.device.taps if tap is not listen)
        return True

    def _bind(self, lease: DhcpMessage, server: Address) -> None:
        seconds = lease.lease_s or _LEASE_S
        self.log(f"lease of {format_ip(lease.yours)} obtained from {format_ip(server)}, lease time {seconds}")
        self.lease = lease
        self._configure(lease)

    # --- what the default script does

    def deconfigure(self) -> None:
        """Set the interface up and remove its IPv4 addresses, as udhcpc's script does for `deconfig`."""
        namespace = self.process.namespace
        self.device.set_up()
        for address in [item for item in self.device.addresses if item.family == 4]:
            namespace.remove_address(self.device, str(address))

    def _configure(self, lease: DhcpMessage) -> None:
        namespace = self.process.namespace
        mask = lease.options.get(Option.SUBNET_MASK, b"\xff\xff\xff\0")
        self.deconfigure()
        length = int.from_bytes(mask).bit_count()
        broadcast = Prefix.of(lease.yours, length).broadcast
        namespace.add_address(self.device, f"{format_ip(lease.yours)}/{length}", broadcast=broadcast)
        router = lease.address(Option.ROUTER)
        if router is not None:
            for old in [
                route for route in namespace.routes4.routes if not route.prefix.length and route.device is self.device
            ]:
                namespace.remove_route(old)
            namespace.add_route(Route(prefix=Prefix(IPV4_ANY, 0), device=self.device, gateway=router))
        servers = lease.options.get(Option.NAME_SERVER, b"")
        if servers:
            lines = [f"nameserver {format_ip(servers[at : at + 4])}\n" for at in range(0, len(servers) - 3, 4)]
            self.process.files.write("/etc/resolv.conf", "".join(lines).encode())

    # --- renewal

    async def keep(self) -> int:
        """Renew the lease whenever half of the remaining time has passed (RFC 2131 §4.4.5). Return exit status 0.

        After the lease has expired, obtain a new one.
        """
        while self.lease is not None:
            left = float(self.lease.lease_s or _LEASE_S)
            while left > 60:
                await self.process.sleep(left / 2)
                left /= 2
                if await self._renew(self.lease):
                    break
            else:
                await self.process.sleep(left)
                self.log("lease lost, entering init state")
                self.deconfigure()
                while not await self.obtain():
                    await self.process.sleep(20)
        return 0

    async def _renew(self, lease: DhcpMessage) -> bool:
        server = lease.address(Option.SERVER_ID) or IPV4_ANY
        self.log("broadcasting renew")
        self._send(MessageType.REQUEST, client=lease.yours)
        answer = await self._receive((MessageType.ACK, MessageType.NAK))
        if answer is None or answer.type is not MessageType.ACK:
            return False
        self.log(
            f"lease of {format_ip(answer.yours)} obtained from {format_ip(server)}, lease time "
            f"{answer.lease_s or _LEASE_S}"
        )
        self.lease = answer
        return True


async def main(process: Process) -> int:
    """Run `udhcpc [-fnq] [-a] [-i DEVICE] [-t TRIES] [-T SECONDS] [-r ADDRESS]`.

    With -q it exits once it has a lease.
    """
    try:
        options = getopt(process.argv[1:], "fbqBnSoai:t:T:A:s:p:r:O:")
        requested = parse_ip(options.get("r") or "") if options.get("r") else None
        tries, timeout_s = options.number("t", 3), options.seconds("T", 3)
        again_s = options.seconds("A", 20)
    except (UsageError, ValueError) as error:
        return show_usage(process, _SYNOPSIS, str(error))
    device = process.namespace.devices.get(options.get("i", "eth0") or "eth0")
    if device is None:
        return complain(process, "SIOCGIFINDEX: No such device")
    process.error("udhcpc: started, v1.37.0\n")
    client = _Client(process, device, tries, timeout_s, "a" in options, requested)
    try:
        process.credentials.require("NET_ADMIN")
        client.deconfigure()
    except OSError as error:
        return complain(process, f"SIOCSIFADDR: {strerror(error)}")
    device.taps += (client.listen,)

    def forget() -> None:
        device.taps = tuple(tap for tap in device.taps if tap != client.listen)

    try:
        while not await client.obtain():
            if "n" in options:
                client.log("no lease, failing")
                return 1
            client.log("no lease, waiting")
            await process.sleep(again_s)
    finally:
        forget()
    if "q" in options:
        return 0

    async def keep(keeper: Process) -> int:
        client.process = keeper
        device.taps += (client.listen,)
        try:
            return await client.keep()
        finally:
            forget()

    if "f" in options:
        return await keep(process)
    process.daemonise(keep)
    return 0
