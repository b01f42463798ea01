"""Fixes of two independent faults: neither change helps alone, both together do, as tried on a fork."""

from __future__ import annotations

from cnmsim import Lab

_APART_AND_LOOPBACK = """\
services:
  web: {image: "python:3.12", command: python -m http.server 8000 -b 127.0.0.1, networks: [front]}
  api: {image: alpine, command: sleep 1d, networks: [back]}
networks: {front: {}, back: {}}
"""


def test_two_changes_are_one_fix_if_neither_helps_alone() -> None:
    (fix,) = Lab.from_compose(_APART_AND_LOOPBACK).explain("api", "web:8000").fixes
    assert fix.was_tried
    assert len(fix.changes) == 2
    assert fix.text == "add network front to service api; let the program in web bind 0.0.0.0 instead of 127.0.0.1"
    assert fix.apply().reachable
