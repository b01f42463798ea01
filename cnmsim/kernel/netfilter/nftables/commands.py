"""The command language of nft, and what each command does to the tables (parser_bison.y; nf_tables_api.c).

A run is one transaction: an error takes back everything before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from attrs import define, field

from cnmsim.kernel.netfilter.hooks import ChainType, Hook
from cnmsim.kernel.netfilter.nftables.errors import NftError, NoTableError, Place, refused
from cnmsim.kernel.netfilter.nftables.lexer import Token
from cnmsim.kernel.netfilter.nftables.listcommands import ListCommands
from cnmsim.kernel.netfilter.nftables.session import EBUSY, EEXIST, ENOENT, drop, refill, unclosed
from cnmsim.kernel.netfilter.nftables.setcommands import restore
from cnmsim.kernel.netfilter.nftables.statements import Rule
from cnmsim.kernel.netfilter.nftables.tables import (
    FAMILIES,
    HOOKS,
    PRIORITIES,
    Base,
    Chain,
    RuleEntry,
    Table,
)

if TYPE_CHECKING:
    pass

_NAT_HOOKS = frozenset({Hook.PREROUTING, Hook.INPUT, Hook.OUTPUT, Hook.POSTROUTING})
#: Rules read from blocks, by family and words: who writes a chain anew writes most of its rules again.
_PARSED: dict[tuple[str, tuple[str, ...]], Rule] = {}
_MOST_PARSED = 8192


@define
class _BlockChain:
    """A chain in the block of a table, with where its rules begin in the input."""

    name: Token
    base: Base | None = None
    base_place: Place | None = None
    policy: str = ""
    comment: str = ""
    rules: list[int] = field(factory=list)


@define(eq=False)
class Run(ListCommands):
    """One run of nft over its input."""

    def all(self) -> str:
        """Do every command; give what is printed. Raises `NftError`, with nothing changed."""
        counts = self.ruleset.handle_counts()
        try:
            self.cursor.skip_separators()
            while not self.cursor.is_at_end:
                self._command()
                if not self.cursor.is_at_end and not self.cursor.accept("\n", ";"):
                    self.cursor.unexpected()
                self.cursor.skip_separators()
        except NftError as error:
            for undo in reversed(self.undos):
                undo()
            if not error.message.startswith("Could not process rule"):
                self.ruleset.restore_handles(counts)  # nft itself found the fault, and the kernel never saw a command
            raise
        return "".join(self.printed)

    # --- commands ------------------------------------------------------------------------------------------------

    def _command(self) -> None:
        cursor = self.cursor
        verbs: dict[str, Callable[[str], None]] = {
            "add": self._add, "create": self._add, "insert": self._add_rule_command, "replace": self._replace,
            "delete": self._delete, "destroy": self._delete, "flush": self._flush, "list": self._list,
            "rename": self._rename, "reset": self._list, "table": self._add,
        }  # fmt: skip
        word = cursor.text
        if word == "define":
            self._define()
        elif word == "table":
            self._add("add")
        elif word in verbs:
            cursor.take()
            verbs[word](word)
        elif word in {"monitor", "describe", "export", "import", "include", "get", "undefine", "redefine"}:
            raise refused("Operation not supported", cursor.place)
        else:
            # The scanner has read on to what follows the name of the command it does not know.
            cursor.take()
            cursor.unexpected()

    def _define(self) -> None:
        cursor = self.cursor
        cursor.take()
        name = cursor.word().text
        cursor.expect("=")
        value: list[Token] = []
        depth = 0
        while not cursor.is_at_end and (depth or cursor.text not in {"\n", ";"}):
            token = cursor.take()
            depth += {"{": 1, "}": -1}.get(token.text if token.kind == "symbol" else "", 0)
            if token.text != "\n":
                value.append(token)
        cursor.defines[name] = value

    def _add(self, verb: str) -> None:
        cursor = self.cursor
        kind = cursor.word().text
        adders: dict[str, Callable[[str], None]] = {
            "table": self._add_table, "chain": self._add_chain, "rule": self._add_rule, "set": self._add_set,
            "map": self._add_map, "element": self._add_elements,
        }  # fmt: skip
        if kind not in adders:
            raise refused("Operation not supported", cursor.last_place)
        adders[kind](verb)

    def _add_rule_command(self, verb: str) -> None:
        self.cursor.expect("rule")
        self._add_rule(verb)

    # --- tables --------------------------------------------------------------------------------------------------

    def _add_table(self, verb: str) -> None:
        cursor = self.cursor
        family = self._family()
        token = cursor.word()
        table = self.ruleset.tables.get((family, token.text))
        if table is not None and verb == "create":
            raise refused(EEXIST, token.place)
        if table is None:
            table = Table(family, token.text, self.ruleset.next_handle())
            tables = self.ruleset.tables
            key = (family, token.text)
            tables[key] = table
            self._did(lambda: drop(tables, key))
        if cursor.accept("{"):
            self._table_block(table)

    def _table_block(self, table: Table) -> None:
        """Read a table's block: chains are made first, then sets, then rules, as nft sends them to the kernel."""
        cursor = self.cursor
        chains: list[_BlockChain] = []
        sets: list[tuple[int, bool]] = []
        while True:
            cursor.skip_separators()
            if cursor.accept("}"):
                break
            if cursor.is_at_end:
                raise unclosed()
            word = cursor.take()
            if word.text == "chain":
                chains.append(self._chain_block(cursor.word()))
            elif word.text in {"set", "map"}:
                sets.append((cursor.at, word.text == "map"))
                self._skip_block()
            elif word.text == "comment":
                table.comment = cursor.word().text
            elif word.text == "flags":
                table.flags = tuple(self._words())
            else:
                raise NftError("syntax error, unexpected string", word.place)
            if cursor.text not in {"\n", ";"}:
                cursor.unexpected("newline or semicolon")
        end = cursor.at
        made = [(block, self._made_chain(table, block)) for block in chains]
        for at, is_map in sets:
            cursor.at = at
            self._set(table, "add", is_map=is_map)
        for block, chain in made:
            for at in block.rules:
                cursor.at = at
                self._block_rule(table, chain)
        cursor.at = end

    def _skip_block(self) -> None:
        cursor = self.cursor
        cursor.word()
        depth = 0
        while True:
            token = cursor.take()
            if cursor.is_at_end and token.text == "":
                raise unclosed()
            if token.kind == "symbol":
                depth += {"{": 1, "}": -1}.get(token.text, 0)
                if token.text == "}" and not depth:
                    return

    # --- chains --------------------------------------------------------------------------------------------------

    def _add_chain(self, verb: str) -> None:
        cursor = self.cursor
        table = self._table(self._family())
        name = cursor.word()
        if verb == "create" and name.text in table.chains:
            raise refused(EEXIST, name.place)
        block = self._chain_block(name) if cursor.text == "{" else _BlockChain(name)
        end = cursor.at
        chain = self._made_chain(table, block)
        for at in block.rules:
            cursor.at = at
            self._block_rule(table, chain)
        cursor.at = end

    def _chain_block(self, name: Token) -> _BlockChain:
        """Read a chain's block, and note where its rules begin."""
        cursor = self.cursor
        cursor.expect("{")
        block = _BlockChain(name)
        while True:
            cursor.skip_separators()
            if cursor.accept("}"):
                return block
            if cursor.is_at_end:
                raise unclosed()
            if cursor.text == "type":
                begin = cursor.place
                block.base = self._base()
                block.base_place = begin.to(cursor.last_place)
            elif cursor.text == "policy":
                cursor.take()
                block.policy = cursor.expect("accept", "drop").text
            elif cursor.text == "comment":
                cursor.take()
                block.comment = cursor.word().text
            else:
                block.rules.append(cursor.at)
                self._skip_rule()

    def _base(self) -> Base:
        cursor = self.cursor
        first = cursor.take().place
        kind = cursor.word()
        if kind.text not in {each.value for each in ChainType}:
            raise NftError("unknown chain type", kind.place)
        cursor.expect("hook")
        hook_token = cursor.word()
        hook = HOOKS.get(hook_token.text)
        if hook is None:
            raise NftError("unknown chain hook", hook_token.place)
        begin = cursor.expect("priority").place
        priority = self._priority(hook)
        chain_type = ChainType(kind.text)
        if (chain_type is ChainType.NAT and hook not in _NAT_HOOKS) or (
            chain_type is ChainType.ROUTE and hook is not Hook.OUTPUT
        ):
            message = f'Chain of type "{kind.text}" is not supported, perhaps kernel support is missing?'
            raise NftError(message, first.to(cursor.last_place))
        if chain_type is ChainType.NAT and priority <= -200:
            message = 'Chains of type "nat" must have a priority value above -200'
            raise NftError(message, begin.to(cursor.last_place))
        return Base(chain_type, hook, priority)

    def _priority(self, hook: Hook) -> int:
        cursor = self.cursor
        token = cursor.word()
        try:
            value = int(token.text)
        except ValueError:
            known = PRIORITIES.get(token.text)
            if known is None or hook not in known[1]:
                raise NftError("invalid priority expression value in this context.", token.place) from None
            value = known[0]
            if cursor.text in {"+", "-"}:
                sign = -1 if cursor.take().text == "-" else 1
                value += sign * cursor.number()
        return value

    def _made_chain(self, table: Table, block: _BlockChain) -> Chain:
        name, base, policy, comment = block.name, block.base, block.policy, block.comment
        chain = table.chains.get(name.text)
        if chain is not None:
            if base is not None and base != chain.base:
                what = f"Chain \"{name.text}\" already exists in table {table.family} '{table.name}'"
                raise NftError(f"{what} with different declaration", block.base_place)
            if policy and chain.base is not None and chain.policy != policy:
                before, chain.policy = chain.policy, policy
                self._did(lambda: setattr(chain, "policy", before))
            return chain
        if base is not None and not FAMILIES[table.family]:
            raise refused("Operation not supported", name.place)
        order = self.ruleset.next_order() if base is not None else 0
        chain = Chain(name.text, table.next_handle(), base, policy or "accept", comment, order)
        table.chains[chain.name] = chain
        self._did(lambda: drop(table.chains, name.text))
        return chain

    def _rename(self, verb: str) -> None:
        del verb
        cursor = self.cursor
        cursor.expect("chain")
        table = self._table(self._family())
        chain = self._chain(table)
        new = cursor.word()
        if new.text in table.chains:
            raise refused(EEXIST, new.place)
        old = chain.name
        before = table.chains
        chain.name = new.text
        table.chains = {each.name: each for each in before.values()}

        def undo() -> None:
            chain.name = old
            table.chains = before

        self._did(undo)

    # --- rules ---------------------------------------------------------------------------------------------------

    def _add_rule(self, verb: str) -> None:
        cursor = self.cursor
        begin = cursor.before(2)
        table = self._table(self._family())
        chain_token = cursor.token
        cursor.word()
        where: tuple[str, int] | None = None
        if cursor.text in {"handle", "position", "index"}:
            where = (cursor.take().text, cursor.number())
        parser = self._parser(table)
        rule = parser.rule()
        chain = table.chains.get(chain_token.text)
        if chain is None:
            raise refused(ENOENT, chain_token.place)
        whole = begin.to(cursor.place if cursor.text in {"", "\n"} else cursor.last_place)
        at = 0 if verb == "insert" else len(chain.rules)
        if where is not None:
            word, number = where
            found = number if word == "index" else chain.find(number)
            if found is None or found >= len(chain.rules):
                table.next_handle()
                raise refused(ENOENT, whole)
            at = found if verb == "insert" else found + 1
        self._put(table, chain, rule, at, whole, parser.jumps)

    def _block_rule(self, table: Table, chain: Chain) -> None:
        cursor = self.cursor
        begin = cursor.place
        end, words = cursor.statement()
        known = _PARSED.get((table.family, words))
        if known is not None:
            cursor.at = end
            self._put(table, chain, known.fresh(), len(chain.rules), begin.to(cursor.last_place), {})
            return
        parser = self._parser(table)
        rule = parser.rule()
        if rule.stands_alone and not any(word.startswith("$") for word in words):
            if len(_PARSED) >= _MOST_PARSED:
                _PARSED.clear()
            _PARSED[table.family, words] = rule.fresh()
        self._put(table, chain, rule, len(chain.rules), begin.to(cursor.last_place), parser.jumps)

    def _put(
        self,
        table: Table,
        chain: Chain,
        rule: Rule,
        at: int,
        place: Place,
        jumps: Mapping[str, Place],
        handle: int = 0,
    ) -> None:
        for _ in range(rule.anonymous_sets):
            table.next_handle()
        entry = RuleEntry(rule, handle or table.next_handle())
        self._check_rule(table, chain, rule, place, jumps)
        chain.rules.insert(at, entry)
        self._did(lambda: chain.rules.remove(entry))
        self._check_loops(table, rule, place)

    def _check_rule(self, table: Table, chain: Chain, rule: Rule, place: Place, jumps: Mapping[str, Place]) -> None:
        """Refuse what the kernel refuses: jumps to nowhere or to base chains, translations out of place."""
        for statement in rule.statements:
            for name in statement.chains():
                self._check_jump(table, name, jumps.get(name, place))
        if rule.translates and chain.base is not None and not _may_translate(chain.base, rule):
            raise refused("Operation not supported", place)

    def _handle_of(self, chain: Chain, begin: Place) -> int:
        cursor = self.cursor
        del begin
        if not cursor.accept("handle"):
            cursor.unexpected("handle")
        place = cursor.place
        at = chain.find(cursor.number())
        if at is None:
            raise refused(ENOENT, place)
        return at

    def _replace(self, verb: str) -> None:
        del verb
        cursor = self.cursor
        begin = cursor.last_place
        cursor.expect("rule")
        table = self._table(self._family())
        chain = self._chain(table)
        at = self._handle_of(chain, begin)
        parser = self._parser(table)
        rule = parser.rule()
        handle = chain.rules[at].handle
        self._take_rule(chain, at)
        self._put(table, chain, rule, at, begin.to(cursor.last_place), parser.jumps, handle)

    def _take_rule(self, chain: Chain, at: int) -> None:
        entry = chain.rules.pop(at)
        self._did(lambda: chain.rules.insert(at, entry))

    # --- taking away ---------------------------------------------------------------------------------------------

    def _delete(self, verb: str) -> None:
        cursor = self.cursor
        kind = cursor.word().text
        deleters: dict[str, Callable[[], None]] = {
            "table": self._delete_table, "chain": self._delete_chain, "rule": self._delete_rule,
            "set": self._delete_set, "map": self._delete_set, "element": self._delete_elements,
        }  # fmt: skip
        if kind not in deleters:
            raise refused("Operation not supported", cursor.last_place)
        try:
            deleters[kind]()
        except NftError as error:
            is_missing = ENOENT in error.message and (kind == "table" or not isinstance(error, NoTableError))
            if verb != "destroy" or not is_missing:
                raise
            self._skip_rule()

    def _delete_table(self) -> None:
        theirs = self._iptables_table()
        if theirs is not None:
            self._did(self.ruleset.drop_iptables(theirs.family, theirs.name))
            return
        table = self._table(self._family())
        tables = self.ruleset.tables
        before = dict(tables)
        del tables[table.family, table.name]
        self._did(lambda: refill(tables, before))

    def _delete_chain(self) -> None:
        table = self._table(self._family())
        place = self.cursor.place
        chain = self._chain(table)
        if table.references(chain.name):
            raise refused(EBUSY, place)
        before = dict(table.chains)
        del table.chains[chain.name]
        self._did(lambda: refill(table.chains, before))

    def _delete_rule(self) -> None:
        begin = self.cursor.last_place
        table = self._table(self._family())
        chain = self._chain(table)
        self._take_rule(chain, self._handle_of(chain, begin))

    def _flush(self, verb: str) -> None:
        del verb
        cursor = self.cursor
        kind = cursor.word()
        if kind.text == "ruleset":
            family = self._family() if cursor.text in FAMILIES else ""
            tables = self.ruleset.tables
            before = dict(tables)
            for key in [key for key in tables if family in {"", key[0]}]:
                del tables[key]
            self._did(lambda: refill(tables, before))
            for number, name in ((4, "ip"), (6, "ip6")):
                if family in {"", name}:
                    self._did(self.ruleset.drop_iptables(number))
        elif kind.text == "table":
            for chain in self._table(self._family()).chains.values():
                self._flush_chain(chain)
        elif kind.text == "chain":
            self._flush_chain(self._chain(self._table(self._family())))
        elif kind.text in {"set", "map"}:
            elements = self._find_set(self._table(self._family())).elements
            copy = elements.copy()
            elements.clear()
            self._did(lambda: restore(elements, copy))
        else:
            raise NftError("syntax error, unexpected string", kind.place)

    def _flush_chain(self, chain: Chain) -> None:
        before = chain.rules
        chain.rules = []

        def undo() -> None:
            chain.rules = before

        self._did(undo)


def _may_translate(base: Base, rule: Rule) -> bool:
    """Tell whether the kernel takes a rule's translations in a base chain (nft_nat_validate and its like)."""
    if base.type is not ChainType.NAT:
        return False
    kinds = {getattr(each, "kind", "") for each in rule.statements if each.translates}
    places = {
        "dnat": {Hook.PREROUTING, Hook.OUTPUT}, "redirect": {Hook.PREROUTING, Hook.OUTPUT},
        "snat": {Hook.POSTROUTING, Hook.INPUT}, "masquerade": {Hook.POSTROUTING},
    }  # fmt: skip
    return all(base.hook in places[kind] for kind in kinds)
