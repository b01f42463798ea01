"""Conversion of secrets and configs from and to the Engine API's JSON.

Source: moby `daemon/cluster/convert/{secret,config}.go`.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from cnmsim.gojson.fields import omit_empty, omit_nil
from cnmsim.swarm.convert.common import annotations_from_api, annotations_to_api, head_to_api
from cnmsim.swarm.convert.task_spec import driver_from_api, driver_to_api
from cnmsim.swarm.objects.secret import Config, ConfigSpec, Secret, SecretSpec


def secret_to_api(secret: Secret | Config) -> dict[str, Any]:
    """Return a secret or config as JSON."""
    spec = secret.spec
    return {
        **head_to_api(secret),
        "Spec": {
            **annotations_to_api(spec.annotations),
            **omit_empty(("Data", b64encode(spec.data).decode())),
            **omit_nil("Driver", spec.driver if isinstance(spec, SecretSpec) else None, driver_to_api),
            **omit_nil("Templating", spec.templating, driver_to_api),
        },
    }


def secret_spec_from_api(spec: Mapping[str, Any]) -> SecretSpec:
    """Convert a JSON secret spec. Its `Data` must already be decoded from base64 to bytes."""
    driver, templating = driver_from_api(spec["Driver"]), driver_from_api(spec["Templating"])
    return SecretSpec(annotations_from_api(spec), spec["Data"], driver, templating)


def config_spec_from_api(spec: Mapping[str, Any]) -> ConfigSpec:
    """Convert a JSON config spec. Its `Data` must already be decoded from base64 to bytes."""
    return ConfigSpec(annotations_from_api(spec), spec["Data"], driver_from_api(spec["Templating"]))
