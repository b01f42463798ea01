"""The doctor: services that a reverse proxy is to serve, and does not reach."""

from pathlib import Path
from textwrap import indent

import pytest

from cnmsim import Checkup, Lab

TRAEFIK = """\
  traefik:
    image: traefik:v3.4
    command: [--providers.docker=true{options}]
    networks: [edge]
"""
TRAEFIK_FILE = "  traefik: {image: traefik, networks: [edge], volumes: ['./traefik.yml:/etc/traefik/traefik.yml']}\n"
NGINX = "  proxy: {image: nginxproxy/nginx-proxy, networks: [edge]}\n"
CADDY = '  caddy: {image: "lucaslorentz/caddy-docker-proxy:2.9", networks: [edge]}\n'
LABELS = '    labels: ["traefik.http.routers.app.rule=Host(`a.example.com`)"{more}]\n'


def checkup(path: Path, proxy: str, app: str) -> Checkup:
    text = f"name: shop\nservices:\n{proxy}  app:\n    image: nginx\n{app}networks: {{edge: , inner: , other: }}\n"
    path.write_text(text, encoding="utf-8")
    return Lab.from_compose(path).doctor()


def found(checked: Checkup) -> list[str]:
    return [fault.kind for fault in checked.faults]


def on(networks: str) -> str:
    return indent(f"networks: [{networks}]\n", "    ")


@pytest.mark.parametrize(
    ("proxy", "setting", "added"),
    [
        (TRAEFIK.format(options=""), LABELS.format(more=""), "networks: [edge, inner]"),
        (TRAEFIK.format(options=""), '    labels: {traefik.enable: "true"}\n', "networks: [edge, inner]"),
        (TRAEFIK.format(options=""), '    labels: ["traefik.frontend.rule=Host:a"]\n', "networks: [edge, inner]"),
        (NGINX, "    environment: {VIRTUAL_HOST: a.example.com}\n", "networks: [inner, edge]"),
        (CADDY, '    labels: {caddy.reverse_proxy: "{{upstreams 80}}", caddy: a.b}\n', "networks: [inner, edge]"),
        (CADDY, '    labels: {caddy_1.handle.reverse_proxy: "{{ upstreams }}"}\n', "networks: [inner, edge]"),
        (TRAEFIK_FILE, LABELS.format(more=""), "networks: [edge, inner]"),
    ],
)  # fmt: skip
def test_a_service_that_shares_no_network_with_its_proxy(
    tmp_path: Path, proxy: str, setting: str, added: str
) -> None:
    path = tmp_path / "compose.yml"
    assert found(checkup(path, proxy, setting + on("edge"))) == []
    (fault,) = checkup(path, proxy, setting + on("inner")).faults
    assert fault.kind == "proxy-without-network"
    assert fault.source.startswith(f"{path}:")
    assert path.read_text().splitlines()[int(fault.source.rpartition(":")[2]) - 1].strip() in setting
    assert "forward requests to it, but the two share no network" in fault.text
    assert fault.fix is not None
    (edit,) = fault.fix.edits
    assert added in " ".join(edit.changed_lines)
    path.write_text(edit.after, encoding="utf-8")
    assert found(Lab.from_compose(path).doctor()) == []


@pytest.mark.parametrize(
    "setting",
    [
        "    labels: {maintainer: me}\n",
        LABELS.format(more=', "traefik.enable=false"'),
        LABELS.format(more=', "traefik.http.routers.app.service=api@internal"'),
        LABELS.format(more=', "traefik.http.services.app.loadbalancer.server.url=http://10.0.0.1"'),
        '    labels: {traefik.enable: "true", traefik.http.middlewares.a.compress: "true"}\n',
    ],
)
def test_a_service_for_which_the_proxy_makes_no_route_is_no_fault(tmp_path: Path, setting: str) -> None:
    assert found(checkup(tmp_path / "c.yml", TRAEFIK.format(options=""), setting + on("inner"))) == []


def test_the_settings_of_the_proxy_count(tmp_path: Path) -> None:
    app = LABELS.format(more="") + on("inner")
    not_exposed = TRAEFIK.format(options=", --providers.docker.exposedbydefault=false")
    assert found(checkup(tmp_path / "c.yml", not_exposed, app)) == []
    enabled = LABELS.format(more=', "traefik.enable=true"') + on("inner")
    assert found(checkup(tmp_path / "c.yml", not_exposed, enabled)) == ["proxy-without-network"]
    from_file = TRAEFIK.format(options="").replace("docker=true", "file.filename=/routes.yml")
    assert found(checkup(tmp_path / "c.yml", from_file, app)) == []
    on_host = TRAEFIK.format(options="").replace("networks: [edge]", "network_mode: host")
    assert found(checkup(tmp_path / "c.yml", on_host, app)) == []
    default = TRAEFIK.format(options=", --providers.docker.network=shop_inner")
    (fault,) = checkup(tmp_path / "c.yml", default, LABELS.format(more="") + on("edge, inner")).faults
    assert "the default network of traefik is inner: traefik sends requests to the address of app" in fault.text
    two = TRAEFIK.format(options="") + TRAEFIK.format(options="").replace("traefik:\n", "second:\n", 1).replace(
        "edge", "inner"
    )
    assert found(checkup(tmp_path / "c.yml", two, app)) == []


def test_a_label_that_names_a_network_on_which_the_proxy_is_not(tmp_path: Path) -> None:
    labels = LABELS.format(more=', "traefik.docker.network=shop_inner"')
    (fault,) = checkup(tmp_path / "c.yml", TRAEFIK.format(options=""), labels + on("edge, inner")).faults
    assert fault.text == (
        "label traefik.docker.network is inner: traefik sends requests to the address of app on that network, and is "
        "not on it (traefik is on edge)"
    )
    assert fault.fix is not None
    assert fault.fix.edits[0].changed_lines[-1] == "+    networks: [edge, inner]"


def test_a_label_without_the_name_of_the_project(tmp_path: Path) -> None:
    labels = LABELS.format(more=', "traefik.docker.network=edge"')
    assert found(checkup(tmp_path / "c.yml", TRAEFIK.format(options=""), labels + on("edge"))) == []
    (fault,) = checkup(tmp_path / "c.yml", TRAEFIK.format(options=""), labels + on("edge, other")).faults
    assert fault.kind == "proxy-network-by-chance"
    assert "label traefik.docker.network names 'edge', which is none of its networks" in fault.text
    assert fault.fix is not None
    assert "set label traefik.docker.network of app to shop_edge" in fault.fix.outline
    assert '"traefik.docker.network=shop_edge"' in fault.fix.edits[0].after


def test_a_service_on_several_networks_without_the_label(tmp_path: Path) -> None:
    app = LABELS.format(more="") + on("edge, other")
    (fault,) = checkup(tmp_path / "c.yml", TRAEFIK.format(options=""), app).faults
    assert fault.kind == "proxy-network-by-chance"
    assert fault.advice == (
        "set label traefik.docker.network to the name that `docker network ls` prints for network edge"
    )
    assert found(checkup(tmp_path / "c.yml", NGINX, "    environment: {VIRTUAL_HOST: a}\n" + on("edge, other"))) == []


@pytest.mark.parametrize(
    ("labels", "added"),
    [
        (LABELS.format(more=""), "traefik.docker.network=shop_edge]"),
        ("    labels:\n    - traefik.enable=true\n", "+    - traefik.docker.network=shop_edge"),
        ("    labels:\n      traefik.enable: true\n", "+      traefik.docker.network: shop_edge"),
        ('    labels: {traefik.enable: "true"}\n', '{traefik.enable: "true", traefik.docker.network: shop_edge}'),
    ],
)  # fmt: skip
def test_the_label_with_the_network_is_added_to_the_file(tmp_path: Path, labels: str, added: str) -> None:
    path = tmp_path / "compose.yml"
    (fault,) = checkup(path, TRAEFIK.format(options=""), labels + on("edge, other")).faults
    assert fault.kind == "proxy-network-by-chance"
    assert fault.fix is not None
    (edit,) = fault.fix.edits
    assert edit.changed_lines[-1].endswith(added)
    path.write_text(edit.after, encoding="utf-8")
    assert found(Lab.from_compose(path).doctor()) == []


def test_the_label_of_a_container_without_a_file_is_set_by_creating_it_again() -> None:
    lab = Lab()
    engine = lab.add_host("node", docker=True).docker
    for name in ("edge", "other"):
        engine.networks.create(name)
    engine.containers.run("traefik", ["--providers.docker"], name="proxy", network="edge", detach=True)
    app = engine.containers.run("nginx", name="app", network="edge", labels={"traefik.enable": "true"}, detach=True)
    engine.networks.get("other").connect(app)
    (fault,) = lab.doctor().of("proxy-network-by-chance")
    assert fault.fix is not None
    assert "--label traefik.docker.network=edge" in str(fault.fix.commands[0])


@pytest.mark.parametrize(
    ("command", "environment", "ports"),
    [
        ("--providers.docker=false", "", ""),
        ("--providers.docker=false, --providers.docker.network=shop_edge", "", ""),
        ("", "TRAEFIK_PROVIDERS_DOCKER=false", ""),
        ("--providers.swarm", "", ""),
        ("", "TRAEFIK_PROVIDERS_SWARM=true", ""),
        ('"--providers.docker.constraints=Label(`tier`, `web`)"', "", ""),
        ('--providers.docker, --providers.docker.constraints, "Label(`a`, `b`)"', "", ""),
        ("", "TRAEFIK_PROVIDERS_DOCKER_CONSTRAINTS=Label(`a`)", ""),
        ("--providers.docker.exposedByDefault=False", "", ""),
        ("", "TRAEFIK_PROVIDERS_DOCKER_EXPOSEDBYDEFAULT=false", ""),
        ("--providers.docker.usebindportip", "", "127.0.0.1:80:80"),
        ("--providers.docker.usebindportip=true", "", "127.0.0.1:80:80"),
        ("", "TRAEFIK_PROVIDERS_DOCKER_USEBINDPORTIP=true", "127.0.0.1:80:80"),
        ("--docker.usebindportip=true", "", "127.0.0.1:80:80"),
    ],
)
def test_options_with_which_traefik_uses_no_address_of_the_container(
    tmp_path: Path, command: str, environment: str, ports: str
) -> None:
    settings = f"command: [{command}], environment: ['{environment or 'A=b'}']"
    proxy = f"  traefik: {{image: traefik, {settings}, networks: [edge]}}\n"
    app = LABELS.format(more="") + (f"    ports: ['{ports}']\n" if ports else "")
    assert found(checkup(tmp_path / "c.yml", proxy, app + on("inner"))) == []
    assert found(checkup(tmp_path / "c.yml", proxy, app + on("edge, inner"))) == []


def test_traefik_uses_the_address_of_a_container_whose_port_is_published_on_all_addresses(tmp_path: Path) -> None:
    proxy = TRAEFIK.format(options=", --providers.docker.usebindportip=true")
    app = LABELS.format(more="") + "    ports: ['80:80']\n" + on("inner")
    assert found(checkup(tmp_path / "c.yml", proxy, app)) == ["proxy-without-network"]


@pytest.mark.parametrize(
    "proxy",
    [
        TRAEFIK_FILE,
        "  traefik: {image: traefik, networks: [edge]}\n",
        "  traefik: {image: traefik, command: [--configFile=/t.yml, --providers.docker], networks: [edge]}\n",
        "  traefik: {image: traefik, command: [--log.level=DEBUG], networks: [edge]}\n",
        "  traefik: {image: traefik, environment: [TRAEFIK_PROVIDERS_DOCKER_NETWORK=shop_edge], networks: [edge]}\n",
        TRAEFIK.format(options=", --providers.docker.network, shop_edge"),
        '  traefik: {image: traefik, entrypoint: [sh, -c, "traefik --docker.network=shop_edge"], networks: [edge]}\n',
        """  traefik: {image: traefik, command: 'traefik --docker.network="shop_edge"', networks: [edge]}\n""",
        "  traefik: {image: traefik, entrypoint: [sh, -c, traefik --docker.network='shop_edge'], networks: [edge]}\n",
    ],
)
def test_a_proxy_that_has_or_may_have_a_default_network(tmp_path: Path, proxy: str) -> None:
    assert found(checkup(tmp_path / "c.yml", proxy, LABELS.format(more="") + on("edge, inner"))) == []
    named = LABELS.format(more=', "traefik.docker.network=shop_inner"') + on("edge, inner")
    assert found(checkup(tmp_path / "c.yml", proxy, named)) == ["proxy-without-network"]


@pytest.mark.parametrize(
    ("option", "why"),
    [
        ("=true", "as no label names one"),
        ("_NETWORK=", "as no label names one"),
        ("_NETWORK=absent", "as its default network 'absent' is none of them"),
    ],
)
def test_variables_configure_traefik(tmp_path: Path, option: str, why: str) -> None:
    variables = f"TRAEFIK_PROVIDERS_DOCKER_WATCH=true, TRAEFIK_PROVIDERS_DOCKER{option}"
    proxy = f"  traefik: {{image: traefik, environment: [{variables}], networks: [edge]}}\n"
    app = LABELS.format(more="") + on("edge, inner")
    (fault,) = checkup(tmp_path / "c.yml", proxy, app).faults
    assert fault.kind == "proxy-network-by-chance"
    assert fault.text.endswith(f"on any one of its networks, {why}")


@pytest.mark.parametrize(
    "labels",
    [
        "caddy: a.b, caddy.respond: hi",
        'caddy: "(snip)", caddy.tls: internal',
        'caddy: a.b, caddy.reverse_proxy: "http://10.0.0.9:80"',
        "caddy.email: me@example.com",
        "caddy: a.b",
    ],
)
def test_labels_with_which_caddy_uses_no_address_of_the_container(tmp_path: Path, labels: str) -> None:
    assert found(checkup(tmp_path / "c.yml", CADDY, f"    labels: {{{labels}}}\n" + on("inner"))) == []


def test_the_label_with_the_upstreams_is_named(tmp_path: Path) -> None:
    labels = '    labels: {caddy: a.b, caddy.tls: internal, caddy.reverse_proxy: "{{upstreams 80}}"}\n'
    (fault,) = checkup(tmp_path / "c.yml", CADDY, labels + on("inner")).faults
    assert fault.text.startswith("label caddy.reverse_proxy makes caddy forward requests to it")


def test_a_proxy_without_a_network_is_to_join_one(tmp_path: Path) -> None:
    proxy = TRAEFIK.format(options="").replace("networks: [edge]", "network_mode: none")
    (fault,) = checkup(tmp_path / "c.yml", proxy, LABELS.format(more="") + on("inner")).faults
    assert fault.kind == "proxy-without-network"
    assert fault.text.endswith("makes traefik forward requests to it, but traefik is on no network")
    assert fault.advice == "attach traefik to a network of app, without network mode none"
    assert fault.fix is not None
    assert fault.fix.outline.startswith(
        "remove network_mode from service traefik; add network inner to service traefik"
    )
