"""Reachability policies of a lab, checked by real packets.

A policy file is YAML. Every key is optional. A section left out is not checked, but an empty `allow` allows nothing.

Example::

    groups:
      front: [proxy, "web-*"]
    allow:
      - front -> api:8080
      - {from: api, to: ["db:5432", "cache:6379"]}
    require:
      - api -> db:5432
    outside: ["proxy:80"]
    names:
      api: [db, cache]
    unknown_names:
      front: [db]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, evolve

from cnmsim.errors import FileError, InvalidParameter, NotFound
from cnmsim.lab.schema import check
from cnmsim.lab.yamlfile import load_yaml
from cnmsim.observe.diagnosis.file_names import in_file_names, names_of
from cnmsim.observe.diagnosis.verdict import Verdict
from cnmsim.observe.directory import Directory
from cnmsim.observe.location import Location
from cnmsim.observe.trace.target import Target
from cnmsim.observe.trace.tracer import address_towards, directory_of, run_probe
from cnmsim.observe.views.rules import lookup
from cnmsim.suggestion import suggestion
from cnmsim.testing.assertions import paths_from_outside
from cnmsim.testing.policy_flow import POLICY, Flow, is_meant, members_of, read_flow, read_flows
from cnmsim.testing.policy_jobs import (
    is_unknown,
    not_running,
    resume_jobs,
    sources_not_running,
    target_not_running,
)
from cnmsim.testing.policy_report import Finding, Report

if TYPE_CHECKING:
    from cnmsim.lab import Lab
    from cnmsim.observe.reachability.matrix import Reachability
    from cnmsim.observe.trace.trace import Trace

_ANY = "*"


@define
class Policy:
    """A policy. Read one by `load`, and check a lab against it by `check`."""

    groups: dict[str, list[str]]
    allow: tuple[Flow, ...] | None
    require: tuple[Flow, ...]
    outside: tuple[Flow, ...] | None
    names: dict[str, list[str]]
    unknown_names: dict[str, list[str]]

    @classmethod
    def load(cls, path: str | Path) -> Policy:
        """Read a policy file. Raises `OSError`, or `FileError` with the line and the key that are invalid."""
        document = load_yaml(Path(path))
        return cls.of({} if document is None else document, str(path))

    @classmethod
    def of(cls, document: Any, path: str = "policy") -> Policy:
        """Read a policy from a dict that has the structure of a policy file.

        Raises `FileError`, which names `path` as the file.
        """
        check(document, POLICY, path)
        is_given = any(document.get(key) is not None for key in ("allow", "outside"))
        if not is_given and not any(document.get(key) for key in ("require", "names", "unknown_names")):
            raise FileError(
                "the policy checks nothing: state allow, require, outside, names or unknown_names", path=path
            )

        def flows(key: str) -> tuple[Flow, ...]:
            return tuple(
                flow
                for number, item in enumerate(document.get(key, ()))
                for flow in read_flows(document, item, (key, number), path)
            )

        return cls(
            _lists(document.get("groups")),
            flows("allow") if "allow" in document else None,
            flows("require"),
            None if "outside" not in document else tuple(
                read_flow(_ANY, text, document, ("outside", number), path)
                for number, text in enumerate(document["outside"])
            ),
            _lists(document.get("names")),
            _lists(document.get("unknown_names")),
        )  # fmt: skip

    def check(self, lab: Lab) -> Report:
        """Check a lab against the policy. Probes run on a fork of the lab, which itself stays unchanged.

        A requirement of a container that is not running is violated, also if a group or pattern names the container.
        One of a job, whose program ended without an error, is asked from a container that replaces it. Raises
        `NotFound` for a name that matches nothing in the lab, `Unavailable` for a lab that cannot be forked, and
        `InvalidParameter` for a group that has no members or contains itself, or if there is nothing to check,
        because every connection is allowed or nothing listens.
        """
        names = names_of(directory_of(lab))
        findings = tuple(
            evolve(
                finding,
                subject=in_file_names(finding.subject, names),
                message=in_file_names(finding.message, names),
            )
            for finding in self._findings(*self._with_jobs(lab))
        )
        if not findings:
            raise InvalidParameter("the policy checks nothing: every connection of this lab is allowed by it")
        return Report(findings)

    def _with_jobs(self, lab: Lab) -> tuple[Lab, frozenset[str]]:
        """Return a fork of the lab in which the jobs run of which something is required, and their labels."""
        fork = lab.fork()
        askers = [*(flow.source for flow in self.require), *self.names, *self.unknown_names]
        return fork, resume_jobs(fork, {member for name in askers for member in members_of(name, self.groups)})

    def _findings(self, lab: Lab, jobs: frozenset[str]) -> Iterator[Finding]:
        directory = directory_of(lab)
        self._require_known(directory)
        protocols = ("tcp", "udp")
        if self.allow is not None or self.require:
            matrix = lab.reachability(protocols=protocols)
            yield from self._demands(lab, directory, matrix, jobs)
            if self.allow is not None:
                by_address = lab.reachability(protocols=protocols, by="address")
                yield from self._nobody_else(matrix, by_address, jobs)
        if self.outside is not None:
            yield from self._from_outside(lab, directory, jobs)
        yield from self._names(lab, directory, jobs)

    def _require_known(self, directory: Directory) -> None:
        flows = (*(self.allow or ()), *self.require, *(self.outside or ()))
        names = [name for flow in flows for name in (flow.source, flow.target)] + [*self.names, *self.unknown_names]
        for group, members in self.groups.items():
            if not members:
                raise InvalidParameter(f"group {group} has no members")
            for member in members_of(group, self.groups):
                if is_unknown(directory, member) and not not_running(directory, member):
                    if member in self.groups:
                        raise InvalidParameter(f"group {member} contains itself")
                    holder = next(name for name, listed in self.groups.items() if member in listed)
                    known = {*self.groups, *(location.service or location.name for location in directory.locations)}
                    raise NotFound(
                        f"group {holder}: nothing in the lab is named {member!r}{suggestion(member, known)}"
                    )
        for name in names:
            if name == _ANY or name in self.groups or not is_unknown(directory, name):
                continue
            if not not_running(directory, name):
                found = directory.find(name)  # raises NotFound, which suggests similar names
                raise NotFound(f"a policy does not accept the name {name!r}: write {found.service or found.name}")

    def _demands(
        self, lab: Lab, directory: Directory, matrix: Reachability, jobs: frozenset[str]
    ) -> Iterator[Finding]:
        locations = _by_name(matrix)
        for flow in self.require:
            pairs = [
                (source, service)
                for source in matrix.sources
                for service, (location, protocol, port) in locations.services.items()
                if locations.of[source] is not location
                and flow.covers(locations.of[source], location, protocol, port, self.groups)
            ]
            ended = list(self._ended(directory, flow, jobs))
            yield from ended
            if not pairs:
                unlisted = list(self._unlisted_demands(lab, directory, flow, jobs))
                yield from unlisted or ([] if ended else [_nothing(flow)])
            for source, service in pairs:
                subject, verdict = f"{source} -> {service}", matrix.verdict(source, service)
                if verdict.is_reachable:
                    yield Finding("require", subject, passed=True, found=verdict.value)
                else:
                    yield _failed(subject, source, service, flow, matrix.walk(source, service))

    def _ended(self, directory: Directory, flow: Flow, jobs: frozenset[str]) -> Iterator[Finding]:
        """Yield a finding for every source and target of a required flow of which one is not running.

        It is a violation, except for a job that cannot be started again.
        """
        port = flow.text.removeprefix(f"{flow.source} -> {flow.target}")
        for member in members_of(flow.source, self.groups):
            for target in members_of(flow.target, self.groups):
                if member == target and flow.source in self.groups:  # members need not reach themselves
                    continue
                of_target = target_not_running(directory, target, jobs)
                for source, reason, has_ended in sources_not_running(directory, member, jobs) or [
                    (member, "", False)
                ]:
                    subject = f"{source} -> {target}{port}"
                    if of_target or (reason and not has_ended):
                        message = reason if reason and not has_ended else of_target
                        yield Finding("require", subject, passed=False, message=message, found="not running")
                    elif reason:
                        yield _cannot_ask("require", subject, source)

    def _nobody_else(self, matrix: Reachability, by_address: Reachability, jobs: frozenset[str]) -> Iterator[Finding]:
        """Yield a finding for every running source and service whose connection the policy does not allow.

        The check passes if the source reaches the service neither by name (`matrix`) nor by address (`by_address`).
        """
        locations = _by_name(matrix)
        allowed = (*(self.allow or ()), *self.require)
        for source in matrix.sources:
            for service, (location, protocol, port) in _once(locations.services).items():
                asker = locations.of[source]
                # Containers in one network namespace reach each other's programs by loopback, whatever Docker does.
                if (
                    asker.label in jobs
                    or asker.namespace is location.namespace
                    or any(
                        flow.covers(asker, sharing, protocol, port, self.groups)
                        for flow in allowed
                        for sharing in _sharing(locations, location)
                    )
                ):
                    continue
                reaching = [one for one in (matrix, by_address) if one.reaches(source, service)]
                message = f"{source} reaches {service}, which the policy does not allow" if reaching else ""
                walk = reaching[0].walk(source, service) if reaching else None
                found = (reaching or [matrix])[0].verdict(source, service).value
                yield Finding("deny", f"{source} -> {service}", not reaching, message, walk, found)

    def _unlisted_demands(
        self, lab: Lab, directory: Directory, flow: Flow, jobs: frozenset[str]
    ) -> Iterator[Finding]:
        """Yield the results of checks of a required flow to a port on which no program is known to listen.

        If it is not known whether one does, the check passes if the probe succeeds; in a strict lab it fails.
        """
        if flow.port is None:
            return
        protocol = flow.protocol or "tcp"
        pairs = [
            (source, target)
            for source in directory.locations
            for target in directory.locations
            if target.namespace is not source.namespace
            and target.label not in jobs
            and flow.covers(source, target, protocol, flow.port, self.groups)
        ]
        is_single = len(pairs) == 1
        for source, target in pairs:
            if not is_single and not target.is_open_to(protocol, flow.port):
                continue
            probe = Target(target.name, flow.port, protocol)
            is_open = target.is_open_to(protocol, flow.port)
            address = address_towards(source, target) if is_open else None
            walk = run_probe(directory, source, probe, address=address, timeout_s=1.0)
            service = f"{target.name}:{flow.port}{'' if protocol == 'tcp' else f'/{protocol}'}"
            subject = f"{source.name} -> {service}"
            if walk.is_reachable and not (lab.images.is_strict and walk.verdict is Verdict.PATH_OPEN):
                yield Finding("require", subject, passed=True, found=walk.verdict.value)
            else:
                yield _failed(subject, source.name, service, flow, walk)

    def _from_outside(self, lab: Lab, directory: Directory, jobs: frozenset[str]) -> Iterator[Finding]:
        for location in directory.locations:
            if not location.is_container or location.label in jobs:
                continue
            closed = [
                f"{socket.protocol}/{socket.port}"
                for socket in location.services
                if not socket.is_loopback_only and not self._is_open(location, socket.protocol, socket.port)
            ]
            published = {
                (port.host_ip, port.host_port, port.protocol)
                for port in location.published
                if self._is_open(location, port.protocol, port.port)
            }
            paths = [
                (source, walk)
                for source, _, walk in paths_from_outside(lab, location, ports=dict.fromkeys(closed))
                if not _is_published_way(walk.question, published)
            ]
            if not paths:
                yield Finding("outside", location.name, passed=True, found="not reached")
                continue
            sources = ", ".join(dict.fromkeys(source.name for source, _ in paths))
            reached = f"reached at {', '.join(dict.fromkeys(_endpoint(walk.question) for _, walk in paths))}"
            if not any(walk.is_reachable for _, walk in paths):
                reached += f" ({paths[0][1].verdict.value})"
            message = f"{location.name} is {reached} from outside (by {sources}), which the policy does not allow"
            yield Finding(
                "outside", location.name, passed=False, message=message, evidence=paths[0][1], found=reached
            )

    def _is_open(self, location: Location, protocol: str, port: int) -> bool:
        return any(
            flow.port in {None, port}
            and flow.protocol in {None, protocol}
            and is_meant(flow.target, location, self.groups)
            for flow in self.outside or ()
        )

    def _names(self, lab: Lab, directory: Directory, jobs: frozenset[str]) -> Iterator[Finding]:
        for kind, expected in (("names", self.names), ("unknown_names", self.unknown_names)):
            for who, names in expected.items():
                for member in members_of(who, self.groups):
                    for source, reason, has_ended in sources_not_running(directory, member, jobs):
                        yield from (
                            _cannot_ask(kind, f"{source}: {name}", source)
                            if has_ended
                            else Finding(kind, f"{source}: {name}", passed=False, message=reason, found="not running")
                            for name in names
                        )
                for location in directory.locations:
                    if location.is_container and is_meant(who, location, self.groups):
                        yield from (_name_finding(lab, location, name, kind) for name in names)


@define
class _Stations:
    of: dict[str, Location]
    services: dict[str, tuple[Location, str, int]]


def _by_name(matrix: Reachability) -> _Stations:
    return _Stations(
        {name: matrix.source(name) for name in matrix.sources},
        {name: matrix.service(name) for name in matrix.services},
    )


def _cannot_ask(kind: str, subject: str, source: str) -> Finding:
    """Return the finding of a job that has ended and cannot be started again."""
    message = f"{subject} cannot be asked: {source} has ended, without an error"
    return Finding(kind, subject, passed=True, message=message, found="has ended", skipped=True)


def _nothing(flow: Flow) -> Finding:
    """Return the finding of a required flow that no probe can check."""
    message = f"{flow.text}: nothing listens there"
    return Finding("require", flow.text, passed=False, message=message, found="nothing listens")


def _failed(subject: str, source: str, service: str, flow: Flow, walk: Trace) -> Finding:
    """Return the finding of a required flow whose probe `walk` failed, or reached a program that is only assumed."""
    cause = walk.finding.cause_text if walk.finding is not None else walk.verdict.value
    claim = f"it is not known whether {source} reaches" if walk.is_reachable else f"{source} does not reach"
    message = f"{claim} {service}, which the policy requires ({flow.text}): {cause}"
    return Finding("require", subject, passed=False, message=message, evidence=walk, found=walk.verdict.value)


def _sharing(locations: _Stations, location: Location) -> list[Location]:
    """Return a container and all others in its network namespace: its name also leads to their ports.

    For a container in its host's network namespace, return only the container itself.
    """
    if location.network_mode == "host" or not location.is_container:
        return [location]
    return [other for other in locations.of.values() if other.namespace is location.namespace]


def _once(services: Mapping[str, tuple[Location, str, int]]) -> dict[str, tuple[Location, str, int]]:
    """Return the services without duplicates by containers that share a network namespace.

    If several of them list the same port, the entries of the containers that joined the namespace are kept, and that
    of the container that owns it is left out.
    """
    shared = {
        (id(location.namespace), protocol, port)
        for location, protocol, port in services.values()
        if location.network_mode.startswith("container:")
    }
    return {
        name: (location, protocol, port)
        for name, (location, protocol, port) in services.items()
        if location.network_mode.startswith("container:") or (id(location.namespace), protocol, port) not in shared
    }


def _is_published_way(question: Mapping[str, Any], published: set[tuple[str, int, str]]) -> bool:
    return any(
        question["port"] == port
        and question["protocol"] == protocol
        and host in {"", "0.0.0.0", "::", question["destination"]}  # noqa: S104 - compared, not bound
        for host, port, protocol in published
    )


def _endpoint(question: Mapping[str, Any]) -> str:
    """Return the address and port of a probe as a policy writes them: `192.0.2.1:80`, `[2001:db8::1]:53/udp`."""
    address, port, protocol = question["destination"], question["port"], question["protocol"]
    text = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    return text if protocol == "tcp" else f"{text}/{protocol}"


def _name_finding(lab: Lab, location: Location, name: str, kind: str) -> Finding:
    found = lookup(lab, location, name)
    is_wanted = kind == "names"
    passed = bool(found) is is_wanted
    shown = ", ".join(found.addresses)
    text = (
        f"{location.name} finds no address for {name}" if is_wanted else f"{location.name} knows {name}, as {shown}"
    )
    return Finding(
        kind, f"{location.name}: {name}", passed, "" if passed else text, None if passed else found.questions,
        shown or "not found",
    )  # fmt: skip


def _lists(entries: Mapping[str, Any] | None) -> dict[str, list[str]]:
    return {name: [value] if isinstance(value, str) else list(value) for name, value in (entries or {}).items()}


def check_policy(lab: Lab, policy: str | Path | Mapping[str, Any]) -> Report:
    """Check a lab against a policy, given as the path of a file or as a dict with the file's content.

    Raises `InvalidParameter` if there is no such file, and the errors of `Policy.load` and `Policy.check`.
    """
    if isinstance(policy, Mapping):
        return Policy.of(dict(policy)).check(lab)
    if not Path(policy).exists():
        raise InvalidParameter(f"there is no policy file {policy}")
    return Policy.load(policy).check(lab)
