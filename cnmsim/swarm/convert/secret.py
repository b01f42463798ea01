"""Conversion of secrets and configs from and to the Engine API's JSON.

Source: moby `daemon/cluster/convert/{secret,config}.go`.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

from cnmsim.swarm.convert.common import annotations_from_api, annotations_to_api, meta_to_api
from cnmsim.swarm.convert.gojson import omit_empty, omit_nil
from cnmsim.swarm.convert.task_spec import driver_from_api, driver_to_api
from cnmsim.swarm.objects.secret import Config, ConfigSpec, Secret, SecretSpec


def secret_to_api(secret: Secret) -> dict[str, Any]:
    """Return a secret in the form of `secret inspect`. The data is included only if `secret` has it."""
    spec = secret.spec
    return {
        "ID": secret.id,
        **meta_to_api(secret.meta.version, secret.meta.created_ns, secret.meta.updated_ns),
        "Spec": {
            **annotations_to_api(spec.annotations),
            **omit_empty(("Data", b64encode(spec.data).decode())),
            **omit_nil("Driver", None if spec.driver is None else driver_to_api(spec.driver)),
            **omit_nil("Templating", None if spec.templating is None else driver_to_api(spec.templating)),
        },
    }


def config_to_api(config: Config) -> dict[str, Any]:
    """Return a config as `config inspect` shows it."""
    spec = config.spec
    return {
        "ID": config.id,
        **meta_to_api(config.meta.version, config.meta.created_ns, config.meta.updated_ns),
        "Spec": {
            **annotations_to_api(spec.annotations),
            **omit_empty(("Data", b64encode(spec.data).decode())),
            **omit_nil("Templating", None if spec.templating is None else driver_to_api(spec.templating)),
        },
    }


def secret_spec_from_api(spec: Mapping[str, Any]) -> SecretSpec:
    """Convert a JSON secret spec. Its `Data` must already be decoded from base64 to bytes."""
    driver, templating = driver_from_api(spec["Driver"]), driver_from_api(spec["Templating"])
    return SecretSpec(annotations_from_api(spec), spec["Data"], driver, templating)


def config_spec_from_api(spec: Mapping[str, Any]) -> ConfigSpec:
    """Convert a JSON config spec. Its `Data` must already be decoded from base64 to bytes."""
    return ConfigSpec(annotations_from_api(spec), spec["Data"], driver_from_api(spec["Templating"]))
