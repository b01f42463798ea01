"""busybox arping: sends ARP requests for an IP address and prints the replies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.address import IPV4_ANY, MAC_BROADCAST, MAC_ZERO, format_ip, format_mac, parse_ip
from cnmsim.kernel.packet import MalformedPacketError
from cnmsim.kernel.source_address import select_source
from cnmsim.kernel.task import Queue
from cnmsim.kernel.transport import ARP_REPLY, ARP_REQUEST, ArpMessage
from cnmsim.userland.busybox.applet import complain, show_usage, usage_errors
from cnmsim.userland.deadline import NEVER_NS, deadline_ns, remaining_s
from cnmsim.userland.libc.getopt import Options, getopt
from cnmsim.userland.libc.resolver import ResolveError, Resolver
from cnmsim.userland.ping.session import milliseconds

if TYPE_CHECKING:
    from cnmsim.kernel.address import Address
    from cnmsim.kernel.device import Device
    from cnmsim.kernel.process import Process

#: The exit status of errors after the options (busybox `xfunc_error_retval`).
_FAILED = 2
_SYNOPSIS = "[-fqbDUA] [-c CNT] [-w TIMEOUT] [-I IFACE] [-s SRC_IP] DST_IP"


async def main(process: Process) -> int:
    """Run `arping [-fqD] [-c COUNT] [-w SECS] [-I DEVICE] [-s SOURCE] ADDRESS`."""
    with usage_errors(process, _SYNOPSIS):
        options = getopt(process.argv[1:], "fqbDUAc:w:I:i:s:")
        count = options.number("c", 0)
        limit = options.seconds("w", 0)
    if len(options.operands) != 1:
        return show_usage(process, _SYNOPSIS)
    name = options.get("I", options.get("i", "eth0")) or "eth0"
    device = process.namespace.devices.get(name)
    if device is None:
        return _fail(process, f"interface {name} not found: No such device")
    if device.no_arp or device.kind == "loopback":
        complain(process, f"interface {name} is not ARPable")
        return 0 if "D" in options else _FAILED
    try:
        target = (await Resolver(process).addresses(options.operands[0], 4))[0]
    except ResolveError:
        return _fail(process, f"bad address '{options.operands[0]}'")
    try:
        chosen = _source(options)
    except ValueError as error:
        return _fail(process, str(error))
    if {"U", "A"} & set(options.values):
        return await _announce(process, options, device, target, chosen or target, count, limit)
    source = chosen or select_source(target, device, [device])
    source = IPV4_ANY if source is None or "D" in options else source
    replies: Queue[tuple[int, ArpMessage]] = Queue(process.clock)

    def tap(time_ns: int, direction: str, frame: bytes) -> None:
        if direction != "in" or frame[12:14] != b"\x08\x06":
            return
        try:
            message = ArpMessage.parse(frame[14:])
        except MalformedPacketError:
            return  # the network stack reports malformed frames
        if message.operation == ARP_REPLY and message.sender_ip == target:
            replies.put((time_ns, message))

    if "q" not in options:
        process.write(f"ARPING {format_ip(target)} from {format_ip(source)} {name}\n")
    device.taps += (tap,)
    sent = received = broadcasts = 0
    destination_mac = MAC_BROADCAST
    clock = process.clock
    until_ns = deadline_ns(clock, limit) if limit else NEVER_NS
    try:
        while not (count and sent >= count) and clock.now_ns < until_ns:
            request = ArpMessage(ARP_REQUEST, device.mac, source, MAC_ZERO, target)
            sent_ns = clock.now_ns
            device.transmit(destination_mac + device.mac + b"\x08\x06" + request.to_wire())
            sent += 1
            # busybox stores "a reply was received" in the bit that also means "-c was given".
            broadcasts += destination_mac == MAC_BROADCAST and "c" not in options
            next_ns = deadline_ns(clock, 1)
            while clock.now_ns < next_ns:
                try:
                    time_ns, message = await replies.get(remaining_s(clock, next_ns))
                except TimeoutError:
                    break
                received += 1
                destination_mac = MAC_BROADCAST if "b" in options else message.sender_mac
                if "q" not in options:
                    process.write(
                        f"Unicast reply from {format_ip(target)} [{format_mac(message.sender_mac)}] "
                        f"{milliseconds(time_ns - sent_ns)}ms\n"
                    )
                if "f" in options or "D" in options or (count and sent >= count):
                    break
            if received and ("f" in options or "D" in options):
                break
    finally:
        device.taps = tuple(other for other in device.taps if other is not tap)
    if "q" not in options:
        process.write(
            f"Sent {sent} probe(s) ({broadcasts} broadcast(s))\n"
            f"Received {received} response(s) (0 request(s), 0 broadcast(s))\n"
        )
    return int(bool(received)) if "D" in options else int(not received)


def _fail(process: Process, message: str) -> int:
    complain(process, message)
    return _FAILED


def _source(options: Options) -> Address | None:
    """Return the source address of the option -s, `None` without -s. Raises `ValueError` if this is not IPv4."""
    text = options.get("s")
    if not text:
        return None
    try:
        address = parse_ip(text)
    except ValueError:
        address = b""
    if len(address) != len(IPV4_ANY):
        raise ValueError(f"invalid source address {text}")
    return address


async def _announce(
    process: Process, options: Options, device: Device, target: Address, source: Address, count: int, limit: float
) -> int:
    """Announce `target` on `device` by broadcasting a gratuitous ARP request (with -A: reply) each second.

    `source` is the sender's IP address in the message. Stop after `count` messages or `limit` seconds (0: no limit).
    Return exit status 0.
    """
    if "q" not in options:
        process.write(f"ARPING {format_ip(target)} from {format_ip(source)} {device.name}\n")
    is_answer = "A" in options
    message = ArpMessage(
        ARP_REPLY if is_answer else ARP_REQUEST,
        device.mac,
        source,
        device.mac if is_answer else MAC_BROADCAST,
        target,
    )
    sent = 0
    until_ns = deadline_ns(process.clock, limit) if limit else NEVER_NS
    while not (count and sent >= count) and process.clock.now_ns < until_ns:
        device.transmit(MAC_BROADCAST + device.mac + b"\x08\x06" + message.to_wire())
        sent += 1
        await process.sleep(1)
    if "q" not in options:
        process.write(
            f"Sent {sent} probe(s) ({sent} broadcast(s))\nReceived 0 response(s) (0 request(s), 0 broadcast(s))\n"
        )
    return 0
