"""The store: transactions as a whole, versions, names, and who hears of changes."""

import pytest
from attrs import evolve

from cnmsim.kernel.clock import Clock
from cnmsim.swarm.errors import NameConflict, NotLeader, ObjectExists, ObjectNotFound, SequenceConflict
from cnmsim.swarm.objects import Annotations, Network, Secret, SecretSpec, Service, ServiceSpec, Task, TaskState
from cnmsim.swarm.store import EventKind, Store


def service(object_id, name):
    return Service(object_id, ServiceSpec(Annotations(name)))


def test_a_transaction_that_fails_changes_nothing():
    store = Store(Clock())
    store.update(lambda tx: tx.create(service("a", "web")))
    index = store.index

    def fail(tx):
        tx.replace(evolve(tx.services.get("a"), pending_delete=True))
        tx.create(service("b", "db"))
        tx.delete(Service, "a")
        raise KeyError

    with pytest.raises(KeyError):
        store.update(fail)
    assert [each.id for each in store.services] == ["a"]
    assert not store.services.get("a").pending_delete
    assert store.services.by_name("WEB").id == "a"
    assert store.services.by_name("db") is None
    assert store.index == index


def test_what_the_other_managers_refuse_is_undone():
    store = Store(Clock())

    def refuse(changes):
        assert [event.kind for event in changes] == [EventKind.CREATE]
        raise NotLeader

    store.propose = refuse
    with pytest.raises(NotLeader):
        store.update(lambda tx: tx.create(service("a", "web")))
    assert len(store.services) == 0


def test_an_object_changed_meanwhile_is_out_of_sequence():
    store = Store(Clock())
    first = store.update(lambda tx: tx.create(service("a", "web")))
    store.update(lambda tx: tx.replace(evolve(first, pending_delete=True)))
    with pytest.raises(SequenceConflict, match="update out of sequence"):
        store.update(lambda tx: tx.replace(first))


def test_ids_and_names_are_taken_once():
    store = Store(Clock())
    store.update(lambda tx: tx.create(service("a", "web")))
    with pytest.raises(ObjectExists):
        store.update(lambda tx: tx.create(service("a", "other")))
    with pytest.raises(NameConflict):
        store.update(lambda tx: tx.create(service("b", "Web")))
    with pytest.raises(ObjectNotFound):
        store.update(lambda tx: tx.replace(service("c", "none")))
    store.update(lambda tx: tx.delete(Service, "a"))
    store.update(lambda tx: tx.create(service("b", "web")))


def test_transactions_do_not_nest():
    store = Store(Clock())
    with pytest.raises(RuntimeError, match="do not nest"):
        store.update(lambda tx: tx.update(lambda inner: None))


def test_watchers_hear_of_their_kinds_once_a_transaction():
    clock = Clock()
    store = Store(clock)
    heard = []
    watch = store.watch(lambda events: heard.append([(each.kind, each.object.id) for each in events]), Service)

    def change(tx):
        tx.create(service("a", "web"))
        tx.create(Secret("s", SecretSpec(Annotations("key"))))
        tx.create(service("b", "db"))

    store.update(change)
    assert heard == []
    clock.run_ready()
    assert heard == [[(EventKind.CREATE, "a"), (EventKind.CREATE, "b")]]
    store.update(lambda tx: tx.delete(Secret, "s"))
    store.update(lambda tx: tx.delete(Service, "b"))
    watch.cancel()
    clock.run_ready()
    assert len(heard) == 1


def test_indices_follow_every_change_and_its_undoing():
    store = Store(Clock())
    task = store.update(lambda tx: tx.create(Task("t", service_id="s", slot=1)))
    assert store.tasks.by_slot("s", 1) == [task]
    moved = store.update(lambda tx: tx.replace(evolve(task, node_id="n", desired_state=TaskState.RUNNING)))
    assert store.tasks.by_node("n") == [moved]
    assert store.tasks.by_node("") == []

    def fail(tx):
        tx.delete(Task, "t")
        raise KeyError

    with pytest.raises(KeyError):
        store.update(fail)
    assert store.tasks.by_service("s") == [moved]
    store.update(lambda tx: tx.delete(Task, "t"))
    assert store.tasks.by_service("s") == []
    assert store.tasks.count("node", "n") == 0


def test_the_ingress_network_is_found_by_flag_or_by_its_old_label():
    store = Store(Clock())
    assert store.networks.count("ingress", True) == 0
    old = Network("n")
    old = evolve(old, spec=evolve(old.spec, annotations=Annotations("ingress", {"com.docker.swarm.internal": ""})))
    store.update(lambda tx: tx.create(old))
    assert [each.id for each in store.networks.find("ingress", True)] == ["n"]
