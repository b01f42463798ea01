"""Capture files: what scapy and tshark read back is what was written."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.walks import DB, DB_MAC, WEB, WEB_MAC, dropped, framed, tcp

from cnmsim.kernel.clock import EPOCH_S, NS_PER_S
from cnmsim.observe.capture.capture import commented
from cnmsim.observe.capture.pcapng import CapturedFrame, CapturePoint, to_pcapng
from cnmsim.observe.diagnosis.causes.silence import ReceivedWithoutReply
from cnmsim.observe.diagnosis.finding import Finding
from cnmsim.observe.diagnosis.verdict import Verdict
from cnmsim.observe.trace.trace import Trace

POINTS = (CapturePoint("web:eth0", "veth, mtu 1500", WEB_MAC), CapturePoint("node1:br-a", "bridge", DB_MAC))
FRAMES = st.lists(
    st.builds(
        CapturedFrame, st.integers(0, 10**12), st.integers(0, 1), st.sampled_from(["in", "out"]),
        st.binary(min_size=14),
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"),
                         max_size=9).map(lambda t: f"c{t}")).map(tuple),
    ),
    max_size=6,
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(FRAMES)
def test_scapy_reads_back_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, frames: list[CapturedFrame]
) -> None:
    from scapy.utils import RawPcapNgReader

    path = tmp_path_factory.mktemp("capture") / "x.pcapng"
    path.write_bytes(to_pcapng(POINTS, frames, names={WEB: ("web",), DB: ("db", "shop-db-1")}, comment="why"))
    with RawPcapNgReader(str(path)) as reader:
        read = list(reader)
    assert [data for data, _ in read] == [frame.data for frame in frames]
    for (_, meta), frame in zip(read, frames, strict=True):
        assert (meta.tshigh << 32) + meta.tslow == EPOCH_S * NS_PER_S + frame.time_ns
        assert meta.tsresol == NS_PER_S
        assert meta.ifname == POINTS[frame.point].name.encode()
        assert meta.direction == (1 if frame.direction == "in" else 2)
        assert tuple(text.decode() for text in meta.comments or ()) == frame.comments


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_shows_interfaces_names_and_comments(tmp_path: Path) -> None:
    path = tmp_path / "x.pcapng"
    frames = [
        CapturedFrame(5, 0, "out", framed(tcp()), ("lost on node1",)),
        CapturedFrame(9, 1, "in", framed(tcp(18))),
    ]
    path.write_bytes(to_pcapng(POINTS, frames, names={WEB: ("web",), DB: ("db",)}))
    text = subprocess.run(
        ["tshark", "-r", str(path), "-N", "n", "-V"], capture_output=True, text=True, check=True
    ).stdout
    assert "Malformed" not in text
    assert "Interface name: web:eth0" in text
    assert "lost on node1" in text
    assert "Src: web (172.18.0.2)" in text or "Src: web, Dst: db" in text
    assert "Epoch Arrival Time: 1767225600.000000005" in text or "00.000000005" in text


def test_the_last_sight_of_a_lost_message_says_why() -> None:
    trace = Trace("web → db:80")
    for event in dropped():
        trace.report(event)
    trace.finding = Finding(Verdict.TIMEOUT, ReceivedWithoutReply("node1"), (), (), trace.drops[0])
    frames = [
        CapturedFrame(0, 0, "out", framed(tcp())),
        CapturedFrame(5000, 1, "in", framed(tcp())),
        CapturedFrame(6000, 0, "out", framed(tcp(seq=99))),
    ]
    texts = [frame.comments for frame in commented(frames, trace)]
    assert texts[0] == texts[2] == ()
    assert texts[1][0].startswith("lost on node1 br-a: dropped by a packet filter rule (filter FORWARD")
    assert texts[1][1] == "web → db:80: timeout: node1 received it, and no answer ever came"
