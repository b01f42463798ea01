"""Which of a service's published ports are kept and which are allocated anew: swarmkit's own tables.

Facts from moby/swarmkit `manager/allocator/portallocator_test.go` and `portallocator.go`.
"""

from __future__ import annotations

import pytest

from cnmsim.swarm.allocator import PortAllocator
from cnmsim.swarm.allocator.bitmap import BitUnavailable
from cnmsim.swarm.objects import Endpoint, EndpointSpec, PortConfig, PublishMode, Service, ServiceSpec

Ports = list[PortConfig]
UDP = "udp"


def ingress(name: str, target: int, published: int = 0, protocol: str = "tcp") -> PortConfig:
    return PortConfig(name, protocol, target, published)


def host(name: str, target: int, published: int = 0, protocol: str = "tcp") -> PortConfig:
    return PortConfig(name, protocol, target, published, PublishMode.HOST)


def service(spec: Ports | None, endpoint: Ports | None) -> Service:
    """Return a service whose spec asks for the ports `spec`, and which has the ports `endpoint`; `None`: nothing."""
    asked = None if spec is None else EndpointSpec(ports=tuple(spec))
    present = None if endpoint is None else Endpoint(EndpointSpec(), ports=tuple(endpoint))
    return Service("s", ServiceSpec(endpoint=asked), endpoint=present)


def allocator_with(*ports: PortConfig) -> PortAllocator:
    allocator = PortAllocator()
    allocator.restore(ports)
    return allocator


ONE, TWO = ingress("test1", 10000, 10000), ingress("test2", 10001, 10001)

ALLOCATED: list[tuple[Ports, Ports | None, Ports]] = [
    # TestReconcilePortConfigs
    ([ONE], None, [ONE]),
    ([ONE, TWO], [ONE], [ONE, TWO]),
    ([ONE], [ingress("test2", 10001, 10000)], [ONE]),
    ([ingress("test1", 10000), ingress("test2", 10001)], [TWO, ONE], [ONE, TWO]),
    # a port whose number the spec gives uses up its allocation: the other of the same target keeps the second one
    (
        [ingress("web", 80, 30007), ingress("web", 80)],
        [ingress("web", 80, 30007), ingress("web", 80, 30004)],
        [ingress("web", 80, 30007), ingress("web", 80, 30004)],
    ),
    # name, protocol and target must agree for a number to be kept
    ([ingress("other", 80)], [ingress("web", 80, 30004)], [ingress("other", 80, 30000)]),
    ([ingress("web", 81)], [ingress("web", 80, 30004)], [ingress("web", 81, 30000)]),
    ([ingress("web", 80, 0, UDP)], [ingress("web", 80, 30004)], [ingress("web", 80, 30000, UDP)]),
    # given numbers come first, so that a chosen one cannot take them
    ([ingress("a", 1), ingress("b", 2, 30000)], [host("x", 9), host("y", 9)],
     [ingress("b", 2, 30000), ingress("a", 1, 30001)]),
    # more or fewer ports: none is kept
    ([ingress("web", 80), ingress("web", 81)], [ingress("web", 80, 30004)],
     [ingress("web", 80, 30000), ingress("web", 81, 30001)]),
    # ports of the node are not the allocator's, nor numbers to keep for the routing mesh
    ([host("web", 80), ingress("a", 1)], [ingress("web", 80, 30004), ingress("a", 1, 30005)],
     [host("web", 80), ingress("a", 1, 30005)]),
    ([ingress("web", 80)], [host("web", 80, 30004)], [ingress("web", 80, 30000)]),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "endpoint", "allocated"), ALLOCATED)
def test_a_service_keeps_the_numbers_it_has(spec: Ports, endpoint: Ports | None, allocated: Ports) -> None:
    allocator = allocator_with(*(endpoint or ()))
    assert allocator.allocate(service(spec, endpoint)) == tuple(allocated)
    assert allocator.in_use == sum(port.publish_mode is PublishMode.INGRESS for port in allocated)


def test_a_number_in_use_is_refused_and_nothing_is_taken() -> None:
    # TestAllocateServicePorts
    allocator = allocator_with(ingress("test1", 10000, 10000))
    allocator.allocate(service([ingress("test1", 10000, 10001)], [ONE]))
    assert allocator.in_use == 1, "10000 was given back"
    with pytest.raises(BitUnavailable):
        allocator.allocate(service([ingress("a", 1, 10002), ingress("test1", 10000, 10001)], None))
    assert allocator.in_use == 1, "10002 was given back"
    allocator.allocate(service([ingress("a", 1, 10000), ingress("b", 2, 10001, UDP)], None))
    assert allocator.in_use == 3, "each protocol has its own numbers"


def test_a_former_leaders_ports_are_taken_all_or_none() -> None:
    allocator = allocator_with(ingress("a", 1, 30000), host("b", 2, 30001))
    assert allocator.in_use == 1
    with pytest.raises(BitUnavailable):
        allocator.restore([ingress("c", 3, 30002), ingress("d", 4, 30000)])
    assert allocator.in_use == 1
    assert allocator.allocate(service([ingress("e", 5), ingress("f", 6)], None)) == (
        ingress("e", 5, 30001), ingress("f", 6, 30002),
    )  # fmt: skip


IS_ALLOCATED: list[tuple[Ports | None, Ports | None, bool]] = [
    # TestIsPortsAllocated
    (None, None, True),
    ([ONE], None, False),
    (None, [TWO], False),
    ([ONE, TWO], [TWO], False),
    ([ingress("test1", 10001, 10000)], [ONE], False),
    ([ingress("test1", 10000, 10001)], [ONE], False),
    ([ingress("test1", 10000)], [ingress("test1", 10000)], False),
    ([ONE], [ONE], True),
    ([ingress("test1", 10000)], [ONE], True),
    ([ONE, TWO], [TWO, ONE], True),
    # one allocation does not serve two ports
    ([ONE, ingress("test1", 10000)], [ONE, TWO], False),
    ([ONE, ingress("test1", 10000)], [ONE, ingress("test1", 10000, 10002)], True),
    ([ingress("test1", 10000), ONE], [ONE, ingress("test1", 10000, 10002)], True),
    # in host mode the target port alone counts
    ([host("test1", 80, 8080)], [host("test2", 80)], True),
    ([host("test1", 80)], [host("test1", 81)], False),
    ([host("test1", 80), host("test1", 81)], [host("test1", 80), host("test1", 80)], False),
    ([host("test1", 10000, 10000)], [ONE], False),
    ([ONE], [host("test1", 10000, 10000)], False),
]


@pytest.mark.parametrize(("spec", "endpoint", "is_allocated"), IS_ALLOCATED)
def test_whether_a_service_has_all_its_ports(spec: Ports | None, endpoint: Ports | None, is_allocated: bool) -> None:
    assert PortAllocator.is_allocated(service(spec, endpoint)) is is_allocated


CHANGED: list[tuple[Ports | None, Ports | None, bool]] = [
    # TestHostPublishPortsNeedUpdate
    (None, None, False),
    ([ONE], None, False),
    ([host("test1", 10000, 10000)], [ONE], True),
    ([host("test1", 10000, 10000)], [host("test1", 10000, 10000)], False),
    ([host("test4", 99, 0, UDP)], [host("test4", 99, 0, UDP)], False),
    ([host("test5", 99, 0, UDP), host("test5", 99, 30099)], [host("test5", 99, 0, UDP), host("test5", 99)], True),
    ([host("t6", 99, 0, UDP), host("t6", 99, 30099)], [host("t6", 99, 0, UDP), host("t6", 99, 30099)], False),
    ([host("test7", 99, 30099)], None, True),
    (None, [host("test8", 99, 30099)], False),
    ([host("a", 99, 30098), host("a", 99, 30099)], [host("a", 99, 30099), host("a", 99, 30098)], False),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "endpoint", "has_changed"), CHANGED)
def test_whether_a_host_port_has_changed(spec: Ports | None, endpoint: Ports | None, has_changed: bool) -> None:
    assert PortAllocator.host_ports_changed(service(spec, endpoint)) is has_changed
