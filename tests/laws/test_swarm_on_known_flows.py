"""A swarm leaves the same behind on all its hosts whether namespaces know flows or walk every packet: counters,
connections, neighbours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cnmsim import Lab
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.offload.datagram_path import DatagramPath
from cnmsim.kernel.offload.flow_cache import FlowCache
from cnmsim.kernel.opaque_payload import OpaquePayload

RACKS, HOSTS = 2, 4


def swarm() -> Lab:
    """Give a lab of racks behind a router, on whose hosts services run, a minute after they started."""
    lab = Lab()
    lab.add_router("core", *(f"10.0.{rack}.1/24" for rack in range(RACKS)))
    token = ""
    for number in range(RACKS * HOSTS):
        rack, place = divmod(number, HOSTS)
        host = lab.add_host(f"node{number}", f"10.0.{rack}.{place + 10}/24", gateway=f"10.0.{rack}.1", docker=True)
        if number:
            host.docker.swarm.join(token, "10.0.0.10:2377")
        else:
            token = host.docker.swarm.init(advertise_addr="10.0.0.10").tokens.worker
    docker = lab.host("node0").docker
    for name in ("front", "back"):
        docker.networks.create(name, driver="overlay")
        docker.services.create("nginx", name=f"{name}-web", replicas=RACKS * HOSTS, networks=[name])
    lab.settle()
    lab.run(60)
    return lab


def left_behind(lab: Lab) -> Iterator[tuple[object, ...]]:
    """Give what packets leave on every host and segment."""
    yield "time", lab.clock.now_ns
    for name, host in lab.hosts.items():
        for space in (host.namespace, *host.machine.namespaces.values()):
            for device in space.devices.values():
                yield (
                    name,
                    space.name,
                    device.name,
                    device.rx_packets,
                    device.rx_bytes,
                    device.tx_packets,
                    device.tx_bytes,
                )
            for entry in space.neighbours.entries():
                yield name, space.name, str(entry), entry.confirmed_ns
            for connection in space.netfilter.conntrack.entries():
                yield name, space.name, str(connection.original), connection.expires_ns, connection.is_assured
        yield name, str(host.exec("iptables-save -c").output)
    for segment in lab.segments.values():
        yield segment.name, [(key, learnt.heard_ns) for key, learnt in segment._learnt.items()]


def test_a_swarm_cannot_tell_whether_flows_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = {True: 0, False: 0}
    send = DatagramPath.send

    def counting(path: DatagramPath, payload: OpaquePayload, *, is_redundant: bool) -> bool:
        sent[is_redundant] += 1
        return send(path, payload, is_redundant=is_redundant)

    monkeypatch.setattr(DatagramPath, "send", counting)
    known = swarm()
    without_frames = dict(sent)
    assert min(sent.values()) > 300

    def knows_none(cache: FlowCache, namespace: NetworkNamespace) -> None:
        make(cache, namespace)
        cache.is_enabled = False

    make = FlowCache.__init__
    monkeypatch.setattr(FlowCache, "__init__", knows_none)
    walked = swarm()
    assert sent == without_frames
    assert list(left_behind(known)) == list(left_behind(walked))
