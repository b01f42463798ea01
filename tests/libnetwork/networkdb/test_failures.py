"""What gossip makes of nodes that crash, links that are cut and packets that are dropped."""

from __future__ import annotations

import pytest
from support.gossip import Cluster

from cnmsim.libnetwork.networkdb.messages import Dead, State, Suspect, TableOperation
from cnmsim.libnetwork.profile import PROFILES

VERSIONS = tuple(PROFILES)


def _with_entries(count: int, version: str = "29.7.2") -> Cluster:
    cluster = Cluster(count, version)
    cluster.attach("n1")
    for number in range(count):
        cluster.dbs[number].create_entry("t", "n1", f"of{number}", b"x")
    cluster.settle()
    return cluster


def _wait(cluster: Cluster, number: int, names: set[str], limit_s: float) -> float:
    """The seconds until a node knows exactly these others (by their last digit)."""
    begun = cluster.clock.now
    cluster.clock.run(begun + limit_s, stop=lambda: cluster.active(number) == names)
    assert cluster.active(number) == names
    return cluster.clock.now - begun


@pytest.mark.parametrize("version", VERSIONS)
def test_the_entries_of_a_crashed_node_are_withdrawn_everywhere(version: str) -> None:
    cluster = _with_entries(3, version)
    cluster.crash(2)
    assert 4 < _wait(cluster, 0, {"0", "1"}, 12) < 8
    cluster.settle()
    assert set(cluster.values(0)) == set(cluster.values(1)) == {"of0", "of1"}
    last = cluster.seen[0][-1]
    assert (last.key, last.operation, last.previous) == ("of2", TableOperation.DELETE, b"x")


def test_larger_clusters_wait_for_confirmations() -> None:
    cluster = _with_entries(6)
    cluster.crash(5)
    assert 4 < _wait(cluster, 0, set("01234"), 26) < 26


def test_an_orderly_leave_is_known_at_once() -> None:
    cluster = _with_entries(3)
    cluster.dbs[2].close()
    assert _wait(cluster, 0, {"0", "1"}, 3) < 2
    assert not cluster.dbs[0].nodes.failed
    assert set(cluster.dbs[0].nodes.departed) == {"000000000002"}


def test_a_blocked_port_looks_like_a_crash_although_everything_else_works() -> None:
    cluster = _with_entries(3)
    for protocol in ("udp", "tcp"):
        cluster.iptables(2, f"-A INPUT -p {protocol} --dport 7946 -j DROP")
        cluster.iptables(2, f"-A OUTPUT -p {protocol} --dport 7946 -j DROP")
    cluster.run(40)
    assert cluster.active(0) == cluster.active(1) == {"0", "1"}
    assert cluster.active(2) == {"2"}
    assert set(cluster.values(0)) == {"of0", "of1"}
    assert set(cluster.values(2)) == {"of2"}
    cluster.iptables(2, "-F")
    cluster.run(60)
    assert cluster.active(0) == cluster.active(2) == {"0", "1", "2"}
    cluster.settle()
    assert set(cluster.values(0)) == set(cluster.values(2)) == {"of0", "of1", "of2"}


def test_probes_over_tcp_keep_a_node_in_whose_udp_is_blocked() -> None:
    cluster = _with_entries(3)
    cluster.iptables(2, "-A INPUT -p udp --dport 7946 -j DROP")
    cluster.run(60)
    assert cluster.active(0) == cluster.active(1) == cluster.active(2) == {"0", "1", "2"}
    # News do not get there by gossip, only by the next bulk sync.
    cluster.dbs[0].create_entry("t", "n1", "late", b"x")
    cluster.run(2)
    assert "late" in cluster.values(1)
    assert "late" not in cluster.values(2)
    cluster.run(90)
    assert "late" in cluster.values(2)


def test_indirect_probes_reach_around_a_path_that_is_cut() -> None:
    cluster = _with_entries(4)
    for protocol in ("udp", "tcp"):
        cluster.iptables(1, f"-A INPUT -s 10.0.0.1 -p {protocol} --dport 7946 -j DROP")
        cluster.iptables(0, f"-A INPUT -s 10.0.0.2 -p {protocol} --dport 7946 -j DROP")
    cluster.run(60)
    assert cluster.active(0) == cluster.active(1) == set("0123")


def test_loss_one_way_is_noticed_by_both_sides() -> None:
    cluster = _with_entries(2)
    # What node 1 sends is lost; it still hears node 0.
    cluster.iptables(0, "-A INPUT -s 10.0.0.2 -j DROP")
    cluster.run(30)
    assert cluster.active(0) == {"0"}
    assert cluster.active(1) == {"1"}


def test_a_partition_splits_the_cluster_and_heals() -> None:
    cluster = _with_entries(4)
    for number in (2, 3):
        cluster.unplug(number)
    cluster.run(40)
    assert cluster.active(0) == cluster.active(1) == {"0", "1"}
    assert set(cluster.values(0)) == {"of0", "of1"}
    cluster.dbs[0].create_entry("t", "n1", "meanwhile", b"x")
    cluster.run(5)
    for number in (2, 3):
        cluster.plug(number)
    cluster.settle(120)
    assert all(cluster.active(number) == set("0123") for number in range(4))
    assert all(set(cluster.values(n)) == {"of0", "of1", "of2", "of3", "meanwhile"} for n in range(4))


def test_after_a_day_only_the_bootstrap_address_brings_a_node_back() -> None:
    cluster = _with_entries(2)
    cluster.unplug(1)
    cluster.run(24 * 3600 + 60)
    assert not cluster.dbs[0].nodes.failed
    cluster.plug(1)
    cluster.run(75)
    cluster.settle()
    assert set(cluster.values(0)) == set(cluster.values(1)) == {"of0", "of1"}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_restarted_daemon_is_a_new_node_in_the_place_of_the_old(version: str) -> None:
    cluster = _with_entries(3, version)
    cluster.crash(2)
    cluster.run(1)
    cluster.start(2, name="reborn000009")
    cluster.join(2)
    cluster.settle()
    assert cluster.active(0) == {"0", "1", "9"}
    assert "000000000002" in cluster.dbs[0].nodes.departed
    cluster.attach("n1", 2)
    cluster.dbs[2].create_entry("t", "n1", "again", b"x")
    cluster.settle()
    assert set(cluster.values(0)) == {"of0", "of1", "again"}


def test_a_daemon_that_stands_still_is_missed_and_comes_back() -> None:
    cluster = _with_entries(3)
    cluster.dbs[2].process.pause()
    _wait(cluster, 0, {"0", "1"}, 20)
    cluster.dbs[2].process.unpause()
    cluster.settle(180)
    assert set(cluster.values(0)) == set(cluster.values(2)) == {"of0", "of1", "of2"}


@pytest.mark.parametrize("rumour", [Suspect, Dead])
def test_a_node_refutes_that_it_is_suspected_or_dead(rumour: type[Suspect | Dead]) -> None:
    cluster = _with_entries(3)
    accused, accuser = (cluster.dbs[number].members for number in (1, 0))
    incarnation = accused.members[accused.name].incarnation
    message = rumour(accused.name, incarnation, accuser.name)
    accused.suspect(message) if isinstance(message, Suspect) else accused.dead(message)
    cluster.clock.run_for(20)
    for db in cluster.dbs:
        member = db.members.members[accused.name]
        assert (member.state, member.incarnation) == (State.ALIVE, incarnation + 1)


def test_a_node_announces_itself_only_if_a_node_of_the_cluster_answered_its_join() -> None:
    # moby daemon/libnetwork/networkdb/cluster.go, joinCluster: "could not join the cluster" before sendNodeEvent
    cluster = Cluster(2, join=False)
    rejoiner, announced = cluster.dbs[1].rejoiner, []
    send = rejoiner.send_node_event
    rejoiner.send_node_event = lambda is_join: (announced.append(is_join), send(is_join))[1]
    cluster.unplug(0)
    cluster.join(1)
    cluster.run(30)
    assert (announced, rejoiner.pending_joins) == ([], 0)
    cluster.plug(0)
    cluster.join(1)
    cluster.settle()
    assert announced == [True]
