"""Runs the cases of `ipvs_cases` on the kernel it finds itself on, as root, and prints what happened as JSON."""

import errno
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from ipvs_cases import CASES

ADDRESSES = {"lb": 2, "c": 3, "b1": 4, "b2": 5, "b3": 6}


def sh(command, check=True):
    return subprocess.run(
        command, shell=True, check=check, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def build():
    for name in (*ADDRESSES, "d"):
        sh(f"ip netns add {name}; ip -n {name} link set lo up")
        sh(
            f"ip netns exec {name} sysctl -qw net.ipv4.conf.all.send_redirects=0 "
            f"net.ipv4.conf.default.send_redirects=0"
        )
        sh(f"ip netns exec {name} sysctl -qw net.ipv4.icmp_ratemask=0 net.ipv6.icmp.ratelimit=0")
    sh("ip link add br0 type bridge; ip link set br0 up")
    for name, number in ADDRESSES.items():
        sh(f"ip link add v{name} type veth peer name eth0 netns {name}; ip link set v{name} master br0 up")
        sh(
            f"ip -n {name} addr add 10.0.1.{number}/24 dev eth0; ip -n {name} addr add fd01::{number}/64 dev eth0 "
            f"nodad"
        )
        sh(f"ip -n {name} link set eth0 up")
    sh("ip link add eth1 netns lb type veth peer name eth0 netns d")
    sh(
        "ip -n lb addr add 10.0.9.1/24 dev eth1; ip -n lb addr add fd09::1/64 dev eth1 nodad; ip -n lb link set "
        "eth1 up"
    )
    sh("ip -n d addr add 10.0.9.2/24 dev eth0; ip -n d addr add fd09::2/64 dev eth0 nodad; ip -n d link set eth0 up")
    for name, four, six in (
        ("d", "10.0.9.1", "fd09::1"), *((n, "10.0.1.2", "fd01::2") for n in ("b1", "b2", "b3")),
    ):  # fmt: skip
        sh(f"ip -n {name} route add default via {four}; ip -n {name} route add default via {six}")
    sh("ip netns exec lb sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
    for name in ("b1", "b2", "b3"):
        inside(name, serve, name)


def tear():
    for name in (*ADDRESSES, "d"):
        sh(f"ip link del v{name}", check=False)  # sockets of our threads keep the namespace itself alive
        sh(f"ip -n {name} link del eth0; ip netns del {name}", check=False)
    sh("ip link del br0", check=False)
    time.sleep(0.3)


def inside(name, call, *arguments):
    """Call something in a network namespace; sockets stay in the one they were made in."""
    result = []

    def run():
        with Path("/run/netns", name).open() as handle:
            os.setns(handle.fileno(), os.CLONE_NEWNET)
        result.append(call(*arguments))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return result[0]


def serve(name):
    for family, any_ in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        udp = socket.socket(family, socket.SOCK_DGRAM)
        tcp = socket.socket(family, socket.SOCK_STREAM)
        for one in (udp, tcp):
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind((any_, 80))
        tcp.listen(64)
        threading.Thread(target=answer, args=(name, udp), daemon=True).start()
        threading.Thread(target=accept, args=(name, tcp), daemon=True).start()


def answer(name, udp):
    while True:
        _, peer = udp.recvfrom(999)
        udp.sendto(f"{name} saw {peer[0]}".encode(), peer)


def accept(name, tcp):
    while True:
        accepted, peer = tcp.accept()
        threading.Thread(target=talk, args=(name, accepted, peer), daemon=True).start()


def talk(name, accepted, peer):
    try:
        accepted.sendall(f"{name} saw {peer[0]}".encode())
        while data := accepted.recv(999):
            accepted.sendall(name.encode() + b":" + data)
    except OSError:
        pass
    accepted.close()


def failure(error):
    return "timeout" if isinstance(error, TimeoutError) else errno.errorcode[error.errno]


def connect(kind, dst, port, sport):
    family = socket.AF_INET6 if ":" in dst else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    made.settimeout(1.4)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("", sport))
    try:
        made.connect((dst, port))
        if kind == "udp":
            made.send(b"x")
        return made, made.recv(99).decode()
    except OSError as error:
        made.close()
        return None, failure(error)


def step(text, held):
    verb, *words = text.split()
    if verb == "sleep":
        time.sleep(float(words[0]))
        return None
    if verb in ("tcp", "udp", "open"):
        name, dst, port, count, sport = words[0], words[1], int(words[2]), int(words[3]), int(words[4])
        said = []
        for number in range(count):
            made, heard = inside(name, connect, "udp" if verb == "udp" else "tcp", dst, port, sport + number)
            said.append(heard)
            if verb == "open" and made is not None:
                held.append(made)
            elif made is not None:
                made.close()
        time.sleep(0.2)
        return said
    if verb == "talk":
        said = []
        for one in held:
            try:
                one.send(b"x")
                said.append(one.recv(99).decode())
            except OSError as error:
                said.append(failure(error))
        return said
    if verb == "close":
        while held:
            held.pop().close()
        time.sleep(0.2)
        return None
    name, _, command = text.partition("$ ")
    done = sh(f"ip netns exec {name} {command}", check=False)
    return [done.returncode, done.stdout]


def main():
    recorded = {}
    for title, steps in CASES.items():
        build()
        held = []
        recorded[title] = [[text, step(text, held)] for text in steps]
        for one in held:
            one.close()
        tear()
    json.dump(recorded, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
