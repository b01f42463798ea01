"""/etc/hosts of a sandbox."""

import pytest

from cnmsim.kernel.address import parse_ip
from cnmsim.libnetwork.etchosts import (
    HostsRecord,
    add_records,
    build_hosts,
    own_records,
    remove_endpoint,
    update_address,
)
from cnmsim.libnetwork.profile import PROFILES, profile

NEW, OLD = profile("29.7.2"), profile("26.1.5")
STATIC = (
    "127.0.0.1\tlochost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::{0}\tip6-localnet\n"
    "ff00::{0}\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"
).replace("lochost", "localhost")


@pytest.mark.parametrize(("version", "zero"), [("26.1.5", "0"), ("28.5.2", ""), ("29.7.2", "")])
def test_the_file_of_a_container_with_extra_hosts(version: str, zero: str) -> None:
    release = profile(version)
    extra = [HostsRecord("192.0.2.7", "extra"), HostsRecord("172.17.0.1", "host.docker.internal")]
    own = own_records([parse_ip("172.18.0.7")], "f00dcafe0123")
    assert build_hosts(release, [*extra, *own]) == STATIC.format(zero) + (
        "192.0.2.7\textra\n172.17.0.1\thost.docker.internal\n172.18.0.7\tf00dcafe0123\n"
    )


def test_both_families_have_a_line_with_the_same_name() -> None:
    own = own_records([parse_ip("10.60.0.3"), parse_ip("fd00:60::99")], "c2")
    assert [str(each) for each in own] == ["10.60.0.3\tc2", "fd00:60::99\tc2"]


@pytest.mark.parametrize(
    ("hostname", "domainname", "names"),
    [
        ("two", "", "two"),
        ("opt.lab", "", "opt.lab opt"),
        ("somehost", "example.com", "somehost.example.com somehost"),
        ("somehost.example.com", "", "somehost.example.com somehost"),
    ],
)
def test_a_full_name_is_followed_by_the_short_one(hostname: str, domainname: str, names: str) -> None:
    assert own_records([parse_ip("192.168.222.2")], hostname, domainname) == [HostsRecord("192.168.222.2", names)]


def test_without_ipv6_no_ipv6_line_is_written() -> None:
    own = own_records([parse_ip("10.0.0.2"), parse_ip("fd00::2")], "c1")
    assert build_hosts(NEW, own, has_ipv6=False) == "127.0.0.1\tlocalhost\n10.0.0.2\tc1\n"


@pytest.mark.parametrize("version", ["28.5.2", "29.7.2"])
def test_an_endpoint_that_leaves_takes_its_own_lines(version: str) -> None:
    text = build_hosts(NEW, own_records([parse_ip("172.18.0.3"), parse_ip("172.19.0.3")], "c0ffee"))
    left = remove_endpoint(profile(version), text, [parse_ip("172.19.0.3")], ["c0ffee"])
    assert left == build_hosts(NEW, own_records([parse_ip("172.18.0.3")], "c0ffee"))


def test_in_26_a_default_hostname_takes_the_lines_of_all_networks() -> None:
    text = build_hosts(OLD, own_records([parse_ip("172.18.0.3"), parse_ip("172.19.0.3")], "c0ffee"))
    assert remove_endpoint(OLD, text, [parse_ip("172.19.0.3")], ["c0ffee", "db"]) == build_hosts(OLD)


def test_in_26_another_hostname_keeps_the_line() -> None:
    text = build_hosts(OLD, own_records([parse_ip("172.19.0.3")], "mine"))
    assert remove_endpoint(OLD, text, [parse_ip("172.19.0.3")], ["c0ffee"]) == text


@pytest.mark.parametrize("version", PROFILES)
def test_lines_of_the_user_stay(version: str) -> None:
    text = build_hosts(NEW) + "# mine 172.19.0.3\n192.0.2.1\tmine\n"
    assert remove_endpoint(profile(version), text, [parse_ip("172.19.0.3")], ["db"]) == text


def test_a_restarted_child_gets_its_new_address() -> None:
    text = add_records("", [HostsRecord("172.17.0.2", "alias f00d db"), HostsRecord("172.17.0.9", "aliased")])
    assert update_address(text, parse_ip("172.17.0.5"), "alias") == "172.17.0.5\talias f00d db\n172.17.0.9\taliased\n"
