"""What does not exist is told before what is not simulated; the lab's "now" is the client's."""

import time

import pytest
from support.api_client import Api, everything, new_lab


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("GET", "/containers/nosuch/export", "No such container: nosuch"),
        ("POST", "/commit?container=nosuch", "No such container: nosuch"),
        ("GET", "/images/nosuch/get", "No such image: nosuch:latest"),
        ("GET", "/images/get?names=alpine&names=nosuch", "No such image: nosuch:latest"),
        ("POST", "/images/nosuch/push", "No such image: nosuch:latest"),
        ("DELETE", "/plugins/x/y:latest", 'plugin "x/y:latest" not found'),
        ("POST", "/plugins/x/enable", 'plugin "x" not found'),
        ("POST", "/plugins/x/disable", 'plugin "x" not found'),
        ("POST", "/plugins/x/set", 'plugin "x" not found'),
        ("POST", "/plugins/x/upgrade", 'plugin "x" not found'),
        ("POST", "/plugins/x/push", 'plugin "x" not found'),
        ("GET", "/plugins/x/json", 'plugin "x" not found'),
    ],
)
def test_what_does_not_exist_is_404(api, method, path, message):
    assert api.call(method, path) == (404, {"message": message})


def test_what_exists_and_is_not_simulated_is_501_with_a_sentence(api):
    api.container("stays")
    status, answer = api.call("POST", "/commit?container=stays")
    assert (status, answer["message"]) == (
        501,
        "building images is not simulated; an image's meaning comes from the catalogue",
    )


def test_events_until_now_are_all_of_them_where_time_has_jumped(api):
    api.container("stopped")
    assert api.call("POST", "/containers/stopped/stop")[0] == 204  # sleep does not listen: ten seconds pass
    path = f"/events?since=0&until={time.time():.6f}&filters=%7B%22container%22:[%22stopped%22]%7D"
    lines = everything(api.raw(f"GET {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n".encode()))
    assert b'"Action":"stop"' in lines


@pytest.mark.parametrize(
    ("version", "status", "prefix", "second"),
    [
        ("26.1.5", 500, "", (501, "registries are not simulated")),
        ("29.7.2", 400, "invalid X-Registry-Auth header: ", (400, "invalid X-Registry-Auth header: multiple JSON")),
    ],
)
def test_a_login_without_a_valid_body_is_refused_as_the_engine_does(version, status, prefix, second):
    """As recorded on 26.1.5 and 29.7.2; 28.5.2 answers as 26.1.5. Only a valid login is not simulated."""
    syntax = f"{prefix}invalid JSON: " if prefix else ""
    with new_lab(version).serve() as paths:
        api = Api(paths["node1"])
        for body, cause in (
            (b"", "EOF"),
            (b"x", "invalid character 'x' looking for beginning of value"),
            (b"{", "unexpected EOF"),
            (
                b'{"username":3}',
                "json: cannot unmarshal number into Go struct field AuthConfig.username of type string",
            ),
        ):
            assert api.call("POST", "/auth", body) == (status, {"message": syntax + cause})
        code, answer = api.call("POST", "/auth", b"{} {}")
        assert (code, answer["message"][: len(second[1])]) == second
        assert api.call("POST", "/auth", b"{}")[0] == 501
