"""Sentences of causes of a refusal by an engine."""

from __future__ import annotations

from cnmsim.observe.diagnosis.causes import engine as causes
from cnmsim.observe.diagnosis.sentences.base import TEMPLATES, sentence


@sentence.register(causes.PortHeldByContainer)
def _(cause: causes.PortHeldByContainer) -> str:
    return (
        f"container {cause.container} on {cause.host} has port {cause.port}/{cause.protocol} on "
        f"{cause.address or 'every address'}"
    )


@sentence.register(causes.PortHeldByProgram)
def _(cause: causes.PortHeldByProgram) -> str:
    return f"{cause.program or 'a program'} of {cause.host} itself listens on {cause.listener}"


@sentence.register(causes.NetworkInUse)
def _(cause: causes.NetworkInUse) -> str:
    is_many = len(cause.containers) > 1
    return (
        f"container{'s' * is_many} {', '.join(cause.containers)} {'are' if is_many else 'is'} on network "
        f"{cause.network}"
    )


TEMPLATES.update(
    {
        causes.PoolsExhausted: "{0.count} networks hold all default pools of {0.host}: {0.examples!j}, …",
        causes.SubnetOverlaps: "{0.subnet} overlaps network {0.network} ({0.network_subnet}) of {0.host}",
        causes.AddressHeld: (
            "container {0.container} on {0.host} has {0.address}: Docker allocates addresses from the lowest"
        ),
        causes.BridgeFull: "{0.bridge} of {0.host} has {0.ports:,} ports, the most that the kernel allows",
    }
)
