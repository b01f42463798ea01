"""The set-ups that are compared: what is done to the topology of `two_worlds`, line by line."""

FORWARD4, FORWARD6 = "h: sysctl net.ipv4.ip_forward=1", "h: sysctl net.ipv6.conf.all.forwarding=1"
FORWARD = (FORWARD4, FORWARD6)
BRIDGE_NF = (
    "h: sysctl net.bridge.bridge-nf-call-iptables=1",
    "h: sysctl net.bridge.bridge-nf-call-ip6tables=1",
)


def both(rule, **v6):
    """Give a rule for iptables and ip6tables, with words replaced for the latter."""
    other = rule
    for old, new in v6.items():
        other = other.replace(old, new)
    return (f"h: iptables {rule}", f"h: ip6tables {other}")


def as_legacy(commands):
    """Give the same commands to the other variant of the program."""
    return tuple(command.replace("tables ", "tables-legacy ", 1) for command in commands)


def legacy(rule):
    """Give a rule for iptables-legacy and ip6tables-legacy."""
    return as_legacy(both(rule))


INET = ("table inet t {",)
FORWARD_BASE = "chain forward { type filter hook forward priority filter;"


def nft(*parts):
    """Give the command that makes a table of these parts."""
    return f"h: nft '{parts[0]} {'; '.join(parts[1:])}; }}'"


def reject(chain, how4="", how6=""):
    return (
        f"h: iptables -A {chain} -j REJECT" + f" --reject-with {how4}" * bool(how4),
        f"h: ip6tables -A {chain} -j REJECT" + f" --reject-with {how6}" * bool(how6),
    )


def tcp_reset(chain):
    return both(f"-A {chain} -p tcp -j REJECT --reject-with tcp-reset")


ESTABLISHED = "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
MASQUERADE = (
    "h: iptables -t nat -A POSTROUTING -s 10.1.0.0/24 ! -o br1 -j MASQUERADE",
    "h: ip6tables -t nat -A POSTROUTING -s fd01::/64 ! -o br1 -j MASQUERADE",
)
PUBLISH = (
    (
        "h: iptables -t nat -A PREROUTING -p tcp --dport 8080 -m addrtype --dst-type LOCAL -j DNAT --to-destination "
        "10.1.0.2:80"
    ),
    (
        "h: iptables -t nat -A OUTPUT -p tcp --dport 8080 -m addrtype --dst-type LOCAL -j DNAT --to-destination "
        "10.1.0.2:80"
    ),
    (
        "h: iptables -t nat -A PREROUTING -p udp --dport 8080 -m addrtype --dst-type LOCAL -j DNAT --to-destination "
        "10.1.0.2:80"
    ),
    (
        "h: iptables -t nat -A OUTPUT -p udp --dport 8080 -m addrtype --dst-type LOCAL -j DNAT --to-destination "
        "10.1.0.2:80"
    ),
    "h: ip6tables -t nat -A PREROUTING -p tcp --dport 8080 -d fd09::1 -j DNAT --to-destination [fd01::2]:80",
    "h: ip6tables -t nat -A PREROUTING -p udp --dport 8080 -d fd09::1 -j DNAT --to-destination [fd01::2]:80",
)
HAIRPIN_MASQUERADE = (
    "h: iptables -t nat -A POSTROUTING -s 10.1.0.2 -d 10.1.0.2 -j MASQUERADE",
    "h: ip6tables -t nat -A POSTROUTING -s fd01::2 -d fd01::2 -j MASQUERADE",
)

SETUPS = {
    "nothing set": (),
    "forwarding of IPv4 only": (FORWARD4,),
    "forwarding": FORWARD,
    "input dropped": (*FORWARD, *both("-P INPUT DROP")),
    "output dropped": (*FORWARD, *both("-P OUTPUT DROP")),
    "forward dropped": (*FORWARD, *both("-P FORWARD DROP")),
    "forward rejected": (*FORWARD, *reject("FORWARD")),
    "forward rejected, host prohibited": (*FORWARD, *reject("FORWARD", "icmp-host-prohibited",
        "icmp6-adm-prohibited")),
    "forward rejected, admin prohibited": (*FORWARD, *reject("FORWARD", "icmp-admin-prohibited", "icmp6-no-route")),
    "forward rejected, net unreachable": (*FORWARD, *reject("FORWARD", "icmp-net-unreachable",
        "icmp6-addr-unreachable")),
    "forward rejected, host unreachable": (*FORWARD, *reject("FORWARD", "icmp-host-unreachable")),
    "forward rejected, proto unreachable": (*FORWARD, *reject("FORWARD", "icmp-proto-unreachable")),
    "forward rejected, net prohibited": (*FORWARD, *reject("FORWARD", "icmp-net-prohibited")),
    "forward reset": (*FORWARD, *tcp_reset("FORWARD")),
    "input reset": (*FORWARD, *tcp_reset("INPUT")),
    "input rejected": (*FORWARD, *reject("INPUT", "icmp-host-prohibited")),
    "output rejected": (*FORWARD, *reject("OUTPUT")),
    "output reset": (*FORWARD, *tcp_reset("OUTPUT")),
    "established only, from a": (
        *FORWARD, *both("-P FORWARD DROP"), *both(f"-A FORWARD {ESTABLISHED}"),
        *both("-A FORWARD -i br1 ! -o br1 -j ACCEPT"),
    ),
    "new only": (*FORWARD, *both("-P FORWARD DROP"), *both("-A FORWARD -m conntrack --ctstate NEW -j ACCEPT")),
    "invalid dropped on the way in": (*FORWARD, *both("-A INPUT -m conntrack --ctstate INVALID -j DROP")),
    "invalid and related dropped": (*FORWARD, *both("-A FORWARD -m conntrack --ctstate INVALID,RELATED -j DROP")),
    "masquerade": (*FORWARD, *MASQUERADE),
    "masquerade to random ports": (*FORWARD, "h: iptables -t nat -A POSTROUTING -o eth0 -j MASQUERADE --random"),
    "source translated": (
        *FORWARD, "h: iptables -t nat -A POSTROUTING -p udp -o eth0 -j SNAT --to-source 192.168.9.1:30000-30999",
        "h: iptables -t nat -A POSTROUTING -o eth0 -j SNAT --to-source 192.168.9.1",
        "h: ip6tables -t nat -A POSTROUTING -o eth0 -j SNAT --to-source fd09::1",
    ),
    "no way back for containers, masquerade": (
        *FORWARD, *MASQUERADE, "x: ip route del default", "x: ip -6 route del default",
    ),
    "no way back for containers": (*FORWARD, "x: ip route del default", "x: ip -6 route del default"),
    "published": (*FORWARD, *PUBLISH),
    "published and masqueraded": (*FORWARD, *PUBLISH, *MASQUERADE),
    "published, hairpin": (
        *FORWARD, *PUBLISH, *MASQUERADE, *HAIRPIN_MASQUERADE, "h: bridge link set dev va hairpin on",
    ),
    "published, but rejected": (*FORWARD, *PUBLISH, *reject("FORWARD")),
    "published, but reset": (*FORWARD, *PUBLISH, *tcp_reset("FORWARD")),
    "published to a closed port": (
        *FORWARD, "h: iptables -t nat -A PREROUTING -p udp --dport 8080 -j DNAT --to-destination 10.1.0.2:81",
        "h: iptables -t nat -A PREROUTING -p tcp --dport 8080 -j DNAT --to-destination 10.1.0.2:81",
        "h: ip6tables -t nat -A PREROUTING -p udp --dport 8080 -j DNAT --to-destination [fd01::2]:81",
        "h: ip6tables -t nat -A PREROUTING -p tcp --dport 8080 -j DNAT --to-destination [fd01::2]:81",
    ),
    "published to nobody's route": (
        *FORWARD, "h: ip route add unreachable 10.8.0.0/24", "h: ip -6 route add unreachable fd08::/64",
        "h: iptables -t nat -A PREROUTING -p udp --dport 8080 -d 192.168.9.1 -j DNAT --to-destination 10.8.0.2:80",
        "h: iptables -t nat -A PREROUTING -p tcp --dport 8080 -d 192.168.9.1 -j DNAT --to-destination 10.8.0.2:80",
        "h: ip6tables -t nat -A PREROUTING -p udp --dport 8080 -j DNAT --to-destination [fd08::2]:80",
    ),
    "redirected": (
        *FORWARD, *both("-t nat -A PREROUTING -p tcp --dport 8080 -j REDIRECT --to-ports 80"),
        *both("-t nat -A PREROUTING -p udp --dport 8080 -j REDIRECT --to-ports 5000"),
        *both("-t nat -A OUTPUT -p udp --dport 8080 -j REDIRECT --to-ports 5000"),
    ),
    "pings translated": (
        *FORWARD, "h: iptables -t nat -A PREROUTING -p icmp -d 192.168.9.1 -j DNAT --to-destination 10.1.0.2",
        "h: ip6tables -t nat -A PREROUTING -p ipv6-icmp -d fd09::1 -j DNAT --to-destination fd01::2",
    ),
    "unreachable route": (*FORWARD, "h: ip route add unreachable 10.9.0.0/24",
                          "h: ip -6 route add unreachable fd99::/64"),
    "prohibited route": (*FORWARD, "h: ip route add prohibit 10.9.0.0/24", "h: ip -6 route add prohibit fd99::/64"),
    "blackhole route": (*FORWARD, "h: ip route add blackhole 10.9.0.0/24", "h: ip -6 route add blackhole fd99::/64"),
    "no default route on the way": (*FORWARD,),
    "no route in a": ("a: ip route del default", "a: ip -6 route del default"),
    "unreachable in a": (
        "a: ip route add unreachable 10.2.0.0/24", "a: ip -6 route add unreachable fd02::/64",
        "a: ip route add prohibit 192.168.9.0/24", "a: ip -6 route add prohibit fd09::/64",
        "a: ip route add blackhole 10.9.0.0/24", "a: ip -6 route add blackhole fd99::/64",
    ),
    "small MTU behind the router": (
        *FORWARD, "h: ip link set vc mtu 1400", "h: ip link set br2 mtu 1400", "c: ip link set eth0 mtu 1400",
    ),
    "small MTU behind NAT": (
        *FORWARD, *MASQUERADE, *PUBLISH, "h: ip link set eth0 mtu 1400", "x: ip link set eth0 mtu 1400",
    ),
    "route with an MTU": (*FORWARD, "h: ip route change 10.2.0.0/24 dev br2 mtu 1300"),
    "bridged traffic not filtered": (*FORWARD, *both("-P FORWARD DROP")),
    "icc off": (*FORWARD, *BRIDGE_NF, *both("-A FORWARD -i br1 -o br1 -j DROP")),
    "icc rejected": (*FORWARD, *BRIDGE_NF, *reject("FORWARD -i br1 -o br1")),
    "icc reset": (*FORWARD, *BRIDGE_NF, *tcp_reset("FORWARD -i br1 -o br1")),
    "bridged, published, masqueraded": (*FORWARD, *BRIDGE_NF, *PUBLISH, *MASQUERADE),
    "bridged, hairpin": (
        *FORWARD, *BRIDGE_NF, *PUBLISH, *MASQUERADE, *HAIRPIN_MASQUERADE, "h: bridge link set dev va hairpin on",
    ),
    "bridged, established only": (
        *FORWARD, *BRIDGE_NF, *both("-P FORWARD DROP"), *both(f"-A FORWARD {ESTABLISHED}"),
        *both("-A FORWARD -m physdev --physdev-in va -j ACCEPT"),
    ),
    "raw prerouting drops": (
        *FORWARD, "h: iptables -t raw -A PREROUTING -d 10.1.0.2 ! -i br1 -j DROP",
        "h: ip6tables -t raw -A PREROUTING -d fd01::2 ! -i br1 -j DROP",
    ),
    "reverse path filtered": (
        *FORWARD, "h: sysctl net.ipv4.conf.all.rp_filter=1", "h: ip route add 10.2.0.2/32 via 192.168.9.2",
    ),
    "reverse path filtered loosely": (
        *FORWARD, "h: sysctl net.ipv4.conf.all.rp_filter=2", "h: ip route add 10.2.0.2/32 via 192.168.9.2",
    ),
    "by ports and lists": (
        *FORWARD, *both("-P FORWARD DROP"), *both(f"-A FORWARD {ESTABLISHED}"),
        *both("-A FORWARD -p tcp -m multiport --dports 80,443 -j ACCEPT"),
        *both("-A FORWARD -p udp --dport 4000:5000 -j ACCEPT"),
        "h: iptables -A FORWARD -p icmp --icmp-type echo-request -j ACCEPT",
    ),
    "marked": (
        *FORWARD, *both("-t mangle -A PREROUTING -p udp -j MARK --set-mark 0x7"),
        *both("-A FORWARD -m mark --mark 0x7 -j DROP"),
    ),
    "user chains": (
        *FORWARD, *both("-N one"), *both("-N two"), *both("-A FORWARD -j one"), *both("-A one -p tcp -j RETURN"),
        *both("-A one -p udp -g two"), *both("-A one -j ACCEPT"), *both("-A two -p udp --dport 80 -j DROP"),
        *both("-A FORWARD -p tcp -j REJECT --reject-with tcp-reset"), *both("-A FORWARD -j DROP"),
    ),
    "legacy drops what nf_tables accepts": (
        *FORWARD, *both("-P FORWARD ACCEPT"), *legacy("-P FORWARD DROP"),
        *legacy("-A FORWARD -i br1 -p tcp --dport 80 -j ACCEPT"),
    ),
    "nf_tables drops what legacy accepts": (
        *FORWARD, *legacy("-A FORWARD -j ACCEPT"), *both("-A FORWARD -o eth0 -j DROP"),
        *both("-A FORWARD -o br2 -j REJECT"),
    ),
    "legacy publishes, nf_tables masquerades": (*FORWARD, *as_legacy(PUBLISH), *MASQUERADE),
    "both publish, legacy first": (
        *FORWARD, *legacy("-t nat -A PREROUTING -p udp --dport 8080 -j REDIRECT --to-ports 80"),
        *both("-t nat -A PREROUTING -p udp --dport 8080 -j REDIRECT --to-ports 5000"),
    ),
    "both publish, nf_tables first": (
        *FORWARD, *both("-t nat -A PREROUTING -p udp --dport 8080 -j REDIRECT --to-ports 5000"),
        *legacy("-t nat -A PREROUTING -p udp --dport 8080 -j REDIRECT --to-ports 80"),
    ),
    "nft: forward dropped by policy": (*FORWARD, nft(*INET, f"{FORWARD_BASE} policy drop; }}")),
    "nft: established only, from a": (
        *FORWARD,
        nft(*INET, f"{FORWARD_BASE} policy drop; ct state established,related accept; iifname br1 oifname != br1 "
                   f"accept; }}"),
    ),
    "nft: accept ends one chain only": (
        *FORWARD,
        nft(*INET, f"{FORWARD_BASE} accept; }}",
            "chain later { type filter hook forward priority 10; tcp dport 80 drop; }"),
    ),
    "nft: by sets and maps": (
        *FORWARD,
        nft(
            *INET, "set hosts { type ipv4_addr; flags interval; elements = { 10.1.0.2, 10.2.0.0/24 }; }",
            "map ports { type inet_proto . inet_service : verdict; elements = { tcp . 80 : drop, udp . 5000 : jump "
            "no }; }",
            "chain no { reject with icmpx admin-prohibited; }",
            f"{FORWARD_BASE} ip saddr @hosts meta l4proto . th dport vmap @ports; iifname vmap {{ br2 : goto no }}; "
            f"}}",
        ),
    ),
    "nft: rejected": (*FORWARD, nft(*INET, f"{FORWARD_BASE} meta l4proto tcp reject with tcp reset; reject; }}")),
    "nft: input and output": (
        *FORWARD,
        nft(
            *INET, "chain in { type filter hook input priority filter; ct state invalid drop; tcp dport 80 reject; "
                   "icmp type echo-request drop; }",
            "chain out { type filter hook output priority filter; udp dport != { 53, 5000-5001 } ip daddr "
            "10.0.0.0/8 drop; }",
        ),
    ),
    "nft: published and masqueraded": (
        *FORWARD,
        nft(
            *INET, "chain pre { type nat hook prerouting priority dstnat; fib daddr type local jump nat; }",
            "chain nat { iifname != br1 meta l4proto tcp ip daddr 10.2.0.1 tcp dport 8080 dnat ip to 10.1.0.2:80; "
            "ip daddr 192.168.9.1 udp dport 8080 dnat ip to 10.1.0.2:80; ip6 daddr fd09::1 tcp dport 8080 dnat ip6 "
            "to [fd01::2]:80; }",
            "chain post { type nat hook postrouting priority srcnat; ip saddr 10.1.0.0/24 oifname != br1 "
            "masquerade; }",
        ),
    ),
    "nft: mapped to servers, marked, redirected": (
        *FORWARD,
        nft(
            *INET, "chain early { type filter hook prerouting priority mangle; meta l4proto udp meta mark set 0x7; }",
            f"{FORWARD_BASE} meta mark & 0xf == 0x7 udp dport 80 drop; }}",
            "chain pre { type nat hook prerouting priority dstnat; dnat ip to udp dport map { 8080 : 10.1.0.3 . "
            "5000 }; tcp dport 8080 redirect to :80; }",
            "chain out { type route hook output priority mangle; udp dport 5000 meta mark set 0x1; }",
        ),
    ),
    "nft: raw drops and untracked": (
        *FORWARD,
        nft(
            *INET, "chain raw { type filter hook prerouting priority raw; ip daddr 10.1.0.2 iifname != br1 drop; "
                   "udp dport 5000 notrack; }",
            f"{FORWARD_BASE} ct state untracked oifname br2 drop; ct state new ip6 daddr fd01::2 drop; }}",
        ),
    ),
    "nft: bridged, icc off": (*FORWARD, *BRIDGE_NF, nft(*INET, f"{FORWARD_BASE} iifname br1 oifname br1 drop; }}")),
    "nft beside iptables: both must accept": (
        *FORWARD, *both("-A FORWARD -p udp -j DROP"), nft(*INET, f"{FORWARD_BASE} tcp dport 80 drop; }}"),
    ),
}  # fmt: skip
