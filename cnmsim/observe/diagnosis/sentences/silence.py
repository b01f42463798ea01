"""Sentences of causes of a probe without an answer."""

from __future__ import annotations

from cnmsim.observe.diagnosis.causes import silence as causes
from cnmsim.observe.diagnosis.sentences.base import TEMPLATES, sentence


@sentence.register(causes.NothingAnswered)
def _(cause: causes.NothingAnswered) -> str:
    where = f" (last seen at {cause.where}: {cause.what})" if cause.where else ""
    return f"nothing answered from {cause.endpoint}{where}"


TEMPLATES.update(
    {
        causes.DroppedWithError: "{0.cause!t}; {0.reporter} answers with {0.packet}",
        causes.IcmpErrorReceived: "{0.reporter} answers with {0.packet}",
        causes.StackError: "{0.source}'s own network stack says: {0.error}",
        causes.ReceivedWithoutReply: "{0.place} received it, and no answer ever came",
        causes.OtherMachinesAddress: (
            "from {0.source}, {0.address} is another machine's address: {0.target} got nothing"
        ),
    }
)
