"""Simulated encryption: what the bytes on the wire stand for, for whom, and for how long."""

from __future__ import annotations

import pytest

from cnmsim.kernel.address import parse_ip
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.opaque_payload import NONCE_LENGTH, endpoint_key, payload_store


def test_each_content_has_bytes_and_a_nonce_of_its_own() -> None:
    store = payload_store(Clock())
    payloads = [store.encrypt(number, 40 + number) for number in range(1100)]  # more than a batch of nonces
    assert [len(payload) for payload in payloads] == [40 + number for number in range(1100)]
    assert len({payload[:NONCE_LENGTH] for payload in payloads}) == len(store) == 1100
    assert [store.decrypt(payload) for payload in payloads] == list(range(1100))


def test_a_payload_for_two_destinations_is_two_messages_with_one_content() -> None:
    store = payload_store(Clock())
    payload = store.payload("hello", 60, b"head")
    first, second = (payload.to_bytes(endpoint_key(parse_ip(f"10.0.0.{n}"), 7946)) for n in (2, 3))
    assert (first[:4], len(first), payload.size) == (b"head", 64, 64)
    assert first != second
    assert store.decrypt(first[4:]) == store.decrypt(second[4:]) == "hello"
    assert endpoint_key(parse_ip("10.0.0.2"), 7946) != endpoint_key(parse_ip("10.0.0.2"), 7947)


@pytest.mark.parametrize("length", [40, 70_000])
def test_altered_bytes_are_refused(length: int) -> None:
    store = payload_store(Clock())
    sealed = store.encrypt("hello", length)
    assert store.decrypt(sealed) == "hello"
    for at in (0, NONCE_LENGTH, length - 1):
        altered = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        with pytest.raises(ValueError, match="authentication of an encrypted payload failed"):
            store.decrypt(altered)


def test_a_content_lives_its_time_and_is_then_deleted() -> None:
    clock = Clock()
    store = payload_store(clock)
    assert payload_store(clock) is store
    brief, long = store.encrypt("brief", 40, lifetime_s=2), store.encrypt("long", 40, lifetime_s=30)
    clock.run_for(2)
    assert store.decrypt(brief) == "brief"
    clock.run_for(1)
    with pytest.raises(ValueError, match="authentication"):
        store.decrypt(brief)
    store.encrypt("other", 40, lifetime_s=50)
    assert len(store) == 2
    assert store.decrypt(long) == "long"


def test_two_runs_with_one_seed_have_the_same_bytes_and_with_another_seed_others() -> None:
    first, same, other = (payload_store(Clock(seed)).encrypt("hello", 40) for seed in (1, 1, 2))
    assert first == same != other
