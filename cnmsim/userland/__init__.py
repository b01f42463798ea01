"""The programs of containers and hosts, one package per program family, and the table of all programs by name.

Each program is a coroutine that receives its `Process`, prints exactly what the real program prints and returns the
exit status. Containers have busybox 1.37 (as in Debian 13's `busybox-static`), curl and dig. Hosts have iputils,
iproute2, curl, bind's tools, the iptables family, and busybox for the rest. A program's module is imported when the
program first runs.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

    Program = Callable[[Process], Coroutine[Any, Any, int]]

__all__ = ["CONTAINER_PROGRAMS", "HOST_PROGRAMS"]


def _refused(process: Process, text: str) -> int:
    """Print `text` after the program's name on standard error. Return exit status 1.

    Used for an error that a program raises and does not print itself.
    """
    process.error(f"{process.argv[0].rpartition('/')[2]}: {text}\n")
    return 1


def _program(location: str) -> Program:
    module_name, _, function_name = location.partition(":")

    async def run(process: Process) -> int:
        from cnmsim.userland.invocation import ExitProgram, finish
        from cnmsim.userland.libc.getopt import UsageError

        main = getattr(import_module(f"cnmsim.userland.{module_name}"), function_name or "main")
        try:
            status = await main(process)
        except ExitProgram as leaving:
            status = leaving.status
        except UsageError as error:
            status = _refused(process, str(error))
        except BrokenPipeError:
            raise
        except OSError as error:
            file = f"{error.filename}: " if error.filename is not None else ""
            status = _refused(process, f"{file}{error.strerror or error}")
        return await finish(process, status)

    run.__name__ = run.__qualname__ = location
    return run


#: Program name → `module` or `module:function`, for hosts and containers alike. The default function is `main`.
_COMMON = {
    "[": "busybox.files:test", "basename": "busybox.files:basename", "cat": "busybox.text:cat",
    "cut": "busybox.text:cut", "curl": "http.curl", "date": "busybox.system:date", "dig": "bind.dig",
    "dirname": "busybox.files:dirname", "echo": "busybox.echo:echo", "env": "busybox.processes:env",
    "expr": "busybox.expr:expr", "false": "busybox.processes:false", "grep": "busybox.grep:grep",
    "head": "busybox.ends:head", "id": "busybox.system:id_", "kill": "busybox.process_list:kill",
    "killall": "busybox.process_list:killall", "ls": "busybox.listing:ls", "mkdir": "busybox.changes:mkdir",
    "printenv": "busybox.processes:printenv", "printf": "busybox.echo:printf",
    "pwd": "busybox.files:pwd", "rm": "busybox.changes:rm", "rmdir": "busybox.changes:rmdir",
    "sed": "busybox.sed:sed", "seq": "busybox.text:seq", "service": "service", "sh": "sh.command",
    "ash": "sh.command", "bash": "sh.command", "sleep": "busybox.processes:sleep",
    "sort": "busybox.sort:sort", "tail": "busybox.ends:tail", "tee": "busybox.text:tee",
    "test": "busybox.files:test", "timeout": "busybox.processes:timeout", "touch": "busybox.changes:touch",
    "tr": "busybox.text:tr", "true": "busybox.processes:true", "uname": "busybox.system:uname",
    "uniq": "busybox.sort:uniq", "uptime": "busybox.system:uptime", "usleep": "busybox.processes:usleep",
    "wc": "busybox.text:wc",
    "whoami": "busybox.system:whoami", "httpd": "http.httpd", "nc": "busybox.nc", "sysctl": "procps.sysctl",
    "tcpdump": "tcpdump.command", "telnet": "busybox.telnet", "traceroute": "busybox.traceroute",
    "udhcpc": "busybox.udhcpc", "traceroute6": "busybox.traceroute", "wget": "http.wget",
    "iperf3": "iperf3.command", "getent": "libc.getent", "arping": "busybox.arping", "ifconfig": "nettools.ifconfig",
    "route": "nettools.route", "arch": "busybox.system:arch", "clear": "busybox.system:clear",
    "free": "busybox.system:free", "groups": "busybox.system:groups_", "logname": "busybox.system:logname",
    "nice": "busybox.processes:nice", "nohup": "busybox.processes:nohup", "nproc": "busybox.system:nproc",
    "pgrep": "busybox.process_list:pgrep", "pidof": "busybox.process_list:pidof",
    "pkill": "busybox.process_list:pkill", "setsid": "busybox.processes:setsid", "stty": "busybox.system:stty",
    "sync": "busybox.system:sync", "time": "busybox.processes:time_", "top": "busybox.process_list:top",
    "tty": "busybox.system:tty", "watch": "busybox.processes:watch", "yes": "busybox.processes:yes",
    "apk": "packages.managers:apk", "apt": "packages.managers:apt_get",
    "apt-get": "packages.managers:apt_get", "awk": "awk.command",
    "base64": "busybox.digest:base64", "chgrp": "busybox.changes:chgrp",
    "chmod": "busybox.changes:chmod", "chown": "busybox.changes:chown", "cmp": "busybox.lines:cmp",
    "comm": "busybox.lines:comm", "cp": "busybox.copy:cp", "crc32": "busybox.digest:crc32", "dd": "busybox.copy:dd",
    "df": "busybox.listing:df", "diff": "busybox.lines:diff", "dos2unix": "busybox.lines:dos2unix",
    "du": "busybox.listing:du", "egrep": "busybox.grep:grep", "fgrep": "busybox.grep:grep",
    "find": "busybox.find:find", "fold": "busybox.lines:fold", "gunzip": "busybox.archive:gzip",
    "gzip": "busybox.archive:gzip", "hd": "busybox.dump:hexdump", "hexdump": "busybox.dump:hexdump",
    "install": "busybox.copy:install", "ln": "busybox.changes:ln", "md5sum": "busybox.digest:sums",
    "mktemp": "busybox.changes:mktemp", "mount": "busybox.listing:mount", "mv": "busybox.copy:mv",
    "openssl": "openssl.command",
    "nl": "busybox.lines:nl", "od": "busybox.dump:od", "paste": "busybox.lines:paste",
    "readlink": "busybox.listing:readlink", "realpath": "busybox.listing:realpath", "rev": "busybox.lines:rev",
    "sha1sum": "busybox.digest:sums", "sha256sum": "busybox.digest:sums", "sha512sum": "busybox.digest:sums",
    "shuf": "busybox.lines:shuf", "stat": "busybox.listing:stat", "strings": "busybox.lines:strings",
    "tac": "busybox.lines:tac", "tar": "busybox.archive:tar", "truncate": "busybox.changes:truncate",
    "unix2dos": "busybox.lines:dos2unix", "unlink": "busybox.changes:unlink", "which": "busybox.lines:which",
    "xargs": "busybox.find:xargs", "xxd": "busybox.dump:xxd", "zcat": "busybox.archive:gzip",
}  # fmt: skip

_CONTAINER = {
    **{name: f"accounts.distribution:{name}" for name in ("adduser", "addgroup", "deluser", "delgroup", "passwd")},
    "su": "accounts.su",
    "arp": "nettools.arp:busybox", "dmesg": "util_linux.dmesg:busybox", "hostname": "nettools.hostname:busybox",
    "busybox": "busybox.processes:busybox", "ip": "ip.busybox", "netstat": "nettools.netstat",
    "nslookup": "busybox.nslookup", "ping": "ping.busybox", "ping6": "ping.busybox",
    "ps": "busybox.process_list:ps", "sysctl": "procps.sysctl:busybox",
}  # fmt: skip

#: Servers and clients of applications. An image has them if the catalogue of images says so, or if it is not in
#: there.
APPLICATION_PROGRAMS = {
    "apache2-foreground": "servers.apache", "apachectl": "servers.apache",
    "healthcheck.sh": "servers.clients:mariadb_healthcheck",
    "httpd-foreground": "servers.apache", "mariadb-admin": "servers.clients:mysqladmin",
    "mongo": "servers.clients:mongosh", "mongosh": "servers.clients:mongosh",
    "mysqladmin": "servers.clients:mysqladmin", "nginx": "servers.nginx", "pg_isready": "servers.clients:pg_isready",
    "rabbitmq-diagnostics": "servers.clients:rabbitmq_diagnostics", "redis-cli": "servers.clients:redis_cli",
    "valkey-cli": "servers.clients:redis_cli", "/whoami": "servers.whoami",
    "/helloworld": "servers.helloworld", "/bin/ryuk": "servers.ryuk", "socat": "servers.socat",
    **{
        name: f"accounts.shadow:{name}"
        for name in ("chpasswd", "useradd", "userdel", "usermod", "groupadd", "groupdel", "groupmod")
    },
    "runuser": "accounts.su:runuser",
}  # fmt: skip

_HOST = {
    "arp": "nettools.arp:nettools", "brctl": "bridge.brctl:brctl", "bridge": "bridge.command",
    "conntrack": "conntrack.command", "dmesg": "util_linux.dmesg", "hostname": "nettools.hostname:debian",
    "host": "bind.lookup:host", "ip": "ip.iproute2", "ipset": "netfilter.ipset", "ipvsadm": "ipvsadm.command",
    "journalctl": "systemd.journalctl",
    "netstat": "nettools.netstat:nettools", "nft": "netfilter.nft", "nsenter": "util_linux.nsenter",
    "nslookup": "bind.lookup:nslookup", "ping": "ping.iputils", "ping6": "ping.iputils",
    "ps": "procps.ps", "ss": "ss.command", "systemctl": "systemd.systemctl",
}  # fmt: skip

_IPTABLES = {
    f"{family}{variant}{suffix}": f"netfilter.iptables{function}"
    for family in ("iptables", "ip6tables")
    for variant in ("", "-nft", "-legacy")
    for suffix, function in (("", ""), ("-restore", ":restore"), ("-save", ":save"))
}

#: The programs in a container's image: busybox, plus curl and dig, which many images add.
CONTAINER_PROGRAMS: Mapping[str, Program] = {
    name: _program(location) for name, location in (_COMMON | _CONTAINER | APPLICATION_PROGRAMS).items()
}
#: The programs of a host.
HOST_PROGRAMS: Mapping[str, Program] = {
    name: _program(location) for name, location in (_COMMON | _HOST | _IPTABLES).items()
}
