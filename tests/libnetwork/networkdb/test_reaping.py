"""For how long deletions and attachments are remembered."""

from __future__ import annotations

from support.gossip import Cluster

REAP_PERIOD_S = 5


def test_a_deleted_entry_is_remembered_for_half_an_hour() -> None:
    cluster = Cluster(2)
    cluster.attach("n1")
    cluster.dbs[0].create_entry("t", "n1", "gone", b"x")
    cluster.settle()
    cluster.dbs[0].delete_entry("t", "n1", "gone")
    cluster.run(1800 - 3 * REAP_PERIOD_S)
    assert all(("t", "gone") in [v.slot.key for v in db.networks["n1"].view] for db in cluster.dbs)
    cluster.run(4 * REAP_PERIOD_S)
    assert not any(list(db.networks["n1"].view) for db in cluster.dbs)


def test_a_network_that_was_left_is_remembered_for_five_rounds_longer() -> None:
    cluster = Cluster(2)
    cluster.attach("n1")
    cluster.settle()
    cluster.dbs[1].leave_network("n1")
    cluster.run(1825 - 2 * REAP_PERIOD_S)
    assert "n1" in cluster.dbs[1].networks
    cluster.run(4 * REAP_PERIOD_S)
    assert "n1" not in cluster.dbs[1].networks
