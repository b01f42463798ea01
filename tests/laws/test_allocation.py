"""Addresses and ports that are given back can be given out again, whatever came between."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cnmsim import Lab
from cnmsim.engine.client.containers import Container
from cnmsim.errors import EngineError
from cnmsim.kernel.address import Prefix
from cnmsim.testing.invariants import check_host
from cnmsim.testing.snapshot import Snapshot
from cnmsim.testing.strategies import NODE, NetworkSpec, releases, subnets

RUN = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def node(release: str) -> Lab:
    lab = Lab(release)
    lab.add_host(NODE, "10.0.0.15/24", docker=True)
    return lab


@RUN
@given(
    release=releases(),
    subnet=subnets(min_length=27, max_length=29),
    going=st.lists(st.integers(0, 40), min_size=1, max_size=12),
)
def test_a_pool_gives_out_every_address_once_and_again_after_its_release(
    release: str, subnet: str, going: list[int]
) -> None:
    lab = node(release)
    engine = lab.host(NODE).docker
    NetworkSpec("net", (subnet,)).create(engine)
    # All but the network's own address, the broadcast address and the gateway.
    size = (1 << (32 - Prefix.parse(subnet).length)) - 3
    running: list[Container] = []

    def run(name: str) -> None:
        running.append(engine.containers.run("alpine", "sleep 1d", name=name, network="net", detach=True))

    for number in range(size):
        run(f"box{number}")
    check_host(lab.host(NODE))
    full = {each.ip("net") for each in running}
    assert len(full) == size
    for step, position in enumerate(going):
        engine.containers.create("alpine", "sleep 1d", name=f"late{step}", network="net")
        try:
            engine.containers.get(f"late{step}").start()
        except EngineError:
            pass
        else:
            raise AssertionError("a full pool gave out an address")
        gone = running.pop(position % len(running))
        address = gone.ip("net")
        gone.remove(force=True)
        run(f"new{step}")
        assert running[-1].ip("net") == address
    check_host(lab.host(NODE))


@RUN
@given(release=releases(), order=st.permutations(range(4)), has_proxy=st.booleans())
def test_a_host_port_is_free_again_once_its_container_is_gone(
    release: str, order: list[int], has_proxy: bool
) -> None:
    lab = Lab(release)
    engine = lab.add_host(NODE, "10.0.0.15/24", docker=True if has_proxy else {"userland-proxy": False}).docker
    fresh = Snapshot.of(lab.host(NODE))
    made = [
        engine.containers.run("nginx", name=f"box{number}", ports={"80/tcp": 8080 + number}, detach=True)
        for number in range(4)
    ]
    for number in order:
        made[number].remove(force=True)
        again = engine.containers.run("nginx", name="again", ports={"80/tcp": 8080 + number}, detach=True)
        assert again.ports["80/tcp"][0]["HostPort"] == str(8080 + number)
        again.remove(force=True)
    assert fresh.difference(Snapshot.of(lab.host(NODE))) == []


@RUN
@given(release=releases(), subnet=subnets(min_length=20))
def test_a_subnet_can_be_used_again_once_its_network_is_gone(release: str, subnet: str) -> None:
    lab = node(release)
    engine = lab.host(NODE).docker
    before = Snapshot.of(lab.host(NODE))
    for name in ("one", "two"):
        NetworkSpec(name, (subnet,)).create(engine).remove()
        assert before.difference(Snapshot.of(lab.host(NODE))) == []
