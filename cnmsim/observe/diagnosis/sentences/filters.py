"""Sentences of causes in rule sets."""

from __future__ import annotations

from cnmsim.kernel.events import DropReason
from cnmsim.observe.diagnosis.causes import filters as causes
from cnmsim.observe.diagnosis.sentences.base import TEMPLATES, _dropped, sentence


@sentence.register(causes.Filtered)
def _(cause: causes.Filtered) -> str:
    verb = "rejected" if cause.drop.hop.reason is DropReason.NETFILTER_REJECT else "dropped"
    separator = "; " if isinstance(cause.purpose, causes.NoSharedNetwork) else ""
    purpose = f"{separator}{sentence(cause.purpose)}" if cause.purpose is not None else ""
    return _dropped(cause.drop, verb) + purpose


@sentence.register(causes.InternalNetwork)
def _(purpose: causes.InternalNetwork) -> str:
    stranger = f", and {purpose.stranger} is not on it" if purpose.stranger else ""
    return f"; {purpose.network} is internal: nothing enters or leaves it{stranger}"


@sentence.register(causes.OtherRuleSet)
def _(purpose: causes.OtherRuleSet) -> str:
    listing = "iptables-legacy -S" if purpose.is_legacy else "nft list ruleset"
    return (
        f": {purpose.place} has more than one rule set, a packet must pass all, and only {listing} lists the one "
        "that dropped it"
    )


TEMPLATES.update(
    {
        causes.NoSharedNetwork: (
            "the two share no network ({0.source} is on {0.networks!n}, {0.other} on {0.other_networks!n})"
        ),
        causes.OtherNetworkAddress: "; {0.address} is {0.container} on a network {0.source} is not on",
        causes.IccDisabled: "; containers on {0.network} must not communicate (icc is false)",
        causes.LoopbackOnly: "; the port is published on 127.0.0.1, for {0.place} itself only",
        causes.ProtectsHost: "; the firewall of {0.place} filters what comes to the host itself",
        causes.TranslatedToNobody: (
            "{0.place} rewrote the destination by {0.rule}, and no machine or container has the address {0.address}"
        ),
        causes.StraySegment: "{0.place} answers {0.packet} with a reset: it belongs to no connection there",
    }
)
