"""Names of protocols and services.

They are the entries in Debian's /etc/protocols and /etc/services that packet filters use.
"""

from __future__ import annotations

#: The protocols that iptables itself names when it prints a rule; all others are printed as numbers.
PRINTED_PROTOCOLS: dict[int, str] = {
    0: "all", 1: "icmp", 6: "tcp", 17: "udp", 33: "dccp", 50: "esp", 51: "ah", 58: "ipv6-icmp", 108: "ipcomp",
    132: "sctp", 135: "ipv6-mh", 136: "udplite",
}  # fmt: skip

PROTOCOLS: dict[str, int] = {
    **{name: number for number, name in PRINTED_PROTOCOLS.items()},
    "icmpv6": 58, "mh": 135, "ip": 0, "igmp": 2, "ggp": 3, "ipencap": 4, "st": 5, "egp": 8, "igp": 9, "ddp": 37,
    "ipv6": 41, "ipv6-route": 43, "ipv6-frag": 44, "rsvp": 46, "gre": 47, "ipv6-nonxt": 59, "ipv6-opts": 60,
    "eigrp": 88, "ospf": 89, "ospfigp": 89, "ipip": 94, "etherip": 97, "pim": 103, "vrrp": 112,
    "l2tp": 115, "isis": 124, "mpls-in-ip": 137, "hmp": 20, "xns-idp": 22, "rdp": 27, "iso-tp4": 29, "xtp": 36,
    "idpr-cmtp": 38, "idrp": 45, "skip": 57, "rspf": 73, "vmtp": 81, "ax.25": 93, "encap": 98, "manet": 138,
    "shim6": 140, "wesp": 141, "rohc": 142,
}  # fmt: skip

LONG_PROTOCOL_NAMES: dict[int, str] = {
    number: name for name, number in reversed(PROTOCOLS.items())
} | PRINTED_PROTOCOLS

SERVICES: dict[str, int] = {
    "tcpmux": 1, "echo": 7, "discard": 9, "systat": 11, "daytime": 13, "chargen": 19, "ftp-data": 20, "ftp": 21,
    "ssh": 22, "telnet": 23, "smtp": 25, "time": 37, "whois": 43, "tacacs": 49, "domain": 53, "bootps": 67,
    "bootpc": 68, "tftp": 69, "gopher": 70, "finger": 79, "http": 80, "kerberos": 88, "pop3": 110, "sunrpc": 111,
    "auth": 113, "nntp": 119, "ntp": 123, "netbios-ns": 137, "netbios-dgm": 138, "netbios-ssn": 139, "imap2": 143,
    "snmp": 161, "snmp-trap": 162, "bgp": 179, "irc": 194, "ldap": 389, "https": 443, "microsoft-ds": 445,
    "submissions": 465, "isakmp": 500, "exec": 512, "login": 513, "shell": 514, "syslog": 514, "printer": 515,
    "ipp": 631, "ldaps": 636, "domain-s": 853, "rsync": 873, "ftps": 990, "imaps": 993, "pop3s": 995,
    "socks": 1080, "openvpn": 1194, "ms-sql-s": 1433, "ms-sql-m": 1434, "l2f": 1701, "radius": 1812,
    "radius-acct": 1813, "mqtt": 1883, "cisco-sccp": 2000, "nfs": 2049, "iscsi-target": 3260, "mysql": 3306,
    "ms-wbt-server": 3389, "svn": 3690, "epmd": 4369, "ipsec-nat-t": 4500, "sip": 5060, "sip-tls": 5061,
    "xmpp-client": 5222, "postgresql": 5432, "amqps": 5671, "amqp": 5672, "x11": 6000, "redis": 6379,
    "http-alt": 8080, "puppet": 8140, "mqtts": 8883, "git": 9418, "zabbix-agent": 10050, "zabbix-trapper": 10051,
}  # fmt: skip

SERVICE_NAMES: dict[int, str] = {number: name for name, number in reversed(SERVICES.items())}
