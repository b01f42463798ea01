"""Sentences of causes of a success."""

from __future__ import annotations

from cnmsim.observe.diagnosis.causes import success as causes
from cnmsim.observe.diagnosis.sentences.base import TEMPLATES, sentence


@sentence.register(causes.Answered)
def _(cause: causes.Answered) -> str:
    verb = "answers the echo request" if cause.is_echo else "answers"
    path = f"; {sentence(cause.path)}" if cause.path is not None else ""
    return f"{cause.server} {verb} at {cause.endpoint}{path}"


@sentence.register(causes.DatagramReceived)
def _(cause: causes.DatagramReceived) -> str:
    path = f"; {sentence(cause.path)}" if cause.path is not None else ""
    return f"{cause.server} received the datagram at {cause.endpoint} and, as UDP programs may, sent no reply{path}"


TEMPLATES.update(
    {
        causes.ByProxy: "docker-proxy on {0.host} carries it: a second connection starts there",
        causes.DestinationRewritten: "{0.place} rewrote the destination by {0.rule}",
        causes.SourceRewritten: "{0.place} rewrote the source by {0.rule}",
        causes.SharedNetwork: "both are on network {0.network}",
        causes.OwnHost: "it is the host {0.container} runs on",
    }
)
