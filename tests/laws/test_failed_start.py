"""A start that fails half-way leaves nothing on the host: no device, rule, port, address, process or namespace."""

import re

import pytest
from support.whole_state import difference, whole_state

from cnmsim import Lab
from cnmsim.errors import CnmsimError
from cnmsim.libnetwork.portallocator import PortAllocator
from cnmsim.libnetwork.profile import PROFILES

#: What a failed start changes on every engine: the container's own state, and the events of the attempt.
OWN = ("GET /containers", "event ", "GET /info", "file /var/lib/docker/containers")

#: Why a start fails: the container's options, a command on the host before it, and a part of the engine's message.
CAUSES = {
    "a port that another container publishes": ({"ports": {"80/tcp": 8080}}, "", "port is already allocated"),
    "the second of two ports": ({"ports": {"80/tcp": 8099, "81/tcp": 8080}}, "", "port is already allocated"),
    "a port of a program": ({"ports": {"80/tcp": 9000}}, "nc -l -p 9000 &", "address already in use"),
    "an address of no device": ({"ports": {"80/tcp": ("203.0.113.1", 8098)}}, "", "cannot assign requested address"),
    "a program that is missing": ({"command": "nosuch"}, "", 'exec: "nosuch": executable file not found'),
    "a sysctl that is missing": ({"sysctls": {"net.ipv4.nosuch": "1"}}, "", "nosuch: no such file or directory"),
    "a chain that is missing": (
        {"ports": {"80/tcp": 8097}}, "iptables -t nat -F; iptables -t nat -X DOCKER", "No chain/target/match",
    ),
}  # fmt: skip


def state_of(host):
    """Return the state of a host without the cursor of addresses, which advances on a real engine, too."""
    return {place: re.sub(r"cursor=\d+", "cursor", text) for place, text in whole_state(host).items()}


def changes_of_failed_start(release, cause):
    """Return what a failing start changes on the host besides the container's own state."""
    options, command, message = CAUSES[cause]
    lab = Lab(release)
    host = lab.add_host("node", "10.0.0.15/24", docker=True)
    host.docker.networks.create("net")
    # The bridge has its link-local address from its first port on.
    host.docker.containers.run("alpine", "true", network="net", remove=True)
    host.docker.containers.run("alpine", "sleep infinity", name="held", ports={"80/tcp": 8080}, detach=True)
    options = {"command": "sleep infinity", **options}
    container = host.docker.containers.create("alpine", options.pop("command"), name="new", network="net", **options)
    if command:
        host.exec(["sh", "-c", command])
    lab.run(1)
    before = state_of(host)
    with pytest.raises(CnmsimError, match=message):
        container.start()
    lab.run(1)
    return [line for line in difference(before, state_of(host)) if not line[2:].startswith(OWN)]


@pytest.mark.parametrize("release", PROFILES)
@pytest.mark.parametrize("cause", CAUSES)
def test_a_start_that_fails_leaves_nothing_on_the_host(release, cause):
    assert changes_of_failed_start(release, cause) == []


def test_the_law_notices_a_port_that_is_not_released(monkeypatch):
    monkeypatch.setattr(PortAllocator, "release_ports", lambda *_: None)
    assert changes_of_failed_start("29.7.2", "the second of two ports") != []
