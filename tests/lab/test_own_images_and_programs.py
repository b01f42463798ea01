"""A user teaches a lab an image and a program of his own."""

import pytest

from cnmsim import Lab
from cnmsim.engine.images.catalogue import ImageMeaning


async def greeter(process):
    """Accept one connection, greet, and end."""
    socket = process.tcp(4)
    socket.bind(("0.0.0.0", 9000))
    socket.listen()
    peer = await socket.accept()
    peer.send(b"hello from " + process.hostname.encode() + b"\n")
    peer.close()
    await process.sleep(1)
    return 7


@pytest.fixture
def docker():
    lab = Lab(programs={"greeter": greeter})
    lab.images.add("acme/greeter", ImageMeaning(command=("greeter",), exposed=("9000/tcp",)))
    return lab.add_host("node1", "10.0.0.2/24", docker=True).docker


def test_an_image_of_ones_own_runs_a_program_of_ones_own(docker):
    docker.networks.create("net")
    api = docker.containers.run("acme/greeter", name="api", hostname="greeting", network="net", detach=True)
    client = docker.containers.run("alpine", "sleep 1d", name="client", network="net", detach=True)
    assert api.attrs["Config"]["ExposedPorts"] == {"9000/tcp": {}}
    assert client.exec("nc api 9000").text == "hello from greeting\n"
    assert api.wait()["StatusCode"] == 7
