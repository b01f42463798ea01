"""Hints in errors about attributes that do not exist: what users of docker-py and Compose may mean by them.

Each entry maps names to the call that does what the name promises.
"""

from __future__ import annotations

from collections.abc import Iterable

from cnmsim.suggestion import suggestion

_FILES = (
    "; files are read by Lab.from_compose(FILE), Lab.from_stack(FILE) and, for lab files, Lab.from_file(FILE); the "
    "first two also take text and mappings"
)
_READERS = ("load", "open", "read", "parse", "create", "build")
_LAB = {
    ("compose", "compose_up", "load_compose", "up_compose"): "lab.up(FILE) brings a Compose project up",
    ("down", "compose_down"): "lab.project.down() stops a Compose project",
    ("deploy", "stack", "stack_deploy", "deploy_stack"): (
        "a manager deploys a stack: lab.host(NAME).docker.stacks.deploy(STACK, FILE)"
    ),
    ("add_container", "run_container", "add_service", "docker_run"): (
        "an engine runs containers: lab.host(NAME).docker.containers.run(IMAGE, detach=True)"
    ),
    ("network", "add_network", "create_network"): (
        "an engine has the networks: lab.host(NAME).docker.networks.create(NETWORK)"
    ),
    ("service",): "a manager has the services: lab.host(NAME).docker.services.get(SERVICE)",
    ("add_node", "add_docker", "add_docker_host", "add_machine", "add_vm"): (
        "lab.add_host(NAME, ADDRESS, docker=True) adds a Docker host"
    ),
    ("add_switch", "add_bridge", "add_lan", "switch"): "lab.add_segment(NAME) adds a segment or a switch",
    ("connect", "add_link", "cable", "wire"): "lab.link(ONE, OTHER) lays a cable",
    ("init_swarm", "create_swarm", "swarm_init", "join_swarm"): (
        "an engine has the swarm: lab.host(NAME).docker.swarm.init()"
    ),
    ("check", "policy", "check_policy", "Policy"): "cnmsim.testing has check_policy(lab, POLICY)",
    ("assert_reachable", "assert_isolated", "assert_resolves"): "cnmsim.testing has the assertions",
    ("save", "dump", "to_yaml"): "lab.fork() copies a lab; cnmsim serve --state FILE keeps the state of its engines",
    ("to_compose",): "a lab is read from a Compose file, and not written to one",
    ("close", "stop", "shutdown", "destroy"): "a lab holds nothing that must be closed",
    ("wait", "sleep", "advance", "step"): "lab.run(SECONDS) lets virtual time pass, lab.settle() waits for rest",
}
#: Attributes of docker-py's client that every engine has and a lab has not.
_OF_ENGINES = frozenset(
    {"containers", "networks", "volumes", "services", "nodes", "swarm", "secrets", "configs", "info", "version", "df"}
)
_BY_NAME = {name: text for names, text in _LAB.items() for name in names}


def for_lab(name: str, docker_hosts: list[str]) -> str:
    """Return a hint to append to the error that a lab has no attribute `name`; "" if there is no hint for the name.

    `docker_hosts` are the names of the lab's Docker hosts.
    """
    text = _BY_NAME.get(name, "")
    if name in _OF_ENGINES:
        text = f"an engine has it: lab.host(NAME).docker.{name}"
    elif name in {"docker", "client", "engine"}:
        text = "a Docker host has an engine: lab.host(NAME).docker"
    host = repr(docker_hosts[0]) if len(docker_hosts) == 1 else "NAME"
    return f"; {text}".replace("host(NAME)", f"host({host})", 1) if text else for_lab_class(name)


def for_host(name: str) -> str:
    """Return a hint to append to the error that a host has no attribute `name`; "" if there is none."""
    text = {
        "run": "host.exec(COMMAND) runs a command, host.docker.containers.run(IMAGE) a container",
        "ip": "host.address and host.interfaces have the addresses",
        **dict.fromkeys(("compose", "compose_up", "up"), "lab.up(FILE, host=NAME) brings a Compose project up"),
        **dict.fromkeys(("stack", "deploy"), "host.docker.stacks.deploy(STACK, FILE) deploys a stack"),
    }.get(name, "")
    return f"; {text}" if text else ""


def for_engine(name: str) -> str:
    """Return a hint to append to the error that an engine has no attribute `name`; "" if there is none."""
    text = {
        "run": "docker.containers.run(IMAGE, detach=True) starts a container",
        "ps": "docker.containers.list() has the containers",
        "exec": "docker.containers.get(NAME).exec_run(COMMAND) runs a command in a container",
        "deploy": "docker.stacks.deploy(STACK, FILE) deploys a stack",
        "compose": "lab.up(FILE, host=NAME) brings a Compose project up",
        "from_env": "lab.from_env() returns the lab's only engine",
        **dict.fromkeys(("plugins", "login"), "it is not simulated"),
    }.get(name, "")
    return f"; {text}" if text else ""


def for_lab_class(name: str) -> str:
    """Return a hint to append to the error that the class `Lab` has no attribute `name`; "" if there is none."""
    start = name.partition("_")[0]
    if (start == "from" and name not in {"from_composes", "from_files"}) or start in _READERS:
        return _FILES
    return ""


_CLIENTS = frozenset(
    {"from_env", "DockerClient", "Client", "APIClient", "Docker", "docker", "client", "connect", "run", "containers"}
)


def for_module(name: str, classes: Iterable[str], lab: type) -> str:
    """Return a hint to append to the error that the package `cnmsim` has no attribute `name`; "" if there is none.

    `classes` are the names of the package's classes, `lab` is the class `Lab`.
    """
    if name in _CLIENTS:
        return '; a Docker host has an engine with docker-py\'s methods: Lab().add_host("node1", docker=True).docker'
    if hasattr(lab, name):
        is_constructor = name.startswith("from_") and name != "from_env"
        return f"; the class Lab has it: Lab.{name}(…)" if is_constructor else f"; a lab has it: lab.{name}(…)"
    if for_lab_class(name) or name.lower() in {"compose", "up", "stack", "project"}:
        return _FILES
    if hasattr(lab, f"add_{name.lower()}"):
        return f"; a lab makes it: lab.add_{name.lower()}(…)"
    return f"; {_BY_NAME[name]}" if name in _BY_NAME else suggestion(name, classes)
