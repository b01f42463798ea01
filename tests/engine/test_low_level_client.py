"""`engine.api`: the calls of docker-py's low-level client that programs use beside the objects."""

import pytest

from cnmsim import Lab
from cnmsim.errors import NotFound


def test_it_inspects_and_lists_what_the_objects_show():
    engine = Lab().add_host("node1", "10.0.0.15/24", docker=True).docker
    engine.networks.create("shop")
    web = engine.containers.run("nginx", name="web", network="shop", ports={"80/tcp": 8080}, detach=True)
    engine.volumes.create("data")
    api = engine.api
    for name in (web, "web", web.id, {"Id": web.id}):
        assert api.inspect_container(name) == web.attrs
    assert [each["Id"] for each in api.containers()] == [web.id]
    assert api.containers(filters={"name": "none"}) == []
    assert api.port(web, 80)[0] == {"HostIp": "0.0.0.0", "HostPort": "8080"}
    assert api.port(web, "53/udp") is None
    assert [each["Name"] for each in api.networks(names=["shop"])] == ["shop"]
    assert api.inspect_network("shop")["Containers"].keys() == {web.id}
    assert api.inspect_image("nginx")["RepoTags"] == ["nginx:latest"]
    assert any("nginx:latest" in each["RepoTags"] for each in api.images())
    assert api.volumes()["Volumes"][0]["Name"] == api.inspect_volume("data")["Name"] == "data"
    assert api.version()["ApiVersion"] == api.api_version
    assert api.ping()
    assert api.info()["Containers"] == 1
    with pytest.raises(NotFound):
        api.inspect_container("none")
    with pytest.raises(AttributeError, match=r"engine\.api has no 'create_container': it inspects and lists"):
        api.create_container  # noqa: B018
