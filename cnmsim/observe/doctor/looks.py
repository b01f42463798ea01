"""The list of the doctor's checks, in the order in which they are run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cnmsim.observe.doctor import (
    addresses,
    black_holes,
    clusters,
    hosts,
    localhost,
    physical,
    ports,
    proxies,
    scheduling,
    shared_namespaces,
    swarm_proxies,
)
from cnmsim.observe.doctor.fault import Fault
from cnmsim.observe.doctor.lab_snapshot import LabSnapshot

LOOKS: tuple[Callable[[LabSnapshot], Iterator[Fault]], ...] = (
    addresses.overlaps,
    addresses.pools,
    addresses.macs,
    addresses.names,
    physical.duplicates,
    physical.ranges,
    hosts.forwarding,
    hosts.bridge_filter,
    hosts.rule_sets,
    hosts.sizes,
    black_holes.black_holes,
    ports.published,
    ports.published_services,
    ports.proxied,
    ports.unanswered,
    ports.internal,
    shared_namespaces.taken_ports,
    localhost.localhost,
    proxies.proxied_services,
    swarm_proxies.proxied_swarm_services,
    clusters.halted,
    clusters.quorum,
    clusters.overlay_subnets,
    clusters.stray_tunnels,
    clusters.single_points,
    scheduling.unplaced,
    scheduling.failing,
    clusters.node_ports,
)
