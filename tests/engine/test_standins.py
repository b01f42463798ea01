"""Programs that are not simulated: what runs in their place, and which programs an image does not have."""

from __future__ import annotations

import pytest

from cnmsim import Lab
from cnmsim.engine.images.catalogue import ImageCatalogue, ImageMeaning
from cnmsim.engine.standins.commandline import command_ports, unwrapped
from cnmsim.engine.standins.environment import environment_ports, health_check_ports, references
from cnmsim.errors import InvalidParameter


@pytest.fixture
def docker():
    return Lab().add_host("node1", "10.0.0.2/24", docker=True).docker


def logs(container) -> str:
    return container.logs().decode()


@pytest.mark.parametrize(
    ("image", "command", "program"),
    [
        ("redis", "redis-server --appendonly yes", "redis-server"),
        ("redis", "--appendonly yes", "redis-server"),
        ("python:3.12", "python app.py", "python"),
        ("node:20", "node server.js", "node"),
        ("eclipse-temurin:21", "java -jar app.jar", "java"),
        ("grafana/loki", "-config.file=/etc/loki/own.yaml", "loki"),
        ("hashicorp/vault", None, "vault"),
        ("lscr.io/linuxserver/sonarr", None, "sonarr"),
        ("acme/app", None, "app"),
        ("acme/app", "/start.sh", "start.sh"),
        ("acme/app", ["sh", "-c", "sleep 1; exec gunicorn app:app"], "gunicorn"),
    ],
)
def test_a_stand_in_stays_up_and_says_so(docker, image, command, program):
    container = docker.containers.run(image, command, name="one", detach=True)
    docker.clock.run_for(5)
    assert container.status == "running"
    assert f"cnmsim: {program} is not simulated" in logs(container).splitlines()[0]


@pytest.mark.parametrize(
    ("image", "command"), [("acme/app", None), ("httpd", None), ("nginx", None), ("alpine", "sleep infinity")]
)
def test_no_timer_runs_for_a_program_that_waits_for_ever(docker, image, command):
    container = docker.containers.run(image, command, name="one", detach=True)
    docker.clock.run_for(60)
    assert docker.clock.next_event_ns() is None
    assert container.status == "running"


@pytest.mark.parametrize(
    ("image", "command"),
    [("alpine", "python app.py"), ("busybox", "nosuch"), ("debian", "htop"), ("ubuntu", "nosuch")],
)
def test_a_base_image_has_no_other_programs(docker, image, command):
    with pytest.raises(InvalidParameter, match="executable file not found"):
        docker.containers.run(image, command, name="one", detach=True)
    assert docker.containers.get("one").attrs["State"]["ExitCode"] == 127


@pytest.mark.parametrize("command", ["python --version", "pip install x", "python manage.py migrate", "python"])
def test_a_command_that_does_one_task_ends_with_success(docker, command):
    container = docker.containers.run("python:3.12", command, name="one", detach=True)
    assert container.wait()["StatusCode"] == 0


def test_a_program_on_the_command_line_ends_unless_it_waits(docker):
    output = docker.containers.run("python:3.12", ["python", "-c", "print(1)"], stderr=True)
    assert b"python is not simulated" in output
    stays = docker.containers.run("python:3.12", ["python", "-c", "import time; time.sleep(600)"], detach=True)
    docker.clock.run_for(5)
    assert stays.status == "running"


def test_php_with_apache_and_node_with_a_published_port_stay_up(docker):
    for number, image in enumerate(("php:8-apache", "node:20")):
        docker.containers.run(image, name=f"c{number}", ports={"80/tcp": 8080 + number}, detach=True)
    docker.clock.run_for(5)
    assert {container.status for container in docker.containers.list(all=True)} == {"running"}


def test_inspect_shows_the_real_command_and_top_the_real_program(docker):
    container = docker.containers.run("redis", "redis-server --appendonly yes", name="one", detach=True)
    assert container.attrs["Config"]["Cmd"] == ["redis-server", "--appendonly", "yes"]
    assert container.attrs["Args"] == ["redis-server", "--appendonly", "yes"]


def test_a_stand_in_ends_on_sigterm(docker):
    container = docker.containers.run("acme/app", name="one", detach=True)
    began = docker.clock.now
    container.stop()
    assert docker.clock.now - began < 1


def test_the_user_states_an_image_of_his_own():
    lab = Lab()
    lab.images.add("acme/api", listens=[8000, "53/udp"])
    docker = lab.add_host("node1", "10.0.0.2/24", docker=True).docker
    docker.containers.run("acme/api", name="api", detach=True)
    docker.containers.run("alpine", "sleep 1d", name="client", detach=True)
    lab.settle()
    address = docker.containers.get("api").ip()
    assert lab.trace("client", f"{address}:8000").finding.assumptions == ()
    assert lab.trace("client", f"{address}:53/udp").is_reachable
    with pytest.raises(InvalidParameter, match="invalid port '99999'"):
        lab.images.add("acme/api", listens=[99999])


def test_an_own_image_keeps_what_its_meaning_says():
    catalogue = ImageCatalogue()
    catalogue.add("acme/x", ImageMeaning(command=("run",), exposed=("9/tcp",)))
    assert (catalogue.meaning("acme/x").command, catalogue.meaning("acme/x").listens) == (("run",), ("9/tcp",))


@pytest.mark.parametrize(
    ("argv", "ports"),
    [
        (["app", "--port=8000"], [(8000, "")]),
        (["app", "--http.addr", ":9091"], [(9091, "")]),
        (["prometheus", "--web.listen-address=:9091"], [(9091, "")]),
        (["traefik", "--entrypoints.web.address=:80", "--entryPoints.dns.address=:53/udp"], [(80, ""), (53, "")]),
        (["minio", "server", "/data", "--console-address", ":9001"], [(9001, "")]),
        (["uvicorn", "main:app", "--host", "0.0.0.0", "--port", "80"], [(80, "")]),
        (["uvicorn", "main:app"], [(8000, "127.0.0.1")]),
        (["uvicorn", "main:app", "--port", "5000"], [(5000, "127.0.0.1")]),
        (["python", "manage.py", "runserver", "0.0.0.0:8000"], [(8000, "")]),
        (["python", "manage.py", "runserver"], [(8000, "127.0.0.1")]),
        (["flask", "run", "--host=0.0.0.0"], [(5000, "")]),
        (["npx", "http-server", "-p", "8081"], [(8081, "")]),
        (["rails", "s", "-b", "0.0.0.0"], [(3000, "")]),
        (["php", "-S", "0.0.0.0:8000", "-t", "public"], [(8000, "")]),
        (["sh", "-c", "pip install x && gunicorn --bind 0.0.0.0:$PORT a:b"], [(3000, "")]),
        (["tini", "--", "java", "-Dserver.port=8085", "-jar", "a.jar"], [(8085, "")]),
        (["app", "--db-port", "5432", "--smtp-port=25"], []),
        (["postgres", "-p", "5433"], [(5433, "")]),
        (["npm", "start"], []),
    ],
)
def test_ports_are_read_from_a_command_line(argv, ports):
    assert [(port.number, port.address) for port in command_ports(argv, {"PORT": "3000"})] == ports


def test_wrappers_are_taken_off():
    assert unwrapped(["/tini", "--", "docker-entrypoint.sh", "redis-server", "-v"]) == ["redis-server", "-v"]
    assert unwrapped(["entrypoint.sh", "--flag"]) == ["entrypoint.sh", "--flag"]


def test_variables_of_clients_are_no_listeners():
    env = {
        "DB_PORT": "5432",
        "SMTP_PORT": "25",
        "PORT": "80",
        "GF_SERVER_HTTP_PORT": "3001",
        "ASPNETCORE_URLS": "http://+:81",
    }
    assert sorted(port.number for port in environment_ports(env, {})) == [80, 81, 3001]


def test_references_are_read_from_urls_pairs_and_lists():
    env = {
        "A": "postgres://u:p@db/x", "B": "kafka:29092,other:1", "C_HOST": "cache", "C_PORT": "6379", "D": "a:b:c",
        "E": "image:8080x",
    }  # fmt: skip
    names = {name: name for name in ("db", "kafka", "cache", "image")}
    assert sorted((name, port.number) for name, port in references(env, names)) == [
        ("cache", 6379), ("db", 5432), ("kafka", 29092),
    ]  # fmt: skip
    assert [
        port.number for port in health_check_ports(["CMD-SHELL", "nc -z localhost 5 || nc -z 127.0.0.1 8080"])
    ] == [8080]


@pytest.mark.parametrize(
    ("text", "is_port"), [("0", False), ("1", True), ("65535", True), ("65536", False), ("x", False)]
)
def test_a_port_is_a_number_from_1_to_65535(text, is_port):
    numbers = [int(text)] if is_port else []
    assert [port.number for port in environment_ports({"PORT": text}, {})] == numbers
    label = "traefik.http.services.web.loadbalancer.server.port"
    assert [port.number for port in environment_ports({}, {label: text})] == numbers
    if len(text) > 1:  # an address has at least two digits
        assert [port.number for port in environment_ports({"ASPNETCORE_URLS": f"http://+:{text}"}, {})] == numbers


def test_a_label_of_udp_is_a_udp_port():
    labels = {
        "traefik.udp.services.dns.loadbalancer.server.port": "53",
        "traefik.tcp.services.db.loadbalancer.server.port": "5432",
    }
    assert [(port.number, port.protocol) for port in environment_ports({}, labels)] == [(53, "udp"), (5432, "tcp")]
