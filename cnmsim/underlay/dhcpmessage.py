"""DHCP messages (RFC 2131 §2, RFC 2132) and the Ethernet frames that carry them."""

from __future__ import annotations

import struct
from enum import IntEnum

from attrs import field, frozen

from cnmsim.kernel.address import IPV4_ANY, Address, Mac
from cnmsim.kernel.packet import build_ip
from cnmsim.kernel.transport import udp_message

SERVER_PORT, CLIENT_PORT = 67, 68
BROADCAST = b"\xff" * 4
REQUEST, REPLY = 1, 2
_HEAD = struct.Struct("!4B4s2H4s4s4s4s16s192x")
_COOKIE = b"\x63\x82\x53\x63"
_PAD, _END = 0, 255
#: The minimum length of a BOOTP message in bytes (RFC 1542 §2.1).
_MIN_LENGTH = 300


class MessageType(IntEnum):
    """The DHCP message types (RFC 2132 §9.6)."""

    DISCOVER = 1
    OFFER = 2
    REQUEST = 3
    DECLINE = 4
    ACK = 5
    NAK = 6
    RELEASE = 7
    INFORM = 8


class Option(IntEnum):
    """The codes of the DHCP options that the server uses. Messages keep other options unchanged."""

    SUBNET_MASK = 1
    ROUTER = 3
    NAME_SERVER = 6
    HOST_NAME = 12
    REQUESTED_ADDRESS = 50
    LEASE_TIME = 51
    MESSAGE_TYPE = 53
    SERVER_ID = 54
    PARAMETERS = 55
    LARGEST_MESSAGE = 57
    VENDOR_CLASS = 60
    CLIENT_ID = 61


@frozen
class DhcpMessage:
    """One DHCP message, with the fields of RFC 2131 §2.

    `operation` is `REQUEST` in a message from a client and `REPLY` in one from a server. `transaction`, `mac`,
    `client`, `yours`, `next_server` and `relay` are the fields xid, chaddr, ciaddr, yiaddr, siaddr and giaddr.
    `options` have the order in which they are transmitted.
    """

    operation: int
    transaction: bytes
    mac: Mac
    options: dict[int, bytes] = field(factory=dict, hash=False)
    seconds: int = 0
    flags: int = 0
    client: Address = IPV4_ANY
    yours: Address = IPV4_ANY
    next_server: Address = IPV4_ANY
    relay: Address = IPV4_ANY

    @classmethod
    def parse(cls, wire: bytes) -> DhcpMessage:
        """Parse a message. Raises `ValueError` if it is truncated or has invalid fields."""
        if len(wire) < _HEAD.size + len(_COOKIE) or wire[_HEAD.size : _HEAD.size + 4] != _COOKIE:
            raise ValueError("not a DHCP message")
        operation, hardware, length, _, xid, seconds, flags, client, yours, server, relay, mac = _HEAD.unpack_from(
            wire
        )
        if (hardware, length) != (1, 6):
            raise ValueError("DHCP for hardware other than Ethernet")
        options = _read_options(wire[_HEAD.size + 4 :])
        return cls(operation, xid, mac[:6], options, seconds, flags, client, yours, server, relay)

    def to_wire(self) -> bytes:
        """Return the message as bytes."""
        head = _HEAD.pack(
            self.operation, 1, len(self.mac), 0, self.transaction, self.seconds, self.flags,
            self.client, self.yours, self.next_server, self.relay, self.mac,
        )  # fmt: skip
        options = b"".join(bytes((code, len(value))) + value for code, value in self.options.items())
        return (head + _COOKIE + options + bytes((_END,))).ljust(_MIN_LENGTH, b"\0")

    @property
    def type(self) -> MessageType | None:
        """The message type, `None` if it is missing or unknown."""
        return next((kind for kind in MessageType if self.options.get(Option.MESSAGE_TYPE) == bytes((kind,))), None)

    def address(self, option: Option) -> Address | None:
        """Return the first address in an option, or `None` if the message lacks the option or it is too short."""
        value = self.options.get(option, b"")
        return value[:4] if len(value) >= 4 else None

    @property
    def lease_s(self) -> int | None:
        """The lease time in seconds, or `None` if the message contains none."""
        value = self.options.get(Option.LEASE_TIME)
        return int.from_bytes(value) if value is not None and len(value) == 4 else None


def _read_options(data: bytes) -> dict[int, bytes]:
    options: dict[int, bytes] = {}
    position = 0
    while position < len(data) and data[position] != _END:
        if data[position] == _PAD:
            position += 1
            continue
        if position + 2 > len(data) or position + 2 + data[position + 1] > len(data):
            raise ValueError("truncated DHCP option")
        end = position + 2 + data[position + 1]
        options[data[position]] = options.get(data[position], b"") + data[position + 2 : end]  # RFC 3396
        position = end
    return options


def broadcast_frame(message: DhcpMessage, mac: Mac, source: Address, *, from_server: bool) -> bytes:
    """Return the Ethernet broadcast frame that carries a message.

    `mac` and `source` are the sender's MAC and IP address. If `from_server` is True, the UDP ports are those of a
    message from the server to a client, otherwise those of the opposite direction.
    """
    sport, dport = (SERVER_PORT, CLIENT_PORT) if from_server else (CLIENT_PORT, SERVER_PORT)
    datagram = udp_message(source, BROADCAST, sport, dport, message.to_wire())
    packet = build_ip(17, source, BROADCAST, datagram, dont_fragment=False)
    return b"\xff" * 6 + mac + b"\x08\x00" + packet
