"""The firewall of the bridge driver: its interface, and the implementation with iptables.

Source: moby `daemon/libnetwork/drivers/bridge/internal/firewaller/firewaller.go` (docker-v29.7.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from attrs import define, field, frozen

from cnmsim.errors import SystemFault
from cnmsim.kernel.address import Address
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.netfilter.errors import IptablesError
from cnmsim.kernel.netfilter.iptables import IpTables
from cnmsim.libnetwork.drivers.bridge import rules
from cnmsim.libnetwork.drivers.bridge.rules import Action, NetworkFacts, RuleOp
from cnmsim.libnetwork.options import PortBinding, TransportPort
from cnmsim.libnetwork.profile import Profile


class InstalledRules(Protocol):
    """Firewall rules that were installed together, so that they can be deleted together by `withdraw`."""

    def withdraw(self) -> None:
        """Delete the rules."""


class Firewall(Protocol):
    """A firewall backend.

    A method that adds rules returns an object that can delete them, or `None` if no rule was needed.
    """

    def start(self) -> None:
        """Install the chains and rules that exist as long as the daemon runs."""

    def set_up_user_chain(self) -> None:
        """Create the chain for the operator's own rules if it is missing, and move the jump to it to the top."""

    def open_forwarding(self, family: int) -> None:
        """Enable IP forwarding on the host for address family 4 or 6.

        Raises `SystemFault` if forwarding is disabled and the backend leaves enabling it to the operator.
        """

    def add_network(self, facts: NetworkFacts, family: int) -> InstalledRules | None:
        """Install the rules of a network for address family 4 or 6.

        Return the installed rules, or `None` if no rule was needed.
        """

    def add_endpoint(self, facts: NetworkFacts, address: Address) -> InstalledRules | None:
        """Install the rules that restrict access to a container's address.

        Return the installed rules, or `None` if no rule was needed.
        """

    def add_port(self, facts: NetworkFacts, binding: PortBinding) -> InstalledRules | None:
        """Install the rules of a published port. Return the installed rules, or `None` if no rule was needed."""

    def add_link(
        self, facts: NetworkFacts, parent: Address, child: Address, ports: Sequence[TransportPort]
    ) -> InstalledRules | None:
        """Install the rules of a legacy link (`--link`) from the container `parent` to ports of `child`.

        Return the installed rules, or `None` if no rule was needed.
        """


@define
class RuleSet:
    """Rules that were installed in the iptables tables of one address family."""

    tables: IpTables
    _written: list[RuleOp] = field(factory=list)

    def write(self, program: Iterable[RuleOp]) -> None:
        """Apply the operations `program`. If one fails, revert those already applied, and raise the error."""
        before = len(self._written)
        try:
            for op in program:
                apply_op(self.tables, op)
                self._written.append(op)
        except Exception:
            self._rollback(before)
            raise

    def withdraw(self) -> None:
        """Delete all rules of the set. Rules that no longer exist are ignored.

        A rule is deleted even if another network had installed it first. As in moby, deleting a network that shares
        docker0 therefore deletes rules of the network `bridge`.
        """
        self._rollback(0)

    def _rollback(self, keep: int) -> None:
        while len(self._written) > keep:
            op = self._written.pop()
            if op.action in {Action.APPEND, Action.INSERT} and self.tables.exists(op.table, op.chain, op.rule):
                self.tables.delete(op.table, op.chain, op.rule)


_FORWARDING_KEYS: dict[int, tuple[str, ...]] = {
    4: ("net.ipv4.ip_forward",),
    6: ("net.ipv6.conf.default.forwarding", "net.ipv6.conf.all.forwarding"),
}


@frozen(eq=False)
class IptablesFirewall:
    """The iptables backend on one host.

    `hairpin` is True if there is no userland proxy. Packets with the firewall mark `accept_fwmark` are accepted (""
    for no such mark). With `drops_by_policy` the daemon also sets the policy of the chain FORWARD to DROP when it
    enables IP forwarding. `firewall_enabled` returns True if the daemon installs rules for an address family (4 or
    6).
    """

    root: NetworkNamespace
    profile: Profile
    hairpin: bool
    accept_fwmark: str
    drops_by_policy: bool
    firewall_enabled: Callable[[int], bool]

    def start(self) -> None:
        """Create the chains that exist as long as the daemon runs."""
        for family in (4, 6):
            if self.firewall_enabled(family):
                program = rules.start_program(
                    self.profile, family, hairpin=self.hairpin, accept_fwmark=self.accept_fwmark
                )
                for op in program:
                    apply_op(self._tables(family), op)

    def set_up_user_chain(self) -> None:
        """Create DOCKER-USER if it is missing, and move the jump to it to the top of FORWARD."""
        for family in (4, 6):
            if self.firewall_enabled(family):
                for op in rules.user_chain_program(self.profile):
                    apply_op(self._tables(family), op)

    def _tables(self, family: int) -> IpTables:
        return self.root.netfilter.iptables(family)

    def open_forwarding(self, family: int) -> None:
        """If IP forwarding is disabled for address family 4 or 6, enable it and call `drop_by_policy`.

        26.1 does not call `drop_by_policy` for IPv6.
        """
        keys = _FORWARDING_KEYS[family]
        if all(self.root.sysctl_get(key) == "1" for key in keys):
            return
        for key in keys:
            self.root.sysctl_set(key, "1")
        if family == 4 or self.profile.has_forward_chain:
            self.drop_by_policy(family)

    def drop_by_policy(self, family: int) -> None:
        """Set the policy of FORWARD to DROP, if `drops_by_policy` is set and the family's firewall is enabled."""
        if self.firewall_enabled(family) and self.drops_by_policy:
            self._tables(family).set_policy("filter", "FORWARD", "DROP")

    def add_network(self, facts: NetworkFacts, family: int) -> RuleSet | None:
        """Install the rules of a network for address family 4 or 6.

        Return the installed rules, or `None` if the daemon installs no rules for that family.
        """
        if not self.firewall_enabled(family):
            return None
        written = RuleSet(self._tables(family))
        try:
            written.write(rules.network_program(self.profile, facts, family))
            for op in rules.lasting_program(self.profile, facts, family):
                apply_op(written.tables, op)
        except SystemFault as error:
            written.withdraw()
            if self.profile.has_forward_chain:
                raise
            raise SystemFault(f"Failed to Setup IP tables: {error.message}") from None
        return written

    def add_endpoint(self, facts: NetworkFacts, address: Address) -> RuleSet | None:
        """Install the rules that restrict access to a container's address.

        Return the installed rules, or `None` if the daemon installs no rules for the address's family.
        """
        return self._write(address, rules.endpoint_program(self.profile, facts, address))

    def add_port(self, facts: NetworkFacts, binding: PortBinding) -> RuleSet | None:
        """Install the rules of a published port.

        Return the installed rules, or `None` if the daemon installs no rules for the family of the host address.
        """
        assert binding.host_ip is not None
        return self._write(binding.host_ip, rules.port_program(self.profile, facts, binding))

    def add_link(
        self, facts: NetworkFacts, parent: Address, child: Address, ports: Sequence[TransportPort]
    ) -> RuleSet | None:
        """Install the rules of a legacy link (`--link`) from the container `parent` to ports of `child`.

        Return the installed rules, or `None` if the daemon installs no rules for the family of `parent`.
        """
        return self._write(parent, rules.link_program(facts, parent, child, ports))

    def _write(self, address: Address, program: Iterable[RuleOp]) -> RuleSet | None:
        family = 6 if len(address) == 16 else 4
        if not self.firewall_enabled(family):
            return None
        written = RuleSet(self._tables(family))
        written.write(program)
        return written


def apply_op(tables: IpTables, op: RuleOp) -> bool:
    """Apply one operation. Return True if it added a rule that the chain did not contain before.

    Raises `SystemFault` with the engine's message if iptables fails, for example because Docker's chains were
    deleted.
    """
    try:
        return _apply_op(tables, op)
    except IptablesError as error:
        program = "ip6tables" if tables.family == 6 else "iptables"
        letter = "-A" if op.action is Action.APPEND else "-I"
        command = f"{program} --wait -t {op.table} {letter} {op.chain} {op.wording or op.rule}"
        purpose = f"Unable to enable {op.purpose} rule: " if op.purpose else ""
        raise SystemFault(
            f"{purpose} (iptables failed: {command}: {error.text}\n (exit status {error.status}))"
        ) from None


def _apply_op(tables: IpTables, op: RuleOp) -> bool:
    if op.action is Action.NEW_CHAIN:
        if op.chain not in tables.tables[op.table].chains:
            tables.new_chain(op.table, op.chain)
        return False
    present = tables.exists(op.table, op.chain, op.rule)
    if op.action is Action.TOP:
        if present:
            tables.delete(op.table, op.chain, op.rule)
        tables.insert(op.table, op.chain, op.rule)
    elif not present:
        write = tables.append if op.action is Action.APPEND else tables.insert
        write(op.table, op.chain, op.rule)
    return not present
