"""Sentences of causes of a refusal."""

from __future__ import annotations

from cnmsim.observe.diagnosis.causes import refusals as causes
from cnmsim.observe.diagnosis.sentences.base import TEMPLATES, _silent, sentence

#: The maximum number of published ports that a sentence lists.
_MANY = 4


@sentence.register(causes.LocalhostIsThisMachine)
def _(cause: causes.LocalhostIsThisMachine) -> str:
    only = f" on its own {cause.address} only" if cause.address else ""
    return (
        f"{cause.name} on {cause.machine} is {cause.machine} itself, where nothing listens on port {cause.port}; "
        f"{cause.owner} publishes it{only}"
    )


@sentence.register(causes.NothingListens)
def _(cause: causes.NothingListens) -> str:
    return _silent(cause.server, cause.endpoint) + (", nor on any other port" if cause.has_no_port else "")


@sentence.register(causes.PublishedForOtherFamily)
def _(cause: causes.PublishedForOtherFamily) -> str:
    return (
        f"nothing listens on {cause.endpoint}: {cause.container} publishes port {cause.port} of {cause.host} on "
        f"{' and '.join(cause.addresses)} only, which is no IPv{cause.family} address"
    )


@sentence.register(causes.OtherPortsPublished)
def _(cause: causes.OtherPortsPublished) -> str:
    ports = ", ".join(f"{port} ({name})" for port, name in cause.published[:_MANY])
    more = ", …" if len(cause.published) > _MANY else ""
    return f"{_silent(cause.host, cause.endpoint)}; published there: {ports}{more}"


_SERVER_SILENT = _silent("{0.server}", "{0.endpoint}")
_HOST_SILENT = _silent("{0.host}", "{0.endpoint}")

TEMPLATES.update(
    {
        causes.ListensElsewhere: _SERVER_SILENT + " (only on {0.listeners!j})",
        causes.ListensOnOtherPorts: _SERVER_SILENT + "; it listens on {0.listeners!j}",
        causes.PublishedOnInternalNetworks: (
            "nothing listens on {0.endpoint}: {0.container} requests that port, but is on internal networks only "
            "({0.networks!j}), and Docker publishes no ports there"
        ),
        causes.ListensOnLoopback: _SERVER_SILENT + " (a program listens on {0.listener} only)",
        causes.ListensByOtherProtocol: _SERVER_SILENT + " by {0.protocol}; it listens on {0.port}/{0.other}",
        causes.PublishedAsOtherPort: _HOST_SILENT + "; {0.container}'s port {0.port} is published as {0.host_port}",
        causes.PublisherNotRunning: (
            _HOST_SILENT + ": {0.container}, which publishes the port, is not running ({0.status})"
        ),
        causes.ListenerNotPublished: (_HOST_SILENT + "; {0.container} listens on that port, but does not publish it"),
        causes.Refused: "{0.endpoint} answered with a refusal",
        causes.LocalhostIsItself: (
            "{0.name} inside {0.container} is {0.container} itself, and nothing listens on port {0.port} there"
        ),
        causes.PublishedOnLoopback: (
            "nothing listens on {0.endpoint}: port {0.port} of {0.owner} is published on {0.address} only"
        ),
    }
)
