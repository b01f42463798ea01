"""`explain`: whether a source reaches a destination, why, and what the lab's configuration says about both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import frozen

from cnmsim.engine.standins.knownport import Provenance
from cnmsim.errors import InvalidParameter
from cnmsim.kernel.address import format_ip
from cnmsim.observe.diagnosis.file_names import in_file_names, names_of
from cnmsim.observe.diagnosis.finding import Finding
from cnmsim.observe.diagnosis.resolv_conf import resolv_conf_facts
from cnmsim.observe.diagnosis.verdict import Verdict
from cnmsim.observe.directory import Directory
from cnmsim.observe.display import Displayable, wrapped
from cnmsim.observe.fixes.search import FailedProbe, FixSearch, Question
from cnmsim.observe.location import Listener, Location, shared_networks
from cnmsim.observe.trace.probe import DEFAULT_TIMEOUT_S
from cnmsim.observe.trace.target import Target, destination_text, split_pair, split_service
from cnmsim.observe.trace.trace import Trace
from cnmsim.observe.trace.tracer import (
    LabView,
    address_towards,
    destination_address,
    directory_of,
    locate,
    location_of,
    run_probe,
)

if TYPE_CHECKING:
    from cnmsim.observe.fixes.fix import Fix


@frozen
class Explanation(Displayable):
    """The answer to the question whether `source` reaches `destination` by `service`, such as `tcp/80` or `icmp`.

    `source` and `destination` are names as in the lab's file. `trace` is the trace of the probe. If the name was not
    found, `by_address` is a second trace, of a probe to the address instead; otherwise it is `None`. `facts` are
    sentences about the configuration of source and destination.
    """

    source: str
    destination: str
    service: str
    trace: Trace
    by_address: Trace | None
    facts: tuple[str, ...]

    @property
    def fixes(self) -> tuple[Fix, ...]:
        """The fixes of the trace (`Trace.fixes`): each was tried on a fork of the lab."""
        return self.trace.fixes

    @property
    def reachable(self) -> bool:
        """Whether the probe succeeded. If the destination was given by name, the name must have been found."""
        return self.trace.is_reachable

    @property
    def finding(self) -> Finding:
        """The verdict with its cause, its remarks and the changes that may help."""
        assert self.trace.finding is not None, "the probe of an explanation has ended"
        return self.trace.finding

    @property
    def verdict(self) -> Verdict:
        """The verdict on the probe."""
        return self.finding.verdict

    @property
    def decided_by(self) -> str:
        """The cause of the outcome as a sentence."""
        return self.finding.cause_text

    @property
    def advice(self) -> str:
        """The changes that may help as a sentence, "" if there are none. Unlike `fixes`, advice is not tried."""
        return self.finding.advice

    def __bool__(self) -> bool:
        return self.reachable

    def __repr__(self) -> str:
        return f"<Explanation {self.source} → {self.destination} {self.service}: {self.verdict.value}>"

    def parts(self, width: int = 100) -> Iterator[str]:
        """Yield the parts of the text, each as soon as it is known: the answer, the fix, then notes and facts.

        The fix comes later than the answer because it is first tried on a fork of the lab. Lines have at most `width`
        columns.
        """
        yield from self.trace.summary_parts(width, has_path=False)
        lines = []
        if self.by_address is not None and self.by_address.finding is not None:
            lines.append(f"by address: {str(self.by_address.finding).splitlines()[0]}")
        lines += [f"fact: {fact}" for fact in self.facts]
        if lines:
            yield "\n".join(part for line in lines for part in wrapped(line, width))

    def __str__(self) -> str:
        return "\n".join(self.parts())

    def to_json(self) -> dict[str, Any]:
        """Return the explanation as a JSON-compatible dict, with its traces."""
        trace = self.trace.to_json()
        return {
            "source": self.source, "destination": self.destination, "service": self.service,
            "reachable": self.reachable, "verdict": self.verdict.value, "decided_by": self.decided_by,
            "assumptions": list(self.finding.assumption_texts),
            "fix": trace["fix"], "advice": trace["advice"], "facts": list(self.facts), "trace": trace,
            "by_address": self.by_address.to_json() if self.by_address else None,
        }  # fmt: skip


def explain(
    lab: LabView, source: object, destination: object, service: str | int | None = None,
    *, port: int | str | None = None, protocol: str | None = None, timeout_s: float = DEFAULT_TIMEOUT_S,
    family: int = 0,
) -> Explanation:  # fmt: skip
    """Send a real probe to find out whether `source` reaches `destination` by `service`.

    `service` is e.g. `"tcp/80"`, `53` or `"icmp"`. Without it the destination may contain the port (`"node1:8080"`,
    `("node1", 8080)`), or `port` states the port; without any port the destination is pinged.

    Source and destination are hosts, containers, sandboxes, endpoints, locations or their names; the destination may
    also be an address or any other name. If the destination is a name, the source looks it up; if it is an object,
    its address is used. Raises `NotFound` or `Conflict` for an unknown or ambiguous source, `InvalidParameter` for an
    invalid destination or service.

    `protocol` is used if the destination or `port` does not state one. `timeout_s` limits the wait for an answer, in
    virtual seconds. `family` (4 or 6) is the IP version to use, 0 for either.
    """
    directory = directory_of(lab)
    names = names_of(directory)
    asker = location_of(directory, source)
    if service is not None:
        split_service(service, port)
        if isinstance(destination, str) and Target.parse(destination).port:
            raise InvalidParameter(f"{destination!r} and service={service!r} both state a port: leave out one")
    destination, port = split_pair(destination, port)
    if service is None:
        named = destination if isinstance(destination, str) else "object"
        probed = Target.parse(destination_text(named, port), protocol)
        service = probed.service
        if isinstance(destination, str):
            destination = probed.host
    own = destination_address(directory, destination, family)
    if own is not None:
        destination = format_ip(own)
    goal = _goal(directory, destination)
    if goal is None:
        target = Target.of_service(str(destination), service)
        walk = run_probe(directory, asker, target, timeout_s=timeout_s, family=family)
        facts = tuple(_facts(asker, None, target, names)) + _name_facts(asker, walk)
        question = Question(asker.lasting_name, target.host, target.service, False, family, timeout_s)
        walk.fix_search = FixSearch(lab, FailedProbe(question, target, walk, directory), repeat, names)
        return Explanation(names.get(asker.name, asker.name), target.host, target.service, walk, None, facts)
    is_name = isinstance(destination, str) and ":" not in destination
    target = Target.of_service(str(destination) if is_name else goal.name, service)
    address = None
    if is_name:
        target, address = locate(directory, asker, target, family)
    else:
        address = address_towards(asker, goal, family)
    walk = run_probe(directory, asker, target, address=address, timeout_s=timeout_s, family=family)
    second = None
    has_address = any(family in {0, 4 if len(address) == 4 else 6} for address in goal.addresses)
    if walk.verdict is Verdict.NAME_NOT_FOUND and has_address:
        own = address_towards(asker, goal, family)
        second = run_probe(directory, asker, target, address=own, timeout_s=timeout_s, family=family)
    facts = tuple(_facts(asker, goal, target, names))
    named = destination if isinstance(destination, str) else goal.lasting_name
    question = Question(
        asker.lasting_name, named, target.service, not isinstance(destination, str), family, timeout_s
    )
    walk.fix_search = FixSearch(lab, FailedProbe(question, target, walk, directory), repeat, names)
    shown = [names.get(location.name, location.name) for location in (asker, goal)]
    return Explanation(shown[0], shown[1], target.service, walk, second, facts)


def repeat(lab: LabView, question: Question) -> Explanation:
    """Run the probe that `question` describes again in `lab`, which may be a fork, and return the new explanation.

    Raises the same errors as `explain`.
    """
    destination = question.destination
    if question.is_place:
        directory = directory_of(lab)
        source, place = directory.find(question.source), directory.find(destination)
        destination = format_ip(address_towards(source, place, question.family))
    return explain(
        lab, question.source, destination, question.service, timeout_s=question.timeout_s, family=question.family
    )


def _goal(directory: Directory, destination: object) -> Location | None:
    if isinstance(destination, str):
        known = directory.matching(destination)
        return known[0] if len(known) == 1 else None
    return location_of(directory, destination)


def _facts(source: Location, goal: Location | None, target: Target, names: Mapping[str, str]) -> Iterator[str]:
    """Yield sentences about the configuration of the source and of the destination.

    `goal` is the destination, `None` if it is no location of the lab; `target` is what was probed. `names` maps the
    engine's names to the names in the Compose file.
    """
    for location in dict.fromkeys((source, goal)):
        if location is not None and location.is_container:
            yield _networks_fact(location, names)
    if goal is None:
        return
    name = names.get(goal.name, goal.name)
    if source.is_container and goal.is_container and source is not goal:
        shared = ", ".join(names.get(network, network) for network in shared_networks(source, goal))
        yield f"shared networks: {shared or 'none'}"
    heard = [item for item in goal.services if target.protocol in {item.protocol, "icmp"}]
    yield in_file_names(f"{name} listens on {', '.join(_listening(heard)) or 'nothing'}", names)
    published: dict[str, dict[str, None]] = {}
    for item in goal.published:
        port = f"{item.port}/{item.protocol} as port {item.host_port}"
        published.setdefault(port, {})[item.host_ip or "every address"] = None
    for port, addresses in published.items():
        yield f"{name} publishes {port} of {' and '.join(addresses)}"


def _listening(listeners: Sequence[Listener]) -> Iterator[str]:
    """Yield one text for each program, with the ports on which it listens, e.g. `80/tcp (nginx)`.

    The address is included too, except for a program that listens on every IPv4 and IPv6 address.
    """
    ports: dict[str, dict[str, None]] = {}
    wildcards = {(item.protocol, item.port) for item in listeners if item.address == bytes(16)}
    for item in listeners:
        is_any = not any(item.address) and (item.protocol, item.port) in wildcards
        text = f"{item.port if is_any else item}/{item.protocol}"
        ports.setdefault(f" ({item.program}{_certainty(item)})" if item.program else "", {})[text] = None
    for program, texts in ports.items():
        yield f"{', '.join(texts)}{program}"


def _certainty(listener: Listener) -> str:
    return "" if listener.provenance is Provenance.RECORDED else f", {listener.provenance.value}"


def _name_facts(source: Location, walk: Trace) -> tuple[str, ...]:
    """Return one sentence for each line of the source's resolv.conf that says where the line comes from.

    `walk` is the trace of the probe. The result is empty if the probe found the name, or if the source is a host.
    """
    is_of_interest = source.is_container and walk.verdict is Verdict.NAME_NOT_FOUND
    return resolv_conf_facts(source.files) if is_of_interest else ()


def _networks_fact(location: Location, names: Mapping[str, str]) -> str:
    name = names.get(location.name, location.name)
    if not location.attachments:
        return f"{name} is on no network of its own"
    texts = [
        names.get(item.network, item.network)
        + (" (internal)" if item.is_internal else "")
        + "".join(f" {format_ip(address)}" for address in item.addresses)
        for item in location.attachments
    ]
    return f"{name} is on {', '.join(texts)}"
