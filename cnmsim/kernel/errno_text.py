"""The error messages of glibc and Go for error numbers, independent of the machine that runs the simulation.

An `OSError` raised by the simulated kernel may contain a longer text: the message that netlink attaches to the error
(NLMSGERR_ATTR_MSG). iproute2 prints that message, the engine prints the standard text.
"""

from __future__ import annotations

import errno
import os

_TEXTS = {
    errno.EPERM: "Operation not permitted",
    errno.ENOENT: "No such file or directory",
    errno.ESRCH: "No such process",
    errno.EINTR: "Interrupted system call",
    errno.EIO: "Input/output error",
    errno.ENXIO: "No such device or address",
    errno.EBADF: "Bad file descriptor",
    errno.EAGAIN: "Resource temporarily unavailable",
    errno.EACCES: "Permission denied",
    errno.EBUSY: "Device or resource busy",
    errno.EEXIST: "File exists",
    errno.ENODEV: "No such device",
    errno.ENOTDIR: "Not a directory",
    errno.EISDIR: "Is a directory",
    errno.EINVAL: "Invalid argument",
    errno.EROFS: "Read-only file system",
    errno.EPIPE: "Broken pipe",
    errno.ERANGE: "Numerical result out of range",
    errno.ENOTEMPTY: "Directory not empty",
    errno.ENONET: "Machine is not on the network",
    errno.EPROTO: "Protocol error",
    errno.EDESTADDRREQ: "Destination address required",
    errno.EMSGSIZE: "Message too long",
    errno.ENOPROTOOPT: "Protocol not available",
    errno.EPROTONOSUPPORT: "Protocol not supported",
    errno.EOPNOTSUPP: "Operation not supported",
    errno.EAFNOSUPPORT: "Address family not supported by protocol",
    errno.EADDRINUSE: "Address already in use",
    errno.EADDRNOTAVAIL: "Cannot assign requested address",
    errno.ENETDOWN: "Network is down",
    errno.ENETUNREACH: "Network is unreachable",
    errno.ECONNABORTED: "Software caused connection abort",
    errno.ECONNRESET: "Connection reset by peer",
    errno.ENOBUFS: "No buffer space available",
    errno.EISCONN: "Transport endpoint is already connected",
    errno.ENOTCONN: "Transport endpoint is not connected",
    errno.ETIMEDOUT: "Connection timed out",
    errno.ECONNREFUSED: "Connection refused",
    errno.EHOSTDOWN: "Host is down",
    errno.EHOSTUNREACH: "No route to host",
    errno.EALREADY: "Operation already in progress",
    errno.EINPROGRESS: "Operation now in progress",
}

_BY_CLASS: tuple[tuple[type[OSError], int], ...] = (
    (ConnectionRefusedError, errno.ECONNREFUSED),
    (ConnectionResetError, errno.ECONNRESET),
    (BrokenPipeError, errno.EPIPE),
    (TimeoutError, errno.ETIMEDOUT),
    (FileNotFoundError, errno.ENOENT),
    (FileExistsError, errno.EEXIST),
    (IsADirectoryError, errno.EISDIR),
    (NotADirectoryError, errno.ENOTDIR),
    (PermissionError, errno.EPERM),
)


def message(number: int) -> str:
    """Return glibc's text for an error number."""
    return _TEXTS.get(number) or os.strerror(number)


def errno_of(error: OSError) -> int:
    """Return the error number of an `OSError`. If it was raised without one, derive the number from its class."""
    if error.errno is not None:
        return error.errno
    return next((number for kind, number in _BY_CLASS if isinstance(error, kind)), errno.EIO)


def strerror(error: OSError) -> str:
    """Return glibc's text for an `OSError`."""
    number = errno_of(error)
    return _TEXTS.get(number) or error.strerror or f"Unknown error {number}"


def go_strerror(error: OSError) -> str:
    """Return Go's text for an `OSError` (`syscall.Errno`): like glibc's, but in lower case."""
    return strerror(error).lower()
