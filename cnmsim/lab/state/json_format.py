"""State files of versions 1 and 2, which can be read but are no longer written: one JSON document with a checksum.

Files of version 1 contain no swarms.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from cnmsim.lab.state.errors import wrong_file

FORMAT = "cnmsim state"
_READABLE = (1, 2)


def read_json(path: Path, data: bytes) -> dict[str, Any]:
    """Return the content of the state file `path`, whose bytes are `data`.

    Raises `FileError` if the file is damaged or has another format; the message says which.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise wrong_file(path, f"damaged, or no state file: {error}") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise wrong_file(path, "no state file of cnmsim")
    version = document.get("version")
    if type(version) is not int or version not in _READABLE:
        raise wrong_file(path, f"a state file of version {version!r}; this cnmsim reads versions 1 to 3")
    content = document.get("lab")
    if not isinstance(content, dict) or document.get("sha256") != checksum(content):
        raise wrong_file(path, "damaged: its content does not fit its checksum")
    if version > 1 and "swarm" not in content:
        raise wrong_file(path, "malformed: there is no section of swarms")
    return content


def checksum(content: dict[str, Any]) -> str:
    """Return the SHA-256 of the content of a state file as a hexadecimal text."""
    return hashlib.sha256(json.dumps(content, separators=(",", ":")).encode("ascii")).hexdigest()
