"""Connects to the control socket of a served lab.

This module imports little, to start fast: a script starts a new `cnmsim sh` for every program that it runs.
"""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from cnmsim.errors import Unavailable


def connect(directory: Path) -> socket.socket:
    """Connect to the control socket in `directory` and return the connection.

    Raises `Unavailable` if no lab is served there, or if the socket belongs neither to the current user nor to root:
    another user's server could read what is typed.
    """
    path = directory / "control.sock"
    channel = socket.socket(socket.AF_UNIX)
    try:
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            raise Unavailable(f"{path}: is a link, and the socket of a served lab is none")
        if os.geteuid() and status.st_uid not in (0, os.geteuid()):
            raise Unavailable(f"{path}: belongs to another user (uid {status.st_uid}); serve the lab as yourself")
        channel.connect(str(path))
    except OSError as error:
        channel.close()
        raise Unavailable(f"{directory}: no lab is served here: {error.strerror or error}") from None
    except Unavailable:
        channel.close()
        raise
    return channel
