"""The programs that run in containers and on hosts, each a coroutine on a `Process`; output as the real one prints it.

Containers have busybox (1.37, as Debian 13's `busybox-static`); hosts have iputils, iproute2, curl, bind's tools,
the iptables family and what busybox adds to them. A program's module is loaded when it first runs.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

    Program = Callable[[Process], Coroutine[Any, Any, int]]

__all__ = ["CONTAINER_PROGRAMS", "HOST_PROGRAMS", "PROGRAMS"]


def _program(place: str) -> Program:
    module_name, _, function_name = place.partition(":")

    async def run(process: Process) -> int:
        from cnmsim.userland.applet import settled

        main = getattr(import_module(f"cnmsim.userland.{module_name}"), function_name or "main")
        return await settled(process, await main(process))

    run.__name__ = run.__qualname__ = place
    return run


#: name → module[:function], the same on hosts and in containers.
_COMMON = {
    "[": "files:test",
    "basename": "files:basename",
    "cat": "text:cat",
    "cut": "text:cut",
    "date": "system:date",
    "dirname": "files:dirname",
    "echo": "echo:echo",
    "env": "system:env",
    "expr": "text:expr",
    "false": "system:false",
    "grep": "grep:grep",
    "head": "text:head",
    "id": "system:id_",
    "kill": "system:kill",
    "killall": "system:killall",
    "ls": "files:ls",
    "mkdir": "files:mkdir",
    "printenv": "system:printenv",
    "printf": "echo:printf",
    "ps": "system:ps",
    "pwd": "files:pwd",
    "rm": "files:rm",
    "rmdir": "files:rmdir",
    "sed": "sed:sed",
    "seq": "text:seq",
    "service": "service",
    "sh": "sh",
    "ash": "sh",
    "bash": "sh",
    "sleep": "system:sleep",
    "sort": "text:sort",
    "tail": "text:tail",
    "tee": "text:tee",
    "test": "files:test",
    "timeout": "system:timeout",
    "touch": "files:touch",
    "tr": "text:tr",
    "true": "system:true",
    "uname": "system:uname",
    "uniq": "text:uniq",
    "uptime": "system:uptime",
    "wc": "text:wc",
    "whoami": "system:whoami",
    "httpd": "httpd",
    "nc": "nc",
    "sysctl": "sysctl",
    "tcpdump": "tcpdump",
    "telnet": "telnet",
    "traceroute": "traceroute",
    "udhcpc": "udhcpc",
    "traceroute6": "traceroute",
    "wget": "wget",
    "getent": "getent",
    "arping": "arping",
    "ifconfig": "ifconfig",
    "route": "route",
}

_CONTAINER = {
    "arp": "arp:busybox",
    "hostname": "hostname:busybox",
    "busybox": "system:busybox",
    "ip": "ip_busybox",
    "netstat": "netstat",
    "nslookup": "nslookup",
    "ping": "ping",
    "ping6": "ping",
    "sysctl": "sysctl:busybox",
    "curl": "curl",
    "dig": "dig",
}

_HOST = {
    "arp": "arp:nettools",
    "brctl": "bridge:brctl",
    "bridge": "bridge",
    "conntrack": "conntrack",
    "curl": "curl",
    "dig": "dig",
    "dmesg": "dmesg",
    "hostname": "hostname:debian",
    "host": "bind_lookup:host",
    "ip": "ip_iproute",
    "ipset": "ipset",
    "ipvsadm": "ipvsadm",
    "netstat": "netstat:nettools",
    "nft": "nft",
    "nsenter": "nsenter",
    "nslookup": "bind_lookup:nslookup",
    "ping": "iputils",
    "ping6": "iputils",
    "ss": "ss",
}

_IPTABLES = {
    f"{family}{variant}{suffix}": f"iptables{function}"
    for family in ("iptables", "ip6tables")
    for variant in ("", "-nft", "-legacy")
    for suffix, function in (("", ""), ("-restore", ":restore"), ("-save", ":save"))
}

#: What a container's image holds: busybox, and curl and dig, which many images add.
CONTAINER_PROGRAMS: Mapping[str, Program] = {name: _program(place) for name, place in (_COMMON | _CONTAINER).items()}
#: What a host has.
HOST_PROGRAMS: Mapping[str, Program] = {
    name: _program(place) for name, place in (_COMMON | _HOST | _IPTABLES).items()
}
#: Every program under its host flavour, and those only containers have.
PROGRAMS: Mapping[str, Program] = {**CONTAINER_PROGRAMS, **HOST_PROGRAMS}
