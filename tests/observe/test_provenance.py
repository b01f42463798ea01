"""What a verdict rests on where a program is not simulated, and the verdict "path open"."""

from __future__ import annotations

from typing import Any

import pytest

from cnmsim import Lab
from cnmsim.engine.standins.knownport import Provenance
from cnmsim.observe.diagnosis.verdict import Verdict
from cnmsim.observe.trace.tracer import directory_of


def compose(**services: dict[str, Any]) -> Lab:
    return Lab.from_compose({"services": {"client1": {"image": "alpine", "command": "sleep 1d"}, **services}}, "shop")


def finding(lab: Lab, destination: str, source: str = "client1") -> Any:
    found = lab.trace(source, destination).finding
    assert found is not None
    return found


def test_an_answer_of_an_image_of_the_catalogue_names_the_assumption() -> None:
    found = finding(compose(db={"image": "postgres:16"}), "db:5432")
    assert found.verdict is Verdict.ANSWERED
    assert "assumes: postgres in db listens on 5432/tcp (as the image postgres does" in str(found)


def test_another_port_of_it_is_refused_on_an_assumption() -> None:
    found = finding(compose(db={"image": "postgres:16", "ports": ["5433:5433"]}), "db:5433")
    assert found.verdict is Verdict.REFUSED
    assert "listens on no other port than 5432/tcp (as the image postgres does)" in found.assumption_texts[0]
    assert found.advice == "use port 5432"


@pytest.mark.parametrize("destination", ["api:9001", "api:53/udp"])
def test_the_path_is_open_where_nothing_is_known(destination: str) -> None:
    lab = compose(api={"image": "acme/api"})
    found = finding(lab, destination)
    assert (found.verdict, found.advice) == (Verdict.PATH_OPEN, "")
    assert lab.trace("client1", destination).is_reachable
    port = destination.partition(":")[2]
    assert f"x-cnmsim: {{listens: [{port}]}}" in found.remark_texts[0]


def test_the_host_port_asked_inside_the_network_is_a_mistake_and_refused() -> None:
    found = finding(compose(api={"image": "acme/api", "ports": ["8080:80"]}), "api:8080")
    assert (found.verdict, found.advice) == (Verdict.REFUSED, "use port 80")


def test_a_simulated_program_needs_no_assumption() -> None:
    lab = compose(web={"image": "alpine", "command": "httpd -f -p 80"})
    assert finding(lab, "web:80").assumptions == ()
    assert finding(lab, "web:81").verdict is Verdict.REFUSED
    assert finding(lab, "web:81").assumptions == ()
    web = directory_of(lab).find("web")
    assert (web.provenance("tcp", 80), web.provenance("tcp", 81)) == (Provenance.RECORDED, Provenance.RECORDED)


def test_what_the_user_states_is_no_assumption() -> None:
    lab = compose(api={"image": "acme/api", "x-cnmsim": {"listens": [8000, "53/udp"]}})
    assert finding(lab, "api:8000").assumptions == ()
    assert finding(lab, "api:53/udp").verdict is Verdict.DELIVERED
    assert finding(lab, "api:8001").verdict is Verdict.REFUSED
    assert directory_of(lab).find("api").provenance("tcp", 8000) is Provenance.STATED


def test_a_wrong_statement_is_refused_with_its_line() -> None:
    with pytest.raises(Exception, match=r"invalid port 'http'.*such as 8000 or 53/udp"):
        compose(api={"image": "acme/api", "x-cnmsim": {"listens": ["http"]}})
    with pytest.raises(Exception, match=r"has no key 'listen': there is listens"):
        compose(api={"image": "acme/api", "x-cnmsim": {"listen": [80]}})


@pytest.mark.parametrize(
    ("service", "destination", "evidence"),
    [
        ({"command": "app --port 8000"}, "api:8000", "its command has --port 8000"),
        ({"command": "gunicorn -b 0.0.0.0:9000 x:y"}, "api:9000", "its command has -b 0.0.0.0:9000"),
        ({"command": "python -m http.server 8123"}, "api:8123", "its command has http.server 8123"),
        ({"command": "php artisan serve --host 0.0.0.0"}, "api:8000", "its command has artisan serve"),
        (
            {"entrypoint": ["app", "--listen", ":7000"], "command": []},
            "api:7000",
            "its entrypoint has --listen :7000",
        ),
        ({"environment": {"PORT": "3000"}}, "api:3000", "its environment has PORT=3000"),
        ({"healthcheck": {"test": "curl -f http://localhost:8088/"}}, "api:8088", "its health check uses"),
        ({"expose": [6000]}, "api:6000", "it is exposed"),
        ({"ports": ["9999:9000"]}, "api:9000", "it is published"),
        ({"ports": ["51820:51820/udp"]}, "api:51820/udp", "it is published"),
        ({"labels": {"traefik.http.services.x.loadbalancer.server.port": "4000"}}, "api:4000", "traefik.http"),
    ],
)
def test_every_source_of_a_port_is_named(service: dict[str, Any], destination: str, evidence: str) -> None:
    found = finding(compose(api={"image": "acme/api", **service}), destination)
    assert found.verdict in {Verdict.ANSWERED, Verdict.DELIVERED}
    assert evidence in found.assumption_texts[0]


@pytest.mark.parametrize(
    "environment",
    [{"URL": "http://api:9000/x"}, {"API_HOST": "api", "API_PORT": "9000"}, {"UPSTREAMS": "api:9000,other:1"}],
)
def test_another_service_that_names_the_port_is_a_source(environment: dict[str, str]) -> None:
    lab = compose(api={"image": "acme/api"}, web={"image": "acme/web", "environment": environment})
    assert "web: " in finding(lab, "api:9000").assumption_texts[0]


def test_a_program_that_binds_loopback_by_default_is_found() -> None:
    found = finding(compose(api={"image": "acme/api", "command": "flask run"}), "api:5000")
    assert found.verdict is Verdict.REFUSED
    assert "127.0.0.1:5000 only" in found.cause_text
    assert "flask" in found.assumption_texts[0]


def test_the_matrix_tells_an_open_path_from_a_refusal() -> None:
    lab = compose(
        api={"image": "acme/api"}, other={"image": "acme/api"}, db={"image": "alpine", "command": "sleep 1d"}
    )
    matrix = lab.reachability(port=8000)
    verdicts = {service: matrix.verdict("shop-client1-1", service).value for service in matrix.services}
    assert verdicts["api:8000"] == verdicts["other:8000"] == "path open"
    assert verdicts["db:8000"] == "refused"


def test_no_fix_picks_a_port_by_chance() -> None:
    several = finding(compose(mq={"image": "rabbitmq:3", "ports": ["15673:15673"]}), "mq:15674")
    assert several.advice == "use the intended port, or configure the program in mq to listen on this one"
    tls = finding(compose(web={"image": "alpine", "command": "httpd -f -p 80"}), "web:443")
    assert tls.advice == "use the intended port, or configure the program in web to listen on this one"


def test_the_fix_for_a_loopback_default_works_on_a_copy() -> None:
    lab = compose(api={"image": "acme/api", "command": "flask run"})
    fixes = lab.explain("client1", "api:5000").fixes
    assert [fix.apply().verdict for fix in fixes[:1]] == [Verdict.ANSWERED]


def test_a_fork_keeps_what_is_known() -> None:
    lab = compose(api={"image": "acme/api", "x-cnmsim": {"listens": [8000]}}, db={"image": "postgres"})
    copy = lab.fork()
    assert finding(copy, "api:8000").assumptions == ()
    assert finding(copy, "api:8001").verdict is Verdict.REFUSED
    assert finding(copy, "db:5432").assumption_texts == finding(lab, "db:5432").assumption_texts


@pytest.mark.parametrize("strict", [False, True])
def test_a_policy_that_requires_an_open_path_holds_unless_strict(strict: bool) -> None:
    from cnmsim.testing.policy import check_policy

    lab = Lab.from_compose(
        {"services": {"web": {"image": "alpine", "command": "sleep 1d"}, "api": {"image": "acme/api"}}},
        "shop", strict=strict,
    )  # fmt: skip
    (checked,) = check_policy(lab, {"require": ["web -> api:8000"]}).findings
    assert (checked.passed, checked.found) == (not strict, "path open")
    unknown = "it is not known whether web reaches api:8000, which the policy requires (web -> api:8000): the packets"
    assert checked.message.startswith(unknown) is strict


def test_a_stack_states_listeners_and_names_those_of_others() -> None:
    lab = Lab()
    docker = lab.add_host("node1", "10.0.0.2/24", docker=True).docker
    docker.swarm.init(advertise_addr="10.0.0.2")
    stack = {
        "version": "3.8",
        "services": {
            "client": {"image": "alpine", "command": "sleep 1d"},
            "api": {"image": "acme/api", "x-cnmsim": {"listens": [8000]}},
            "web": {"image": "acme/web", "environment": {"BACK": "http://back:9000"}},
            "back": {"image": "acme/back"},
        },
    }
    docker.stacks.deploy("shop", stack)
    lab.settle(10)
    source = next(c.name for c in docker.containers.list() if c.name.startswith("shop_client"))
    assert finding(lab, "api:8000", source).verdict is Verdict.ANSWERED
    assert finding(lab, "back:9000", source).verdict is Verdict.ANSWERED


def test_containers_of_one_namespace_are_no_duplicate_mac() -> None:
    lab = compose(vpn={"image": "qmcgaw/gluetun"}, app={"image": "acme/app", "network_mode": "service:vpn"})
    assert "duplicate-mac" not in str(lab.doctor())


@pytest.mark.parametrize(
    ("service", "listens", "refuses"),
    [
        (
            {"image": "acme/x", "command": "gunicorn a:b", "environment": {"GUNICORN_CMD_ARGS": "-b :7000"}},
            7000,
            8000,
        ),
        ({"image": "mysql:8", "command": "--port=3307"}, 3307, 3306),
        ({"image": "nats", "command": "-p 4333"}, 4333, 4222),
        ({"image": "acme/x", "environment": {"HTTP_PORT": 81, "GRPC_PORT": 82}}, 82, 80),
        ({"image": "graylog/graylog:5"}, 9000, 9001),
    ],
)
def test_what_a_file_states_replaces_a_server_s_default(service: dict[str, Any], listens: int, refuses: int) -> None:
    lab = compose(x=service)
    assert finding(lab, f"x:{listens}").verdict is Verdict.ANSWERED
    assert finding(lab, f"x:{refuses}").verdict is Verdict.REFUSED


def test_of_containers_that_share_a_stack_the_one_that_is_to_listen_is_named() -> None:
    lab = compose(
        vpn={"image": "qmcgaw/gluetun", "container_name": "vpn", "ports": ["8080:8080"]},
        seed={
            "image": "linuxserver/qbittorrent", "environment": ["WEBUI_PORT=8080"], "network_mode": "container:vpn",
            "depends_on": ["vpn"],
        },
    )  # fmt: skip
    assert finding(lab, "vpn:8080").assumption_texts[0].startswith("qbittorrent in seed listens on 8080/tcp (its env")


@pytest.mark.parametrize(
    ("service", "port", "program"),
    [
        ("{image: grafana/grafana}", 3000, "grafana"),
        ("{image: linuxserver/nginx}", 80, "nginx"),
        ("{image: 'node:20', command: sh -c 'npm start', environment: {PORT: '3000'}}", 3000, "npm"),
    ],
)
def test_a_program_has_one_name_in_walks_and_assumptions(service: str, port: int, program: str) -> None:
    lab = Lab.from_compose(f"services:\n  app: {service}\n  web: {{image: alpine, command: sleep 1d}}\n")
    walk = lab.trace("web", f"app:{port}")
    assert f"{program} (pid" in str(walk)
    assert f"{program} in app listens on {port}/tcp" in str(walk)
