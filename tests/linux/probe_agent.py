"""Runs inside a real network namespace: answers commands on stdin, a line of JSON each. Standard library only.

{"serve": [port, …]} opens UDP echo servers and TCP listeners; {"sysctl": [[key, value], …]} writes sysctls;
{"probes": […], "wait": seconds} sends probes and tells what came of each; {"seen": true} tells what the servers saw.
"""

import contextlib
import errno
import json
import os
import selectors
import socket
import struct
import sys
import time
from pathlib import Path

IP_MTU_DISCOVER, IP_RECVERR, IP_RECVTTL, IPV6_MTU_DISCOVER, IPV6_RECVERR = 10, 11, 12, 23, 25
DISCOVERY = {"dont": 0, "want": 1, "do": 2}
ERRORS = {4: (3, 4, 5, 11, 12), 6: (1, 2, 3, 4)}
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def errno_name(error):
    return errno.errorcode.get(error.errno, str(error.errno))


def plain(address):
    return address.removeprefix("::ffff:").partition("%")[0]


def payload_of(probe):
    text = f"{probe['id']} {probe['sport']} ".encode()
    return text.ljust(probe["size"], b".")


class Agent:
    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.seen = []
        self.results = {}

    def note(self, data, source, sport, port, ttl):
        with contextlib.suppress(ValueError, IndexError):
            number, own_port = (int(word) for word in data.split()[:2])
            self.seen.append([number, port, plain(source), sport == own_port, ttl, len(data)])

    # --- servers ---

    def serve(self, ports):
        for port in ports:
            for family in (4, 6):
                self.udp_server(family, port)
                self.tcp_server(family, port)

    def udp_server(self, family, port):
        server = socket.socket(FAMILIES[family], socket.SOCK_DGRAM)
        if family == 6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        else:
            server.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        server.bind(("", port))
        self.selector.register(server, selectors.EVENT_READ, lambda: self.echo(server, port))

    def echo(self, server, port):
        data, controls, _, source = server.recvmsg(65536, 256)
        ttl = next((struct.unpack("i", value[:4])[0] for _, _, value in controls), 0)
        self.note(data, source[0], source[1], port, ttl)
        with contextlib.suppress(OSError):
            server.sendto(b"echo", source)

    def tcp_server(self, family, port):
        server = socket.socket(FAMILIES[family], socket.SOCK_STREAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == 6:
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        server.bind(("", port))
        server.listen(200)
        self.selector.register(server, selectors.EVENT_READ, lambda: self.accept(server, port))

    def accept(self, server, port):
        accepted, source = server.accept()

        def read():
            with contextlib.suppress(OSError):
                self.note(accepted.recv(4096), source[0], source[1], port, 0)
            self.selector.unregister(accepted)
            accepted.close()

        self.selector.register(accepted, selectors.EVENT_READ, read)

    # --- probes ---

    def finish(self, probe, *result):
        self.results.setdefault(probe["id"], list(result))

    def start(self, probe):
        try:
            getattr(self, f"start_{probe['kind']}")(probe)
        except OSError as error:
            self.finish(probe, "errno", errno_name(error))

    def opened(self, probe, kind, protocol=0):
        sock = socket.socket(FAMILIES[probe["family"]], kind, protocol)
        self.opened_sockets.append(sock)
        level = socket.IPPROTO_IPV6 if probe["family"] == 6 else socket.IPPROTO_IP
        sock.setsockopt(level, IPV6_MTU_DISCOVER if probe["family"] == 6 else IP_MTU_DISCOVER, DISCOVERY[probe["df"]])
        hops = socket.IPV6_UNICAST_HOPS if probe["family"] == 6 else socket.IP_TTL
        sock.setsockopt(level, hops, probe["ttl"])
        return sock

    def start_udp(self, probe):
        sock = self.opened(probe, socket.SOCK_DGRAM)
        if probe["family"] == 6:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        sock.bind(("", probe["sport"]))
        sock.connect((probe["dst"], probe["port"]))
        sock.setblocking(False)
        self.selector.register(sock, selectors.EVENT_READ, lambda: self.udp_answer(sock, probe))
        sock.send(payload_of(probe))

    def udp_answer(self, sock, probe):
        try:
            sock.recv(65536)
            self.finish(probe, "reply")
        except OSError:
            with contextlib.suppress(BlockingIOError):
                self.queued_error(sock, probe)
        self.selector.unregister(sock)

    def queued_error(self, sock, probe):
        _, controls, _, _ = sock.recvmsg(65536, 512, socket.MSG_ERRQUEUE)
        for _, _, value in controls:
            number, origin, kind, code = struct.unpack_from("=IBBB", value)
            if origin == 1:
                self.finish(probe, "errno", errno.errorcode[number])
            else:
                raw = value[24:40] if probe["family"] == 6 else value[20:24]
                reporter = socket.inet_ntop(FAMILIES[probe["family"]], raw)
                self.finish(probe, "icmp", kind, code, reporter)

    def start_tcp(self, probe):
        sock = self.opened(probe, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", probe["sport"]))
        sock.setblocking(False)
        number = sock.connect_ex((probe["dst"], probe["port"]))
        if number not in (0, errno.EINPROGRESS):
            raise OSError(number, "")
        self.selector.register(sock, selectors.EVENT_WRITE, lambda: self.tcp_answer(sock, probe))

    def tcp_answer(self, sock, probe):
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self.finish(probe, "errno", errno.errorcode[number])
        else:
            sock.send(payload_of(probe))
            self.finish(probe, "reply")
        self.selector.unregister(sock)

    def start_ping(self, probe):
        v6 = probe["family"] == 6
        sock = self.opened(probe, socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP)
        if v6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.setblocking(False)
        self.selector.register(sock, selectors.EVENT_READ, lambda: self.ping_answer(sock, probe))
        head = struct.pack("!BBHHH", 128 if v6 else 8, 0, 0, probe["sport"], 1)
        body = b"01234567" * (probe["size"] // 8)
        if not v6:
            total = sum(struct.unpack(f"!{len(head + body) // 2}H", head + body))
            while total >> 16:
                total = (total & 0xFFFF) + (total >> 16)
            head = head[:2] + struct.pack("!H", ~total & 0xFFFF) + head[4:]
        sock.sendto(head + body, (probe["dst"], 0))

    def ping_answer(self, sock, probe):
        with contextlib.suppress(BlockingIOError):
            while True:
                data, controls, _, source = sock.recvmsg(65536, 256)
                if probe["family"] == 4:
                    ttl, message = data[8], data[(data[0] & 15) * 4 :]
                else:
                    ttl, message = struct.unpack("i", controls[0][2][:4])[0], data
                self.judge_ping(message, ttl, plain(source[0]), probe)

    def judge_ping(self, message, ttl, source, probe):
        kind, family = message[0], probe["family"]
        ident = struct.pack("!H", probe["sport"])
        if kind == (129 if family == 6 else 0) and message[4:6] == ident:
            self.finish(probe, "reply", source, ttl)
        elif kind in ERRORS[family]:
            quoted = message[8:]
            at = 40 if family == 6 else (quoted[0] & 15) * 4
            if quoted[at] == (128 if family == 6 else 8) and quoted[at + 4 : at + 6] == ident:
                self.finish(probe, "icmp", kind, message[1], source)

    def run_probes(self, probes, wait):
        self.results, self.opened_sockets = {}, []
        for probe in probes:
            self.start(probe)
        end = time.monotonic() + wait
        while (left := end - time.monotonic()) > 0 and len(self.results) < len(probes):
            self.turn(left)
        for sock in self.opened_sockets:
            with contextlib.suppress(KeyError):
                self.selector.unregister(sock)
            sock.close()
        return self.results

    # --- commands ---

    def turn(self, timeout):
        for key, _ in self.selector.select(timeout):
            if key.fileobj is not sys.stdin.buffer:
                key.data()

    def obey(self, order):
        if "serve" in order:
            self.serve(order["serve"])
        elif "sysctl" in order:
            for key, value in order["sysctl"]:
                with contextlib.suppress(FileNotFoundError):  # older kernels lack some of them
                    Path("/proc/sys", key.replace(".", "/")).write_text(value)
        elif "probes" in order:
            return self.run_probes(order["probes"], order["wait"])
        elif "seen" in order:
            self.turn(0.02)
            seen, self.seen = self.seen, []
            return seen
        return "ok"

    def main(self):
        os.set_blocking(0, False)
        self.selector.register(sys.stdin.buffer, selectors.EVENT_READ)
        waiting = b""
        while True:
            chunk = os.read(0, 1 << 20) if self.ready() else None
            if chunk == b"":
                return
            waiting += chunk or b""
            while b"\n" in waiting:
                line, _, waiting = waiting.partition(b"\n")
                sys.stdout.write(json.dumps(self.obey(json.loads(line))) + "\n")
                sys.stdout.flush()

    def ready(self):
        has_input = False
        for key, _ in self.selector.select():
            if key.fileobj is sys.stdin.buffer:
                has_input = True
            else:
                key.data()
        return has_input


if __name__ == "__main__":
    Agent().main()
