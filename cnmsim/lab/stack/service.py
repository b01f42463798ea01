"""Conversion of a stack's service to the Engine API's ServiceSpec.

Source: docker/cli `cli/compose/convert/service.go`, `cli/compose/loader/loader.go` (v29.7.2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from attrs import define, field

from cnmsim.engine.images.images import Reference
from cnmsim.errors import FileError, InvalidParameter
from cnmsim.lab.compose.scalars import nullable_map, string_map
from cnmsim.lab.stack.mounts import Mounts, Volume
from cnmsim.lab.stack.objects import DEFAULT_NETWORK, StackObjects, undefined_error
from cnmsim.lab.stack.quantities import duration_ns, nano_cpus, size_bytes
from cnmsim.lab.stack.values import capabilities, extra_hosts, ports, read_variables, split_command, string_list
from cnmsim.lab.yamlfile import Key

T = TypeVar("T")
LABEL_IMAGE = "com.docker.stack.image"
_PREDEFINED = frozenset({"default", "bridge", "host", "none"})
_POLICIES = ("no", "always", "on-failure", "unless-stopped")
_DEFAULT_MODE = 0o444


def networks_of(service: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return a mapping from the key of each network that a service uses to the service's settings for the network.

    A service that lists no networks uses the default network.
    """
    declared = service.get("networks") or {}
    by_key = declared if isinstance(declared, Mapping) else dict.fromkeys(declared)
    return {key: use or {} for key, use in by_key.items()} or {DEFAULT_NETWORK: {}}


def _non_empty(**fields: Any) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value not in (None, "", 0, [], {})}


@define
class ServiceReader:
    """Converts the service `name` of a stack to a ServiceSpec.

    `variables` is the environment of the docker command. Secrets and configs are referred to by name, as their ids
    are not known yet.
    """

    name: str
    objects: StackObjects
    variables: Mapping[str, str]
    declaration: Mapping[str, Any] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.declaration = self.objects.document.section("services")[self.name]

    def _error(self, message: str, *keys: Key) -> FileError:
        return self.objects.document.error(f"service {self.name}: {message}", "services", self.name, *keys)

    def _parse_at(self, parse: Callable[[Any], T], *keys: Key) -> T | None:
        """Return `parse(value)` for the service's value at the path `keys`, or `None` if there is no such value.

        A `ValueError` that `parse` raises becomes a `FileError` located at the value.
        """
        value: Any = self.declaration
        for key in keys:
            if isinstance(key, str) and not (isinstance(value, Mapping) and key in value):
                return None
            value = value[key]
        try:
            return parse(value)
        except ValueError as error:
            raise self._error(str(error), *keys) from None

    @property
    def _deploy(self) -> Mapping[str, Any]:
        return self.declaration.get("deploy") or {}

    def spec(self) -> dict[str, Any]:
        """Return the ServiceSpec as JSON. Raises `FileError` if the declaration contains an invalid value."""
        image = self._image()
        name, label = self.objects.scoped_name(self.name), self.objects.label
        return {
            "Name": name,
            "Labels": {**string_map(self._deploy.get("labels", {})), **label, LABEL_IMAGE: image},
            "TaskTemplate": {
                "ContainerSpec": self._container(image),
                "Resources": self._resources(),
                **_non_empty(RestartPolicy=self._restart(), LogDriver=self._log_driver()),
                "Placement": self._placement(),
                "Networks": self._networks(),
                "ForceUpdate": 0,
            },
            "EndpointSpec": _non_empty(Mode=self._deploy.get("endpoint_mode", "").lower(), Ports=self._ports()),
            "Mode": self._mode(),
            **_non_empty(UpdateConfig=self._update("update_config"), RollbackConfig=self._update("rollback_config")),
        }

    def _image(self) -> str:
        image: str = self.declaration.get("image", "")
        text = f"invalid image reference for service {self.name}:"
        if not image:
            keys = ("services", self.name, "image") if "image" in self.declaration else ("services", self.name)
            raise self.objects.document.error(f"{text} no image specified", *keys)
        try:
            Reference.parse(image)
        except InvalidParameter as error:
            raise self.objects.document.error(f"{text} {error.message}", "services", self.name, "image") from None
        return image

    # ---- the container

    def _container(self, image: str) -> dict[str, Any]:
        service = self.declaration
        add, drop = capabilities(service.get("cap_add", ()), service.get("cap_drop", ()))
        spec = _non_empty(
            Image=image,
            Labels={**string_map(service.get("labels", {})), **self.objects.label},
            Command=self._parse_at(split_command, "entrypoint"),
            Args=self._parse_at(split_command, "command"),
            Hostname=service.get("hostname"),
            Env=self._environment(),
            Dir=service.get("working_dir"),
            User=service.get("user"),
            TTY=service.get("tty"),
            OpenStdin=service.get("stdin_open"),
            ReadOnly=service.get("read_only"),
            Mounts=self._mounts(),
            StopSignal=service.get("stop_signal"),
            Hosts=extra_hosts(service.get("extra_hosts")),
            DNSConfig=_non_empty(
                Nameservers=string_list(service.get("dns")), Search=string_list(service.get("dns_search"))
            ),
            Secrets=self._references("secrets"),
            Configs=self._references("configs"),
            Isolation=service.get("isolation"),
            Sysctls=string_map(service.get("sysctls")),
            CapabilityAdd=add,
            CapabilityDrop=drop,
            Ulimits=self._ulimits(),
        )
        spec["Privileges"] = {"CredentialSpec": self._credential(), "SELinuxContext": None, "NoNewPrivileges": False}
        if "init" in service:
            spec["Init"] = service["init"]
        if "stop_grace_period" in service:
            spec["StopGracePeriod"] = self._parse_at(duration_ns, "stop_grace_period")
        if service.get("healthcheck") is not None:
            spec["Healthcheck"] = self._health(service["healthcheck"])
        return spec

    def _environment(self) -> list[str]:
        variables: dict[str, str | None] = {}
        files = self.declaration.get("env_file", ())
        for number, file in enumerate(string_list(files)):
            at: tuple[Key, ...] = ("env_file",) if isinstance(files, str) else ("env_file", number)
            path = self.objects.folder / file
            try:
                from_file = dict(read_variables(path))
            except FileError as error:
                reason = error.message.removeprefix(f"{path}: ").lower()
                raise self._error(f"open {path}: {reason}", *at) from None
            except ValueError as error:
                raise self._error(f"invalid env file ({path}): {error}", *at) from None
            variables |= {
                key: value
                for key, value in self._resolve_variables(from_file).items()
                if key in self.variables or value is not None
            }
        variables |= self._resolve_variables(nullable_map(self.declaration.get("environment")))
        return sorted(key if value is None else f"{key}={value}" for key, value in variables.items())

    def _resolve_variables(self, values: Mapping[str, str | None]) -> dict[str, str | None]:
        """Return environment variables; those without a value get it from the docker command's environment.

        A variable that is not in that environment either keeps its value `None` or "".
        """
        return {key: value or self.variables.get(key, value) for key, value in values.items()}

    def _mounts(self) -> list[dict[str, Any]]:
        volumes = self.objects.document.section("volumes")
        mounts = Mounts(self.objects.stack, volumes, self.objects.label, self.objects.folder)
        return [
            self._parse_at(lambda item: mounts.mount(Volume.parse(item)), "volumes", number) or {}
            for number in range(len(self.declaration.get("volumes", ())))
        ]

    def _ulimits(self) -> list[dict[str, Any]]:
        limits = self.declaration.get("ulimits") or {}
        return [
            {
                "Name": name,
                "Hard": limit["hard"] if isinstance(limit, Mapping) else limit,
                "Soft": limit["soft"] if isinstance(limit, Mapping) else limit,
            }
            for name, limit in sorted(limits.items())
        ]

    def _health(self, check: Mapping[str, Any]) -> dict[str, Any]:
        test = check.get("test", [])
        if check.get("disable"):
            if test:
                raise self._error("test and disable can't be set at the same time", "healthcheck", "disable")
            return {"Test": ["NONE"]}
        times = {
            field_name: self._parse_at(duration_ns, "healthcheck", key)
            for field_name, key in (
                ("Interval", "interval"),
                ("Timeout", "timeout"),
                ("StartPeriod", "start_period"),
                ("StartInterval", "start_interval"),
            )
        }
        return _non_empty(
            Test=["CMD-SHELL", test] if isinstance(test, str) else list(test),
            Retries=int(check.get("retries", 0)),
            **times,
        )

    def _credential(self) -> dict[str, str] | None:
        credential = self.declaration.get("credential_spec") or {}
        named = [f'"{key.capitalize()}"' for key in ("config", "file", "registry") if credential.get(key)]
        if len(named) > 1:
            listed = " and ".join(named) if len(named) == 2 else f"{', '.join(named[:-1])}, and {named[-1]}"
            raise self._error(f"invalid credential spec: cannot specify both {listed}", "credential_spec")
        return {key.capitalize(): value for key, value in credential.items() if value} or None

    def _references(self, section: str) -> list[dict[str, Any]]:
        """Return the JSON references to the secrets or configs that the service uses, sorted by name.

        `section` is `secrets` or `configs`. Raises `FileError` if one is not declared, or two have the same target.
        """
        title = section.removesuffix("s").capitalize()
        by_target: dict[str, dict[str, Any]] = {}
        for number, item in enumerate(self.declaration.get(section, ())):
            grant = {"source": item} if isinstance(item, str) else item
            source = grant.get("source", "")
            at: tuple[Key, ...] = ("services", self.name, section, number)
            if source not in self.objects.document.section(section):
                raise undefined_error(self.objects.document, section, source, self.name, *at)
            name, target = self.objects.name_of(section, source), grant.get("target") or source
            if target in by_target:
                raise self._error(f"duplicate {title.lower()} target for {name} not allowed", section, number)
            by_target[target] = {
                "File": {
                    "Name": target,
                    "UID": grant.get("uid") or "0",
                    "GID": grant.get("gid") or "0",
                    "Mode": int(grant.get("mode", _DEFAULT_MODE)),
                },
                f"{title}Name": name,
            }
        references = list(by_target.values())
        credential_config = (self.declaration.get("credential_spec") or {}).get("config")
        if section == "configs" and credential_config:
            if credential_config not in self.objects.document.section("configs"):
                keys: tuple[Key, ...] = ("services", self.name, "credential_spec", "config")
                raise undefined_error(self.objects.document, "configs", credential_config, self.name, *keys)
            references.append({"Runtime": {}, "ConfigName": self.objects.name_of("configs", credential_config)})
        return sorted(references, key=lambda reference: str(reference[f"{title}Name"]))

    # ---- placement and endpoint

    def _resources(self) -> dict[str, Any]:
        declared = self._deploy.get("resources") or {}
        resources: dict[str, Any] = {}
        for title, key in (("Limits", "limits"), ("Reservations", "reservations")):
            if declared.get(key) is None:
                continue
            at = ("deploy", "resources", key)
            resources[title] = _non_empty(
                NanoCPUs=self._parse_at(nano_cpus, *at, "cpus"),
                MemoryBytes=self._parse_at(size_bytes, *at, "memory"),
                Pids=declared[key].get("pids"),
                GenericResources=[
                    {"DiscreteResourceSpec": {"Kind": spec.get("kind", ""), "Value": int(spec.get("value", 0))}}
                    for resource in declared[key].get("generic_resources", ())
                    if (spec := resource.get("discrete_resource_spec")) is not None
                ],
            )
        return resources

    def _restart(self) -> dict[str, Any] | None:
        policy = self._deploy.get("restart_policy")
        if policy is None:
            return self._legacy_restart(self.declaration.get("restart", ""))
        at = ("deploy", "restart_policy")
        attempts = policy.get("max_attempts")
        return {
            "Condition": policy.get("condition", ""),
            **{
                title: self._parse_at(duration_ns, *at, key)
                for title, key in (("Delay", "delay"), ("Window", "window"))
                if key in policy
            },
            **({} if attempts is None else {"MaxAttempts": attempts}),
        }

    def _legacy_restart(self, text: str) -> dict[str, Any] | None:
        """Convert `restart`, the restart policy in files for single hosts, to a JSON `RestartPolicy`.

        Return `None` for the policy `no`. Raises `FileError` for an invalid policy. Source: docker/cli
        `opts.ParseRestartPolicy`.
        """
        name, colon, count = text.partition(":")
        if colon and not name:
            raise self._error("invalid restart policy format: no policy provided before colon", "restart")
        attempts = 0
        if count:
            try:
                attempts = int(count)
            except ValueError:
                message = "invalid restart policy format: maximum retry count must be an integer"
                raise self._error(message, "restart") from None
        if attempts < 0:
            raise self._error("invalid restart policy: maximum retry count cannot be negative", "restart")
        if name in {"", "no"}:
            return None
        if name not in _POLICIES:
            listed = "'no', 'always', 'on-failure', or 'unless-stopped'"
            text = f"invalid restart policy: unknown policy '{name}' (must be one of {listed})"
            raise self._error(text, "restart")
        condition = "on-failure" if name == "on-failure" else "any"
        return {"Condition": condition, **_non_empty(MaxAttempts=attempts)}

    def _log_driver(self) -> dict[str, Any] | None:
        logging = self.declaration.get("logging")
        if logging is None:
            return None
        return {"Name": logging.get("driver", ""), "Options": string_map(logging.get("options"))}

    def _placement(self) -> dict[str, Any]:
        placement = self._deploy.get("placement") or {}
        return _non_empty(
            Constraints=list(placement.get("constraints", ())),
            Preferences=[
                {"Spread": {"SpreadDescriptor": preference.get("spread", "")}}
                for preference in placement.get("preferences", ())
            ],
            MaxReplicas=placement.get("max_replicas_per_node"),
        )

    def _networks(self) -> list[dict[str, Any]]:
        declared = self.objects.document.section("networks")
        attachments = []
        listed = self.declaration.get("networks")
        for key, use in networks_of(self.declaration).items():
            if key not in declared and key != DEFAULT_NETWORK:
                place: Key = key if isinstance(listed, Mapping) else list(listed or ()).index(key)
                keys: tuple[Key, ...] = ("services", self.name, "networks", place)
                raise undefined_error(self.objects.document, "networks", key, self.name, *keys)
            target = self.objects.name_of("networks", key)
            aliases = list(use.get("aliases", ()))
            if target not in _PREDEFINED:
                aliases.append(self.name)
            options = string_map(use.get("driver_opts"))
            attachments.append({"Target": target, **_non_empty(Aliases=aliases, DriverOpts=options)})
        return sorted(attachments, key=lambda attachment: str(attachment["Target"]))

    def _ports(self) -> list[dict[str, Any]]:
        configs: list[dict[str, Any]] = []
        for number in range(len(self.declaration.get("ports", ()))):
            parsed = self._parse_at(ports, "ports", number)
            assert parsed is not None
            configs += parsed[0]
            self.objects.notices += parsed[1]
        order = ("PublishedPort", "TargetPort", "Protocol", "PublishMode")
        return [_non_empty(**config) for config in sorted(configs, key=lambda config: [config[key] for key in order])]

    def _mode(self) -> dict[str, Any]:
        mode, replicas = self._deploy.get("mode", ""), self._deploy.get("replicas")
        if mode in {"global", "global-job"}:
            if replicas is not None:
                text = "replicas can only be used with replicated or replicated-job mode"
                raise self._error(text, "deploy", "replicas")
            return {"Global": {}} if mode == "global" else {"GlobalJob": {}}
        if mode == "replicated-job":
            job = {} if replicas is None else {"MaxConcurrent": replicas, "TotalCompletions": replicas}
            return {"ReplicatedJob": job}
        if mode not in {"", "replicated"}:
            raise self._error(f"unknown mode: {mode}", "deploy", "mode")
        if replicas is not None and replicas < 0:
            raise self._error("must be greater than or equal to 0", "deploy", "replicas")
        return {"Replicated": {} if replicas is None else {"Replicas": replicas}}

    def _update(self, key: str) -> dict[str, Any] | None:
        config = self._deploy.get(key)
        if config is None:
            return None
        return {
            "Parallelism": config.get("parallelism", 1),
            **_non_empty(
                Delay=self._parse_at(duration_ns, "deploy", key, "delay"),
                FailureAction=config.get("failure_action"),
                Monitor=self._parse_at(duration_ns, "deploy", key, "monitor"),
                Order=config.get("order"),
            ),
            "MaxFailureRatio": config.get("max_failure_ratio", 0),
        }
