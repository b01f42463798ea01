"""Flows: what arrives, what is lost and why, how long it takes, and what links and queues do meanwhile."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnmsim import Conflict, Flow, InvalidParameter, Lab, NotFound
from cnmsim.observe.flows.result import STILL_UNDER_WAY


def three_lans(**lan: float) -> Lab:
    """Two hosts on the outer two of three LANs, with routers between them; `lan` are options of the middle one."""
    lab = Lab()
    lab.add_segment("middle", "10.0.2.0/24", **lan)
    lab.add_host("a", "10.0.1.10/24", gateway="10.0.1.1")
    lab.add_router("r1", "10.0.1.1/24", "10.0.2.1/24", routes=["10.0.3.0/24 via 10.0.2.2"])
    lab.add_router("r2", "10.0.2.2/24", "10.0.3.1/24", routes=["10.0.1.0/24 via 10.0.2.1"])
    lab.add_host("b", "10.0.3.10/24", gateway="10.0.3.1")
    lab.settle()
    return lab


def one_engine(**options: object) -> Lab:
    lab = Lab()
    lab.add_host("node1", "10.0.0.15/24", docker=options or True)
    lab.add_host("client", "10.0.0.50/24")
    docker = lab.host("node1").docker
    docker.networks.create("blue")
    docker.containers.run("alpine", "sleep infinity", name="c1", network="blue", detach=True)
    docker.containers.run("nginx", name="web", network="blue", detach=True, ports={"80/tcp": 8080, "53/udp": 5353})
    lab.settle()
    return lab


def test_a_flow_across_two_routers_takes_the_latency_of_three_links():
    report = three_lans().flow("a", "b:5000", rate_bps=8e6, size=1000, count=500)
    (flow,) = report
    assert (flow.sent, flow.delivered, flow.lost) == (500, 500, {})
    assert flow.latency.min_s == flow.latency.median_s == flow.latency.p99_s == pytest.approx(0.0003)
    assert flow.jitter_s < 1e-9
    assert flow.address == "10.0.3.10"
    assert flow.receivers == {"b": 500}
    # 500 datagrams are sent in 499 intervals of a millisecond, and the last needs 0.3 ms.
    assert flow.throughput_bps == pytest.approx(500 * 8000 / 0.4993)
    middle = report.link("middle → r2:eth0")
    assert middle.frames >= 500
    assert middle.bytes >= 500 * 1042
    assert middle.bandwidth_bps is middle.utilisation is None


def test_a_flow_by_duration_sends_at_its_rate():
    (flow,) = three_lans().flow("a", "b:5000", rate_bps=4e5, size=100, duration_s=2)
    assert flow.sent == 1000
    assert flow.duration_s == pytest.approx(1.998, abs=0.001)


def test_poisson_intervals_have_the_same_mean_and_vary():
    (flow,) = three_lans().flow("a", "b:5000", rate_bps=8e6, duration_s=2, interval="poisson")
    assert 1800 < flow.sent < 2200
    times = [message.sent_s for message in flow.messages]
    gaps = [later - sooner for sooner, later in pairwise(times)]
    assert min(gaps) < 0.0001
    assert max(gaps) > 0.003
    (again,) = three_lans().flow("a", "b:5000", rate_bps=8e6, duration_s=2, interval="poisson")
    assert [message.sent_s for message in again.messages] == times


def test_losses_are_counted_by_reason_at_the_flow_and_at_the_link():
    report = three_lans(loss=0.1).flow("a", "b:5000", rate_bps=8e6, count=2000)
    assert 140 < report.sent - report.delivered < 260
    assert report.lost == {"lost on the link": report.sent - report.delivered}
    assert report.link("middle → r2:eth0").dropped == report.lost
    lost = [message for message in report[0].messages if message.lost]
    assert len(lost) == report[0].lost_count
    assert lost[0].latency_s is None


def test_a_shaped_link_queues_what_exceeds_its_bandwidth_and_drops_what_exceeds_its_queue():
    lab = three_lans(bandwidth_bps=1e6)
    lab.segment("middle").configure(bandwidth_bps=2e6)
    report = lab.flow("a", "b:5000", rate_bps=4e6, size=958, duration_s=10)  # 1,000 bytes with headers
    (flow,) = report
    assert set(report.lost) == {"the link's queue was full"}
    link = report.link("r1:eth1 → middle")
    assert link.dropped == report.lost
    assert link.queue_max_bytes == pytest.approx(1_001_000, rel=0.01)  # queue_frames is 1000
    assert link.queue_max_s == pytest.approx(4.0, rel=0.01)
    assert max(link.queue_bytes) <= link.queue_max_bytes
    assert flow.latency.max_s == pytest.approx(4.0, rel=0.01)
    assert flow.throughput_bps == pytest.approx(2e6 * 0.958, rel=0.05)
    assert 0.95 < link.utilisation <= 1.0


def test_tcp_delivers_everything_over_a_lossy_link_by_sending_again():
    report = three_lans(loss=0.02).flow("a", "b:5000", protocol="tcp", size=1000, count=400)
    (flow,) = report
    assert (flow.sent, flow.delivered, flow.lost) == (400, 400, {})
    assert flow.retransmitted > 0
    assert flow.dropped["lost on the link"] > 0
    assert flow.reordered == 0
    assert flow.latency.max_s > 0.001 > flow.latency.min_s


def test_tcp_uses_the_bandwidth_of_a_shaped_link():
    (flow,) = three_lans(bandwidth_bps=1e7).flow("a", "b:5000", protocol="tcp", duration_s=2)
    assert 8e6 < flow.throughput_bps < 1e7
    assert not flow.error


def test_tcp_between_containers_of_a_host_ends_although_nothing_limits_it():
    report = one_engine().flow("c1", "web:5000", protocol="tcp", duration_s=0.02)
    assert report.delivered == report.sent > 100
    assert {link.name for link in report.links} >= {"c1:eth0 →", "→ web:eth0"}


def test_many_flows_run_at_once_and_may_have_equal_names():
    lab = one_engine()
    flows = [Flow("client", "node1:5353", count=20) for _ in range(3)]
    report = lab.flows([*flows, Flow("c1", "client:7000", protocol="tcp", count=5, start_s=0.01, name="back")])
    assert [flow.name for flow in report] == [f"client → node1:5353 #{number}" for number in (1, 2, 3)] + ["back"]
    assert report.delivered == report.sent == 65
    assert report.receivers == {"web": 60, "client": 5}
    assert report[3].begun_s == pytest.approx(0.01)


def test_a_flow_to_a_program_is_measured_there_and_the_program_still_serves():
    lab = one_engine()
    report = lab.flow("client", "node1:8080", protocol="tcp", count=50)
    assert report.receivers == {"web": 50}
    assert lab.host("client").curl("http://10.0.0.15:8080/").succeeded
    assert lab.clock.meter is None


def test_a_flow_through_docker_proxy_is_measured_in_the_container():
    report = one_engine().flow("node1", "127.0.0.1:8080", protocol="tcp", count=50)
    assert report.receivers == {"web": 50}
    udp = one_engine().flow("node1", "127.0.0.1:5353", count=50)
    assert udp.receivers == {"web": 50}


def test_without_a_receiver_datagrams_end_where_no_socket_listens():
    report = one_engine().flow("c1", "web:5000", count=10, receive=False)
    assert report.lost == {"no socket listens there": 10}


def test_a_packet_filter_that_drops_a_flow_is_its_reason():
    lab = three_lans()
    lab.host("r1").exec(["iptables", "-A", "FORWARD", "-p", "udp", "-j", "DROP"])
    assert lab.flow("a", "b:5000", count=10).lost == {"dropped by a packet filter rule": 10}
    lab.host("a").exec(["iptables", "-A", "OUTPUT", "-p", "udp", "--dport", "6000", "-j", "DROP"])
    assert lab.flow("a", "b:6000", count=10).lost == {"dropped by a packet filter rule": 10}


def test_a_cable_cut_under_way_ends_the_deliveries():
    lab = three_lans()
    running = lab.start_flows([Flow("a", "b:5000", rate_bps=8e5, duration_s=2)])
    lab.run(1)
    assert running.is_running
    lab.cut("b")
    report = running.finish()
    assert 95 <= report.delivered <= 105
    assert report.delivered + sum(report.lost.values()) == report.sent == 200
    assert STILL_UNDER_WAY not in report.lost
    assert running.finish() is report


def test_a_flow_without_a_route_says_so():
    lab = three_lans()
    assert lab.flow("a", "192.0.2.1:5000", count=3).lost == {"no route": 3}
    lab.add_host("lonely", "10.9.0.1/24")
    lost = lab.flow("lonely", "192.0.2.1:5000", count=3).lost
    assert lost == {"refused by the socket: Network is unreachable": 3}


def test_unresolved_names_and_refused_connections_are_errors_of_the_flow():
    lab = one_engine()
    report = lab.flows([Flow("c1", "nobody:80"), Flow("c1", "web:81", protocol="tcp", receive=False)])
    assert report[0].error == "the name nobody was not found"
    assert report[1].error == "Connection refused"
    assert report.sent == 0
    assert report.latency is None
    assert "the name nobody was not found" in str(report)


def test_fragments_of_a_datagram_count_as_one_message():
    report = three_lans(loss=0.05).flow("a", "b:5000", size=4000, rate_bps=3.2e6, count=300)
    assert report.sent == 300
    assert set(report.lost) <= {"lost on the link", "fragments missing"}
    assert 15 < sum(report.lost.values()) < 90


def test_losses_in_an_encrypted_overlay_have_their_reason():
    lab = Lab(seed=3)
    lab.add_segment("lan", "10.0.0.0/24", loss=0.0)
    lab.add_host("node1", "10.0.0.1/24", docker=True)
    lab.add_host("node2", "10.0.0.2/24", docker=True)
    one, two = lab.host("node1").docker, lab.host("node2").docker
    token = one.swarm.init(advertise_addr="10.0.0.1").tokens.worker
    two.swarm.join(token, "10.0.0.1:2377")
    lab.settle()
    one.networks.create("secret", driver="overlay", attachable=True, options={"encrypted": ""})
    one.containers.run("alpine", "sleep infinity", name="c1", network="secret", detach=True)
    two.containers.run("alpine", "sleep infinity", name="c2", network="secret", detach=True)
    lab.settle()
    lab.segment("lan").configure(loss=0.1)
    report = lab.flow("c1", "c2:5000", count=200, rate_bps=8e6)
    assert report.receivers == {"c2": report.delivered}
    assert report.lost == {"lost on the link": report.sent - report.delivered}
    assert 5 < sum(report.lost.values()) < 50


@settings(max_examples=20, deadline=None)
@given(
    loss=st.sampled_from([0.0, 0.03, 0.5]),
    bandwidth_bps=st.sampled_from([None, 5e5]),
    size=st.sampled_from([16, 31, 1000, 1473, 3000]),
    interval=st.sampled_from(["constant", "poisson"]),
    rates=st.lists(st.sampled_from([2e5, 1e6]), min_size=1, max_size=3),
)
def test_every_datagram_is_delivered_or_lost_for_a_reason(loss, bandwidth_bps, size, interval, rates):
    options = {"loss": loss} if bandwidth_bps is None else {"loss": loss, "bandwidth_bps": bandwidth_bps}
    lab = three_lans(**options)
    report = lab.flows(
        [
            Flow("a", f"b:{5000 + at}", rate_bps=rate, size=size, count=30, interval=interval)
            for at, rate in enumerate(rates)
        ]
    )
    for flow in report:
        assert flow.sent == flow.delivered + sum(flow.lost.values()) == 30
        assert len([message for message in flow.messages if message.received_s is not None]) == flow.delivered
        if flow.latency:
            assert 0.0003 <= flow.latency.min_s <= flow.latency.median_s <= flow.latency.p99_s <= flow.latency.max_s
    assert lab.clock.meter is None
    assert not any("flow" in each.name for host in lab.hosts.values() for each in host.machine.processes.values())


@pytest.mark.parametrize(
    ("source", "destination", "options", "sentence"),
    [
        ("c1", "web", {}, "web: udp needs a port from 1 to 65535"),
        ("c1", "web:80/tcp", {}, "web:80/tcp names tcp, but the flow's protocol is udp"),
        ("c1", "web:80", {"protocol": "sctp"}, "unknown protocol 'sctp': a flow is 'udp' or 'tcp'"),
        ("c1", "web:80", {"rate_bps": -1}, "rate_bps must be a number from 1 to 1e+12: -1"),
        ("c1", "web:80", {"rate_bps": float("nan")}, "rate_bps must be a number from 1 to 1e+12: nan"),
        ("c1", "web:80", {"size": 70_000}, "size must be a whole number from 16 to 65,507: 70000"),
        ("c1", "web:80", {"size": 15}, "size must be a whole number from 16 to 65,507: 15"),
        ("c1", "web:80", {"count": 2.5}, "count must be a whole number from 1 to 100,000,000: 2.5"),
        ("c1", "web:80", {"duration_s": "1"}, "duration_s must be a number from 1e-06 to 86400: '1'"),
        ("c1", "web:80", {"interval": "burst"}, "unknown interval 'burst': 'constant' or 'poisson'"),
        ("c1", "web:80", {"family": 5}, "family must be 4, 6, or 0 for either: 5"),
        ("c1", "web:80", {"rate": 5}, "a flow has no option 'rate': did you mean rate_bps?"),
        (7, "web:80", {}, "7 is no place: a host, a container, a sandbox, an endpoint or a name is"),
        ("c1", 80, {}, "the destination of a flow is text such as 'web:80', not int"),
    ],
)
def test_wrong_flows_are_refused_with_a_sentence_and_nothing_is_started(source, destination, options, sentence):
    lab = one_engine()
    processes = {each.pid for host in lab.hosts.values() for each in host.machine.processes.values()}
    now_ns = lab.clock.now_ns
    with pytest.raises(InvalidParameter) as raised:
        lab.flow(source, destination, **options)
    assert str(raised.value) == sentence
    assert {each.pid for host in lab.hosts.values() for each in host.machine.processes.values()} == processes
    assert (lab.clock.meter, lab.clock.now_ns) == (None, now_ns)


def test_flows_run_between_sandboxes_that_belong_to_no_container():
    lab = Lab()
    controller = lab.controller()
    blue = controller.new_network("blue", subnet="172.18.0.0/16")
    one, two = controller.new_sandbox("one"), controller.new_sandbox("two")
    blue.create_endpoint("one", aliases=["one"]).join(one)
    blue.create_endpoint("two", aliases=["two"]).join(two)
    lab.settle()
    report = lab.flow(one, "two:5000", count=20)
    assert report.delivered == 20
    assert report.receivers == {"two": 20}


def test_one_wrong_flow_among_many_starts_none():
    lab = one_engine()
    with pytest.raises(NotFound, match="there are: c1, client, node1, web"):
        lab.flows([Flow("c1", "web:80"), Flow("c2", "web:80")])
    with pytest.raises(InvalidParameter, match=r"a flow is a cnmsim\.Flow"):
        lab.flows([Flow("c1", "web:80"), "c1"])
    with pytest.raises(InvalidParameter, match="there are no flows to start"):
        lab.flows([])
    assert lab.clock.meter is None
    lab.host("node1").docker.containers.get("c1").stop()
    with pytest.raises(Conflict, match="c1 is not running"):
        lab.flow("c1", "web:80")


def test_a_fork_of_a_lab_with_running_flows_has_none():
    lab = one_engine()
    running = lab.start_flows([Flow("c1", "web:5000", duration_s=1)])
    lab.run(0.5)
    copy = lab.fork()
    assert copy.clock.meter is None
    assert running.finish().delivered == running.finish().sent


def test_results_are_data_frames():
    pytest.importorskip("pandas", reason="pandas is not installed")
    report = three_lans(loss=0.1).flows([Flow("a", "b:5000", count=50, name="one"), Flow("b", "a:1", count=50)])
    flows = report.to_frame()
    assert list(flows["flow"]) == ["one", "b → a:1"]
    assert list(flows["sent"]) == [50, 50]
    assert flows["delivered"].sum() + flows["lost"].sum() == 100
    packets = report.to_frame("packets")
    assert len(packets) == 100
    assert packets["latency_s"].notna().sum() == report.delivered
    links = report.to_frame("links").set_index("link")
    assert links.loc["middle → r2:eth0", "frames"] >= 40
    rates = report.to_frame("throughput")
    assert list(rates.columns) == ["one", "b → a:1"]
    step = rates.index[0]
    assert rates["one"].sum() * step / 8000 == pytest.approx(report[0].delivered)
    with pytest.raises(InvalidParameter, match="unknown frame 'link': flows, links, packets, throughput"):
        report.to_frame("link")


def test_results_are_plotted():
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    report = three_lans(bandwidth_bps=1e6).flow("a", "b:5000", rate_bps=2e6, count=50)
    figure = report.plot()
    assert [axes.get_ylabel() for axes in figure.axes] == ["throughput (Mbit/s)", "latency (ms)", "queue (kB)"]
    assert figure.axes[2].lines
    with pytest.raises(InvalidParameter, match="plot draws on three axes"):
        report.plot(figure.axes[:2])


def test_results_are_text_and_html():
    report = three_lans(bandwidth_bps=1e6).flow("a", "b:5000", rate_bps=2e6, count=50, name="<flow>")
    text = str(report)
    assert text.splitlines()[0].split()[:4] == ["FLOW", "SENT", "DELIVERED", "LOST"]
    assert "r1:eth1 → middle" in text
    html = report._repr_html_()
    assert "&lt;flow&gt;" in html
    assert "<flow>" not in html
    assert "<svg" in html
    assert "queue of" in html
    assert repr(report) == "<FlowReport 1 flows: 50 of 50 messages delivered>"
