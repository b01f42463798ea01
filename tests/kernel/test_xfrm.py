"""IPsec: the effect of policies on packets, ESP as scapy and Wireshark parse it, and drop reasons."""

import shutil
import subprocess

import pytest
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.ipsec import ESP, SecurityAssociation
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.utils import wrpcap
from support.tunnels import KEY, MARK, Tunnels, encrypt, policy, state

from cnmsim.kernel.address import IPV4_ANY, Prefix
from cnmsim.kernel.events import DropReason, Step
from cnmsim.kernel.sockets import UdpSocket
from cnmsim.kernel.xfrm import Limits, Mark, Selector, XfrmPolicy, esp, xfrm_of

ESP_PACKET = 50


@pytest.fixture(params=[4, 6])
def net(request):
    return Tunnels(family=request.param)


def esp_packets(frames):
    return [Ether(frame) for frame in frames if ESP in Ether(frame)]


def association(spi, **options):
    return SecurityAssociation(ESP, spi, crypt_algo="AES-GCM", crypt_key=KEY, **options)


def opened(net, outer):
    """Return scapy's decryption of an ESP packet; its AES-GCM supports only the full check value."""
    return association(outer[ESP].spi).decrypt(outer[IP if net.family == 4 else IPv6].copy())


def test_a_marked_tunnel_is_encrypted_both_ways_and_scapy_reads_it(net):
    encrypt(net, icv_bits=128)
    first, second = net.pair()
    wire = net.wire()
    for number in (1, 2):
        assert net.send(first, second, "10.0.1.3", b"secret%d" % number) == [b"secret%d" % number]
    assert net.send(second, first, "10.0.1.2", b"answer") == [b"answer"]
    packets = esp_packets(wire)
    assert [(one[ESP].spi, one[ESP].seq) for one in packets] == [(0x1000, 1), (0x1000, 2), (0x2000, 1)]
    assert not [frame for frame in wire if b"secret" in frame or b"answer" in frame]
    for one, text in zip(packets, (b"secret1", b"secret2", b"answer"), strict=True):
        inner = opened(net, one)
        assert inner[VXLAN].vni == 42
        assert bytes(inner[VXLAN].payload).endswith(text)
        ip = one[IP if net.family == 4 else IPv6]
        assert (len(ip) - (20 if net.family == 4 else 40)) % 4 == 0
    if net.family == 4:
        again = packets[0][IP].copy()
        del again.chksum
        assert IP(bytes(again)).chksum == packets[0][IP].chksum


def test_states_tell_when_they_were_last_used(net):
    encrypt(net)
    first, second = net.pair()
    assert net.send(first, second, "10.0.1.3") == [b"hello"]
    for host, used, unused in (("a", 0x1000, 0x2000), ("b", 0x1000, 0x2000)):
        states = {each.spi: each for each in xfrm_of(net.hosts[host]).states}
        assert "\tlastused 20" in str(states[used])
        assert "lastused" not in str(states[unused])


@pytest.mark.parametrize("icv_bits", [64, 96, 128])
def test_every_byte_is_what_scapy_seals(net, icv_bits):
    encrypt(net, icv_bits=icv_bits)
    first, second = net.pair()
    wire = net.wire()
    assert net.send(first, second, "10.0.1.3") == [b"hello"]
    (mine,) = esp_packets(wire)
    plain = next(event for event in net.witness.events if event.place == "a" and event.step is Step.ROUTED).data
    layer = IP if net.family == 4 else IPv6
    theirs = association(0x1000).encrypt(layer(plain), seq_num=1, iv=mine[ESP].data[:8])
    assert bytes(theirs[ESP])[: icv_bits // 8 - 16 or None] == bytes(mine[ESP])


def test_a_packet_grows_by_26_bytes_and_padding():
    net = Tunnels()
    first, second = net.pair()
    wire = net.wire()
    sizes = {}
    for turn in ("plain", "sealed"):
        if turn == "sealed":
            encrypt(net)
        wire.clear()
        for size in range(100, 104):
            assert net.send(first, second, "10.0.1.3", b"x" * size)
        sizes[turn] = [len(frame) for frame in wire if frame[12:14] == b"\x08\x00" and frame[26:30] == net.vtep("a")]
    grown = [sealed - plain for plain, sealed in zip(sizes["plain"], sizes["sealed"], strict=True)]
    assert sorted(grown) == [26, 27, 28, 29]


def test_what_scapy_seals_is_taken(net):
    encrypt(net, icv_bits=128)
    first, second = net.pair()
    wire = net.wire()
    net.send(first, second, "10.0.1.3")
    (mine,) = esp_packets(wire)
    inner = opened(net, mine)
    theirs = association(0x1000).encrypt(inner, seq_num=7)
    heard = net.tap(second.devices["eth0"])
    frame = bytes(Ether(dst=mine.dst, src=mine.src) / theirs)
    net.hosts["a"].devices["eth0"].transmit(frame)
    net.clock.run_for(1)
    assert bytes(inner[VXLAN].payload) in heard


def test_without_the_mark_packets_go_in_clear(net):
    encrypt(net)
    net.hosts["a"].netfilter.iptables(net.family).flush_chain("mangle", "OUTPUT")
    first, second = net.pair()
    wire = net.wire()
    assert net.send(first, second, "10.0.1.3") == [b"hello"]
    assert not esp_packets(wire)


def counted(net, host, name):
    return xfrm_of(net.hosts[host]).counters[name]


def test_without_a_state_nothing_leaves(net):
    encrypt(net)
    xfrm = xfrm_of(net.hosts["a"])
    xfrm.remove_state(net.vtep("b"), 0x1000)
    first, second = net.pair()
    wire = net.wire()
    assert not net.send(first, second, "10.0.1.3")
    assert not [frame for frame in wire if b"hello" in frame]
    assert ("a", DropReason.NO_STATE) in net.witness.drops
    assert counted(net, "a", "XfrmOutNoStates") == 1
    with pytest.raises(OSError, match="No such process"):
        xfrm.remove_state(net.vtep("b"), 0x1000)


def test_a_receiver_without_the_state_drops(net):
    encrypt(net)
    xfrm_of(net.hosts["b"]).flush_states()
    first, second = net.pair()
    assert not net.send(first, second, "10.0.1.3")
    assert ("b", DropReason.NO_STATE) in net.witness.drops
    assert counted(net, "b", "XfrmInNoStates") == 1


def test_another_key_fails_the_integrity_check(net):
    encrypt(net)
    xfrm = xfrm_of(net.hosts["b"])
    src, dst = net.vtep("a"), net.vtep("b")
    xfrm.add_state(state(src, dst, 0x1000, key=bytes(20)), update=True)
    first, second = net.pair()
    assert not net.send(first, second, "10.0.1.3")
    assert ("b", DropReason.INTEGRITY) in net.witness.drops
    assert counted(net, "b", "XfrmInStateProtoError") == 1
    assert xfrm.get_state(dst, 0x1000).sequence_in == 0


def test_a_replayed_packet_is_dropped_and_a_late_one_is_not():
    net = Tunnels()
    encrypt(net)
    first, second = net.pair()
    wire, inside = net.wire("b"), net.tap(second.devices["eth0"])
    for _ in range(40):
        net.send(first, second, "10.0.1.3")
    frames = [bytes(one) for one in esp_packets(wire)]
    xfrm = xfrm_of(net.hosts["b"])
    there = xfrm.get_state(net.vtep("b"), 0x1000)
    assert (there.sequence_in, there.bitmap) == (40, 0xFFFFFFFF)
    frames_inside = [frame for frame in inside if frame.endswith(b"hello") and frame[23] == 17]
    heard = net.tap(second.devices["eth0"])
    for frame in frames:
        net.hosts["b"].devices["eth0"].receive(frame)
    net.clock.run_for(1)
    assert not heard
    assert there.replay_failures == counted(net, "b", "XfrmInStateSeqError") == 40
    there.bitmap &= ~(1 << 5 | 1 << 31)
    there.replay_window = 31
    for frame in frames:
        net.hosts["b"].devices["eth0"].receive(frame)
    net.clock.run_for(1)
    # Number 35 is late but inside the window, number 9 is outside it.
    assert [frame for frame in heard if frame.endswith(b"hello") and frame[23] == 17] == [frames_inside[34]]


@pytest.mark.parametrize("limits", [Limits(packets=2), Limits(size=100), Limits(seconds=20)])
def test_a_state_has_its_limits(limits):
    net = Tunnels()
    encrypt(net, limits=limits)
    first, second = net.pair()
    results = [bool(net.send(first, second, "10.0.1.3", seconds=9)) for _ in range(3)]
    assert results == [True, True, limits.seconds == 20]
    net.clock.run_for(20)
    assert not net.send(first, second, "10.0.1.3")
    assert {reason for _, reason in net.witness.drops} & {DropReason.STATE_EXPIRED, DropReason.NO_STATE}
    assert counted(net, "a", "XfrmOutStateExpired") + counted(net, "b", "XfrmInStateExpired") >= 1


def test_sequence_numbers_end():
    net = Tunnels()
    encrypt(net)
    xfrm_of(net.hosts["a"]).get_state(net.vtep("b"), 0x1000).sequence_out = 0xFFFFFFFF
    first, second = net.pair()
    assert not net.send(first, second, "10.0.1.3")
    assert counted(net, "a", "XfrmOutStateSeqError") == 1
    assert ("a", DropReason.SEQUENCE) in net.witness.drops


def test_the_packet_filter_sees_the_packet_in_clear_and_sealed():
    net = Tunnels()
    encrypt(net)
    rules = {"a": ("OUTPUT", "POSTROUTING"), "b": ("PREROUTING", "INPUT")}
    for host, chains in rules.items():
        tables = net.hosts[host].netfilter.iptables(4)
        for chain in chains:
            for match in ("-p esp", "-p udp --dport 4789"):
                tables.append("mangle", chain, f"{match} -j RETURN")
    first, second = net.pair()
    assert net.send(first, second, "10.0.1.3")
    for host, chains in rules.items():
        for chain in chains:
            listing = net.hosts[host].netfilter.iptables(4).execute(["-t", "mangle", "-L", chain, "-v", "-n", "-x"])
            counts = [int(line.split()[0]) for line in listing.splitlines() if " RETURN " in line]
            assert counts == [1, 1], (host, chain)


def test_an_inbound_policy_wants_what_it_says():
    net = Tunnels()
    encrypt(net)
    src, dst = net.vtep("a"), net.vtep("b")
    xfrm_of(net.hosts["b"]).add_policy(policy(src, dst, 0x1000, direction="in", mark=Mark()))
    first, second = net.pair()
    assert net.send(first, second, "10.0.1.3")
    net.hosts["a"].netfilter.iptables(4).flush_chain("mangle", "OUTPUT")
    assert not net.send(first, second, "10.0.1.3", traced=False)
    assert not net.send(first, second, "10.0.1.3", traced=False)
    assert counted(net, "b", "XfrmInTmplMismatch") == 2


def test_a_policy_blocks():
    net = Tunnels()
    host = net.hosts["a"]
    selector = Selector(Prefix(IPV4_ANY, 0), Prefix.parse("10.2.0.0/24"), 17, dport=99)
    socket = UdpSocket(host)
    socket.sendto(b"x", ("10.2.0.2", 99))
    xfrm_of(host).add_policy(XfrmPolicy("out", selector, action="block"))
    with pytest.raises(OSError, match="not permitted"):
        socket.sendto(b"x", ("10.2.0.2", 99))
    socket.sendto(b"x", ("10.2.0.2", 98))
    xfrm_of(host).remove_policy("out", selector)
    socket.sendto(b"x", ("10.2.0.2", 99))
    assert counted(net, "a", "XfrmOutPolBlock") == 1


def test_policies_and_states_are_unique_and_replaced():
    net = Tunnels()
    xfrm = xfrm_of(net.hosts["a"])
    src, dst = net.vtep("a"), net.vtep("b")
    xfrm.add_policy(policy(src, dst, 1))
    with pytest.raises(OSError, match="exists"):
        xfrm.add_policy(policy(src, dst, 2))
    xfrm.add_policy(policy(src, dst, 2), update=True)
    xfrm.add_policy(policy(src, dst, 3, mark=Mark()))
    assert [(one.templates[0].spi, one.index) for one in xfrm.policies] == [(3, 9), (2, 1)]
    with pytest.raises(OSError, match="No such file"):
        xfrm.remove_policy("in", xfrm.policies[0].selector)
    xfrm.add_state(state(src, dst, 1))
    with pytest.raises(OSError, match="exists"):
        xfrm.add_state(state(src, dst, 1))
    with pytest.raises(OSError, match="No such process"):
        xfrm.add_state(state(src, dst, 2), update=True)
    xfrm.flush_policies()
    xfrm.flush_states()
    assert not xfrm.policies
    assert not xfrm.states


@pytest.mark.parametrize(
    "options",
    [
        {"key": bytes(19)},
        {"icv_bits": 32},
        {"icv_bits": 65},
        {"replay_window": 33},
        {"algorithm": "rfc4543(gcm(aes))"},
    ],
)
def test_impossible_states_are_refused(options):
    with pytest.raises(OSError, match=r"Invalid|not found"):
        state(bytes(4), bytes(4), 1, **options)


def test_without_the_package_there_is_no_encryption(monkeypatch):
    monkeypatch.setattr(esp, "_package", lambda: None)
    assert not esp.is_available()
    with pytest.raises(OSError, match="cryptography package"):
        state(bytes(4), bytes(4), 1)


def test_a_trace_shows_clear_and_sealed_packet():
    net = Tunnels()
    encrypt(net)
    first, second = net.pair()
    assert net.send(first, second, "10.0.1.3")
    steps = [(event.place, event.step) for event in net.witness.events]
    way = [
        ("a-ov42", Step.ENCAPSULATED), ("a", Step.ENCAPSULATED), ("b", Step.DECAPSULATED),
        ("b-ov42", Step.DECAPSULATED),
    ]  # fmt: skip
    assert [step for step in steps if step in way] == way
    sealed = next(event for event in net.witness.events if event.place == "a" and event.step is Step.ENCAPSULATED)
    assert ESP in IP(sealed.data)
    assert sealed.decision == "state 10.1.0.2 > 10.2.0.2 esp spi 0x00001000 reqid 13681891"


def test_fragments_of_a_sealed_packet_are_made_whole_and_opened():
    net = Tunnels()
    encrypt(net)
    first, second = net.pair()
    wire = net.wire("b")
    assert net.send(first, second, "10.0.1.3", b"x" * 1422) == [b"x" * 1422]
    pieces = [Ether(frame)[IP] for frame in wire if frame[23] == ESP_PACKET]
    assert [(int(piece.flags), piece.frag > 0) for piece in pieces] == [(1, False), (0, True)]


def test_wireshark_decrypts_a_capture(tmp_path):
    tshark = shutil.which("tshark")
    if tshark is None:
        pytest.skip(reason="needs tshark")
    net = Tunnels()
    encrypt(net)
    first, second = net.pair()
    wire = net.wire()
    assert net.send(first, second, "10.0.1.3", b"between us")
    wrpcap(str(tmp_path / "wire.pcap"), [Ether(frame) for frame in wire])
    association = (
        '"IPv4","10.1.0.2","10.2.0.2","0x00001000","AES-GCM with 8 octet ICV [RFC4106]",'
        f'"0x{KEY.hex()}","NULL",""'
    )  # fmt: skip
    options = ["-o", "esp.enable_encryption_decode:TRUE", "-o", f"uat:esp_sa:{association}"]
    fields = ["-T", "fields", "-e", "vxlan.vni", "-e", "udp.payload", "-Y", "esp"]
    command = [tshark, "-n", "-r", str(tmp_path / "wire.pcap"), *options, *fields]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert found.startswith("42\t")
    assert found.rstrip().endswith(b"between us".hex())


def bytecode(vni):
    return (
        f"7,32 0 0 4294963252,7 0 0 0,64 0 0 4,116 0 0 8,21 1 0 {vni},6 0 0 0,6 0 0 4294967295"
    )  # fmt: skip


def test_only_the_encrypted_network_is_sealed_and_only_it_refuses_clear_packets(net):
    encrypt(net)
    pairs = {vni: net.pair(vni) for vni in (42, 43)}
    for host in net.hosts.values():
        tables = host.netfilter.iptables(net.family)
        tables.flush_chain("mangle", "OUTPUT")
        matching = f"-p udp --dport 4789 -m bpf --bytecode '{bytecode(42)}'"
        tables.append("mangle", "OUTPUT", f"{matching} -j MARK --set-mark {MARK}")
        tables.insert("filter", "INPUT", f"-m policy --dir in --pol none {matching} -j DROP")
    wire = net.wire()
    for traced in (True, False, False):
        for vni, (first, second) in pairs.items():
            wire.clear()
            assert net.send(first, second, "10.0.1.3", traced=traced) == [b"hello"], vni
            assert bool(esp_packets(wire)) is (vni == 42)
    # Unencrypted packets of the network are dropped; those of the other network are not.
    net.hosts["a"].netfilter.iptables(net.family).flush_chain("mangle", "OUTPUT")
    for vni, (first, second) in pairs.items():
        assert net.send(first, second, "10.0.1.3", traced=vni == 42) == ([] if vni == 42 else [b"hello"])
    assert ("b", DropReason.NETFILTER_DROP) in net.witness.drops
