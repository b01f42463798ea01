"""Wrong Compose files: the error names file, line and key, and nothing else ever comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnmsim.errors import FileError, InvalidParameter
from cnmsim.lab.compose import load_project
from cnmsim.lab.compose.schema import COMPOSE_SCHEMA
from cnmsim.lab.yamlfile import parse_yaml

WEB = "services:\n  web:\n    image: nginx\n    "


@pytest.mark.parametrize(
    ("text", "line", "key", "message"),
    [
        ("", None, "", "empty compose file"),
        ("- a", 1, "", "Top-level object must be a mapping"),
        ("service:\n  web: {}", 1, "service", "additional property service is not allowed; did you mean services?"),
        (WEB + "port: []", 4, "services.web.port", "additional property port is not allowed; did you mean ports?"),
        (WEB + "ports: 80", 4, "services.web.ports", "must be a list"),
        (WEB + "ports: [80, {published: 1}]", 4, "services.web.ports[1]", "target is missing"),
        (WEB + "ports:\n      - a:80", 5, "services.web.ports[0]", "Invalid hostPort: a"),
        (WEB + "expose: [99999]", 4, "services.web.expose[0]", "Invalid expose: 99999"),
        (WEB + "dns: nope", 4, "services.web.dns", "invalid IP address: nope"),
        (WEB + "dns: {a: b}", 4, "services.web.dns", "must be a string or a list"),
        (WEB + "networks: [a]", 4, "services.web.networks.a", 'service "web" refers to undefined network a'),
        (WEB + "networks: {a: {ipv4: 1.2.3.4}}", 4, "services.web.networks.a.ipv4", "additional property ipv4"),
        (WEB + "networks:\n      a:\n        ipv4_address: 1.2.3", 6, "services.web.networks.a.ipv4_address",
         "invalid IP"),
        (WEB + "networks: {a: {ipv6_address: 1.2.3.4}}", 4, "services.web.networks.a.ipv6_address", "is not an IPv6"),
        (WEB + "mac_address: x", 4, "services.web.mac_address", "invalid MAC address: x"),
        (WEB + "network_mode: host\n    networks: [a]", 4, "services.web.network_mode", "mutually exclusive"),
        (WEB + "depends_on: [db]", 4, "services.web.depends_on", 'depends on undefined service "db"'),
        (WEB + "depends_on: {web: {condition: x}}", 4, "services.web.depends_on.web.condition", "must be one of"),
        (WEB + "depends_on: [web]", 4, "services.web.depends_on", "dependency cycle detected: web -> web"),
        (WEB + "network_mode: service:db", 4, "services.web.network_mode", "undefined service"),
        (WEB + "extends: other", 4, "services.web.extends", "service 'other' not found"),
        (WEB + "extends: {file: no.yml, service: a}", 4, "services.web.extends.file", "no.yml: No such file"),
        (WEB + "extends: web", 4, "services.web.extends", "circular reference: web in"),
        (WEB + "volumes: [data:/x]", 4, "services.web.volumes[0]", "refers to undefined volume data"),
        (WEB + "secrets: [key]", 4, "services.web.secrets[0]", "refers to undefined secret key"),
        (WEB + "deploy: {replicas: -1}", 4, "services.web.deploy.replicas", "greater than or equal to 0"),
        (WEB + "deploy: {replicas: many}", 4, "services.web.deploy.replicas", "must be a whole number"),
        (WEB + "scale: 2\n    container_name: mine", 5, "services.web.container_name", "unique"),
        (WEB + "extra_hosts: [nothing]", 4, "services.web.extra_hosts[0]", "bad host name"),
        (WEB + "environment: {A: [1]}", 4, "services.web.environment.A", "must be a string"),
        (WEB + "env_file: no.env", 4, "services.web.env_file", "No such file"),
        (WEB + "hostname: a\n---\nservices: {web: {port: 1}}", 6, "services.web.port", "additional property port"),
        (WEB + "hostname: ${H:?say it}", 4, "services.web.hostname",
         "required variable H is missing a value: say it"),
        (WEB + "hostname: ${", 4, "services.web.hostname", "invalid interpolation format"),
        (WEB + "hostname: !odd x", 4, "services.web.hostname", "unknown tag !odd"),
        ("services:\n  web: {command: x}", 2, "services.web", "neither an image nor a build context"),
        ("services:\n  'a b': {image: x}", 2, "services.a b", "'a b' is no name"),
        ("services: {}\nnetworks:\n  a: {internal: maybe}", 3, "networks.a.internal", "must be true or false"),
        ("services: {}\nnetworks:\n  a: {external: true, driver: bridge}", 3, "networks.a.driver",
         "conflicting param"),
        ("services: {}\nnetworks:\n  a: {ipam: {config: [{subnet: 10.0.0.0}]}}", 3,
         "networks.a.ipam.config[0].subnet", "CIDR"),
        ("services: {}\nnetworks:\n  a: {ipam: {config: [{gateway: x}]}}", 3, "networks.a.ipam.config[0].gateway",
         "invalid IP"),
        ("include: [compose.yml]", 1, "include[0]", "include cycle detected"),
        ("include: [other.yml]", 1, "include[0]", "other.yml: No such file"),
        ("services:\n\tweb: {}", 2, "", "yaml: found character"),
    ],
)  # fmt: skip
def test_a_wrong_file_gets_its_line_and_key(
    tmp_path: Path, text: str, line: int | None, key: str, message: str
) -> None:
    path = tmp_path / "compose.yml"
    path.write_text(text)
    with pytest.raises(FileError) as caught:
        load_project(path, "p")
    assert message in str(caught.value)
    assert (caught.value.path, caught.value.key) == (str(path), key)
    assert caught.value.line == line


def test_a_loop_of_extends_over_files_is_told_in_full(tmp_path: Path) -> None:
    a, b = tmp_path / "a.yml", tmp_path / "b.yml"
    a.write_text("services: {web: {image: x, extends: {file: b.yml, service: base}}}")
    b.write_text("services: {base: {extends: {file: a.yml, service: web}}}")
    with pytest.raises(FileError, match=f"circular reference: web in {a} extends base in {b} extends web in {a}"):
        load_project(a, "p")


def test_an_error_of_a_merged_file_names_that_file(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("services: {web: {image: x}}")
    (tmp_path / "b.yml").write_text("services:\n  web:\n    networks: [gone]")
    with pytest.raises(FileError, match=r"b\.yml:3: services\.web\.networks\.gone"):
        load_project([tmp_path / "a.yml", tmp_path / "b.yml"], "p")


def test_a_list_laid_on_a_mapping_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("services: {web: {image: x, healthcheck: {test: a}}}")
    (tmp_path / "b.yml").write_text("services: {web: {image: x, x-a: {b: 1}}}")
    (tmp_path / "c.yml").write_text("services:\n  web:\n    x-a: [1]")
    with pytest.raises(FileError, match=r"c\.yml:3: services\.web\.x-a: cannot override"):
        load_project([tmp_path / name for name in ("a.yml", "b.yml", "c.yml")], "p")


def test_a_resource_included_and_defined_differently_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("include: [b.yml]\nservices:\n  web: {image: x}")
    (tmp_path / "b.yml").write_text("services: {web: {image: y}}")
    with pytest.raises(FileError, match=r"a\.yml:3: services\.web: conflicts with imported resource"):
        load_project(tmp_path / "a.yml", "p")


@pytest.mark.parametrize("name", ["Shop", "-shop", "sh op", "shop!"])
def test_an_impossible_project_name_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "compose.yml").write_text("services: {}")
    with pytest.raises(InvalidParameter, match="invalid project name"):
        load_project(tmp_path, name)


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"gone\.yml: No such file or directory"):
        load_project(tmp_path / "gone.yml", "p")
    with pytest.raises(FileError, match="no configuration file provided"):
        load_project(tmp_path, "p")


def _keys(schema: dict[str, Any]) -> list[str]:
    return sorted({*schema["properties"], *schema["properties"]["services"]["additionalProperties"]["properties"]})


NAMES = st.sampled_from([*_keys(COMPOSE_SCHEMA), "web", "db", "default", "a", "subnet", "config", "aliases", "<<"])
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 99999), st.floats(), st.text(max_size=8),
    st.sampled_from(["80:80", "10.0.0.0/24", "service:web", "${A:-b}", "$", "web", "default", "1.2.3.4", "::1"]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)
SERVICES = st.dictionaries(
    st.sampled_from(["web", "db"]), st.fixed_dictionaries({"image": st.just("x")}, optional={}).flatmap(
        lambda base: st.dictionaries(NAMES, VALUES, max_size=3).map(lambda more: {**base, **more})
    ), max_size=2,
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(
    document=st.one_of(
        VALUES,
        st.fixed_dictionaries(
            {"services": SERVICES | VALUES},
            optional={"networks": st.dictionaries(NAMES, VALUES, max_size=2) | VALUES, "include": VALUES},
        ),
    )
)
def test_whatever_a_file_holds_it_is_a_project_or_a_file_error(tmp_path: Path, document: Any) -> None:
    path = tmp_path / "compose.yml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    try:
        project = load_project(path, "p")
    except FileError as error:
        assert str(error).startswith(str(tmp_path))
        return
    assert all(use.network in project.networks for service in project.services.values() for use in service.networks)


@settings(deadline=None)
@given(cut=st.integers(0, 400), junk=st.text(max_size=3))
def test_a_damaged_file_is_a_project_or_a_file_error(tmp_path_factory: Any, cut: int, junk: str) -> None:
    text = (
        'x-c: &c {image: nginx}\nservices:\n  web:\n    <<: *c\n    ports: ["8080:80"]\n    networks:\n      front: '
        "{}\n"
        "      back: {aliases: [frontend]}\n  db: {image: alpine, command: sleep 1d, networks: [back], extends: "
        "web}\n"
        "networks:\n  front: {ipam: {config: [{subnet: 10.72.0.0/24, gateway: 10.72.0.9}]}}\n  back: {internal: "
        "true}\n"
    )
    path = tmp_path_factory.getbasetemp() / "damaged.yml"
    path.write_text(text[:cut] + junk + text[cut + 1 :], encoding="utf-8", newline="")
    try:
        load_project(path, "p")
    except FileError as error:
        assert str(error).startswith(str(path))


def test_the_schema_is_one() -> None:
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(COMPOSE_SCHEMA)
    assert parse_yaml("a: 1", "x") == {"a": 1}
