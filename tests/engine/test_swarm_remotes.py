"""Addresses of managers to join that are none: an error of the engine, and a host that is as it was before."""

from __future__ import annotations

import pytest

from cnmsim import Lab
from cnmsim.errors import SystemFault

DIAL = "could not find local IP address: dial udp: "


@pytest.mark.parametrize(
    ("remote", "text"),
    [
        ("nosuch:2377", f"{DIAL}lookup nosuch: no such host"),
        ("10.0.0.15:99999", f"{DIAL}address 99999: invalid port"),
        ("10.0.0.15:٣", f"{DIAL}address ٣: invalid port"),
        ("10.0.0.15:x", f"{DIAL}address x: invalid port"),
    ],
)
@pytest.mark.parametrize("listen", ["0.0.0.0:2377", "10.0.0.16:2377"])
def test_a_remote_that_is_no_address_is_refused_and_changes_nothing(remote: str, text: str, listen: str) -> None:
    lab = Lab()
    first, second = (lab.add_host(f"node{n}", f"10.0.0.{14 + n}/24", docker=True) for n in (1, 2))
    token = first.docker.swarm.init(advertise_addr="10.0.0.15").tokens.worker
    with pytest.raises(SystemFault) as raised:
        second.docker.swarm.join(token, remote, listen_addr=listen)
    assert raised.value.message == text
    second.docker.swarm.join(token, "10.0.0.15", listen_addr=listen)
    assert len(first.docker.nodes.list()) == 2
