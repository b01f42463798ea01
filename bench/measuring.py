"""What the scripts here share: the lab they measure, timing, and the scapy dissection that is the unit."""

import time
from collections.abc import Callable

from cnmsim import Lab
from cnmsim.kernel.sockets import UdpSocket

ROUNDS = 7


def best(call: Callable[[], None], times: int) -> float:
    """Return the seconds of one call: the best of several rounds of `times` calls each."""
    rounds = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        for _ in range(times):
            call()
        rounds.append((time.process_time() - begin) / times)
    return min(rounds)


def dissection(frame: bytes) -> float:
    """Return the seconds scapy takes to dissect a frame, as whoever imports scapy.all does."""
    from scapy.all import Ether

    assert Ether(frame).haslayer("UDP")
    return best(lambda: Ether(frame), 400)


class Crossing:
    """One datagram from a UDP socket to another, over and over; `frame` is what the sender puts on its wire."""

    def __init__(self, lab: Lab, sender: UdpSocket, receiver: UdpSocket, to: tuple[str, int]) -> None:
        self.lab, self.sender, self.receiver, self.to = lab, sender, receiver, to
        self.frame = b""
        eth0 = sender.namespace.devices["eth0"]
        eth0.taps = (self._keep,)
        for _ in range(3):  # neighbours, conntrack and caches
            self.go()
            peer = self.answer()
        eth0.taps = ()
        self.peer = peer

    def _keep(self, _time: int, way: str, frame: bytes) -> None:
        if way == "out" and frame[23] == 17:
            self.frame = frame

    def go(self) -> None:
        """Send, and let it arrive."""
        self.sender.sendto(b"x" * 64, self.to)
        step = self.lab.clock.step
        while not self.receiver.receive_queue:
            assert step(), "the datagram did not arrive"

    def answer(self) -> object:
        """Take what arrived and let an answer go back, so that the flow counts as established."""
        _, peer = self.receiver.recvfrom_nowait()
        self.receiver.sendto(b"y", peer)
        self.lab.clock.run_for(0.01)
        self.sender.recvfrom_nowait()
        return peer

    def once(self) -> None:
        """Send, let it arrive, take it."""
        self.go()
        self.receiver.recvfrom_nowait()


def report(name: str, crossing: Crossing) -> None:
    ours, scapys = best(crossing.once, 400), dissection(crossing.frame)
    print(f"{name}: {ours / scapys:.3f} of a scapy dissection ({ours * 1e6:.0f} µs to {scapys * 1e6:.0f} µs)")
