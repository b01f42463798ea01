"""What does not exist is told before what is not simulated; the lab's "now" is the client's."""

import time

import pytest
from support.api_client import everything


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
    for method, path in (("GET", "/containers/stays/export"), ("POST", "/commit?container=stays")):
        status, answer = api.call(method, path)
        assert status == 501
        assert " " in answer["message"]


def test_events_until_now_are_all_of_them_where_time_has_jumped(api):
    api.container("stopped")
    assert api.call("POST", "/containers/stopped/stop")[0] == 204  # sleep does not listen: ten seconds pass
    path = f"/events?since=0&until={time.time():.6f}&filters=%7B%22container%22:[%22stopped%22]%7D"
    lines = everything(api.raw(f"GET {path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n".encode()))
    assert b'"Action":"stop"' in lines
