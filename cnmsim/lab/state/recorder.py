"""Finds what has changed in a lab since its state was last written, as rows of a state database.

There is one row for each object of an engine, each object in a swarm's store, each node of a swarm, and each task,
secret or config that is assigned to a node.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field

from cnmsim.engine.cluster.snapshot import MemberDisk, raft_logs_of, save_member
from cnmsim.engine.daemon.changes import EngineChanges, Settle
from cnmsim.engine.daemon.saved_files import host_files, save_host_files
from cnmsim.lab.state.database import Key, Line, Transaction
from cnmsim.swarm.objects import Config, Secret, Task
from cnmsim.swarm.persistence.saved_state import STORE_TABLES
from cnmsim.swarm.persistence.serialization import to_plain
from cnmsim.swarm.store import Store

if TYPE_CHECKING:
    from cnmsim.engine.containers.container import Container
    from cnmsim.engine.engine import Engine
    from cnmsim.lab.lab import Lab

_Files = tuple[tuple[str, int, int, int, int, bytes | None], ...]
#: The parts of a node's state that are rows of their own: the kind of row, the field of `SavedNode`, the class.
ASSIGNED: tuple[tuple[str, str, type], ...] = (
    ("member-task", "tasks", Task),
    ("member-secret", "secrets", Secret),
    ("member-config", "configs", Config),
)


def engines_of(lab: Lab) -> dict[str, Engine]:
    """Return the engines of a lab by the names of their hosts."""
    return {name: host.engine for name, host in lab.hosts.items() if host.engine is not None}


@define(eq=False)
class Recorder:
    """Finds what has changed in a lab since its state was last written to the database.

    `source` is the path of the file from which the lab was built, `starts` the number of times that the lab has been
    served.
    """

    lab: Lab
    source: str
    starts: int
    #: The text of each row that is in the database.
    _texts: dict[Key, str] = field(factory=dict, init=False)
    _engines: dict[str, EngineChanges] = field(init=False)
    _stores: list[_StoreChanges] = field(factory=list, init=False)
    _members: dict[str, MemberDisk] = field(factory=dict, init=False)
    #: For each host, the attributes and contents of its files when they were last saved.
    _files: dict[str, _Files] = field(factory=dict, init=False)
    _is_sweep: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._engines = {
            name: EngineChanges(engine, partial(_starting, self.lab, name, engine))
            for name, engine in engines_of(self.lab).items()
        }

    @property
    def rows(self) -> Collection[Key]:
        """The keys of the rows that are in the database."""
        return self._texts.keys()

    def load(self, rows: Iterable[tuple[Key, str]]) -> None:
        """Set the rows that the database contains, each as (key, text).

        Call this before the first call of `changes`.
        """
        self._texts = dict(rows)

    def sweep(self) -> None:
        """Make the next call of `changes` check all objects, also those whose changes are not notified (files)."""
        self._is_sweep = True
        for engine in self._engines.values():
            engine.sweep()

    def changes(
        self, *, has_swarm_changes: bool = True, is_complete: bool = False, is_forced: bool = False
    ) -> tuple[Transaction, Settle] | None:
        """Return the changes to write, and a function to call with the result of writing.

        Return `None` if nothing has changed. Call the function before the next call of `changes`: with True if the
        changes were written, with False if writing failed; in the latter case the next call returns these changes
        again. Without `has_swarm_changes` swarms are not checked. With `is_complete` every object is checked. With
        `is_forced` a transaction is returned even if nothing has changed.
        """
        settlements: list[Settle] = []
        candidates: dict[Key, str | None] = {}
        dropped: list[tuple[str, str, int]] = []
        lines: list[Line] = []
        candidates.update(self._file_changes(settlements, is_complete=is_complete))
        for name, engine in self._engines.items():
            if not (is_complete or engine.has_candidates):
                continue
            changes, new_lines, settle = engine.collect(is_complete=is_complete)
            settlements.append(settle)
            for change in changes:
                candidates[name, change.kind, change.id] = None if change.data is None else _text(change.data)
            for new in new_lines:
                dropped.append((name, new.container_id, new.dropped))
                lines += [(name, new.container_id, line.time_ns, line.stream, line.text) for line in new.lines]
        if is_complete:
            self._stores, self._members = [], {}
        if has_swarm_changes or is_complete:
            candidates.update(self._swarm_changes(settlements))
        if is_complete:
            candidates.update(self._lab_rows())
            candidates.update({key: None for key in self._texts if key not in candidates})
        objects = {key: text for key, text in candidates.items() if text is not None and self._texts.get(key) != text}
        removed = [key for key, text in candidates.items() if text is None and key in self._texts]

        def settle_all(is_saved: bool) -> None:
            if is_saved:
                self._texts.update(objects)
                for key in removed:
                    del self._texts[key]
            for settle in settlements:
                settle(is_saved)

        if not (is_forced or objects or removed or lines or any(count for _, _, count in dropped)):
            settle_all(True)
            return None
        objects["", "lab", "now_ns"] = str(self.lab.clock.now_ns)
        return Transaction(objects, removed, dropped, lines), settle_all

    def _file_changes(self, settlements: list[Settle], *, is_complete: bool) -> Iterator[tuple[Key, str | None]]:
        """Yield a row with the files of each host on which files have changed.

        Only hosts whose engine has changes are checked; in a sweep or with `is_complete`, all hosts. A function is
        appended to `settlements`, to be called with True once the rows are written, or with False if writing failed.
        """
        is_sweep, self._is_sweep = self._is_sweep or is_complete, False
        seen: dict[str, _Files] = {}
        for name, host in self.lab.hosts.items():
            engine = self._engines.get(name)
            if not (is_sweep or (engine is not None and engine.has_candidates)):
                continue
            found = host_files(host.machine.files.root)
            seen[name] = tuple(
                (path, inode.mode, inode.uid, inode.gid, inode.mtime_ns, getattr(inode, "content", None))
                for path, inode in found
            )
            if is_complete or seen[name] != self._files.get(name, ()):
                yield (name, "files", ""), _text(save_host_files(found)) if found else None

        def settle(is_saved: bool) -> None:
            if is_saved:
                self._files.update(seen)

        settlements.append(settle)

    def _lab_rows(self) -> Iterator[tuple[Key, str]]:
        yield ("", "lab", "file"), _text(self.source)
        yield ("", "lab", "seed"), _text(self.lab.clock.seed)
        yield ("", "lab", "starts"), _text(self.starts)
        yield ("", "lab", "now_ns"), _text(self.lab.clock.now_ns)
        for name, engine in engines_of(self.lab).items():
            yield (name, "release", ""), _text(engine.profile.version)

    # --- swarms

    def _swarm_changes(self, settlements: list[Settle]) -> Iterator[tuple[Key, str | None]]:
        engines = engines_of(self.lab)
        logs = raft_logs_of(engines.values())
        stores = [store for store, _ in zip(self._stores, logs.stores, strict=False)]
        if [store.store for store in stores] != list(logs.stores) or len(stores) != len(self._stores):
            stores = [_StoreChanges(store, number) for number, store in enumerate(logs.stores)]
            present = {str(number) for number in range(len(stores))}
            for key in self._texts:
                if key[1] == "store" and key[2].partition("/")[0] not in present:
                    yield key, None
        known: set[Key] | None = None
        for store in stores:
            if store.is_changed:
                if known is None:
                    known = {key for key in self._texts if key[1] == "store"}
                yield from store.changes(known, settlements)
        members = {
            name: member for name, engine in engines.items() if (member := save_member(engine, logs)) is not None
        }
        for name in self._members.keys() | members.keys():
            yield from self._member_changes(name, self._members.get(name), members.get(name))

        def settle(is_saved: bool) -> None:
            if is_saved:
                self._stores, self._members = stores, members

        settlements.append(settle)

    def _member_changes(
        self, name: str, old: MemberDisk | None, new: MemberDisk | None
    ) -> Iterator[tuple[Key, str | None]]:
        if old == new:
            return
        if new is None:
            for key in self._texts:
                if key[0] == name and (key[1] == "member" or key[1].startswith("member-")):
                    yield key, None
            return
        bare = evolve(new, node=evolve(new.node, tasks=(), secrets=(), configs=()))
        yield (name, "member", ""), _text(to_plain(MemberDisk, bare))
        for kind, attribute, class_ in ASSIGNED:
            items = {item.id: item for item in getattr(new.node, attribute)}
            before = {} if old is None else {item.id: item for item in getattr(old.node, attribute)}
            for identity, item in items.items():
                if before.get(identity) is not item:
                    yield (name, kind, identity), _text(to_plain(class_, item))
            gone = before if old is not None else {key[2] for key in self._texts if key[:2] == (name, kind)}
            for identity in gone:
                if identity not in items:
                    yield (name, kind, identity), None


@define(eq=False)
class _StoreChanges:
    """Finds the changes of one store of a swarm. `number` is the store's number among the stores of the lab."""

    store: Store
    number: int
    _index: int = field(default=-1, init=False)
    _objects: dict[str, object] = field(factory=dict, init=False)

    @property
    def is_changed(self) -> bool:
        return self.store.index != self._index

    def changes(self, known: set[Key], settlements: list[Settle]) -> Iterator[tuple[Key, str | None]]:
        """Yield the rows that have changed since the last save, as (key, text); a removed object has the text `None`.

        `known` are the keys of the rows that the database has for the swarm stores of the lab. A function is appended
        to `settlements`, to be called with True once the rows are written, or with False if writing failed.
        """
        index = self.store.index
        yield ("", "store", f"{self.number}"), _text(index)
        objects: dict[str, object] = {}
        for name in STORE_TABLES:
            for item in getattr(self.store, name):
                identity = f"{self.number}/{name}/{item.id}"
                objects[identity] = item
                if self._objects.get(identity) is not item:
                    yield ("", "store", identity), _text(to_plain(type(item), item))
        prefix = f"{self.number}/"
        for key in known:
            if key[2].startswith(prefix) and key[2] not in objects:
                yield key, None

        def settle(is_saved: bool) -> None:
            if is_saved:
                self._index, self._objects = index, objects

        settlements.append(settle)


def _starting(lab: Lab, name: str, engine: Engine) -> list[Container]:
    """Return the containers of the host `name` that are about to start.

    They start when the host gets power, or when the swarm node reaches a manager.
    """
    waiting = engine.cluster.waiting
    return [*lab.hosts[name].starting, *(record for record in engine.store if waiting and record.id in waiting)]


def _text(data: Any) -> str:
    return json.dumps(data, separators=(",", ":"))
