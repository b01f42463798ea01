"""Attaching by WebSocket: every byte is what 26.1.5 and 29.7.2 sent for the same requests."""

from contextlib import closing

import pytest

HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
NORMAL_END = b"\x88\x02\x03\xe8"


def request(api, target, headers):
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return closing(api.raw(f"GET {target} HTTP/1.1\r\nHost: docker\r\n{lines}\r\n".encode()))


def frame(data, opcode, mask=b"abcd"):
    masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data)) if mask else data
    return bytes([0x80 | opcode, (0x80 if mask else 0) | len(data)]) + mask + masked


def read_until(sock, end):
    data = b""
    while not data.endswith(end):
        part = sock.recv(65536)
        assert part, data
        data += part
    return data


def test_input_and_output_pass_through_a_websocket(api):
    api.container("cat", ["cat"], OpenStdin=True, StdinOnce=True)
    target = "/v1.44/containers/cat/attach/ws?stream=1&stdin=1&stdout=1&stderr=1"
    with request(api, target, {**HANDSHAKE, "Sec-WebSocket-Protocol": "webio"}) as sock:
        assert read_until(sock, b"\r\n\r\n") == (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: webio\r\n\r\n"
        )
        sock.sendall(frame(b"hello\n", TEXT))
        assert read_until(sock, b"\n") == b"\x82\x06hello\n"
        sock.sendall(frame(b"ping", PING))
        assert read_until(sock, b"ping") == b"\x8a\x04ping"
        sock.sendall(frame(b"he", BINARY) + frame(b"y\n", BINARY))
        assert read_until(sock, b"\n") == b"\x82\x04hey\n"
        sock.sendall(frame(b"\x03\xe8", CLOSE))
        assert read_until(sock, NORMAL_END) == NORMAL_END
        assert sock.recv(1) == b""


def test_a_websocket_is_closed_normally_after_the_log(api):
    api.container("short", ["sh", "-c", "echo out; echo err >&2"])
    assert api.call("POST", "/containers/short/wait")[0] == 200
    with request(api, "/v1.44/containers/short/attach/ws?logs=1&stdout=1&stderr=1", HANDSHAKE) as sock:
        _head, _, rest = read_until(sock, NORMAL_END).partition(b"\r\n\r\n")
        assert rest == b"\x82\x08out\nerr\n" + NORMAL_END
        assert sock.recv(1) == b""


@pytest.mark.parametrize(
    ("changes", "response"),
    [
        ({"Upgrade": "tcp"}, b"\r\nnot websocket protocol"),
        ({"Sec-WebSocket-Key": ""}, b"\r\nmismatch challenge/response"),
        ({"Sec-WebSocket-Version": "8"}, b"Sec-WebSocket-Version: 13\r\n\r\nmissing or bad WebSocket Version"),
    ],
)
def test_a_bad_handshake_is_refused(api, changes, response):
    id_ = api.container(f"refuses-{next(iter(changes))}")
    with request(api, f"/containers/{id_}/attach/ws?stream=1&stdout=1", {**HANDSHAKE, **changes}) as sock:
        assert read_until(sock, response) == b"HTTP/1.1 400 Bad Request\r\n" + response
        assert sock.recv(1) == b""


def test_a_frame_without_a_mask_ends_the_connection(api):
    api.container("unmasked", ["cat"], OpenStdin=True)
    with request(api, "/v1.44/containers/unmasked/attach/ws?stream=1&stdin=1", HANDSHAKE) as sock:
        read_until(sock, b"\r\n\r\n")
        sock.sendall(frame(b"x", BINARY, mask=b""))
        protocol_error = b"\x88\x02\x03\xea"
        assert read_until(sock, protocol_error) == protocol_error


def test_a_container_that_does_not_exist_is_reported_before_the_handshake(api):
    assert api.call("GET", "/containers/nosuch/attach/ws", headers=HANDSHAKE) == (
        404,
        {"message": "No such container: nosuch"},
    )
