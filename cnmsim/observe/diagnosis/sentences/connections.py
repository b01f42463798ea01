"""Sentences about success, refusals, and programs that are not simulated."""

from __future__ import annotations

from cnmsim.engine.standins.knownport import KnownPort, PortSource
from cnmsim.observe.diagnosis import causes
from cnmsim.observe.diagnosis.sentences.base import _silent, sentence

#: The maximum number of published ports that a sentence lists.
_MANY = 4
_SOURCES = {
    PortSource.USER: "stated by {0.evidence}",
    PortSource.COMMAND: "its command has {0.evidence}",
    PortSource.ENTRYPOINT: "its entrypoint has {0.evidence}",
    PortSource.ENVIRONMENT: "its environment has {0.evidence}",
    PortSource.HEALTH_CHECK: "its health check uses {0.evidence}",
    PortSource.EXPOSE: "it is exposed",
    PortSource.PORTS: "it is published",
    PortSource.REFERENCE: "{0.evidence} names it",
    PortSource.CATALOGUE: "as the image {0.evidence} does",
}


def _source(port: KnownPort) -> str:
    return _SOURCES[port.source].format(port)


@sentence.register(causes.PathOpen)
def _(cause: causes.PathOpen) -> str:
    known = f"; it is known to listen on {', '.join(cause.known)}" if cause.known else ""
    return (
        f"the packets arrive at {cause.server} ({cause.endpoint}); {cause.program} is not simulated, and whether it "
        f"listens there is not known{known}"
    )


@sentence.register(causes.ListenerAssumed)
def _(assumption: causes.ListenerAssumed) -> str:
    at = f" of {assumption.port.address}" if assumption.port.address else ""
    return (
        f"{assumption.program} in {assumption.server} listens on {assumption.port}{at} "
        f"({_source(assumption.port)}; the program is not simulated)"
    )


@sentence.register(causes.InternetAssumed)
def _(assumption: causes.InternetAssumed) -> str:
    return (
        f"{assumption.destination} exists and answers ({assumption.server} stands for every public name and address; "
        "--offline: for none)"
    )


@sentence.register(causes.NoOtherListenerAssumed)
def _(assumption: causes.NoOtherListenerAssumed) -> str:
    ports = ", ".join(f"{port} ({_source(port)})" for port in assumption.ports)
    return (
        f"{assumption.program} in {assumption.server} listens on {f'{ports} only' if ports else 'no port'}; "
        "the program is not simulated"
    )


@sentence.register(causes.StateListener)
def _(remark: causes.StateListener) -> str:
    return (
        f"if {remark.service} listens on {remark.port}, state it: --listen {remark.service}:{remark.port}, "
        f"or x-cnmsim: {{listens: [{remark.port}]}} in the file"
    )


@sentence.register(causes.Answered)
def _(cause: causes.Answered) -> str:
    verb = "answers the echo request" if cause.is_echo else "answers"
    path = f"; {sentence(cause.path)}" if cause.path is not None else ""
    return f"{cause.server} {verb} at {cause.endpoint}{path}"


@sentence.register(causes.DatagramReceived)
def _(cause: causes.DatagramReceived) -> str:
    path = f"; {sentence(cause.path)}" if cause.path is not None else ""
    return f"{cause.server} received the datagram at {cause.endpoint} and, as UDP programs may, said nothing{path}"


@sentence.register(causes.NothingListens)
def _(cause: causes.NothingListens) -> str:
    return _silent(cause.server, cause.endpoint) + (", nor on any other port" if cause.has_no_port else "")


@sentence.register(causes.ListensOnLoopback)
def _(cause: causes.ListensOnLoopback) -> str:
    return f"{_silent(cause.server, cause.endpoint)} (a program listens on {cause.listener} only)"


@sentence.register(causes.ListensElsewhere)
def _(cause: causes.ListensElsewhere) -> str:
    return f"{_silent(cause.server, cause.endpoint)} (only on {', '.join(cause.listeners)})"


@sentence.register(causes.ListensByOtherProtocol)
def _(cause: causes.ListensByOtherProtocol) -> str:
    return f"{_silent(cause.server, cause.endpoint)} by {cause.protocol}; it listens on {cause.port}/{cause.other}"


@sentence.register(causes.ListensOnOtherPorts)
def _(cause: causes.ListensOnOtherPorts) -> str:
    return f"{_silent(cause.server, cause.endpoint)}; it listens on {', '.join(cause.listeners)}"


@sentence.register(causes.PublishedOnInternalNetworks)
def _(cause: causes.PublishedOnInternalNetworks) -> str:
    networks = ", ".join(cause.networks)
    return (
        f"nothing listens on {cause.endpoint}: {cause.container} is to publish that port, but is on internal "
        f"networks only ({networks}), and Docker publishes no ports there"
    )


@sentence.register(causes.PublishedForOtherFamily)
def _(cause: causes.PublishedForOtherFamily) -> str:
    return (
        f"nothing listens on {cause.endpoint}: {cause.container} publishes port {cause.port} of {cause.host} on "
        f"{' and '.join(cause.addresses)} only, which is no IPv{cause.family} address"
    )


@sentence.register(causes.PublishedAsOtherPort)
def _(cause: causes.PublishedAsOtherPort) -> str:
    return (
        f"{_silent(cause.host, cause.endpoint)}; {cause.container}'s port {cause.port} is published as "
        f"{cause.host_port}"
    )


@sentence.register(causes.PublisherNotRunning)
def _(cause: causes.PublisherNotRunning) -> str:
    return (
        f"{_silent(cause.host, cause.endpoint)}: {cause.container}, which publishes the port, is not running "
        f"({cause.status})"
    )


@sentence.register(causes.ListenerNotPublished)
def _(cause: causes.ListenerNotPublished) -> str:
    return f"{_silent(cause.host, cause.endpoint)}; {cause.container} does, and does not publish it"


@sentence.register(causes.OtherPortsPublished)
def _(cause: causes.OtherPortsPublished) -> str:
    ports = ", ".join(f"{port} ({name})" for port, name in cause.published[:_MANY])
    more = ", …" if len(cause.published) > _MANY else ""
    return f"{_silent(cause.host, cause.endpoint)}; published there: {ports}{more}"
