"""Default address pools."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmsim.errors import InvalidParameter
from cnmsim.kernel.address import Prefix, parse_ip
from cnmsim.libnetwork.ipam import LOCAL_SPACE, Ipam, PoolBase, PoolOverlap, host_exclusions, swarm_pools, ula_pool
from cnmsim.libnetwork.ipam.allocator import PoolRequest
from cnmsim.libnetwork.ipam.predefined import configured_pools
from cnmsim.libnetwork.profile import PROFILES, Profile, profile

OLD, MID, NEW = profile("26.1.5"), profile("28.5.2"), profile("29.7.2")
LATER = (MID, NEW)
LAN = Prefix.parse("192.168.1.0/24")


def bases(*texts: str) -> list[PoolBase]:
    """`192.168.0.0/16->24` is a base and the size its subnets have."""
    return [PoolBase(Prefix.parse(text.split("->")[0]), int(text.split("->")[1])) for text in texts]


def prefixes(*texts: str) -> list[Prefix]:
    return [Prefix.parse(text, strict=False) for text in texts]


def draw(ipam: Ipam, pool: str = "", **options: object) -> str:
    return str(ipam.request_pool(PoolRequest(LOCAL_SPACE, pool, **options)).prefix)  # type: ignore[arg-type]


def exhausted_text(family: int = 4) -> str:
    return f"could not find an available, non-overlapping IPv{family} address pool among the defaults to assign"


@pytest.mark.parametrize("version", PROFILES)
def test_the_31_default_subnets_come_in_order_and_leave_out_172_16(version: str) -> None:
    ipam = Ipam(profile(version))
    drawn = [draw(ipam) for _ in range(31)]
    assert drawn[:15] == [f"172.{n}.0.0/16" for n in range(17, 32)]
    assert drawn[15:] == [f"192.168.{n}.0/20" for n in range(0, 256, 16)]


def test_used_up_default_pools_are_not_found_in_26() -> None:
    ipam = Ipam(OLD)
    for _ in range(31):
        draw(ipam)
    with pytest.raises(Exception, match=exhausted_text()) as caught:
        draw(ipam)
    assert caught.value.status == 404  # type: ignore[attr-defined]


@pytest.mark.parametrize("later", LATER)
def test_used_up_default_pools_are_a_bad_request_later(later: object) -> None:
    ipam = Ipam(later)  # type: ignore[arg-type]
    for _ in range(31):
        draw(ipam)
    with pytest.raises(Exception, match=r"^all predefined address pools have been fully subnetted$") as caught:
        draw(ipam)
    assert caught.value.status == 400  # type: ignore[attr-defined]


@pytest.mark.parametrize(("version", "third"), [("26.1.5", "172.19.0.0/16"), ("28.5.2", "172.17.0.0/16")])
def test_a_freed_subnet_is_drawn_again_at_once_only_since_27(version: str, third: str) -> None:
    ipam = Ipam(profile(version))
    first = ipam.request_pool(PoolRequest(LOCAL_SPACE))
    draw(ipam)
    ipam.release_pool(first.id)
    assert draw(ipam) == third


def test_the_cursor_of_26_gives_back_in_list_order_after_exhaustion() -> None:
    ipam = Ipam(OLD)
    pools = [ipam.request_pool(PoolRequest(LOCAL_SPACE)) for _ in range(31)]
    ipam.release_pool(pools[5].id)
    ipam.release_pool(pools[2].id)
    assert [draw(ipam), draw(ipam)] == [str(pools[2].prefix), str(pools[5].prefix)]


def test_a_failed_creation_burns_a_subnet_of_26() -> None:
    ipam = Ipam(OLD)
    draw(ipam)
    burnt = ipam.request_pool(PoolRequest(LOCAL_SPACE))
    ipam.release_pool(burnt.id)
    assert draw(ipam) == "172.19.0.0/16"


def test_26_holds_candidates_the_host_uses_and_releases_them_but_not_the_cursor() -> None:
    ipam = Ipam(OLD)
    assert draw(ipam, exclude=prefixes("172.17.0.0/16", "172.18.0.53/32")) == "172.19.0.0/16"
    assert draw(ipam) == "172.20.0.0/16"
    assert draw(ipam, "172.17.0.0/16") == "172.17.0.0/16"


def test_26_has_no_ipv6_pool() -> None:
    with pytest.raises(Exception, match=exhausted_text(6)):
        draw(Ipam(OLD), v6=True)


@pytest.mark.parametrize(
    ("pools", "allocated", "reserved", "result"),
    [
        ([], [], ["172.17.0.0/16"], "172.18.0.0/16"),
        ([], [], ["172.17.0.53/32"], "172.18.0.0/16"),
        ([], ["172.17.5.0/24"], [], "172.18.0.0/16"),
        ([], ["172.17.0.0/16", "172.18.0.0/16", "172.19.0.0/16", "172.20.200.0/24"], [], "172.21.0.0/16"),
        ([], ["172.16.0.0/14"], [], "172.20.0.0/16"),
        ([], ["172.16.0.0/12"], ["192.168.1.0/24"], "192.168.16.0/20"),
        ([], ["172.16.0.0/12"], ["192.168.20.0/24"], "192.168.0.0/20"),
        ([], ["172.16.0.0/12", "192.168.0.0/20"], ["192.168.20.0/24"], "192.168.32.0/20"),
        (
            ["192.168.0.0/16->24"],
            ["192.168.0.0/24", "192.168.1.0/24", "192.168.2.0/23", "192.168.4.3/30"],
            [],
            "192.168.5.0/24",
        ),
        (
            ["192.168.0.0/16->24"],
            ["192.168.0.0/24", "192.168.1.0/24", "192.168.2.3/30"],
            ["192.168.2.4/30", "192.168.3.0/30", "192.168.4.0/23"],
            "192.168.6.0/24",
        ),
        (["192.168.0.0/16->24"], ["192.168.255.0/24"], [], "192.168.0.0/24"),
        (["10.0.0.0/8->24", "192.168.0.0/16->24"], ["10.0.0.0/8"], ["10.0.0.0/7"], "192.168.0.0/24"),
        (
            ["172.16.0.0/15->16", "192.168.0.0/16->24"],
            ["172.16.0.0/16", "172.17.0.0/17"],
            [],
            "192.168.0.0/24",
        ),
        (
            ["10.0.0.0/31->31", "192.168.0.0/16->24"],
            ["10.0.0.0/32", "100.0.0.0/32", "200.0.0.0/32"],
            [],
            "192.168.0.0/24",
        ),
    ],
)
@pytest.mark.parametrize("later", LATER)
def test_the_lowest_gap_is_drawn(
    later: object, pools: list[str], allocated: list[str], reserved: list[str], result: str
) -> None:
    ipam = Ipam(later, default_pools=bases(*pools))  # type: ignore[arg-type]
    for each in prefixes(*allocated):
        draw(ipam, str(each))
    assert draw(ipam, exclude=prefixes(*reserved)) == result


def test_a_pool_without_a_gap_is_exhausted() -> None:
    ipam = Ipam(NEW, default_pools=bases("172.16.0.0/15->16"))
    for each in ("172.16.0.0/16", "172.17.0.0/17"):
        draw(ipam, each)
    with pytest.raises(InvalidParameter, match="all predefined address pools have been fully subnetted"):
        draw(ipam)


def test_of_nested_allocations_only_the_last_is_remembered() -> None:
    ipam = Ipam(NEW, default_pools=bases("10.0.0.0/8->24"))
    ipam.request_pool(PoolRequest(LOCAL_SPACE, "10.0.0.0/16"))
    ipam.request_pool(PoolRequest(LOCAL_SPACE, "10.0.0.0/24", "10.0.0.0/25"))
    assert draw(ipam) == "10.0.1.0/24"


def test_a_size_hint_draws_subnets_of_that_size() -> None:
    ipam = Ipam(NEW)
    wanted = ("", "0.0.0.0/24", "0.0.0.0/24", "", "0.0.0.0/0")
    assert [draw(ipam, each) for each in wanted] == [
        "172.17.0.0/16",
        "172.18.0.0/24",
        "172.18.1.0/24",
        "172.19.0.0/16",
        "172.20.0.0/16",
    ]
    assert draw(ipam, "0.0.0.0/14") == "172.24.0.0/14"
    assert draw(ipam, "0.0.0.0/15") == "172.22.0.0/15"


@pytest.mark.parametrize("hint", ["0.0.0.0/12", "0.0.0.0/8"])
def test_a_size_no_pool_can_give_is_an_invalid_pool(hint: str) -> None:
    with pytest.raises(InvalidParameter, match=r"^invalid address pool$"):
        draw(Ipam(NEW), hint)


@pytest.mark.parametrize("version", ["26.1.5", "28.5.2"])
def test_before_29_a_size_hint_is_a_subnet_like_any_other(version: str) -> None:
    assert draw(Ipam(profile(version)), "0.0.0.0/24") == "0.0.0.0/24"


@pytest.mark.parametrize(
    ("engine_id", "base"),
    [("", "fd42:98fc:1c14::/48"), ("499d4bc0-b0b3-416f-b1ee-cf6486315593", "fd62:fb69:18af::/48")],
)
def test_the_ipv6_pool_is_made_of_the_engine_id(engine_id: str, base: str) -> None:
    assert str(ula_pool(engine_id).base) == base


def test_ipv6_networks_get_consecutive_64s_of_it() -> None:
    ipam = Ipam(NEW, engine_id="499d4bc0-b0b3-416f-b1ee-cf6486315593")
    assert [draw(ipam, v6=True) for _ in range(3)] == [
        "fd62:fb69:18af::/64",
        "fd62:fb69:18af:1::/64",
        "fd62:fb69:18af:2::/64",
    ]


def test_a_configured_ipv6_pool_replaces_the_made_one() -> None:
    assert draw(Ipam(NEW, default_pools=bases("fd00::/56->64")), v6=True) == "fd00::/64"


@pytest.mark.parametrize(("version", "first"), [("26.1.5", "192.168.10.0/27"), ("28.5.2", "10.5.0.0/24")])
def test_configured_pools_are_sorted_since_27(version: str, first: str) -> None:
    assert draw(Ipam(profile(version), default_pools=bases("192.168.10.0/24->27", "10.5.0.0/16->24"))) == first


def test_configured_pools_that_overlap_an_earlier_one_are_dropped() -> None:
    ipam = Ipam(NEW, default_pools=bases("10.0.4.0/24->26", "10.0.0.0/16->17"))
    assert [draw(ipam), draw(ipam)] == ["10.0.0.0/17", "10.0.128.0/17"]
    with pytest.raises(InvalidParameter):
        draw(ipam)


@pytest.mark.parametrize(
    ("version", "text"),
    [
        ("26.1.5", "invalid pools size: 8"),
        (
            "29.7.2",
            "network at index 0 (10.0.0.0/16) has a smaller prefix (/16) than the target size of that pool (/8)",
        ),
    ],
)
def test_a_pool_smaller_than_its_subnets_is_refused(version: str, text: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        Ipam(profile(version), default_pools=bases("10.0.0.0/16->8"))
    assert caught.value.message == text


def test_a_base_that_is_no_prefix_is_refused() -> None:
    with pytest.raises(InvalidParameter, match=r'^invalid base pool "ten": invalid CIDR address: ten$'):
        PoolBase.parse("ten", 24)


def test_host_exclusions_are_the_nameservers_of_the_family_and_onlink_networks() -> None:
    servers = [parse_ip("192.0.2.53"), parse_ip("2001:db8::53")]
    routes = prefixes("0.0.0.0/0", "192.168.1.0/24", "2001:db8::/64")
    assert host_exclusions(servers, routes, 4) == prefixes("192.0.2.53/32", "192.168.1.0/24")
    assert host_exclusions(servers, routes, 6) == prefixes("2001:db8::53/128")


@pytest.mark.parametrize(
    ("pools", "size", "text"),
    [
        ([], 30, "subnet size is out of range: 30"),
        (["10.0.0.0/26"], 24, 'invalid CIDR: "10.0.0.0/26". Subnet size is too small for pool: 24'),
    ],
)
def test_swarm_pools_are_checked(pools: list[str], size: int, text: str) -> None:
    with pytest.raises(InvalidParameter) as caught:
        swarm_pools(pools, size)
    assert caught.value.message == text


def test_global_networks_get_24s_of_10_0_0_0() -> None:
    for version in PROFILES:
        ipam = Ipam(profile(version))
        assert [str(ipam.request_pool(PoolRequest("GlobalDefault")).prefix) for _ in range(2)] == [
            "10.0.0.0/24",
            "10.0.1.0/24",
        ]


SUBNETS = st.builds(
    Prefix.of,
    st.integers(0, 0xFFFF).map(lambda low: bytes((10, 0)) + low.to_bytes(2)),
    st.integers(16, 28),
)


@given(st.lists(SUBNETS, max_size=20), st.sampled_from(sorted(PROFILES)))
def test_plain_subnets_never_overlap(subnets: list[Prefix], version: str) -> None:
    ipam = Ipam(profile(version))
    held: list[Prefix] = []
    for subnet in subnets:
        try:
            held.append(ipam.request_pool(PoolRequest(LOCAL_SPACE, str(subnet))).prefix)
        except PoolOverlap:
            assert any(subnet.overlaps(each) for each in held)
    assert not any(a.overlaps(b) for at, a in enumerate(held) for b in held[at + 1 :])


@given(st.lists(st.one_of(st.none(), st.integers(0, 10)), max_size=60), st.sampled_from(sorted(PROFILES)))
def test_default_subnets_drawn_and_released_never_overlap(script: list[int | None], version: str) -> None:
    ipam = Ipam(profile(version))
    held = {}
    for step in script:
        if step is None:
            if len(held) < 31:
                pool = ipam.request_pool(PoolRequest(LOCAL_SPACE))
                assert not any(pool.prefix.overlaps(each.prefix) for each in held.values())
                held[pool.id] = pool
        elif held:
            name = sorted(held)[step % len(held)]
            ipam.release_pool(name)
            del held[name]


@pytest.mark.parametrize("release", LATER)
@pytest.mark.parametrize(
    ("texts", "has_ula"), [((), True), (("10.0.0.0/8->24",), True), (("10.0.0.0/8->24", "fd00::/48->64"), False)]
)
def test_an_engine_without_an_ipv6_pool_gets_one(release: Profile, texts: tuple[str, ...], has_ula: bool) -> None:
    pools = configured_pools(release, bases(*texts), "")
    assert (ula_pool("") in pools) is has_ula
    assert any(pool.base.family == 6 for pool in pools)
    assert not any(pool.base.family == 6 for pool in configured_pools(OLD, bases("10.0.0.0/8->24"), ""))
    assert not any(pool.base.family == 6 for pool in configured_pools(release, bases("10.0.0.0/8->24")))
