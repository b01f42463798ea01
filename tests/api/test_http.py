"""HTTP as Go's server and the engine's router treat it. What is expected is what Docker Engine 26.1.5 answered."""

import contextlib
import json
import socket
import time
from urllib.parse import quote

import pytest
from support.api_client import Api, everything, new_lab
from support.patience import PATIENCE_S

from cnmsim.api.http_request import parse_target

HOST = b"Host: d\r\nConnection: close\r\n\r\n"
BAD = (b"400 Bad Request", b"400 Bad Request")


@pytest.fixture(scope="module")
def api():
    with new_lab("26.1.5").serve() as paths:
        yield Api(paths["node1"])


def answer(api, data):
    """Send raw bytes; return the first line of the answer, its headers and its body."""
    sock = api.raw(data)
    head, _, body = everything(sock).partition(b"\r\n\r\n")
    sock.close()
    first, *lines = head.split(b"\r\n")
    return first, dict(line.split(b": ", 1) for line in lines), body


@pytest.mark.parametrize(
    ("data", "status", "text"),
    [
        (b"GET info HTTP/1.1\r\n" + HOST, *BAD),
        (b"GET  HTTP/1.1\r\n" + HOST, *BAD),
        (b"GET /_ping HTTQ/1.1\r\n" + HOST, *BAD),
        (b"hello\r\n\r\n", *BAD),
        (b"GET /networks/%zz HTTP/1.1\r\n" + HOST, *BAD),
        (b"GET /_ping HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", *BAD),
        (b"POST /networks/create HTTP/1.1\r\nContent-Length: x\r\n" + HOST, *BAD),
        (b"POST /networks/create HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n" + HOST, *BAD),
        (b"GET /_ping HTTP/1.1\r\nHost: a b\r\n\r\n", *[b"400 Bad Request: malformed Host header"] * 2),
        (b"GET /_ping HTTP/1.1\r\n\r\n", *[b"400 Bad Request: missing required Host header"] * 2),
        (b"GET /_ping HTTP/2.0\r\n" + HOST, *[b"505 HTTP Version Not Supported: unsupported protocol version"] * 2),
        (b"POST /networks/create HTTP/1.1\r\nTransfer-Encoding: gzip\r\n" + HOST, b"501 Not Implemented",
         b"Unsupported transfer encoding"),
        (b"GET /_ping HTTP/1.1\r\nX: " + b"x" * 131_000, *[b"431 Request Header Fields Too Large"] * 2),
    ],
)  # fmt: skip
def test_a_request_that_no_handler_sees_is_refused_as_gos_server_refuses_it(api, data, status, text):
    headers = {b"Content-Type": b"text/plain; charset=utf-8", b"Connection": b"close"}
    assert answer(api, data) == (b"HTTP/1.1 " + status, headers, text)


def test_a_target_may_be_absolute(api):
    first, headers, body = answer(api, b"GET http:/info HTTP/1.0\r\n\r\n")
    assert (first, json.loads(body)["ServerVersion"]) == (b"HTTP/1.0 200 OK", "26.1.5")
    first, headers, body = answer(api, b"GET http://docker/v1.44/networks HTTP/1.1\r\n" + HOST)
    assert (first, headers[b"Connection"], body[:9]) == (b"HTTP/1.1 200 OK", b"close", b'[{"Name":')


@pytest.mark.parametrize(
    ("target", "location"),
    [
        (b"//info", b"/info"),
        (b"/a/../_ping?x=1", b"/_ping?x=1"),
        (b"/containers/./create", b"/containers/create"),
        (b"http://docker?x=1", b"http://docker/?x=1"),
        (b"*", b"/%2A"),
    ],
)
def test_a_path_that_is_not_in_its_shortest_form_is_redirected(api, target, location):
    first, headers, body = answer(api, b"GET " + target + b" HTTP/1.1\r\n" + HOST)
    assert (first, headers[b"Location"], body) == (b"HTTP/1.1 301 Moved Permanently", location, b"")


@pytest.mark.parametrize("call", [b"GET /nosuch", b"HEAD /networks/n", b"PUT /networks", b"GET //info"])
def test_what_no_route_answers_has_no_headers_of_the_engine(api, call):
    headers = answer(api, call + b" HTTP/1.1\r\n" + HOST)[1]
    assert set(headers) <= {b"Content-Type", b"Location", b"Content-Length", b"Connection"}


def test_the_length_of_an_answer_is_given_as_by_gos_server(api):
    assert answer(api, b"HEAD /_ping HTTP/1.1\r\n" + HOST)[1][b"Content-Length"] == b"0"
    assert answer(api, b"GET /_ping HTTP/1.1\r\n" + HOST)[1][b"Content-Length"] == b"2"
    # Bodies of more than 2048 bytes exceed the server's buffer. HTTP/1.0 ends them with the connection.
    assert answer(api, b"GET /info HTTP/1.1\r\n" + HOST)[1][b"Transfer-Encoding"] == b"chunked"
    headers = answer(api, b"GET /info HTTP/1.0\r\n\r\n")[1]
    assert not {b"Transfer-Encoding", b"Content-Length", b"Connection"} & set(headers)


def test_a_query_may_have_bytes_that_are_not_ascii(api):
    target = "/containers/json?limit=\u0663".encode()
    first, _, body = answer(api, b"GET " + target + b" HTTP/1.1\r\n" + HOST)
    assert first == b"HTTP/1.1 500 Internal Server Error"
    assert json.loads(body) == {"message": 'strconv.Atoi: parsing "\u0663": invalid syntax'}


def test_options_are_answered_without_a_body(api):
    assert answer(api, b"OPTIONS /info HTTP/1.1\r\n" + HOST)[::2] == (b"HTTP/1.1 200 OK", b"")


OLD = (
    "client version {} is too old. Minimum supported API version is 1.24, please upgrade your client to a newer"
    " version"
)
NEW = "client version {} is too new. Maximum supported API version is 1.45"


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("1", OLD), ("1.", OLD), (".", OLD), ("1.23.9", OLD), ("1.46", NEW), ("1.45.1", NEW),
        ("1." + "9" * 5000, NEW),
        ("9" * 5000, NEW), ("1.44.3", None), ("1." + "0" * 5000 + "44", None), ("001.045", None),
    ],
    ids=lambda value: value[:12] if value else None,
)  # fmt: skip
def test_versions_are_compared_number_by_number(api, version, message):
    status, body = api.call("GET", f"/v{version}/networks")
    if message is None:
        assert status == 200
    else:
        assert (status, body) == (400, {"message": message.format(version)})


@pytest.mark.parametrize("version", ["1.44x", "1.%D9%A4%D9%A4", "-1.44", "1,44"])
def test_what_is_no_version_is_no_page(api, version):
    assert api.call("GET", f"/v{version}/networks") == (404, {"message": "page not found"})


@pytest.mark.parametrize(
    ("query", "message"),
    [("filters=%zz", 'invalid URL escape "%zz"'), ("limit=x;all=1", "invalid semicolon separator in query"),
     ("a=%", 'invalid URL escape "%"')],
)  # fmt: skip
def test_a_query_that_cannot_be_parsed_is_refused(api, query, message):
    assert api.call("GET", f"/containers/json?{query}") == (400, {"message": message})


def test_targets_keep_escaped_slashes_and_nulls():
    assert parse_target("/v1.45/networks/a%2fb%00?x=%2f").path == "/networks/a/b\0"


def test_bytes_sent_into_an_open_answer_wait_in_the_socket(api):
    sock = api.raw(b"GET /events HTTP/1.1\r\nHost: d\r\n\r\n")
    assert sock.recv(100).startswith(b"HTTP/1.1 200")
    sock.settimeout(0.5)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < 16 << 20:
            sent += sock.send(b"x" * 65536)
    assert sent < 4 << 20
    assert api.call("GET", "/_ping")[0] == 200
    sock.close()


def test_input_that_a_process_does_not_read_waits_in_the_socket(api):
    api.container("sleeper", OpenStdin=True, AttachStdin=True)
    sock = api.raw(
        b"POST /containers/sleeper/attach?stream=1&stdin=1 HTTP/1.1\r\nHost: d\r\nUpgrade: tcp\r\nConnection: "
        b"Upgrade\r\n\r\n"
    )
    assert sock.recv(100).startswith(b"HTTP/1.1 101")
    sock.settimeout(0.5)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < 16 << 20:
            sent += sock.send(b"x" * 65536)
    assert sent < 4 << 20
    sock.close()


def test_a_request_has_a_deadline_as_a_whole(api, monkeypatch):
    monkeypatch.setattr("cnmsim.api.connection.REQUEST_TIMEOUT_S", 0.5)
    sock = api.raw(b"GET /info HTTP/1.1\r\nX: ")
    began = time.monotonic()
    with contextlib.closing(sock), contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while True:
            assert time.monotonic() - began < PATIENCE_S
            sock.send(b"x")
            time.sleep(0.1)
            with contextlib.suppress(BlockingIOError):
                if not sock.recv(1, socket.MSG_DONTWAIT):
                    break


@pytest.mark.parametrize("key", ["since", "until"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("9" * 5000, f'strconv.ParseInt: parsing "{"9" * 5000}": value out of range'),
        ("\u0664\u0664", 'strconv.ParseInt: parsing "\u0664\u0664": invalid syntax'),
    ],
    ids=["digits", "arabic"],
)
def test_a_time_that_is_no_number_of_seconds_is_refused(api, key, text, message):
    other = "until" if key == "since" else "since"
    assert api.call("GET", f"/events?{other}=1&{key}={quote(text)}") == (500, {"message": message})


@pytest.mark.parametrize("until", ["1700000000000", "9" * 18, "99999999999.999999999"])
def test_a_time_far_ahead_neither_ends_the_answer_nor_moves_the_clock(api, until):
    before = api.call("GET", "/info")[1]["SystemTime"]
    sock = api.raw(f"GET /events?since=1&until={until} HTTP/1.1\r\nHost: d\r\n\r\n".encode())
    assert sock.recv(100).startswith(b"HTTP/1.1 200")
    sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        while b"\r\n0\r\n\r\n" not in sock.recv(65536):
            pass
    sock.close()
    assert api.call("GET", "/info")[1]["SystemTime"][:10] == before[:10]


def test_zeros_before_a_time_do_not_count(api):
    assert api.call("GET", f"/events?since=0&until={'0' * 5000}1") == (200, b"")
