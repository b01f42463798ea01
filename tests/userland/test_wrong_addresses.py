"""Programs that are given something else than an address."""

from __future__ import annotations

import pytest

from cnmsim import Lab
from cnmsim.lab.host import Host


@pytest.fixture(scope="module")
def host() -> Host:
    return Lab().add_host("node1", "10.0.0.15/24")


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("arping -s foo -c 1 10.0.0.1", "invalid source address foo"),
        ("arping -A -s ::1 -c 1 10.0.0.1", "invalid source address ::1"),
        ("ip addr add 10.1.0.1/24 brd foo dev eth0", 'inet address is expected rather than "foo".'),
        ("wget -qO- http://[foo]/", "wget: bad address '[foo]'\n"),
        ("curl -g http://[foo]/", "curl: (3) URL rejected: Bad IPv6 address\n"),
    ],
)
def test_an_address_that_is_none_is_an_error_of_the_program(host: Host, command: str, error: str) -> None:
    result = host.exec(command)
    assert result.status != 0
    assert error in result.output
