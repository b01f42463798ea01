"""The doctor: services of a stack that Traefik in swarm mode is to serve, and does not."""

from pathlib import Path

import pytest

from cnmsim import Checkup, Lab

ROUTE = "traefik.http.routers.app.rule: Host(`a.example.com`)"
PORT = "traefik.http.services.app.loadbalancer.server.port: 80"


def checkup(
    path: Path, labels: str, *, networks: str = "edge", options: str = "--providers.swarm", more: str = ""
) -> Checkup:
    path.write_text(
        f"""\
services:
  traefik:
    image: traefik:v3.4
    command: [{options}]
    networks: [edge]
    ports: ["80:80"]
  app:
    image: nginx
    networks: [{networks}]
    {labels}
{more}networks: {{edge: , inner: , other: }}
""",
        encoding="utf-8",
    )
    return Lab.from_stack(path, "shop", managers=1).doctor()


def proxy_faults(checked: Checkup) -> list[str]:
    return [fault.kind for fault in checked.faults if fault.kind.startswith("proxy-")]


def deployed(*labels: str) -> str:
    return f"deploy: {{labels: {{{', '.join(labels)}}}}}"


def fixed(path: Path, checked: Checkup, kind: str) -> str:
    """Write the edit of the only fault of a kind, check that it solves the fault, and return what it adds."""
    (fault,) = checked.of(kind)
    assert fault.source.startswith(f"{path}:")
    assert fault.fix is not None
    (edit,) = fault.fix.edits
    path.write_text(edit.after, encoding="utf-8")
    assert proxy_faults(Lab.from_stack(path, "shop", managers=1).doctor()) == []
    return edit.changed_lines[-1]


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        ("--providers.swarm", ["proxy-without-network"]),
        ("--providers.swarm.endpoint=tcp://127.0.0.1:2377", ["proxy-without-network"]),
        ("--providers.docker.swarmMode=true", ["proxy-without-network"]),
        ("--providers.docker, --providers.docker.swarmmode", ["proxy-without-network"]),
        ("--providers.docker", []),
        ("--providers.swarm=false", []),
        ("--providers.swarm.exposedbydefault=false", []),
        ("'--providers.swarm.constraints=Label(`a`, `b`)'", []),
        ("--configfile=/traefik.yml", []),
    ],
)
def test_a_service_without_a_network_in_common(tmp_path: Path, options: str, kinds: list[str]) -> None:
    path = tmp_path / "stack.yml"
    checked = checkup(path, deployed(ROUTE, PORT), networks="inner", options=options)
    assert proxy_faults(checked) == kinds
    if kinds:
        assert "the two share no overlay network" in checked.of(kinds[0])[0].text
        assert fixed(path, checked, kinds[0]) == "+    networks: [edge, inner]"


def test_a_service_that_traefik_reaches_has_no_fault(tmp_path: Path) -> None:
    assert proxy_faults(checkup(tmp_path / "stack.yml", deployed(ROUTE, PORT))) == []


def test_a_port_must_be_stated(tmp_path: Path) -> None:
    path = tmp_path / "stack.yml"
    checked = checkup(path, deployed(ROUTE))
    assert proxy_faults(checked) == ["proxy-without-port"]
    assert "no label states the port" in str(checked)
    assert 'traefik.http.services.app.loadbalancer.server.port: "80"' in fixed(path, checked, "proxy-without-port")
    old = deployed('traefik.port: "80"', "traefik.frontend.rule: Host:a")
    assert proxy_faults(checkup(path, old, options="--docker.swarmMode=true")) == []
    other = deployed(ROUTE, "traefik.http.services.one.loadbalancer.server.port: 80",
                     'traefik.http.services.two.loadbalancer.sticky: "true"')  # fmt: skip
    (fault,) = checkup(path, other).of("proxy-without-port")
    assert fault.fix is not None
    assert "traefik.http.services.two.loadbalancer.server.port=80" in fault.fix.outline


def test_labels_of_containers_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "stack.yml"
    checked = checkup(path, f"labels: {{{ROUTE}, {PORT}}}")
    assert proxy_faults(checked) == ["proxy-ignores-label"]
    (fault,) = checked.of("proxy-ignores-label")
    assert fault.advice == "move the traefik labels from labels to deploy.labels"
    fixed(path, checked, "proxy-ignores-label")
    assert "deploy:\n" in path.read_text()
    assert proxy_faults(checkup(path, "labels: {maintainer: me}")) == []


@pytest.mark.parametrize(
    ("options", "label"),
    [("--providers.swarm", "traefik.swarm.network"), ("--providers.docker.swarmMode", "traefik.docker.network")],
)
def test_a_network_that_only_chance_chooses(tmp_path: Path, options: str, label: str) -> None:
    path = tmp_path / "stack.yml"
    checked = checkup(path, deployed(ROUTE, PORT), networks="edge, other", options=options)
    assert proxy_faults(checked) == ["proxy-network-by-chance"]
    assert f"{label}: shop_edge" in fixed(path, checked, "proxy-network-by-chance")
    named = f"{options}, {options.removesuffix('.swarmMode')}.network=shop_edge"
    assert proxy_faults(checkup(path, deployed(ROUTE, PORT), networks="edge, other", options=named)) == []


def test_the_ingress_network_counts_as_one_of_a_service_that_publishes_a_port(tmp_path: Path) -> None:
    path = tmp_path / "stack.yml"
    checked = checkup(path, deployed(ROUTE, PORT) + "\n    ports: ['8080:80']")
    assert proxy_faults(checked) == ["proxy-network-by-chance"]
    assert "it is on the networks edge, ingress; traefik reaches it on edge only" in str(checked)
    assert "traefik.swarm.network: shop_edge" in fixed(path, checked, "proxy-network-by-chance")


def test_a_label_that_names_another_network(tmp_path: Path) -> None:
    path = tmp_path / "stack.yml"
    labels = deployed(ROUTE, PORT, "traefik.docker.network: shop_other")
    checked = checkup(path, labels, networks="edge, other")
    assert proxy_faults(checked) == ["proxy-network-by-chance"]
    assert "traefik.docker.network: shop_edge" in fixed(path, checked, "proxy-network-by-chance")


def test_a_service_that_publishes_a_port_joins_the_network_of_the_proxy_and_names_it(tmp_path: Path) -> None:
    path = tmp_path / "stack.yml"
    checked = checkup(path, deployed(ROUTE, PORT) + "\n    ports: ['8080:80']", networks="inner")
    assert proxy_faults(checked) == ["proxy-without-network"]
    fixed(path, checked, "proxy-without-network")
    assert "networks: [inner, edge]" in path.read_text()
    assert "traefik.swarm.network: shop_edge" in path.read_text()
