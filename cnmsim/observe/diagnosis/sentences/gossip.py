"""Sentences of causes in the gossip among nodes."""

from __future__ import annotations

from cnmsim.observe.diagnosis.causes import gossip as causes
from cnmsim.observe.diagnosis.sentences.base import TEMPLATES, _silent, sentence


@sentence.register(causes.GossipFiltered)
def _(cause: causes.GossipFiltered) -> str:
    return f"nodes learn this by gossip, and {' and '.join(map(sentence, cause.closed))}"


@sentence.register(causes.HeartbeatsFiltered)
def _(cause: causes.HeartbeatsFiltered) -> str:
    closed = " and ".join(map(sentence, cause.closed))
    return f"the managers receive no heartbeat from {cause.node}, as {closed}"


TEMPLATES.update(
    {
        causes.ServiceUnknown: (
            "{0.host} has not heard of service {0.service} on {0.network} (its tasks are on {0.nodes!j})"
        ),
        causes.PortMissingInMesh: _silent("{0.host}", "port {0.port}")
        + (" there: the routing mesh of {0.host} has no port for service {0.service}, which runs on {0.nodes!j}"),
        causes.NotLearnt: "{0.unknown!t}: {0.reason!t}",
        causes.OverlayNeighbourUnknown: (
            "{0.host} does not know where {0.address} is: {0.device} of network {0.network} has no neighbour or "
            "FDB entry for it ({0.owner} on {0.owner_host})"
        ),
        causes.MemberHalted: "{0.host} takes no part in the swarm: {0.obstacle}",
        causes.ClosedPort: "{0.host} closes {0.protocols} port {0.port} ({0.rule})",
        causes.GossipSilent: "nodes learn this by gossip, and {0.host} receives none from {0.other}",
    }
)
