"""Bodies that cannot be read are refused in the words of the real engine, and nothing comes of them."""

import json
from pathlib import Path

import pytest
from support.api_client import Api, new_lab

#: What Docker Engine 26.1.5 (built with go1.24) answered, always with status 400: path, body, message.
REFUSALS = json.loads(Path(__file__).with_name("refusals.json").read_text())
#: What Docker Engine 29.7.2 answered to bodies with several errors, of addresses, ports and MAC addresses, too.
REFUSALS_29 = json.loads(Path(__file__).with_name("refusals-29.json").read_text())


@pytest.fixture(scope="module")
def manager():
    with new_lab("26.1.5").serve() as paths:
        api = Api(paths["node1"])
        spec = {"ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": "10.0.0.15"}
        assert api.call("POST", "/swarm/init", spec)[0] == 200
        yield api


def world(api):
    paths = (
        "/containers/json?all=1",
        "/networks",
        "/volumes",
        "/services",
        "/secrets",
        "/configs",
        "/nodes",
        "/swarm",
    )
    return [api.call("GET", path)[1] for path in paths]


@pytest.mark.parametrize(("path", "body", "message"), REFUSALS, ids=range(len(REFUSALS)))
def test_a_body_is_refused_as_the_real_engine_refuses_it(manager, path, body, message):
    before = world(manager)
    status, answer = manager.call("POST", path, body.encode())
    assert (status, answer["message"]) == (400, message)
    assert world(manager) == before


@pytest.fixture(scope="module")
def engine():
    with new_lab("29.7.2").serve() as paths:
        yield Api(paths["node1"])


@pytest.mark.parametrize(("path", "body", "message"), REFUSALS_29, ids=range(len(REFUSALS_29)))
def test_a_body_is_refused_as_29_refuses_it(engine, path, body, message):
    before = world(engine)
    status, answer = engine.call("POST", path, body.encode())
    assert (status, answer["message"]) == (400, message)
    assert world(engine) == before
