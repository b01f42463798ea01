"""The store: transactions on the objects of a cluster, and watches.

A transaction changes the tables in place. It is undone as a whole if it raises an error, or if `propose` refuses it
because the leader has no quorum. A *watch* receives the events of every committed transaction in order, at the same
instant of virtual time but after the work that is already queued. All loops of the leader are driven by watches, as
in SwarmKit by its watch queue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import Any, TypeAlias, TypeVar

from attrs import define, evolve, field, frozen

from cnmsim.kernel.clock import Clock, Timer
from cnmsim.swarm.errors import NotLeader, ObjectExists, ObjectNotFound, SequenceConflict
from cnmsim.swarm.objects import Cluster, Config, Network, Node, Secret, Service, Task
from cnmsim.swarm.store.tables import Table, TaskTable, network_table, service_table

StoreObject: TypeAlias = Cluster | Node | Service | Task | Network | Secret | Config
O = TypeVar("O", Cluster, Node, Service, Task, Network, Secret, Config)  # noqa: E741 - an object
T = TypeVar("T")


class EventKind(Enum):
    """The kind of a change: an object was created, updated or deleted."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@frozen(eq=False)
class Event:
    """A change of one object. `old` is the object before the change, or `None` if it has just been created."""

    kind: EventKind
    object: Any
    old: Any = None


@define(eq=False)
class Watch:
    """A subscription to changes of objects of the types `kinds`. `call` is called once for each transaction."""

    call: Callable[[Sequence[Event]], None]
    kinds: tuple[type, ...]
    is_active: bool = True

    def cancel(self) -> None:
        """Unsubscribe. Events that are already queued are not delivered."""
        self.is_active = False


#: A function that commits a transaction with the other managers, or raises an error to refuse it.
Propose: TypeAlias = Callable[[Sequence[Event]], None]


@define(eq=False)
class Store:
    """The objects of one cluster. `index` grows by one with each transaction that changes something.

    `propose` may raise `NotLeader` or another `StoreError`; the transaction is then undone.
    """

    clock: Clock
    propose: Propose | None = None
    #: Called when a transaction of one of the leader's loops is refused. If it is `None`, the error is raised.
    on_leadership_lost: Callable[[], None] | None = field(default=None, init=False)
    index: int = field(default=1, init=False)
    clusters: Table[Cluster] = field(factory=lambda: Table(Cluster), init=False)
    nodes: Table[Node] = field(factory=lambda: Table(Node), init=False)
    services: Table[Service] = field(factory=service_table, init=False)
    tasks: TaskTable = field(factory=TaskTable, init=False)
    networks: Table[Network] = field(factory=network_table, init=False)
    secrets: Table[Secret] = field(factory=lambda: Table(Secret, lambda item: item.name), init=False)
    configs: Table[Config] = field(factory=lambda: Table(Config, lambda item: item.name), init=False)
    _tables: dict[type, Table[Any]] = field(init=False)
    _watches: list[Watch] = field(factory=list, init=False)
    _changes: list[Event] | None = field(default=None, init=False)
    _stamped_ns: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        tables: tuple[Table[Any], ...] = (
            self.clusters,
            self.nodes,
            self.services,
            self.tasks,
            self.networks,
            self.secrets,
            self.configs,
        )
        self._tables = {table.kind: table for table in tables}

    def copy(self) -> Store:
        """Return a new store with the same objects, without watches and without `propose`."""
        duplicate = Store(self.clock)
        duplicate.index = self.index
        for kind, table in self._tables.items():
            for item in table:
                duplicate._tables[kind].replace(item.id, item)
        return duplicate

    @property
    def cluster(self) -> Cluster:
        """The cluster object. Raises `ObjectNotFound` before it is created."""
        for cluster in self.clusters:
            return cluster
        raise ObjectNotFound

    @property
    def now_ns(self) -> int:
        """The current time in nanoseconds since 1970."""
        return self.clock.unix_ns

    def _stamp(self) -> int:
        """Return the timestamp for a change: the current time, or 1 ns after the last timestamp if that is later.

        Objects are listed in the order of these timestamps.
        """
        self._stamped_ns = max(self.now_ns, self._stamped_ns + 1)
        return self._stamped_ns

    def watch(self, call: Callable[[Sequence[Event]], None], *kinds: type) -> Watch:
        """Subscribe `call`: it is called once for each transaction, with the changes of objects of the types `kinds`.

        Without `kinds` these are the changes of all objects.
        """
        watch = Watch(self.guarded(call), kinds or tuple(self._tables))
        self._watches.append(watch)
        return watch

    def call_later(self, delay_s: float, call: Callable[..., Any], *args: Any) -> Timer:
        """Call `call(*args)` after `delay_s` seconds, wrapped with `guarded`. For the leader's loops."""
        return self.clock.call_later(delay_s, self.guarded(call), *args)

    def guarded(self, call: Callable[..., Any]) -> Callable[..., None]:
        """Return a wrapper for a callback of a leader's loop.

        If the callback raises `NotLeader`, the wrapper calls `on_leadership_lost` instead of raising the error.
        """

        def run(*args: Any) -> None:
            try:
                call(*args)
            except NotLeader:
                if self.on_leadership_lost is None:
                    raise
                self.on_leadership_lost()

        return run

    def update(self, transaction: Callable[[Store], T]) -> T:
        """Call `transaction`, which may call `create`, `replace` and `delete`. Return its result.

        All changes are undone if `transaction` or `propose` raises an error. Raises `RuntimeError` if called from
        within a transaction.
        """
        if self._changes is not None:
            raise RuntimeError("transactions do not nest")
        changes: list[Event] = []
        self._changes = changes
        try:
            result = transaction(self)
            if changes and self.propose is not None:
                self.propose(changes)
        except BaseException:
            self._undo(changes)
            raise
        finally:
            self._changes = None
        if changes:
            self.index += 1
            self._publish(changes)
        return result

    def create(self, new: O) -> O:
        """Add an object and return it as stored.

        Raises `ObjectExists` if its id, `NameConflict` if its name is in use.
        """
        changes, table = self._open(new)
        if new.id in table:
            raise ObjectExists
        now = self._stamp()
        stored = evolve(new, meta=evolve(new.meta, version=self.index, created_ns=now, updated_ns=now))
        table.replace(new.id, stored)
        changes.append(Event(EventKind.CREATE, stored))
        return stored

    def replace(self, new: O) -> O:
        """Replace the object with the same id by `new`, and return it as stored.

        Raises `ObjectNotFound` if there is none, `NameConflict` if the name is in use, or `SequenceConflict` if `new`
        was derived from an outdated version.
        """
        changes, table = self._open(new)
        old = table.get(new.id)
        if old is None:
            raise ObjectNotFound
        if old.meta.version != new.meta.version:
            raise SequenceConflict
        stored = evolve(new, meta=evolve(new.meta, version=self.index, updated_ns=self._stamp()))
        table.replace(new.id, stored)
        changes.append(Event(EventKind.UPDATE, stored, old))
        return stored

    def delete(self, kind: type[O], object_id: str) -> None:
        """Delete the object of the type `kind` with the id `object_id`. Raises `ObjectNotFound` if there is none."""
        if self._changes is None:
            raise RuntimeError("no transaction")
        old = self._tables[kind].replace(object_id, None)
        if old is None:
            raise ObjectNotFound
        self._changes.append(Event(EventKind.DELETE, old, old))

    def delete_all(self, kind: type[O], object_ids: Iterable[str]) -> None:
        """Delete the objects of the type `kind` with these ids. Raises `ObjectNotFound` if one does not exist."""
        for object_id in object_ids:
            self.delete(kind, object_id)

    def _open(self, item: StoreObject) -> tuple[list[Event], Table[Any]]:
        if self._changes is None:
            raise RuntimeError("no transaction")
        return self._changes, self._tables[type(item)]

    def _undo(self, changes: Sequence[Event]) -> None:
        for event in reversed(changes):
            self._tables[type(event.object)].replace(event.object.id, event.old)

    def _publish(self, changes: Sequence[Event]) -> None:
        kinds = {type(event.object) for event in changes}
        self._watches = [watch for watch in self._watches if watch.is_active]
        for watch in self._watches:
            if kinds <= set(watch.kinds):
                self.clock.call_soon(_deliver, watch, changes)
            elif not kinds.isdisjoint(watch.kinds):
                self.clock.call_soon(_deliver, watch, [item for item in changes if type(item.object) in watch.kinds])


def _deliver(watch: Watch, changes: Sequence[Event]) -> None:
    if watch.is_active:
        watch.call(changes)
