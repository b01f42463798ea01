"""Sentences about name lookups, silence, and refusals of an engine."""

from __future__ import annotations

from cnmsim.kernel.events import DropReason
from cnmsim.observe.diagnosis import causes
from cnmsim.observe.diagnosis.causes import Fact, UpstreamNotReached, UpstreamResult
from cnmsim.observe.diagnosis.sentences.base import _reason, _servers, sentence


@sentence.register(causes.ResolverAnswered)
def _(cause: causes.ResolverAnswered) -> str:
    if cause.reason is None:
        reason = ""
    elif cause.reason is Fact.NO_UPSTREAM_USABLE or isinstance(cause.reason, UpstreamNotReached | UpstreamResult):
        reason = f"; {sentence(cause.reason)}"
    else:
        reason = f": {sentence(cause.reason)}"
    return f"{cause.server} says {cause.result} for {cause.name}{reason}"


@sentence.register(causes.UpstreamNotReached)
def _(cause: causes.UpstreamNotReached) -> str:
    hop = cause.drop.hop
    how = f": the query was dropped on {hop.place} by {hop.decision}" if hop.decision else f" from {hop.place}"
    return f"its upstream {', '.join(cause.servers)} was not reached{how}"


@sentence.register(causes.UpstreamResult)
def _(cause: causes.UpstreamResult) -> str:
    return cause.note


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
    return f"{cause.source} cannot ask its name server {_servers(cause.servers)}: {cause.error}"


@sentence.register(causes.SharesStack)
def _(cause: causes.SharesStack) -> str:
    if cause.is_host:
        return (
            f"{cause.container} uses the network stack of {cause.owner} (network_mode: host), and has no name there"
        )
    return f"{cause.container} uses the network stack of {cause.owner}, and has no name of its own"


@sentence.register(causes.OtherAddressInHostsFile)
def _(cause: causes.OtherAddressInHostsFile) -> str:
    return (
        f"{sentence(cause.cause)}; {cause.name} is {cause.address} by the hosts file of {cause.source}, while "
        f"{cause.owner} has "
        f"{cause.owner_address}"
    )


@sentence.register(causes.DroppedWithError)
def _(cause: causes.DroppedWithError) -> str:
    return f"{sentence(cause.cause)}; {cause.reporter} answers with {cause.packet}"


@sentence.register(causes.NothingAnswered)
def _(cause: causes.NothingAnswered) -> str:
    where = f" (last seen at {cause.where}: {cause.what})" if cause.where else ""
    return f"nothing answered from {cause.endpoint}{where}"


@sentence.register(causes.PortHeldByContainer)
def _(cause: causes.PortHeldByContainer) -> str:
    return (
        f"container {cause.container} on {cause.host} has port {cause.port}/{cause.protocol} on "
        f"{cause.address or 'every address'}"
    )


@sentence.register(causes.PortHeldByProgram)
def _(cause: causes.PortHeldByProgram) -> str:
    return f"{cause.program or 'a program'} of {cause.host} itself listens on {cause.listener}"


@sentence.register(causes.PoolsExhausted)
def _(cause: causes.PoolsExhausted) -> str:
    return f"{cause.count} networks hold all default pools of {cause.host}: {', '.join(cause.examples)}, …"


@sentence.register(causes.NetworkInUse)
def _(cause: causes.NetworkInUse) -> str:
    is_many = len(cause.containers) > 1
    return (
        f"container{'s' * is_many} {', '.join(cause.containers)} {'are' if is_many else 'is'} on network "
        f"{cause.network}"
    )
