"""Traces: which hops are shown, and how."""

from __future__ import annotations

import io
import json
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from support.walks import DB, WEB, WEB_MAC, crossing, dropped, event, framed, tcp

from cnmsim import Lab
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.events import DropReason, Event, Step
from cnmsim.kernel.transport import ArpMessage
from cnmsim.observe.diagnosis.causes.base import Drop
from cnmsim.observe.diagnosis.causes.remarks import ServerPaused
from cnmsim.observe.diagnosis.causes.routes import Dropped
from cnmsim.observe.diagnosis.causes.silence import ReceivedWithoutReply, StackError
from cnmsim.observe.diagnosis.causes.success import Answered, SharedNetwork
from cnmsim.observe.diagnosis.finding import Finding
from cnmsim.observe.diagnosis.verdict import Verdict
from cnmsim.observe.fixes.changes import Manual
from cnmsim.observe.fixes.tasks import Task
from cnmsim.observe.trace.trace import Trace


def _trace(events: list[Event]) -> Trace:
    trace = Trace("web → db:80 (tcp)")
    for one in events:
        trace.report(one)
    trace.question = {"source": "node1:web", "destination": "db", "port": 80, "protocol": "tcp", "address": None}
    return trace


def _shown(events: list[Event]) -> list[tuple[str, Step]]:
    return [(hop.place, hop.step) for hop in _trace(events).shown()]


def test_the_short_view_shows_decisions_and_not_what_only_carries() -> None:
    assert _shown(crossing()) == [
        ("web", Step.SENT), ("web", Step.ROUTED), ("node1", Step.BRIDGED), ("db", Step.DELIVERED),
    ]  # fmt: skip


def test_the_long_view_shows_everything() -> None:
    assert len(_trace(crossing()).shown(verbose=True)) == len(crossing())


def test_a_chain_is_shown_if_a_rule_of_it_decided() -> None:
    rule = event("node1", Step.HOOK, tcp(), decision="filter FORWARD: -A FORWARD -i br-a -j ACCEPT")
    assert ("node1", Step.HOOK) in _shown([*crossing(), rule])


def test_a_frame_that_ends_on_a_device_is_shown() -> None:
    assert _shown(crossing()[:3])[-1] == ("web", Step.TRANSMITTED)


def test_a_retransmission_shows_its_sending_and_not_its_way() -> None:
    again = [event(one.place, one.step, one.data, at_us=10**6, device=one.device, decision=one.decision,
                   is_frame=one.is_frame) for one in crossing()]  # fmt: skip
    shown = _shown([*crossing(), *again])
    assert shown.count(("web", Step.SENT)) == 2
    assert shown.count(("node1", Step.BRIDGED)) == 1


def test_address_resolution_is_plain_unless_it_fails() -> None:
    arp = b"\xff" * 6 + WEB_MAC + b"\x08\x06" + ArpMessage(1, WEB_MAC, WEB, bytes(6), DB).to_wire()
    sent = event("web", Step.TRANSMITTED, arp, device="eth0", is_frame=True)
    failed = event("web", Step.DROPPED, tcp(), device="eth0", reason=DropReason.NEIGHBOUR_FAILED)
    assert _shown([sent, failed]) == [("web", Step.DROPPED)]


def test_a_flooded_frame_that_a_station_ignores_is_no_loss() -> None:
    ignored = event("x", Step.DROPPED, framed(tcp()), reason=DropReason.NOT_FOR_US, is_frame=True)
    trace = _trace([*crossing(), ignored])
    assert trace.drops == ()
    assert ("x", Step.DROPPED) not in _shown([*crossing(), ignored])


def test_a_drop_names_place_rule_and_reason() -> None:
    (drop,) = _trace(dropped()).drops
    assert (drop.place, drop.device, drop.reason) == ("node1", "br-a", DropReason.NETFILTER_DROP)
    assert drop.decision.endswith("-j DROP")


def test_the_text_keeps_to_its_width() -> None:
    trace = _trace([*crossing(), *dropped()])
    trace.finding = Finding(Verdict.TIMEOUT, StackError("node1 " * 24, "dropped"), (Manual(Task.CHECK_ROUTES),))
    for width in (80, 100, 140):
        assert max(map(len, trace.text(width=width).splitlines())) <= width


def test_a_text_table_reads_as_written_here() -> None:
    trace = _trace(crossing())
    trace.finding = Finding(Verdict.ANSWERED, Answered("db", "172.18.0.3:80", SharedNetwork("a")))
    assert trace.text() == GOLDEN


GOLDEN = """\
web → db:80 (tcp)

    TIME  WHERE  DEVICE  WHAT            DECIDED BY              ADDRESSES
── TCP SYN ──────────────────────────────────────────────────────────────────────────────────────
0.000 ms  web            connects                                172.18.0.2:40000 > 172.18.0.3:80
0.000 ms  web    eth0    routed          172.18.0.0/16 dev eth0
0.005 ms  node1  br-a    veth1 → veth2
0.008 ms  db             httpd takes it  0.0.0.0:80
(5 plain steps not shown)

ANSWERED: db answers at 172.18.0.3:80; both are on network a"""


def test_where_columns_would_be_too_narrow_decision_and_addresses_stand_below() -> None:
    trace = _trace(crossing())
    trace.finding = Finding(Verdict.ANSWERED, Answered("db", "172.18.0.3:80"))
    assert trace.text(width=64) == NARROW


NARROW = """\
web → db:80 (tcp)

    TIME  WHERE  DEVICE  WHAT
          └ DECIDED BY  ADDRESSES
── TCP SYN ─────────────────────────────────────────────────────
0.000 ms  web            connects
          └ 172.18.0.2:40000 > 172.18.0.3:80
0.000 ms  web    eth0    routed
          └ 172.18.0.0/16 dev eth0
0.005 ms  node1  br-a    veth1 → veth2
0.008 ms  db             httpd takes it
          └ 0.0.0.0:80
(5 plain steps not shown)

ANSWERED: db answers at 172.18.0.3:80"""


def test_notebook_html_is_balanced_and_escaped() -> None:
    trace = _trace([event("<web>", Step.SENT, tcp(), what="a & b <script>")])
    trace.finding = Finding(Verdict.TIMEOUT, ReceivedWithoutReply("<b>"), (Manual(Task.CHECK_PLACE, "&"),))
    html = trace._repr_html_()
    assert "<script>" not in html
    assert "&lt;web&gt;" in html
    assert _Balance.of(html) == []


class _Balance(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    @classmethod
    def of(cls, text: str) -> list[str]:
        parser = cls()
        parser.feed(text)
        return parser.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_json_follows_its_schema() -> None:
    schema = json.loads(files("cnmsim.observe.trace").joinpath("trace.schema.json").read_text(encoding="utf-8"))
    trace = _trace(dropped())
    trace.finding = Finding(
        Verdict.TIMEOUT,
        Dropped(Drop(trace.drops[0])),
        (Manual(Task.CHECK_ROUTES),),
        (ServerPaused("db", "tcp"),),
        trace.drops[0],
    )
    jsonschema.validate(json.loads(json.dumps(trace.to_json())), schema)


def test_a_sequence_diagram_has_an_arrow_for_each_crossing() -> None:
    text = _trace(crossing()).to_mermaid()
    assert text.splitlines()[:4] == [
        "sequenceDiagram", "    participant p0 as web", "    participant p1 as node1", "    participant p2 as db",
    ]  # fmt: skip
    assert "p0->>p1: TCP SYN 172.18.0.2:40000 #gt; 172.18.0.3:80" in text
    assert "p1->>p2" in text


def test_a_rich_table_prints_at_any_width() -> None:
    from rich.console import Console

    trace = _trace([*crossing(), *dropped()])
    trace.finding = Finding(Verdict.TIMEOUT, ReceivedWithoutReply("node1"))
    for width in (80, 160):
        console = Console(width=width, record=True, file=io.StringIO())
        console.print(trace.rich())
        assert "TIMEOUT: node1 received it" in console.export_text()


def test_nothing_is_noted_after_the_end() -> None:
    trace = _trace(crossing())
    trace.close()
    trace.report(dropped()[1])
    assert len(trace.events) == len(crossing())


def test_work_asked_for_while_watching_carries_the_trace() -> None:
    clock, trace, seen = Clock(), Trace(), []
    with trace.watching(clock):
        clock.call_later(1.0, lambda: seen.append(clock.context))
    clock.call_later(1.0, lambda: seen.append(clock.context))
    clock.run()
    assert seen == [trace, None]


def test_a_trace_without_pandas_says_so() -> None:
    try:
        import pandas as pd
    except ImportError:
        with pytest.raises(ImportError):
            _trace(crossing()).to_frame()
    else:
        assert isinstance(_trace(crossing()).to_frame(), pd.DataFrame)


def test_a_rule_is_named_by_chain_number_and_target_and_whole_in_the_walk(tmp_path: Path) -> None:
    path = tmp_path / "lab.yml"
    rule = '-A DOCKER-USER -p tcp -m conntrack --ctorigdstport 8080 -m comment --comment "from outside" -j DROP'
    path.write_text(
        "hosts:\n  client: {addresses: [10.1.0.50/24]}\n  node1:\n    addresses: [10.1.0.11/24]\n    docker: true\n"
        f"    run:\n      - iptables -A DOCKER-USER -s 10.9.0.0/16 -j DROP\n      - 'iptables {rule}'\n"
        "    compose: {services: {web: {image: nginx, ports: ['8080:80', '8081:80']}}}\n",
        encoding="utf-8",
    )
    lab = Lab.from_file(path)
    dropped = lab.trace("client", "node1:8080")
    summary = dropped.summary(200)
    assert "cause: dropped on node1 by rule 2 of filter DOCKER-USER (DROP -p tcp --ctorigdstport 8080);" in summary
    dropping = "dropped by rule 2 of filter DOCKER-USER (DROP -p tcp --ctorigdstport 8080)"
    assert f"  node1  DNAT to 172.18.0.2:80; {dropping}\n" in f"{summary}\n"
    assert rule in dropped.text(width=300)
    assert "by rule 2 of nat DOCKER (DNAT to 172.18.0.2:80)" in lab.trace("client", "node1:8081").summary(200)
    assert [edit.changed_lines for edit in dropped.fixes[0].edits] == [(f"-      - 'iptables {rule}'",)]
