"""A property-based test of segmentation: containers reach each other if and only if they have a network in common."""

from hypothesis import given, settings
from hypothesis import strategies as st

from cnmsim import Lab

NETWORKS = ("red", "green", "blue")
memberships = st.lists(st.sets(st.sampled_from(NETWORKS), min_size=1), min_size=2, max_size=4)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(memberships)
def prove(members: list[set[str]]) -> None:
    lab = Lab()
    docker = lab.add_host("node1", "10.0.0.15/24", docker=True).docker
    for name in NETWORKS:
        docker.networks.create(name)
    for number, networks in enumerate(members):
        first, *others = sorted(networks)
        container = docker.containers.run("nginx", name=f"c{number}", network=first, detach=True)
        for other in others:
            docker.networks.get(other).connect(container)
    lab.settle()
    for a, own in enumerate(members):
        for b, theirs in enumerate(members):
            if a != b:
                reached = lab.trace(f"c{a}", f"c{b}:80", timeout_s=1).is_reachable
                assert reached == bool(own & theirs), f"c{a} on {own} and c{b} on {theirs}: {reached}"


prove()
print("segmentation holds")
