"""The packet filter rule or chain policy that decided, parsed from the text that the filter reports.

The kernel writes `TABLE CHAIN → CHAIN: RULE` with the rule as iptables-save or nft prints it. `iptables-legacy` and
`nft` stand in front of the tables of those programs.
"""

from __future__ import annotations

import re
from enum import Enum

from attrs import frozen

_DECISION = re.compile(
    r"(?P<legacy>iptables-legacy )?(?P<table>raw|mangle|nat|filter|security) (?P<chains>[^:]*): (?P<rule>.*)"
    r"|nft (?P<nft_table>\S+ \S+) (?P<nft_chains>[^:]*): (?P<nft_rule>.*)",
    re.DOTALL,
)
#: The table of the engine's bridge driver in nftables.
DOCKER_TABLE = "docker-bridges"
_TRANSLATES = re.compile(r"-j (DNAT|SNAT|MASQUERADE|REDIRECT)\b")
_NFT_TRANSLATES = re.compile(r"\b(dnat|snat|masquerade|redirect)\b")


class RuleSet(Enum):
    """The program whose tables a rule is in."""

    IPTABLES = "iptables"
    LEGACY = "iptables-legacy"
    NFTABLES = "nft"


@frozen
class RuleDecision:
    """A decision of a packet filter.

    `table` is the table (`filter`; of nftables with its family, `ip docker-bridges`), `chains` the chains from the
    hook's to the one that decided, `rule` the rule as its program prints it ("" for a policy), `policy` the policy of
    the first chain if that decided.
    """

    rule_set: RuleSet
    table: str
    chains: tuple[str, ...]
    rule: str = ""
    policy: str = ""

    @classmethod
    def parse(cls, text: str) -> RuleDecision | None:
        """Parse an event's decision. Return `None` for a decision of another kind (a route, a socket)."""
        match = _DECISION.fullmatch(text)
        if match is None:
            return None
        if match["nft_table"]:
            rule_set, table, chains, rule = (
                RuleSet.NFTABLES,
                match["nft_table"],
                match["nft_chains"],
                match["nft_rule"],
            )
        else:
            rule_set = RuleSet.LEGACY if match["legacy"] else RuleSet.IPTABLES
            table, chains, rule = match["table"], match["chains"], match["rule"]
        if rule.startswith("policy "):
            return cls(rule_set, table, tuple(chains.split(" → ")), policy=rule.removeprefix("policy "))
        return cls(rule_set, table, tuple(chains.split(" → ")), rule)

    @property
    def hook_chain(self) -> str:
        """The base chain, which the hook enters."""
        return self.chains[0]

    @property
    def chain(self) -> str:
        """The chain whose rule or policy decided."""
        return self.chains[-1]

    @property
    def table_label(self) -> str:
        """The table as decisions name it: `filter`, `iptables-legacy nat`, `nft ip docker-bridges`."""
        return self.table if self.rule_set is RuleSet.IPTABLES else f"{self.rule_set.value} {self.table}"

    @property
    def is_docker_nftables(self) -> bool:
        """Whether the table is the one that the engine writes with `firewall-backend: nftables`."""
        return self.rule_set is RuleSet.NFTABLES and self.table.endswith(f" {DOCKER_TABLE}")

    @property
    def is_foreign(self) -> bool:
        """Whether the table is neither Docker's own nor listed by `iptables`."""
        return self.rule_set is not RuleSet.IPTABLES and not self.is_docker_nftables

    @property
    def translates(self) -> bool:
        """Whether the rule rewrites an address."""
        if self.rule_set is RuleSet.NFTABLES:
            return bool(_NFT_TRANSLATES.search(self.rule))
        return self.table == "nat" and bool(_TRANSLATES.search(self.rule))

    def has_docker_comment(self, *comments: str) -> bool:
        """Return True for a rule of Docker's own nftables table with a comment that begins with one of `comments`."""
        return self.is_docker_nftables and any(f'comment "{comment}' in self.rule for comment in comments)
