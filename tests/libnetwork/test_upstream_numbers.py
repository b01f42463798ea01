"""The numbers that libnetwork, NetworkDB and memberlist have upstream, each with where it stands there."""

from __future__ import annotations

from importlib import import_module

import pytest

from cnmsim.kernel.clock import Clock
from cnmsim.libnetwork.config import DaemonConfig
from cnmsim.libnetwork.drivers.overlay.network import OverlayNetwork
from cnmsim.libnetwork.ipam.predefined import GLOBAL_POOLS, LOCAL_POOLS
from cnmsim.libnetwork.networkdb.broadcast import retransmit_limit
from cnmsim.libnetwork.networkdb.suspicion import Awareness, Suspicion, push_pull_interval_s, suspicion_timeout_s

MEMBERLIST = "hashicorp/memberlist v0.5.4 config.go, DefaultLANConfig"
CLUSTER = "moby docker-v29.7.2 daemon/libnetwork/networkdb/cluster.go"
RESOLVER = "moby docker-v29.7.2 daemon/libnetwork/resolver.go"
OVERLAY = "moby docker-v29.7.2 daemon/libnetwork/drivers/overlay"

#: A name below cnmsim.libnetwork, its value upstream, and where that stands.
NUMBERS: list[tuple[str, object, str]] = [
    ("networkdb.suspicion.PROBE_INTERVAL_S", 1.0, f"{MEMBERLIST}: ProbeInterval"),
    ("networkdb.suspicion.PROBE_TIMEOUT_S", 0.5, f"{MEMBERLIST}: ProbeTimeout"),
    ("networkdb.suspicion.INDIRECT_CHECKS", 3, f"{MEMBERLIST}: IndirectChecks"),
    ("networkdb.suspicion.SUSPICION_MULT", 4, f"{MEMBERLIST}: SuspicionMult"),
    ("networkdb.suspicion.SUSPICION_MAX_MULT", 6, f"{MEMBERLIST}: SuspicionMaxTimeoutMult"),
    ("networkdb.suspicion.PUSH_PULL_INTERVAL_S", 30.0, f"{MEMBERLIST}: PushPullInterval"),
    ("networkdb.suspicion._PUSH_PULL_THRESHOLD", 32, "hashicorp/memberlist v0.5.4 util.go: pushPullScaleThreshold"),
    ("networkdb.memberlist.GOSSIP_INTERVAL_S", 0.2, f"{MEMBERLIST}: GossipInterval"),
    ("networkdb.memberlist.GOSSIP_NODES", 3, f"{MEMBERLIST}: GossipNodes"),
    ("networkdb.memberlist.GOSSIP_TO_THE_DEAD_S", 30.0, f"{MEMBERLIST}: GossipToTheDeadTime"),
    ("networkdb.broadcast.RETRANSMIT_MULT", 4, f"{MEMBERLIST}: RetransmitMult"),
    ("networkdb.transport.TCP_TIMEOUT_S", 10.0, f"{MEMBERLIST}: TCPTimeout"),
    ("networkdb.context.GOSSIP_PORT", 7946, f"{MEMBERLIST}: BindPort"),
    ("networkdb.messages.COMPOUND_HEADER", 2, "hashicorp/memberlist v0.5.4 net.go: compoundHeaderOverhead"),
    ("networkdb.messages.COMPOUND_OVERHEAD", 2, "hashicorp/memberlist v0.5.4 net.go: compoundOverhead"),
    ("networkdb.messages.ENCRYPTION_OVERHEAD", 29, "hashicorp/memberlist v0.5.4 security.go: encryptOverhead(1)"),
    ("networkdb.tables.REAP_PERIOD_S", 5.0, f"{CLUSTER}: reapPeriod"),
    ("networkdb.tables.REAP_ENTRY_S", 1800.0, "moby docker-v29.7.2 networkdb.go, DefaultConfig: reapEntryInterval"),
    ("networkdb.tables.REAP_NETWORK_S", 1825.0, "moby docker-v29.7.2 networkdb.go, New: reapNetworkInterval"),
    ("networkdb.nodes.NODE_REAP_S", 86400.0, f"{CLUSTER}: nodeReapInterval"),
    ("networkdb.rejoin.RETRY_INTERVAL_S", 1.0, f"{CLUSTER}: retryInterval"),
    ("networkdb.rejoin.REJOIN_INTERVAL_S", 60.0, "moby docker-v29.7.2 networkdb.go: rejoinClusterInterval"),
    ("networkdb.rejoin.REJOIN_DURATION_S", 10.0, "moby docker-v29.7.2 networkdb.go: rejoinClusterDuration"),
    ("networkdb.rejoin.NODE_EVENT_TIMEOUT_S", 5.0, "moby docker-v29.7.2 networkdb/broadcast.go: broadcastTimeout"),
    ("networkdb.rejoin.LEAVE_TIMEOUT_S", 1.0, f"{CLUSTER}, clusterLeave: mlist.Leave"),
    ("networkdb.bulksync.ANSWER_TIMEOUT_S", 30.0, f"{CLUSTER}, bulkSyncNode: time.NewTimer"),
    ("networkdb.networkdb.LONGEST_QUEUE_ON_SYNC", 500, f"{CLUSTER}: maxQueueLenBroadcastOnSync"),
    ("agent.KEYS_PER_SUBSYSTEM", 3, "moby docker-v29.7.2 daemon/libnetwork/agent.go: keyringSize"),
    ("agent.VXLAN_PORT", 4789, f"{OVERLAY}; overlayutils: defaultVXLANUDPPort"),
    ("drivers.overlay.network.VXLAN_OVERHEAD", 50, f"{OVERLAY}/overlay.go: vxlanEncap"),
    ("drivers.overlay.network.ESP_OVERHEAD", 26, f"{OVERLAY}/encryption.go: pktExpansion"),
    ("drivers.overlay.encryption_rules.MARK", 0xD0C4E3, f"{OVERLAY}/encryption.go: mark"),
    ("dnsmessage.TTL_S", 600, f"{RESOLVER}: respTTL"),
    ("forwarder.MAX_UPSTREAMS", 3, f"{RESOLVER}: maxExtDNS"),
    ("forwarder.TIMEOUT_S", 4.0, f"{RESOLVER}: extIOTimeout"),
    ("forwarder.MAX_CONCURRENT", 1024, f"{RESOLVER}: maxConcurrent"),
    ("resolver._TCP_IDLE_S", 8.0, "miekg/dns server.go: tcpIdleTimeout"),
    ("portallocator.EPHEMERAL_PORTS", (32768, 60999), "Linux net/ipv4/af_inet.c: ip_local_ports"),
    ("servicediscovery.FIRST_MARK", 256, "moby docker-v29.7.2 daemon/libnetwork/service.go: fwMarkCtr"),
    ("drivers.bridge.proxy.UDP_IDLE_S", 90.0, "moby docker-v29.7.2 cmd/docker-proxy: UDPConnTrackTimeout"),
    ("drivers.bridge.mapper._MAX_TRIES", 10, "moby docker-v29.7.2 portallocator: maxAllocateAttempts"),
    ("gratuitous_arp._COUNTS", (0, 3), "moby docker-v29.7.2 osl/interface_linux.go: AdvertiseAddrNMsgsMin, Max"),
    ("gratuitous_arp._PAUSES_MS", (100, 2000), "moby docker-v29.7.2 osl/interface_linux.go: AdvertiseAddrInterval"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "source"), NUMBERS, ids=[name for name, _, _ in NUMBERS])
def test_a_number_is_upstreams(name: str, value: object, source: str) -> None:
    module, _, attribute = name.rpartition(".")
    assert getattr(import_module(f"cnmsim.libnetwork.{module}"), attribute) == value, source


def test_the_shortest_suspicion_grows_with_the_logarithm_of_the_cluster() -> None:
    # memberlist util.go, suspicionTimeout: mult * max(1, log10(max(1, n))) * interval, cut to milliseconds.
    assert [suspicion_timeout_s(nodes) for nodes in (1, 3, 10, 11, 100, 1000)] == [4, 4, 4, 4.164, 8, 12]


@pytest.mark.parametrize(
    ("needed", "confirmations", "ends_s"),
    [(3, 0, 30.0), (3, 1, 16.0), (3, 2, 7.81), (3, 3, 2.0), (3, 5, 2.0), (0, 0, 2.0), (0, 3, 2.0), (1, 1, 2.0)],
)
def test_confirmations_shorten_a_suspicion(needed: int, confirmations: int, ends_s: float) -> None:
    # memberlist suspicion.go, suspicion_test.go (TestSuspicion_remainingSuspicionTime: between 2 s and 30 s)
    clock, ended = Clock(), []
    suspicion = Suspicion(clock, "first", needed, 2.0, 30.0, lambda: ended.append(clock.now))
    counted = [suspicion.confirm(f"n{number}") for number in range(confirmations)]
    assert counted == [number < needed for number in range(confirmations)]
    assert not suspicion.confirm("first")
    clock.run_for(40)
    assert ended == [pytest.approx(ends_s)]


def test_a_late_confirmation_ends_a_suspicion_at_once_and_a_repeated_one_does_not_count() -> None:
    clock, ended = Clock(), []
    suspicion = Suspicion(clock, "first", 1, 2.0, 30.0, lambda: ended.append(clock.now))
    assert not suspicion.confirm("first")
    clock.run_for(20)
    assert ended == []
    assert suspicion.confirm("second")
    clock.run_for(0.001)
    assert ended == [20.0]
    cancelled = Suspicion(clock, "first", 2, 2.0, 30.0, lambda: ended.append(clock.now))
    assert (cancelled.confirm("second"), cancelled.confirm("second")) == (True, False)
    cancelled.cancel()
    clock.run_for(40)
    assert ended == [20.0]


def test_everything_is_exchanged_less_often_in_a_large_cluster() -> None:
    # memberlist util.go, pushPullScale.
    assert [push_pull_interval_s(nodes) for nodes in (2, 32, 33, 64, 65, 128, 129)] == [30, 30, 60, 60, 90, 90, 120]


def test_a_message_is_transmitted_as_often_as_memberlist_does() -> None:
    # memberlist util.go, retransmitLimit: mult * ceil(log10(n + 1)).
    assert [retransmit_limit(nodes) for nodes in (1, 9, 10, 99, 100, 999, 1000)] == [4, 4, 8, 8, 12, 12, 16]


def test_an_unhealthy_node_probes_up_to_eight_times_as_slowly() -> None:
    awareness = Awareness()
    awareness.apply(100)  # memberlist awareness.go, AwarenessMaxMultiplier 8
    assert awareness.scale(1.0) == 8
    awareness.apply(-100)
    assert awareness.scale(1.0) == 1


def test_the_default_pools_are_dockers() -> None:
    # moby daemon/libnetwork/ipamutils/utils.go (libnetwork/ipamutils up to 28)
    assert [(str(pool.base), pool.size) for pool in LOCAL_POOLS] == [
        ("172.17.0.0/16", 16), ("172.18.0.0/16", 16), ("172.19.0.0/16", 16), ("172.20.0.0/14", 16),
        ("172.24.0.0/14", 16), ("172.28.0.0/14", 16), ("192.168.0.0/16", 20),
    ]  # fmt: skip
    assert [(str(pool.base), pool.size) for pool in GLOBAL_POOLS] == [("10.0.0.0/8", 24)]


@pytest.mark.parametrize(("control_mtu", "size"), [(1500, 1400), (9000, 8900), (500, 400), (100, 400)])
def test_gossip_packets_leave_room_for_headers(control_mtu: int, size: int) -> None:
    # moby daemon/libnetwork/agent.go: PacketBufferSize = NetworkControlPlaneMTU - 100
    assert DaemonConfig(network_control_plane_mtu=control_mtu).gossip_packet_size == size


@pytest.mark.parametrize(
    ("path_mtu", "is_encrypted", "mtu"), [(0, False, 1450), (0, True, 1424), (9000, False, 8950), (1400, True, 1324)]
)
def test_overlay_containers_have_what_a_tunnel_leaves_of_the_mtu(path_mtu: int, is_encrypted: bool, mtu: int) -> None:
    network = OverlayNetwork(None, None, "id", "n", [], path_mtu, is_encrypted)  # type: ignore[arg-type]
    assert network.mtu == mtu
