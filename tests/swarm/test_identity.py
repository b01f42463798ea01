"""Identifiers and join tokens."""

import re
from random import Random

import pytest

from cnmsim.swarm.ca.join_token import join_token, parse_join_token
from cnmsim.swarm.identity import new_id, parse_unlock_key, unlock_key_text


def test_ids_have_25_digits_of_base_36_and_differ():
    random = Random(1)
    ids = {new_id(random) for _ in range(1000)}
    assert len(ids) == 1000
    assert all(re.fullmatch("[0-9a-z]{25}", each) for each in ids)


def test_ids_follow_from_the_seed():
    assert new_id(Random(7)) == new_id(Random(7))


def test_a_join_token_gives_back_the_digest():
    token = join_token(Random(1), "00ff" + "5a" * 30)
    assert re.fullmatch("SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}", token)
    digest, secret = parse_join_token(token)
    assert digest == "00ff" + "5a" * 30
    assert token.endswith(secret)


@pytest.mark.parametrize(
    "token",
    ["", "SWMTKN-1-nonsense", "SWMTKN-3-" + "0" * 50 + "-" + "0" * 25, "SWMTKN-1-" + "0" * 49 + "-" + "0" * 25,
     "SWMTKN-2-9-" + "0" * 50 + "-" + "0" * 25, "SWMTKN-1-" + "!" * 50 + "-" + "0" * 25],
)  # fmt: skip
def test_what_is_no_join_token_is_refused(token):
    with pytest.raises(ValueError, match="invalid join token"):
        parse_join_token(token)


@pytest.mark.parametrize("length", range(1, 40))
def test_an_unlock_key_of_any_length_is_read_as_it_is_printed(length):
    key = bytes(range(200, 200 + length))
    assert parse_unlock_key(unlock_key_text(key)) == key


@pytest.mark.parametrize("text", ["", "SWMKEY-1-AAA=", "AAAA", "SWMKEY-1-AAAAA", "SWMKEY-1-AA!AA", "SWMKEY-1-AA AA"])
def test_what_is_no_unlock_key_is_refused(text):
    with pytest.raises(ValueError, match=r"^invalid key string$"):
        parse_unlock_key(text)
