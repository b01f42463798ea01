"""The client side of `cnmsim trace --dir`: a question to a lab that is being served."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from cnmsim.api.frames import HEAD, Frame
from cnmsim.errors import CnmsimError, Unavailable


def ask(directory: Path, wish: dict[str, Any]) -> Any:
    """Send one wish to the control socket in `directory` and give the answer.

    Raises `Unavailable` if no lab is served there, `CnmsimError` with what the lab refused.
    """
    with socket.socket(socket.AF_UNIX) as channel:
        try:
            channel.connect(str(directory / "control.sock"))
        except OSError as error:
            raise Unavailable(f"{directory}: no lab is served here: {error.strerror}") from None
        channel.sendall(json.dumps(wish).encode() + b"\n")
        with channel.makefile("rb") as stream:
            head = stream.read(HEAD.size)
            if len(head) < HEAD.size:
                raise Unavailable(f"{directory}: the lab ended before it answered")
            kind, length = HEAD.unpack(head)
            content = stream.read(length)
    if kind == Frame.ERROR:
        raise CnmsimError(content.decode())
    return json.loads(content)
