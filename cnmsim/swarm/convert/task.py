"""Conversion of tasks to the Engine API's JSON (moby `daemon/cluster/convert/task.go`)."""

from __future__ import annotations

from typing import Any

from cnmsim.gojson.fields import omit_empty, omit_nil, rfc3339
from cnmsim.swarm.convert.common import annotations_to_api, head_to_api
from cnmsim.swarm.convert.network import network_to_api
from cnmsim.swarm.convert.service import port_to_api
from cnmsim.swarm.convert.task_spec import generic_to_api, task_spec_to_api
from cnmsim.swarm.objects.network import NetworkAttachment
from cnmsim.swarm.objects.task import ContainerStatus, Task, TaskStatus


def task_to_api(task: Task) -> dict[str, Any]:
    """Return a task as `docker inspect --type task` shows it."""
    return {
        **head_to_api(task),
        **annotations_to_api(task.annotations),
        "Spec": task_spec_to_api(task.spec),
        **omit_empty(("ServiceID", task.service_id), ("Slot", task.slot), ("NodeID", task.node_id)),
        "Status": _status_to_api(task.status),
        "DesiredState": task.desired_state.name.lower(),
        **omit_empty(
            ("NetworksAttachments", [_attachment_to_api(attachment) for attachment in task.networks]),
            ("GenericResources", [generic_to_api(resource) for resource in task.assigned_generic_resources]),
        ),
        **omit_nil("JobIteration", None if task.job_iteration is None else omit_empty(("Index", task.job_iteration))),
        "Volumes": None,
    }


def _status_to_api(status: TaskStatus) -> dict[str, Any]:
    return {
        "Timestamp": rfc3339(status.timestamp_ns),
        "State": status.state.name.lower(),
        **omit_empty(("Message", status.message), ("Err", status.err)),
        **omit_nil("ContainerStatus", status.container, _container_to_api),
        "PortStatus": omit_empty(("Ports", [port_to_api(port) for port in status.port_status or ()])),
    }


def _container_to_api(container: ContainerStatus) -> dict[str, Any]:
    return {"ContainerID": container.container_id, "PID": container.pid, "ExitCode": container.exit_code}


def _attachment_to_api(attachment: NetworkAttachment) -> dict[str, Any]:
    return {"Network": network_to_api(attachment.network), **omit_empty(("Addresses", list(attachment.addresses)))}
