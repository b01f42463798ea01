"""Reading of files with a limit: a device, or a file that is mistaken for a lab file, may have no end."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

#: The size of the largest file that is read, unless the caller allows more.
MOST_BYTES = 16 << 20


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """Read a file of at most `most` bytes, and return its content.

    For a device or pipe, which may have no end, the limit is at most `MOST_BYTES`. Raises `OSError` (`EFBIG` for a
    larger file), and `ValueError` for a path that contains a null byte.
    """
    with path.open("rb") as file:
        is_regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        limit = most if is_regular else min(most, MOST_BYTES)
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"{os.strerror(errno.EFBIG)} (at most {limit >> 20} MiB are read)", str(path))
    return content
