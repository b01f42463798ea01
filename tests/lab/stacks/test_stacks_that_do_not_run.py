"""Stacks of which a task does not run: the lab is built nevertheless, and its outputs name the cause."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnmsim.errors import Conflict, FileError
from cnmsim.lab.stack.default_topology import stack_lab
from cnmsim.observe.inventory import inventory_text

_BOUND = """\
services:
  web:
    image: nginx
    ports: ["8080:80"]
    volumes:
      - /srv/pages:/usr/share/nginx/html:ro
      - ./site.conf:/etc/nginx/conf.d/site.conf:ro
  ask: {image: alpine, command: sleep 1d}
"""
_ENDING = """\
services:
  web:
    image: nginx
    command: sh -c "exit 3"
  ask: {image: alpine, command: sleep 1d}
"""
_EXTERNAL = """\
services:
  web:
    image: nginx
    networks: [proxy]
    secrets: [key]
    configs: [page]
networks:
  proxy: {external: true, name: traefik-public}
secrets:
  key: {external: true}
configs:
  page: {external: true}
"""


def _stack(folder: Path, text: str, name: str = "shop.stack.yml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_rejected_task_is_a_finding_of_the_doctor(tmp_path: Path) -> None:
    path = _stack(tmp_path, _BOUND)
    lab = stack_lab([path], managers=1, workers=0, env={}, strict=True)
    (fault,) = lab.doctor().of("failing-task")
    assert fault.place == "service web"
    assert fault.source == f"{path}:6"
    reason = 'invalid mount config for type "bind": bind source path does not exist: /srv/pages'
    assert fault.text == f"task 1 on node1 was rejected: {reason}"
    assert fault.advice == "create /srv/pages on node1, or use a named volume"
    assert f"rejected: {reason}" in inventory_text(lab)
    with pytest.raises(Conflict, match=r"^service web has no running task: rejected: invalid mount config"):
        lab.trace("web", "ask")
    assert "its task is rejected (invalid mount config" in str(lab.trace("ask", "web:80").finding)
    assert "its task is rejected (invalid mount config" in str(lab.trace("client", "node1:8080").finding)


def test_a_task_that_exits_again_and_again_is_a_finding(tmp_path: Path) -> None:
    path = _stack(tmp_path, _ENDING)
    lab = stack_lab([path], managers=1, workers=0, env={})
    (fault,) = lab.doctor().of("failing-task")
    assert fault.text == "task 1 on node1 failed: task: non-zero exit (3)"
    assert (fault.source, fault.advice) == (f"{path}:4", "look at docker service logs web")
    assert "NOT RUNNING" not in inventory_text(lab)


def test_bound_folders_and_files_are_assumed_to_exist(tmp_path: Path) -> None:
    lab = stack_lab([_stack(tmp_path, _BOUND)], managers=1, workers=1, env={})
    assert lab.source is not None
    assert lab.source.notes == (
        "/srv/pages is assumed to exist on all nodes", f"{tmp_path}/site.conf is assumed to exist on all nodes",
    )  # fmt: skip
    assert lab.trace("client", "node2:8080").is_reachable
    assert not lab.doctor().of("failing-task")


def test_external_objects_of_a_stack_are_assumed_to_exist(tmp_path: Path) -> None:
    path = _stack(tmp_path, _EXTERNAL)
    lab = stack_lab([path], managers=1, workers=0, env={})
    assert lab.source is not None
    assert lab.source.notes == (
        "network traefik-public is external: it is assumed to be a plain overlay network",
        "secret key is external: its content is not known",
        "config page is external: its content is not known",
    )
    assert lab.trace("client", "node1").is_reachable
    with pytest.raises(FileError, match='network "traefik-public" is declared as external'):
        stack_lab([path], managers=1, workers=0, env={}, strict=True)


def test_a_stack_is_named_by_the_first_part_of_its_file(tmp_path: Path) -> None:
    assert set(stack_lab([_stack(tmp_path, _ENDING)], managers=1, workers=0, env={}).stacks) == {"shop"}
