"""Sentences of causes of a failed name lookup."""

from __future__ import annotations

from cnmsim.kernel.events import DropReason
from cnmsim.observe.diagnosis.causes import lookups as causes
from cnmsim.observe.diagnosis.causes.base import Fact
from cnmsim.observe.diagnosis.sentences.base import TEMPLATES, _reason, _servers, sentence


@sentence.register(causes.ResolverAnswered)
def _(cause: causes.ResolverAnswered) -> str:
    if cause.reason is None:
        reason = ""
    elif cause.reason is Fact.NO_UPSTREAM_USABLE or isinstance(
        cause.reason, causes.UpstreamNotReached | causes.UpstreamResult
    ):
        reason = f"; {sentence(cause.reason)}"
    else:
        reason = f": {sentence(cause.reason)}"
    return f"{cause.server} answers {cause.result} for {cause.name}{reason}"


@sentence.register(causes.UpstreamNotReached)
def _(cause: causes.UpstreamNotReached) -> str:
    hop = cause.drop.hop
    how = f": the query was dropped on {hop.place} by {hop.decision}" if hop.decision else f" from {hop.place}"
    return f"its upstream {', '.join(cause.servers)} was not reached{how}"


@sentence.register(causes.NameServerSilent)
def _(cause: causes.NameServerSilent) -> str:
    why = f" (and would know no container): {sentence(cause.reason)}" if cause.reason is not None else ""
    return f"{_servers(cause.servers)} gave no answer{why}"


@sentence.register(causes.QueryDropped)
def _(cause: causes.QueryDropped) -> str:
    hop = cause.drop.hop
    if hop.reason is DropReason.PORT_CLOSED:
        return f"{cause.source} uses {_servers(cause.servers)} as name server, and none listens there ({hop.place})"
    by = f" by {hop.decision}" if hop.decision else ""
    return (
        f"{_servers(cause.servers)} gave no answer: the query was dropped on {hop.place}{by} ({_reason(cause.drop)})"
    )


@sentence.register(causes.NameServerUnusable)
def _(cause: causes.NameServerUnusable) -> str:
    why = "" if cause.has_network else f"; {cause.source} is attached to no network"
    return f"{cause.source} cannot ask its name server {_servers(cause.servers)}: {cause.error}{why}"


@sentence.register(causes.SharesStack)
def _(cause: causes.SharesStack) -> str:
    if cause.is_host:
        return (
            f"{cause.container} uses the network stack of {cause.owner} (network_mode: host), and has no name there"
        )
    return f"{cause.container} uses the network stack of {cause.owner}, and has no name of its own"


@sentence.register(causes.ContainerStopped)
def _(cause: causes.ContainerStopped) -> str:
    if not cause.taken_port:
        return f"{cause.container} is not running ({cause.status})"
    holder = cause.holder or "another program"
    return f"{cause.container} is not running ({cause.status}): {holder} has its port {cause.taken_port} already"


TEMPLATES.update(
    {
        causes.OtherAddressInHostsFile: (
            "{0.cause!t}; {0.name} is {0.address} by the hosts file of {0.source}, while {0.owner} has "
            "{0.owner_address}"
        ),
        causes.UpstreamResult: "{0.note}",
        causes.ProfileInactive: "service {0.service} is not started: its profile {0.profile} is not active",
        causes.ContainerNameOnHost: "a host's resolver has no container names, and {0.container} is a container",
        causes.NoNetwork: "{0.container} has no network (network_mode none)",
        causes.NoDockerNetwork: "{0.source} is on no Docker network, so Docker's resolver does not serve it",
        causes.SameNameOnOtherHost: (
            "{0.container} runs on {0.host}, and network {0.network} of {0.host} is not network {0.network} of "
            "{0.source_host}: a bridge ends at its host"
        ),
        causes.NotByThatName: "{0.container} exists, but not under that name on a network of {0.source}",
    }
)
