"""A lab of one Docker host and a client, served for the tests of this folder."""

import gc

import pytest
from support.api_client import Api, new_lab


@pytest.fixture(scope="module", autouse=True)
def leaks_fail_the_module_that_made_them():
    """Collect garbage after each module: a socket left open fails the module or is ignored by its mark."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def sockets():
    with new_lab().serve() as paths:
        yield paths


@pytest.fixture(scope="module")
def api(sockets):
    return Api(sockets["node1"])
