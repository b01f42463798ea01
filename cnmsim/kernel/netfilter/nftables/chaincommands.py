"""nft's commands on chains (parser_bison.y; nf_tables_api.c: nf_tables_newchain, nf_tables_delchain)."""

from __future__ import annotations

from attrs import define, field

from cnmsim.kernel.netfilter.hooks import ChainType, Hook
from cnmsim.kernel.netfilter.nftables.errors import Location, NftError, kernel_refusal
from cnmsim.kernel.netfilter.nftables.lexer import Token
from cnmsim.kernel.netfilter.nftables.rulecommands import RuleCommands
from cnmsim.kernel.netfilter.nftables.session import EBUSY, EEXIST, Session, drop, unclosed_block
from cnmsim.kernel.netfilter.nftables.tables import FAMILIES, HOOKS, PRIORITIES, BaseChainSpec, Chain, Table

_NAT_HOOKS = frozenset({Hook.PREROUTING, Hook.INPUT, Hook.OUTPUT, Hook.POSTROUTING})


@define
class ChainBlock:
    """The parsed declaration of a chain. `rules` are the positions of its rules in the input, which are parsed later.

    `base` is None for a regular chain. `base_location` is the location of the `type … hook …` line, for errors.
    """

    name: Token
    base: BaseChainSpec | None = None
    base_location: Location | None = None
    policy: str = ""
    comment: str = ""
    rules: list[int] = field(factory=list)


@define(eq=False)
class ChainCommands:
    """The nft commands on chains. `rules` parses and adds the rules in a chain's `{ … }` block."""

    session: Session
    rules: RuleCommands

    def add(self, verb: str) -> None:
        """Run `add chain` or `create chain` (`verb` is the first word). Raises `NftError` if the command fails."""
        cursor = self.session.cursor
        table = self.session.table(self.session.family())
        name = cursor.word()
        if verb == "create" and name.text in table.chains:
            raise kernel_refusal(EEXIST, name.location)
        block = self.block(name) if cursor.text == "{" else ChainBlock(name)
        end = cursor.at
        chain = self.make(table, block)
        for at in block.rules:
            cursor.at = at
            self.rules.add_in_block(table, chain)
        cursor.at = end

    def block(self, name: Token) -> ChainBlock:
        """Parse the `{ … }` block of a chain. Its rules are skipped, and their positions are stored in the result."""
        cursor = self.session.cursor
        cursor.expect("{")
        block = ChainBlock(name)
        while True:
            cursor.skip_separators()
            if cursor.accept("}"):
                return block
            if cursor.is_at_end:
                raise unclosed_block()
            if cursor.text == "type":
                begin = cursor.location
                block.base = self._base()
                block.base_location = begin.to(cursor.last_location)
            elif cursor.text == "policy":
                cursor.take()
                block.policy = cursor.expect("accept", "drop").text
            elif cursor.text == "comment":
                cursor.take()
                block.comment = cursor.word().text
            else:
                block.rules.append(cursor.at)
                cursor.skip_statement()

    def _base(self) -> BaseChainSpec:
        cursor = self.session.cursor
        first = cursor.take().location
        kind = cursor.word()
        if kind.text not in {member.value for member in ChainType}:
            raise NftError("unknown chain type", kind.location)
        cursor.expect("hook")
        hook_token = cursor.word()
        hook = HOOKS.get(hook_token.text)
        if hook is None:
            raise NftError("unknown chain hook", hook_token.location)
        begin = cursor.expect("priority").location
        priority = self._priority(hook, begin)
        chain_type = ChainType(kind.text)
        if (chain_type is ChainType.NAT and hook not in _NAT_HOOKS) or (
            chain_type is ChainType.ROUTE and hook is not Hook.OUTPUT
        ):
            message = f'Chain of type "{kind.text}" is not supported, perhaps kernel support is missing?'
            raise NftError(message, first.to(cursor.last_location))
        if chain_type is ChainType.NAT and priority <= -200:
            message = 'Chains of type "nat" must have a priority value above -200'
            raise NftError(message, begin.to(cursor.last_location))
        return BaseChainSpec(chain_type, hook, priority)

    def _priority(self, hook: Hook, begin: Location) -> int:
        cursor = self.session.cursor
        token = cursor.word()
        try:
            value = int(token.text)
        except ValueError:
            named = PRIORITIES.get(token.text)
            if named is None or hook not in named[1]:
                message = "invalid priority expression value in this context."
                raise NftError(message, begin.to(token.location)) from None
            value = named[0]
            if cursor.text in {"+", "-"}:
                sign = -1 if cursor.take().text == "-" else 1
                value += sign * cursor.number()
        return value

    def make(self, table: Table, block: ChainBlock) -> Chain:
        """Create the chain that `block` declares, or update and return the chain if it exists already.

        Raises `NftError` if the existing chain has another type, hook or priority, or if the kernel refuses the new
        one.
        """
        name, base, policy, comment = block.name, block.base, block.policy, block.comment
        chain = table.chains.get(name.text)
        if chain is not None:
            if base is not None and base != chain.base:
                message = f"Chain \"{name.text}\" already exists in table {table.family} '{table.name}'"
                raise NftError(f"{message} with different declaration", block.base_location)
            if policy and chain.base is not None and chain.policy != policy:
                before, chain.policy = chain.policy, policy
                self.session.record_undo(lambda: setattr(chain, "policy", before))
            return chain
        if base is not None and not FAMILIES[table.family]:
            raise kernel_refusal("Operation not supported", name.location)
        order = self.session.ruleset.next_order() if base is not None else 0
        chain = Chain(name.text, table.next_handle(), base, policy or "accept", comment, order)
        table.chains[chain.name] = chain
        self.session.record_undo(lambda: drop(table.chains, name.text))
        return chain

    def rename(self, verb: str) -> None:
        """Run `rename chain`.

        `verb` is not used. Raises `NftError` if the chain does not exist or the new name is in use.
        """
        cursor = self.session.cursor
        cursor.expect("chain")
        table = self.session.table(self.session.family())
        chain = self.session.chain(table)
        new = cursor.word()
        if new.text in table.chains:
            raise kernel_refusal(EEXIST, new.location)
        old = chain.name
        before = table.chains
        chain.name = new.text
        table.chains = {other.name: other for other in before.values()}

        def undo() -> None:
            chain.name = old
            table.chains = before

        self.session.record_undo(undo)

    def delete(self) -> None:
        """Run `delete chain`. Raises `NftError` if the chain does not exist or a jump refers to it."""
        table = self.session.table(self.session.family())
        location = self.session.cursor.location
        chain = self.session.chain(table)
        if table.references(chain.name):
            raise kernel_refusal(EBUSY, location)
        self.session.remove_keys(table.chains, chain.name)

    def flush(self, chain: Chain) -> None:
        """Remove all rules of a chain."""
        self.session.record_undo(chain.flush())
