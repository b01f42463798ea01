"""Programs for users and groups, compared with busybox's applets and with the programs of Debian 13.

The recordings are the sessions of real programs in a scratch /etc: each script with its status and output.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from cnmsim import Lab

RECORDED = Path(__file__).parent / "recorded"
PASSWD = (
    "root:x:0:0:root:/root:/bin/sh\nguest:x:405:100:guest:/dev/null:/sbin/nologin\n"
    "nobody:x:65534:65534:nobody:/:/sbin/nologin\n"
)
GROUP = "root:x:0:root\nusers:x:100:\nnogroup:x:65533:\nnobody:x:65534:\n"
DEBIAN_PASSWD = (
    "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
)
DEBIAN_GROUP = "root:x:0:\ndaemon:x:1:\nadm:x:4:\nsudo:x:27:\nusers:x:100:\nnogroup:x:65534:\n"
DEBIAN_SHADOW = "root:*:20000:0:99999:7:::\ndaemon:*:20000:0:99999:7:::\nnobody:*:20000:0:99999:7:::\n"
SHADOW = "root:*::0:::::\nnobody:!::0:::::\n"


def play(container, name):
    """Return the steps of a recording that differ: the script, what was recorded, what is printed."""
    differing = []
    for step in json.loads((RECORDED / f"accounts-{name}.json").read_text(encoding="utf-8")):
        result = container.exec_run(["sh", "-c", step["script"]], demux=True)
        out, err = (text.decode() if text else "" for text in result.output)
        got = (result.exit_code, comparable(out), comparable(err))
        wanted = (step["status"], comparable(step["out"]), comparable(step["err"]))
        if got != wanted:
            differing.append((step["script"], wanted, got))
    return differing


def comparable(text):
    """Leave out the date, busybox's banner, the options of a usage, and the quotes of coreutils."""
    text = re.sub(r"BusyBox v.* multi-call binary", "BusyBox", text)
    text = re.sub(r":2\d{4}:", ":DAY:", text)
    if re.search("^Usage: (user|group|chpasswd)", text, flags=re.MULTILINE):
        text = text[: text.index("\n", text.index("Usage:")) + 1]
    text = re.sub(
        r"id: .(\w+).: no such user", r"id: unknown user \1", text
    )  # coreutils' words are not those of busybox
    return re.sub(r"^-(?=b?ash$)", "", text, flags=re.MULTILINE)  # $0 of a login shell


@pytest.mark.parametrize(
    ("image", "recording", "files", "env"),
    [
        ("alpine", "busybox", (PASSWD, GROUP, SHADOW), {"SHELL": "/bin/bash"}),
        ("debian", "debian", (DEBIAN_PASSWD, DEBIAN_GROUP, DEBIAN_SHADOW), {}),
        ("debian", "groups", (), {}),
    ],
)
def test_the_programs_print_and_do_what_the_recorded_ones_did(image, recording, files, env):
    docker = Lab().add_host("node1", "10.0.0.1/24", docker=True).docker
    container = docker.containers.run(image, "sleep 1d", detach=True, environment=env)
    for path, text in zip(("/etc/passwd", "/etc/group", "/etc/shadow"), files, strict=False):
        container.record.files.write(path, text.encode())
    assert play(container, recording) == []


def test_alpine_has_no_useradd():
    docker = Lab().add_host("node1", "10.0.0.1/24", docker=True).docker
    container = docker.containers.run("alpine", "sleep 1d", detach=True)
    assert container.exec_run("sh -c 'useradd app'") == (127, b"sh: useradd: not found\n")
    assert container.exec_run("sh -c 'addgroup -S app && adduser -S -G app app && id app'") == (
        0, b"uid=100(app) gid=101(app) groups=101(app)\n",
    )  # fmt: skip
    assert container.exec_run("id -un", user="app").output == b"app\n"


def test_debian_13_has_no_adduser():
    docker = Lab().add_host("node1", "10.0.0.15/24", docker=True).docker
    container = docker.containers.run("debian:13", "sleep infinity", detach=True)
    assert container.exec_run("sh -c 'adduser app'")[0] == 127
    assert container.exec_run("useradd app") == (0, b"")


@pytest.mark.parametrize(
    ("image", "number", "line", "refusal"),
    [
        ("ubuntu", 1001, "info: Adding new user `app' (1001) with group `app (1001)' ...",
         (11, b"fatal: The user `app' already exists.\n")),
        ("debian:12", 1000, "Adding new user `app' (1000) with group `app (1000)' ...",
         (1, b"adduser: The user `app' already exists.\n")),
    ],
)  # fmt: skip
def test_adduser_of_debian_adds_what_its_options_say(image, number, line, refusal):
    docker = Lab().add_host("node1", "10.0.0.1/24", docker=True).docker
    container = docker.containers.run(image, "sleep 1d", detach=True)
    added = container.exec_run(["adduser", "--disabled-password", "--gecos", "", "app"])
    assert added.exit_code == 0
    assert line in added.output.decode().splitlines()
    assert container.exec_run("adduser app") == refusal
    script = (
        "addgroup --quiet --gid 3000 crew && adduser --quiet app crew && id app && grep ^app: /etc/passwd && "
        "adduser --quiet --system --group svc && grep -c ^svc: /etc/passwd /etc/group && "
        "deluser --quiet --remove-home app && ls /home | grep -c app"
    )
    out = container.exec_run(["sh", "-c", script]).output.decode().splitlines()
    assert out == [
        f"uid={number}(app) gid={number}(app) groups={number}(app),100(users),3000(crew)",
        f"app:x:{number}:{number}::/home/app:/bin/bash", "/etc/passwd:1", "/etc/group:1", "0",
    ]  # fmt: skip
