"""Hand-made walks: the events that a kernel would report, for tests of what is made of them."""

from __future__ import annotations

from cnmsim.kernel.address import parse_ip, parse_mac
from cnmsim.kernel.events import DropReason, Event, Step
from cnmsim.kernel.packet import build_ip
from cnmsim.kernel.transport import TcpSegment, icmp_message, udp_message

WEB, DB, GATEWAY = parse_ip("172.18.0.2"), parse_ip("172.18.0.3"), parse_ip("172.18.0.1")
WEB_MAC, DB_MAC = parse_mac("02:42:ac:12:00:02"), parse_mac("02:42:ac:12:00:03")
RULE = "filter FORWARD → DOCKER: -A DOCKER ! -i br-a -o br-a -j DROP"


def tcp(
    flags: int = 2,
    *,
    src: bytes = WEB,
    dst: bytes = DB,
    sport: int = 40000,
    dport: int = 80,
    seq: int = 7,
    ack: int = 0,
) -> bytes:
    return build_ip(6, src, dst, TcpSegment(sport, dport, seq, ack, flags, 64240).to_wire(src, dst))


def udp(payload: bytes, *, src: bytes = WEB, dst: bytes = DB, sport: int = 40000, dport: int = 53) -> bytes:
    return build_ip(17, src, dst, udp_message(src, dst, sport, dport, payload))


def echo(*, reply: bool = False, src: bytes = WEB, dst: bytes = DB) -> bytes:
    return build_ip(1, src, dst, icmp_message(0 if reply else 8, 0, b"\x00\x09\x00\x01", b"x" * 56))


def framed(packet: bytes, dst_mac: bytes = DB_MAC, src_mac: bytes = WEB_MAC) -> bytes:
    return dst_mac + src_mac + (b"\x86\xdd" if packet[0] >> 4 == 6 else b"\x08\x00") + packet


def event(
    place: str, step: Step, data: bytes, *, at_us: int = 0, device: str = "", what: str = "", decision: str = "",
    reason: DropReason | None = None, is_frame: bool = False,
) -> Event:  # fmt: skip
    return Event(at_us * 1000, place, device, step, what or step.value, decision, data, is_frame, reason)


def crossing() -> list[Event]:
    """A SYN from web over the bridge of node1 to db, which takes it."""
    syn = tcp()
    frame = framed(syn)
    return [
        event("web", Step.SENT, syn, what="connects"),
        event("web", Step.ROUTED, syn, device="eth0", decision="172.18.0.0/16 dev eth0"),
        event("web", Step.TRANSMITTED, frame, device="eth0", is_frame=True),
        event("node1", Step.RECEIVED, frame, at_us=5, device="veth1", is_frame=True),
        event("node1", Step.BRIDGED, frame, at_us=5, device="br-a", what="veth1 → veth2", is_frame=True),
        event("node1", Step.TRANSMITTED, frame, at_us=6, device="veth2", is_frame=True),
        event("db", Step.RECEIVED, frame, at_us=7, device="eth0", is_frame=True),
        event("db", Step.HOOK, syn, at_us=7, decision="filter INPUT: policy ACCEPT"),
        event("db", Step.DELIVERED, syn, at_us=8, what="httpd takes it", decision="0.0.0.0:80"),
    ]


def dropped(rule: str = RULE, reason: DropReason = DropReason.NETFILTER_DROP, place: str = "node1") -> list[Event]:
    """A SYN from web that a rule of node1 drops."""
    syn = tcp()
    return [
        event("web", Step.SENT, syn, what="connects"),
        event(place, Step.DROPPED, syn, at_us=9, device="br-a", decision=rule, reason=reason, what=reason.value),
    ]
