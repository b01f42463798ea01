"""A service of a stack file as the API's ServiceSpec.

Source: docker/cli `cli/compose/convert/service.go`, `cli/compose/loader/loader.go` (v29.7.2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from attrs import define, field

from cnmsim.engine.images.images import Reference
from cnmsim.errors import FileError, InvalidParameter
from cnmsim.lab.stack.mounts import Mounts, Volume
from cnmsim.lab.stack.objects import DEFAULT_NETWORK, StackObjects, undefined
from cnmsim.lab.stack.quantities import duration_ns, nano_cpus, size_bytes
from cnmsim.lab.stack.values import (
    capabilities,
    extra_hosts,
    optional_pairs,
    pairs,
    ports,
    read_variables,
    texts,
    words,
)
from cnmsim.lab.yamlfile import Key

T = TypeVar("T")
LABEL_IMAGE = "com.docker.stack.image"
_PREDEFINED = frozenset({"default", "bridge", "host", "none"})
_POLICIES = ("no", "always", "on-failure", "unless-stopped")
_DEFAULT_MODE = 0o444


def networks_of(service: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Give the networks a service names, by key, with what it says of its place there."""
    given = service.get("networks") or {}
    named = given if isinstance(given, Mapping) else dict.fromkeys(given)
    return {key: use or {} for key, use in named.items()} or {DEFAULT_NETWORK: {}}


def _given(**fields: Any) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value not in (None, "", 0, [], {})}


@define
class ServiceReader:
    """Makes the spec of the service `name`. Secrets and configs are referred to by name; their ids are not known yet."""

    name: str
    objects: StackObjects
    variables: Mapping[str, str]
    given: Mapping[str, Any] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.given = self.objects.document.section("services")[self.name]

    def _error(self, message: str, *keys: Key) -> FileError:
        return self.objects.document.error(f"service {self.name}: {message}", "services", self.name, *keys)

    def _try(self, read: Callable[[Any], T], *keys: Key) -> T | None:
        """Read what stands at `keys` of the service, `None` if nothing does."""
        value: Any = self.given
        for key in keys:
            if isinstance(key, str) and not (isinstance(value, Mapping) and key in value):
                return None
            value = value[key]
        try:
            return read(value)
        except ValueError as error:
            raise self._error(str(error), *keys) from None

    @property
    def _deploy(self) -> Mapping[str, Any]:
        return self.given.get("deploy") or {}

    def spec(self) -> dict[str, Any]:
        """Give the spec. Raises `FileError`."""
        image = self._image()
        name, label = self.objects.scoped(self.name), self.objects.label
        return {
            "Name": name,
            "Labels": {**pairs(self._deploy.get("labels", {})), **label, LABEL_IMAGE: image},
            "TaskTemplate": {
                "ContainerSpec": self._container(image),
                "Resources": self._resources(),
                **_given(RestartPolicy=self._restart(), LogDriver=self._log_driver()),
                "Placement": self._placement(),
                "Networks": self._networks(),
                "ForceUpdate": 0,
            },
            "EndpointSpec": _given(Mode=self._deploy.get("endpoint_mode", "").lower(), Ports=self._ports()),
            "Mode": self._mode(),
            **_given(UpdateConfig=self._update("update_config"), RollbackConfig=self._update("rollback_config")),
        }

    def _image(self) -> str:
        image: str = self.given.get("image", "")
        text = f"invalid image reference for service {self.name}:"
        if not image:
            keys = ("services", self.name, "image") if "image" in self.given else ("services", self.name)
            raise self.objects.document.error(f"{text} no image specified", *keys)
        try:
            Reference.parse(image)
        except InvalidParameter as error:
            raise self.objects.document.error(f"{text} {error.message}", "services", self.name, "image") from None
        return image

    # ---- the container

    def _container(self, image: str) -> dict[str, Any]:
        given = self.given
        add, drop = capabilities(given.get("cap_add", ()), given.get("cap_drop", ()))
        spec = _given(
            Image=image,
            Labels={**pairs(given.get("labels", {})), **self.objects.label},
            Command=self._try(words, "entrypoint"),
            Args=self._try(words, "command"),
            Hostname=given.get("hostname"),
            Env=self._environment(),
            Dir=given.get("working_dir"),
            User=given.get("user"),
            TTY=given.get("tty"),
            OpenStdin=given.get("stdin_open"),
            ReadOnly=given.get("read_only"),
            Mounts=self._mounts(),
            StopSignal=given.get("stop_signal"),
            Hosts=extra_hosts(given.get("extra_hosts")),
            DNSConfig=_given(Nameservers=texts(given.get("dns")), Search=texts(given.get("dns_search"))),
            Secrets=self._references("secrets"),
            Configs=self._references("configs"),
            Isolation=given.get("isolation"),
            Sysctls=pairs(given.get("sysctls")),
            CapabilityAdd=add,
            CapabilityDrop=drop,
            Ulimits=self._ulimits(),
        )
        spec["Privileges"] = {"CredentialSpec": self._credential(), "SELinuxContext": None, "NoNewPrivileges": False}
        if "init" in given:
            spec["Init"] = given["init"]
        if "stop_grace_period" in given:
            spec["StopGracePeriod"] = self._try(duration_ns, "stop_grace_period")
        if given.get("healthcheck") is not None:
            spec["Healthcheck"] = self._health(given["healthcheck"])
        return spec

    def _environment(self) -> list[str]:
        found: dict[str, str | None] = {}
        files = self.given.get("env_file", ())
        for number, file in enumerate(texts(files)):
            at: tuple[Key, ...] = ("env_file",) if isinstance(files, str) else ("env_file", number)
            path = self.objects.folder / file
            try:
                read = dict(read_variables(path))
            except FileError as error:
                reason = error.message.removeprefix(f"{path}: ").lower()
                raise self._error(f"open {path}: {reason}", *at) from None
            except ValueError as error:
                raise self._error(f"invalid env file ({path}): {error}", *at) from None
            found |= {
                key: value
                for key, value in self._looked_up(read).items()
                if key in self.variables or value is not None
            }
        found |= self._looked_up(optional_pairs(self.given.get("environment")))
        return sorted(key if value is None else f"{key}={value}" for key, value in found.items())

    def _looked_up(self, values: Mapping[str, str | None]) -> dict[str, str | None]:
        """Give variables that have no value the one they have where the file is read."""
        return {key: value or self.variables.get(key, value) for key, value in values.items()}

    def _mounts(self) -> list[dict[str, Any]]:
        volumes = self.objects.document.section("volumes")
        mounts = Mounts(self.objects.stack, volumes, self.objects.label, self.objects.folder)
        return [
            self._try(lambda item: mounts.mount(Volume.parse(item)), "volumes", number) or {}
            for number in range(len(self.given.get("volumes", ())))
        ]

    def _ulimits(self) -> list[dict[str, Any]]:
        limits = self.given.get("ulimits") or {}
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
            field_name: self._try(duration_ns, "healthcheck", key)
            for field_name, key in (
                ("Interval", "interval"),
                ("Timeout", "timeout"),
                ("StartPeriod", "start_period"),
                ("StartInterval", "start_interval"),
            )
        }
        return _given(
            Test=["CMD-SHELL", test] if isinstance(test, str) else list(test),
            Retries=int(check.get("retries", 0)),
            **times,
        )

    def _credential(self) -> dict[str, str] | None:
        given = self.given.get("credential_spec") or {}
        named = [f'"{key.capitalize()}"' for key in ("config", "file", "registry") if given.get(key)]
        if len(named) > 1:
            listed = " and ".join(named) if len(named) == 2 else f"{', '.join(named[:-1])}, and {named[-1]}"
            raise self._error(f"invalid credential spec: cannot specify both {listed}", "credential_spec")
        return {key.capitalize(): value for key, value in given.items() if value} or None

    def _references(self, section: str) -> list[dict[str, Any]]:
        """Give the secrets or configs a service is granted, by name."""
        title = section.removesuffix("s").capitalize()
        taken: dict[str, dict[str, Any]] = {}
        for number, item in enumerate(self.given.get(section, ())):
            grant = {"source": item} if isinstance(item, str) else item
            source = grant.get("source", "")
            at: tuple[Key, ...] = ("services", self.name, section, number)
            if source not in self.objects.document.section(section):
                raise undefined(self.objects.document, section, source, self.name, *at)
            name, target = self.objects.name_of(section, source), grant.get("target") or source
            if target in taken:
                raise self._error(f"duplicate {title.lower()} target for {name} not allowed", section, number)
            taken[target] = {
                "File": {
                    "Name": target,
                    "UID": grant.get("uid") or "0",
                    "GID": grant.get("gid") or "0",
                    "Mode": int(grant.get("mode", _DEFAULT_MODE)),
                },
                f"{title}Name": name,
            }
        found = list(taken.values())
        wanted = (self.given.get("credential_spec") or {}).get("config")
        if section == "configs" and wanted:
            if wanted not in self.objects.document.section("configs"):
                way: tuple[Key, ...] = ("services", self.name, "credential_spec", "config")
                raise undefined(self.objects.document, "configs", wanted, self.name, *way)
            found.append({"Runtime": {}, "ConfigName": self.objects.name_of("configs", wanted)})
        return sorted(found, key=lambda each: str(each[f"{title}Name"]))

    # ---- where it runs and how it is reached

    def _resources(self) -> dict[str, Any]:
        given = self._deploy.get("resources") or {}
        found: dict[str, Any] = {}
        for title, key in (("Limits", "limits"), ("Reservations", "reservations")):
            if given.get(key) is None:
                continue
            at = ("deploy", "resources", key)
            found[title] = _given(
                NanoCPUs=self._try(nano_cpus, *at, "cpus"),
                MemoryBytes=self._try(size_bytes, *at, "memory"),
                Pids=given[key].get("pids"),
                GenericResources=[
                    {"DiscreteResourceSpec": {"Kind": spec.get("kind", ""), "Value": int(spec.get("value", 0))}}
                    for each in given[key].get("generic_resources", ())
                    if (spec := each.get("discrete_resource_spec")) is not None
                ],
            )
        return found

    def _restart(self) -> dict[str, Any] | None:
        policy = self._deploy.get("restart_policy")
        if policy is None:
            return self._old_restart(self.given.get("restart", ""))
        at = ("deploy", "restart_policy")
        attempts = policy.get("max_attempts")
        return {
            "Condition": policy.get("condition", ""),
            **{
                title: self._try(duration_ns, *at, key)
                for title, key in (("Delay", "delay"), ("Window", "window"))
                if key in policy
            },
            **({} if attempts is None else {"MaxAttempts": attempts}),
        }

    def _old_restart(self, text: str) -> dict[str, Any] | None:
        """Read the `restart` of files that are meant for one host (docker/cli `opts.ParseRestartPolicy`)."""
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
        return {"Condition": condition, **_given(MaxAttempts=attempts)}

    def _log_driver(self) -> dict[str, Any] | None:
        given = self.given.get("logging")
        if given is None:
            return None
        return {"Name": given.get("driver", ""), "Options": pairs(given.get("options"))}

    def _placement(self) -> dict[str, Any]:
        given = self._deploy.get("placement") or {}
        return _given(
            Constraints=list(given.get("constraints", ())),
            Preferences=[
                {"Spread": {"SpreadDescriptor": each.get("spread", "")}} for each in given.get("preferences", ())
            ],
            MaxReplicas=given.get("max_replicas_per_node"),
        )

    def _networks(self) -> list[dict[str, Any]]:
        declared = self.objects.document.section("networks")
        found = []
        given = self.given.get("networks")
        for key, use in networks_of(self.given).items():
            if key not in declared and key != DEFAULT_NETWORK:
                place: Key = key if isinstance(given, Mapping) else list(given or ()).index(key)
                keys: tuple[Key, ...] = ("services", self.name, "networks", place)
                raise undefined(self.objects.document, "networks", key, self.name, *keys)
            target = self.objects.name_of("networks", key)
            aliases = list(use.get("aliases", ()))
            if target not in _PREDEFINED:
                aliases.append(self.name)
            options = pairs(use.get("driver_opts"))
            found.append({"Target": target, **_given(Aliases=aliases, DriverOpts=options)})
        return sorted(found, key=lambda each: str(each["Target"]))

    def _ports(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for number in range(len(self.given.get("ports", ()))):
            read = self._try(ports, "ports", number)
            assert read is not None
            found += read[0]
            self.objects.notices += read[1]
        order = ("PublishedPort", "TargetPort", "Protocol", "PublishMode")
        return [_given(**each) for each in sorted(found, key=lambda each: [each[key] for key in order])]

    def _mode(self) -> dict[str, Any]:
        mode, replicas = self._deploy.get("mode", ""), self._deploy.get("replicas")
        if mode in {"global", "global-job"}:
            if replicas is not None:
                text = "replicas can only be used with replicated or replicated-job mode"
                raise self._error(text, "deploy", "replicas")
            return {"Global": {}} if mode == "global" else {"GlobalJob": {}}
        if mode == "replicated-job":
            wanted = {} if replicas is None else {"MaxConcurrent": replicas, "TotalCompletions": replicas}
            return {"ReplicatedJob": wanted}
        if mode not in {"", "replicated"}:
            raise self._error(f"unknown mode: {mode}", "deploy", "mode")
        if replicas is not None and replicas < 0:
            raise self._error("must be greater than or equal to 0", "deploy", "replicas")
        return {"Replicated": {} if replicas is None else {"Replicas": replicas}}

    def _update(self, key: str) -> dict[str, Any] | None:
        given = self._deploy.get(key)
        if given is None:
            return None
        return {
            "Parallelism": given.get("parallelism", 1),
            **_given(
                Delay=self._try(duration_ns, "deploy", key, "delay"),
                FailureAction=given.get("failure_action"),
                Monitor=self._try(duration_ns, "deploy", key, "monitor"),
                Order=given.get("order"),
            ),
            "MaxFailureRatio": given.get("max_failure_ratio", 0),
        }
