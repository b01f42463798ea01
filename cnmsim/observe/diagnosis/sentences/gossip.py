"""Sentences of causes in the gossip among nodes."""

from __future__ import annotations

from cnmsim.observe.diagnosis.causes import gossip as causes
from cnmsim.observe.diagnosis.sentences.base import TEMPLATES, _silent, sentence


@sentence.register(causes.ServiceUnknown)
def _(cause: causes.ServiceUnknown) -> str:
    return (
        f"{cause.host} has not heard of service {cause.service} on {cause.network} (its tasks are on "
        f"{', '.join(cause.nodes)})"
    )


@sentence.register(causes.PortMissingInMesh)
def _(cause: causes.PortMissingInMesh) -> str:
    return (
        f"{_silent(cause.host, f'port {cause.port}')} there: the routing mesh of {cause.host} has no port for "
        f"service {cause.service}, "
        f"which runs on {', '.join(cause.nodes)}"
    )


@sentence.register(causes.NotLearnt)
def _(cause: causes.NotLearnt) -> str:
    return f"{sentence(cause.unknown)}: {sentence(cause.reason)}"


@sentence.register(causes.GossipFiltered)
def _(cause: causes.GossipFiltered) -> str:
    return f"nodes learn this by gossip, and {' and '.join(map(sentence, cause.closed))}"


@sentence.register(causes.HeartbeatsFiltered)
def _(cause: causes.HeartbeatsFiltered) -> str:
    closed = " and ".join(map(sentence, cause.closed))
    return f"the managers receive no heartbeat from {cause.node}, as {closed}"


TEMPLATES.update(
    {
        causes.OverlayNeighbourUnknown: (
            "{0.host} does not know where {0.address} is: {0.device} of network {0.network} has no neighbour or "
            "FDB entry for it ({0.owner} on {0.owner_host})"
        ),
        causes.MemberHalted: "{0.host} takes no part in the swarm: {0.obstacle}",
        causes.ClosedPort: "{0.host} closes {0.protocols} port {0.port} ({0.rule})",
        causes.GossipSilent: "nodes learn this by gossip, and {0.host} receives none from {0.other}",
    }
)
