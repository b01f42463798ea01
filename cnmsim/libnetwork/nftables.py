"""A table of nf_tables as the daemon maintains it: its objects, and the commands that update the kernel's table.

When a chain has changed, it is flushed and written again. This resets its counters, and deletes rules that others
have added. The rules of a chain are sorted by group, and within a group by the order in which they were added.

Source: moby `daemon/libnetwork/internal/nftables/nftables_linux.go` and its templates (docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

from attrs import define, field, frozen

from cnmsim.errors import SystemFault
from cnmsim.kernel.netfilter.nftables import NfTables, NftError


@frozen
class BaseChain:
    """A base chain. `type`, `hook` and `priority` are written as in nft, e.g. type "filter" and hook "forward"."""

    name: str
    type: str
    hook: str
    priority: str


@frozen
class Chain:
    """A regular chain, which is reached by jumps from other chains."""

    name: str


@frozen
class Rule:
    """A rule of the chain `chain`; `text` is the rule in nft syntax. Rules with a lower `group` come first.

    If `ignore_exist` is True, adding a rule that is present, or deleting one that is missing, is no error.
    """

    chain: str
    text: str
    group: int = 0
    ignore_exist: bool = False


@frozen
class VerdictMap:
    """A map from interface names to verdicts."""

    name: str


@frozen
class NamedSet:
    """A set. `typeof` is an nft expression, e.g. `ip saddr`; the elements have its type."""

    name: str
    typeof: str


@frozen
class SetElement:
    """An element of a set. Adding one that is present, or deleting one that is missing, is no error."""

    set: str
    value: str


@frozen
class Element:
    """An element of a verdict map."""

    map: str
    key: str
    verdict: str


_VERDICTS = "type ifname : verdict"

Object = BaseChain | Chain | Rule | VerdictMap | Element | NamedSet | SetElement


class Verb(Enum):
    """The operation on an object of a table: create or delete."""

    CREATE = "create"
    DELETE = "delete"


@define(eq=False)
class _ChainState:
    base: BaseChain | None
    #: Rules by group, in order of addition.
    groups: dict[int, dict[str, None]] = field(factory=dict)
    is_dirty: bool = True

    def header(self) -> str:
        base = self.base
        if base is None:
            return ""
        return f"type {base.type} hook {base.hook} priority {base.priority}; policy accept;\n"

    def lines(self) -> list[str]:
        return [rule for group in sorted(self.groups) for rule in self.groups[group]]


@define(eq=False)
class _MapState:
    """The state of a verdict map or of a set.

    `kind` is the nft keyword "map" or "set"; `type` is the type in nft syntax, such as `typeof ip saddr`.

    `elements` maps keys to verdicts; the elements of a set have "" as their value. `added` and `deleted` are the
    changes that were not yet written to the kernel; `is_dirty` is True if there are any.
    """

    kind: str
    type: str
    elements: dict[str, str] = field(factory=dict)
    added: dict[str, str] = field(factory=dict)
    deleted: dict[str, str] = field(factory=dict)
    is_dirty: bool = True


@define(eq=False)
class DaemonTable:
    """One table of the daemon in one namespace.

    At first use the kernel's table is emptied, because an earlier daemon may have filled it.
    """

    nft: NfTables
    family: str
    name: str
    _chains: dict[str, _ChainState] = field(factory=dict)
    _maps: dict[str, _MapState] = field(factory=dict)
    _dropped: list[str] = field(factory=list)
    _is_new: bool = True

    def create(self, objects: Sequence[Object]) -> list[Object]:
        """Add the objects that are missing, and return those that were added.

        Raises `SystemFault` if one of the objects cannot be added; then none of them is added.
        """
        return self._apply(Verb.CREATE, objects)

    def delete(self, objects: Sequence[Object]) -> None:
        """Delete objects, in reverse order.

        Raises `SystemFault` if one of the objects cannot be deleted; then none of them is deleted.
        """
        self._apply(Verb.DELETE, list(reversed(objects)))

    def _apply(self, verb: Verb, objects: Sequence[Object]) -> list[Object]:
        done: list[Object] = []
        try:
            for item in objects:
                if self._change(verb, item):
                    done.append(item)  # noqa: PERF401 - must be complete if the next one fails
        except SystemFault:
            self._rollback(verb, done)
            self._mark_clean()
            raise
        if not done:
            return done
        try:
            self._update()
        except NftError:
            # Another program may have deleted the table, or something in it. So recreate it.
            try:
                self._reload()
            except NftError as error:
                self._rollback(verb, done)
                self._mark_clean()
                raise SystemFault(error.message) from None
        self._mark_clean()
        return done

    def _rollback(self, verb: Verb, done: Iterable[Object]) -> None:
        opposite = Verb.DELETE if verb is Verb.CREATE else Verb.CREATE
        for item in reversed(list(done)):
            self._change(opposite, item)

    def _mark_clean(self) -> None:
        self._is_new = False
        self._dropped.clear()
        for chain in self._chains.values():
            chain.is_dirty = False
        for map_state in self._maps.values():
            map_state.is_dirty = False
            map_state.added.clear()
            map_state.deleted.clear()

    # --- the model

    def _change(self, verb: Verb, item: Object) -> bool:
        """Apply one change to this object's copy of the table, not yet to the kernel.

        Return `False` if nothing changed.
        """
        is_new = verb is Verb.CREATE
        if isinstance(item, Rule):
            return self._change_rule(item, is_new=is_new)
        if isinstance(item, Element):
            self._change_element(item.map, item.key, item.verdict, is_new=is_new)
        elif isinstance(item, SetElement):
            if (item.value in self._maps[item.set].elements) is is_new:
                return False
            self._change_element(item.set, item.value, "", is_new=is_new)
        elif isinstance(item, VerdictMap | NamedSet):
            if isinstance(item, VerdictMap) and is_new:
                self._maps[item.name] = _MapState("map", _VERDICTS)
            elif isinstance(item, NamedSet) and is_new:
                self._maps[item.name] = _MapState("set", f"typeof {item.typeof}")
            else:
                kind = self._maps.pop(item.name).kind
                self._dropped.append(f"delete {kind} {self.family} {self.name} {item.name}")
        elif is_new:
            self._chains[item.name] = _ChainState(item if isinstance(item, BaseChain) else None)
        else:
            del self._chains[item.name]
            self._dropped.append(f"delete chain {self.family} {self.name} {item.name}")
        return True

    def _change_rule(self, rule: Rule, *, is_new: bool) -> bool:
        chain = self._chains.get(rule.chain)
        if chain is None:
            raise SystemFault(f"chain '{rule.chain}' does not exist")
        group = chain.groups.setdefault(rule.group, {})
        if (rule.text in group) is is_new:
            if rule.ignore_exist:
                return False
            problem = "already exists" if is_new else "does not exist"
            raise SystemFault(f"rule {problem} in chain '{rule.chain}': {rule.text}")
        if is_new:
            group[rule.text] = None
        else:
            del group[rule.text]
        chain.is_dirty = True
        return True

    def _change_element(self, name: str, key: str, verdict: str, *, is_new: bool) -> None:
        map_state = self._maps[name]
        added, deleted = (map_state.added, map_state.deleted) if is_new else (map_state.deleted, map_state.added)
        if is_new:
            map_state.elements[key] = verdict
        else:
            map_state.elements.pop(key, None)
        if deleted.pop(key, None) is None:
            added[key] = verdict

    # --- commands

    def _update(self) -> None:
        """Write the changes to the kernel's table (incremental_update.nft.gotmpl).

        Raises `NftError` if nft refuses them.
        """
        table = f"{self.family} {self.name}"
        chains = {name: self._chains[name] for name in sorted(self._chains) if self._chains[name].is_dirty}
        maps = [(name, self._maps[name]) for name in sorted(self._maps)]
        text = f"table {table} {{\n"
        text += "".join(f"{state.kind} {name} {{\n{state.type}\n}}\n" for name, state in maps)
        text += _headers(chains) + "}\n"
        text += f"flush table {table}\n" if self._is_new else ""
        text += "".join(f"flush {state.kind} {table} {name}\n" for name, state in maps if state.is_dirty)
        text += "".join(f"flush chain {table} {name}\n" for name in chains)
        for name, map_state in maps:
            if map_state.deleted:
                text += (
                    f"delete element {table} {name} {{ {_element_texts(dict.fromkeys(map_state.deleted, ''))} }}\n"
                )
        text += "".join(f"{command}\n" for command in self._dropped)
        added = "".join(
            f"add element {table} {name} {{ {_element_texts(map_state.added)} }}\n"
            for name, map_state in maps
            if map_state.added
        )
        self._write(text, chains, added)

    def _reload(self) -> None:
        """Delete the kernel's table and write it anew (reload.nft.gotmpl). Raises `NftError` if nft refuses it."""
        table = f"{self.family} {self.name}"
        text = f"table {table} {{}}\ndelete table {table}\ntable {table} {{\n"
        for name in sorted(self._maps):
            elements = self._maps[name].elements
            listed = f"elements = {{ {_element_texts(elements)} }}\n" if elements else ""
            text += f"{self._maps[name].kind} {name} {{\n{self._maps[name].type}\n{listed}}}\n"
        chains = {name: self._chains[name] for name in sorted(self._chains)}
        self._write(text + _headers(chains) + "}\n", chains)

    def _write(self, before: str, chains: Mapping[str, _ChainState], after: str = "") -> None:
        bodies = {name: state.lines() for name, state in chains.items()}
        self.nft.rewrite((self.family, self.name), before, bodies, after)


def _headers(chains: Mapping[str, _ChainState]) -> str:
    return "".join(f"chain {name} {{\n{state.header()}}}\n" for name, state in chains.items())


def _element_texts(elements: Mapping[str, str]) -> str:
    """Format elements of a verdict map or of a set as nft does, e.g. `"br0" : jump filter`, separated by commas."""
    return ", ".join(f'"{key}" : {verdict}' if verdict else f'"{key}"' for key, verdict in sorted(elements.items()))
