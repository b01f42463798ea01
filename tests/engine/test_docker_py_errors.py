"""Errors of the client are docker-py's, too, where a program has imported it; cnmsim never imports it."""

import subprocess
import sys

import pytest
from support.patience import PATIENCE_S

import cnmsim
from cnmsim import Lab
from cnmsim.engine.client.containers import ContainerError

docker = pytest.importorskip("docker")


@pytest.fixture
def engine():
    return Lab().add_host("node1", "10.0.0.15/24", docker=True).docker


def test_each_error_has_the_class_that_docker_py_raises(engine):
    for call, theirs, ours, status in (
        (lambda: engine.containers.get("x"), docker.errors.NotFound, cnmsim.NotFound, 404),
        (lambda: engine.networks.get("x"), docker.errors.NotFound, cnmsim.NotFound, 404),
        (lambda: engine.volumes.get("x"), docker.errors.NotFound, cnmsim.NotFound, 404),
        (lambda: engine.images.get("x:1"), docker.errors.ImageNotFound, cnmsim.NotFound, 404),
        (lambda: engine.containers.create("alpine", name="%"), docker.errors.APIError, cnmsim.InvalidParameter, 400),
        (engine.services.list, docker.errors.APIError, cnmsim.Unavailable, 503),
    ):
        with pytest.raises(theirs) as caught:
            call()
        error = caught.value
        assert isinstance(error, ours)
        assert (error.status_code, error.status) == (status, status)
        assert error.explanation == error.message == str(error)
        assert error.is_client_error() is (status < 500)
        assert type(error).__name__ == ours.__name__


def test_the_attributes_and_notes_of_an_error_stay(engine):
    engine.containers.create("alpine", name="web")
    with pytest.raises(docker.errors.NotFound) as caught:
        engine.containers.get("wbe")
    assert caught.value.__notes__ == ["did you mean web?"]
    with pytest.raises(docker.errors.ContainerError) as failed:
        engine.containers.run("alpine", "false")
    assert isinstance(failed.value, ContainerError)
    assert (failed.value.exit_status, failed.value.image) == (1, "alpine")


def test_a_property_of_a_removed_container_raises_it_too(engine):
    container = engine.containers.create("alpine")
    container.remove()
    with pytest.raises(docker.errors.NotFound):
        container.attrs  # noqa: B018


def test_without_docker_py_an_error_is_cnmsim_s_alone():
    program = """
import sys
from cnmsim import Lab, NotFound
try:
    Lab().add_host("node1", "10.0.0.15/24", docker=True).docker.containers.get("x")
except NotFound as error:
    print(type(error) is NotFound, isinstance(error, OSError), "docker" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_S, check=True
    )
    assert done.stdout == "True False False\n"
