"""Lookups of probes: hosts files and resolv.conf files with lines that the C library skips."""

from __future__ import annotations

from cnmsim import Lab


def _lab(path: str, text: str) -> Lab:
    lab = Lab()
    lab.add_host("one", "10.0.0.1/24").machine.files.put(path, text.encode())
    lab.add_host("two", "10.0.0.2/24")
    return lab


def test_a_line_of_the_hosts_file_without_an_address_is_skipped() -> None:
    assert _lab("/etc/hosts", "junk two\n10.0.0.2 two\n::5 two\n").trace("one", "two").is_reachable


def test_a_name_server_that_is_no_address_is_skipped() -> None:
    walk = _lab("/etc/resolv.conf", "nameserver junk\nnameserver 10.0.0.2\nsearch lan.\n").trace("one", "nosuch")
    assert walk.outcome is not None
    assert walk.outcome.lookup is not None
    assert {(query.server, query.name) for query in walk.outcome.lookup.queries} == {("10.0.0.2", "nosuch.lan")}
