"""A lab of one Docker host and a client, served for the tests of this folder."""

import pytest
from support.api_client import Api, new_lab


@pytest.fixture(scope="module")
def sockets():
    with new_lab().serve() as paths:
        yield paths


@pytest.fixture(scope="module")
def api(sockets):
    return Api(sockets["node1"])
