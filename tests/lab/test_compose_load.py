"""Compose files read into a project: names, defaults, several files, extends, include, profiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cnmsim.lab.compose import load_project
from cnmsim.lab.compose.model import ComposeProject
from cnmsim.lab.compose.reading import start_order


def load(folder: Path, files: dict[str, str], *names: str, **options: Any) -> ComposeProject:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    chosen = names or ("compose.yml",)
    return load_project([folder / name for name in chosen], **{"project": "p", **options})


def one(folder: Path, service: str, **options: Any) -> Any:
    return load(folder, {"compose.yml": f"services: {{web: {{image: nginx, {service}}}}}"}, **options).services["web"]


def test_networks_are_named_after_the_project_and_the_default_one_is_implicit(tmp_path: Path) -> None:
    project = load(tmp_path, {"compose.yml": "services: {web: {image: nginx}}"})
    assert {key: network.name for key, network in project.networks.items()} == {"default": "p_default"}
    assert [use.network for use in project.services["web"].networks] == ["default"]


def test_a_network_nobody_uses_is_not_made(tmp_path: Path) -> None:
    text = "services: {web: {image: nginx, networks: [a]}}\nnetworks: {a: , b: }"
    assert list(load(tmp_path, {"compose.yml": text}).networks) == ["a"]


def test_a_network_may_have_a_name_of_its_own_or_be_external(tmp_path: Path) -> None:
    text = """
services: {web: {image: nginx, networks: [a, b, c]}}
networks: {a: {name: mine}, b: {external: true}, c: {external: true, name: theirs}}
"""
    networks = load(tmp_path, {"compose.yml": text}).networks
    assert {key: (each.name, each.is_external) for key, each in networks.items()} == {
        "a": ("mine", False), "b": ("b", True), "c": ("theirs", True),
    }  # fmt: skip


def test_the_primary_network_is_the_one_of_highest_priority_then_the_first_by_name(tmp_path: Path) -> None:
    text = "services: {web: {image: nginx, networks: {c: {priority: 5}, b: , a: }}}\nnetworks: {a: , b: , c: }"
    uses = load(tmp_path, {"compose.yml": text}).services["web"].networks_by_priority()
    assert [use.network for use in uses] == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("given", "hosts"),
    [
        ("extra_hosts: ['a:1.2.3.4', 'b=::1', 'c:host-gateway']", ("a:1.2.3.4", "b:::1", "c:host-gateway")),
        ("extra_hosts: {a: 1.2.3.4, b: '[::1]'}", ("a:1.2.3.4", "b:::1")),
        ("extra_hosts: {a: [1.2.3.4, 5.6.7.8]}", ("a:1.2.3.4", "a:5.6.7.8")),
    ],
)
def test_extra_hosts_have_three_forms(tmp_path: Path, given: str, hosts: tuple[str, ...]) -> None:
    assert one(tmp_path, given).extra_hosts == hosts


def test_a_command_is_split_as_a_shell_does(tmp_path: Path) -> None:
    assert one(tmp_path, "command: sh -c 'a && b'").command == ("sh", "-c", "a && b")
    assert one(tmp_path, "command: [nc, -lp, 80]").command == ("nc", "-lp", "80")
    assert one(tmp_path, "command: null").command is None


def test_replicas_come_from_deploy_or_scale(tmp_path: Path) -> None:
    assert one(tmp_path, "deploy: {replicas: 3}").replicas == 3
    assert one(tmp_path, "scale: 2").replicas == 2
    assert one(tmp_path, "scale: '${N}'", env={"N": "4"}).replicas == 4


def test_environment_overrides_env_files_and_takes_values_from_outside(tmp_path: Path) -> None:
    (tmp_path / "web.env").write_text("A=file\nB=file\n")
    service = one(tmp_path, "env_file: web.env, environment: [A=own, C, D]", env={"C": "outside"})
    assert service.environment == {"A": "own", "B": "file", "C": "outside"}


def test_links_and_shared_namespaces_imply_dependencies(tmp_path: Path) -> None:
    text = "services: {a: {image: x, network_mode: 'service:b'}, b: {image: x, links: [c:db]}, c: {image: x}}"
    project = load(tmp_path, {"compose.yml": text})
    assert [service.name for service in start_order(project)] == ["c", "b", "a"]


def test_dot_env_beside_the_file_gives_variables_and_env_comes_before_it(tmp_path: Path) -> None:
    files = {".env": "TAG=1\nPORT=8080\n", "compose.yml": 'services: {web: {image: "x:$TAG", ports: ["$PORT:80"]}}'}
    service = load(tmp_path, files, env={"TAG": "2"}).services["web"]
    assert (service.image, service.ports[0].published) == ("x:2", "8080")


def test_env_files_replace_dot_env(tmp_path: Path) -> None:
    files = {".env": "TAG=1", "prod.env": "TAG=3", "compose.yml": 'services: {web: {image: "x:$TAG"}}'}
    assert load(tmp_path, files, env_files=[tmp_path / "prod.env"]).services["web"].image == "x:3"


def test_an_unset_variable_is_blank_with_a_warning(tmp_path: Path) -> None:
    project = load(tmp_path, {"compose.yml": 'services: {web: {image: "x$NOPE"}}'})
    assert project.services["web"].image == "x"
    assert project.warnings == ('The "NOPE" variable is not set. Defaulting to a blank string.',)


@pytest.mark.parametrize(
    ("options", "text", "name"),
    [
        ({"project": "given"}, "name: stated", "given"),
        ({"project": None, "env": {"COMPOSE_PROJECT_NAME": "fromenv"}}, "name: stated", "fromenv"),
        ({"project": None}, "name: stated", "stated"),
        ({"project": None}, "name: '${N:-My Name}'", "myname"),
        ({"project": None}, "", "the-folder"),
    ],
)
def test_the_project_is_named_by_the_first_who_says_so(
    tmp_path: Path, options: dict[str, Any], text: str, name: str
) -> None:
    folder = tmp_path / "The-Folder"
    assert load(folder, {"compose.yml": f"{text}\nservices: {{web: {{image: x}}}}"}, **options).name == name


def test_a_later_file_is_laid_on_the_earlier_one(tmp_path: Path) -> None:
    files = {
        "compose.yml": """
services:
  web:
    image: nginx
    command: [a, b]
    ports: ["8080:80", "443:443"]
    environment: {A: 1, B: 1}
    dns: 1.1.1.1
    networks: [front]
    depends_on: [db]
  db: {image: redis}
networks: {front: {internal: true}}
""",
        "over.yml": """
services:
  web:
    command: [c]
    ports: ["8080:80", "8081:81"]
    environment: [B=2]
    dns: [8.8.8.8]
    networks: {front: {aliases: [x]}, back: {}}
    depends_on: {db: {condition: service_completed_successfully}}
networks: {back: , front: {driver: bridge}}
""",
    }
    project = load(tmp_path, files, "compose.yml", "over.yml")
    web = project.services["web"]
    assert web.command == ("c",)
    assert [port.published for port in web.ports] == ["8080", "443", "8081"]
    assert web.environment == {"A": "1", "B": "2"}
    assert web.dns == ("1.1.1.1", "8.8.8.8")
    assert {use.network: use.aliases for use in web.networks} == {"front": ("x",), "back": ()}
    assert web.depends_on[0].condition == "service_completed_successfully"
    assert (project.networks["front"].is_internal, project.networks["front"].driver) == (True, "bridge")


def test_reset_takes_away_and_override_replaces(tmp_path: Path) -> None:
    files = {
        "compose.yml": "services: {web: {image: nginx, ports: ['80:80'], dns: [1.1.1.1], hostname: h}}",
        "over.yml": "services: {web: {ports: !override ['81:81'], dns: !reset [], hostname: !reset null}}",
    }
    web = load(tmp_path, files, "compose.yml", "over.yml").services["web"]
    assert ([port.published for port in web.ports], web.dns, web.hostname) == (["81"], (), "")


def test_the_documents_of_one_file_are_laid_on_one_another(tmp_path: Path) -> None:
    files = {
        "compose.yml": "services: {web: {image: nginx, ports: ['80:80']}}\n---\n"
        "name: two\nservices: {web: {ports: !override ['81:81']}, db: {extends: {file: base.yml, service: base}}}\n",
        "base.yml": "services: {base: {image: postgres}}\n---\nservices: {base: {hostname: h}}\n",
    }
    project = load(tmp_path, files)
    assert [port.published for port in project.services["web"].ports] == ["81"]
    assert (project.services["db"].image, project.services["db"].hostname) == ("postgres", "h")


def test_ipam_pools_merge_by_subnet(tmp_path: Path) -> None:
    base = "services: {web: {image: x}}\nnetworks: {default: {ipam: {config: [{subnet: 10.1.0.0/24}]}}}"
    over = "networks: {default: {ipam: {config: [{subnet: 10.1.0.0/24, gateway: 10.1.0.9}, {subnet: 'fd00::/64'}]}}}"
    pools = (
        load(tmp_path, {"compose.yml": base, "over.yml": over}, "compose.yml", "over.yml").networks["default"].pools
    )
    assert [(pool.subnet, pool.gateway) for pool in pools] == [("10.1.0.0/24", "10.1.0.9"), ("fd00::/64", "")]


def test_extends_takes_over_a_service_of_another_file_and_its_folder(tmp_path: Path) -> None:
    files = {
        "compose.yml": "services: {web: {extends: {file: common/base.yml, service: base}, environment: [B=2]}}",
        "common/base.yml": "services: {base: {extends: root, env_file: base.env}, root: {image: nginx, environment: "
        "{A: 1, B: 1}}}",
        "common/base.env": "C=3",
    }
    web = load(tmp_path, files).services["web"]
    assert web.image == "nginx"
    assert web.environment == {"A": "1", "B": "2", "C": "3"}


def test_include_brings_services_and_networks_with_their_own_variables(tmp_path: Path) -> None:
    files = {
        "compose.yml": "include: [db/compose.yml, {path: mq.yml, env_file: mq.env}]\nservices: {web: {image: x, "
        "networks: [inner]}}",
        "db/compose.yml": "services: {db: {image: 'postgres:$V', networks: [inner]}}\nnetworks: {inner: }",
        "db/.env": "V=17",
        "mq.yml": "services: {mq: {image: 'rabbitmq:$V'}}",
        "mq.env": "V=4",
    }
    project = load(tmp_path, files)
    assert {service.name: service.image for service in project.services.values()} == {
        "db": "postgres:17", "mq": "rabbitmq:4", "web": "x",
    }  # fmt: skip


def test_services_of_other_profiles_are_left_out(tmp_path: Path) -> None:
    text = "services: {web: {image: x}, debug: {image: x, profiles: [dev]}, prof: {image: x, profiles: [perf, dev]}}"
    assert list(load(tmp_path, {"compose.yml": text}).services) == ["web"]
    assert list(load(tmp_path, {"compose.yml": text}, profiles=["perf"]).services) == ["web", "prof"]
    assert list(load(tmp_path, {"compose.yml": text}, env={"COMPOSE_PROFILES": "dev"}).services) == [
        "web", "debug", "prof",
    ]  # fmt: skip


def test_a_folder_stands_for_its_compose_file_and_override(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {web: {image: x}}")
    (tmp_path / "compose.override.yaml").write_text("services: {web: {hostname: h}}")
    assert load_project(tmp_path, "p").services["web"].hostname == "h"


def test_keys_without_networking_meaning_are_accepted(tmp_path: Path) -> None:
    text = """
version: "3.8"
x-anything: {a: 1}
services:
  web:
    build: {context: ., target: prod}
    x-more: 1
    restart: unless-stopped
    healthcheck: {test: [CMD, "true"], interval: 5s, retries: 3}
    volumes: [data:/data, ./here:/there, {type: bind, source: /a, target: /b}]
    secrets: [key]
    cap_add: [NET_ADMIN]
    logging: {driver: json-file}
    ulimits: {nofile: 1024}
    deploy: {resources: {limits: {cpus: "0.5"}}, placement: {}}
    develop: {watch: []}
volumes: {data: }
secrets: {key: {file: ./key}}
"""
    assert load(tmp_path, {"compose.yml": text}).services["web"].image == ""
