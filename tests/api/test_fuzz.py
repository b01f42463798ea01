"""Whatever clients send: no error of ours, no hang, nothing left behind, and a refusal changes nothing."""

import contextlib
import gc
import itertools
import json
import logging
import socket
import time
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from support.api_client import Api, UnixHTTP, everything, new_lab
from support.patience import eventually

from cnmsim.api.routes import ROUTES
from cnmsim.engine.wire import schemas as bodies
from cnmsim.engine.wire import swarm_schemas as swarmbodies
from cnmsim.gojson.unmarshal import Struct
from cnmsim.testing.snapshot import Snapshot

FUZZ = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
TEXTS = st.sampled_from(
    ["", "0", "-1", "80", "80/tcp", "80-90/udp", "99999/tcp", "bridge", "host", "none", "default", "container:one",
     "container:nosuch", "one", "net", "always", "on-failure:3", "10.9.0.0/16", "10.9.0.5", "fd00:77::/64", "fd00::5",
     "::/0", "0.0.0.0/0", "255.255.255.255", "02:42:ac:11:00:99", "a=b", "=", "a:b", "a:b:c:d", "/d:/e:ro", "data:/d",
     "\x00", "\n", "é", "☃" * 40, "x" * 300, "true", "null", "{}", "net.ipv4.ip_forward", "net.ipv4.conf.eth0.nosuch",
     "com.docker.network.bridge.name", "com.docker.network.endpoint.sysctls", "SIGTERM", "15", "1h", "1700000000.5",
     "9" * 5000,
     "-" + "9" * 5000, "0" * 5000, "1700000000000", "\u0664\u0662", "\u00b2", "9" * 400 + "h", "9999-12-31",
     "[" * 3000, "[" * 3000 + "]" * 3000]
)  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | TEXTS
    | st.text(max_size=8)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS | st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


def names_of(struct):
    """Give the names of a table of fields and of those below it."""
    for one in struct.fields:
        yield one.name
        if isinstance(one.kind, Struct):
            yield from names_of(one.kind)


def deep(struct):
    """Draw an object of a table: some fields, each well-formed below or anything at all."""
    fields = {}
    for one in struct.fields:
        inside = deep(one.kind) if isinstance(one.kind, Struct) else st.dictionaries(TEXTS, VALUES, max_size=2)
        fields[one.name] = st.one_of(VALUES, TEXTS, st.integers(-3, 70000), st.lists(TEXTS, max_size=3), inside)
    if not fields:
        return st.just({})
    names = st.lists(st.sampled_from(sorted(fields)), max_size=3, unique=True)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({name: fields[name] for name in chosen}))


CONFIG = Struct("container.Config", bodies.container_config(is_slim=True))
TABLES = [CONFIG] + [
    value for module in (bodies, swarmbodies) for value in vars(module).values() if isinstance(value, Struct)
]
BASES = st.sampled_from(
    [{"Image": "alpine", "Cmd": ["true"]}, {"Image": "alpine"}, {"Name": "net"}, {"Name": "fuzzed"},
     {"Container": "one"}, {"Container": "nosuch"}, {"Cmd": ["true"], "AttachStdout": True}, {}]
)  # fmt: skip
IPAMS = st.fixed_dictionaries(
    {"Driver": TEXTS, "Config": st.lists(st.dictionaries(st.sampled_from(["Subnet", "IPRange", "Gateway",
        "AuxiliaryAddresses"]), VALUES | TEXTS, max_size=3), max_size=2)}
)  # fmt: skip
ENDPOINTS = st.dictionaries(
    st.sampled_from(["net", "bridge", "nosuch", ""]),
    st.none() | st.dictionaries(st.sampled_from(["IPAMConfig", "Aliases", "Links", "MacAddress", "DriverOpts",
        "GwPriority", "IPAddress"]), VALUES | st.dictionaries(st.sampled_from(["IPv4Address", "IPv6Address",
            "LinkLocalIPs"]), VALUES | TEXTS, max_size=2), max_size=3),
    max_size=2,
)  # fmt: skip
EXTRAS = st.fixed_dictionaries(
    {},
    optional={
        "IPAM": IPAMS | VALUES,
        "NetworkingConfig": st.fixed_dictionaries({"EndpointsConfig": ENDPOINTS}) | VALUES,
        "EndpointConfig": ENDPOINTS | VALUES,
        "Options": st.dictionaries(TEXTS, TEXTS, max_size=2) | VALUES,
        "Unknown": VALUES,
    },
)
BODIES = st.builds(
    lambda base, fields, host, extras: {**base, **fields, **({"HostConfig": host} if host else {}), **extras},
    BASES,
    st.one_of([deep(table) for table in TABLES]),
    st.none() | deep(bodies.HOST_CONFIG) | VALUES,
    EXTRAS,
)
RAW_BODIES = st.one_of(
    BODIES.map(lambda body: json.dumps(body).encode("utf-8", "surrogatepass")),
    VALUES.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass")),
    st.sampled_from([b"", b"{", b"{} {}", b"[" * 5000, b'{"a":' * 3000,
                     b'{"Labels":' + b"[" * 2000 + b"]" * 2000 + b"}", b'{"Options":' * 300 + b"1" + b"}" * 300,
                     b'{"Labels":' + b"[" * 9999 + b"]" * 9999 + b"}", b'{"x":{"a":' + b"[" * 9999,
                     b'{"Memory":' + b"9" * 5000 + b"}", b"\xff\xfe", b"nul", b'{"Image": 1e999}',
                     b'{"Cmd": "\\ud800"}']),
    st.binary(max_size=60),
)  # fmt: skip
PARAMETERS = st.dictionaries(
    st.sampled_from(
        ["all", "limit", "size", "filters", "name", "platform", "force", "v", "link", "signal", "t", "condition",
         "since",
         "until", "tail", "follow", "stdout", "stderr", "timestamps", "stream", "logs", "stdin", "detachKeys", "path",
         "h", "w",
         "fromImage", "tag", "repo", "noprune", "verbose", "scope", "ps_args", "one-shot", "type", "dangling"]
    ),
    TEXTS | st.text(max_size=10)
    | st.dictionaries(st.sampled_from(["id", "name", "label", "status", "network", "ancestor", "driver", "dangling",
        "until", "health", "publish", "before", "type", "event"]), st.lists(TEXTS, max_size=2) | VALUES,
        max_size=2).map(json.dumps),
    max_size=3,
)  # fmt: skip
ALL_ROWS = [(row.method, row.path) for row in ROUTES if row.is_simulated]
WITH_BODY = [("POST", path) for path in (
    "/containers/create", "/networks/create", "/networks/{id}/connect", "/networks/{id}/disconnect",
    "/containers/{id}/exec", "/containers/{id}/update", "/volumes/create",
)]  # fmt: skip
ROWS = st.one_of(st.sampled_from(ALL_ROWS), st.sampled_from(WITH_BODY))
IDENTITIES = (
    st.just("one")
    | st.just("net")
    | st.sampled_from(["nosuch", "bridge", "alpine", "redis:7", "a/b:c", "%", "..", " ", "é", "a" * 300])
)


class Served:
    """A served lab and what is left behind in it."""

    def __init__(self, lab, sockets):
        self.lab, self.sockets, self.api = lab, sockets, Api(sockets["node1"])
        self.server = sockets._server

    def call(self, method, target, body):
        """Give status and body of an answer; the body is JSON, a stream of it, or neither."""
        connection = UnixHTTP(self.api.path)
        try:
            connection.request(method, target, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        return answer.status, content

    def snapshot(self):
        return self.sockets.call(Snapshot.of, self.lab.host("node1"))

    def restore(self):
        """Have one container, one network and no others."""
        docker = self.lab.host("node1").docker

        def work():
            if docker.controller.cluster is not None:
                docker.complete(docker.cluster.leave(force=True))
            for each in docker.containers.list(all=True):
                if each.name != "one":
                    each.remove(force=True)
            for each in docker.networks.list():
                if each.name not in ("bridge", "host", "none", "net", "docker_gwbridge"):
                    each.remove()
            if "net" not in {each.name for each in docker.networks.list()}:
                docker.networks.create("net")
            if "one" not in {each.name for each in docker.containers.list(all=True)}:
                docker.containers.create("alpine", ["sleep", "1d"], name="one", tty=False)
            one = docker.containers.get("one")
            if one.status == "paused":
                one.unpause()
            if one.status != "running":
                one.start()

        self.sockets.call(work)

    def left(self):
        """Name what clients that are gone have left."""
        api = self.server.apis["node1"]
        clock_driver, engine = self.server.clock_driver, api.engine
        attached_clients = api.attached_clients

        def work():
            return {
                "clients": len(self.server._clients),
                "connections": len(self.server._clients),
                "waiting": len(clock_driver._fast_predicates) + len(clock_driver._realtime_predicates),
                "attended": len(attached_clients._runners)
                + len(attached_clients._viewers)
                + len(attached_clients._waiters),
                "events": len(engine.event_log._listeners),
                "log": sum(len(each.log._followers) for each in engine.store),
                "outputs": sum(len(each.streams._listeners) - 1 for each in engine.store if each.streams is not None),
                "ends": sum(len(each._when_stopped + each._when_removed) for each in engine.store),
            }

        found = {}

        def is_clean():
            nonlocal found
            found = {name: count for name, count in self.sockets.call(work).items() if count}
            return not found

        eventually(is_clean)
        return found


@pytest.fixture(scope="module")
def served():
    lab = new_lab()
    with lab.serve() as sockets:
        served = Served(lab, sockets)
        served.restore()
        yield served
        served.restore()
        assert served.left() == {}


def is_endless(method, path, query):
    """Tell whether a request may wait for ever, by its nature."""
    if path.endswith(("/wait", "/attach", "/stats")) or path == "/events":
        return True
    return path.endswith("/logs") and query.get("follow", "0").strip().lower() not in ("", "0", "no", "false", "none")


@settings(FUZZ, max_examples=250)
@given(row=ROWS, who=IDENTITIES, query=PARAMETERS, body=RAW_BODIES,
       version=st.sampled_from(["", "/v1.44", "/v1.47", "/v1.24", "/v1.99", "/v1." + "9" * 5000,
           "/v" + "0" * 5000 + "1.44", "/v1.\u0664"]))  # fmt: skip
def test_no_request_makes_an_error_of_ours_and_a_refusal_changes_nothing(
    served, caplog, row, who, query, body, version
):
    method, path = row
    if is_endless(method, path, query):
        return
    served.restore()
    before = served.snapshot()
    target = path.replace("{id}", quote(who)).replace("{name}", quote(who, safe="/:"))
    texts = {key: value.encode("utf-8", "surrogatepass") for key, value in query.items()}
    caplog.clear()
    with caplog.at_level(logging.ERROR):
        status, answer = served.call(
            method, f"{quote(version)}{target}?{urlencode(texts)}", None if method in ("GET", "HEAD") else body
        )
    event(f"{status // 100}xx")
    assert not caplog.records, (method, target, query, body, caplog.text)
    if status >= 400:
        text = answer.decode() if isinstance(answer, bytes) else answer
        is_handshake = path.endswith("/attach/ws") and text == "not websocket protocol"
        assert method == "HEAD" or is_handshake or set(json.loads(answer)) == {"message"}
        changes = before.difference(served.snapshot())
        assert changes == [], (method, target, query, body, answer)


def well_formed(struct):
    """Draw an object of a table whose values have some chance to be taken."""
    plausible = {
        "Binds": st.lists(st.sampled_from(["data:/d", "/a:/b:ro", "x", "data:/d:zz"]), max_size=2),
        "PortBindings": st.dictionaries(
            st.sampled_from(["80/tcp", "80", "53/udp", "80-82/tcp", "99/sctp", "x/tcp"]),
            st.lists(st.fixed_dictionaries({}, optional={"HostIp": TEXTS,
                "HostPort": st.sampled_from(["", "8080", "8080-8082", "0", "70000", "x"])}), max_size=2),
            max_size=2,
        ),
        "NetworkMode": st.sampled_from(["net", "bridge", "host", "none", "container:one", "nosuch", "default"]),
        "ExposedPorts": st.dictionaries(st.sampled_from(["80/tcp", "1-3/udp", "x"]), st.just({}), max_size=2),
        "Sysctls": st.dictionaries(st.sampled_from(["net.ipv4.ip_forward", "net.ipv4.nosuch", "kernel.msgmax"]),
            TEXTS, max_size=1),
        "RestartPolicy": st.fixed_dictionaries({"Name": st.sampled_from(["always", "no", "on-failure"]),
            "MaximumRetryCount": st.integers(-1, 3)}),
        "Healthcheck": st.fixed_dictionaries({"Test": st.lists(TEXTS, max_size=2)},
            optional={"Interval": st.integers(-1, 10**10), "Retries": st.integers(-2, 5)}),
        "Dns": st.lists(TEXTS, max_size=2), "ExtraHosts": st.lists(TEXTS, max_size=2),
        "Links": st.lists(st.sampled_from(["one:x", "one", "nosuch:y"]), max_size=1),
        "Mounts": st.lists(st.fixed_dictionaries({}, optional={"Type": st.sampled_from(["volume", "bind", "tmpfs",
            "x"]), "Target": TEXTS, "Source": TEXTS, "ReadOnly": st.booleans()}), max_size=2),
    }  # fmt: skip
    for one in struct.fields:
        if one.name not in plausible:
            plausible[one.name] = st.booleans() | TEXTS | st.lists(TEXTS, max_size=2) | st.integers(-2, 10**6)
    names = {one.name for one in struct.fields}
    fields = {name: drawn for name, drawn in plausible.items() if name in names}
    chosen = st.lists(st.sampled_from(sorted(fields)), max_size=2, unique=True)
    return chosen.flatmap(lambda some: st.fixed_dictionaries({name: fields[name] for name in some}))


CREATES = st.builds(
    lambda config, host, endpoints: {
        "Cmd": ["sleep", "1d"], **config, "Image": "alpine", "HostConfig": host,
        "NetworkingConfig": {"EndpointsConfig": endpoints},
    },
    well_formed(CONFIG), well_formed(bodies.HOST_CONFIG), st.just({}) | ENDPOINTS,
)  # fmt: skip
NETWORKS = st.builds(
    lambda ipam, more: {"Name": "fuzzed", "IPAM": ipam, **more},
    st.fixed_dictionaries(
        {"Config": st.lists(st.fixed_dictionaries({}, optional={"Subnet": st.sampled_from(["10.9.0.0/16",
            "10.9.1.0/30", "fd00:77::/64", "10.9.0.5/16", "172.17.0.0/16", "x"]),
            "Gateway": st.sampled_from(["10.9.0.1", "10.9.0.254", "fd00:77::1", "1.2.3.4", "x"]),
            "IPRange": st.sampled_from(["10.9.3.0/24", "10.0.0.0/8", "x"]),
            "AuxiliaryAddresses": st.dictionaries(TEXTS, TEXTS, max_size=1)}), max_size=2)},
        optional={"Driver": st.sampled_from(["default", "null", "x"])},
    ),
    st.fixed_dictionaries({}, optional={
        "Driver": st.sampled_from(["bridge", "host", "null", "macvlan", "ipvlan", "overlay", "x", ""]),
        "EnableIPv6": st.booleans() | st.none(), "EnableIPv4": st.booleans(), "Internal": st.booleans(),
        "Attachable": st.booleans(), "Ingress": st.booleans(), "Scope": st.sampled_from(["local", "swarm", "x"]),
        "ConfigOnly": st.booleans(), "ConfigFrom": st.fixed_dictionaries({"Network": TEXTS}),
        "Options": st.dictionaries(
            st.sampled_from(["com.docker.network.bridge.name", "com.docker.network.driver.mtu", "parent",
                "macvlan_mode", "com.docker.network.bridge.gateway_mode_ipv4",
                             "com.docker.network.bridge.host_binding_ipv4", "com.docker.network.advertise_addr_nmsgs",
                                 "com.docker.network.container_iface_prefix", "ipvlan_mode"]),
            st.sampled_from(["", "x", "eth0", "br-fuzz", "1500", "-1", "nat", "routed", "isolated", "nat-unprotected",
                "bridge", "l3", "private", "127.0.0.1", "a" * 20]),
            max_size=2),
    }),
)  # fmt: skip


def asked(served, caplog, method, target, body=None):
    caplog.clear()
    with caplog.at_level(logging.ERROR):
        status, answer = served.call(method, target, None if body is None else json.dumps(body).encode())
    assert not caplog.records, (method, target, body, caplog.text)
    event(f"{target.split('?')[0]} {status}")
    return status, answer


@settings(FUZZ, max_examples=150)
@given(body=CREATES, is_connected=st.booleans())
def test_a_container_that_comes_up_or_does_not_leaves_nothing(served, caplog, body, is_connected):
    served.restore()
    before = served.snapshot()
    status, answer = asked(served, caplog, "POST", "/containers/create?name=fuzzed", body)
    if status == 201:
        status, _ = asked(served, caplog, "POST", "/containers/fuzzed/start")
        if is_connected:
            asked(served, caplog, "POST", "/networks/net/connect", {"Container": "fuzzed"})
        asked(served, caplog, "GET", "/containers/fuzzed/json?size=1")
        asked(served, caplog, "GET", "/containers/json?all=1&size=1")
        asked(served, caplog, "POST", "/containers/fuzzed/restart?t=0")
        assert asked(served, caplog, "DELETE", "/containers/fuzzed?force=1&v=1")[0] in (204, 404)
    else:
        assert set(json.loads(answer)) == {"message"}
    assert before.difference(served.snapshot()) == [], body


@settings(FUZZ, max_examples=150)
@given(body=NETWORKS, endpoint=ENDPOINTS)
def test_a_network_that_comes_up_or_does_not_leaves_nothing(served, caplog, body, endpoint):
    served.restore()
    before = served.snapshot()
    status, answer = asked(served, caplog, "POST", "/networks/create", body)
    if status == 201:
        config = next(iter(endpoint.values()), None)
        joined, _ = asked(
            served, caplog, "POST", "/networks/fuzzed/connect", {"Container": "one", "EndpointConfig": config}
        )
        asked(served, caplog, "GET", "/networks/fuzzed?verbose=1")
        asked(served, caplog, "GET", "/containers/one/json")
        if joined == 200:
            assert asked(served, caplog, "POST", "/networks/fuzzed/disconnect", {"Container": "one"})[0] == 200
        assert asked(served, caplog, "DELETE", "/networks/fuzzed")[0] == 204
    else:
        assert set(json.loads(answer)) == {"message"}
    assert before.difference(served.snapshot()) == [], body


# --- the wire ----------------------------------------------------------------------------------------------------

STREAMS = st.sampled_from(
    [("POST", "/containers/one/attach?stream=1&stdout=1&stdin=1&logs=1"),
     ("POST", "/containers/one/attach?stream=1&stdout=1"),
     ("GET", "/containers/one/logs?follow=1&stdout=1"), ("GET", "/events"), ("POST", "/containers/one/wait"),
     ("POST", "/containers/one/wait?condition=next-exit"), ("GET", "/containers/one/stats"), ("GET", "/_ping"),
     ("GET", "/info")]
)  # fmt: skip
UPGRADE = "Connection: Upgrade\r\nUpgrade: tcp\r\n"


def chunked(body, sizes, breaks):
    """Cut a body into chunks; `breaks` spoils the coding at one place."""
    parts, at = [], 0
    for size in sizes:
        piece = body[at : at + size]
        if not piece:
            break
        parts.append(b"%x\r\n%s\r\n" % (len(piece), piece))
        at += len(piece)
    if body[at:]:
        parts.append(b"%x\r\n%s\r\n" % (len(body[at:]), body[at:]))
    parts.append(b"0\r\n\r\n")
    whole = b"".join(parts)
    if breaks is None:
        return whole
    where, damage = breaks
    where %= len(whole)
    return whole[:where] + damage + whole[where + len(damage) :]


def answer_to(served, pieces, *, half_close, vanishes=False):
    """Send pieces and return all that comes back.

    The sending side is closed at once with `half_close`, otherwise a little later. `vanishes`: it stays open, and the
    client closes its socket once the answer has begun and pauses.
    """
    sock = served.api.raw(b"")
    received = b""
    try:
        for piece in pieces:
            sock.sendall(piece)
        if not (half_close or vanishes):
            time.sleep(0.05)
        if half_close or not vanishes:
            sock.shutdown(socket.SHUT_WR)
        while part := sock.recv(65536):
            received += part
            if vanishes:
                sock.settimeout(0.15)
    except OSError:  # the server has closed the connection, or the client waits no longer
        pass
    finally:
        sock.close()
    return received


@settings(FUZZ, max_examples=80)
@given(
    sizes=st.lists(st.integers(1, 40), max_size=4), cuts=st.lists(st.integers(0, 300), max_size=4),
    half_close=st.booleans(),
    breaks=st.none() | st.tuples(st.integers(0, 400), st.sampled_from([b"zz", b"\r", b"\n\n", b"-", b"\x00",
        b"ffffffffffffffff", b";x=y"])),
)  # fmt: skip
def test_a_chunked_body_counts_whole_or_not_at_all(served, caplog, sizes, cuts, half_close, breaks):
    served.restore()
    before = served.snapshot()
    body = b'{"Name": "chunked", "Labels": {"some": "label that makes it longer"}}'
    head = (
        b"POST /networks/create HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    data = head + chunked(body, sizes, breaks)
    places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    caplog.clear()
    with caplog.at_level(logging.ERROR):
        pieces = [data[start:end] for start, end in itertools.pairwise(places)]
        answer = answer_to(served, pieces, half_close=half_close)
    assert not caplog.records, caplog.text
    is_made = answer.startswith(b"HTTP/1.1 201")
    assert is_made or breaks is not None
    if is_made:
        served.restore()
    assert before.difference(served.snapshot()) == []


@settings(FUZZ, max_examples=60)
@given(target=STREAMS, upgrades=st.booleans(), typed=st.binary(max_size=50), keeps=st.integers(0, 400),
       half_close=st.booleans())  # fmt: skip
def test_a_client_that_vanishes_in_the_middle_leaves_nothing(
    served, caplog, target, upgrades, typed, keeps, half_close
):
    served.restore()
    method, path = target
    data = f"{method} {path} HTTP/1.1\r\nHost: d\r\n{UPGRADE if upgrades else ''}\r\n".encode() + typed
    caplog.clear()
    with caplog.at_level(logging.ERROR):
        sock = served.api.raw(data[: max(keeps, 1)], half_close=half_close)
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.recv(10)
        sock.close()
        assert served.left() == {}
    assert not caplog.records, caplog.text


@settings(FUZZ, max_examples=60)
@given(
    typed=st.binary(max_size=200), half_close=st.booleans(), tty=st.booleans(), attach=st.booleans(),
    upgrades=st.booleans(),
    command=st.sampled_from([["cat"], ["true"], ["sh"], ["sh", "-c", "exec >&-; sleep 2"], ["nosuch"]]),
)  # fmt: skip
def test_an_exec_ends_with_its_client_or_before(served, caplog, typed, half_close, tty, attach, upgrades, command):
    served.restore()
    config = {"Cmd": command, "Tty": tty, "AttachStdin": attach, "AttachStdout": True, "AttachStderr": True}
    caplog.clear()
    with caplog.at_level(logging.ERROR):
        made = json.loads(served.call("POST", "/containers/one/exec", json.dumps(config))[1])["Id"]
        start = json.dumps({"Tty": tty}).encode()
        upgrade = UPGRADE if upgrades else ""
        head = f"POST /exec/{made}/start HTTP/1.1\r\nHost: d\r\n{upgrade}Content-Type: application/json\r\n"
        head += f"Content-Length: {len(start)}\r\n\r\n"
        answer = answer_to(served, [head.encode(), start, typed], half_close=half_close, vanishes=True)
        assert answer.startswith(b"HTTP/1.1 101 UPGRADED" if upgrades else b"HTTP/1.1 200 OK")
        assert served.left() == {}
    assert not caplog.records, caplog.text


@settings(FUZZ, max_examples=60)
@given(data=st.binary(max_size=200), prefix=st.sampled_from([b"", b"GET / HTTP/1.1\r\n",
    b"POST /containers/create HTTP/1.1\r\nHost: d\r\nContent-Length: 30\r\n\r\n",
    b"GET /info HTTP/1.1\r\nHost: d\r\n\r\n"]))  # fmt: skip
def test_garbage_is_answered_or_hung_up_on(served, caplog, data, prefix):
    caplog.clear()
    with caplog.at_level(logging.ERROR):
        answer = answer_to(served, [prefix + data], half_close=True)
    assert not caplog.records, caplog.text
    assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
    assert served.left() == {}


def test_requests_may_be_pipelined(served):
    one = b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n"
    answer = answer_to(served, [one * 5], half_close=True)
    assert answer.count(b"HTTP/1.1 200") == 5


@pytest.mark.parametrize("is_chunked", [True, False])
def test_a_body_over_the_limit_is_refused_before_it_is_read(served, monkeypatch, is_chunked):
    monkeypatch.setattr("cnmsim.api.connection.MAX_BODY", 1 << 16)
    coding = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {1 << 40}"
    sock = served.api.raw(f"POST /networks/create HTTP/1.1\r\nHost: d\r\n{coding}\r\n\r\n".encode())
    block = b"x" * 4096
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for _ in range(64):
            sock.sendall(b"1000\r\n" + block + b"\r\n" if is_chunked else block)
    with contextlib.suppress(ConnectionResetError):
        assert everything(sock).startswith(b"HTTP/1.1 413")
    sock.close()
    assert served.left() == {}


def test_a_request_that_never_ends_is_given_up(served, monkeypatch):
    monkeypatch.setattr("cnmsim.api.connection.REQUEST_TIMEOUT_S", 0.2)
    for data in (b"GET /info HT", b"POST /networks/create HTTP/1.1\r\nHost: d\r\nContent-Length: 10\r\n\r\n{"):
        assert b"HTTP/1.1 2" not in everything(served.api.raw(data))
    assert served.left() == {}


def test_a_client_that_does_not_read_holds_up_nobody(served):
    config = {"Image": "alpine", "Cmd": ["sh", "-c", "while true; do echo " + "x" * 500 + "; done"]}
    assert served.call("POST", "/containers/create?name=yes", json.dumps(config))[0] == 201
    sock = served.api.raw(b"POST /containers/yes/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: d\r\n\r\n")
    assert sock.recv(10)
    assert served.call("POST", "/containers/yes/start", None)[0] == 204
    assert served.call("GET", "/info", None)[0] == 200
    served.call("POST", "/containers/yes/kill", None)
    sock.close()
    gc.collect()
    assert served.left() == {}
