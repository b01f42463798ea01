"""The memory of programs, in KiB: typical sizes just after their start, since programs are simulated."""

from __future__ import annotations

#: The address space and the resident part of a small program (busybox on x86-64).
SMALL_VSZ_KIB, SMALL_RSS_KIB = 2312, 1580
#: The resident part of well-known programs.
_RSS_KIB = {
    "bash": 3_400, "caddy": 38_000, "etcd": 30_000, "gunicorn": 24_000, "haproxy": 11_000, "httpd": 6_500,
    "apache2": 9_000, "java": 210_000, "mariadbd": 98_000, "memcached": 3_300, "mongod": 120_000, "mysqld": 390_000,
    "nginx": 7_800, "node": 46_000, "php-fpm": 11_000, "postgres": 27_000, "prometheus": 52_000, "python": 14_000,
    "python3": 14_000, "rabbitmq-server": 130_000, "redis-server": 9_600, "ruby": 24_000, "traefik": 68_000,
    "valkey-server": 9_600, "uvicorn": 30_000,
}  # fmt: skip


def resident_kib(name: str) -> int:
    """Return the resident memory of a program just after its start, in KiB."""
    return _RSS_KIB.get(name, SMALL_RSS_KIB)


def virtual_kib(name: str) -> int:
    """Return the address space of a program just after its start, in KiB."""
    return SMALL_VSZ_KIB + (resident_kib(name) - SMALL_RSS_KIB) * 2
