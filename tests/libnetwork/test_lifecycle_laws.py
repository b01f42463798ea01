"""Laws of the life of networks and endpoints, whatever the order in which they come and go."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from support.docker_host import VERSIONS, DockerHost

from cnmsim.errors import EngineError

NETWORKS = {
    "plain": ((), {}),
    "other": ((), {}),
    "inner": ((), {"internal": True}),
    "six": (("10.60.0.0/29", "fd00:60::/64"), {"enable_ipv6": True}),
    "tiny": (("10.61.0.0/30",), {}),
}
CONTAINERS = {"a": ("8080:80",), "b": ("8080:80", "53/udp"), "c": ()}

steps = st.lists(
    st.one_of(
        st.tuples(st.just("run"), st.sampled_from(sorted(CONTAINERS)), st.sampled_from(sorted(NETWORKS))),
        st.tuples(st.just("connect"), st.sampled_from(sorted(CONTAINERS)), st.sampled_from(sorted(NETWORKS))),
        st.tuples(st.just("disconnect"), st.sampled_from(sorted(CONTAINERS)), st.sampled_from(sorted(NETWORKS))),
        st.tuples(st.just("remove"), st.sampled_from(sorted(CONTAINERS)), st.just("")),
    ),
    max_size=12,
)


def take(host: DockerHost, step: tuple[str, str, str]) -> None:
    verb, name, network = step
    if verb == "run":
        if name not in host.sandboxes:
            host.run(name, network, *CONTAINERS[name])
    elif name not in host.sandboxes:
        return
    elif verb == "remove":
        host.remove(name)
    elif verb == "connect":
        host.connect(name, network)
    elif host.controller.find_network(network).endpoint_by_name(name) is not None:
        host.disconnect(name, network)


def prepared(version: str) -> DockerHost:
    host = DockerHost(version)
    for name, (subnets, options) in NETWORKS.items():
        host.network(name, *subnets, **options)
    return host


@settings(max_examples=40, deadline=None)
@given(version=st.sampled_from(VERSIONS), program=steps)
def test_whatever_is_refused_changes_nothing_and_whatever_is_removed_leaves_nothing(
    version: str, program: list[tuple[str, str, str]]
) -> None:
    host = prepared(version)
    fresh = host.snapshot()
    for step in program:
        before = host.snapshot()
        try:
            take(host, step)
        except EngineError:
            assert _unordered(host.snapshot()) == _unordered(before)
    for name in list(host.sandboxes):
        host.remove(name)
    assert host.snapshot() == fresh


def _unordered(snapshot: tuple[object, ...]) -> tuple[object, ...]:
    # Rules that were taken away and put back stand in another place of their chain.
    devices, rules, *rest = snapshot
    assert isinstance(rules, list)
    return devices, [sorted(text.splitlines()) for text in rules], *rest


@settings(max_examples=25, deadline=None)
@given(version=st.sampled_from(VERSIONS), program=steps)
def test_every_joined_sandbox_has_its_addresses_routes_and_one_default(
    version: str, program: list[tuple[str, str, str]]
) -> None:
    host = prepared(version)
    for step in program:
        try:
            take(host, step)
        except EngineError:
            continue
    for sandbox in host.sandboxes.values():
        namespace = sandbox.namespace
        assert namespace is not None
        assert set(namespace.devices) == {"lo", *(endpoint.interface_name for endpoint in sandbox.endpoints)}
        for endpoint in sandbox.endpoints:
            assert endpoint.ipv4 is not None
            assert namespace.is_local(endpoint.ipv4[0])
        defaults = [route for route in namespace.routes4.routes if not route.prefix.length]
        leads_out = any(not endpoint.network.internal for endpoint in sandbox.endpoints)
        assert len(defaults) == leads_out
        published = {binding.host_port for binding in sandbox.port_map if binding.protocol == "tcp"}
        wanted = {binding.host_port for binding in sandbox.options.port_bindings if binding.protocol == "tcp"}
        assert published == (wanted if leads_out else set())
