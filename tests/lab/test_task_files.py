"""Secrets and configs as files of a task, what a task is told of host ports, and what lists of tasks and services let
through."""

from __future__ import annotations

from typing import Any

import pytest

from cnmsim import Lab
from cnmsim.engine.client.services import Service
from cnmsim.engine.engine import Engine


@pytest.fixture
def lab() -> Lab:
    lab = Lab()
    lab.add_host("node1", "10.9.0.1/24", docker=True)
    engine_of(lab).swarm.init(advertise_addr="10.9.0.1")
    return lab


def engine_of(lab: Lab) -> Engine:
    return lab.hosts["node1"].docker


def run(lab: Lab, **options: Any) -> Service:
    policy = {"Condition": "none"}
    service = engine_of(lab).services.create("alpine", "sleep 1d", name="app", restart_policy=policy, **options)
    lab.run(10)
    return service


def granted(lab: Lab, data: str, **file: str | int) -> dict[str, Any]:
    secret = engine_of(lab).secrets.create("key", data, templating={"Name": "golang"})
    described = {"Name": "key", "UID": "0", "GID": "0", "Mode": 0o444, **file}
    return {"SecretID": secret.id, "SecretName": "key", "File": described}


def fate(service: Service) -> tuple[str, str]:
    (task,) = service.tasks()
    return task["Status"]["State"], task["Status"].get("Err", "")


def test_a_secret_is_filled_in_and_its_owners(lab: Lab) -> None:
    text = '{{if eq .Service.Name "app"}}{{env "STAGE" | printf "%s-%s" .Task.Slot}}{{end}}'
    run(lab, secrets=[granted(lab, text, UID="33", GID="65534", Mode=0o400)], env=["STAGE=live"])
    (container,) = engine_of(lab).containers.list()
    assert container.exec_run("cat /run/secrets/key").output == b"1-live"
    assert b"-r--------    1 33       nobody           6 " in container.exec_run("ls -l /run/secrets").output
    assert b"-r--------    1 33       65534            6 " in container.exec_run("ls -n /run/secrets").output


@pytest.mark.parametrize(
    ("data", "file", "why"),
    [
        (
            '{{secret "other"}}',
            {},
            (
                "unable to get secret from secret store: failed to expand templated secret {id}: template: "
                "expansion:1:2:"
                ' executing "expansion" at <secret "other">: error calling secret: secret target other not found'
            ),
        ),
        ("x", {"UID": "root"}, 'strconv.Atoi: parsing "root": invalid syntax'),
    ],
)
def test_a_task_whose_files_cannot_be_made_fails_as_it_starts(
    lab: Lab, data: str, file: dict[str, str], why: str
) -> None:
    secret = granted(lab, data, **file)
    assert fate(run(lab, secrets=[secret])) == (
        "failed",
        "starting container failed: " + why.replace("{id}", secret["SecretID"]),
    )


def test_a_rollback_to_a_secret_that_is_gone_fails_as_its_task_starts(lab: Lab) -> None:
    secret = granted(lab, "x")
    service = run(lab, secrets=[secret])
    service.update(secrets=[])
    lab.run(30)
    engine_of(lab).secrets.get("key").remove()
    service.rollback()
    lab.run(30)
    assert service.attrs["UpdateStatus"]["State"] == "rollback_paused"
    (why,) = (task["Status"]["Err"] for task in service.tasks() if task["Status"]["State"] == "failed")
    assert why == (
        f"starting container failed: unable to get secret from secret store: secret {secret['SecretID']} not found"
    )


def test_a_task_is_told_of_each_host_port_once_though_two_were_asked_for_one_target(lab: Lab) -> None:
    service = run(lab, ports={8380: (80, "tcp", "host"), 8381: (80, "tcp", "host")})
    (task,) = service.tasks()
    told = {(port["PublishedPort"], port["TargetPort"]) for port in task["Status"]["PortStatus"]["Ports"]}
    bindings = engine_of(lab).containers.list()[0].ports["80/tcp"]
    assert told == {(int(each["HostPort"]), 80) for each in bindings}
    assert len(task["Status"]["PortStatus"]["Ports"]) == len(bindings)


def test_tasks_and_services_are_listed_by_runtime_and_once(lab: Lab) -> None:
    service = run(lab)
    engine = engine_of(lab)
    assert len(service.tasks({"service": ["app", service.id]})) == 1
    assert len(service.tasks({"runtime": "container"})) == 1
    assert service.tasks({"runtime": "plugin"}) == []
    assert [each.name for each in engine.services.list({"runtime": "container"})] == ["app"]
    assert engine.services.list({"runtime": "plugin"}) == []
