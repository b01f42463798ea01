"""What the nodes of a gossip cluster come to know of each other's entries."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.gossip import Cluster

from cnmsim.errors import NotFound, SystemFault
from cnmsim.libnetwork.networkdb.convergence import first_difference, is_converged
from cnmsim.libnetwork.networkdb.messages import TableOperation
from cnmsim.libnetwork.profile import PROFILES

VERSIONS = tuple(PROFILES)


def test_an_entry_reaches_every_node_of_its_network_within_a_second() -> None:
    cluster = Cluster(4)
    cluster.attach("n1")
    cluster.dbs[0].create_entry("t", "n1", "a", b"1")
    assert cluster.settle() < 1.5
    assert [cluster.values(number) for number in range(4)] == [{"a": b"1"}] * 4
    assert [[(e.key, e.operation, e.value) for e in seen] for seen in cluster.seen[1:]] == [
        [("a", TableOperation.CREATE, b"1")]
    ] * 3
    assert cluster.seen[0] == []


def test_entries_stay_among_the_nodes_attached_to_their_network() -> None:
    cluster = Cluster(3)
    cluster.attach("n1", 0, 1)
    cluster.dbs[0].create_entry("t", "n1", "a", b"1")
    cluster.settle()
    assert cluster.values(1) == {"a": b"1"}
    assert cluster.values(2) == {}
    assert "n1" not in cluster.dbs[2].networks


def test_a_node_that_attaches_later_gets_all_entries_at_once() -> None:
    cluster = Cluster(3)
    cluster.attach("n1", 0, 1)
    for number in range(50):
        cluster.dbs[number % 2].create_entry("t", "n1", f"key{number}", b"x")
    cluster.settle()
    cluster.dbs[2].join_network("n1")
    cluster.run(0.05)
    assert len(cluster.values(2)) == 50


def test_who_joins_says_itself_that_it_is_there_before_it_says_where_it_is_attached() -> None:
    cluster = Cluster(3, join=False)
    cluster.join(1)
    cluster.settle()
    cluster.attach("n1", 0, 1)
    # Node 1 hears nothing of node 0, and could not know of whom it speaks if node 2 told of its attachment first.
    cluster.iptables(1, "-A INPUT -s 10.0.0.1 -j DROP")
    cluster.join(2)
    cluster.run(0.05)
    cluster.dbs[2].join_network("n1")
    cluster.run(1)
    assert {peer.name[-1] for peer in cluster.dbs[1].peers("n1")} == set("012")


def test_changes_and_deletions_spread() -> None:
    cluster = Cluster(3)
    cluster.attach("n1")
    cluster.dbs[0].create_entry("t", "n1", "a", b"1")
    cluster.settle()
    cluster.dbs[0].update_entry("t", "n1", "a", b"2")
    cluster.settle()
    assert cluster.values(2) == {"a": b"2"}
    cluster.dbs[0].delete_entry("t", "n1", "a")
    cluster.settle()
    assert cluster.values(2) == {}
    operations = [event.operation for event in cluster.seen[2]]
    assert operations == [TableOperation.CREATE, TableOperation.UPDATE, TableOperation.DELETE]


def test_a_deleted_entry_cannot_be_made_again_until_it_is_forgotten() -> None:
    cluster = Cluster(2)
    cluster.attach("n1")
    db = cluster.dbs[0]
    db.create_entry("t", "n1", "a", b"1")
    with pytest.raises(
        SystemFault, match=r"cannot create entry in table t with network id n1 and key a, already exists"
    ):
        db.create_entry("t", "n1", "a", b"2")
    db.delete_entry("t", "n1", "a")
    with pytest.raises(SystemFault, match="already exists"):
        db.create_entry("t", "n1", "a", b"2")
    with pytest.raises(
        SystemFault, match="cannot delete entry t with network id n1 and key a does not exist or is already"
    ):
        db.delete_entry("t", "n1", "a")
    with pytest.raises(NotFound, match="deleted and pending garbage collection"):
        db.get_entry("t", "n1", "a")
    cluster.run(1801)
    with pytest.raises(NotFound, match="could not get entry"):
        db.get_entry("t", "n1", "a")
    db.create_entry("t", "n1", "a", b"2")
    cluster.settle()
    assert cluster.values(1) == {"a": b"2"}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_node_that_leaves_a_network_takes_its_entries_with_it(version: str) -> None:
    cluster = Cluster(3, version)
    cluster.attach("n1")
    for number in range(3):
        cluster.dbs[number].create_entry("t", "n1", f"of{number}", b"x")
    cluster.settle()
    cluster.dbs[2].leave_network("n1")
    cluster.settle()
    assert set(cluster.values(0)) == set(cluster.values(1)) == {"of0", "of1"}
    assert cluster.values(2) == {}
    remembered = cluster.dbs[0].networks["n1"].view.get(("t", "of2"))
    assert (remembered is not None) == PROFILES[version].networkdb_keeps_tombstones_of_leavers
    cluster.attach("n1", 2)
    assert set(cluster.values(2)) == {"of0", "of1"}


def test_a_network_is_joined_once() -> None:
    db = Cluster(1).dbs[0]
    db.join_network("n1")
    with pytest.raises(SystemFault, match="networkdb: network n1 is already joined"):
        db.join_network("n1")


def test_a_wrong_key_keeps_a_node_out() -> None:
    cluster = Cluster(2, join=False)
    cluster.dbs[1].stop()
    cluster.start(1, "stranger", keys=[b"o" * 16])
    cluster.join(1)
    cluster.run(30)
    assert set(cluster.dbs[0].nodes.active) == {"000000000000"}
    assert set(cluster.dbs[1].nodes.active) == {"stranger"}


def test_keys_may_be_rotated_under_way() -> None:
    cluster = Cluster(3)
    cluster.attach("n1")
    for step in ("add", "use", "remove"):
        for db in cluster.dbs:
            getattr(db.keyring, step)(b"n" * 16 if step != "remove" else b"k" * 16)
            cluster.run(0.7)
    cluster.dbs[0].create_entry("t", "n1", "a", b"1")
    cluster.settle()
    assert cluster.values(2) == {"a": b"1"}
    assert all(db.keyring.keys == [b"n" * 16] for db in cluster.dbs)


def test_gossip_is_opaque_and_of_the_right_size_on_the_wire() -> None:
    cluster = Cluster(2)
    frames: list[bytes] = []
    cluster.segment.taps = (lambda _time, _direction, frame: frames.append(frame),)
    cluster.attach("secret-network")
    cluster.dbs[0].create_entry("t", "secret-network", "key", b"v" * 300)
    cluster.settle()
    assert not any(b"secret-network" in frame or b"vvvv" in frame for frame in frames)
    assert any(42 + 300 < len(frame) < 42 + 500 for frame in frames)


def test_a_quiet_cluster_sends_probes_and_nothing_else() -> None:
    cluster = Cluster(3)
    cluster.run(20)
    sizes: list[int] = []
    cluster.segment.taps = (lambda _time, direction, frame: direction == "in" and sizes.append(len(frame)),)
    begun = cluster.clock.now
    cluster.run(10)
    assert cluster.clock.now - begun == 10
    probes = [size for size in sizes if size < 200]
    # A ping and its acknowledgement per second and node; a push/pull of one of the three may fall into this time too.
    assert 3 * 10 * 2 * 0.8 <= len([size for size in probes if size > 70]) <= 3 * 10 * 2 + 40


@pytest.mark.parametrize("version", VERSIONS)
@settings(max_examples=12)
@given(
    actions=st.lists(
        st.tuples(
            st.sampled_from(["create", "update", "delete", "leave", "join", "pause"]),
            st.integers(0, 3),
            st.sampled_from(["n1", "n2"]),
            st.integers(0, 2),
        ),
        max_size=25,
    )
)
def test_all_nodes_end_up_with_the_same_view(version: str, actions: list[tuple[str, int, str, int]]) -> None:
    cluster = Cluster(4, version)
    cluster.attach("n1")
    for action, number, network, key in actions:
        db = cluster.dbs[number]
        tables = db.networks.get(network)
        is_attached = tables is not None and not tables.is_leaving
        name = f"{number}-{key}"
        entry = tables.view.get(("t", name)) if is_attached and tables is not None else None
        if action == "create" and is_attached and entry is None:
            db.create_entry("t", network, name, b"new")
        elif action == "update" and entry is not None and not entry.is_deleted:
            db.update_entry("t", network, name, b"changed")
        elif action == "delete" and entry is not None and not entry.is_deleted:
            db.delete_entry("t", network, name)
        elif action == "leave" and is_attached:
            db.leave_network(network)
        elif action == "join" and not is_attached:
            db.join_network(network)
        elif action == "pause":
            cluster.run(0.3)
    cluster.settle(300)
    assert is_converged(cluster.clock)
    assert first_difference(cluster.dbs) == ""
    for network in ("n1", "n2"):
        attached = [db for db in cluster.dbs if network in db.networks and not db.networks[network].is_leaving]
        assert len({str(sorted(db.entries("t", network).items())) for db in attached}) <= 1
