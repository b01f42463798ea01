"""Sentences about programs that are not simulated."""

from __future__ import annotations

from cnmsim.engine.standins.knownport import KnownPort, PortSource
from cnmsim.observe.diagnosis.causes import programs as causes
from cnmsim.observe.diagnosis.sentences.base import TEMPLATES, sentence

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


@sentence.register(causes.NoOtherListenerAssumed)
def _(assumption: causes.NoOtherListenerAssumed) -> str:
    by_source: dict[str, list[str]] = {}
    for port in assumption.ports:
        by_source.setdefault(_source(port), []).append(str(port))
    ports = ", ".join(f"{', '.join(listed)} ({source})" for source, listed in by_source.items())
    known = f"no other port than {ports}" if ports else "no port"
    return f"{assumption.program} in {assumption.server} listens on {known}; the program is not simulated"


TEMPLATES.update(
    {
        causes.InternetAssumed: (
            "{0.destination} exists and answers ({0.server} stands for every public name and address; --offline: for "
            "none)"
        ),
        causes.MachineAssumed: "a machine with the address {0.address} is on the LAN and answers (the file names it)",
        causes.StateListener: (
            "if {0.service} listens on {0.port}, state it: --listen {0.service}:{0.port}, or x-cnmsim: "
            "{{listens: [{0.port}]}} in the file"
        ),
    }
)
