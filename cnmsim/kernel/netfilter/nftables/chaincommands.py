"""The commands on chains (parser_bison.y; nf_tables_api.c: nf_tables_newchain, nf_tables_delchain)."""

from __future__ import annotations

from attrs import define, field

from cnmsim.kernel.netfilter.hooks import ChainType, Hook
from cnmsim.kernel.netfilter.nftables.errors import NftError, Place, refused
from cnmsim.kernel.netfilter.nftables.lexer import Token
from cnmsim.kernel.netfilter.nftables.rulecommands import RuleCommands
from cnmsim.kernel.netfilter.nftables.session import EBUSY, EEXIST, Session, drop, unclosed
from cnmsim.kernel.netfilter.nftables.tables import FAMILIES, HOOKS, PRIORITIES, Base, Chain, Table

_NAT_HOOKS = frozenset({Hook.PREROUTING, Hook.INPUT, Hook.OUTPUT, Hook.POSTROUTING})


@define
class BlockChain:
    """A chain in the block of a table, with where its rules begin in the input."""

    name: Token
    base: Base | None = None
    base_place: Place | None = None
    policy: str = ""
    comment: str = ""
    rules: list[int] = field(factory=list)


@define(eq=False)
class ChainCommands:
    """What a run does to chains; `rules` reads what stands in their blocks."""

    session: Session
    rules: RuleCommands

    def add(self, verb: str) -> None:
        """Do `add chain` or `create chain`. Raises `NftError`."""
        cursor = self.session.cursor
        table = self.session.table(self.session.family())
        name = cursor.word()
        if verb == "create" and name.text in table.chains:
            raise refused(EEXIST, name.place)
        block = self.block(name) if cursor.text == "{" else BlockChain(name)
        end = cursor.at
        chain = self.made(table, block)
        for at in block.rules:
            cursor.at = at
            self.rules.add_in_block(table, chain)
        cursor.at = end

    def block(self, name: Token) -> BlockChain:
        """Read a chain's block, and note where its rules begin."""
        cursor = self.session.cursor
        cursor.expect("{")
        block = BlockChain(name)
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
                self.session.skip_rule()

    def _base(self) -> Base:
        cursor = self.session.cursor
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
        cursor = self.session.cursor
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

    def made(self, table: Table, block: BlockChain) -> Chain:
        """Make the chain that a block describes, or find the one there is. Raises `NftError`."""
        name, base, policy, comment = block.name, block.base, block.policy, block.comment
        chain = table.chains.get(name.text)
        if chain is not None:
            if base is not None and base != chain.base:
                what = f"Chain \"{name.text}\" already exists in table {table.family} '{table.name}'"
                raise NftError(f"{what} with different declaration", block.base_place)
            if policy and chain.base is not None and chain.policy != policy:
                before, chain.policy = chain.policy, policy
                self.session.did(lambda: setattr(chain, "policy", before))
            return chain
        if base is not None and not FAMILIES[table.family]:
            raise refused("Operation not supported", name.place)
        order = self.session.ruleset.next_order() if base is not None else 0
        chain = Chain(name.text, table.next_handle(), base, policy or "accept", comment, order)
        table.chains[chain.name] = chain
        self.session.did(lambda: drop(table.chains, name.text))
        return chain

    def rename(self, verb: str) -> None:
        """Do `rename chain`. Raises `NftError`."""
        del verb
        cursor = self.session.cursor
        cursor.expect("chain")
        table = self.session.table(self.session.family())
        chain = self.session.chain(table)
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

        self.session.did(undo)

    def delete(self) -> None:
        """Do `delete chain`. Raises `NftError`."""
        table = self.session.table(self.session.family())
        place = self.session.cursor.place
        chain = self.session.chain(table)
        if table.references(chain.name):
            raise refused(EBUSY, place)
        self.session.take_out(table.chains, chain.name)

    def flush(self, chain: Chain) -> None:
        """Take every rule of a chain."""
        self.session.did(chain.flush())
