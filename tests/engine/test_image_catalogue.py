"""The catalogue of images is valid data, and names of images find their entries."""

from __future__ import annotations

import json
import tomllib
from importlib.resources import files

import jsonschema
import pytest

from cnmsim import Lab
from cnmsim.engine.images.catalogue import ImageCatalogue, ImageMeaning, entry_for
from cnmsim.engine.images.images import Reference
from cnmsim.engine.standins.commandline import command_ports
from cnmsim.engine.standins.knownport import parse_listener

FOLDER = files("cnmsim.engine.images")
ENTRIES = tomllib.loads((FOLDER / "catalogue.toml").read_text(encoding="utf-8"))
PROGRAMS = tomllib.loads((FOLDER / "programs.toml").read_text(encoding="utf-8"))


def test_the_catalogue_conforms_to_its_schema():
    jsonschema.validate(ENTRIES, json.loads((FOLDER / "catalogue.schema.json").read_text(encoding="utf-8")))
    assert len(ENTRIES) >= 200


def test_every_reference_in_it_leads_somewhere():
    for key, entry in ENTRIES.items():
        assert entry.get("like", key) in ENTRIES
        assert key.partition(":")[0] in ENTRIES
        for name in entry.get("programs", ()):
            assert not name.startswith("@") or name[1:] in PROGRAMS


def test_no_name_means_two_images():
    names = [name for key, entry in ENTRIES.items() if ":" not in key for name in (key, *entry.get("names", ()))]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("key", sorted(ENTRIES))
def test_an_entry_is_a_configuration_with_valid_ports(key):
    repository, _, pattern = key.partition(":")
    tag = pattern.replace("*", "") or "latest"
    meaning = ImageCatalogue().meaning(repository, tag)
    assert meaning.title == repository
    assert meaning.command or meaning.entrypoint
    for port in (*meaning.exposed, *meaning.listens):
        parse_listener(port)


@pytest.mark.parametrize("key", sorted(ENTRIES))
def test_an_image_exposes_the_default_port_of_its_server(key: str) -> None:
    repository, _, pattern = key.partition(":")
    meaning = ImageCatalogue().meaning(repository, pattern.replace("*", "") or "latest")
    for port in command_ports([*(meaning.entrypoint or ()), *(meaning.command or ())], {}):
        assert not port.is_default or f"{port.number}/{port.protocol}" in meaning.exposed


@pytest.mark.parametrize(
    ("program", "image"),
    [("memcached", "memcached"), ("mongod", "mongo"), ("mysqld", "mysql"), ("mariadbd", "mariadb"),
     ("postgres", "postgres"), ("redis-server", "redis"), ("nats-server", "nats")],
)  # fmt: skip
def test_a_server_without_options_listens_on_the_port_of_its_image_on_all_addresses(program: str, image: str) -> None:
    [port] = command_ports([program], {})
    assert (port.address, port.is_default) == ("", True)
    assert f"{port.number}/{port.protocol}" == ImageCatalogue().meaning(image, "latest").exposed[0]


@pytest.mark.parametrize(
    ("image", "title"),
    [
        ("nginx", "nginx"), ("docker.io/library/postgres:16", "postgres"), ("docker.io/bitnami/mongodb:7", "mongo"),
        ("bitnami/postgresql", "postgres"), ("lscr.io/linuxserver/wireguard:latest", "linuxserver/wireguard"),
        ("ghcr.io/linuxserver/sonarr", "linuxserver/sonarr"), ("quay.io/keycloak/keycloak:26", "keycloak"),
        ("docker.elastic.co/elasticsearch/elasticsearch:8.1.0", "elasticsearch"), ("acme/redis", "redis"),
        ("acme/api", ""), ("acme/server", ""), ("registry:2", "registry"), ("localhost:5000/team/nginx", "nginx"),
    ],
)  # fmt: skip
def test_a_name_finds_its_entry(image, title):
    reference = Reference.parse(image)
    assert entry_for(reference.repository, reference.tag).partition(":")[0] == title


@pytest.mark.parametrize(
    ("image", "ports"),
    [
        ("rabbitmq:3", False), ("rabbitmq:3-management", True), ("rabbitmq:4.0-management-alpine", True),
    ],
)  # fmt: skip
def test_a_tag_has_an_entry_of_its_own(image, ports):
    repository, _, tag = image.partition(":")
    assert ("15672/tcp" in ImageCatalogue().meaning(repository, tag).listens) is ports


@pytest.mark.parametrize("image", ["nginx", "nginx:1.29", "nginx:latest"])
def test_nginx_is_nginx_whatever_its_tag(image):
    docker = Lab().add_host("node1", "10.0.0.1/24", docker=True).docker
    web = docker.containers.run(image, name="web", detach=True)
    assert "Welcome to nginx!" in web.exec_run("wget -qO- http://127.0.0.1/").output.decode()
    assert web.attrs["Config"]["Entrypoint"] == ["/docker-entrypoint.sh"]
    assert '"GET / HTTP/1.1" 200 615' in web.logs().decode()


def test_an_added_image_is_used_though_the_engine_has_one_of_that_name():
    lab = Lab()
    docker = lab.add_host("node1", "10.0.0.1/24", docker=True).docker
    lab.images.add("alpine", ImageMeaning(("echo", "added"), files=(("/tool", "#!/bin/sh\necho a tool\n"),)))
    assert docker.containers.run("alpine", remove=True) == b"added\n"
    assert docker.containers.run("alpine", "/tool", remove=True) == b"a tool\n"
    assert docker.images.get("alpine").attrs["Config"]["Cmd"] == ["echo", "added"]


def test_images_have_no_page_of_a_web_server_that_they_do_not_have():
    docker = Lab().add_host("node1", "10.0.0.1/24", docker=True).docker
    server = docker.containers.create("busybox", "httpd -f -h /www", name="web")
    server.start()
    server.wait()
    assert server.logs() == b"httpd: can't change directory to '/www': No such file or directory\n"


@pytest.mark.parametrize(
    ("image", "command", "out"),
    [
        ("alpine", "id", ("uid=0(root) gid=0(root) groups=0(root),1(bin),2(daemon),3(sys),4(adm),6(disk),10(wheel),"
         "11(floppy),20(dialout),26(tape),27(video)")),
        ("busybox", "id", "uid=0(root) gid=0(root) groups=0(root),10(wheel)"),
        ("debian", "id", "uid=0(root) gid=0(root) groups=0(root)"),
        ("ubuntu", "id ubuntu", ("uid=1000(ubuntu) gid=1000(ubuntu) groups=1000(ubuntu),4(adm),20(dialout),24(cdrom),"
         "25(floppy),27(sudo),29(audio),30(dip),44(video),46(plugdev)")),
        ("alpine:3.19", "cat /etc/alpine-release", "3.19.8"),
        ("debian:bookworm-slim", "grep CODENAME /etc/os-release", "VERSION_CODENAME=bookworm"),
        ("postgres:17", "grep postgres /etc/passwd", "postgres:x:999:999::/var/lib/postgresql:/bin/bash"),
        ("postgres:17-alpine", "id postgres", "uid=70(postgres) gid=70(postgres) groups=70(postgres)"),
        ("nginx:1.27", "nginx -v", "nginx version: nginx/1.27.5"),
        ("nginx:1.26-alpine", "printenv NGINX_VERSION", "1.26.3"),
        ("nginx:1.17.3", "nginx -v", "nginx version: nginx/1.17.3"),
        ("nginx:stable", "nginx -v", "nginx version: nginx/1.28.0"),
        ("redis:7.2", "redis-server --version",
         "Redis server v=7.2.10 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64 build=0"),
        ("httpd:2.4", "httpd -v", "Server version: Apache/2.4.66 (Unix)\nServer built:   Jan  1 2026 00:00:00"),
        ("redis:7.2", "redis-cli --version", "redis-cli 7.2.10"),
        ("traefik:v3.1", "version", "Version:      3.1.7\nCodename:     cheddar\nOS/Arch:      linux/amd64"),
        ("caddy:2.8", "caddy version", "v2.8.4"),
        ("python:3.12-slim", "python --version", "Python 3.12.11"),
        ("node:20", "node -v", "v20.19.4"),
    ],
)  # fmt: skip
def test_an_image_has_its_users_and_the_version_of_its_tag(image, command, out):
    docker = Lab().add_host("node1", "10.0.0.1/24", docker=True).docker
    assert docker.containers.run(image, command, stderr=True, remove=True).decode() == f"{out}\n"


def test_servers_say_the_version_of_their_tag():
    docker = Lab().add_host("node1", "10.0.0.1/24", docker=True).docker
    web = docker.containers.run("nginx:1.27", detach=True)
    assert b"Server: nginx/1.27.5\r\n" in web.exec_run("curl -si http://127.0.0.1/").output
    for image, text in (("redis:6.2", "Redis version=6.2.19,"), ("mysql:5.7", "(mysqld 5.7.44)")):
        server = docker.containers.run(image, detach=True)
        docker.clock.run_for(1)
        assert text in server.logs().decode()
