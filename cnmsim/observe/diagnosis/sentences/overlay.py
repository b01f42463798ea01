"""Sentences of causes in overlay networks and their tunnels."""

from __future__ import annotations

from attrs import evolve

from cnmsim.kernel.events import DropReason
from cnmsim.observe.diagnosis.causes import overlay as causes
from cnmsim.observe.diagnosis.sentences.base import TEMPLATES, _dropped, _packet, _reason, sentence


@sentence.register(causes.TunnelFiltered)
def _(cause: causes.TunnelFiltered) -> str:
    more = "; a firewall that lists ports only drops ESP" if cause.packet.is_encrypted else ""
    return f"{_packet(cause.packet)} is {_dropped(evolve(cause.drop, replier=''))}{more}"


@sentence.register(causes.TunnelTooLong)
def _(cause: causes.TunnelTooLong) -> str:
    limit = f", which carries {cause.mtu} bytes" if cause.mtu else ""
    return (
        f"{_packet(cause.packet)} is too long for {cause.where}{limit}: {cause.header} bytes of headers come on "
        "top of what the "
        "container sends"
    )


@sentence.register(causes.TunnelWithoutKeys)
def _(cause: causes.TunnelWithoutKeys) -> str:
    return f"{_packet(cause.packet)} is {_dropped(evolve(cause.drop, replier=''))}: {cause.drop.hop.what}"


@sentence.register(causes.TunnelSourceUnexpected)
def _(cause: causes.TunnelSourceUnexpected) -> str:
    sender = cause.packet.sender
    return (
        f"{_packet(cause.packet)} is dropped by {cause.receiver}: it comes from {cause.used}, and "
        f"{cause.receiver} accepts frames of that "
        f"MAC from {cause.expected or 'another address'} only, the data path address with which {sender} joined; "
        "routes choose the outer "
        f"source address, and {sender}'s route to {cause.peer} chooses {cause.used}"
    )


@sentence.register(causes.TunnelPortClosed)
def _(cause: causes.TunnelPortClosed) -> str:
    return (
        f"{_packet(cause.packet)} is not received on {cause.place}: no device has UDP port {cause.packet.port} there"
    )


@sentence.register(causes.TunnelLost)
def _(cause: causes.TunnelLost) -> str:
    hop = cause.drop.hop
    if hop.reason is DropReason.LINK_LOSS and hop.decision:
        return f"{_packet(cause.packet)} is lost at {hop.where}: {hop.decision}"
    by = f" by {hop.decision}" if hop.decision else ""
    return f"{_packet(cause.packet)} is lost at {hop.where}{by}: {_reason(cause.drop)}"


TEMPLATES.update(
    {
        causes.TunnelIntoSilence: (
            "what {0.host} sends to {0.end} for network {0.network} leaves, and nothing of it arrives: {0.end} "
            "is cut off or has no power, and the tables of {0.host} still lead there"
        ),
        causes.OverlayAddressUnknown: (
            "{0.host} does not know where {0.address} is: {0.device} of network {0.network} has no neighbour or "
            "FDB entry for it, and no running container has that address"
        ),
        causes.OverlayHoldsHostAddress: (
            "{0.address} is {0.owner}, a host, but the subnet of network {0.network} holds that address too: "
            "{0.host} looks for {0.owner} in the tunnel {0.device}, and never answers it"
        ),
        causes.VniTaken: "device {0.device} of {0.host} has VNI {0.vni}, which is that of network {0.network}",
    }
)
