"""Attach and exec take the connection over; wait and logs stream."""

import asyncio
import io
import json
import select
import tarfile
import threading
from types import SimpleNamespace
from unittest.mock import Mock

from support.api_client import everything, frames
from support.patience import PATIENCE_S

from cnmsim.api.router import dispatch
from cnmsim.kernel.clock import EndlessInstantError

UPGRADE = "Connection: Upgrade\r\nUpgrade: tcp\r\n"


def hijack(api, target, body=None, *, after=b"", half_close=False, upgrade=True):
    data = json.dumps(body).encode() if body is not None else b""
    head = (
        f"POST {target} HTTP/1.1\r\nHost: docker\r\n{UPGRADE if upgrade else ''}"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return api.raw(head.encode() + data + after, half_close=half_close)


def answer_of(sock):
    head, _, rest = everything(sock).partition(b"\r\n\r\n")
    return head, rest


def new_exec(api, container, *command, **options):
    body = {"Cmd": list(command), "AttachStdout": True, "AttachStderr": True, **options}
    status, made = api.call("POST", f"/containers/{container}/exec", body)
    assert status == 201
    return made["Id"]


def test_an_exec_upgrades_and_frames_both_streams(api):
    api.container("framed")
    id_ = new_exec(api, "framed", "sh", "-c", "echo out; echo err >&2; exit 7")
    head, rest = answer_of(hijack(api, f"/exec/{id_}/start", {}))
    assert head.startswith(b"HTTP/1.1 101 UPGRADED")
    assert b"application/vnd.docker.multiplexed-stream" in head
    assert frames(rest) == [(1, b"out\n"), (2, b"err\n")]
    assert api.call("GET", f"/exec/{id_}/json")[1]["ExitCode"] == 7


def test_an_old_client_is_told_of_a_raw_stream(api):
    api.container("older")
    id_ = new_exec(api, "older", "true")
    head, _ = answer_of(hijack(api, f"/v1.44/exec/{id_}/start", {}))
    assert b"vnd.docker.multiplexed-stream" in head


def test_without_upgrade_the_answer_is_200(api):
    api.container("plain")
    id_ = new_exec(api, "plain", "echo", "hi")
    head, rest = answer_of(hijack(api, f"/exec/{id_}/start", {}, upgrade=False))
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert frames(rest) == [(1, b"hi\n")]


def test_a_terminal_is_raw_and_turns_newlines(api):
    api.container("tty")
    id_ = new_exec(api, "tty", "echo", "hi", Tty=True)
    _, rest = answer_of(hijack(api, f"/exec/{id_}/start", {"Tty": True}))
    assert rest == b"hi\r\n"


def test_input_sent_with_the_request_and_a_half_close_reach_the_program(api):
    api.container("reader")
    id_ = new_exec(api, "reader", "cat", AttachStdin=True)
    sock = hijack(api, f"/exec/{id_}/start", {})
    assert sock.recv(12) == b"HTTP/1.1 101"
    sock.sendall(b"one\ntwo\n")
    sock.shutdown(1)
    assert b"".join(data for _, data in frames(everything(sock).partition(b"\r\n\r\n")[2])) == b"one\ntwo\n"


def test_a_detached_exec_answers_at_once(api):
    api.container("detached")
    id_ = new_exec(api, "detached", "sleep", "1d")
    assert api.call("POST", f"/exec/{id_}/start", {"Detach": True})[0] == 200
    assert api.call("GET", f"/exec/{id_}/json")[1]["Running"]


def test_an_exec_in_no_container_is_404_and_its_command_is_needed(api):
    assert api.call("POST", "/containers/nosuch/exec", {"Cmd": ["true"]}) == (
        404,
        {"message": "No such container: nosuch"},
    )
    api.container("bare")
    assert api.call("POST", "/containers/bare/exec", {})[1] == {"message": "No exec command specified"}


def test_attach_before_the_start_sees_everything(api):
    made = api.call("POST", "/containers/create?name=early", {"Image": "alpine", "Cmd": ["echo", "hello"]})
    assert made[0] == 201
    sock = hijack(api, "/containers/early/attach?stream=1&stdout=1&stderr=1")
    assert sock.recv(12) == b"HTTP/1.1 101"
    assert api.call("POST", "/containers/early/start")[0] == 204
    assert everything(sock).endswith(b"\x01\0\0\0\0\0\0\x06hello\n")


def test_the_detach_keys_end_the_conversation_and_not_the_process(api):
    api.container("shell", ("sh",), Tty=True, OpenStdin=True)
    sock = hijack(api, "/containers/shell/attach?stream=1&stdin=1&stdout=1")
    assert sock.recv(12) == b"HTTP/1.1 101"
    sock.sendall(b"\x10\x11")
    everything(sock)
    assert api.call("GET", "/containers/shell/json")[1]["State"]["Running"]


def test_unknown_detach_keys_are_refused(api):
    api.container("keyed")
    attach = api.call("POST", "/containers/keyed/attach?stream=1&detachKeys=nonsense")
    assert attach == (400, b"Invalid detach keys (nonsense) provided\r\n")
    created = api.call("POST", "/containers/keyed/exec", {"Cmd": ["true"], "DetachKeys": "x-"})
    assert (created[0], created[1]["message"]) == (500, "Invalid escape keys (x-) provided")
    assert not api.call("GET", "/containers/keyed/json")[1]["ExecIDs"]


def test_errors_of_an_attach_are_plain_text(api):
    assert api.call("POST", "/containers/nosuch/attach?stream=1") == (404, b"No such container: nosuch\r\n")


def test_a_client_that_vanishes_leaves_the_process_alone(api):
    api.container("left")
    id_ = new_exec(api, "left", "sleep", "60")  # less than the container lives: a lab that jumps may reach its end
    hijack(api, f"/exec/{id_}/start", {}).close()
    assert api.call("GET", "/containers/left/json")[1]["State"]["Running"]


def test_wait_sends_its_headers_before_the_end(api):
    api.call("POST", "/containers/create?name=waited", {"Image": "alpine", "Cmd": ["sh", "-c", "exit 3"]})
    sock = api.raw(
        b"POST /containers/waited/wait?condition=next-exit HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n"
    )
    assert sock.recv(15) == b"HTTP/1.1 200 OK"
    assert not select.select([sock], [], [], 0)[0] or b'"StatusCode"' not in sock.recv(65536)
    api.call("POST", "/containers/waited/start")
    assert b'{"StatusCode":3}' in everything(sock)


def test_logs_are_framed_and_follow_to_the_end(api):
    api.container("logged", ("sh", "-c", "echo one; sleep 5; echo two >&2"))
    status, content = api.call("GET", "/containers/logged/logs?stdout=1&stderr=1&follow=1")
    assert status == 200
    assert frames(content) == [(1, b"one\n"), (2, b"two\n")]


def test_events_end_with_until(api):
    api.container("eventful")
    now = int(api.call("GET", "/info")[1]["SystemTime"][17:19])
    assert 0 <= now < 60
    status, content = api.call("GET", "/events?since=0&until=1")
    assert (status, content) == (200, b"")


def test_who_attached_has_time_to_open_the_events_before_a_short_container_ends(api, monkeypatch):
    """Compose waits for ever for the end of a container that it did not see."""
    is_open = threading.Event()

    async def until_open(seconds):
        assert seconds > 0
        await asyncio.to_thread(is_open.wait, PATIENCE_S)

    held = SimpleNamespace(**{**vars(asyncio), "sleep": until_open})
    monkeypatch.setattr("cnmsim.api.handlers.containers.asyncio", held)
    status, made = api.call("POST", "/containers/create", {"Image": "alpine", "Cmd": ["true"]})
    assert status == 201
    path = f"/containers/{made['Id']}"
    head = "HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n"
    attached = api.raw(
        f"POST {path}/attach?stream=1&stdout=1 {head}Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode()
    )
    assert attached.recv(1000).startswith(b"HTTP/1.1 101 ")
    starting = api.raw(f"POST {path}/start {head}Connection: close\r\n\r\n".encode())
    events = api.raw(b"GET /events HTTP/1.1\r\nHost: docker\r\n\r\n")
    seen = events.recv(65536)
    assert seen.startswith(b"HTTP/1.1 200 ")
    is_open.set()
    while b'"Action":"die"' not in seen:
        seen += events.recv(65536)
    assert everything(starting).startswith(b"HTTP/1.1 204 ")
    for sock in (events, attached):
        sock.close()


def test_container_whose_shell_traps_sigterm_stops_and_is_waited_for(api):
    api.container("trapping", ("sh", "-c", "trap 'exit 5' TERM; while true; do usleep 10; done"))
    assert api.call("POST", "/containers/trapping/stop")[0] == 204
    assert api.call("POST", "/containers/trapping/wait") == (200, {"StatusCode": 5})


def test_program_that_never_lets_time_pass_is_reported_in_the_answer(monkeypatch):
    error = EndlessInstantError("program ['spin'] of spin (pid 7) on node1 does not let time pass")

    def spin(*_):
        raise error

    monkeypatch.setattr("cnmsim.api.router.find", spin)
    answer = asyncio.run(dispatch(Mock(), Mock(redirect="", query_error="")))
    assert (answer.status, json.loads(answer.body)) == (500, {"message": str(error)})


def test_an_export_has_the_files_of_a_container_but_not_those_of_its_mounts(api):
    command = ["sh", "-c", "echo hi >/tmp/f; ln -s f /tmp/l; echo kept >/data/v; sleep 1d"]
    api.container("exported", command, HostConfig={"Binds": ["exported-data:/data"]})
    status, content = api.call("GET", "/containers/exported/export")
    assert status == 200
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        entries = {entry.name: entry for entry in tar}
        file = tar.extractfile("tmp/f")
        assert file is not None
        assert file.read() == b"hi\n"
    assert entries["tmp/l"].linkname == "f"
    assert entries["data"].isdir()
    assert entries["proc"].isdir()
    assert entries["etc/hosts"].size == 0  # mounted by the engine, as on 29.7.2
    assert not [name for name in entries if name.startswith(("data/", "proc/", "dev/", "/"))]
