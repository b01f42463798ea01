"""The rules of binding, compared with those of the kernel the tests run on."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_network import FakeNetwork

from cnmsim.kernel.sockets import TcpSocket, UdpSocket

ADDRESSES = [
    (4, "0.0.0.0"), (4, "127.0.0.1"), (4, "127.0.0.2"), (6, "::"), (6, "::1"), (6, "::ffff:127.0.0.1"),
    (6, "::ffff:0.0.0.0"),
]  # fmt: skip


def has_linux_with_ipv6() -> bool:
    if not sys.platform.startswith("linux"):
        return False
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


def outcome(call: Callable[[], object]) -> int | None:
    try:
        call()
    except OSError as error:
        return error.errno
    return None


def free_port() -> int:
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::", 0))
        return int(probe.getsockname()[1])


BINDING = st.tuples(st.sampled_from(ADDRESSES), st.booleans(), st.booleans(), st.booleans())


@pytest.mark.skipif(not has_linux_with_ipv6(), reason="needs Linux with IPv6")
@settings(max_examples=200, deadline=None)
@given(st.booleans(), st.lists(BINDING, min_size=2, max_size=5))
def test_binding_succeeds_and_fails_as_in_the_kernel(
    is_tcp: bool, bindings: list[tuple[tuple[int, str], bool, bool, bool]]
) -> None:
    namespace = FakeNetwork().add("a", "127.0.0.1", "::1")
    port = free_port()
    with contextlib.ExitStack() as stack:
        for (family, address), v6only, reuse, listens in bindings:
            kind = socket.SOCK_STREAM if is_tcp else socket.SOCK_DGRAM
            real = stack.enter_context(socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, kind))
            ours = (TcpSocket if is_tcp else UdpSocket)(namespace, family)  # type: ignore[arg-type]
            real.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
            ours.reuse_address = reuse
            if family == 6:
                real.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
                ours.v6only = v6only
            bound = outcome(partial(real.bind, (address, port)))
            assert outcome(partial(ours.bind, (address, port))) == bound
            if bound is not None:
                real.close()
            elif isinstance(ours, TcpSocket) and listens:
                assert outcome(ours.listen) == outcome(real.listen)
