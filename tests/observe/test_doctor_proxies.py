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
        (CADDY, '    labels: {caddy: a.b, caddy.reverse_proxy: "{{upstreams 80}}"}\n', "networks: [inner, edge]"),
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
    assert "replace edge by shop_edge in label traefik.docker.network of app" in fault.fix.outline
    assert '"traefik.docker.network=shop_edge"' in fault.fix.edits[0].after


def test_a_service_on_several_networks_without_the_label(tmp_path: Path) -> None:
    app = LABELS.format(more="") + on("edge, other")
    (fault,) = checkup(tmp_path / "c.yml", TRAEFIK.format(options=""), app).faults
    assert fault.kind == "proxy-network-by-chance"
    assert fault.advice == (
        "set label traefik.docker.network to the name that `docker network ls` prints for network edge"
    )
    assert found(checkup(tmp_path / "c.yml", NGINX, "    environment: {VIRTUAL_HOST: a}\n" + on("edge, other"))) == []
