"""Netfilter's numbers as Linux has them, each with its source. Timeouts of connections:
`tests/kernel/test_linux_constants.py`."""

import pytest
from support.nat_lab import NatLab, tcp, udp

from cnmsim.kernel.clock import Clock
from cnmsim.kernel.namespace import NetworkNamespace
from cnmsim.kernel.netfilter.bpf import Instruction, is_valid
from cnmsim.kernel.netfilter.hooks import BUILT_IN_CHAINS, ChainType, Hook, Priority
from cnmsim.kernel.netfilter.nftables import NfTables, NftError
from cnmsim.kernel.packet import TCP_ACK

C, S = ("10.0.0.2", 4000), ("192.168.0.2", 80)
MS = 0.001

#: enum nf_ip_hook_priorities, include/uapi/linux/netfilter_ipv4.h; ip_vs_ops4, net/netfilter/ipvs/ip_vs_core.c.
PRIORITIES = {
    "RAW": -300, "CONNTRACK": -200, "MANGLE": -150, "DESTINATION_NAT": -100, "IPVS_OUTPUT": -99, "FILTER": 0,
    "SECURITY": 50, "IPVS_INPUT": 98, "SOURCE_NAT": 100, "CONFIRM": 2**31 - 1,
}  # fmt: skip

#: valid_hooks and priority of the tables: net/ipv4/netfilter/iptable_*.c; nf_nat_ipv4_ops,
#: net/netfilter/nf_nat_proto.c.
TABLES = {
    "raw": {"PREROUTING": -300, "OUTPUT": -300},
    "mangle": {"PREROUTING": -150, "INPUT": -150, "FORWARD": -150, "OUTPUT": -150, "POSTROUTING": -150},
    "nat": {"PREROUTING": -100, "INPUT": 100, "OUTPUT": -100, "POSTROUTING": 100},
    "filter": {"INPUT": 0, "FORWARD": 0, "OUTPUT": 0},
    "security": {"INPUT": 50, "FORWARD": 50, "OUTPUT": 50},
}

#: std_prios, nftables src/rule.c: name, value, and the hooks on which nft knows it.
EVERYWHERE = {"prerouting", "input", "forward", "output", "postrouting"}
NAMED = [
    ("raw", -300, EVERYWHERE), ("mangle", -150, EVERYWHERE), ("filter", 0, EVERYWHERE), ("security", 50, EVERYWHERE),
    ("dstnat", -100, {"prerouting", "output"}), ("srcnat", 100, {"input", "postrouting"}),
]  # fmt: skip


def test_priorities_of_the_hooks():
    assert {priority.name: priority.value for priority in Priority} == PRIORITIES


@pytest.mark.parametrize("table", TABLES)
def test_tables_register_their_chains_with_the_priorities_of_the_kernel(table):
    namespace = NetworkNamespace("n", Clock())
    tables = namespace.netfilter.iptables(4)
    tables.append(table, BUILT_IN_CHAINS[table][0], "-m comment --comment x")
    registered = {each.hook.value: each for each in tables.registrations()}
    assert {name: each.priority for name, each in registered.items()} == TABLES[table]
    rerouting = {name for name, each in registered.items() if each.type is ChainType.ROUTE}
    assert rerouting == ({"OUTPUT"} if table == "mangle" else set())


@pytest.mark.parametrize(("name", "value", "hooks"), NAMED, ids=[row[0] for row in NAMED])
def test_named_priorities_of_nft(name, value, hooks):
    for hook in sorted(EVERYWHERE):
        nft = NfTables.of(NetworkNamespace("n", Clock()).netfilter)
        nft.execute("add table ip t")
        add = f"add chain ip t c {{ type filter hook {hook} priority {name}; }}"
        if hook in hooks:
            nft.execute(add)
            assert nft.tables["ip", "t"].chains["c"].base.priority == value
            assert f"priority {name};" in nft.execute("list table ip t")
        else:
            with pytest.raises(NftError, match="invalid priority expression"):
                nft.execute(add)


def test_no_hook_has_another_name():
    assert {hook.value.lower() for hook in Hook} == EVERYWHERE


@pytest.fixture
def lab():
    lab = NatLab()
    lab.iptables("-A FORWARD -m conntrack --ctstate NEW,ESTABLISHED,INVALID -j ACCEPT")
    return lab


def remaining(lab):
    [connection] = lab.netfilter.conntrack.entries()
    return lab.netfilter.conntrack.remaining_s(connection)


@pytest.mark.parametrize(("after_s", "timeout_s"), [(2, 30), (2 + MS, 120)])
def test_a_udp_flow_is_a_stream_after_more_than_two_seconds(lab, after_s, timeout_s):
    # stream_ts = jiffies + 2 * HZ: nf_conntrack_udp_packet, net/netfilter/nf_conntrack_proto_udp.c.
    lab.forward(udp(*C, *S))
    lab.back(udp(*S, *C))
    lab.clock.run_for(after_s)
    lab.forward(udp(*C, *S))
    assert remaining(lab) == timeout_s


@pytest.mark.parametrize(("after_s", "count"), [(30 - MS, 1), (30, 0)])
def test_an_unreplied_udp_flow_expires_after_30_seconds(lab, after_s, count):
    lab.forward(udp(*C, *S))
    lab.clock.run_for(after_s)
    assert lab.netfilter.conntrack.count == count


@pytest.mark.parametrize(("after_s", "count"), [(300 - MS, 1), (300, 0)])
def test_a_connection_picked_up_without_a_reply_expires_after_five_minutes(lab, after_s, count):
    # timeouts[TCP_CONNTRACK_UNACK]: tcp_timeouts, net/netfilter/nf_conntrack_proto_tcp.c.
    lab.forward(tcp(*C, *S, TCP_ACK))
    lab.clock.run_for(after_s)
    assert lab.netfilter.conntrack.count == count


#: chk_code_allowed, net/core/filter.c: the operations that a program of `-m bpf` may contain.
BPF_CODES = {
    *range(0x04, 0x80, 0x10), *range(0x0C, 0x80, 0x10), 0x84, 0x94, 0x9C, 0xA4, 0xAC,
    0x00, 0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x60, 0x80, 0x01, 0x61, 0x81, 0xB1, 0x02, 0x03, 0x07, 0x87, 0x06, 0x16,
    0x05, 0x15, 0x1D, 0x25, 0x2D, 0x35, 0x3D, 0x45, 0x4D,
}  # fmt: skip


def test_operations_of_a_bpf_program():
    end = Instruction(0x06, 0, 0, 0)
    valid = {code for code in range(256) if is_valid([Instruction(code, 0, 0, 0 if code == 0x05 else 1), end])}
    assert valid == BPF_CODES
