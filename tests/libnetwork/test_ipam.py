"""IPAM: pools, addresses, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from cnmsim.errors import EngineError, Forbidden, InvalidParameter, NotFound, SystemFault
from cnmsim.kernel.address import Prefix, format_ip, parse_ip
from cnmsim.libnetwork.driver import IpamInfo
from cnmsim.libnetwork.endpointsettings import (
    NetworkSubnets,
    RequestedAddresses,
    validate_endpoint_settings,
    validate_interface_sysctls,
)
from cnmsim.libnetwork.ipam import (
    GLOBAL_SPACE,
    LOCAL_SPACE,
    AddressInUse,
    AddressOutOfRange,
    Ipam,
    NoAvailableAddresses,
    NullIpam,
    PoolOverlap,
)
from cnmsim.libnetwork.ipam.addrset import AddressSet
from cnmsim.libnetwork.ipam.allocator import PoolRequest
from cnmsim.libnetwork.ipam.validate import validate_ipam_config
from cnmsim.libnetwork.networkipam import NetworkIpam
from cnmsim.libnetwork.options import IpamConfig
from cnmsim.libnetwork.profile import PROFILES, profile

VERSIONS = sorted(PROFILES)
NEW = profile("29.7.2")


def take(ipam: Ipam, pool_id: str, address: str = "", *, serial: bool = False) -> str:
    return format_ip(ipam.request_address(pool_id, parse_ip(address) if address else None, serial=serial)[0])


def restore_point(ipam: Ipam, pool_id: str, address: str) -> None:
    ipam.release_address(pool_id, parse_ip(address))


# ---- subnets and ip-ranges


@pytest.mark.parametrize("other", ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24"])
@pytest.mark.parametrize(("version", "prefix"), [("26.1.5", ""), ("28.5.2", "invalid pool request: ")])
def test_an_overlapping_subnet_is_refused(version: str, prefix: str, other: str) -> None:
    ipam = Ipam(profile(version))
    ipam.request_pool(PoolRequest(LOCAL_SPACE, "10.1.0.0/16"))
    with pytest.raises(PoolOverlap) as caught:
        ipam.request_pool(PoolRequest(LOCAL_SPACE, other))
    assert (caught.value.status, caught.value.message) == (
        403,
        f"{prefix}Pool overlaps with other one on this address space",
    )


def test_since_28_an_ipv6_subnet_has_no_addresses_if_it_was_requested_as_ipv4() -> None:
    old, new = Ipam(profile("26.1.5")), Ipam(NEW)
    for ipam in (old, new):
        pool = ipam.request_pool(PoolRequest(GLOBAL_SPACE, "fd00:77::/64"))
    assert take(old, pool.id) == "fd00:77::1"
    with pytest.raises(NotFound, match=r"^cannot find address pool for poolID:fd00:77::/64/invalid Prefix$"):
        take(new, pool.id)
    with pytest.raises(InvalidParameter, match=r"^address space does not contain specified address pool$"):
        new.release_pool(pool.id)
    with pytest.raises(PoolOverlap):
        new.request_pool(PoolRequest(GLOBAL_SPACE, "fd00:77::/64"))


def test_the_same_subnet_may_exist_in_both_spaces() -> None:
    ipam = Ipam(NEW)
    ids = [ipam.request_pool(PoolRequest(space, "10.1.0.0/16")).id for space in ("LocalDefault", "GlobalDefault")]
    assert ids == ["LocalDefault/10.1.0.0/16", "GlobalDefault/10.1.0.0/16"]


def test_only_the_same_ip_range_of_a_subnet_is_refused() -> None:
    ipam = Ipam(NEW)
    pool = ipam.request_pool(PoolRequest(LOCAL_SPACE, "10.0.0.0/8", "10.10.0.0/16"))
    assert pool.id == "LocalDefault/10.0.0.0/8/10.10.0.0/16"
    with pytest.raises(PoolOverlap):
        ipam.request_pool(PoolRequest(LOCAL_SPACE, "10.0.0.0/8", "10.10.0.0/16"))
    ipam.request_pool(PoolRequest(LOCAL_SPACE, "10.0.0.0/8", "10.10.0.0/17"))
    ipam.request_pool(PoolRequest(LOCAL_SPACE, "10.0.0.0/8", "10.11.0.0/16"))


def test_an_ip_range_lets_an_overlapping_subnet_through() -> None:
    ipam = Ipam(NEW)
    ipam.request_pool(PoolRequest(LOCAL_SPACE, "172.16.0.0/14"))
    with pytest.raises(PoolOverlap):
        ipam.request_pool(PoolRequest(LOCAL_SPACE, "172.18.0.0/16"))
    assert ipam.request_pool(PoolRequest(LOCAL_SPACE, "172.18.0.0/16", "172.18.5.0/24")).ip_range == Prefix.parse(
        "172.18.5.0/24"
    )


def test_ip_ranges_of_one_subnet_share_its_addresses() -> None:
    ipam = Ipam(NEW)
    whole = ipam.request_pool(PoolRequest(LOCAL_SPACE, "192.168.50.0/24", "192.168.50.0/24"))
    part = ipam.request_pool(PoolRequest(LOCAL_SPACE, "192.168.50.0/24", "192.168.50.0/28"))
    assert [take(ipam, whole.id), take(ipam, part.id), take(ipam, whole.id)] == [
        "192.168.50.1",
        "192.168.50.2",
        "192.168.50.3",
    ]


def test_a_subnet_made_by_ip_ranges_goes_with_the_last_of_them() -> None:
    ipam = Ipam(NEW)
    ranges = [
        ipam.request_pool(PoolRequest(LOCAL_SPACE, "10.9.0.0/16", text)) for text in ("10.9.1.0/24", "10.9.2.0/24")
    ]
    ipam.release_pool(ranges[0].id)
    with pytest.raises(PoolOverlap):
        ipam.request_pool(PoolRequest(LOCAL_SPACE, "10.9.0.0/16"))
    ipam.release_pool(ranges[1].id)
    ipam.request_pool(PoolRequest(LOCAL_SPACE, "10.9.0.0/16"))


@pytest.mark.parametrize(
    ("pool", "sub_pool", "cause"),
    [
        ("", "10.1.0.0/24", "invalid address subpool"),
        ("ten", "", "invalid address pool"),
        ("10.1.0.0/16", "ten", "invalid address subpool"),
    ],
)
def test_an_unreadable_pool_request_fails(pool: str, sub_pool: str, cause: str) -> None:
    with pytest.raises(SystemFault) as caught:
        Ipam(NEW).request_pool(PoolRequest(LOCAL_SPACE, pool, sub_pool))
    assert caught.value.message == (
        f'failed to parse pool request for address space "LocalDefault" pool "{pool}" subpool "{sub_pool}": {cause}'
    )


def test_mixed_families_are_refused() -> None:
    with pytest.raises(InvalidParameter, match=r"^pool and subpool are of incompatible address families$"):
        Ipam(NEW).request_pool(PoolRequest(LOCAL_SPACE, "10.0.0.0/16", "fd00::/64"))


def test_an_ip_range_wider_than_its_subnet_is_the_subnet() -> None:
    assert Ipam(NEW).request_pool(PoolRequest(LOCAL_SPACE, "10.1.0.0/16", "10.0.0.0/8")).ip_range == Prefix.parse(
        "10.1.0.0/16"
    )


def test_a_pool_is_released_once() -> None:
    ipam = Ipam(NEW)
    pool = ipam.request_pool(PoolRequest(LOCAL_SPACE))
    ipam.release_pool(pool.id)
    with pytest.raises(InvalidParameter, match=r"^address space does not contain specified address pool$"):
        ipam.release_pool(pool.id)


@pytest.mark.parametrize(
    ("pool_id", "kind", "text"),
    [
        ("nonsense", InvalidParameter, "invalid pool id: nonsense"),
        ("LocalDefault/ten/8", InvalidParameter, "invalid pool id: LocalDefault/ten/8"),
        ("Mine/10.0.0.0/8", InvalidParameter, "cannot find address space Mine"),
        ("LocalDefault/10.0.0.0/8", NotFound, "cannot find address pool for poolID:10.0.0.0/8/invalid Prefix"),
        (
            "LocalDefault/10.0.0.0/8/10.1.0.0/16",
            NotFound,
            "cannot find address pool for poolID:10.0.0.0/8/10.1.0.0/16",
        ),
    ],
)
def test_an_unknown_pool_has_no_addresses(pool_id: str, kind: type[EngineError], text: str) -> None:
    with pytest.raises(kind) as caught:
        Ipam(NEW).request_address(pool_id)
    assert caught.value.message == text


# ---- addresses


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("subnet", "addresses"),
    [
        ("10.5.0.0/32", ["10.5.0.0"]),
        ("10.5.0.0/31", ["10.5.0.0", "10.5.0.1"]),
        ("10.5.0.0/30", ["10.5.0.1", "10.5.0.2"]),
        ("10.5.0.0/29", [f"10.5.0.{n}" for n in range(1, 7)]),
        ("fd00::/128", []),
        ("fd00::/127", ["fd00::1"]),
        ("fd00::/126", ["fd00::1", "fd00::2", "fd00::3"]),
    ],
)
def test_a_small_subnet_gives_these_addresses_and_no_more(version: str, subnet: str, addresses: list[str]) -> None:
    ipam = Ipam(profile(version))
    pool = ipam.request_pool(PoolRequest(LOCAL_SPACE, subnet, v6=":" in subnet))
    assert [take(ipam, pool.id) for _ in addresses] == addresses
    with pytest.raises(NoAvailableAddresses, match=r"^no available addresses on this pool$"):
        take(ipam, pool.id)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("subnet", ["fd00::/64", "fd00::/48"])
def test_a_large_ipv6_subnet_starts_at_1(version: str, subnet: str) -> None:
    ipam = Ipam(profile(version))
    pool = ipam.request_pool(PoolRequest(LOCAL_SPACE, subnet, v6=":" in subnet))
    assert [take(ipam, pool.id), take(ipam, pool.id)] == ["fd00::1", "fd00::2"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("subnet", "count", "last"),
    [
        ("192.168.59.0/24", 254, "192.168.59.254"),
        ("192.168.0.0/16", 256, "192.168.1.0"),
        ("10.0.0.0/8", 256, "10.0.1.0"),
        ("192.168.128.0/18", 1023, "192.168.131.255"),
    ],
)
def test_the_nth_automatic_address(version: str, subnet: str, count: int, last: str) -> None:
    ipam = Ipam(profile(version))
    pool = ipam.request_pool(PoolRequest(LOCAL_SPACE, subnet, v6=":" in subnet))
    addresses = [take(ipam, pool.id) for _ in range(count)]
    assert addresses[-1] == last


def test_a_released_address_is_the_next_one_given() -> None:
    ipam = Ipam(NEW)
    pool = ipam.request_pool(PoolRequest(LOCAL_SPACE, "10.0.0.0/24"))
    for _ in range(3):
        take(ipam, pool.id)
    restore_point(ipam, pool.id, "10.0.0.2")
    assert take(ipam, pool.id) == "10.0.0.2"


def test_an_ip_range_gives_all_its_addresses_with_the_subnets_mask() -> None:
    ipam = Ipam(NEW)
    pool = ipam.request_pool(PoolRequest(LOCAL_SPACE, "172.28.0.0/16", "172.28.30.0/24"))
    given_out = [ipam.request_address(pool.id) for _ in range(256)]
    assert given_out == [(parse_ip(f"172.28.30.{n}"), 16) for n in range(256)]
    with pytest.raises(NoAvailableAddresses):
        ipam.request_address(pool.id)


@pytest.mark.parametrize(
    ("serial", "freed", "after"), [(True, "10.2.2.3", "10.2.2.4"), (False, "10.2.2.0", "10.2.2.1")]
)
def test_serial_allocation_goes_on_after_the_last_automatic_address(serial: bool, freed: str, after: str) -> None:
    ipam = Ipam(NEW)
    pool = ipam.request_pool(PoolRequest(LOCAL_SPACE, "10.2.0.0/16", "10.2.2.0/24"))
    take(ipam, pool.id, "10.2.2.1")
    assert [take(ipam, pool.id, serial=serial) for _ in range(2)] == ["10.2.2.0", "10.2.2.2"]
    restore_point(ipam, pool.id, "10.2.2.0")
    assert take(ipam, pool.id, serial=serial) == freed
    restore_point(ipam, pool.id, "10.2.2.1")
    assert take(ipam, pool.id, serial=serial) == after


def test_serial_allocation_wraps_to_the_lowest_free_address() -> None:
    ipam = Ipam(NEW)
    pool = ipam.request_pool(PoolRequest(LOCAL_SPACE, "10.2.0.0/29"))
    for _ in range(6):
        take(ipam, pool.id, serial=True)
    restore_point(ipam, pool.id, "10.2.0.3")
    assert take(ipam, pool.id, serial=True) == "10.2.0.3"


def test_an_address_outside_the_subnet_is_out_of_range() -> None:
    ipam = Ipam(NEW)
    pool = ipam.request_pool(PoolRequest(LOCAL_SPACE, "10.2.0.0/29"))
    with pytest.raises(AddressOutOfRange, match=r"^requested address is out of range$"):
        take(ipam, pool.id, "10.2.0.8")


@pytest.mark.parametrize("address", ["10.2.0.0", "10.2.0.7", "10.2.0.1"])
def test_a_taken_or_reserved_address_is_in_use(address: str) -> None:
    ipam = Ipam(NEW)
    pool = ipam.request_pool(PoolRequest(LOCAL_SPACE, "10.2.0.0/29"))
    take(ipam, pool.id)
    with pytest.raises(AddressInUse, match=r"^Address already in use$"):
        take(ipam, pool.id, address)


@pytest.mark.parametrize(("version", "kind"), [("26.1.5", NoAvailableAddresses), ("28.5.2", AddressInUse)])
def test_a_particular_address_of_a_full_pool(version: str, kind: type[EngineError]) -> None:
    ipam = Ipam(profile(version))
    pool = ipam.request_pool(PoolRequest(LOCAL_SPACE, "10.2.0.0/30"))
    take(ipam, pool.id)
    take(ipam, pool.id)
    with pytest.raises(kind):
        take(ipam, pool.id, "10.2.0.1")


def test_26_counts_an_address_released_for_nothing_as_free() -> None:
    ipam = Ipam(profile("26.1.5"))
    pool = ipam.request_pool(PoolRequest(LOCAL_SPACE, "10.2.0.0/30"))
    restore_point(ipam, pool.id, "10.2.0.1")
    for _ in range(2):
        take(ipam, pool.id)
    with pytest.raises(AddressInUse):
        take(ipam, pool.id, "10.2.0.1")
    with pytest.raises(NoAvailableAddresses):
        take(ipam, pool.id)


def test_26_cannot_represent_the_last_address_of_a_64() -> None:
    ipam = Ipam(profile("26.1.5"))
    pool = ipam.request_pool(PoolRequest(LOCAL_SPACE, "fd00::/64", v6=True))
    with pytest.raises(SystemFault, match=r"^bit does not belong to the sequence$"):
        take(ipam, pool.id, "fd00::ffff:ffff:ffff:ffff")


def test_later_releases_represent_every_address_of_a_48() -> None:
    ipam = Ipam(NEW)
    pool = ipam.request_pool(PoolRequest(LOCAL_SPACE, "fd00::/48", v6=True))
    assert take(ipam, pool.id, "fd00::ffff:ffff:ffff:ffff:ffff") == "fd00::ffff:ffff:ffff:ffff:ffff"


@pytest.mark.parametrize(
    ("subnet", "ip_range", "taken", "status"),
    [
        ("192.168.0.0/24", "192.168.0.64/31", ["192.168.0.1", "192.168.0.65", "192.168.0.128"], (5, 1)),
        ("192.168.0.0/24", "192.168.0.64/31", [f"192.168.0.{n}" for n in (1, 64, 65, 128)], (6, 0)),
        ("192.168.0.0/24", "192.168.0.64/31", [f"192.168.0.{n}" for n in (1, 64, 65, 128, 129)], (7, 0)),
        ("fd00::/64", "fd00::/120", ["fd00::1", "fd00::2a", "fd00::8000"], (4, 253)),
        ("fd00::/48", "", [], (1, 2**64 - 1)),
    ],
)
def test_the_status_of_a_pool(subnet: str, ip_range: str, taken: list[str], status: tuple[int, int]) -> None:
    ipam = Ipam(NEW)
    pool = ipam.request_pool(PoolRequest(LOCAL_SPACE, subnet, ip_range, v6=":" in subnet))
    for address in taken:
        take(ipam, pool.id, address)
    got = ipam.status(pool.id)
    assert (got.ips_in_use, got.dynamic_ips_available) == status


def test_the_null_driver_has_no_subnets_to_choose() -> None:
    with pytest.raises(InvalidParameter, match=r"^null ipam driver does not handle specific address pool requests$"):
        NullIpam.request_pool(PoolRequest("null", "10.0.0.0/8"))


# ---- a network's pools, gateway and auxiliary addresses


def allocate_network(
    ipam: Ipam, *configs: IpamConfig, family: int = 4, skip_gateway: bool = False
) -> tuple[NetworkIpam, IpamInfo]:
    network = NetworkIpam(ipam, LOCAL_SPACE)
    network.allocate(
        configs,
        enable_ipv4=family == 4,
        enable_ipv6=family == 6,
        skip_gateway=(skip_gateway, skip_gateway),
        excluded={4: [], 6: []},
    )
    return network, [*network.pools4, *network.pools6][0]


def test_without_gateway_the_first_address_of_the_ip_range_is_it() -> None:
    ipam = Ipam(NEW)
    _, info = allocate_network(ipam, IpamConfig("10.1.0.0/16", "10.1.128.0/24"))
    assert info.gateway == parse_ip("10.1.128.0")
    assert ipam.request_address(info.pool_id) == (parse_ip("10.1.128.1"), 16)


def test_a_skipped_gateway_leaves_1_to_the_first_container() -> None:
    ipam = Ipam(NEW)
    _, info = allocate_network(ipam, IpamConfig("10.1.0.0/16"), skip_gateway=True)
    assert info.gateway is None
    assert take(ipam, info.pool_id) == "10.1.0.1"


@pytest.mark.parametrize(
    ("config", "kind", "text"),
    [
        (
            IpamConfig("10.51.0.0/24", gateway="10.51.0.0"),
            SystemFault,
            "failed to allocate gateway (10.51.0.0): Address already in use",
        ),
        (
            IpamConfig("10.51.0.0/24", gateway="10.51.0.255"),
            SystemFault,
            "failed to allocate gateway (10.51.0.255): Address already in use",
        ),
        (
            IpamConfig("10.51.0.0/24", aux_addresses={"x": "10.51.0.1"}),
            SystemFault,
            "failed to allocate secondary ip address (x:10.51.0.1): Address already in use",
        ),
        (
            IpamConfig("192.168.0.0/16", "192.168.1.0/24", aux_addresses={"x": "192.169.2.4"}),
            Forbidden,
            "auxiliary address: (x:192.169.2.4) must belong to the master pool: 192.168.0.0/16",
        ),
        (
            IpamConfig("10.51.0.0/24", gateway="ten"),
            InvalidParameter,
            "invalid gateway address ten in Ipam configuration",
        ),
    ],
)
def test_a_refused_gateway_or_auxiliary_address_gives_the_pool_back(
    config: IpamConfig, kind: type[EngineError], text: str
) -> None:
    ipam = Ipam(NEW)
    with pytest.raises(kind) as caught:
        allocate_network(ipam, config)
    assert type(caught.value) is kind
    assert caught.value.message == text
    assert ipam.request_pool(PoolRequest(LOCAL_SPACE, config.subnet, v6=":" in config.subnet))


def test_a_pool_of_one_ipv6_address_has_none_for_the_gateway() -> None:
    with pytest.raises(SystemFault) as caught:
        allocate_network(Ipam(NEW), IpamConfig("fd00::/128"), family=6)
    assert caught.value.message == "failed to allocate gateway (): no available addresses on this pool"


def test_an_auxiliary_address_may_lie_outside_the_ip_range() -> None:
    config = IpamConfig("192.168.0.0/16", "192.168.1.0/24", aux_addresses={"x": "192.168.2.4"})
    _, info = allocate_network(Ipam(NEW), config)
    assert info.aux_addresses == {"x": parse_ip("192.168.2.4")}


def test_a_network_gives_everything_back() -> None:
    ipam = Ipam(NEW)
    config = IpamConfig("10.0.0.0/29", "10.0.0.4/30", "10.0.0.1", {"x": "10.0.0.5"})
    network, first = allocate_network(ipam, config)
    network.release()
    assert allocate_network(ipam, config)[1] == first


# ---- validation


@pytest.mark.parametrize(
    ("config", "faults"),
    [
        (IpamConfig("10.10.10.0/8"), "invalid subnet 10.10.10.0/8: it should be 10.0.0.0/8"),
        (IpamConfig("foobar"), "invalid subnet foobar: invalid CIDR block notation"),
        (IpamConfig("10.0.0.0/8", "foobar"), "invalid ip-range foobar: invalid CIDR block notation"),
        (IpamConfig("10.0.0.0/8", "2001:db8::/32"), "invalid ip-range 2001:db8::/32: parent subnet is an IPv4 block"),
        (
            IpamConfig("10.10.10.0/24", "10.0.0.0/8"),
            "invalid ip-range 10.0.0.0/8: CIDR block is bigger than its parent subnet 10.10.10.0/24",
        ),
        (IpamConfig("10.10.0.0/16", "10.10.10.0/16"), "invalid ip-range 10.10.10.0/16: it should be 10.10.0.0/16"),
        (
            IpamConfig("10.0.0.0/8", "192.168.0.1/24"),
            (
                "* invalid ip-range 192.168.0.1/24: it should be 192.168.0.0/24\n"
                "* invalid ip-range 192.168.0.1/24: parent subnet 10.0.0.0/8 doesn't contain ip-range"
            ),
        ),
        (IpamConfig("10.0.0.0/8", gateway="gw"), "invalid gateway gw: invalid address"),
        (IpamConfig("10.0.0.0/8", gateway="fd00::1"), "invalid gateway fd00::1: parent subnet is an IPv4 block"),
        (
            IpamConfig("10.0.0.0/8", gateway="192.168.0.1"),
            "invalid gateway 192.168.0.1: parent subnet 10.0.0.0/8 doesn't contain this address",
        ),
        (
            IpamConfig("10.0.0.0/8", aux_addresses={"printer": "192.168.0.1"}),
            "invalid auxiliary address printer: parent subnet 10.0.0.0/8 doesn't contain this address",
        ),
    ],
)
def test_an_ipam_configuration_that_does_not_fit_is_refused(config: IpamConfig, faults: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        validate_ipam_config(profile("28.5.2"), [config])
    assert caught.value.message == f"invalid network config:\n{faults}"


def test_ipv6_entries_are_skipped_on_a_network_without_ipv6() -> None:
    config = IpamConfig("fd00::1/64", gateway="10.0.0.1")
    validate_ipam_config(NEW, [config])
    with pytest.raises(InvalidParameter):
        validate_ipam_config(NEW, [config], enable_ipv6=True)


def test_gateway_and_auxiliary_addresses_may_lie_outside_the_ip_range() -> None:
    config = IpamConfig("10.0.0.0/8", "10.1.0.0/16", "10.2.0.1", {"x": "10.3.0.1"})
    for version in VERSIONS:
        validate_ipam_config(profile(version), [config])


AUTO = NetworkSubnets(allocated=[Prefix.parse("172.18.0.0/16")])
OWN = NetworkSubnets(configured=[Prefix.parse("10.0.0.0/24")], allocated=[Prefix.parse("10.0.0.0/24")])


@pytest.mark.parametrize(
    ("version", "network", "settings", "subnets", "faults"),
    [
        (
            "26.1.5",
            "bridge",
            RequestedAddresses("172.17.0.9"),
            NetworkSubnets(),
            (
                "* user specified IP address is supported on user defined networks only\n"
                "* user specified IP address is supported only when connecting to networks with user configured "
                "subnets"
            ),
        ),
        (
            "29.7.2",
            "bridge",
            RequestedAddresses("172.18.0.9"),
            AUTO,
            "user-specified IP address is supported on user-defined networks only",
        ),
        (
            "28.5.2",
            "host",
            RequestedAddresses(aliases=["a"]),
            None,
            "network-scoped alias is supported only for containers in user defined networks",
        ),
        (
            "29.7.2",
            "none",
            RequestedAddresses(aliases=["a"]),
            None,
            "network-scoped aliases are only supported for user-defined networks",
        ),
        (
            "28.5.2",
            "app",
            RequestedAddresses("172.18.0.9"),
            AUTO,
            "user specified IP address is supported only when connecting to networks with user configured subnets",
        ),
        (
            "26.1.5",
            "app",
            RequestedAddresses("10.99.0.1"),
            OWN,
            "no configured subnet or ip-range contain the IP address 10.99.0.1",
        ),
        ("29.7.2", "app", RequestedAddresses("10.99.0.1"), OWN, "no configured subnet contains IP address 10.99.0.1"),
        ("29.7.2", "app", RequestedAddresses("fd00::1"), None, "invalid IPv4 address: fd00::1"),
        ("29.7.2", "app", RequestedAddresses("0.0.0.0"), None, "invalid IPv4 address: 0.0.0.0"),
        ("29.7.2", "app", RequestedAddresses(ipv6="10.0.0.1"), None, "invalid IPv6 address: 10.0.0.1"),
        ("29.7.2", "app", RequestedAddresses(ipv6="fe80::1%eth0"), None, "invalid IPv6 address: fe80::1%eth0"),
        ("29.7.2", "app", RequestedAddresses(link_local=["x"]), None, "invalid link-local IP address: x"),
    ],
)
def test_endpoint_settings_that_do_not_fit_are_refused(
    version: str, network: str, settings: RequestedAddresses, subnets: NetworkSubnets | None, faults: str
) -> None:
    with pytest.raises(InvalidParameter) as caught:
        validate_endpoint_settings(profile(version), network, settings, subnets)
    assert caught.value.message == f"invalid endpoint settings:\n{faults}"


@pytest.mark.parametrize(("version", "subnets"), [("26.1.5", OWN), ("28.5.2", OWN), ("29.7.2", OWN)])
def test_a_static_address_of_a_configured_subnet_is_accepted(version: str, subnets: NetworkSubnets) -> None:
    validate_endpoint_settings(profile(version), "app", RequestedAddresses("10.0.0.9"), subnets)


def test_29_accepts_a_static_address_of_an_automatic_subnet() -> None:
    validate_endpoint_settings(NEW, "app", RequestedAddresses("172.18.0.9"), AUTO)


def test_an_interface_sysctl_must_name_the_interface_as_IFNAME() -> None:  # noqa: N802 - the kernel's spelling
    validate_interface_sysctls("net.ipv4.conf.IFNAME.log_martians=1,net.ipv6.conf.IFNAME.accept_ra=2")
    with pytest.raises(InvalidParameter, match=r"unrecognised network interface sysctl 'net.ipv4.conf.eth0.log=1'"):
        validate_interface_sysctls("net.ipv4.conf.eth0.log=1")


# ---- laws


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 40))), st.integers(0, 40), st.integers(0, 40))
def test_an_address_set_behaves_as_a_set(script: list[tuple[bool, int]], low: int, high: int) -> None:
    model: set[int] = set()
    sparse = AddressSet(41)
    for is_add, ordinal in script:
        if is_add:
            assert sparse.add(ordinal) == (ordinal not in model)
            model.add(ordinal)
        else:
            assert sparse.discard(ordinal) == (ordinal in model)
            model.discard(ordinal)
    assert len(sparse) == len(model)
    assert [each in sparse for each in range(41)] == [each in model for each in range(41)]
    assert sparse.count_between(low, high) == len([each for each in model if low <= each <= high])
    assert sparse.first_free(low, high) == next((each for each in range(low, high + 1) if each not in model), None)


@given(st.integers(22, 30), st.sampled_from(VERSIONS))
def test_a_subnet_gives_all_its_host_addresses_once(length: int, version: str) -> None:
    ipam = Ipam(profile(version))
    pool = ipam.request_pool(PoolRequest(LOCAL_SPACE, f"10.0.0.0/{length}"))
    count = 2 ** (32 - length) - 2
    addresses = {take(ipam, pool.id) for _ in range(count)}
    assert len(addresses) == count
    with pytest.raises(NoAvailableAddresses):
        take(ipam, pool.id)
    freed = sorted(addresses)[count // 2]
    restore_point(ipam, pool.id, freed)
    assert take(ipam, pool.id) == freed


class AddressesMachine(RuleBasedStateMachine):
    """Any sequence of requests and releases, on two ip-ranges of one subnet."""

    def __init__(self) -> None:
        super().__init__()
        self.ipam = Ipam(NEW)
        self.pools = [
            self.ipam.request_pool(PoolRequest(LOCAL_SPACE, "10.0.0.0/27", text))
            for text in ("10.0.0.0/28", "10.0.0.8/29")
        ]
        self.held: set[bytes] = set()

    @rule(which=st.integers(0, 1), serial=st.booleans())
    def automatic(self, which: int, serial: bool) -> None:
        before = self.ipam.status(self.pools[which].id)
        try:
            address, length = self.ipam.request_address(self.pools[which].id, serial=serial)
        except NoAvailableAddresses:
            assert before.dynamic_ips_available == 0
            assert self.ipam.status(self.pools[which].id) == before
            return
        assert length == 27
        assert address not in self.held
        self.held.add(address)

    @rule(which=st.integers(0, 1), host=st.integers(0, 40))
    def particular(self, which: int, host: int) -> None:
        address = parse_ip(f"10.0.0.{host}")
        before = self.ipam.status(self.pools[which].id)
        try:
            self.ipam.request_address(self.pools[which].id, address)
        except EngineError:
            assert address in self.held or host in {0, 31} or host > 31
            assert self.ipam.status(self.pools[which].id) == before
            return
        assert address not in self.held
        self.held.add(address)

    @rule(which=st.integers(0, 1), index=st.integers(0, 40))
    def release(self, which: int, index: int) -> None:
        if self.held:
            address = sorted(self.held)[index % len(self.held)]
            self.ipam.release_address(self.pools[which].id, address)
            self.held.discard(address)

    @invariant()
    def every_live_address_is_counted(self) -> None:
        assert self.ipam.status(self.pools[0].id).ips_in_use == len(self.held) + 2


TestAddresses = AddressesMachine.TestCase
