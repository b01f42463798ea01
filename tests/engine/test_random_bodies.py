"""Request bodies that Docker Engine 26.1.5 and 28.5.2 refused, and their answers; random bodies found them."""

import pytest
from support.engine_lab import new_engine

from cnmsim.errors import EngineError, InvalidParameter, NotFound, SystemFault


@pytest.fixture(params=["26.1.5", "28.5.2"])
def engine(request):
    engine = new_engine(request.param)
    engine.networks.create("n1")
    engine.containers.run("alpine", "sleep 1d", name="c1", detach=True)
    return engine


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "1m"}, "quota size requested but no quota support"),
        ({"size": "1m", "o": "x"}, "quota size requested but no quota support"),
        ({"size": "x"}, "invalid size: 'x'"),
        ({"device": "/x"}, 'missing required option: "type"'),
        ({"device": "/x", "o": "x"}, 'missing required option: "type"'),
        ({"type": "nfs"}, 'missing required option: "device"'),
    ],
)
def test_options_of_a_volume_are_refused(engine, options, message):
    with pytest.raises(InvalidParameter) as raised:
        engine.rest.volumes.create({"Name": "vx", "DriverOpts": options})
    assert raised.value.message == f"create vx: {message}"


def test_an_unknown_driver_is_refused_for_the_name_that_the_volume_would_have(engine):
    message = r'^create [0-9a-f]{64}: error looking up volume plugin x: plugin "x" not found$'
    with pytest.raises(NotFound, match=message):
        engine.rest.volumes.create({"Driver": "x"})


@pytest.mark.parametrize(
    ("name", "config", "error", "message"),
    [
        ("no", {"MacAddress": "x"}, NotFound, "No such container: no"),
        ("", {"MacAddress": "x"}, InvalidParameter, 'invalid name or ID supplied: ""'),
        ("c1", {"Links": ["x:y:z"]}, SystemFault, "bad format for links: x:y:z"),
    ],
)
def test_a_connect_is_refused_and_leaves_no_endpoint(engine, name, config, error, message):
    rest = engine.rest
    with pytest.raises(error) as raised:
        engine.complete(rest.networks.connect("n1", {"Container": name, "EndpointConfig": config}))
    assert raised.value.message == message
    assert rest.networks.inspect("n1")["Containers"] == {}


def test_a_forced_disconnect_without_a_container_is_refused(engine):
    with pytest.raises(InvalidParameter) as raised:
        engine.rest.networks.disconnect("n1", {"Container": "", "Force": True})
    assert raised.value.message == engine.profile.blank_name_text.format(name="")


def test_an_update_answers_warnings_and_refuses_limits_of_windows(engine):
    assert engine.rest.containers.update("c1", {"CpuPercent": 5}) == {
        "Warnings": ["linux does not support CPU percent. Percent discarded."]
    }
    with pytest.raises(InvalidParameter, match="linux does not support Maximum IO Bandwidth or Maximum IO IOps"):
        engine.rest.containers.update("c1", {"IOMaximumIOps": 5})


def test_only_later_releases_decode_enable_ipv4(engine):
    asked = {"Name": "nx", "EnableIPv4": "x"}
    if engine.profile.inspect_shows_enable_ipv4:
        with pytest.raises(EngineError, match="cannot unmarshal string into Go struct field"):
            engine.complete(engine.rest.networks.create(asked))
    else:
        assert engine.complete(engine.rest.networks.create(asked))["Id"]
