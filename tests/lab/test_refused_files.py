"""Files that the engine refuses: the error names the innermost key, and its fix is an edit that was tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnmsim import Lab
from cnmsim.errors import FileError, InvalidParameter, NotFound, SystemFault, refused_value

_STATIC = """\
services:
  a:
    image: nginx
    networks:
      n:
        ipv4_address: {}
  b:
    image: nginx
    networks: {{n: {{ipv4_address: {}}}}}
networks:
  n:
    ipam:
      config:
        - subnet: 10.9.0.0/24
"""
_POOL = """\
services:
  a: {{image: nginx, networks: [n, m]}}
  b: {{image: nginx, networks: {{m: {{ipv4_address: 10.20.0.7}}}}}}
networks:
  m:
    ipam:
      config:
        - subnet: 10.20.0.0/24
  n:
    ipam:
      config:
        - {}
"""
_OPTIONS = """\
services:
  a: {{image: nginx, networks: [n]}}
networks:
  n:
    driver: {}
    driver_opts:
      {}
"""
_PORTS = """\
services:
  a:
    image: nginx
    ports: ["443:443", "8080:80"]
  b:
    image: nginx
    ports:
      - "9000:80"
      - {}
"""


@pytest.mark.parametrize(
    ("text", "key", "line", "changed"),
    [
        (_STATIC.format("10.9.0.5", "10.9.0.5"), "services.b.networks.n.ipv4_address", 9,
         "+    networks: {n: {ipv4_address: 10.9.0.6}}"),
        (_STATIC.format("10.8.0.5", "10.9.0.5"), "services.a.networks.n.ipv4_address", 6,
         "+        ipv4_address: 10.9.0.6"),
        (_STATIC.format("10.9.0.1", "10.9.0.5"), "services.a.networks.n.ipv4_address", 6,
         "+          ip_range: 10.9.0.128/25"),
        (_STATIC.replace("ipv4_address: {}\n  b", "ipv6_address: {}\n  b").format("fd00::9", "10.9.0.5"),
         "services.a.networks.n.ipv6_address", 6, '+        - {subnet: "fd00::/64"}\n+    enable_ipv6: true'),
        (_POOL.format("subnet: 10.20.0.0/16"), "networks.n.ipam.config[0].subnet", 12,
         "+        - subnet: 10.21.0.0/16"),
        (_POOL.format("subnet: 10.9.0.5/24"), "networks.n.ipam.config[0].subnet", 12,
         "+        - subnet: 10.9.0.0/24"),
        (_POOL.format("subnet: 10.9.0.0/30").replace("a: {", "a: {scale: 2, "),
         "networks.n.ipam.config[0].subnet", 12, "+        - subnet: 10.9.0.0/29"),
        (_POOL.format("{subnet: 10.9.0.0/24, gateway: 10.8.0.1}"), "networks.n.ipam.config[0].gateway", 12,
         "+        - {subnet: 10.9.0.0/24, gateway: 10.9.0.1}"),
        (_POOL.format("{subnet: 10.9.0.0/24, ip_range: 10.8.0.0/25}"), "networks.n.ipam.config[0].ip_range", 12,
         "+        - {subnet: 10.9.0.0/24}"),
        (_POOL.format("{subnet: 10.9.0.0/24, aux_addresses: {r: 10.8.0.7}}"),
         "networks.n.ipam.config[0].aux_addresses.r", 12,
         "+        - {subnet: 10.9.0.0/24, aux_addresses: {r: 10.9.0.7}}"),
        (_OPTIONS.format("brige", "x: y"), "networks.n.driver", 5, "+    driver: bridge"),
        (_OPTIONS.format("macvlan", "macvlan_mode: bridges"), "networks.n.driver_opts.macvlan_mode", 7,
         "+      macvlan_mode: bridge"),
        (_OPTIONS.format("bridge", "com.docker.network.driver.mtu: lots"),
         "networks.n.driver_opts.com.docker.network.driver.mtu", 7, ""),
        (_PORTS.format('"8080:80"'), "services.b.ports[1]", 9, '+      - "8081:80"'),
        (_PORTS.format("{target: 80, published: 8080}"), "services.b.ports[1]", 9,
         '+      - {target: 80, published: "8081"}'),
        (_PORTS.format('"${P:-8080}:80"'), "services.b.ports[1]", 9, '+      - "${P:-8081}:80"'),
        ('services:\n  b: {image: nginx, scale: 2, ports: ["9000:80"]}\n', "services.b.ports[0]", 2,
         '+  b: {image: nginx, scale: 2, ports: ["9000-9001:80"]}'),
        ("services:\n  a:\n    image: nginx\n    sysctls:\n      k.foo: 1\n", "services.a.sysctls.k.foo", 5, ""),
    ],
)  # fmt: skip
def test_a_refusal_names_its_innermost_key_and_has_a_tried_edit(
    tmp_path: Path, text: str, key: str, line: int, changed: str
) -> None:
    path = tmp_path / "compose.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FileError) as caught:
        Lab.from_compose(path)
    assert (caught.value.key, caught.value.line) == (key, line)
    fix = caught.value.fix
    added = [item for edit in fix.edits for item in edit.changed_lines if item.startswith("+")]
    assert "\n".join(added) == changed
    fix.write()
    Lab.from_compose(path)


def test_a_moved_subnet_takes_its_static_addresses_along(tmp_path: Path) -> None:
    path = tmp_path / "compose.yml"
    path.write_text(_POOL.format("subnet: 10.9.0.0/24").replace("  m:\n    ipam", "  z:\n    ipam").replace(
        "10.20.0.0/24", "10.9.0.0/16").replace("  n:\n", "  m:\n").replace("[n, m]", "[z, m]").replace(
        "10.20.0.7", "10.9.0.7"))  # fmt: skip
    with pytest.raises(FileError) as caught:
        Lab.from_compose(path)
    assert caught.value.fix is not None
    caught.value.fix.write()
    lab = Lab.from_compose(path)
    networks = lab.project.container("b").attrs["NetworkSettings"]["Networks"]
    assert [network["IPAddress"] for network in networks.values()] == ["10.10.0.7"]


def test_a_network_of_the_lab_file_is_made_attachable(tmp_path: Path) -> None:
    (tmp_path / "compose.yml").write_text(
        "services:\n  web:\n    image: nginx\n    networks:\n      - o\nnetworks: {o: {external: true}}\n"
    )
    path = tmp_path / "lab.yml"
    path.write_text(
        "hosts:\n  node1: {addresses: [192.168.50.11/24], docker: true, compose: compose.yml}\n"
        "swarm: {managers: [node1]}\nnetworks:\n  o: {driver: overlay}\n"
    )
    with pytest.raises(FileError, match=r"compose\.yml:5: services\.web\.networks\[0\].*not manually attachable") as (
        caught
    ):
        Lab.from_file(path)
    (edit,) = caught.value.fix.edits
    assert (edit.path, edit.line, edit.changed_lines[1]) == (
        str(path),
        5,
        "+  o: {driver: overlay, attachable: true}",
    )


def test_a_refusal_that_no_edit_mends_has_no_fix(tmp_path: Path) -> None:
    path = tmp_path / "compose.yml"
    path.write_text(_PORTS.format('"8080:80"') + "  c:\n    image: nginx\n    ports: ['9000:80']\n")
    with pytest.raises(FileError) as caught:
        Lab.from_compose(path)
    assert caught.value.fix is None
    with pytest.raises(FileError) as unread:
        Lab.from_compose(tmp_path / "gone.yml")
    assert unread.value.fix is None


def test_the_refused_value_of_a_wrapped_error_is_found() -> None:
    def wrapped() -> None:
        try:
            raise InvalidParameter("invalid gateway").about("10.0.0.1")
        except InvalidParameter as error:
            raise SystemFault(f"failed: {error.message}") from None

    with pytest.raises(SystemFault) as caught:
        wrapped()
    assert refused_value(caught.value) == "10.0.0.1"
    assert refused_value(NotFound("no such network")) == refused_value(None) == ""
