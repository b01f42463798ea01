"""Templates in container specs: what is filled in, and what is said of what cannot be."""

from __future__ import annotations

import pytest
from attrs import evolve

from cnmsim.errors import SystemFault
from cnmsim.libnetwork.profile import Profile
from cnmsim.swarm.objects import Annotations, ContainerSpec, Task, TaskSpec
from cnmsim.swarm.template import expand_container

NO_FIELD = (
    'template: expansion:1:2: executing "expansion" at <.Nope>: can\'t evaluate field Nope in type *template.Context'
)


def task(**spec: object) -> Task:
    container = evolve(ContainerSpec(image="alpine"), **spec)
    return Task("t1", TaskSpec(container=container), slot=3, service_annotations=Annotations("web", {"tier": "back"}))


def test_volumes_are_named_and_labelled_for_each_task() -> None:
    mount = {
        "Type": "volume",
        "Source": "{{.Service.Name}}-{{.Task.Slot}}",
        "Target": "/{{.Service.Name}}",
        "VolumeOptions": {
            "Labels": {"of": "{{.Service.Name}}"},
            "DriverConfig": {"Name": "local", "Options": {"device": "tmp{{.Task.Slot}}"}},
        },
    }
    (filled,) = expand_container(task(mounts=(mount,)), None, Profile()).mounts
    assert filled == {
        "Type": "volume",
        "Source": "web-3",
        "Target": "/web",
        "VolumeOptions": {"Labels": {"of": "web"}, "DriverConfig": {"Name": "local", "Options": {"device": "tmp3"}}},
    }
    assert mount["Source"] == "{{.Service.Name}}-{{.Task.Slot}}"


@pytest.mark.parametrize(
    ("mount", "what"),
    [
        ({"Source": "{{.Nope}}"}, 'expanding mount source "{{.Nope}}"'),
        ({"Source": "a", "Target": "/{{.Nope}}"}, 'expanding mount target "/{{.Nope}}"'),
        (
            {"VolumeOptions": {"Labels": {"a": "{{.Nope}}"}}},
            'expanding volume labels: expanding map entry "a"="{{.Nope}}"',
        ),
        (
            {"VolumeOptions": {"DriverConfig": {"Options": {"o": "{{.Nope}}"}}}},
            'expanding volume driver config: expanding map entry "o"="{{.Nope}}"',
        ),
    ],
)
def test_what_of_a_mount_makes_no_sense_is_told(mount: dict[str, object], what: str) -> None:
    with pytest.raises(SystemFault) as refused:
        expand_container(task(mounts=(mount,)), None, Profile())
    said = NO_FIELD.replace(":1:2:", ":1:3:") if "/{{" in what else NO_FIELD
    assert refused.value.message == f"expanding mounts failed: {what}: {said}"


def test_an_environment_variable_is_quoted_as_go_does() -> None:
    with pytest.raises(SystemFault, match="expanding env failed: expanding env"):
        expand_container(task(env=('A="{{.Nope}}"',)), None, Profile())
