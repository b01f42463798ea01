"""Laws of tunnels: what comes out is what went in, and no network's frames come out of another."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import UDP
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from support.tunnels import Tunnels

from cnmsim.kernel.vxlan_header import source_port
from cnmsim.kernel.xfrm import XfrmState
from cnmsim.kernel.xfrm.esp import IntegrityError

STATIONS = {vni: (bytes((2, vni, 0, 0, 0, 1)), bytes((2, vni, 0, 0, 0, 2))) for vni in (5, 6, 7)}


def networks(**options):
    """Three networks over both hosts, whose frames are tapped where they come out of the tunnel on b."""
    net = Tunnels(**options)
    heard = {}
    for vni, (_, there) in STATIONS.items():
        sender = net.overlay("a", vni, proxy=False)
        receiver = net.overlay("b", vni, proxy=False)
        sender.fdb.add(there, net.vtep("b"))
        receiver.set_mtu(9000)
        frames = heard[vni] = []

        def tap(_time, way, frame, frames=frames):
            if way == "in":
                frames.append(frame)

        receiver.taps = (tap,)
    return net, heard


frames = st.lists(st.tuples(st.sampled_from(sorted(STATIONS)), st.binary(max_size=2000)), max_size=6)


@given(frames=frames, family=st.sampled_from([4, 6]), mtu=st.sampled_from([1280, 1500]), traced=st.booleans())
@settings(max_examples=60, deadline=None)
def test_what_comes_out_is_what_went_in_and_of_the_same_network(frames, family, mtu, traced):
    net, heard = networks(family=family, mtu=mtu)
    sent = {vni: [] for vni in STATIONS}
    for vni, body in frames:
        here, there = STATIONS[vni]
        frame = there + here + body.ljust(2, b"\x88")
        sent[vni].append(frame)
        net.clock.context = net.witness if traced else None
        net.overlays["a", vni].devices["vxlan0"].transmit(frame)
        net.clock.context = None
        net.clock.run_for(0.1)
    assert heard == sent
    assert not net.witness.drops


@given(frames=frames)
@settings(max_examples=30, deadline=None)
def test_every_outer_frame_is_what_scapy_makes_of_it(frames):
    net, _ = networks()
    wire = net.wire()
    for vni, body in frames:
        here, there = STATIONS[vni]
        frame = there + here + body[:1400].ljust(2, b"\x88")
        wire.clear()
        net.overlays["a", vni].devices["vxlan0"].transmit(frame)
        net.clock.run_for(0.1)
        outer = Ether(next(one for one in wire if one[12:14] == b"\x08\x00"))
        port = outer[UDP].sport
        assert port == source_port(frame, 32768, 60999)
        again = outer.copy()
        again[UDP].remove_payload()
        fresh = again / VXLAN(flags=8, vni=vni) / frame
        for layer, name in ((1, "len"), (1, "chksum"), (2, "len"), (2, "chksum")):
            delattr(fresh.getlayer(layer), name)
        assert bytes(fresh) == bytes(outer)


@given(frame=st.binary(min_size=14, max_size=200), low=st.integers(1, 60000), size=st.integers(1, 5000))
def test_source_ports_are_in_the_range_and_the_same_each_time(frame, low, size):
    port = source_port(frame, low, low + size)
    assert low <= port < low + size
    assert port == source_port(frame, low, low + size)


@given(
    payload=st.binary(max_size=300),
    protocol=st.integers(0, 255),
    key=st.binary(min_size=20, max_size=20),
    icv_bits=st.sampled_from([64, 96, 128]),
    at=st.integers(0),
)
@settings(deadline=None)
def test_what_is_sealed_is_opened_and_any_changed_byte_is_noticed(payload, protocol, key, icv_bits, at):
    state = XfrmState(bytes(4), bytes(4), 7, key, icv_bits)
    sealed = state.encrypt(payload, protocol)
    assert state.decrypt(sealed) == (payload, protocol)
    assert len(sealed) % 4 == 0
    assert len(sealed) - len(payload) in range(18 + icv_bits // 8, 22 + icv_bits // 8)
    at %= len(sealed)
    with pytest.raises(IntegrityError):
        state.decrypt(sealed[:at] + bytes((sealed[at] ^ 1,)) + sealed[at + 1 :])


@given(st.lists(st.integers(0, 80), max_size=60), st.integers(1, 32))
def test_no_number_is_taken_twice_and_none_in_the_window_is_refused(numbers, window):
    state = XfrmState(bytes(4), bytes(4), 7, bytes(20), replay_window=window)
    taken = set()
    for number in numbers:
        in_time = number > max(taken, default=0) - window and number > 0
        assert state.is_replay(number) is (number in taken or not in_time)
        if not state.is_replay(number):
            state.record_sequence(number)
            taken.add(number)
