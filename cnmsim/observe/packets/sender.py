"""Send a user's packets from a host or container of a lab: the functions behind `Place.send` and `Place.ask`."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from attrs import define, field

from cnmsim.errors import InvalidParameter
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.device import ETHERNET_HEADER, FRAME_OVERHEAD
from cnmsim.kernel.events import DropReason, Event, MtuLimit, Step
from cnmsim.kernel.packet import MalformedPacketError
from cnmsim.kernel.skbuff import Packet as KernelPacket
from cnmsim.observe.packets.codec import dissect
from cnmsim.observe.packets.fill import destination_of, fill, layers_of
from cnmsim.observe.packets.origin import Origin
from cnmsim.observe.packets.walk import ReceivedFrame, Walk
from cnmsim.observe.packets.walks import Walks

if TYPE_CHECKING:
    from cnmsim.kernel.device import Device

#: The largest IP packet, in bytes (RFC 791 §3.1).
MAX_PACKET = 65535
#: The maximum number of packets taken from an iterable without `count`, so that an endless generator ends.
MAX_COUNT = 100_000
_VLAN_TAG = b"\x81\x00"
_FIRST_SLICE_S = 0.0001
_ETHERNET = frozenset({"Ether", "Dot3"})
_IP = frozenset({"IP", "IPv6"})


def send(
    place: object,
    packets: object,
    *,
    device: str = "",
    inbound: bool = False,
    interval_s: float = 0.0,
    count: int | None = None,
    timeout_s: float = 5.0,
) -> Walk | Walks:
    """Send packets from a host or container. See `Place.send` for the parameters and the result."""
    origin = Origin.of(place, device)
    if not (interval_s >= 0 and timeout_s >= 0):
        raise InvalidParameter(f"interval_s and timeout_s are seconds, 0 or more: {interval_s}, {timeout_s}")
    if count is not None and (not isinstance(count, int) or count < 1):
        raise InvalidParameter(f"count is the number of packets, 1 or more: {count!r}")
    batch = Batch(origin, inbound=inbound)
    walks = batch.send(packets, interval_s, count, timeout_s)
    return walks[0] if len(walks) == 1 and _is_single(packets) else walks


def ask(place: object, packets: object, *, device: str = "", timeout_s: float = 2.0) -> Any:
    """Send packets from a host or container and return the first answer to each; see `Place.ask`."""
    if not timeout_s >= 0:
        raise InvalidParameter(f"timeout_s is in seconds, 0 or more: {timeout_s}")
    batch = Batch(Origin.of(place, device), needs_answers=True)
    walks = batch.send(packets, 0.0, None, timeout_s)
    return walks[0].answer if len(walks) == 1 and _is_single(packets) else [walk.answer for walk in walks]


@define(eq=False)
class Batch:
    """Packets that one call sends from one origin.

    With `inbound`, the device of the origin receives the packets as if from the wire instead of sending them. With
    `needs_answers`, the call waits until every packet has an answer or the timeout is over.
    """

    origin: Origin
    inbound: bool = False
    needs_answers: bool = False
    walks: list[Walk] = field(factory=list, init=False)

    def send(self, packets: object, interval_s: float, count: int | None, timeout_s: float) -> Walks:
        """Send packets one after the other, `interval_s` apart, and let time pass until they are settled.

        A packet is settled when it is neither in transit nor waiting for a neighbour's address or, with
        `needs_answers`, when it has an answer. The wait for this ends after `timeout_s` seconds. At most `count`
        packets are sent; with `None` all are. Return one `Walk` for each.
        """
        expanded = _expanded(packets)
        if isinstance(packets, Sequence):
            expanded = iter(
                list(expanded)
            )  # so that a packet that cannot be sent is refused before any other is sent
        prepared = islice(expanded, count if count is not None else MAX_COUNT + 1)
        interval_ns = round(interval_s * NS_PER_S)
        return self.send_timed(
            ((number * interval_ns, packet, self.inbound) for number, packet in enumerate(prepared)), timeout_s
        )

    def send_timed(self, packets: Iterable[tuple[int, Any, bool]], timeout_s: float) -> Walks:
        """Send packets at given times, and let time pass until they are settled. Return one `Walk` for each.

        Each item is (time from now in nanoseconds, packet, is inbound); inbound means that the device receives the
        packet. Raises `InvalidParameter` for more than `MAX_COUNT` packets or an invalid packet.
        """
        clock = self.origin.namespace.clock
        start_ns = clock.now_ns
        with self._receiving():
            for number, (offset_ns, packet, inbound) in enumerate(packets):
                if number == MAX_COUNT:
                    raise InvalidParameter(f"more than {MAX_COUNT:,} packets: limit them by count=…")
                if start_ns + offset_ns > clock.now_ns:
                    clock.run((start_ns + offset_ns) / NS_PER_S)
                self.inbound = inbound
                self._send_one(packet)
            self._settle(timeout_s)
        for walk in self.walks:
            walk.close()
        self._conclude()
        return Walks(self.walks)

    # ---- one packet

    def _send_one(self, packet: Any) -> None:
        if isinstance(packet, bytes):
            device = self.origin.device_towards(None)
            self._emit(packet, True, lambda: self._through_device(device, packet), device)
            return
        is_frame = type(packet).__name__ in _ETHERNET
        if not is_frame and (self.origin.device is not None or self.inbound):
            packet, is_frame = _framed(packet), True
        if is_frame:
            device = self.origin.device_towards(None if self.inbound else destination_of(packet))
            data = self._built(packet, device)
            self._emit(data, True, lambda: self._through_device(device, data), device)
            return
        device = self.origin.device_towards(destination_of(packet), is_routed=True)
        data = self._built(packet, device)
        try:
            parsed = KernelPacket(data)
        except MalformedPacketError:
            parsed = None
        if parsed is not None and parsed.data == data:
            self._emit(data, False, lambda: self.origin.namespace.ip.send_raw(parsed), device)
            return
        # A raw socket would repair the header, so the packet leaves by a packet socket.
        frame = self._built(_framed(packet), device)
        self._emit(frame, True, lambda: self._through_device(device, frame), device)

    def _built(self, packet: Any, device: Device) -> bytes:
        fill(packet, self.origin, device, inbound=self.inbound)
        try:
            data = bytes(packet)
        except Exception as error:  # noqa: BLE001 - scapy raises errors of many types for impossible values
            raise InvalidParameter(_build_error(packet, error)) from None
        if len(data) > MAX_PACKET:
            raise InvalidParameter(f"the packet has {len(data):,} bytes; an IP packet has at most {MAX_PACKET:,}")
        return data

    def _through_device(self, device: Device, frame: bytes) -> None:
        if self.inbound:
            device.receive(frame)
        else:
            output_frame(device, frame)

    def _emit(self, data: bytes, is_frame: bool, output: Callable[[], None], device: Device) -> Walk:
        """Send the packet `data` by calling `output`, and return its `Walk`.

        `is_frame` is True if `data` is an Ethernet frame, False for an IP packet. `device` is the device that sends
        or receives the packet; it is named in the trace. Raises `InvalidParameter` if the packet is too long.
        """
        if len(data) > MAX_PACKET:
            raise InvalidParameter(f"the frame has {len(data):,} bytes; an IP packet has at most {MAX_PACKET:,}")
        namespace = self.origin.namespace
        clock, place = namespace.clock, namespace.name
        summary = dissect(data, is_frame=is_frame).summary()
        title = f"{place}:{device.name} receives {summary}" if self.inbound else f"{place} sends {summary}"
        walk = Walk(title, clock.now_ns, data=data, is_frame=is_frame, epoch_s=clock.epoch_s, inbound=self.inbound)
        self.walks.append(walk)
        with walk.watching(clock):
            if not self.inbound:
                what = f"sent by a {'packet' if is_frame else 'raw'} socket"
                walk.report(Event(clock.now_ns, place, device.name, Step.SENT, what, "", data, is_frame))
            try:
                output()
            except OSError as error:
                walk.error = error.strerror or str(error)
        return walk

    # ---- what comes back

    @contextmanager
    def _receiving(self) -> Iterator[None]:
        """While the `with` block lasts, record the frames that the origin receives because of the packets sent.

        If the packets are inbound, the frames that leave by the device are recorded instead.
        """
        namespace = self.origin.namespace
        clock = namespace.clock
        devices = [self.origin.device] if self.origin.device is not None else list(namespace.devices.values())
        if self.inbound and self.origin.device is None:
            devices = [self.origin.device_towards(None)]
        taps = []
        for device in devices:

            def take(time_ns: int, direction: str, frame: bytes, name: str = device.name) -> None:
                walk = clock.context
                if not isinstance(walk, Walk) or walk.data in (frame, frame[14:]):
                    return
                if direction != ("out" if walk.inbound else "in"):
                    return
                # A bridge and its port see the same frame: it is recorded once.
                if not any(seen.time_ns == time_ns and seen.data == frame for seen in walk.frames):
                    walk.frames.append(ReceivedFrame(time_ns, f"{namespace.name}:{name}", frame))

            taps.append(take)
            device.taps = (*device.taps, take)
        try:
            yield
        finally:
            for device, tap in zip(devices, taps, strict=True):
                device.taps = tuple(other for other in device.taps if other is not tap)

    def _settle(self, timeout_s: float) -> None:
        clock = self.origin.namespace.clock
        slice_s, left_s = 0.0, timeout_s
        while True:
            clock.run_for(slice_s)
            left_s -= slice_s
            if left_s <= 0 or self._is_settled():
                return
            slice_s = min(left_s, max(_FIRST_SLICE_S, slice_s * 2))

    def _is_settled(self) -> bool:
        moving = {id(context) for context in self.origin.namespace.clock.contexts_in_transit()}
        if any(id(walk) in moving for walk in self.walks):
            return False
        if self.needs_answers:
            return all(walk.error or walk.answer is not None for walk in self.walks)
        return all(walk.is_settled for walk in self.walks)

    def _conclude(self) -> None:
        from cnmsim.observe.directory import Directory
        from cnmsim.observe.packets.finding import find_cause

        clock = self.origin.namespace.clock
        hosts = clock.registry.get("hosts")
        if not hosts or not self.walks:
            return
        directory = Directory.of(hosts.values())
        for walk in self.walks:
            walk.directory = directory
            if not walk.inbound:
                walk.finding = find_cause(walk, directory, self.origin.namespace)


def _build_error(packet: Any, error: Exception) -> str:
    """Return a message for the `error` that scapy raised while it built `packet`."""
    shortened = packet.copy()
    for layer in layers_of(shortened):
        if "len" in layer.default_fields:
            layer.setfieldval("len", 0)
    try:
        size = len(bytes(shortened))
    except Exception:  # noqa: BLE001 - another field is wrong
        size = 0
    if size > MAX_PACKET:
        return f"the packet has {size:,} bytes; an IP packet has at most {MAX_PACKET:,}"
    return f"scapy cannot build {type(packet).__name__}: {' '.join(str(error).splitlines()[:2])}"


def output_frame(device: Device, frame: bytes) -> None:
    """Send a frame as a packet socket does (net/packet/af_packet.c, packet_snd).

    Raises `OSError`: ENETDOWN if the device is down, EINVAL for a frame shorter than its header, EMSGSIZE if
    the frame is larger than the MTU permits.
    """
    if not device.is_up:
        device.drop(frame, DropReason.LINK_DOWN)
        raise OSError(errno.ENETDOWN, "Network is down")
    if len(frame) < ETHERNET_HEADER:
        device.drop(frame, DropReason.MALFORMED, "shorter than an Ethernet header")
        raise OSError(errno.EINVAL, "Invalid argument")
    header = FRAME_OVERHEAD if frame[12:14] == _VLAN_TAG else ETHERNET_HEADER
    if len(frame) > device.mtu + header:
        what = f"{len(frame) - header} bytes, its MTU is {device.mtu}"
        device.drop(frame, DropReason.MTU_EXCEEDED, what, MtuLimit(device.mtu))
        raise OSError(errno.EMSGSIZE, "Message too long")
    device.transmit(frame)


def _framed(packet: Any) -> Any:
    """Return an IP packet with an empty Ethernet header in front."""
    from scapy.layers.l2 import Ether

    return Ether() / packet


def _is_single(packets: object) -> bool:
    return isinstance(packets, bytes) or hasattr(packets, "fields_desc")


def _expanded(packets: object) -> Iterator[Any]:
    """Yield copies of the packets in the argument `packets` of `send`.

    A scapy packet with sets of values, such as `IP(dst="10.0.0.0/30")`, yields one packet for each combination.
    Raises `InvalidParameter` for a value that is no packet, or that begins with another layer than Ethernet or IP.
    """
    if isinstance(packets, bytes | bytearray | memoryview):
        yield bytes(packets)
        return
    if isinstance(packets, str) or not hasattr(packets, "__iter__"):
        raise InvalidParameter(
            "a packet is a scapy packet that begins with IP, IPv6 or Ether, or the bytes of an Ethernet frame, "
            f"not {type(packets).__name__}"
        )
    if not hasattr(packets, "fields_desc"):
        for packet in packets:
            yield from _expanded(packet)
        return
    first = type(packets).__name__
    if first not in _ETHERNET | _IP:
        raise InvalidParameter(
            f"a packet begins with IP, IPv6 or Ether, not {first}: write "
            f"{'Ether()/' if first == 'ARP' else 'IP(dst=…)/'}{first}(…)"
        )
    for packet in packets:
        yield packet.copy()
