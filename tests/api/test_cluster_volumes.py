"""Volumes of the cluster and services that are plugins: refused, in the engine's words where there are some."""

import pytest
from support.api_client import Api, new_lab


@pytest.fixture
def api():
    with new_lab().serve() as sockets:
        yield Api(sockets["node1"])


SPEC = {"Name": "vol", "Driver": "csi", "ClusterVolumeSpec": {"AccessMode": {"Scope": "single", "MountVolume": {}}}}


def test_cluster_volumes_are_refused(api):
    status, said = api.call("POST", "/volumes/create", SPEC)
    assert (status, said["message"][:37]) == (503, "This node is not a swarm manager. Use")
    status, said = api.call("PUT", "/volumes/vol?version=1", {})
    assert (status, said["message"]) == (
        503,
        "volume update only valid for cluster volumes, but swarm is unavailable",
    )
    api.call("POST", "/swarm/init", {"ListenAddr": "0.0.0.0:2377"})
    status, said = api.call("POST", "/volumes/create", SPEC)
    assert (status, said["message"][:34]) == (501, "cluster volumes are not simulated:")
    assert api.call("PUT", "/volumes/vol?version=1", {})[0] == 404
    assert api.call("GET", "/volumes")[1]["Volumes"] == []


def test_plugins_as_services_are_refused(api):
    api.call("POST", "/swarm/init", {"ListenAddr": "0.0.0.0:2377"})
    template = {"Runtime": "plugin", "PluginSpec": {"Name": "sshfs", "Remote": "vieux/sshfs"}}
    status, said = api.call("POST", "/services/create", {"Name": "p", "TaskTemplate": template})
    assert (status, said["message"]) == (500, 'runtime type "plugin" only supported in experimental')
    assert api.call("GET", "/services")[1] == []
