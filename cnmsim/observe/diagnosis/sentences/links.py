"""Sentences of causes on links."""

from __future__ import annotations

from cnmsim.observe.diagnosis.causes import links as causes
from cnmsim.observe.diagnosis.sentences.base import TEMPLATES, _article, _vlan, sentence


@sentence.register(causes.NeighbourSilent)
def _(cause: causes.NeighbourSilent) -> str:
    known = "" if cause.is_known_address else "; no running container or host has that address"
    link = cause.device or "its link"
    return f"{cause.place} sent requests for {cause.address} on {link} and received no answer{known}"


@sentence.register(causes.HostOff)
def _(cause: causes.HostOff) -> str:
    return (
        f"{cause.place} sent requests for {cause.address} on {cause.device or 'its link'}, and {cause.host}, "
        "which has that address, has no power or no cable"
    )


@sentence.register(causes.NextHopSilent)
def _(cause: causes.NextHopSilent) -> str:
    return f"{cause.place} received no answer on {cause.device or 'its link'} for the next hop to {cause.address}"


@sentence.register(causes.ParentAndChild)
def _(cause: causes.ParentAndChild) -> str:
    return (
        f"{cause.guest} is {_article(cause.kind)} child of {cause.host}'s {cause.parent}, and a parent and its "
        "children never receive each "
        "other's frames: what either sends leaves by the wire"
    )


@sentence.register(causes.SiblingsIsolated)
def _(cause: causes.SiblingsIsolated) -> str:
    how = (
        "keeps its containers apart"
        if cause.mode == "private"
        else "leaves it to the switch to send frames back, and this one does not"
    )
    return f"{cause.one} and {cause.other} are both on {cause.parent}, and {cause.kind} mode {cause.mode} {how}"


@sentence.register(causes.IpvlanRouteMissing)
def _(cause: causes.IpvlanRouteMissing) -> str:
    return (
        f"{'the answer is lost: ' if cause.is_reply else ''}{cause.place} has no route to {cause.subnet}, an "
        "ipvlan network in mode "
        f"{cause.mode} of {cause.host}"
    )


@sentence.register(causes.DifferentVlans)
def _(cause: causes.DifferentVlans) -> str:
    return (
        f"{cause.one}'s {cause.device} is in {_vlan(cause.vlan)}, {cause.other}'s {cause.other_device} in "
        f"{_vlan(cause.other_vlan)}: they "
        "are different networks on one wire"
    )


TEMPLATES.update(
    {
        causes.AddressHidden: (
            "{0.place} looks for {0.address}, which is {0.owner}, on its own network {0.network}: the network's "
            "subnet contains that address, and its route is preferred to the one that leads to {0.owner_name}"
        ),
        causes.FrameLost: "{0.packet} is lost at {0.where}: {0.why}",
        causes.IpvlanWithoutArp: (
            "{0.container} is on ipvlan in mode {0.mode}, which answers no ARP: {0.host} routes for it"
        ),
        causes.PortSecurity: (
            "the port of {0.device} on {0.place} refuses frames from {0.sender}: {0.why}, as public clouds and "
            "hypervisors do"
        ),
        causes.VlanMissing: "lost at {0.where}: {0.why}",
        causes.ModeIsolates: "dropped on {0.where}: {0.why}",
    }
)
