"""The forwarding database of a VXLAN device: adding and removing VTEPs (vxlan_fdb_update, vxlan_fdb_delete)."""

from __future__ import annotations

import errno

import pytest

from cnmsim.kernel.address import MAC_ZERO, parse_ip, parse_mac
from cnmsim.kernel.clock import Clock
from cnmsim.kernel.vxlan_fdb import VxlanFdb

FIRST, SECOND, THIRD = (parse_ip(f"10.0.0.{number}") for number in (1, 2, 3))
UNICAST = parse_mac("02:42:0a:00:01:02")


@pytest.fixture
def fdb() -> VxlanFdb:
    table = VxlanFdb(Clock())
    for vtep in (FIRST, SECOND):
        table.add(MAC_ZERO, vtep, mode="append")
    return table


def remotes(fdb: VxlanFdb) -> list[bytes]:
    return [vtep for entry in fdb for vtep in entry.remotes]


def test_removing_one_vtep_keeps_the_others_and_the_last_one_removes_the_entry(fdb: VxlanFdb) -> None:
    fdb.remove(MAC_ZERO, FIRST)
    assert remotes(fdb) == [SECOND]
    fdb.remove(MAC_ZERO, SECOND)
    assert list(fdb) == []


def test_removing_a_vtep_that_the_entry_does_not_have_changes_nothing(fdb: VxlanFdb) -> None:
    fdb.remove(MAC_ZERO, THIRD)
    assert remotes(fdb) == [FIRST, SECOND]


def test_removing_an_entry_removes_all_its_vteps(fdb: VxlanFdb) -> None:
    fdb.remove(MAC_ZERO)
    assert list(fdb) == []
    with pytest.raises(OSError, match="No such file") as caught:
        fdb.remove(MAC_ZERO)
    assert caught.value.errno == errno.ENOENT


def test_appending_a_vtep_twice_or_to_a_unicast_address_changes_nothing(fdb: VxlanFdb) -> None:
    fdb.add(MAC_ZERO, FIRST, mode="append")
    assert remotes(fdb) == [FIRST, SECOND]
    fdb.remove(MAC_ZERO)
    fdb.add(UNICAST, FIRST, mode="append")
    fdb.add(UNICAST, SECOND, mode="append")
    assert remotes(fdb) == [FIRST]
    fdb.add(UNICAST, SECOND, mode="replace")
    assert remotes(fdb) == [SECOND]
