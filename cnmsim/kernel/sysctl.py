"""The network sysctls of one namespace, with Linux's defaults.

Keys have the form of sysctl(8). A per-device key such as `net.ipv4.conf.eth0.rp_filter` that was not written has the
value of the same key for `default`. An unknown key is an error, as for sysctl(8).
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Mapping
from sys import intern

from cnmsim.digits import is_number
from cnmsim.kernel.devicesysctls import EXCEPTIONS, PER_DEVICE, split_device_key

_DEFAULTS: dict[str, str] = {
    "net.core.somaxconn": "4096",
    "net.ipv4.ip_forward": "0",
    "net.ipv4.ip_default_ttl": "64",
    "net.ipv4.ip_local_port_range": "32768\t60999",
    "net.ipv4.ip_local_reserved_ports": "",
    "net.ipv4.ip_nonlocal_bind": "0",
    "net.ipv4.ip_unprivileged_port_start": "1024",
    "net.ipv4.icmp_echo_ignore_all": "0",
    "net.ipv4.fwmark_reflect": "0",
    "net.ipv4.icmp_echo_ignore_broadcasts": "1",
    "net.ipv4.ip_forward_use_pmtu": "0",
    "net.ipv4.ip_no_pmtu_disc": "0",
    "net.ipv4.ipfrag_time": "30",
    "net.ipv4.tcp_syn_retries": "6",
    "net.ipv4.tcp_synack_retries": "5",
    "net.ipv4.tcp_retries2": "15",
    "net.ipv4.tcp_fin_timeout": "60",
    "net.ipv4.tcp_keepalive_time": "7200",
    "net.ipv4.tcp_keepalive_intvl": "75",
    "net.ipv4.tcp_keepalive_probes": "9",
    "net.ipv4.tcp_max_syn_backlog": "512",
    "net.ipv4.tcp_syncookies": "1",
    "net.ipv4.tcp_tw_reuse": "2",
    "net.ipv4.tcp_sack": "1",
    "net.ipv4.tcp_timestamps": "1",
    "net.ipv4.tcp_window_scaling": "1",
    "net.ipv4.ping_group_range": "1\t0",
    "net.ipv6.bindv6only": "0",
    "net.ipv6.ip_nonlocal_bind": "0",
    "net.bridge.bridge-nf-call-iptables": "0",
    "net.bridge.bridge-nf-call-ip6tables": "0",
    "net.bridge.bridge-nf-call-arptables": "0",
    "net.bridge.bridge-nf-filter-pppoe-tagged": "0",
    "net.bridge.bridge-nf-filter-vlan-tagged": "0",
    "net.bridge.bridge-nf-pass-vlan-input-dev": "0",
    "net.netfilter.nf_conntrack_max": "262144",
    "net.netfilter.nf_conntrack_tcp_be_liberal": "0",
    "net.netfilter.nf_conntrack_tcp_loose": "1",
    "net.netfilter.nf_conntrack_tcp_timeout_syn_sent": "120",
    "net.netfilter.nf_conntrack_tcp_timeout_syn_recv": "60",
    "net.netfilter.nf_conntrack_tcp_timeout_established": "432000",
    "net.netfilter.nf_conntrack_tcp_timeout_fin_wait": "120",
    "net.netfilter.nf_conntrack_tcp_timeout_close_wait": "60",
    "net.netfilter.nf_conntrack_tcp_timeout_last_ack": "30",
    "net.netfilter.nf_conntrack_tcp_timeout_time_wait": "120",
    "net.netfilter.nf_conntrack_tcp_timeout_close": "10",
    "net.netfilter.nf_conntrack_udp_timeout": "30",
    "net.netfilter.nf_conntrack_udp_timeout_stream": "120",
    "net.netfilter.nf_conntrack_icmp_timeout": "30",
    "net.netfilter.nf_conntrack_icmpv6_timeout": "30",
    "net.netfilter.nf_conntrack_generic_timeout": "600",
}
#: Keys that exist only in the initial namespace of a machine: the limits of the neighbour table, which all namespaces
#: share.
INITIAL_NAMESPACE_ONLY: dict[str, str] = {
    "net.ipv4.neigh.default.gc_thresh1": "128",
    "net.ipv4.neigh.default.gc_thresh2": "512",
    "net.ipv4.neigh.default.gc_thresh3": "1024",
}


class Sysctl:
    """The sysctls of one namespace. Only values that were set are stored; the others are defaults."""

    __slots__ = ("_declared", "_values")

    def __init__(self) -> None:
        self._values: dict[str, str] = {}
        self._declared: tuple[Mapping[str, str], ...] = (_DEFAULTS,)

    def get(self, key: str) -> str:
        """Return the value of the sysctl `key`. Raises `OSError(ENOENT)` for an unknown key."""
        value = self._values.get(key)
        if value is not None:
            return value
        for defaults in self._declared:
            value = defaults.get(key)
            if value is not None:
                return value
        if key == "net.ipv4.conf.all.forwarding":
            return self.get("net.ipv4.ip_forward")
        start, _, name = split_device_key(key)
        if start and name in PER_DEVICE[start]:
            value = EXCEPTIONS.get(key)
            if value is None:
                value = self._values.get(f"{start}default.{name}", PER_DEVICE[start][name])
            return value
        raise OSError(errno.ENOENT, "No such file or directory", key)

    def set(self, key: str, value: str) -> None:
        """Set a sysctl.

        Raises `OSError(ENOENT)` for an unknown key, `OSError(EINVAL)` if a number is required and `value` is not one.
        """
        old = self.get(key)
        text = str(value).strip()
        if is_number(old) and not is_number(text.lstrip("-")):
            raise OSError(errno.EINVAL, "Invalid argument", key)
        is_new = old != text
        # Many namespaces store the same keys.
        self._values[intern(key)] = "\t".join(text.split()) if "\t" in old else text
        if key in {"net.ipv4.conf.all.forwarding", "net.ipv4.ip_forward"}:
            self._values["net.ipv4.ip_forward"] = self._values["net.ipv4.conf.all.forwarding"] = text
            self._forward_all(4, text)
            if is_new:  # a router ignores ICMP redirects (inet_forward_change)
                self._values["net.ipv4.conf.all.accept_redirects"] = "0" if text != "0" else "1"
        elif key == "net.ipv6.conf.all.forwarding":
            self._forward_all(6, text)

    def _forward_all(self, family: int, text: str) -> None:
        """Set `forwarding` for all existing and future devices of address family 4 or 6 to `text` ("0" or "1").

        Source: inet_forward_change, addrconf_fixup_forwarding.
        """
        begin = f"net.ipv{family}.conf."
        own = [key for key in self._values if key.startswith(begin) and key.endswith(".forwarding")]
        for key in [f"{begin}default.forwarding", *own]:
            self._values[key] = text

    def declare(self, defaults: Mapping[str, str]) -> None:
        """Add sysctls with their defaults, as a kernel module does when it is loaded."""
        self._declared = (*self._declared, defaults)

    def device(self, family: int, device: str, name: str) -> str:
        """Return the value of the sysctl `name` for a device: the device's own value, or else that of `default`.

        `family` (4 or 6) selects net.ipv4.conf or net.ipv6.conf.
        """
        return self.get(f"net.ipv{family}.conf.{device}.{name}")

    def forget_device(self, device: str, *families: int) -> None:
        """Delete the values of a device that was removed, or that no longer supports one of the address families.

        `families` are 4 or 6; without any, the values of both are deleted.
        """
        for start in PER_DEVICE:
            if not families or int(start[len("net.ipv")]) in families:
                for key in [key for key in self._values if key.startswith(f"{start}{device}.")]:
                    del self._values[key]

    def rename_device(self, old: str, new: str) -> None:
        """Move the values of the device `old` to its new name, `new`."""
        for start in PER_DEVICE:
            begin = f"{start}{old}."
            for key in [key for key in self._values if key.startswith(begin)]:
                self._values[f"{start}{new}.{key[len(begin) :]}"] = self._values.pop(key)

    def items(self, devices: Iterable[str] = ()) -> list[tuple[str, str]]:
        """Return all keys with their values, sorted by key.

        The per-device keys are those of `all`, `default` and the devices named in `devices`.
        """
        values: dict[str, str] = {}
        for defaults in reversed(self._declared):
            values.update(defaults)
        for device in devices:
            for start, names in PER_DEVICE.items():
                if device != "all" or start.endswith(".conf."):
                    values |= {key: self.get(key) for key in (f"{start}{device}.{name}" for name in names)}
        return sorted({**values, **self._values}.items())
