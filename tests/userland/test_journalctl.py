"""journalctl and the journal: what dockerd and the drivers journald and syslog write there."""

import json

import pytest

from cnmsim import Lab


@pytest.fixture(scope="module")
def node1():
    lab = Lab()
    host = lab.add_host("node1", "10.0.0.15/24", docker={"log-driver": "journald"})
    host.docker.containers.run("alpine", ["sh", "-c", "echo one; echo two >&2"], name="web", detach=True)
    lab.run(1)
    return host


def test_the_journal_has_what_a_container_with_journald_wrote(node1):
    assert node1.exec("journalctl -o cat CONTAINER_NAME=web").output == "one\ntwo\n"
    assert node1.exec("journalctl -o cat CONTAINER_NAME=web -p err").output == "two\n"
    assert node1.docker.containers.get("web").logs() == b"one\ntwo\n"
    entry = json.loads(node1.exec("journalctl -o json -n 1 CONTAINER_NAME=web").output)
    assert (entry["MESSAGE"], entry["PRIORITY"], entry["IMAGE_NAME"]) == ("two", "3", "alpine")


def test_the_journal_has_the_log_of_the_daemon(node1):
    text = node1.exec("journalctl -u docker -t dockerd -o cat").output
    assert text.splitlines()[0].endswith('level=info msg="Starting up"')
    assert 'msg="Daemon has completed initialization"' in text
    first = node1.exec("journalctl -u docker.service -n 1").output
    assert first.startswith("Jan 01 00:00:00 node1 dockerd[")


def test_syslog_without_an_address_is_the_host_s(node1):
    config = {"Type": "syslog", "Config": {"tag": "{{.Name}}"}}
    node1.docker.containers.run("alpine", "echo hello", name="talk", log_config=config)
    lines = node1.exec("grep talk /var/log/syslog").output.splitlines()
    assert lines[0].startswith("2026-01-01T00:00:01.000000+00:00 node1 talk[")
    assert lines[0].endswith("]: hello")


def test_log_level_decides_what_the_daemon_writes():
    host = Lab().add_host("node1", "10.0.0.15/24", docker={"log-level": "error"})
    assert host.exec("journalctl -u docker").output == "-- No entries --\n"
    host.docker.controller.log.append("something failed")
    assert host.exec("journalctl -u docker -o cat").output.endswith('level=error msg="something failed"\n')


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("--nosuch", "journalctl: unrecognized option '--nosuch'\n"),
        ("-n x", "Failed to parse lines 'x'\n"),
        ("-o nosuch", "Unknown output 'nosuch'.\n"),
        ("-p nosuch", "Unknown log level nosuch\n"),
        ("nosuch", "Failed to add match 'nosuch': Invalid argument\n"),
        ("--since nosuch", "Failed to parse timestamp: nosuch\n"),
    ],
)
def test_wrong_arguments_are_refused(node1, arguments, text):
    result = node1.exec(f"journalctl {arguments}")
    assert (result.status, result.output) == (1, text)


def test_following_prints_new_entries(node1):
    result = node1.exec(["timeout", "3", "sh", "-c", "journalctl -f -n 0 -t shown -o cat"])
    assert result.output == ""
    process = node1.start(["journalctl", "-f", "-n", "0", "-o", "cat", "CONTAINER_NAME=later"])
    node1.docker.containers.run("alpine", "echo now", name="later")
    assert process.stdout.getvalue() == b"now\n"
