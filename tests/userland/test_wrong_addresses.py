"""Programs that are given something else than an address."""

from __future__ import annotations

import pytest

from cnmsim import Lab
from cnmsim.lab.host import Host


@pytest.fixture(scope="module")
def host() -> Host:
    return Lab().add_host("node1", "10.0.0.15/24")


@pytest.mark.parametrize(
    ("command", "status", "error"),
    [
        # As busybox 1.37, iproute2 and curl of Debian 13 answered.
        ("arping -s foo -c 1 10.0.0.1", 2, "arping: invalid source address foo\n"),
        ("arping -A -s ::1 -c 1 10.0.0.1", 2, "arping: invalid source address ::1\n"),
        ("arping -c 1 foo", 2, "arping: bad address 'foo'\n"),
        ("arping -I eth9 -s foo -c 1 foo", 2, "arping: interface eth9 not found: No such device\n"),
        ("ip addr add 10.1.0.1/24 brd foo dev eth0", 1, 'Error: inet address is expected rather than "foo".\n'),
        ("wget -qO- http://[foo]/", 1, "wget: bad address '[foo]'\n"),
        ("curl -g http://[foo]/", 3, "curl: (3) URL rejected: Bad IPv6 address\n"),
    ],
)
def test_an_address_that_is_none_is_an_error_of_the_program(
    host: Host, command: str, status: int, error: str
) -> None:
    result = host.exec(command)
    assert (result.status, result.output) == (status, error)
