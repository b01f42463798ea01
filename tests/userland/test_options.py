"""Options that are implemented, and options that are refused because they are not."""

import pytest
from support.program_host import World

from cnmsim.userland import HOST_PROGRAMS


def seen_by_two(line, command, **options):
    """Return the output of a capture at `two` while `one` runs a command."""
    world = World()
    dump = world.start(world.two, f"tcpdump -n -t -i eth0 {line}", HOST_PROGRAMS)
    output = world.host(command, **options)
    dump.kill(2)
    return output, dump.stdout.getvalue().decode().strip().splitlines()


@pytest.mark.parametrize(
    "line",
    [
        "nft -c list ruleset", "nft -e list ruleset", "nft -y list ruleset", "dmesg -H", "curl -T x http://10.0.0.2/",
        "curl -C - http://10.0.0.2/",
        "curl -r 0-1 http://10.0.0.2/", "wget -o log http://10.0.0.2/", "nc -q 1 10.0.0.2 80", "nc -f x 10.0.0.2 80",
        "cat -s /etc/hosts",
        "ls -Z /etc", "sort -y /etc/hosts", "uniq -y /etc/hosts", "wc -y /etc/hosts", "grep -y x /etc",
        "ping -f 10.0.0.2", "ping -R 10.0.0.2",
        "ping -A 10.0.0.2", "traceroute -g 10.0.0.2 10.0.0.3", "traceroute -r 10.0.0.2", "netstat -c",
        "udhcpc -R -i eth0",
        "arp -D", "httpd -i", "sysctl -p", "iptables-restore -v",
    ],
)  # fmt: skip
def test_what_is_not_done_is_refused(line):
    result = World().host(line, limit_s=5)
    assert result.status not in (0, None)
    assert result.out == ""
    assert any(words in result.err for words in ("invalid option -- '", ": is unknown")), result.err


def test_ping_marks_its_packets_and_fills_them():
    output, lines = seen_by_two("-v -x icmp and dst 10.0.0.2", "ping -c 1 -Q 0x10 -p abcd -D 10.0.0.2")
    assert lines[0].startswith("IP (tos 0x10, ")
    assert lines[-1].endswith("abcd abcd")
    assert output.out.splitlines()[1].startswith("[1767225")


def test_ping_tells_what_is_not_answered_yet():
    world = World()
    out = world.host("ping -O -c 3 -W 1 10.0.0.77").out
    assert "no answer yet for icmp_seq=1" in out


def test_traceroute_marks_its_packets_and_takes_its_time():
    output, lines = seen_by_two("-v udp", "traceroute -n -F -t 16 -q 2 -z 500 10.0.0.2")
    assert output.status == 0
    assert all("tos 0x10" in line and "flags [DF]" in line for line in lines if line.startswith("IP ("))


def test_traceroute_asks_from_the_address_it_is_given():
    world = World()
    world.host("ip addr add 10.0.0.11/24 dev eth0")
    dump = world.start(world.two, "tcpdump -n -t -i eth0 icmp", HOST_PROGRAMS)
    world.host("traceroute -n -I -q 1 -s 10.0.0.11 10.0.0.2")
    dump.kill(2)
    assert dump.stdout.getvalue().decode().startswith("IP 10.0.0.11 > 10.0.0.2: ICMP echo request")


@pytest.mark.parametrize(
    ("option", "expected_text"),
    [("-U", "Request who-has 10.0.0.1 ("), ("-A", "Reply 10.0.0.1 is-at 02:00:00:00:00:01")],
)
def test_arping_announces(option, expected_text):
    output, lines = seen_by_two("arp", f"arping {option} -c 2 -I eth0 10.0.0.1")
    assert output.status == 0
    assert output.out.splitlines() == [
        "ARPING 10.0.0.1 from 10.0.0.1 eth0", "Sent 2 probe(s) (2 broadcast(s))",
        "Received 0 response(s) (0 request(s), 0 broadcast(s))",
    ]  # fmt: skip
    assert len([line for line in lines if f"ARP, {expected_text}" in line]) == 2


def test_netstat_shows_one_family_and_no_others_for_raw_ones():
    world = World()
    world.start(world.one, "httpd -f -p 80")
    assert len(world.host("netstat -tln -6").out.splitlines()) == 3
    assert len(world.host("netstat -tln -4").out.splitlines()) == 2
    assert len(world.host("netstat -wln").out.splitlines()) == 2


def test_iptables_restore_that_is_a_test_changes_nothing():
    world = World()
    world.host("iptables -A INPUT -p icmp -j DROP")
    before = world.host("iptables-save").out
    rules = b"*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
    assert world.argv(["iptables-restore", "-t"], stdin=rules, programs=HOST_PROGRAMS).status == 0
    assert world.host("iptables-save").out == before
    assert world.argv(["iptables-restore"], stdin=rules, programs=HOST_PROGRAMS).status == 0
    assert "-j DROP" not in world.host("iptables-save").out


def test_iptables_save_writes_a_file():
    world = World()
    world.host("iptables -A INPUT -p icmp -j DROP")
    assert world.host("iptables-save -f /tmp/rules").out == ""
    assert b"-A INPUT -p icmp -j DROP" in world.one.files.read("/tmp/rules")


@pytest.mark.parametrize(
    ("line", "expected_text"),
    [
        ("create s hash:ip timeout 60", "Unknown argument: `timeout'"),
        ("create s hash:ip comment", "Unknown argument: `comment'"),
        ("add t 10.0.0.1 timeout 5", "Unknown argument: `timeout'"),
    ],
)
def test_sets_have_no_lifetimes(line, expected_text):
    world = World()
    assert world.host("ipset create t hash:ip family inet hashsize 1024").status == 0
    result = world.host(f"ipset {line}")
    assert (result.status, result.err) == (1, f"ipset v7.22: {expected_text}\n")


def test_grep_shows_what_is_around():
    world = World()
    world.one.files.write("/x", b"a\nb\nhit\nc\nd\ne\nhit\nf\n")
    assert world.run("grep -A1 hit /x").out == "hit\nc\n--\nhit\nf\n"
    assert world.run("grep -n -B1 hit /x").out == "2-b\n3:hit\n--\n6-e\n7:hit\n"
    assert world.run("grep -C 2 hit /x").out == "a\nb\nhit\nc\nd\ne\nhit\nf\n"


def test_cat_shows_what_does_not_print():
    world = World()
    world.one.files.write("/x", b"a\tb\n\n\x01\x7f\xc3\xa9z")
    assert world.run("cat -A /x").out == "a^Ib$\n$\n^A^?M-CM-)z"
    assert world.run("cat -v /x").out == "a\tb\n\n^A^?M-CM-)z"
    assert world.run("cat -be /x").out == "     1\ta\tb$\n$\n     2\t^A^?M-CM-)z"


def test_ls_tells_folders_and_sizes():
    world = World()
    world.one.files.put("/d/big", bytes(2560))
    assert world.run("ls -F /d/..").out.splitlines()[0].endswith("d/")
    assert " 2.5K Jan" in world.run("ls -lh /d").out


def test_netstat_tells_whose_sockets_are_and_what_devices_did():
    world = World()
    world.start(world.one, "httpd -f -p 80")
    lines = world.host("netstat -tlnpe").out.splitlines()
    # The columns of net-tools 2.10.
    assert lines[1].endswith(" State       User       Inode      PID/Program name    ")
    assert " LISTEN      0          0          " in lines[2]
    assert lines[2].rstrip().endswith("/httpd")
    assert " LISTEN      root       0         " in world.host("netstat -tle").out
    world.host("ping -c 2 10.0.0.2")
    table = world.host("netstat -i").out.splitlines()
    assert table[0] == "Kernel Interface table"
    device = world.one.root.devices["eth0"]
    assert table[2].split() == [
        "eth0", "1500", str(device.rx_packets), "0", "0", "0", str(device.tx_packets), "0", "0", "0", "BMRU",
    ]  # fmt: skip
    assert table[3] == "lo              65536        0      0      0 0             0      0      0      0 LRU"
    assert world.host("netstat -xn").out.startswith("Active UNIX domain sockets (w/o servers)\nProto RefCnt")


@pytest.mark.parametrize("option", ["-ti", "-tm", "-te", "-tr"])
def test_ss_refuses_what_it_does_not_know_of_sockets(option):
    result = World().host(f"ss {option}")
    assert (result.status, result.out) == (255, "")
    assert result.err.startswith(f"ss: invalid option -- '{option[-1]}'\n")


@pytest.mark.parametrize(
    "option", ["+trace", "+multiline", "+qr", "+identify", "+nottlid", "-c CH", "-y hmac:k:c2VjcmV0", "-u"]
)
def test_dig_refuses_what_it_would_not_do(option):
    result = World().host(f"dig @10.0.0.2 {option} www.example.com")
    assert (result.status, result.out) == (1, "")
    assert result.err.startswith(f"Invalid option: {option.split()[0]}\n")


def test_dig_asks_for_signatures():
    world = World()
    world.serve_names({"www.example.com": ["A 10.0.0.2"]})
    dump = world.start(world.two, "tcpdump -n -t -x -i eth0 dst port 53", HOST_PROGRAMS)
    world.host("dig @10.0.0.2 +dnssec +nocookie www.example.com")
    dump.kill(2)
    # The OPT record: root, type 41, payload 1232, no extended code, version 0, the DO bit.
    assert "0029 04d0 0000 8000 0000" in dump.stdout.getvalue().decode().replace("\n\t0x0030: ", "").replace(
        "\n\t0x0040: ", ""
    )


@pytest.mark.parametrize("words", ["broadcast 10.0.0.200", "hw ax25 x", "metric 5"])
def test_ifconfig_changes_nothing_that_it_cannot(words):
    world = World()
    before = world.run("ifconfig eth0").out
    result = world.run(f"ifconfig eth0 10.0.0.9 {words}")
    assert (result.status, result.out) == (1, "")
    assert result.err.endswith("Operation not supported\n")
    assert world.run("ifconfig eth0").out == before


def test_ifconfig_sets_the_hardware_address():
    world = World()
    assert world.run("ifconfig eth0 hw ether 02:00:00:00:00:99").status == 0
    assert "HWaddr 02:00:00:00:00:99" in world.run("ifconfig eth0").out
