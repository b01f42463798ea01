"""Frames on the devices of real network namespaces, sent and seen by packet(7) sockets of this process."""

import ctypes
import os
import select
import socket
import time

_EVERYTHING = 3
_OUTGOING = 4
_NETWORK = 0x40000000


def _enter(descriptor):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _NETWORK):
        raise OSError(ctypes.get_errno(), "setns")


def opened(namespace, device):
    """Open a packet socket on a device of a namespace that `ip netns` keeps."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    there = os.open(f"/var/run/netns/{namespace}", os.O_RDONLY)
    try:
        _enter(there)
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERYTHING))
        made.bind((device, _EVERYTHING))
    finally:
        _enter(home)
        os.close(home)
        os.close(there)
    return made


def collect(sockets, wait):
    """Give what the sockets, by name, see until nothing came for `wait` seconds: (name, "in" or "out", frame)."""
    names = {one: name for name, one in sockets.items()}
    found = []
    end = time.monotonic() + wait
    while (left := end - time.monotonic()) > 0:
        for ready in select.select(list(names), [], [], left)[0]:
            data, where = ready.recvfrom(65536)
            found.append((names[ready], "out" if where[2] == _OUTGOING else "in", data))
            end = time.monotonic() + wait
    return found
