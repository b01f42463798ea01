"""The nft command of one namespace: it executes commands on the tables of nf_tables and returns what nft prints."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from cnmsim.kernel.netfilter.nftables.commands import Transaction
from cnmsim.kernel.netfilter.nftables.cursor import Cursor
from cnmsim.kernel.netfilter.nftables.errors import InternalError, NftError
from cnmsim.kernel.netfilter.nftables.jsoninput import commands_of
from cnmsim.kernel.netfilter.nftables.list_options import PLAIN, ListOptions
from cnmsim.kernel.netfilter.nftables.ruleset import Ruleset
from cnmsim.kernel.netfilter.nftables.session import Session

if TYPE_CHECKING:
    from cnmsim.kernel.netfilter.netfilter import Netfilter


class NfTables(Ruleset):
    """The tables of nft in one namespace, and the commands on them. The tables of iptables are not included."""

    __slots__ = ()

    @classmethod
    def of(cls, netfilter: Netfilter) -> NfTables:
        """Return the nft tables of a namespace's packet filter.

        On first use the `NfTables` object is created and registered with the packet filter.
        """
        for source in netfilter.rule_set_sources:
            if isinstance(source, cls):
                return source
        created = cls(netfilter)
        netfilter.add_rule_set_source(created)
        return created

    def execute(self, source: str, *, options: ListOptions = PLAIN, warn: Callable[[str], None] | None = None) -> str:
        """Run all commands of `source` as one transaction and return what nft prints.

        `options` control listings; with the option `as_json`, `source` may be JSON too. `warn` is called with the
        warnings, which nft writes to stderr although the commands succeed. Raises `NftError` if a command fails; then
        nothing is changed.
        """
        commands = _commands_in_json(source) if options.as_json else None
        session = Session(self, Cursor.over(source if commands is None else commands), options)
        try:
            output = Transaction(session).run()
        except NftError as error:
            if commands is not None:
                raise InternalError(error.message) from None
            raise
        finally:
            if session.changed:
                self._netfilter.rules_changed()
        if warn is not None and any(session.warnings):
            warn("".join(session.warnings))
        return output

    def rewrite(
        self, table: tuple[str, str], before: str, chains: Mapping[str, Sequence[str]], after: str = ""
    ) -> None:
        """Run the commands of `before`, then append rules to chains of `table`, then run the commands of `after`.

        `table` is a family and a name; `chains` contains the text of each rule, by the name of the chain. Raises
        `NftError` if a command or rule is invalid; then nothing is changed.

        The result is the same as that of one run of nft with these commands and rules as input, but each distinct
        rule text is parsed only once.
        """
        session = Session(self, Cursor.over(before))
        try:
            Transaction(session).rewrite(table, chains, after)
        finally:
            if session.changed:
                self._netfilter.rules_changed()


def _commands_in_json(source: str) -> str | None:
    """Translate a JSON document into commands in nft's language. Return None if `source` is not JSON.

    Raises `InternalError` if the JSON contains no valid commands.
    """
    try:
        document = json.loads(source)
    except (ValueError, RecursionError):
        return None
    return commands_of(document)
