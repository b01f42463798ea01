"""Which host ports are given out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmsim.errors import SystemFault
from cnmsim.kernel.address import IPV4_ANY, IPV6_ANY, parse_ip
from cnmsim.libnetwork.portallocator import AllPortsAllocated, PortAllocator, PortAlreadyAllocated
from cnmsim.libnetwork.profile import PROFILES, profile

VERSIONS = sorted(PROFILES)
LATER = ["28.5.2", "29.7.2"]
LOOPBACK = parse_ip("127.0.0.1")


@pytest.mark.parametrize("version", VERSIONS)
def test_ephemeral_ports_start_at_the_lowest_of_the_range_for_each_protocol(version: str) -> None:
    ports = PortAllocator(profile(version))
    taken = [ports.request_ports([IPV4_ANY], protocol) for protocol in ("tcp", "tcp", "udp")]
    assert taken == [32768, 32769, 32768]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_freed_port_is_not_given_again_before_the_range_has_come_round(version: str) -> None:
    ports = PortAllocator(profile(version))
    assert [ports.request_ports([IPV4_ANY], "tcp", 9000, 9002) for _ in range(2)] == [9000, 9001]
    ports.release_ports([IPV4_ANY], "tcp", 9000)
    assert [ports.request_ports([IPV4_ANY], "tcp", 9000, 9002) for _ in range(2)] == [9002, 9000]
    with pytest.raises(AllPortsAllocated, match=r"^all ports are allocated$"):
        ports.request_ports([IPV4_ANY], "tcp", 9000, 9002)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_held_port_is_refused(version: str) -> None:
    ports = PortAllocator(profile(version))
    ports.request_ports([IPV4_ANY], "tcp", 5000, 5000)
    with pytest.raises(PortAlreadyAllocated, match=r"^Bind for 0.0.0.0:5000 failed: port is already allocated$"):
        ports.request_ports([IPV4_ANY], "tcp", 5000, 5000)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_ipv6_address_is_named_without_brackets(version: str) -> None:
    ports = PortAllocator(profile(version))
    ports.request_ports([IPV6_ANY], "tcp", 5000, 5000)
    with pytest.raises(PortAlreadyAllocated, match=r"^Bind for :::5000 failed"):
        ports.request_ports([IPV6_ANY], "tcp", 5000, 5000)


def test_26_does_not_see_that_any_address_covers_a_specific_one() -> None:
    ports = PortAllocator(profile("26.1.5"))
    ports.request_ports([IPV4_ANY], "tcp", 80, 80)
    assert ports.request_ports([LOOPBACK], "tcp", 80, 80) == 80


@pytest.mark.parametrize("version", LATER)
@pytest.mark.parametrize(
    ("holder", "asked", "named"),
    [(IPV4_ANY, LOOPBACK, "0.0.0.0"), (LOOPBACK, IPV4_ANY, "127.0.0.1")],
)
def test_the_refusal_names_the_address_that_holds_the_port(
    version: str, holder: bytes, asked: bytes, named: str
) -> None:
    ports = PortAllocator(profile(version))
    ports.request_ports([holder], "tcp", 8080, 8080)
    with pytest.raises(PortAlreadyAllocated) as caught:
        ports.request_ports([asked], "tcp", 8080, 8080)
    assert caught.value.message == f"Bind for {named}:8080 failed: port is already allocated"


@pytest.mark.parametrize("version", LATER)
def test_families_and_specific_addresses_do_not_conflict(version: str) -> None:
    ports = PortAllocator(profile(version))
    ports.request_ports([LOOPBACK], "tcp", 80, 80)
    for address in (parse_ip("10.0.0.15"), IPV6_ANY):
        assert ports.request_ports([address], "tcp", 80, 80) == 80


@pytest.mark.parametrize("version", LATER)
def test_a_group_gets_one_port_free_on_all_its_addresses(version: str) -> None:
    ports = PortAllocator(profile(version))
    ports.request_ports([IPV6_ANY], "tcp", 32768, 32768)
    assert ports.request_ports([IPV4_ANY, IPV6_ANY], "tcp") == 32769


@pytest.mark.parametrize("version", LATER)
def test_a_refused_group_takes_no_port(version: str) -> None:
    ports = PortAllocator(profile(version))
    ports.request_ports([IPV6_ANY], "tcp", 80, 80)
    with pytest.raises(PortAlreadyAllocated):
        ports.request_ports([IPV4_ANY, IPV6_ANY], "tcp", 80, 80)
    assert ports.request_ports([IPV4_ANY], "tcp", 80, 80) == 80


@pytest.mark.parametrize(("version", "port"), [("28.5.2", 32768), ("29.7.2", 32770)])
def test_29_leaves_reserved_ports_alone(version: str, port: int) -> None:
    ports = PortAllocator(profile(version), reserved=frozenset({32768, 32769}))
    assert ports.request_ports([IPV4_ANY], "tcp") == port


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(SystemFault, match=r"^unknown protocol$"):
        PortAllocator(profile()).request_ports([IPV4_ANY], "icmp")


STEPS = st.tuples(st.booleans(), st.sampled_from([IPV4_ANY, LOOPBACK, IPV6_ANY]), st.integers(0, 5))


@given(st.lists(STEPS), st.sampled_from(VERSIONS))
def test_no_port_of_an_address_is_held_twice(script: list[tuple[bool, bytes, int]], version: str) -> None:
    ports = PortAllocator(profile(version), ephemeral=(40000, 40003))
    held: list[tuple[bytes, int]] = []
    for is_request, address, index in script:
        if is_request:
            try:
                port = ports.request_ports([address], "tcp")
            except AllPortsAllocated:
                assert len(held) >= 4
                continue
            assert (address, port) not in held
            held.append((address, port))
        elif held:
            holder, port = held.pop(index % len(held))
            ports.release_ports([holder], "tcp", port)
