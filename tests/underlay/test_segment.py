"""Segments: who receives which frame, when, and which frames are lost."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.events import DropReason, Event
from cnmsim.underlay.segment import Segment
from cnmsim.underlay.trunk import Link, Trunk, reachable

BROADCAST = b"\xff" * 6


@define(eq=False)
class Station:
    name: str
    clock: Clock
    mac: bytes
    link: Any = None
    heard: list[tuple[int, bytes]] = field(factory=list)

    def plug(self, link: Any) -> None:
        self.link = link

    def receive(self, frame: bytes) -> None:
        self.heard.append((self.clock.now_ns, frame))

    def say(self, target: bytes, size: int = 50, source: bytes | None = None) -> None:
        self.link.carry(target + (source or self.mac) + b"\x08\x00" + bytes(size), self)


@define
class Watcher:
    events: list[Event] = field(factory=list)

    def report(self, event: Event) -> None:
        self.events.append(event)


def plug_in(segment: Segment, count: int) -> list[Station]:
    stations = [Station(f"s{n}", segment.clock, bytes((2, 0, 0, 0, 0, n))) for n in range(count)]
    for station in stations:
        segment.attach(station)
    return stations


def test_unknown_destination_is_flooded_and_a_learnt_one_is_not() -> None:
    segment = Segment("lan", Clock())
    a, b, c = plug_in(segment, 3)
    a.say(b.mac)
    b.say(a.mac)
    segment.clock.run()
    assert [len(each.heard) for each in (a, b, c)] == [1, 1, 1]
    a.say(b.mac)
    segment.clock.run()
    assert [len(each.heard) for each in (a, b, c)] == [1, 2, 1]


def test_broadcasts_reach_everyone_else() -> None:
    segment = Segment("lan", Clock())
    a, b, c = plug_in(segment, 3)
    a.say(BROADCAST)
    segment.clock.run()
    assert [len(each.heard) for each in (a, b, c)] == [0, 1, 1]


def test_a_switch_forgets_an_address_after_five_minutes() -> None:
    segment = Segment("lan", Clock())
    a, b, c = plug_in(segment, 3)
    b.say(a.mac)
    segment.clock.run_for(301)
    a.say(b.mac)
    segment.clock.run()
    assert len(c.heard) == 2


def test_a_hub_repeats_every_frame() -> None:
    segment = Segment("lan", Clock(), is_hub=True)
    a, b, c = plug_in(segment, 3)
    b.say(a.mac)
    a.say(b.mac)
    segment.clock.run()
    assert len(c.heard) == 2


def test_a_frame_arrives_after_the_latencies_of_both_cables_and_the_segment() -> None:
    segment = Segment("lan", Clock(), latency_s=0.001)
    a, b = Station("a", segment.clock, b"\x02aaaaa"), Station("b", segment.clock, b"\x02bbbbb")
    segment.attach(a, latency_s=0.01)
    segment.attach(b, latency_s=0.1)
    a.say(b.mac)
    segment.clock.run()
    assert b.heard[0][0] == 111_000_000


def test_bandwidth_makes_frames_wait_for_one_another() -> None:
    segment = Segment("lan", Clock(), latency_s=0, bandwidth_bps=8_000_000)
    a, b = plug_in(segment, 2)
    for _ in range(3):
        a.say(b.mac, size=986)  # 1,000 bytes take 1 ms
    segment.clock.run()
    assert [at // 1_000_000 for at, _ in b.heard] == [2, 3, 4]


def test_a_full_queue_loses_the_frame() -> None:
    segment = Segment("lan", Clock(), bandwidth_bps=8_000)
    a, b = plug_in(segment, 2)
    segment.clock.context = watcher = Watcher()
    for _ in range(1200):
        a.say(b.mac, size=986)
    segment.clock.run()
    assert len(b.heard) == 1001  # one is being sent, 1000 wait
    assert {event.decision for event in watcher.events} == {"the queue into lan holds 1000 frames and is full"}
    assert segment.drops == {"the link's queue was full": 199}


def test_a_frame_larger_than_the_mtu_vanishes_with_a_reason() -> None:
    segment = Segment("lan", Clock(), mtu=1400)
    a, b = plug_in(segment, 2)
    segment.clock.context = watcher = Watcher()
    a.say(b.mac, size=1400)
    a.say(b.mac, size=1401)
    segment.clock.run()
    assert len(b.heard) == 1
    assert [event.reason for event in watcher.events] == [DropReason.MTU_EXCEEDED]
    assert watcher.events[0].decision == "1401 bytes, the MTU of the segment is 1400"


def test_port_security_refuses_a_second_mac_of_a_station() -> None:
    segment = Segment("lan", Clock(), refuse_unknown_macs=True)
    a, b, c = plug_in(segment, 3)
    segment.clock.context = watcher = Watcher()
    a.say(b.mac, source=b"\x02\x42\xac\x11\x00\x02")
    a.say(b.mac)
    segment.clock.run()
    assert (len(b.heard), len(c.heard)) == (1, 0)
    assert [event.reason for event in watcher.events] == [DropReason.PORT_SECURITY]


def test_port_security_delivers_nothing_to_an_address_no_station_has() -> None:
    segment = Segment("lan", Clock(), refuse_unknown_macs=True)
    a, b = plug_in(segment, 2)
    a.say(b"\x02\x42\xac\x11\x00\x09")
    segment.clock.run()
    assert b.heard == []


def losses(seed: int, share: float) -> list[int]:
    segment = Segment("lan", Clock(seed), loss=share)
    a, b = plug_in(segment, 2)
    for number in range(200):
        a.say(b.mac, size=number)
    segment.clock.run()
    return [len(frame) for _, frame in b.heard]


def test_loss_follows_the_seed() -> None:
    assert losses(7, 0.3) == losses(7, 0.3) != losses(8, 0.3)
    assert 100 < len(losses(7, 0.3)) < 180


def test_loss_of_one_loses_all_and_of_none_nothing() -> None:
    assert losses(1, 1.0) == []
    assert len(losses(1, 0.0)) == 200


def test_every_lost_frame_is_reported() -> None:
    segment = Segment("lan", Clock(3), loss=0.5)
    a, b = plug_in(segment, 2)
    segment.clock.context = watcher = Watcher()
    for _ in range(100):
        a.say(b.mac)
    segment.clock.run()
    assert len(b.heard) + len(watcher.events) == 100
    assert {event.reason for event in watcher.events} == {DropReason.LINK_LOSS}


def test_pulling_a_plug_loses_what_is_on_its_way_and_unlearns_the_station() -> None:
    segment = Segment("lan", Clock())
    a, b, c = plug_in(segment, 3)
    b.say(a.mac)
    segment.clock.run()
    a.say(b.mac)
    segment.detach(b)
    segment.clock.run()
    assert b.heard == []
    assert b.link is None
    a.say(b.mac)
    segment.clock.run()
    assert len(c.heard) == 2


def test_taps_see_each_frame_once() -> None:
    segment = Segment("lan", Clock())
    a, _, _ = plug_in(segment, 3)
    seen: list[bytes] = []
    segment.taps = (lambda _time, _way, frame: seen.append(frame),)
    a.say(BROADCAST)
    segment.clock.run()
    assert len(seen) == 1


def test_a_station_cannot_be_plugged_in_twice() -> None:
    segment = Segment("lan", Clock())
    (a,) = plug_in(segment, 1)
    with pytest.raises(ValueError, match="s0 is plugged in already"):
        segment.attach(a)


@pytest.mark.parametrize(
    "options",
    [
        {"loss": 1.5},
        {"loss": -0.1},
        {"latency_s": -1},
        {"latency_s": float("nan")},
        {"mtu": 60},
        {"bandwidth_bps": 0},
    ],
)
def test_impossible_options_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        Segment("lan", Clock(), **options)  # type: ignore[arg-type]


def test_a_trunk_makes_two_switches_one_broadcast_domain() -> None:
    clock = Clock()
    left, right = Segment("left", clock), Segment("right", clock)
    (a,) = plug_in(left, 1)
    b = Station("b", clock, b"\x02bbbbb")
    right.attach(b)
    Trunk(left, right, latency_s=0.005)
    a.say(BROADCAST)
    clock.run()
    assert b.heard[0][0] == 5_200_000
    b.say(a.mac)
    clock.run()
    assert len(a.heard) == 1


def test_a_loop_of_switches_is_refused() -> None:
    clock = Clock()
    one, two, three = (Segment(name, clock) for name in ("one", "two", "three"))
    Trunk(one, two)
    Trunk(two, three)
    with pytest.raises(ValueError, match="three and one are joined already"):
        Trunk(three, one)
    assert reachable(one) == {one, two, three}


def test_an_unplugged_trunk_carries_nothing() -> None:
    clock = Clock()
    left, right = Segment("left", clock), Segment("right", clock)
    (a,) = plug_in(left, 1)
    b = Station("b", clock, b"\x02bbbbb")
    right.attach(b)
    Trunk(left, right).unplug()
    a.say(BROADCAST)
    clock.run()
    assert b.heard == []


def test_a_link_joins_two_stations() -> None:
    clock = Clock()
    a, b = Station("a", clock, b"\x02aaaaa"), Station("b", clock, b"\x02bbbbb")
    Link("cable", clock, a, b)
    a.say(b.mac)
    clock.run()
    assert len(b.heard) == 1


@given(
    talk=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), max_size=40),
    loss=st.sampled_from([0.0, 0.2]),
    is_hub=st.booleans(),
)
def test_no_frame_comes_back_or_arrives_twice(talk: list[tuple[int, int]], loss: float, is_hub: bool) -> None:
    segment = Segment("lan", Clock(1), loss=loss, is_hub=is_hub)
    stations = plug_in(segment, 5)
    for number, (speaker, target) in enumerate(talk):
        mac = BROADCAST if target == 5 else stations[target].mac
        stations[speaker].say(mac, size=number)
        segment.clock.run()
    for number, (speaker, _) in enumerate(talk):
        arrivals = [sum(len(frame) == number + 14 for _, frame in each.heard) for each in stations]
        assert arrivals[speaker] == 0
        assert max(arrivals) <= 1
        if not loss and talk[number][1] not in {5, speaker}:
            assert arrivals[talk[number][1]] == 1


def test_a_known_way_is_left_when_anything_on_it_changes() -> None:
    """Frames between two stations use a cached path until the cables, the options or the stations change."""
    segment = Segment("lan", Clock(), latency_s=0.001)
    clock = segment.clock
    a, b, c = plug_in(segment, 3)

    def arrives(size: int = 50) -> bool:
        before = len(b.heard)
        a.say(b.mac, size)
        clock.run_for(0.0015)
        return len(b.heard) > before

    b.say(a.mac)
    clock.run_for(1)
    assert arrives()
    assert arrives()
    segment.configure(latency_s=0.1)
    assert not arrives()
    clock.run_for(1)
    segment.configure(latency_s=0.001)
    assert arrives()
    segment.configure(loss=1.0)
    assert not arrives()
    segment.configure(loss=0.0)
    assert arrives()
    segment.configure(mtu=68)
    assert arrives(68)
    assert not arrives(69)
    segment.configure(mtu=1500)
    segment.loses = lambda _frame, station: "on purpose" if station is b else ""
    assert not arrives()
    segment.loses = None
    plugged = segment.pull(b)
    c.heard.clear()
    assert not arrives()
    assert len(c.heard) == 1, "nobody knows where it is: flooded"
    segment.plug_again(plugged)
    b.say(a.mac)
    clock.run_for(1)
    assert arrives()
    assert len(c.heard) == 1
    c.say(a.mac, source=b.mac)
    clock.run_for(1)
    assert not arrives(), "the address has moved to another cable"
    b.say(a.mac)
    clock.run_for(1)
    assert arrives()
    clock.run_for(301)
    c.heard.clear()
    assert arrives(), "unheard of for long, it is flooded to"
    assert len(c.heard) == 1
