"""Packets in tunnels, as a trace tells of them: one message from end to end, whatever it is wrapped in."""

import pytest
from support.tunnels import Tunnels, encrypt

from cnmsim.kernel.events import DropReason, Step
from cnmsim.observe.trace.hops import hops_of


def hops(net, *, is_encrypted, size=5):
    if is_encrypted:
        encrypt(net)
    first, second = net.pair()
    net.send(first, second, "10.0.1.3")
    net.witness.events.clear()
    assert net.send(first, second, "10.0.1.3", b"x" * size, dont_fragment=False)
    return hops_of(net.witness.events)


@pytest.mark.parametrize("is_encrypted", [False, True])
@pytest.mark.parametrize("family", [4, 6])
def test_a_datagram_is_one_message_through_every_header(family, is_encrypted):
    told = hops(Tunnels(family=family), is_encrypted=is_encrypted)
    sent = [hop for hop in told if "UDP 5 bytes" in hop.packet]
    assert {hop.message for hop in sent} == {sent[0].message}
    assert [hop.place for hop in sent if hop.step is Step.DELIVERED] == ["c3"]
    wrapped = [hop for hop in sent if hop.step in (Step.ENCAPSULATED, Step.DECAPSULATED)]
    assert len(wrapped) == (4 if is_encrypted else 2)
    outer = "10.2.0.2" if family == 4 else "fd02::2"
    assert outer in wrapped[0].addresses
    assert wrapped[-1].addresses.endswith("10.0.1.3:5000")
    assert not any(hop.is_drop for hop in told)


@pytest.mark.parametrize("is_encrypted", [False, True])
def test_fragments_of_outer_packets_are_no_malformed_packets(is_encrypted):
    net = Tunnels()
    for host in net.hosts.values():
        host.devices["eth0"].set_mtu(1400)
    encrypted = hops(net, is_encrypted=is_encrypted, size=1330)
    assert not [hop for hop in encrypted if "malformed" in hop.packet]
    assert not any(hop.is_drop for hop in encrypted)


def test_a_question_the_proxy_keeps_is_no_loss_but_its_silence_is():
    net = Tunnels()
    first, second = net.pair()
    net.send(first, second, "10.0.1.77", seconds=8)
    told = hops_of(net.witness.events)
    assert [hop.is_drop for hop in told if hop.reason is DropReason.PROXY_UNANSWERED] == [False] * 3
    assert [hop.place for hop in told if hop.is_drop] == ["c2"]
