"""A misspelt attribute is answered by the right name, and the probes of copy, pickle and IPython by a plain error."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from cnmsim import Lab
from cnmsim.suggestion import suggests_attributes


@pytest.fixture(scope="module")
def lab() -> Lab:
    lab = Lab()
    node = lab.add_host("node1", "10.0.0.1/24", docker=True)
    node.docker.containers.run("nginx", name="web", detach=True)
    return lab


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda lab: lab.ping, "'Lab' object has no attribute 'ping'; hosts have it: lab.host(NAME).ping"),
        (lambda lab: lab.tarce, ", did you mean trace?"),
        (lambda lab: lab.host("node1").containers, "; its engine has it: lab.host('node1').docker.containers"),
        (lambda lab: lab.host("node1").docker.container, ", did you mean containers?"),
        (lambda lab: lab.host("node1").docker.containers.lst, ", did you mean list?"),
        (lambda lab: lab.container("web").statu, ", did you mean status?"),
        (lambda lab: lab.images.ad, ", did you mean add?"),
        (lambda lab: lab.trace("node1", "web:80").fixs, ", did you mean fixes?"),
        (lambda lab: lab.doctor().fault, ", did you mean faults?"),
        (lambda lab: lab.quite_another, "'Lab' object has no attribute 'quite_another'"),
    ],
)
def test_a_misspelt_attribute_is_answered_by_the_right_one(
    call: Callable[[Any], object], text: str, lab: Lab
) -> None:
    with pytest.raises(AttributeError) as caught:
        call(lab)
    assert str(caught.value).endswith(text)
    assert caught.value.obj is None  # otherwise Python's traceback adds a second suggestion


def test_a_misspelt_keyword_of_images_add_is_answered_by_the_right_one(lab: Lab) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'listen', did you mean listens"):
        lab.images.add("shop", listen=[80])  # type: ignore[call-arg]


def test_what_probes_for_attributes_gets_a_plain_answer(lab: Lab) -> None:
    node = lab.host("node1")
    assert not hasattr(lab, "nothing_like_it")
    assert getattr(node.docker, "nothing_like_it", 7) == 7
    with pytest.raises(AttributeError, match=r"attribute '_ipython_canary_method_should_not_exist_'$"):
        lab._ipython_canary_method_should_not_exist_  # type: ignore[attr-defined]  # noqa: B018
    assert copy.copy(node).name == "node1"
    checkup = lab.doctor()
    assert pickle.loads(pickle.dumps(copy.deepcopy(checkup))).text() == checkup.text()
    assert lab.fork().container("web").status == "running"


def test_a_property_that_fails_raises_its_own_error() -> None:
    @suggests_attributes
    class Thing:
        @property
        def broken(self) -> object:
            return None.inner  # type: ignore[attr-defined]

    with pytest.raises(AttributeError, match="'NoneType' object has no attribute 'inner'"):
        Thing().broken  # noqa: B018
