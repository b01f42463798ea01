"""Names that users of docker-py and Compose try: the error names the call that does what they promise."""

from __future__ import annotations

from typing import Any

import pytest

import cnmsim
from cnmsim import InvalidParameter, Lab

_STACK = """\
services:
  web: {image: nginx, deploy: {replicas: 2}, ports: ["8080:80"]}
  api: {image: alpine, command: sleep 1d}
"""
_FILES = "; files are read by Lab.from_compose(FILE)"


def test_a_stack_is_loaded_from_text_and_from_a_file(tmp_path: Any) -> None:
    lab = Lab.from_stack(_STACK, "shop", managers=1, workers=1)
    assert list(lab.hosts)[-2:] == ["node1", "node2"]
    assert lab.trace("api", "web:80").is_reachable
    assert lab.trace("client", "node2:8080").is_reachable
    path = tmp_path / "store.yml"
    path.write_text(_STACK, encoding="utf-8")
    (stack,) = Lab.from_stack(path, managers=1).host("node1").docker.stacks.list()
    assert stack.name == "store"


@pytest.mark.parametrize(
    ("owner", "name", "hint"),
    [
        (cnmsim, "load", _FILES),
        (cnmsim, "from_compose", "; the class Lab has it: Lab.from_compose(…)"),
        (cnmsim, "trace", "; a lab has it: lab.trace(…)"),
        (cnmsim, "DockerClient", "; a Docker host has an engine with docker-py's methods: Lab().add_host("),
        (cnmsim, "Policy", "; cnmsim.testing has check_policy(lab, POLICY)"),
        (cnmsim, "Router", "; a lab makes it: lab.add_router(…)"),
        (cnmsim, "Lba", ", did you mean Lab?"),
        (Lab, "from_yaml", _FILES),
        (Lab, "load", _FILES),
        (Lab, "from_composes", ", did you mean from_compose?"),
    ],
)
def test_the_error_about_a_name_says_what_to_use(owner: Any, name: str, hint: str) -> None:
    assert not hasattr(owner, name)
    with pytest.raises(AttributeError) as raised:
        getattr(owner, name)
    assert f"has no attribute {name!r}{hint}" in str(raised.value)


@pytest.mark.parametrize(
    ("of", "name", "hint"),
    [
        ("lab", "deploy", "; a manager deploys a stack: lab.host('node1').docker.stacks.deploy(STACK, FILE)"),
        ("lab", "containers", "; an engine has it: lab.host('node1').docker.containers"),
        ("lab", "docker", "; a Docker host has an engine: lab.host('node1').docker"),
        ("lab", "compose", "; lab.up(FILE) brings a Compose project up"),
        ("lab", "ping", "; hosts have it: lab.host(NAME).ping"),
        ("host", "run", "; host.exec(COMMAND) runs a command, host.docker.containers.run(IMAGE) a container"),
        ("engine", "ps", "; docker.containers.list() has the containers"),
    ],
)
def test_the_error_about_a_name_of_an_object_says_what_to_use(of: str, name: str, hint: str) -> None:
    lab = Lab()
    host = lab.add_host("node1", docker=True)
    with pytest.raises(AttributeError) as raised:
        getattr({"lab": lab, "host": host, "engine": host.docker}[of], name)
    assert str(raised.value).endswith(f"has no attribute {name!r}{hint}")


def test_a_file_in_place_of_a_release_is_recognised() -> None:
    with pytest.raises(InvalidParameter, match=r"no engine release compose.yml; Lab.from_compose"):
        Lab("compose.yml")


def test_a_constructor_of_a_part_is_shown_as_that_of_the_lab() -> None:
    with pytest.raises(TypeError, match=r"^Lab.from_stack\(\) got an unexpected .* 'file', did you mean files\?"):
        Lab.from_stack(file="x")  # type: ignore[call-arg]
