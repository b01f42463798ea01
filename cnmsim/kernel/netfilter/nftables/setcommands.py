"""nft's commands on sets, maps and their elements (nf_tables_api.c: nf_tables_newset, nf_tables_newsetelem)."""

from __future__ import annotations

from attrs import define

from cnmsim.kernel.netfilter.nftables import datatypes as types
from cnmsim.kernel.netfilter.nftables.datatypes import Datatype
from cnmsim.kernel.netfilter.nftables.elements import Data, ElementKey, Elements, Jump
from cnmsim.kernel.netfilter.nftables.errors import Location, NftError, kernel_refusal
from cnmsim.kernel.netfilter.nftables.keyparser import KeyParser
from cnmsim.kernel.netfilter.nftables.lexer import Token
from cnmsim.kernel.netfilter.nftables.operandparser import OperandParser
from cnmsim.kernel.netfilter.nftables.session import EBUSY, EEXIST, ENOENT, Session, drop, unclosed_block
from cnmsim.kernel.netfilter.nftables.tables import Set, Table

_SET_FLAGS = ("constant", "interval", "timeout", "dynamic")


@define(eq=False)
class SetCommands:
    """nft's commands on sets and maps."""

    session: Session

    def add_set(self, verb: str) -> None:
        """Run `add set` or `create set` (`verb` is the first word). Raises `NftError` if the command fails."""
        self.make(self.session.table(self.session.family()), verb, is_map=False)

    def add_map(self, verb: str) -> None:
        """Run `add map` or `create map` (`verb` is the first word). Raises `NftError` if the command fails."""
        self.make(self.session.table(self.session.family()), verb, is_map=True)

    def make(self, table: Table, verb: str, *, is_map: bool) -> None:
        """Parse the name and block of a set, or of a map if `is_map` is True, and create it.

        If it exists with the same type, it is extended instead. `verb` is `add` or `create`. Raises `NftError` if the
        declaration is invalid, if the existing set has another type, or if `verb` is `create` and a set of that name
        exists.
        """
        cursor = self.session.cursor
        name = cursor.word()
        if verb == "create" and name.text in table.sets:
            raise kernel_refusal(EEXIST, name.location)
        cursor.expect("{")
        set_ = Set(name.text, 0, "", Elements(()))
        elements_at: int | None = None
        while True:
            cursor.skip_separators()
            if cursor.accept("}"):
                break
            word = cursor.word()
            if word.text in {"type", "typeof"}:
                self._set_type(table, set_, is_map=is_map, of=word.text)
            elif word.text == "elements":
                cursor.expect("=")
                elements_at = cursor.at
                self._skip_braces()
            else:
                self._set_property(set_, word)
        end = cursor.at
        if not set_.key_text:
            raise NftError("set definition does not specify key", name.location)
        existing = table.sets.get(name.text)
        if existing is not None:
            if existing.key_text != set_.key_text or existing.is_map != set_.is_map:
                raise kernel_refusal(EEXIST, name.location)
            set_ = existing
        else:
            set_.handle = table.next_handle()
            table.sets[name.text] = set_
            self.session.record_undo(lambda: drop(table.sets, name.text))
        if elements_at is not None:
            cursor.at = elements_at
            self._elements_into(table, set_, "add")
        cursor.at = end

    def _skip_braces(self) -> None:
        cursor = self.session.cursor
        depth = 0
        while True:
            token = cursor.take()
            if token.kind == "symbol":
                depth += {"{": 1, "}": -1}.get(token.text, 0)
            if not depth:
                return
            if cursor.is_at_end:
                raise unclosed_block()

    def _set_type(self, table: Table, set_: Set, *, is_map: bool, of: str) -> None:
        cursor = self.session.cursor
        kinds, text = self._type_list(table, of)
        set_.key_text = f"{of} {text}"
        set_.elements = Elements(kinds)
        if not is_map:
            return
        cursor.expect(":")
        if cursor.accept("verdict"):
            set_.values, set_.value_text = (), "verdict"
        else:
            set_.values, set_.value_text = self._type_list(table, of)

    def _type_list(self, table: Table, of: str) -> tuple[tuple[Datatype, ...], str]:
        cursor = self.session.cursor
        kinds: list[Datatype] = []
        texts: list[str] = []
        while True:
            if of == "typeof":
                key = KeyParser(cursor, table.family).key()
                if key is None:
                    cursor.unexpected()
                kinds.append(key.type)
                texts.append(key.text)
            else:
                token = cursor.word()
                kind = types.BY_NAME.get(token.text)
                if kind is None:
                    raise NftError(f"unknown datatype {token.text}", token.location)
                kinds.append(kind)
                texts.append(token.text)
            if not cursor.accept("."):
                return tuple(kinds), " . ".join(texts)

    def _set_property(self, set_: Set, word: Token) -> None:
        cursor = self.session.cursor
        if word.text == "flags":
            flags = self.session.words()
            set_.flags = tuple(flag for flag in _SET_FLAGS if flag in flags)
        elif word.text in {"timeout", "gc-interval"}:
            setattr(set_, word.text.replace("-", "_"), types.time_text(types.seconds_of(cursor.word().text)))
        elif word.text == "size":
            set_.size = cursor.number()
        elif word.text == "auto-merge":
            set_.auto_merge = True
        elif word.text == "policy":
            set_.policy = cursor.word().text
        elif word.text == "comment":
            set_.comment = cursor.word().text
        else:
            raise NftError("syntax error, unexpected string", word.location)

    def add_elements(self, verb: str) -> None:
        """Run `add element` or `create element` (`verb` is the first word).

        Raises `NftError` if the command fails.
        """
        table = self.session.table(self.session.family())
        set_ = self.session.find_set(table, lookup=True)
        self._elements_into(table, set_, verb)

    def _element_list(self, table: Table, set_: Set, *, with_data: bool) -> list[tuple[ElementKey, Data, Location]]:
        cursor = self.session.cursor
        parser = OperandParser(cursor, table, self.session.ruleset.namespace)
        cursor.expect("{")
        listed: list[tuple[ElementKey, Data, Location]] = []
        while True:
            cursor.skip_newlines()
            if cursor.accept("}"):
                return listed
            begin = cursor.location
            key = parser.element_key(set_.elements.types)
            location = begin.to(cursor.last_location)
            data: Data = None
            if set_.values is not None and (with_data or cursor.text == ":"):
                cursor.expect(":")
                data = parser.data(set_.values)
            if cursor.text == "comment":
                cursor.take()
                cursor.word()
            listed.append((key, data, location))
            cursor.skip_newlines()
            if not cursor.accept(","):
                cursor.expect("}")
                return listed

    def _elements_into(self, table: Table, set_: Set, verb: str) -> None:
        elements = set_.elements
        before = elements.copy()
        cursor_location = self.session.cursor.location
        listed = self._element_list(table, set_, with_data=True)
        self.session.record_undo(lambda: restore(elements, before))
        for key, data, location in listed:
            if not set_.is_interval and any(not span.is_single for span in key):
                form = "prefix" if "/" in set_.elements.key_text(key) else "range"
                raise NftError(
                    f"You must add 'flags interval' to your set declaration if you want to add {form} elements",
                    location,
                )
            if isinstance(data, Jump):
                self.session.check_jump(table, data.chain, location)
            if key in elements and (verb == "create" or elements.get(key) != data):
                raise kernel_refusal(EEXIST, location)
            if set_.is_interval and not set_.auto_merge and key and elements.overlapping(key):
                raise NftError("interval overlaps with an existing one", location)
            elements.add(key, data)
        if set_.auto_merge:
            elements.merge_overlaps()
        if set_.values == ():
            self.session.check_loops(table, None, listed[0][2] if listed else cursor_location)

    def delete(self) -> None:
        """Run `delete set` or `delete map`. Raises `NftError` if the set does not exist or a rule uses it."""
        table = self.session.table(self.session.family())
        location = self.session.cursor.location
        set_ = self.session.find_set(table)
        if table.uses(set_.name):
            raise kernel_refusal(EBUSY, location)
        self.session.remove_keys(table.sets, set_.name)

    def delete_elements(self) -> None:
        """Run `delete element`. Raises `NftError` if an element does not exist."""
        table = self.session.table(self.session.family())
        set_ = self.session.find_set(table, lookup=True)
        elements = set_.elements
        before = elements.copy()
        listed = self._element_list(table, set_, with_data=False)
        self.session.record_undo(lambda: restore(elements, before))
        for key, _, location in listed:
            if key not in elements:
                raise kernel_refusal(ENOENT, location)
            elements.remove(key)


def restore(elements: Elements, before: Elements) -> None:
    """Reset the elements of a set to those of `before`, an earlier copy."""
    elements.clear()
    for key, data in before:
        elements.add(key, data)
