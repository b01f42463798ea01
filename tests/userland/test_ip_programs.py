"""ip in both flavours, and the other programs that show or change the configuration of a namespace."""

import pytest
from support.program_host import World

from cnmsim.kernel.address import parse_ip
from cnmsim.kernel.device import Veth
from cnmsim.kernel.namespace import NetworkNamespace

SETUP = [
    "ip link add v0 type veth peer name v1",
    "ip link add br0 type bridge",
    "ip link set v1 master br0",
    "ip link set v0 up",
    "ip link set v1 up",
    "ip link set br0 up",
    "ip addr add 10.9.0.1/24 dev v0",
    "ip route add default via 10.0.0.254",
]


@pytest.fixture
def world():
    world = World()
    for line in SETUP:
        assert world.host(line).err == ""
    return world


SHOWN = [
    ("run", "ip route", ("default via 10.0.0.254 dev eth0 \n10.0.0.0/24 dev eth0 scope link  src 10.0.0.1 \n"
     "10.9.0.0/24 dev v0 scope link  src 10.9.0.1 \n")),
    ("host", "ip route",
     ("default via 10.0.0.254 dev eth0 \n10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.1 \n"
     "10.9.0.0/24 dev v0 proto kernel scope link src 10.9.0.1 \n")),
    ("run", "ip -6 route show dev eth0", "fd00::/64  metric 256 \nfe80::/64  metric 256 \n"),
    ("host", "ip -6 route show dev eth0",
     "fd00::/64 proto kernel metric 256 pref medium\nfe80::/64 proto kernel metric 256 pref medium\n"),
    ("run", "ip -4 -o addr show v0",
     "4: v0    inet 10.9.0.1/24 scope global v0\\       valid_lft forever preferred_lft forever\n"),
    ("host", "ip -4 addr show v0",
     ("4: v0@v1: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc noqueue state UP group "
     "default qlen 1000\n    inet 10.9.0.1/24 scope global v0\n       valid_lft forever preferred_lft forever\n")),
    ("host", "ip -br addr show lo", "lo               UNKNOWN        127.0.0.1/8 ::1/128 \n"),
    ("host", "ip route get 10.0.0.5", "10.0.0.5 dev eth0 src 10.0.0.1 uid 0 \n    cache \n"),
    ("run", "ip route get 1.2.3.4", "1.2.3.4 via 10.0.0.254 dev eth0  src 10.0.0.1 \n"),
    ("host", "bridge link", ("3: v1@v0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 master br0 state forwarding "
     "priority 32 cost 2 \n")),
    ("run", "route -n", ("Kernel IP routing table\n"
     "Destination     Gateway         Genmask         Flags Metric Ref    Use Iface\n"
     "0.0.0.0         10.0.0.254      0.0.0.0         UG    0      0        0 eth0\n"
     "10.0.0.0        0.0.0.0         255.255.255.0   U     0      0        0 eth0\n"
     "10.9.0.0        0.0.0.0         255.255.255.0   U     0      0        0 v0\n")),
    ("host", "sysctl net.ipv4.ip_forward", "net.ipv4.ip_forward = 0\n"),
    ("host", "sysctl -n net/ipv4/conf/eth0/rp_filter", "0\n"),
]  # fmt: skip


@pytest.mark.parametrize("kind,line,out", SHOWN, ids=[f"{case[0]} {case[1]}" for case in SHOWN])
def test_state_is_shown_as_the_program_shows_it(world, kind, line, out):
    result = getattr(world, kind)(line)
    assert (result.status, result.out, result.err) == (0, out, "")


REFUSED = [
    ("run", "ip link show nosuch", 2, "ip: can't find device 'nosuch'\n"),
    ("run", "ip link set nosuch up", 2, "ip: SIOCGIFFLAGS: No such device\n"),
    ("run", "ip addr add 10.9.0.1/24 dev v0", 2, "ip: RTNETLINK answers: File exists\n"),
    ("run", "ip addr del 10.9.0.7/24 dev v0", 2, "ip: RTNETLINK answers: Cannot assign requested address\n"),
    ("run", "ip route add 1.2.3.0/24 via 9.9.9.9 dev", 1, None),
    ("run", "ip route del 5.5.5.0/24", 2, "ip: RTNETLINK answers: No such process\n"),
    ("host", "ip link show nosuch", 1, 'Device "nosuch" does not exist.\n'),
    ("host", "ip link set nosuch up", 1, 'Cannot find device "nosuch"\n'),
    ("host", "ip addr add 10.9.0.1/24 dev v0", 2, "Error: ipv4: Address already assigned.\n"),
    ("host", "ip addr del 10.9.0.7/24 dev v0", 2, "Error: ipv4: Address not found.\n"),
    (
        "host",
        "ip addr add 300.1.1.1/24 dev v0",
        1,
        'Error: any valid prefix is expected rather than "300.1.1.1/24".\n',
    ),
    ("host", "ip addr add 1.2.3.4/24", 1, 'Not enough information: "dev" argument is required.\n'),
    ("host", "ip route add default via 10.0.0.254", 2, "RTNETLINK answers: File exists\n"),
    ("host", "ip route del 5.5.5.0/24", 2, "RTNETLINK answers: No such process\n"),
    ("run", "ip link set v0 mtu 20", 2, "ip: SIOCSIFMTU: Invalid argument\n"),
    ("run", "ip addr add 1.1.1.1/24", 1, 'ip: need "dev IFACE"\n'),
    ("host", "ip link set v0 mtu 20", 2, "Error: mtu less than device minimum.\n"),
    ("host", "ip link add x type nosuch", 2, "Error: Unknown device type.\n"),
    ("host", "ip foo", 1, 'Object "foo" is unknown, try "ip help".\n'),
    ("host", "sysctl net.nope", 1, "sysctl: cannot stat /proc/sys/net/nope: No such file or directory\n"),
    ("host", "nsenter --net=/nope ip addr", 1, "nsenter: cannot open /nope: No such file or directory\n"),
    ("host", "iptables -D INPUT 7", 1, "iptables: Index of deletion too big.\n"),
]


@pytest.mark.parametrize("kind,line,status,err", REFUSED, ids=[f"{case[0]} {case[1]}" for case in REFUSED])
def test_refusal_is_told_in_the_programs_words(world, kind, line, status, err):
    result = getattr(world, kind)(line)
    assert result.status == status
    assert err is None or result.err == err


def test_veth_to_another_namespace_shows_the_other_ends_index():
    world = World()
    other = NetworkNamespace("box", world.clock)
    inner, outer = Veth.pair(world.clock, "eth1", "vethx", bytes((2, 0, 0, 0, 1, 1)), bytes((2, 0, 0, 0, 1, 2)))
    world.one.root.add_device(inner)
    other.add_device(outer)
    inner.txqueuelen = 0
    for end in (inner, outer):
        end.set_up()
    assert world.run("ip link show eth1").out.startswith(
        "3: eth1@if2: <BROADCAST,MULTICAST,UP,LOWER_UP,M-DOWN> mtu 1500 qdisc noqueue \n"
    )
    assert world.host("ip link show eth1").out.startswith("3: eth1@if2: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 ")


def test_bridge_without_ports_is_down_and_its_route_says_so():
    world = World()
    for line in ("ip link add br9 type bridge", "ip link set br9 up", "ip addr add 10.5.0.1/16 brd + dev br9"):
        world.host(line)
    out = world.host("ip -4 addr show br9").out
    assert "br9: <NO-CARRIER,BROADCAST,MULTICAST,UP> mtu 1500 qdisc noqueue state DOWN group default" in out
    assert "inet 10.5.0.1/16 brd 10.5.255.255 scope global br9" in out
    assert "10.5.0.0/16 dev br9 proto kernel scope link src 10.5.0.1 linkdown \n" in world.host("ip route").out


def test_rules_typed_on_the_host_are_saved_as_iptables_save_prints_them():
    world = World()
    world.host("iptables -I INPUT -p tcp --dport 8080 -j DROP")
    body = [line for line in world.host("iptables-save -t filter").out.splitlines() if not line.startswith("#")]
    assert body == [
        "*filter", ":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]",
        "-A INPUT -p tcp -m tcp --dport 8080 -j DROP", "COMMIT",
    ]  # fmt: skip
    saved = world.host("iptables-save").out
    world.host("iptables -F")
    assert world.host("iptables-restore", stdin=saved.encode()).status == 0
    assert "--dport 8080" in world.host("iptables -S INPUT").out


def test_sockets_are_listed():
    world = World()
    server = world.start(world.two, "httpd -f -p 80")
    assert world.run("netstat -tln", machine=world.two).out == (
        "Active Internet connections (only servers)\n"
        "Proto Recv-Q Send-Q Local Address           Foreign Address         State       \n"
        "tcp        0      0 :::80                   :::*                    LISTEN      \n"
    )
    assert world.run("netstat -tlne", machine=world.two).out == world.run("netstat -tln", machine=world.two).out
    lines = world.host("ss -tlnp", machine=world.two).out.splitlines()
    assert lines[1].split() == ["LISTEN", "0", "9", "*:80", "*:*", f'users:(("httpd",pid={server.pid},fd=3))']


def test_a_connection_of_a_socket_for_both_families_shows_mapped_addresses():
    world = World()
    world.start(world.two, "nc -ll -p 7 -e cat")
    world.sh("sleep 60 | nc 10.0.0.2 7", limit_s=1)
    (line,) = [line for line in world.run("netstat -tn", machine=world.two).out.splitlines() if "ESTAB" in line]
    assert line.split()[3] == "::ffff:10.0.0.2:7"
    assert line.split()[4].startswith("::ffff:10.0.0.1:")
    row = world.host("ss -Htn", machine=world.two).out.split()
    assert row[3] == "[::ffff:10.0.0.2]:7"
    assert world.run("netstat -tn").out.splitlines()[-1].split()[4] == "10.0.0.2:7"


def test_neighbours_are_listed_in_every_flavour():
    world = World()
    world.run("ping -c 1 10.0.0.2")
    assert world.run("arp -n").out == "? (10.0.0.2) at 02:00:00:00:00:02 [ether]  on eth0\n"
    assert world.host("ip neigh show 10.0.0.2").out == "10.0.0.2 dev eth0 lladdr 02:00:00:00:00:02 REACHABLE \n"
    assert world.host("arp -n").out.splitlines()[1].split() == ["10.0.0.2", "ether", "02:00:00:00:00:02", "C", "eth0"]


def test_named_namespaces_are_entered():
    world = World()
    world.host("ip netns add q")
    assert world.host("ip netns list").out == "q\n"
    assert world.host("ls /var/run/netns").out == "q\n"
    assert world.host("ls -d /run/netns /var/run/netns/q").out.split() == ["/run/netns", "/var/run/netns/q"]
    assert world.host("nsenter --net=/var/run/netns/q ip -br link").out.startswith("lo               DOWN ")
    assert world.host("ip netns exec q ip route").status == 0


def test_ipset_holds_what_is_added():
    world = World()
    world.host("ipset create s hash:net")
    world.host("ipset add s 10.0.0.0/8")
    assert world.host("ipset save").out.endswith("add s 10.0.0.0/8\n")
    assert world.host("ipset add s 10.0.0.0/8").status == 1
    assert world.host("ipset destroy s").status == 0


def test_both_variants_of_iptables_have_tables_of_their_own():
    world = World()
    assert "# Warning" not in world.host("iptables -S").err
    world.host("iptables-legacy -P FORWARD DROP")
    assert world.host("iptables-legacy -S FORWARD").out == "-P FORWARD DROP\n"
    listed = world.host("iptables -S FORWARD")
    assert listed.out == world.host("iptables-nft -S FORWARD").out == "-P FORWARD ACCEPT\n"
    assert listed.err == "# Warning: iptables-legacy tables present, use iptables-legacy to see them\n"
    assert ":FORWARD DROP [0:0]" in world.host("iptables-legacy-save").out
    assert "# Generated by iptables-save v1.8.11 on " in world.host("iptables-legacy-save").out


def test_iptables_save_prints_the_tables_in_the_order_of_its_variant():
    world = World()
    for variant in ("nft", "legacy"):
        for table in ("filter", "mangle", "nat"):
            world.host(f"iptables-{variant} -t {table} -N CHAIN")
    tables = {
        variant: [line for line in world.host(f"iptables-{variant}-save").out.splitlines() if line.startswith("*")]
        for variant in ("nft", "legacy")
    }
    assert tables == {"nft": ["*mangle", "*filter", "*nat"], "legacy": ["*nat", "*mangle", "*filter"]}
    world.host("iptables-legacy -t raw -L")  # creates the table
    world.host("iptables-legacy-restore", stdin=b"*raw\nbad\n")  # fails
    legacy = [line for line in world.host("iptables-legacy-save").out.splitlines() if line.startswith("*")]
    assert legacy == ["*raw", "*nat", "*mangle", "*filter"]


def test_nft_makes_lists_and_takes_away_tables():
    world = World()
    script = (
        b"table inet guard {\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n\t\ttcp "
        b"dport 22 accept\n\t}\n}\n"
    )
    assert world.host("nft -f -", stdin=script).status == 0
    assert world.host("nft list ruleset").out == script.decode()
    world.host("nft add rule inet guard input udp dport 53 counter drop")
    assert (
        "\t\tudp dport 53 counter packets 0 bytes 0 drop # handle 3\n"
        in world.host("nft -a list table inet guard").out
    )
    assert world.host("nft delete rule inet guard input handle 3").status == 0
    assert world.host("nft list ruleset").out == script.decode()
    refused = world.host("nft add rule inet guard output accept")
    assert refused.status == 1
    assert refused.err == (
        "Error: Could not process rule: No such file or directory\n"
        "add rule inet guard output accept\n"
        "                    ^^^^^^\n"
    )
    world.host("nft flush ruleset")
    assert world.host("nft list ruleset").out == ""


def test_an_ipv4_address_may_be_there_with_two_masks(world):
    assert world.host("ip addr add 10.9.0.1/28 dev v0").status == 0
    routes = world.host("ip route show dev v0").out
    assert "10.9.0.0/24 proto kernel scope link src 10.9.0.1" in routes
    assert "10.9.0.0/28 proto kernel scope link src 10.9.0.1" in routes
    assert world.host("ip addr del 10.9.0.1/28 dev v0").status == 0
    left = world.host("ip route show dev v0").out
    assert "10.9.0.0/24" in left
    assert "10.9.0.0/28" not in left


def test_ss_shows_what_its_filter_takes(world):
    world.start(world.one, "httpd -f -p 80 -h /www")
    world.start(world.one, "httpd -f -p 81 -h /www")
    shown = world.host("ss -ltn").out.splitlines()
    assert [line.split()[3] for line in shown[1:]] == ["*:80", "*:81"]
    assert world.host("ss -H -ltn sport = :81").out.split()[3] == "*:81"
    assert world.host("ss -H -ltn not sport = :81").out.split()[3] == "*:80"
    assert world.host("ss -H -tan ( sport = :80 or sport = :81 ) and sport > :80").out.count("\n") == 1
    assert (
        world.host("ss -tn state listening").out.split("\n")[0]
        == "Recv-Q Send-Q Local Address:Port Peer Address:Port"
    )
    assert world.host("ss -H -tn state established").out == ""
    wrong = world.host("ss -tn state bad")
    assert (wrong.status, wrong.err) == (255, "ss: wrong state name: bad\n")
    wrong = world.host("ss -tn sport = :nosuch")
    assert (wrong.status, wrong.err.splitlines()[0]) == (1, 'Error: "nosuch" does not look like a port.')


def test_nsenter_leaves_the_options_of_the_program_alone(world):
    world.host("ip netns add q")
    world.host("ip netns exec q iptables -A INPUT -p tcp -j DROP")
    counted = world.host("nsenter --net=/var/run/netns/q iptables -nvxL INPUT")
    assert counted.out.splitlines()[-1].split()[:3] == ["0", "0", "DROP"]
    assert world.host("nsenter -n/var/run/netns/q ip -br link").out.startswith("lo               DOWN ")


def test_proc_is_about_the_namespace_of_its_reader(world):
    world.host("ip netns add q")
    world.host("ip neigh add 10.0.0.9 lladdr 02:00:00:00:00:09 dev eth0")
    assert world.host("cat /proc/net/arp").out == (
        "IP address       HW type     Flags       HW address            Mask     Device\n"
        "10.0.0.9         0x1         0x6         02:00:00:00:00:09     *        eth0\n"
    )
    assert world.host("ip netns exec q cat /proc/net/arp").out.count("\n") == 1
    world.host("ip netns exec q sysctl -w net.ipv4.ip_forward=1")
    assert world.host("nsenter --net=/var/run/netns/q cat /proc/sys/net/ipv4/ip_forward").out == "1\n"
    assert world.host("cat /proc/sys/net/ipv4/ip_forward").out == "0\n"
    routes = [line.split() for line in world.host("cat /proc/net/route").out.splitlines()]
    assert ["eth0", "0000000A", "00000000", "0001", "0", "0", "0", "00FFFFFF", "0", "0", "0"] in routes
    assert "fd000000000000000000000000000001 02 40 00 82     eth0\n" in world.host("cat /proc/net/if_inet6").out


def test_ip_addr_of_ipv6_alone_knows_less_of_the_links(world):
    first = world.host("ip -6 addr").out.splitlines()[0]
    assert first == "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 state UNKNOWN qlen 1000"
    assert "qdisc noqueue state UNKNOWN group default qlen 1000" in world.host("ip -6 addr show lo").out
    assert "promiscuity 0 allmulti 0 minmtu 0 maxmtu 0" in world.host("ip -d addr show lo").out
    assert (
        "local ::1 dev lo table local proto kernel metric 0 pref medium" in world.host("ip route show table all").out
    )


def test_ip_route_get_tells_the_learned_mtu(world):
    world.one.root.path_mtu.learn(parse_ip("10.0.0.2"), 1400)
    assert world.host("ip route get 10.0.0.2").out.splitlines()[1] == "    cache expires 600sec mtu 1400 "


def test_a_card_drops_frames_longer_than_its_mtu(world):
    world.host("ip link set eth0 mtu 1400", machine=world.two)
    world.clock.run_for(2)
    assert " 1 received" in world.host("ping -c 1 -W 1 -s 1376 10.0.0.2").out
    assert " 0 received" in world.host("ping -c 1 -W 1 -s 1400 10.0.0.2").out
