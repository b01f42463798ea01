"""The responses of the name server to single messages."""

from __future__ import annotations

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmsim.underlay.nameserver import Zone

ZONE = Zone.of({"www.example.com": "203.0.113.10", "dual.example.com": ["203.0.113.20", "2001:db8::20"]})


def ask(name: str, kind: str, **options: bool) -> dns.message.Message:
    wire = ZONE.answer(dns.message.make_query(name, kind, **options).to_wire())
    assert wire is not None
    return dns.message.from_wire(wire)


@pytest.mark.parametrize(
    ("name", "kind", "rcode", "answers"),
    [
        ("www.example.com", "A", "NOERROR", ["203.0.113.10"]),
        ("WWW.Example.COM", "A", "NOERROR", ["203.0.113.10"]),
        ("www.example.com", "AAAA", "NOERROR", []),
        ("www.example.com", "MX", "NOERROR", []),
        ("dual.example.com", "AAAA", "NOERROR", ["2001:db8::20"]),
        ("nowhere.example.com", "A", "NXDOMAIN", []),
        ("nowhere.example.com", "AAAA", "NXDOMAIN", []),
        ("10.113.0.203.in-addr.arpa", "PTR", "NOERROR", ["www.example.com."]),
        ("11.113.0.203.in-addr.arpa", "PTR", "NXDOMAIN", []),
        ("not-an-address.in-addr.arpa", "PTR", "NXDOMAIN", []),
    ],
)
def test_answers_are_those_of_dnsmasq(name: str, kind: str, rcode: str, answers: list[str]) -> None:
    response = ask(name, kind)
    assert dns.rcode.to_text(response.rcode()) == rcode
    assert [str(item) for rrset in response.answer for item in rrset] == answers


def test_an_answer_is_authoritative_and_offers_recursion_without_doing_it() -> None:
    response = ask("www.example.com", "A")
    assert response.flags & dns.flags.AA
    assert response.flags & dns.flags.RA
    assert not ask("nowhere.example.com", "A").flags & dns.flags.AA


def test_the_ttl_is_zero() -> None:
    assert ask("www.example.com", "A").answer[0].ttl == 0


def test_edns_is_answered_with_edns() -> None:
    assert ask("www.example.com", "A", use_edns=True).edns == 0
    assert ask("www.example.com", "A").edns == -1


def test_an_answer_too_long_for_udp_is_truncated_and_whole_over_tcp() -> None:
    zone = Zone.of({"many.example.com": [f"10.0.{n // 200}.{n % 200 + 1}" for n in range(400)]})
    query = dns.message.make_query("many.example.com", "A").to_wire()
    cut = zone.answer(query)
    assert cut is not None
    assert len(cut) <= 512
    assert dns.message.from_wire(cut).flags & dns.flags.TC
    whole = zone.answer(query, limit=65535)
    assert whole is not None
    assert len(dns.message.from_wire(whole).answer[0]) == 400


@given(st.binary(max_size=100))
def test_any_bytes_are_answered_or_ignored(wire: bytes) -> None:
    answer = ZONE.answer(wire)
    assert answer is None or answer[:2] == wire[:2]


def test_an_impossible_address_makes_no_zone() -> None:
    with pytest.raises(ValueError, match="invalid IP address"):
        Zone.of({"a.example.com": "10.0.0.256"})
