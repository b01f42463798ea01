"""A packet filter rule as a value: the part that iptables-save prints after `-A CHAIN`."""

from __future__ import annotations

from attrs import evolve, frozen

from cnmsim.kernel.address import Address
from cnmsim.kernel.netfilter.extension import Extension
from cnmsim.kernel.netfilter.option_values import host_mask_text, protocol_text


@frozen
class HostMatch:
    """A condition on the source or destination: address and mask, optionally inverted.

    The bits of the address outside `mask` are 0.
    """

    address: Address
    mask: int
    is_inverted: bool = False

    def __str__(self) -> str:
        return host_mask_text(self.address, self.mask)


@frozen
class NameMatch:
    """A condition on a device: an interface name or prefix (`veth+`), optionally inverted."""

    name: str
    is_inverted: bool = False

    def __str__(self) -> str:
        return self.name


@frozen(cache_hash=True)
class Rule:
    """One rule. Its canonical text is `str(rule)`; parsing this text returns an equal rule.

    `target` is None for a rule that only counts packets. If the target is a chain, `target.name` is the name of the
    chain, and `is_goto` is False for -j, True for -g. `protocol` 0 stands for any protocol. `fragment` is True for
    -f, False for ! -f, else None.
    """

    source: HostMatch | None = None
    destination: HostMatch | None = None
    in_interface: NameMatch | None = None
    out_interface: NameMatch | None = None
    protocol: int = 0
    is_protocol_inverted: bool = False
    fragment: bool | None = None
    matches: tuple[Extension, ...] = ()
    target: Extension | None = None
    is_goto: bool = False

    def __str__(self) -> str:
        return " ".join(word for word in (self.matches_text(), self.target_text()) if word)

    def with_value(self, name: str, value: str) -> Rule:
        """Return a copy in which the option `name` of every match and of the target has the value `value`.

        The value is in canonical form.
        """
        matches = tuple([match.with_value(name, value) for match in self.matches])
        return evolve(
            self, matches=matches, target=None if self.target is None else self.target.with_value(name, value)
        )

    def matches_text(self) -> str:
        """Return the rule without its target, as iptables-save prints it."""
        words = []
        for flag, value in (
            ("-s", self.source),
            ("-d", self.destination),
            ("-i", self.in_interface),
            ("-o", self.out_interface),
        ):
            if value is not None:
                words.append(f"{'! ' if value.is_inverted else ''}{flag} {value}")
        if self.protocol:
            words.append(f"{'! ' if self.is_protocol_inverted else ''}-p {protocol_text(self.protocol)}")
        if self.fragment is not None:
            words.append("-f" if self.fragment else "! -f")
        words.extend(f"-m {match.name}{match.options_text()}" for match in self.matches)
        return " ".join(words)

    def target_text(self) -> str:
        """Return the target and its options as iptables-save prints them, "" if there is no target."""
        if self.target is None:
            return ""
        return f"{'-g' if self.is_goto else '-j'} {self.target.name}{self.target.options_text()}"
