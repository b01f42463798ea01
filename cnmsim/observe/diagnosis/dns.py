"""Diagnose a name that was not found: what the name servers answered, and on which networks the name exists."""

from __future__ import annotations

from cnmsim.kernel.address import format_ip
from cnmsim.kernel.events import Reporter, UpstreamSkipped
from cnmsim.observe.diagnosis.causes.base import Cause, Fact, Remark
from cnmsim.observe.diagnosis.causes.filters import NoSharedNetwork
from cnmsim.observe.diagnosis.causes.lookups import (
    ContainerNameOnHost,
    ContainerStopped,
    NameServerSilent,
    NameServerUnusable,
    NoDockerNetwork,
    NoNetwork,
    NotByThatName,
    ProfileInactive,
    QueryDropped,
    ResolverAnswered,
    SameNameOnOtherHost,
    SharesStack,
    UpstreamNotReached,
    UpstreamResult,
)
from cnmsim.observe.diagnosis.causes.remarks import LookupQueries
from cnmsim.observe.diagnosis.diagnosis import (
    Diagnosis,
    ask_own_host,
    diagnosis,
    drop_of,
    join_a_network,
    join_user_network,
    leave_internal_network,
    networks_of,
    start_again,
)
from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext
from cnmsim.observe.diagnosis.finding import Finding
from cnmsim.observe.diagnosis.verdict import Verdict
from cnmsim.observe.directory import stack_owner
from cnmsim.observe.fixes.changes import (
    HOST_NAME,
    AskOther,
    Change,
    ConnectNetwork,
    ContainerOption,
    Manual,
    PublishPort,
    RecreateContainer,
    Steps,
)
from cnmsim.observe.fixes.tasks import Task
from cnmsim.observe.location import Location, Published, shared_networks
from cnmsim.observe.trace.lookup import LookupResult
from cnmsim.underlay.nameserver import is_public_name


def _unknown_service(context: DiagnosisContext, name: str) -> Diagnosis | None:
    if not context.directory.swarms:
        return None
    from cnmsim.observe.diagnosis.service import unknown_service

    return unknown_service(context, name)


def name_not_found(context: DiagnosisContext, verdict: Verdict) -> Finding:
    """Return the finding, with the given verdict, for a name lookup that returned no address."""
    name, source = context.target.host, context.source
    lookup = context.outcome.lookup
    hop = next((hop for hop in reversed(context.hops) if hop.layer4.is_dns), None)
    if lookup is None or lookup.is_silent:
        result = _silent_resolver(context)
        where = context.lookup_drops[-1] if context.lookup_drops and isinstance(result.cause, QueryDropped) else hop
        return Finding(verdict, result.cause, result.changes, _queries(context), where)
    query = lookup.queries[-1]
    by_swarm = _unknown_service(context, name)
    if by_swarm is not None:
        cause: Cause = ResolverAnswered(query.server, query.result, query.name, by_swarm.cause)
        return Finding(verdict, cause, by_swarm.changes, _queries(context), hop)
    existing = next((each for each in lookup.queries if each.outcome is LookupResult.NO_RECORD), None)
    if existing is not None:
        cause = ResolverAnswered(existing.server, existing.result, existing.name, Fact.OTHER_IP_VERSION)
        return Finding(verdict, cause, (), _queries(context), hop)
    is_known = (
        context.directory.matching(name) or name in context.directory.stopped or name in context.directory.inactive
    )
    if query.outcome is LookupResult.FAILED and not is_known:
        where = context.lookup_drops[-1] if context.lookup_drops else hop
        cause = ResolverAnswered(query.server, query.result, query.name, _upstream(context))
        return Finding(verdict, cause, _other_server(context), _queries(context), where)
    result = _why_unknown(context, source, name)
    cause = ResolverAnswered(query.server, query.result, query.name, result.cause)
    return Finding(verdict, cause, result.changes, _queries(context), hop)


def _upstream(context: DiagnosisContext) -> Cause | None:
    """Return the cause that describes the embedded resolver's own query to an upstream server.

    Return `None` if the trace does not show what happened to that query.
    """
    if context.lookup_drops:
        hop = context.lookup_drops[-1]
        servers = sorted({drop.destination_text for drop in context.lookup_drops})
        return UpstreamNotReached(tuple(servers), drop_of(context, hop))
    notes = [
        hop for hop in context.hops if hop.detail is Reporter.RESOLVER or isinstance(hop.detail, UpstreamSkipped)
    ]
    if notes and isinstance(notes[-1].detail, UpstreamSkipped):
        return Fact.NO_UPSTREAM_USABLE
    return UpstreamResult(notes[-1].what) if notes else None


def _other_server(context: DiagnosisContext) -> tuple[Change, ...]:
    source = context.source
    if source.attachments and all(item.is_internal for item in source.attachments):
        return (leave_internal_network(context.directory, context.source),)
    return _name_server(source)


def _name_server(source: Location) -> tuple[Change, ...]:
    server = Manual(Task.USE_DNS_SERVER)
    if not source.is_container:
        return (server,)
    return server, RecreateContainer(source.host, source.name, ContainerOption.NO_DNS)


def _queries(context: DiagnosisContext) -> tuple[Remark, ...]:
    queries = context.outcome.queries
    if len({query.name for query in queries}) < 2:
        return ()
    return (LookupQueries(tuple(map(str, queries)), is_failure=True),)


def _silent_resolver(context: DiagnosisContext) -> Diagnosis:
    queries = context.outcome.queries
    servers = tuple(dict.fromkeys(query.server for query in queries))
    source, name = context.source, context.target.host
    has_no_names = not source.is_container or (
        bool(source.attachments) and all(item.is_default for item in source.attachments)
    )
    if has_no_names and any(item.is_container for item in context.directory.matching(name)):
        result = _why_unknown(context, source, name)
        return Diagnosis(NameServerSilent(servers, result.cause), result.changes)
    if context.lookup_drops:
        hop = context.lookup_drops[-1]
        cause: Cause = QueryDropped(source.name, servers, drop_of(context, hop))
        return Diagnosis(cause, _name_server(source))
    errors = {query.result for query in queries if query.outcome is LookupResult.ERROR}
    if len(errors) == 1 and all(query.outcome is LookupResult.ERROR for query in queries):
        cause = NameServerUnusable(source.name, servers, errors.pop(), has_network=bool(source.attachments))
        if source.is_container and not source.attachments:
            return diagnosis(cause, join_a_network(source, *context.directory.matching(name)))
        return Diagnosis(cause, _name_server(source))
    return Diagnosis(NameServerSilent(servers), _name_server(source))


def _why_unknown(context: DiagnosisContext, source: Location, name: str) -> Diagnosis:
    status = context.directory.stopped.get(name)
    if status:
        return _stopped(context, name, status)
    if name in context.directory.inactive:
        profile = context.directory.inactive[name][0]
        return diagnosis(ProfileInactive(name, profile), Manual(Task.ACTIVATE_PROFILE, profile))
    owners = context.directory.matching(name)
    if source in owners and source.is_container and (own := stack_owner(source, context.directory)) is not None:
        return _in_other_stack(source, source, own, context.target.port)
    owners = tuple(item for item in owners if item is not source)
    if not owners:
        return _no_such_name(context, source, name)
    owner = owners[0]
    if not source.is_container:
        return Diagnosis(ContainerNameOnHost(name), _reach_from_outside(context, owner))
    stack = stack_owner(owner, context.directory)
    if stack is not None:
        return _in_other_stack(source, owner, stack, context.target.port)
    if owner.is_container and not owner.attachments:
        return diagnosis(NoNetwork(owner.name), Manual(Task.USE_SHARED_NETWORK, owner.name, source.name))
    if not source.attachments:
        at_host = [item for item in _bindings(context, owner) if source.host == owner.host]
        if source.network_mode == "host" and at_host:
            best = min(at_host, key=lambda item: item.own_name != "localhost")
            return diagnosis(NoDockerNetwork(source.name), AskOther(best.own_name, best.host_port, is_published=True))
        return Diagnosis(NoDockerNetwork(source.name), _reach_from_outside(context, owner))
    if owner.is_container and all(item.is_default for item in source.attachments):
        return diagnosis(Fact.DEFAULT_BRIDGE_HAS_NO_NAMES, join_user_network(context, owner))
    return _by_networks(context, source, owner)


def _by_networks(context: DiagnosisContext, source: Location, owner: Location) -> Diagnosis:
    namesakes = {item.network for item in source.attachments} & {item.network for item in owner.attachments}
    shared = shared_networks(source, owner)
    if namesakes and source.host != owner.host and not shared:
        cause: Cause = SameNameOnOtherHost(owner.name, owner.host, min(namesakes), source.host)
        changes = _reach_from_outside(context, owner, can_use_address=False)
        return diagnosis(cause, *changes, Manual(Task.USE_OVERLAY))
    if owner.is_container and not shared:
        cause = NoSharedNetwork(source.name, networks_of(source), owner.name, networks_of(owner))
        network = next((item.network for item in owner.attachments if not item.is_default), "")
        return diagnosis(cause, ConnectNetwork(source.host, network, source.name))
    return diagnosis(NotByThatName(owner.label, source.name), AskOther(owner.name))


def _stopped(context: DiagnosisContext, name: str, status: str) -> Diagnosis:
    """Diagnose a name whose container is not running, for instance because another one has its port."""
    found = [item for item in context.directory.stopped_containers if name in {item.name, item.service}]
    host = found[0].host if len(found) == 1 else context.source.host
    if len(found) != 1 or not found[0].taken_port:
        container = found[0].name if found else name
        return diagnosis(ContainerStopped(name, status), *start_again(host, container, status))
    item, port = found[0], found[0].taken_port
    owner = item.network_mode.removeprefix("container:")
    on_host = [other for other in context.directory.locations if other.host == host]
    sharing = [other for other in on_host if item.network_mode == other.network_mode]
    sharing += [other for other in on_host if other.id == owner]
    holder = next((other.name for other in sharing if any(own.port == port for own in other.services)), "")
    cause = ContainerStopped(name, status, port, holder)
    machine = next((other for other in context.directory.locations if other.name == host), None)
    if item.network_mode != "host" or machine is None:
        return diagnosis(cause, Manual(Task.USE_OTHER_PORT, item.name))
    free = next(number for number in range(port + 1, 65536) if not machine.listening_on("tcp", number))
    leave = RecreateContainer(host, item.name, ContainerOption.BRIDGE_NETWORK)
    published = PublishPort(host, item.name, port, free)
    return diagnosis(cause, Steps((leave, published, AskOther(host, free))), Manual(Task.USE_OTHER_PORT, item.name))


def _in_other_stack(source: Location, owner: Location, stack: Location, port: int) -> Diagnosis:
    """Diagnose a name that was not found because its container `owner` uses the network stack of `stack`.

    `stack` is another container or a host. Docker registers no name for a container without a stack of its own.
    """
    if source.namespace is owner.namespace:
        is_host = not stack.is_container
        return diagnosis(SharesStack(owner.name, stack.name, is_host=is_host), AskOther("localhost"))
    if not stack.is_container:
        cause = SharesStack(owner.name, stack.name, is_host=True)
        return diagnosis(cause, *ask_own_host(source, port))
    return diagnosis(SharesStack(owner.name, stack.name, is_host=False), AskOther(stack.service or stack.name))


def _reach_from_outside(
    context: DiagnosisContext, owner: Location, *, can_use_address: bool = True
) -> tuple[Change, ...]:
    for item in _bindings(context, owner):
        if not item.is_loopback_only:
            return (AskOther(owner.host, item.host_port, is_published=True),)
    publish = Manual(Task.PUBLISH_ANY_PORT, owner.name)
    if can_use_address and owner.addresses:
        return publish, AskOther(format_ip(owner.addresses[0]))
    return (publish,)


def _bindings(context: DiagnosisContext, owner: Location) -> list[Published]:
    """Return the bindings by which a container publishes the target's port."""
    asked = (context.target.protocol, context.target.port)
    return [item for item in owner.published if (item.protocol, item.port) == asked]


def _no_such_name(context: DiagnosisContext, source: Location, name: str) -> Diagnosis:
    close, _image = context.directory.similar(name, source)
    if name == HOST_NAME and source.is_container:
        return diagnosis(Fact.NAME_UNKNOWN, *ask_own_host(source, context.target.port))
    if context.directory.is_offline and is_public_name(name):
        task = Manual(Task.LEAVE_OUT_OFFLINE)
    else:
        task = Manual(Task.CHECK_SPELLING) if "." in name else Manual(Task.CHECK_DOMAIN, name)
    return diagnosis(Fact.NAME_UNKNOWN, *([AskOther(close)] if close else []), task)
