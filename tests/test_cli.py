"""The shell command, as a shell calls it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result

from cnmsim import Lab
from cnmsim.cli import cli
from cnmsim.observe.reachability.matrix_text import matrix_text

LAB = """\
nameserver: 203.0.113.10
hosts:
  client:
    addresses: [10.0.0.50/24]
    gateway: 10.0.0.1
  router:
    addresses: [10.0.0.1/24, 203.0.113.1/24]
    router: true
  server:
    addresses: [203.0.113.10/24]
    gateway: 203.0.113.1
    names: {www.example.com: 203.0.113.10}
"""


@pytest.fixture
def lab_file(tmp_path: Path) -> str:
    path = tmp_path / "lab.yml"
    path.write_text(LAB, encoding="utf-8")
    return str(path)


def _run(*words: str) -> Result:
    return CliRunner().invoke(cli, list(words))


def test_a_reached_destination_exits_with_0(lab_file: str) -> None:
    result = _run("trace", lab_file, "client", "www.example.com")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "yes, answered: client → www.example.com (icmp)",
        "cause: server answers the echo request at 203.0.113.10; routed all the way",
        "path: client → router → server",
        "  server  received",
    ]


def test_the_walk_follows_the_answer_if_asked_for(lab_file: str) -> None:
    short = _run("trace", lab_file, "client", "www.example.com", "-v").stdout
    whole = _run("trace", lab_file, "client", "www.example.com", "-vv").stdout
    assert short.startswith("yes, answered: ") and whole.startswith("yes, answered: ")
    assert "── DNS A? www.example.com " in short
    assert "ANSWERED: server answers the echo request at 203.0.113.10" in short
    assert "plain steps not shown" in short
    assert "plain steps not shown" not in whole
    assert len(whole.splitlines()) > len(short.splitlines())


def test_a_destination_that_is_not_reached_exits_with_1(lab_file: str) -> None:
    result = _run("trace", lab_file, "client", "server:81")
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "no, refused: client → server:81 (tcp)",
        "cause: server answers, but nothing listens on 203.0.113.10:81",
        "advice (not tried): start a program that listens there on server",
        "path: client → router → server → refused",
        "  server  refused: no socket listens there",
    ]


EXTERNAL = """\
services:
  web: {image: nginx, networks: [proxy]}
  app: {image: alpine, command: sleep 1d, networks: [proxy]}
networks:
  proxy: {external: true}
"""


def test_an_external_network_is_assumed_with_a_note_and_strictly_refused(tmp_path: Path) -> None:
    path = tmp_path / "compose.yml"
    path.write_text(EXTERNAL, encoding="utf-8")
    assumed = _run("trace", str(path), "app", "web:80")
    assert assumed.exit_code == 0
    assert "note: network proxy is external and was not there" in assumed.stderr
    refused = _run("trace", str(path), "app", "web:80", "--strict")
    assert refused.exit_code == 2
    assert "compose.yml:5: networks.proxy: network proxy declared as external" in refused.stderr
    assert "--create-external" in refused.stderr
    assert _run("trace", str(path), "app", "web:80", "--strict", "--create-external").exit_code == 0


def test_an_open_path_is_a_success_unless_strict_and_a_statement_decides(tmp_path: Path) -> None:
    path = tmp_path / "compose.yml"
    path.write_text(
        "services:\n  app: {image: alpine, command: sleep 1d}\n  api: {image: acme/api}\n", encoding="utf-8"
    )
    words = (str(path), "app", "api:8000")
    assert _run("trace", *words).exit_code == 0
    assert "cause: the packets arrive" in _run("trace", *words).stdout
    assert _run("trace", *words, "--strict").exit_code == 1
    assert _run("explain", *words, "--strict").exit_code == 1
    assert _run("trace", *words, "--strict", "--listen", "api:8000").exit_code == 0
    assert _run("trace", str(path), "app", "api:53/udp", "--listen", "api:53/udp").exit_code == 0
    assert _run("trace", *words, "--listen", "api:9000").exit_code == 1
    wrong = _run("trace", *words, "--listen", "apii:9000")
    assert (wrong.exit_code, "no such service: apii, did you mean api?" in wrong.stderr) == (2, True)
    wrong = _run("trace", *words, "--listen", "8000")
    assert (wrong.exit_code, "must be SERVICE:PORT" in wrong.stderr) == (2, True)


def test_columns_of_the_shell_are_kept_to(lab_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = _run("trace", lab_file, "client", "www.example.com", "-v")
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_nothing_is_wider_than_100_columns(lab_file: str) -> None:
    for options in ([], ["-v"]):
        result = _run("trace", lab_file, "client", "www.example.com", *options)
        assert max(map(len, result.stdout.splitlines())) <= 100


def test_json_follows_its_schema(lab_file: str) -> None:
    schema = json.loads(files("cnmsim.observe.trace").joinpath("trace.schema.json").read_text(encoding="utf-8"))
    for destination in ("server", "server:81", "nowhere:80", "server:53/udp", "198.51.100.1:80"):
        result = _run("trace", lab_file, "client", destination, "--json")
        jsonschema.validate(json.loads(result.stdout), schema)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trace", "FILE", "nobody", "server"], "cnmsim: no running container, service or host is called 'nobody'"),
        (["trace", "FILE", "clinet", "server"], "did you mean client?"),
        (["trace", "FILE", "client", "server:99999"], "cnmsim: invalid port in 'server:99999'"),
        (["trace", "FILE", "client", "server", "--udp"], "cnmsim: server: udp needs a port from 1 to 65535"),
        (["iptables", "FILE", "nobody"], "no running container"),
    ],
)
def test_a_wrong_question_exits_with_2_and_one_line(lab_file: str, words: list[str], message: str) -> None:
    result = _run(*(lab_file if word == "FILE" else word for word in words))
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("content", ["a: 1\n", "- 1\n", ""])
def test_a_file_of_no_known_kind_says_so(tmp_path: Path, content: str) -> None:
    path = tmp_path / "x.yml"
    path.write_text(content, encoding="utf-8")
    result = _run("ls", str(path))
    assert result.exit_code == 2
    assert "neither a Compose file (services:) nor a lab file (hosts:)" in result.stderr


def test_a_missing_file_exits_with_2() -> None:
    assert _run("ls", "/nowhere.yml").exit_code == 2


def test_ls_lists_hosts_with_addresses(lab_file: str) -> None:
    result = _run("ls", lab_file)
    assert result.exit_code == 0
    assert "router  eth0 10.0.0.1/24, eth1 203.0.113.1/24  router" in result.stdout
    assert [host["name"] for host in json.loads(_run("ls", lab_file, "--json").stdout)["hosts"]] == [
        "client", "router", "server",
    ]  # fmt: skip


def test_the_packet_filter_is_printed_as_iptables_save_prints_it(lab_file: str) -> None:
    result = _run("iptables", lab_file, "router", "-t", "filter")
    assert result.exit_code == 0


def test_a_sequence_diagram_is_printed(lab_file: str) -> None:
    assert _run("trace", lab_file, "client", "server", "--mermaid").stdout.startswith("sequenceDiagram\n")


def test_version_is_told() -> None:
    result = _run("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("cnmsim ")


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_opens_the_capture_with_names(lab_file: str, tmp_path: Path) -> None:
    path = tmp_path / "out.pcapng"
    result = _run("trace", lab_file, "client", "server:81", "--pcap", str(path))
    assert result.exit_code == 1
    text = subprocess.run(
        ["tshark", "-r", str(path), "-N", "n", "-V"], capture_output=True, text=True, check=True
    ).stdout
    assert "Malformed" not in text
    assert "Interface name: router:eth1" in text
    assert "Src: client, Dst: server" in text or "Src: client (10.0.0.50)" in text
    assert "lost on server eth0: no socket listens there" in text


def test_two_runs_write_the_same_capture(lab_file: str, tmp_path: Path) -> None:
    paths = [tmp_path / "one.pcapng", tmp_path / "two.pcapng"]
    for path in paths:
        _run("trace", lab_file, "client", "server", "--pcap", str(path))
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_a_folder_stands_for_the_compose_file_in_it(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {web: {image: nginx}, ask: {image: alpine, command: sleep 1d}}")
    result = _run("trace", str(tmp_path), "ask", "web:80")
    assert result.exit_code == 0, result.output
    empty = tmp_path / "empty"
    empty.mkdir()
    assert _run("trace", str(empty), "ask", "web:80").exit_code == 2


def test_the_doctor_looks_a_compose_file_over(tmp_path: Path) -> None:
    file = tmp_path / "compose.yml"
    file.write_text('services:\n  db: {image: postgres, ports: ["5432:5432"]}\n', encoding="utf-8")
    result = _run("doctor", str(file))
    assert result.exit_code == 1, result.output
    shown = " ".join(result.stdout.split())
    assert f"warning [published-to-all] host: container db ({file}:2): port 5432" in shown
    assert f'fix: publish port 5432 of db on 127.0.0.1 as 5432 (ports: "127.0.0.1:5432:5432") ({file}:2)' in shown
    assert json.loads(_run("doctor", str(file), "--json").stdout)[0]["kind"] == "published-to-all"
    file.write_text('services:\n  db: {image: postgres, ports: ["127.0.0.1:5432:5432"]}\n', encoding="utf-8")
    result = _run("doctor", str(file))
    assert (result.exit_code, result.stdout) == (0, "nothing found\n")


def test_the_doctor_deploys_a_stack_to_look_it_over(tmp_path: Path) -> None:
    file = tmp_path / "stack.yml"
    file.write_text('services:\n  web: {image: nginx, ports: ["8080:80"], deploy: {replicas: 2}}\n', encoding="utf-8")
    assert _run("doctor", "--stack", str(file)).exit_code == 0
    result = _run("doctor", "--stack", str(file), "--managers", "2")
    assert result.exit_code == 1
    assert "[quorum] swarm of node1, node2" in result.stdout


def test_a_file_that_the_doctor_cannot_read_exits_with_2(tmp_path: Path) -> None:
    file = tmp_path / "compose.yml"
    file.write_text("services:\n  web: {imagine: nginx}\n", encoding="utf-8")
    for words in (("doctor", str(file)), ("doctor", "--stack", str(file))):
        result = _run(*words)
        assert result.exit_code == 2
        assert "imagine" in result.stderr


def test_explain_shows_fixes_that_were_tried(tmp_path: Path) -> None:
    file = tmp_path / "compose.yml"
    file.write_text(
        "services:\n  web: {image: nginx, networks: [a]}\n  db: {image: postgres, networks: [b]}\nnetworks: {a: , "
        "b: }\n",
        encoding="utf-8",
    )
    result = _run("explain", str(file), "web", "db:5432", "--fixes")
    assert result.exit_code == 1
    assert "works: add network b to service web" in result.stdout
    assert "+  web: {image: nginx, networks: [a, b]}" in result.stdout
    shown = json.loads(_run("explain", str(file), "web", "db:5432", "--fixes", "--json").stdout)
    assert shown["fixes"][0]["was_tried"] is True


def test_a_reader_that_closed_the_pipe_ends_a_command_silently(lab_file: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        command = [sys.executable, "-m", "cnmsim", "ls", lab_file]
        result = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writing)
    assert (result.returncode, result.stderr) == (1, b"")


PAIRS = """
services:
  app: {image: nginx, networks: [front, back]}
  db: {image: postgres, networks: [back]}
  proxy: {image: nginx, networks: [front]}
networks: {front: {}, back: {internal: true}}
"""


def test_reachability_prints_a_verdict_for_every_pair_and_what_it_assumes(tmp_path: Path) -> None:
    path = tmp_path / "compose.yml"
    path.write_text(PAIRS, encoding="utf-8")
    assert _run("reachability", str(path), "db", "proxy", "--port", "5432", "-v").stdout.splitlines() == [
        "FROM \\ TO  app:5432  db:5432         proxy:5432",
        "db         refused   answered        name not found",
        "proxy      refused   name not found  refused",
        "",
        "assumes: postgres in db listens on 5432/tcp (as the image postgres does; the program is not",
        "    simulated)",
        "db → app:5432: refused: app answers, but nothing listens on 172.19.0.2:5432; it listens on 80/tcp",
        "db → proxy:5432: name not found: 127.0.0.11 answers SERVFAIL for proxy: the two share no network (db",
        "    is on back, proxy on front)",
        "proxy → app:5432: refused: app answers, but nothing listens on 172.18.0.2:5432; it listens on 80/tcp",
        "proxy → db:5432: name not found: 127.0.0.11 answers NXDOMAIN for db: the two share no network (proxy",
        "    is on front, db on back)",
        "proxy → proxy:5432: refused: proxy answers, but nothing listens on 172.18.0.3:5432; it listens on",
        "    80/tcp",
    ]
    shown = json.loads(_run("reachability", str(path), "--json").stdout)
    assert {pair["verdict"] for pair in shown["pairs"] if pair["reachable"]} == {"answered"}
    assert len(shown["pairs"]) == len(shown["sources"]) * len(shown["services"]) == 9
    wrong = _run("reachability", str(path), "prxy")
    assert wrong.exit_code == 2 and "did you mean proxy" in wrong.stderr


def test_a_matrix_wider_than_the_screen_is_a_list(tmp_path: Path) -> None:
    path = tmp_path / "compose.yml"
    path.write_text(PAIRS, encoding="utf-8")
    matrix = Lab.from_compose(path).reachability()
    assert matrix_text(matrix, 48).splitlines() == [
        "FROM   VERDICT         TO",
        "app    answered        app:80, db:5432, proxy:80",
        "db     answered        app:80, db:5432",
        "       name not found  proxy:80",
        "proxy  answered        app:80, proxy:80",
        "       name not found  db:5432",
        "",
        "assumes: what listens on db:5432 (-v: why)",
    ]


def test_containers_with_no_known_port_are_named_below_a_matrix(tmp_path: Path) -> None:
    path = tmp_path / "compose.yml"
    path.write_text(
        "services: {web: {image: nginx}, api: {image: acme/api}, job: {image: alpine}}\n", encoding="utf-8"
    )
    text = "not probed: it is not known where api listens (--listen api:PORT)"
    assert _run("reachability", str(path)).stdout.splitlines()[-1] == text
    assert text not in _run("reachability", str(path), "--listen", "api:80").stdout
    assert "nothing to probe" in _run("reachability", str(path), "--udp").stdout.splitlines()[0]
