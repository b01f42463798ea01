"""Servers with pages and log lines like the real ones, and the clients of health checks."""

from __future__ import annotations

import pytest

from cnmsim import Lab


@pytest.fixture
def docker():
    return Lab().add_host("node1", "10.0.0.2/24", docker=True).docker


NGINX_TEST = (
    "nginx: the configuration file /etc/nginx/nginx.conf syntax is ok\n"
    "nginx: configuration file /etc/nginx/nginx.conf test is successful\n"
)


def run(docker, image, command=None, **options):
    container = docker.containers.run(image, command, detach=True, **options)
    docker.clock.run_for(3)
    return container


def test_httpd_serves_its_page_and_logs_in_the_common_format(docker):
    web = run(docker, "httpd", name="web")
    client = run(docker, "alpine", "sleep 1d", name="client")
    assert client.exec(f"curl -s {web.ip()}").text == "<html><body><h1>It works!</h1></body></html>\n"
    assert "Server: Apache/2.4" in client.exec(f"curl -si {web.ip()}/nosuch").text
    log = web.logs().decode()
    assert "AH00094: Command line: 'httpd -D FOREGROUND'" in log
    assert f"{client.ip()} - - [01/Jan/2026:00:00:" in log
    assert '"GET / HTTP/1.1" 200 45' in log
    assert '"GET /nosuch HTTP/1.1" 404 196' in log


def test_nginx_serves_its_welcome_page_and_logs_in_its_format(docker):
    web = run(docker, "nginx:1.29", name="web")
    client = run(docker, "alpine", "sleep 1d", name="client")
    assert len(client.exec(f"curl -s {web.ip()}").text) == 615
    assert "Server: nginx/1.29" in client.exec(f"curl -si {web.ip()}/nosuch").text
    log = web.logs().decode()
    assert "/docker-entrypoint.sh: Configuration complete; ready for start up" in log
    assert f"{client.ip()} - - [01/Jan/2026:00:00:" in log
    assert '"GET / HTTP/1.1" 200 615 "-" "curl/' in log
    assert 'open() "/usr/share/nginx/html/nosuch" failed (2: No such file or directory)' in log


def test_a_page_that_is_written_into_nginxs_folder_is_served(docker):
    web = run(docker, "nginx:1.29", name="web")
    client = run(docker, "alpine", "sleep 1d", name="client")
    write = "echo 'server {}' > /etc/nginx/conf.d/own.conf && echo hello > /usr/share/nginx/html/index.html"
    assert web.exec_run(["sh", "-c", write]).exit_code == 0
    assert client.exec(f"curl -s {web.ip()}").text == "hello\n"


def test_nginx_with_a_configuration_of_the_user_listens_on_what_the_file_publishes():
    ports = ["80:80", "443:443"]
    for volumes, verdict in ((["./nginx.conf:/etc/nginx/nginx.conf:ro"], "answered"), ([], "refused")):
        web = {"image": "nginx:1.29", "ports": ports, "volumes": volumes}
        lab = Lab.from_compose({"services": {"web": web}}, "shop")
        assert lab.trace("client", "host:80").verdict.value == "answered"
        assert lab.trace("client", "host:443").verdict.value == verdict


def test_two_servers_of_a_service_show_who_answered(docker):
    for number in (1, 2):
        run(docker, "traefik/whoami", name=f"web{number}", hostname=f"host{number}")
    client = run(docker, "alpine", "sleep 1d", name="client")
    answers = {
        client.exec(f"curl -s {docker.containers.get(name).ip()}").text.split()[1] for name in ("web1", "web2")
    }
    assert answers == {"host1", "host2"}


def test_whoami_prints_its_host_name_and_addresses_and_the_request(docker):
    web = run(docker, "traefik/whoami", name="web", hostname="one", environment={"WHOAMI_NAME": "first"})
    client = run(docker, "alpine", "sleep 1d", name="client")
    lines = client.exec(f"curl -s -A test {web.ip()}/x").text.splitlines()
    assert lines[:3] == ["Name: first", "Hostname: one", "IP: 127.0.0.1"]
    assert f"IP: {web.ip()}" in lines
    assert any(line.startswith(f"RemoteAddr: {client.ip()}:") for line in lines)
    assert (
        lines[-4:] == ["GET /x HTTP/1.1", f"Host: {web.ip()}", "Accept: */*", "User-Agent: test"]
        or "Accept: */*" in lines
    )
    assert "Starting up on port 80" in web.logs().decode()


def test_whoami_of_busybox_is_still_the_applet(docker):
    assert run(docker, "alpine", "whoami", name="one").logs() == b"root\n"


@pytest.mark.parametrize(
    ("image", "line"),
    [
        ("postgres", "database system is ready to accept connections"),
        ("redis", "Ready to accept connections tcp"),
        ("mysql", "ready for connections"),
        ("rabbitmq", "Server startup complete"),
        ("mongo", "Waiting for connections"),
    ],
)
def test_a_server_writes_its_start_lines(docker, image, line):
    assert line in run(docker, image, name="db").logs().decode()


@pytest.mark.parametrize(
    ("image", "check", "output"),
    [
        ("postgres:16", "pg_isready -U postgres", "/var/run/postgresql:5432 - accepting connections\n"),
        ("redis:7", "redis-cli ping", "PONG\n"),
        ("valkey/valkey", "valkey-cli ping", "PONG\n"),
        ("mysql:8", "mysqladmin ping -h localhost", "mysqld is alive\n"),
        ("mariadb:11", "healthcheck.sh --connect --innodb_initialized", ""),
        ("mongo:7", ["mongosh", "--quiet", "--eval", "db.adminCommand('ping').ok"], "1\n"),
        ("rabbitmq:3", "rabbitmq-diagnostics -q ping", ""),
        ("nginx", "nginx -t", NGINX_TEST),
    ],
)  # fmt: skip
def test_a_health_check_client_answers_beside_its_server(docker, image, check, output):
    done = run(docker, image, name="db").exec(check)
    assert (done.exit_code, done.text) == (0, output)


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("pg_isready -h 127.0.0.1 -p 9", 2),
        ("redis-cli -p 9 ping", 1),
        ("mysqladmin -P 9 ping", 1),
        ("mongosh --port 9", 1),
    ],
)
def test_a_health_check_client_fails_where_nothing_listens(docker, command, status):
    assert run(docker, "acme/app", name="app").exec(command).exit_code == status


def test_a_client_is_not_in_a_base_image(docker):
    done = run(docker, "alpine", "sleep 1d", name="one").exec(["sh", "-c", "pg_isready"])
    assert (done.exit_code, done.text) == (127, "sh: pg_isready: not found\n")


def test_a_check_that_cannot_be_decided_counts_as_passed_with_a_note():
    services = {
        "app": {"image": "acme/app", "healthcheck": {"test": ["CMD", "/healthcheck"], "interval": "1s"}},
        "db": {"image": "postgres:16", "healthcheck": {"test": "pg_isready", "interval": "1s"}},
        "web": {
            "image": "acme/web",
            "depends_on": {"app": {"condition": "service_healthy"}, "db": {"condition": "service_healthy"}},
        },
    }
    lab = Lab.from_compose({"services": services}, "shop")
    assert lab.container("web").status == "running"
    assert len(lab.project.notes) == 1
    assert "the health check of app counts as passed, as it cannot be decided" in lab.project.notes[0]
    with pytest.raises(Exception, match="dependency failed to start: container shop-app-1 is unhealthy"):
        Lab.from_compose({"services": services}, "shop", strict=True)


def test_ryuk_removes_what_matches_the_filters_of_a_client_that_has_gone():
    lab = Lab()
    docker = lab.add_host("node1", "10.0.0.2/24", docker=True).docker
    docker.containers.create("alpine", name="old", labels={"session": "1"})
    docker.containers.run("alpine", "sleep 1d", name="busy", labels={"session": "1"}, detach=True)
    docker.containers.create("alpine", name="other", labels={"session": "2"})
    docker.networks.create("net", labels={"session": "1"})
    docker.volumes.create("data", labels={"session": "1"})
    socket = {"/var/run/docker.sock": {"bind": "/var/run/docker.sock"}}
    ryuk = run(docker, "testcontainers/ryuk:0.8.1", name="ryuk", volumes=socket)
    client = run(docker, "alpine", "sleep 1d", name="client")
    script = f"(echo label=session=1; sleep 20) | nc {ryuk.ip()} 8080"
    talk = client.exec_run(["sh", "-c", script], detach=False)
    assert talk.output == b"ACK\n"
    assert {item.name for item in docker.containers.list(all=True)} >= {"old", "busy", "other"}
    docker.clock.run_for(11)
    assert {item.name for item in docker.containers.list(all=True)} == {"other", "ryuk", "client"}
    assert "net" not in {item.name for item in docker.networks.list()}
    assert docker.volumes.list() == []
    assert "Removed 2 container(s), 1 network(s), 1 volume(s) 0 image(s)" in ryuk.logs().decode()
    assert ryuk.wait()["StatusCode"] == 0


def test_ryuk_without_a_socket_or_a_client_ends_with_its_reason(docker):
    alone = run(docker, "testcontainers/ryuk")
    assert alone.wait()["StatusCode"] == 2
    assert "panic: Cannot connect to the Docker daemon" in alone.logs().decode()


def test_socat_forwards_to_helloworld(docker):
    docker.networks.create("n1")
    run(docker, "testcontainers/helloworld:1.2.0", name="hello", network="n1")
    socat = run(docker, "alpine/socat", "TCP-LISTEN:80,fork,reuseaddr TCP:hello:8080", name="socat", network="n1")
    client = run(docker, "alpine", "sleep 1d", name="client", network="n1")
    assert [client.exec("wget -qO- socat/ping").text for _ in "12"] == ["PONG", "PONG"]
    assert len(client.exec("wget -qO- hello:8081/uuid").text) == 36
    docker.containers.get("hello").kill()
    assert client.exec("wget -qO- socat/ping").exit_code == 1
    assert "Name does not resolve" in socat.logs().decode()
    refused = run(docker, "alpine/socat", "nosuch:1 TCP:hello:80")
    assert b'E unknown device/address "nosuch"' in refused.logs()
