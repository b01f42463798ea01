"""Captures as scapy packets, filters, callbacks, and the replay of capture files."""

from __future__ import annotations

import contextlib
import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, CookedLinux, Ether
from scapy.packet import Packet, Raw
from scapy.utils import wrpcap, wrpcapng

from cnmsim import FileError, InvalidParameter, Lab, NotFound
from cnmsim.observe.diagnosis.verdict import Verdict
from cnmsim.observe.packets.capture_file import read_capture
from cnmsim.observe.packets.rewrite import Rewrite


def lan() -> Lab:
    """Two hosts on one segment; `b` serves web pages."""
    lab = Lab()
    lab.add_host("a", "10.0.0.1/24")
    lab.add_host("b", "10.0.0.2/24", web=True)
    lab.settle()
    return lab


def test_captured_packets_have_interface_time_direction_and_verdict() -> None:
    lab = lan()
    lab["b"].exec("iptables -A INPUT -p udp -j DROP")
    with lab.capture("a:eth0", verdicts=True) as capture:
        lab["a"].exec("ping -c 1 10.0.0.2")
        lab["a"].send(IP(dst="10.0.0.2") / UDP(dport=9))
    pings = [packet for packet in capture.packets if packet.haslayer(ICMP)]
    assert [(packet.sniffed_on, packet.direction) for packet in pings] == [("a:eth0", 2), ("a:eth0", 1)]
    assert all(packet.verdict.startswith("delivered: ") for packet in pings)
    assert 0 <= pings[0].time - lab.clock.epoch_s <= lab.now
    dropped = next(packet for packet in capture.packets if packet.haslayer(UDP))
    assert dropped.verdict.startswith("dropped at b eth0")
    assert "-j DROP" in dropped.verdict
    assert lab.clock.context is None


def test_a_capture_observes_nothing_unless_verdicts_are_requested() -> None:
    lab = lan()
    with lab.capture("a:eth0") as capture:
        lab["a"].exec("ping -c 1 10.0.0.2")
    assert {packet.verdict for packet in capture.packets} == {""}
    assert "ICMP:2" in repr(capture.packets)


def test_a_filter_selects_frames_in_the_language_of_tcpdump() -> None:
    lab = lan()
    with lab.capture("a:eth0", filter="tcp dst port 80 and outbound") as capture:
        lab["a"].exec("curl -s http://10.0.0.2/")
    assert capture.packets
    assert {packet[TCP].dport for packet in capture.packets} == {80}
    with pytest.raises(InvalidParameter, match="the filter 'tcp prt 80' is not valid"):
        lab.capture("a:eth0", filter="tcp prt 80")
    assert not lab.host("a").interfaces[0].taps


def test_a_callback_is_called_with_every_packet_and_its_result_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    lab = lan()
    with lab.capture("a:eth0", filter="icmp", prn=lambda packet: packet.summary()):
        lab["a"].exec("ping -c 1 10.0.0.2")
    assert capsys.readouterr().out.count("ICMP") == 2


def test_a_callback_may_answer_for_a_host_that_is_not_there() -> None:
    lab = lan()
    mac = "02:00:00:00:00:99"

    def answer(packet: Packet) -> None:
        if packet.haslayer(ARP) and packet[ARP].op == 1:
            reply = ARP(op=2, hwsrc=mac, psrc=packet[ARP].pdst, hwdst=packet[ARP].hwsrc, pdst=packet[ARP].psrc)
            lab.device("b:eth0").send(Ether(src=mac, dst=packet.src) / reply, timeout_s=0)

    with lab.capture("b:eth0", filter="arp dst host 10.0.0.77 and inbound", prn=answer):
        lab["a"].exec("ping -c 1 -W 1 10.0.0.77")
    assert mac in lab["a"].exec("ip neigh").output


def test_sniff_ends_after_a_count_a_packet_or_a_time() -> None:
    lab = lan()
    begun_s = lab.now
    assert len(lab.sniff("a:eth0", timeout_s=2)) == 0
    assert lab.now - begun_s == pytest.approx(2)

    def traffic() -> None:
        lab.host("a").start("ping -c 5 10.0.0.2")

    packets = lab.sniff("a:eth0", filter="icmp", count=3, started_callback=traffic)
    assert [packet[ICMP].type for packet in packets] == [8, 0, 8]
    last = lab.sniff("a:eth0", filter="icmp", stop_filter=lambda packet: packet[ICMP].seq == 3)[-1]
    assert last[ICMP].seq == 3
    with pytest.raises(InvalidParameter, match="0 or more"):
        lab.sniff("a:eth0", count=-1)
    with pytest.raises(NotFound):
        lab.sniff("c:eth0")


# ---- replay


def recorded(tmp_path: Path) -> Path:
    """A capture of one ping, at both ends of the host `a`."""
    lab = lan()
    with lab.capture("a:eth0") as capture:
        lab["a"].exec("ping -c 2 10.0.0.2")
    return capture.save(tmp_path / "ping.pcapng")


def test_a_replay_follows_the_recorded_times_and_directions(tmp_path: Path) -> None:
    path = recorded(tmp_path)
    frames = list(read_capture(path))
    assert {frame.direction for frame in frames} == {"in", "out"}
    lab = lan()
    with lab.capture("a:eth0", filter="icmp") as capture:
        walks = lab.replay(path, at="a:eth0", filter="icmp")
    requests = [packet for packet in capture.packets if packet[ICMP].type == 8]
    first, _, second, _ = (frame.offset_ns for frame in frames if Ether(frame.data).haslayer(ICMP))
    assert float(requests[1].time - requests[0].time) == pytest.approx((second - first) / 1e9, abs=1e-6)
    assert walks[0].verdict is Verdict.ANSWERED, "b answers the replayed request"
    assert "Walks of 4 packets" in repr(walks)
    assert "echo-request" in str(walks)
    assert "10.0.0.1 &gt; 10.0.0.2 echo-request" in walks._repr_html_()


def test_a_replay_can_be_faster_filtered_limited_and_all_in_one_direction(tmp_path: Path) -> None:
    path = recorded(tmp_path)
    lab = lan()
    begun_s = lab.now
    mac_b, mac_a = lab.device("b:eth0").mac, lab.device("a:eth0").mac
    walks = lab.replay(path, at="b:eth0", filter="icmp[icmptype] == icmp-echo", direction="in", speed=10, timeout_s=0)
    assert len(walks) == 2
    assert lab.now - begun_s == pytest.approx(0.1, abs=1e-3)
    assert all(walk.inbound and walk.answer[ICMP].type == 0 for walk in walks)
    assert (walks[0].sent.src, walks[0].sent.dst) == (mac_a, mac_b)
    assert len(lab.replay(path, at="b:eth0", count=1)) == 1


def test_a_replay_rewrites_addresses_so_that_another_lab_answers(tmp_path: Path) -> None:
    path = recorded(tmp_path)
    old = lan()
    lab = Lab(seed=9)
    lab.add_host("x", "192.168.7.1/24")
    lab.add_host("y", "192.168.7.2/24")
    rewrite = {
        "10.0.0.0/24": "192.168.7.0/24",
        old.device("a:eth0").mac: lab.device("x:eth0").mac,
        old.device("b:eth0").mac: lab.device("y:eth0").mac,
    }
    walks = lab.replay(path, at=lab.device("y:eth0"), direction="in", filter="icmp[0] == 8", rewrite=rewrite)
    assert [walk.answer[IP].src for walk in walks] == ["192.168.7.2", "192.168.7.2"]


@pytest.mark.parametrize("kind", ["pcap", "nanosecond", "gzip", "raw IP", "cooked"])
def test_other_kinds_of_files_are_read(tmp_path: Path, kind: str) -> None:
    packet = IP(src="10.0.0.1", dst="10.0.0.2") / ICMP()
    frames: list[Packet] = [Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / packet for _ in range(2)]
    if kind == "raw IP":
        frames = [packet.copy(), packet.copy()]
    elif kind == "cooked":
        frames = [CookedLinux(proto=0x0800) / packet for _ in range(2)]
    frames[0].time, frames[1].time = 1.0, 1.25
    path = tmp_path / "x.pcap"
    wrpcap(str(path), frames, nano=kind == "nanosecond", linktype=101 if kind == "raw IP" else None)
    if kind == "gzip":
        path.write_bytes(gzip.compress(path.read_bytes()))
    read = list(read_capture(path))
    assert [frame.offset_ns for frame in read] == [0, 250_000_000]
    assert all(Ether(frame.data)[IP].dst == "10.0.0.2" for frame in read)


def test_a_file_that_is_no_capture_is_refused_and_nothing_is_sent(tmp_path: Path) -> None:
    lab = lan()
    device = lab.host("a").interfaces[0]
    before = device.rx_packets
    other = tmp_path / "x.txt"
    other.write_text("no capture\n")
    wireless = tmp_path / "w.pcap"
    wrpcap(str(wireless), [Raw(b"x" * 40)], linktype=127)
    path = recorded(tmp_path)
    with pytest.raises(FileError, match=r"x\.txt: this is no pcap or pcapng file"):
        lab.replay(other, at="a:eth0")
    with pytest.raises(FileError, match="No such file"):
        lab.replay(tmp_path / "missing", at="a:eth0")
    with pytest.raises(FileError, match=r"link layer is 802\.11 radiotap"):
        lab.replay(wireless, at="a:eth0")
    with pytest.raises(NotFound, match="did you mean eth0"):
        lab.replay(path, at="a:eth7")
    for wrong, text in (
        ({"rewrite": {"10.0.0.0/24": "10.1.0.0/16"}}, "the subnets differ in size"),
        ({"rewrite": {"10.0.0.1": "fd00::1"}}, "one is IPv4, the other IPv6"),
        ({"rewrite": {"host": "10.0.0.1"}}, "both are MAC addresses, IP addresses or subnets"),
        ({"speed": 0}, "greater than 0"),
        ({"direction": "up"}, "'in', 'out' or None"),
        ({"filter": "prt 1"}, "is not valid"),
    ):
        with pytest.raises(InvalidParameter, match=text):
            lab.replay(path, at="a:eth0", **wrong)
    assert device.rx_packets == before


@settings(max_examples=30, deadline=None)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_capture_or_a_file_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "x"
    heads = (b"", bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000"), b"\n\r\r\n")
    for head in heads:
        path.write_bytes(head + data)
        with contextlib.suppress(FileError):
            list(read_capture(path))


ADDRESSES = st.binary(min_size=4, max_size=4).map(lambda raw: ".".join(map(str, raw)))


@settings(max_examples=60, deadline=None)
@given(
    source=ADDRESSES, destination=ADDRESSES, new=st.binary(min_size=4, max_size=4), payload=st.binary(max_size=40),
    is_tcp=st.booleans(),
)  # fmt: skip
def test_rewritten_packets_have_the_checksums_that_scapy_computes(
    source: str, destination: str, new: bytes, payload: bytes, is_tcp: bool
) -> None:
    transport = TCP(sport=1, dport=2) if is_tcp else UDP(sport=1, dport=2)
    frame = bytes(
        Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
        / IP(src=source, dst=destination)
        / transport
        / Raw(payload)
    )
    text = ".".join(map(str, new))
    rewritten = Rewrite.parse({f"{source}/32": text + "/32"}).frame(frame)
    fresh = Ether(rewritten)
    for layer, names in ((fresh[IP], ("chksum",)), (fresh.getlayer(type(transport)), ("chksum",))):
        for name in names:
            layer.delfieldval(name)
    assert bytes(fresh) == rewritten
    assert fresh[IP].src == text


def test_pcapng_of_scapy_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    wrpcapng(str(path), [Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP() / ICMP()])
    assert len(list(read_capture(path))) == 1
