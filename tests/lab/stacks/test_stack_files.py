"""What is read out of a stack file, and what is said of a wrong one: the docker command's words, with the line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cnmsim import FileError
from cnmsim.engine.client.stacks import StackDescription
from cnmsim.lab.stack import read_stack
from cnmsim.lab.stack.quantities import duration_ns, nano_cpus, size_bytes


def read(text: str, **options: Any) -> StackDescription:
    return read_stack("shop", f"{text}\n", **options)


def service(lines: str, **options: Any) -> dict[str, Any]:
    indented = "".join(f"    {line}\n" for line in lines.splitlines())
    spec: dict[str, Any] = read(f"services:\n  web:\n    image: nginx\n{indented}", **options).services["shop_web"]
    return spec


def container(lines: str, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = service(lines, **options)["TaskTemplate"]["ContainerSpec"]
    return found


def test_names_and_labels_are_the_stacks() -> None:
    found = read(
        "services:\n  web: {image: nginx:1, networks: [front]}\nnetworks: {front: {}, spare: {}}\n"
        "secrets: {s: {external: true}}\n"
    )
    spec = found.services["shop_web"]
    assert spec["Labels"] == {"com.docker.stack.namespace": "shop", "com.docker.stack.image": "nginx:1"}
    assert spec["TaskTemplate"]["Networks"] == [{"Target": "shop_front", "Aliases": ["web"]}]
    assert list(found.networks) == ["shop_front"], "a network nobody uses is not made"
    assert found.networks["shop_front"]["Driver"] == "overlay"
    assert not found.secrets


def test_a_service_without_networks_is_on_the_default_one() -> None:
    found = read("services: {web: {image: nginx}}\nnetworks: {default: {attachable: true}}\n")
    assert list(found.networks) == ["shop_default"]
    assert found.networks["shop_default"]["Attachable"] is True


def test_predefined_networks_give_no_alias() -> None:
    found = read(
        "services: {web: {image: nginx, networks: [outside]}}\nnetworks: {outside: {external: true, name: host}}\n"
    )
    assert found.external_networks == ["host"]
    assert found.services["shop_web"]["TaskTemplate"]["Networks"] == [{"Target": "host"}]


@pytest.mark.parametrize(
    ("ports", "want"),
    [
        ('["80"]', [(0, 80, "tcp", "ingress")]),
        ('["8080:80/udp"]', [(8080, 80, "udp", "ingress")]),
        ('["8000-8001:80"]', [(8000, 80, "tcp", "ingress"), (8001, 80, "tcp", "ingress")]),
        ('["9001:2", "9000:1"]', [(9000, 1, "tcp", "ingress"), (9001, 2, "tcp", "ingress")]),
        ("[{target: 53, published: 5353, protocol: udp, mode: host}]", [(5353, 53, "udp", "host")]),
    ],
)
def test_ports(ports: str, want: list[tuple[int, int, str, str]]) -> None:
    found = service(f"ports: {ports}")["EndpointSpec"]["Ports"]
    assert [
        (each.get("PublishedPort", 0), each["TargetPort"], each["Protocol"], each["PublishMode"]) for each in found
    ] == want


def test_an_address_of_a_port_is_ignored_with_a_notice() -> None:
    found = read('services: {web: {image: nginx, ports: ["127.0.0.1:8080:80"]}}\n')
    assert found.notices == ("ignoring IP-address (127.0.0.1:8080:80/tcp) service will listen on '0.0.0.0'",)


@pytest.mark.parametrize(
    ("lines", "want"),
    [
        ("restart: always", {"Condition": "any"}),
        ("restart: on-failure:3", {"Condition": "on-failure", "MaxAttempts": 3}),
        ('restart: "no"', None),
        ("deploy: {restart_policy: {condition: none, delay: 5s}}", {"Condition": "none", "Delay": 5_000_000_000}),
    ],
)
def test_restart_policies(lines: str, want: dict[str, Any] | None) -> None:
    assert service(lines)["TaskTemplate"].get("RestartPolicy") == want


def test_environment_takes_missing_values_from_outside() -> None:
    assert container("environment: [A=1, B, C, D=]", env={"B": "b", "D": "d"})["Env"] == ["A=1", "B=b", "C", "D=d"]


def test_variables_become_numbers_where_numbers_stand() -> None:
    found = service("deploy: {replicas: $COUNT}\nread_only: ${RO:-yes}", env={"COUNT": "3"})
    assert found["Mode"] == {"Replicated": {"Replicas": 3}}
    assert found["TaskTemplate"]["ContainerSpec"]["ReadOnly"] is True


def test_secrets_are_granted_by_name() -> None:
    found = read(
        "services:\n  web:\n    image: nginx\n    secrets: [{source: b, target: x, mode: 0400}, a]\n"
        "secrets: {a: {external: true}, b: {external: true, name: real}}\n"
    ).services["shop_web"]["TaskTemplate"]["ContainerSpec"]["Secrets"]
    assert [(each["SecretName"], each["File"]["Name"], each["File"]["Mode"]) for each in found] == [
        ("a", "a", 0o444),
        ("real", "x", 0o400),
    ]


def test_later_files_are_laid_on_earlier_ones() -> None:
    found = read_stack(
        "shop",
        [
            {"services": {"web": {"image": "nginx", "environment": {"A": "1"}}}},
            {"services": {"web": {"image": "httpd", "environment": {"B": "2"}}}},
        ],
    ).services["shop_web"]["TaskTemplate"]["ContainerSpec"]
    assert (found["Image"], found["Env"]) == ("httpd", ["A=1", "B=2"])


def test_notices_are_the_commands() -> None:
    found = read("services: {web: {image: nginx, build: ., restart: always, container_name: x, privileged: true}}\n")
    assert found.notices == (
        "Ignoring unsupported options: build, privileged, restart",
        "Ignoring deprecated options:\n\ncontainer_name: Setting the container name is not supported.",
    )


@pytest.mark.parametrize(
    ("text", "line", "key", "message"),
    [
        ("services: [web]", 1, "services", "must be a mapping"),
        ("services:\n  web:\n    image: nginx\n    tty: sure", 4, "services.web.tty", "must be a boolean"),
        ("services:\n  web:\n    image: nginx\n    environment: {A: true}", 4, "services.web.environment.A",
         "must be a string, number or null"),
        ("services:\n  web:\n    image: nginx\n    dns_search:\n      - a\n      - a", 6,
         "services.web.dns_search[1]", "array items[0,1] must be unique"),
        ("services:\n  web:\n    image: nginx\n    ulimits: {nofile: {soft: 1}}", 4, "services.web.ulimits.nofile",
         "hard is required"),
        (
            "services:\n  web:\n    image: nginx\n    deploy: {update_config: {order: any}}",
            4,
            "services.web.deploy.update_config.order",
            'must be one of the following: "start-first", "stop-first"',
        ),
        (
            "services: {web: {image: nginx}}\nvolumes:\n  v:\n    external: true\n    driver: x",
            5,
            "volumes.v.driver",
            'conflicting parameters "external" and "driver" specified for volume "v"',
        ),
        ("version: '2.1'\nservices: {}", 1, "version", "unsupported Compose file version: 2.1"),
        ("version: '3.14'\nservices: {}", 1, "version", "unsupported Compose file version: 3.14"),
        ("version: 3.8\nservices: {}", 1, "version", "must be a string"),
        (
            "version: '3.6'\nservices:\n  web:\n    image: nginx\n    init: true",
            5,
            "services.web.init",
            "Additional property init is not allowed in version 3.6: it came with 3.7",
        ),
        (
            "services:\n  web:\n    image: nginx\n    mem_limit: 5m",
            4,
            "services.web.mem_limit",
            "compose file contains unsupported options:\n\nmem_limit: Set resource limits using deploy.resources\n",
        ),
        ("services:\n  web:\n    deploy: {}", 2, "services.web",
         "invalid image reference for service web: no image specified"),
        ("services:\n  web:\n    image: A", 3, "services.web.image",
         ("invalid image reference for service web: invalid reference format: repository name (library/A) must be "
         "lowercase")),
        ("services:\n  web:\n    image: nginx\n    imag: x", 4, "services.web.imag",
         "Additional property imag is not allowed; did you mean image?"),
        ("services:\n  web:\n    image: nginx\n    networks:\n      - back", 5, "services.web.networks[0]",
         'service web: undefined network "back"'),
        ("services:\n  web:\n    image: nginx\n    secrets:\n      - pw", 5, "services.web.secrets[0]",
         'service web: undefined secret "pw"'),
        ("services:\n  web:\n    image: nginx\n    volumes:\n      - data:/x", 5, "services.web.volumes[0]",
         'service web: undefined volume "data"'),
        (
            "services:\n  web:\n    image: nginx\n    deploy:\n      mode: global\n      replicas: 2",
            6,
            "services.web.deploy.replicas",
            "service web: replicas can only be used with replicated or replicated-job mode",
        ),
        ("services:\n  web:\n    image: nginx\n    deploy: {mode: many}", 4, "services.web.deploy.mode",
         "service web: unknown mode: many"),
        ("services:\n  web:\n    image: nginx\n    stop_grace_period: soon", 4, "services.web.stop_grace_period",
         "service web: Does not match format 'duration'"),
        (
            "services:\n  web:\n    image: nginx\n    hostname: ${x",
            4,
            "services.web.hostname",
            ('invalid interpolation format for services.web.hostname: "${x"; you may need to escape any $ with '
            'another $'),
        ),
        (
            "services:\n  web:\n    image: nginx\n    dns: ['${X:?set it}']",
            4,
            "services.web.dns[0]",
            ('invalid interpolation format for services.web.dns.[]: "required variable X is missing a value: set '
             'it"; '
            "you may need to escape any $ with another $"),
        ),
        (
            "services:\n  web:\n    image: nginx\n    deploy: {replicas: '${N:-many}'}",
            4,
            "services.web.deploy.replicas",
            ("error while interpolating services.web.deploy.replicas: failed to cast to expected type: "
            'strconv.Atoi: parsing "many": invalid syntax'),
        ),
        (
            "services: {web: {image: nginx}}\nsecrets:\n  pw:\n    file: /no/such/file",
            4,
            "secrets.pw.file",
            "open /no/such/file: no such file or directory",
        ),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_at_its_line(text: str, line: int, key: str, message: str) -> None:
    with pytest.raises(FileError) as refused:
        read(text)
    found = refused.value
    assert found.message == f"(text):{line}: {found.key}: {message}"
    assert found.key.startswith(key)


def test_versions_of_several_files_agree() -> None:
    with pytest.raises(FileError, match=r"version mismatched between two composefiles : 3.8 and 3.7"):
        read_stack("shop", [{"version": "3.8", "services": {}}, {"version": "3.7", "services": {}}])


def test_a_folder_without_a_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no configuration file provided"):
        read_stack("shop", tmp_path)


@pytest.mark.parametrize(
    ("text", "want"), [("1m30s", 90_000_000_000), ("0", 0), ("1.5h", 5_400_000_000_000), ("-2ms", -2_000_000)]
)
def test_durations(text: str, want: int) -> None:
    assert duration_ns(text) == want


def test_sizes_and_shares() -> None:
    assert [size_bytes(each) for each in ("64M", "1.5gb", "32 KiB", "7", 9)] == [64 << 20, 3 << 29, 32 << 10, 7, 9]
    assert nano_cpus("0.25") == 250_000_000
    for wrong, read_one in (("half", nano_cpus), ("0.0000000001", nano_cpus), ("5x", size_bytes), ("5", duration_ns)):
        with pytest.raises(ValueError, match=r"."):
            read_one(wrong)


def test_the_newest_version_is_that_of_the_release() -> None:
    text = "services:\n  web: {image: nginx, networks: {n: {driver_opts: {a: b}}}}\nnetworks: {n: {}}\n"
    assert read(text).services["shop_web"]["TaskTemplate"]["Networks"][0]["DriverOpts"] == {"a": "b"}
    with pytest.raises(FileError, match=r"driver_opts is not allowed in version 3\.12: it came with 3\.13"):
        read(text, latest="3.12")
