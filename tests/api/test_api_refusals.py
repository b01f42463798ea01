"""What is wrong with a request is answered in Docker's words, and changes nothing."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.api_client import everything

from cnmsim.api.routes import ROUTES

SERVING = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    ["Image", "Cmd", "HostConfig", "NetworkingConfig", "ExposedPorts", "Labels", "Name", "Driver", "IPAM", "Options",
     "Container", "EndpointConfig", "Tty", "Env", "Healthcheck", "Hostname", "StopTimeout", "Unknown"]
)  # fmt: skip
BODIES = st.dictionaries(KEYS, VALUES, max_size=5)
POSTS = sorted({row.path for row in ROUTES if row.method == "POST" and row.is_simulated})


def state(api):
    return [
        json.dumps(api.call("GET", path)[1], sort_keys=True)
        for path in ("/containers/json?all=1", "/networks", "/volumes")
    ]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b" ", "invalid JSON: got EOF while reading request body"),
        (b"{", "invalid JSON: unexpected EOF"),
        (b"{'a': 1}", "invalid JSON: invalid character '\\'' looking for beginning of object key string"),
        (b"{} {}", "unexpected content after JSON"),
        (b"[]", "invalid JSON: json: cannot unmarshal array into Go value of type"),
        (b'{"Name": 1}', "cannot unmarshal number into Go struct field"),
        (b'{"Labels": {"a": true}}', "cannot unmarshal bool into Go struct field"),
    ],
)
def test_a_broken_body_is_400_in_the_engines_words(api, body, message):
    before = state(api)
    status, answer = api.call("POST", "/networks/create", body)
    assert status == 400
    assert message in answer["message"]
    assert state(api) == before


def test_another_content_type_is_refused(api):
    status, answer = api.call("POST", "/networks/create", b"{}", {"Content-Type": "text/plain"})
    assert (status, answer["message"]) == (
        400,
        "unsupported Content-Type header (text/plain): must be 'application/json'",
    )


def test_an_unknown_page_is_404(api):
    assert api.call("GET", "/nowhere") == (404, {"message": "page not found"})


@pytest.mark.parametrize(
    ("version", "text"),
    [
        ("1.99", "client version 1.99 is too new. Maximum supported API version is"),
        ("1.39", "client version 1.39 is too old. Minimum supported API version is"),
    ],
)
def test_a_version_the_engine_does_not_speak_is_refused(api, version, text):
    status, answer = api.call("GET", f"/v{version}/info")
    assert status == 400
    assert answer["message"].startswith(text)


def test_an_error_for_a_version_below_1_24_is_plain_text(api):
    status, answer = api.call("GET", "/v1.12/info")
    assert (status, answer[:47], answer[-1:]) == (400, b"client version 1.12 is too old. Minimum support", b"\n")


@pytest.mark.parametrize("path", ["/swarm", "/nodes", "/services", "/tasks", "/secrets", "/configs"])
def test_swarm_calls_are_for_managers(api, path):
    status, answer = api.call("GET", path)
    assert status == 503
    assert answer["message"].startswith("This node is not a swarm manager.")


def test_what_is_not_simulated_says_so(api):
    status, answer = api.call("POST", "/build", b"")
    assert status == 501
    assert "not simulated" in answer["message"]


@pytest.mark.parametrize(
    "data",
    [
        b"GARBAGE\r\n\r\n",
        b"POST /networks/create HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /networks/create HTTP/1.1\r\nHost: d\r\nContent-Length: -4\r\n\r\n",
        b"GET /info HTTP/1.1\r\nHost: d\r\nX: " + b"a" * 140_000 + b"\r\n\r\n",
    ],
    ids=["garbage", "chunk", "length", "header"],
)
def test_broken_http_is_refused_and_hangs_up(api, data):
    before = state(api)
    answer = everything(api.raw(data))
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 431"))
    assert state(api) == before


def test_a_body_cut_off_changes_nothing(api):
    before = state(api)
    sock = api.raw(
        b'POST /networks/create HTTP/1.1\r\nHost: d\r\nContent-Length: 400\r\n\r\n{"Name": "half"', half_close=True
    )
    assert b"HTTP/1.1 2" not in everything(sock)
    assert state(api) == before


@SERVING
@given(body=BODIES, path=st.sampled_from(POSTS), name=st.sampled_from(["nosuch", "bridge", "%20", "%00", "a" * 300]))
def test_no_body_makes_an_error_of_ours(api, body, path, name):
    target = path
    for parameter in ("{id}", "{name}"):
        target = target.replace(parameter, name)
    if target.endswith(("/prune", "/wait", "/attach")):
        return
    status, answer = api.call("POST", target, body)
    text = answer.get("message", "") if isinstance(answer, dict) else ""
    assert "internal error of the simulator" not in text, (target, body)
    assert status < 500 or status in (500, 501, 503)


@SERVING
@given(query=st.dictionaries(st.sampled_from(["filters", "limit", "all", "tail", "since", "until", "t"]),
    st.text(max_size=12), max_size=3),
       path=st.sampled_from(["/containers/json", "/networks", "/images/json", "/volumes",
           "/containers/nosuch/logs"]))  # fmt: skip
def test_no_query_makes_an_error_of_ours(api, query, path):
    from urllib.parse import urlencode

    status, answer = api.call("GET", f"{path}?{urlencode(query)}")
    text = answer.get("message", "") if isinstance(answer, dict) else ""
    assert "internal error of the simulator" not in text, (path, query)
    assert status < 500 or text
