"""The command language of nft: dispatch to the commands on tables, chains, rules and sets.

Source: nftables src/parser_bison.y; Linux nf_tables_api.c.

The input is one transaction: an error undoes all commands before it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import define, field

from cnmsim.kernel.netfilter.nftables.chaincommands import ChainBlock, ChainCommands
from cnmsim.kernel.netfilter.nftables.cursor import Cursor
from cnmsim.kernel.netfilter.nftables.errors import NftError, NoTableError, kernel_refusal
from cnmsim.kernel.netfilter.nftables.lexer import Token
from cnmsim.kernel.netfilter.nftables.listcommands import ListCommands
from cnmsim.kernel.netfilter.nftables.rulecommands import RuleCommands
from cnmsim.kernel.netfilter.nftables.session import EEXIST, ENOENT, Session, drop, unclosed_block
from cnmsim.kernel.netfilter.nftables.setcommands import SetCommands, restore
from cnmsim.kernel.netfilter.nftables.tables import FAMILIES, Table


@define(eq=False)
class Transaction:
    """One run of nft over its input."""

    session: Session
    sets: SetCommands = field(init=False)
    rules: RuleCommands = field(init=False)
    chains: ChainCommands = field(init=False)
    lists: ListCommands = field(init=False)

    def __attrs_post_init__(self) -> None:
        session = self.session
        self.sets, self.rules, self.lists = SetCommands(session), RuleCommands(session), ListCommands(session)
        self.chains = ChainCommands(session, self.rules)

    def run(self) -> str:
        """Run all commands and return what nft prints.

        Raises `NftError` if a command fails; then nothing is changed.
        """
        return self._transaction(self._commands)

    def rewrite(self, table: tuple[str, str], chains: Mapping[str, Sequence[str]], after: str) -> None:
        """Run all commands, then append rules to chains of `table`, then run the commands in `after`.

        `table` is a family and a name. `chains` contains the text of each rule, by the name of the chain. Raises
        `NftError` if a command or rule is invalid; then nothing is changed.
        """

        def work() -> None:
            self._commands()
            owner = self.session.ruleset.tables[table]
            for name, lines in chains.items():
                self.rules.append(owner, owner.chains[name], lines)
            self.session.cursor = Cursor.over(after)
            self._commands()

        self._transaction(work)

    def _transaction(self, work: Callable[[], None]) -> str:
        session = self.session
        handle_state = session.ruleset.handle_state()
        try:
            work()
        except NftError as error:
            for undo in reversed(session.undos):
                undo()
            if not error.message.startswith("Could not process rule"):
                # nft itself detected the error before it sent any command to the kernel, so no handle was allocated.
                session.ruleset.restore_handles(handle_state)
            raise
        return "".join(session.output)

    # --- commands

    def _commands(self) -> None:
        cursor = self.session.cursor
        cursor.skip_separators()
        while not cursor.is_at_end:
            self._command()
            if not cursor.is_at_end and not cursor.accept("\n", ";"):
                cursor.unexpected()
            cursor.skip_separators()

    def _command(self) -> None:
        cursor = self.session.cursor
        verbs: dict[str, Callable[[str], None]] = {
            "add": self._add, "create": self._add, "insert": self._add_rule_command, "replace": self.rules.replace,
            "delete": self._delete, "destroy": self._delete, "flush": self._flush, "list": self.lists.list,
            "rename": self.chains.rename, "reset": self.lists.list, "table": self._add,
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
            raise kernel_refusal("Operation not supported", cursor.location)
        else:
            # nft's scanner has read one token past the unknown name when it reports the error.
            cursor.take()
            cursor.unexpected()

    def _define(self) -> None:
        cursor = self.session.cursor
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
        cursor = self.session.cursor
        kind = cursor.word().text
        adders: dict[str, Callable[[str], None]] = {
            "table": self._add_table, "chain": self.chains.add, "rule": self.rules.add, "set": self.sets.add_set,
            "map": self.sets.add_map, "element": self.sets.add_elements,
        }  # fmt: skip
        if kind not in adders:
            raise kernel_refusal("Operation not supported", cursor.last_location)
        adders[kind](verb)

    def _add_rule_command(self, verb: str) -> None:
        self.session.cursor.expect("rule")
        self.rules.add(verb)

    # --- tables

    def _add_table(self, verb: str) -> None:
        cursor = self.session.cursor
        family = self.session.family()
        token = cursor.word()
        table = self.session.ruleset.tables.get((family, token.text))
        if table is not None and verb == "create":
            raise kernel_refusal(EEXIST, token.location)
        if table is None:
            table = Table(family, token.text, self.session.ruleset.next_handle())
            tables = self.session.ruleset.tables
            key = (family, token.text)
            tables[key] = table
            self.session.record_undo(lambda: drop(tables, key))
        if cursor.accept("{"):
            self._table_block(table)

    def _table_block(self, table: Table) -> None:
        """Parse the block of a table and create its content.

        As nft does, create all chains first, then the sets, then the rules.
        """
        cursor = self.session.cursor
        chains: list[ChainBlock] = []
        sets: list[tuple[int, bool]] = []
        while True:
            cursor.skip_separators()
            if cursor.accept("}"):
                break
            if cursor.is_at_end:
                raise unclosed_block()
            word = cursor.take()
            if word.text == "chain":
                chains.append(self.chains.block(cursor.word()))
            elif word.text in {"set", "map"}:
                sets.append((cursor.at, word.text == "map"))
                self._skip_block()
            elif word.text == "comment":
                table.comment = cursor.word().text
            elif word.text == "flags":
                table.flags = tuple(self.session.words())
            else:
                raise NftError("syntax error, unexpected string", word.location)
            if cursor.text not in {"\n", ";"}:
                cursor.unexpected("newline or semicolon")
        end = cursor.at
        created = [(block, self.chains.make(table, block)) for block in chains]
        for at, is_map in sets:
            cursor.at = at
            self.sets.make(table, "add", is_map=is_map)
        for block, chain in created:
            for at in block.rules:
                cursor.at = at
                self.rules.add_in_block(table, chain)
        cursor.at = end

    def _skip_block(self) -> None:
        cursor = self.session.cursor
        cursor.word()
        depth = 0
        while True:
            token = cursor.take()
            if cursor.is_at_end and token.text == "":
                raise unclosed_block()
            if token.kind == "symbol":
                depth += {"{": 1, "}": -1}.get(token.text, 0)
                if token.text == "}" and not depth:
                    return

    # --- deletion

    def _delete(self, verb: str) -> None:
        cursor = self.session.cursor
        kind = cursor.word().text
        deleters: dict[str, Callable[[], None]] = {
            "table": self._delete_table, "chain": self.chains.delete, "rule": self.rules.delete,
            "set": self.sets.delete, "map": self.sets.delete, "element": self.sets.delete_elements,
        }  # fmt: skip
        if kind not in deleters:
            raise kernel_refusal("Operation not supported", cursor.last_location)
        try:
            deleters[kind]()
        except NftError as error:
            is_missing = ENOENT in error.message and (kind == "table" or not isinstance(error, NoTableError))
            if verb != "destroy" or not is_missing:
                raise
            self.session.cursor.skip_statement()

    def _delete_table(self) -> None:
        iptables_table = self.session.iptables_table()
        if iptables_table is not None:
            self.session.record_undo(
                self.session.ruleset.delete_iptables_tables(iptables_table.family, iptables_table.name)
            )
            return
        table = self.session.table(self.session.family())
        self.session.remove_keys(self.session.ruleset.tables, (table.family, table.name))

    def _flush(self, verb: str) -> None:
        cursor = self.session.cursor
        kind = cursor.word()
        if kind.text == "ruleset":
            family = self.session.family() if cursor.text in FAMILIES else ""
            tables = self.session.ruleset.tables
            self.session.remove_keys(tables, *(key for key in tables if family in {"", key[0]}))
            for number, name in ((4, "ip"), (6, "ip6")):
                if family in {"", name}:
                    self.session.record_undo(self.session.ruleset.delete_iptables_tables(number))
        elif kind.text == "table":
            for chain in self.session.table(self.session.family()).chains.values():
                self.chains.flush(chain)
        elif kind.text == "chain":
            self.chains.flush(self.session.chain(self.session.table(self.session.family())))
        elif kind.text in {"set", "map"}:
            elements = self.session.find_set(self.session.table(self.session.family())).elements
            copy = elements.copy()
            elements.clear()
            self.session.record_undo(lambda: restore(elements, copy))
        else:
            raise NftError("syntax error, unexpected string", kind.location)
