"""The small parts of an engine: times, filters, names, references, bodies, terminals, events, archives."""

from __future__ import annotations

import io
import re
import tarfile
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.engine_lab import new_engine

from cnmsim.engine.client import services
from cnmsim.engine.cluster import task_container
from cnmsim.engine.containers import archive
from cnmsim.engine.containers.names import check_name, free_random_name
from cnmsim.engine.containers.streams import StandardStreams
from cnmsim.engine.containers.validate import parse_link
from cnmsim.engine.images.images import Reference
from cnmsim.engine.wire.filters import Filters
from cnmsim.engine.wire.ports import parse_host_range, parse_port, requested_ports
from cnmsim.engine.wire.schemas import read_network_create
from cnmsim.engine.wire.signals import parse_signal
from cnmsim.engine.wire.timestamps import human_duration, parse_timestamp
from cnmsim.errors import InvalidParameter, NotFound
from cnmsim.gojson.fields import rfc3339
from cnmsim.gojson.scanner import GoJsonError
from cnmsim.gojson.unmarshal import Bool, Int, Nullable, Place, Str, Struct
from cnmsim.kernel.clock import NS_PER_S, Clock
from cnmsim.kernel.task import Task
from cnmsim.libnetwork.options import PortBinding, TransportPort
from cnmsim.libnetwork.profile import profile
from cnmsim.swarm.objects import Annotations, NetworkSpec, ResourceRequirements, Resources, TaskSpec
from cnmsim.swarm.objects import Network as ClusterNetwork
from cnmsim.swarm.objects import Task as ClusterTask
from cnmsim.swarm.objects.network import NetworkAttachment


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.9, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (60, "About a minute"), (150, "2 minutes"),
        (3600, "About an hour"), (7200, "2 hours"), (3 * 86400, "3 days"), (20 * 86400, "2 weeks"),
        (100 * 86400, "3 months"), (800 * 86400, "2 years"),
    ],
)  # fmt: skip
def test_durations_are_said_as_docker_says_them(seconds, text):
    assert human_duration(seconds) == text


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (None, "0001-01-01T00:00:00Z"),
        (1_767_225_600 * NS_PER_S, "2026-01-01T00:00:00Z"),
        (1_767_225_600 * NS_PER_S + 100_000_000, "2026-01-01T00:00:00.1Z"),
        (1_767_225_600 * NS_PER_S + 1, "2026-01-01T00:00:00.000000001Z"),
    ],
)
def test_moments_drop_trailing_zeros_of_the_fraction(moment, text):
    assert rfc3339(moment) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1767225600", 1_767_225_600 * NS_PER_S),
        ("1767225600.5", 1_767_225_600 * NS_PER_S + NS_PER_S // 2),
        ("2026-01-01T00:00:00Z", 1_767_225_600 * NS_PER_S),
        ("2026-01-01T01:00:00+01:00", 1_767_225_600 * NS_PER_S),
        ("2026-01-01T02:45:00+02:45", 1_767_225_600 * NS_PER_S),
        ("2025-12-31T20:30:00-03:30", 1_767_225_600 * NS_PER_S),
        ("2026-01-01T14:00:00+14:00", 1_767_225_600 * NS_PER_S),
        ("2025-12-31T12:15:00-11:45", 1_767_225_600 * NS_PER_S),
        ("2026-01-01", 1_767_225_600 * NS_PER_S),
        ("10m", 1_767_225_600 * NS_PER_S),
        ("9m60s", 1_767_225_600 * NS_PER_S),
    ],
)
def test_moments_are_read_in_every_form_the_api_knows(text, expected):
    assert parse_timestamp(text, (1_767_225_600 + 600) * NS_PER_S) == expected


@given(st.integers(0, 2**62))
def test_printed_moment_reads_back(moment):
    assert parse_timestamp(rfc3339(moment), 0) == moment


@pytest.mark.parametrize("text", ["yesterday", "10q", "2026-13-01", ""])
def test_other_moments_are_refused(text):
    with pytest.raises(InvalidParameter):
        parse_timestamp(text, 0)


def test_filters_read_both_spellings_of_the_api():
    assert Filters.parse('{"name":["a","b"]}') == Filters.parse({"name": {"a": True, "b": False}})


@pytest.mark.parametrize("raw", ["[]", "{", '{"a":1}', '{"a":[1]}'])
def test_filters_that_are_none_are_refused(raw):
    with pytest.raises(InvalidParameter, match="invalid filter"):
        Filters.parse(raw)


def test_filter_matches_part_of_a_name_and_survives_a_bad_expression():
    filters = Filters({"name": ["^/we", "("]})
    assert filters.match("name", "/web")
    assert not filters.match("name", "/db")


def test_every_label_must_match():
    filters = Filters({"label": ["a", "b=2"]})
    assert filters.match_labels({"a": "1", "b": "2"})
    assert not filters.match_labels({"a": "1", "b": "3"})


@pytest.mark.parametrize("name", ["web", "/web", "a1", "A_b.c-d"])
def test_names_that_are_allowed(name):
    check_name(name)


@pytest.mark.parametrize("name", ["w", "-web", "we b", "", "wéb"])
def test_names_that_are_not(name):
    with pytest.raises(InvalidParameter, match="Invalid container name"):
        check_name(name)


@pytest.mark.parametrize(
    ("name", "shown", "remote"),
    [
        ("alpine", "alpine:latest", "library/alpine"),
        ("docker.io/library/alpine:3.19", "alpine:3.19", "library/alpine"),
        ("grafana/grafana", "grafana/grafana:latest", "grafana/grafana"),
        ("ghcr.io/a/b:1", "ghcr.io/a/b:1", "a/b"),
        ("localhost:5000/x", "localhost:5000/x:latest", "x"),
        (f"alpine@sha256:{'a' * 64}", f"alpine@sha256:{'a' * 64}", "library/alpine"),
    ],
)
def test_image_names_are_shown_short(name, shown, remote):
    reference = Reference.parse(name)
    assert (str(reference), reference.remote_path) == (shown, remote)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Alpine", r"invalid reference format: repository name \(library/Alpine\) must be lowercase"),
        ("a b", "invalid reference format"),
        ("", "invalid reference format"),
        ("a" * 64, "cannot specify 64-byte hexadecimal strings"),
    ],
)
def test_bad_image_names_are_refused(name, text):
    with pytest.raises(InvalidParameter, match=text):
        Reference.parse(name)


@pytest.mark.parametrize(("text", "number"), [("9", 9), ("KILL", 9), ("sigterm", 15), ("SIGUSR1", 10)])
def test_signals_go_by_name_and_number(text, number):
    assert parse_signal(text) == number


def test_ports_are_read_and_published():
    assert parse_port("53/UDP") == TransportPort("udp", 53)
    assert parse_host_range("8000-8010") == (8000, 8010)
    bindings = {"80/tcp": [{"HostIp": "", "HostPort": "8080"}]}
    host_config = {"PortBindings": bindings, "PublishAllPorts": True}
    exposed, published = requested_ports(profile("29.7.2"), host_config, ["81/tcp"])
    assert exposed == [TransportPort("tcp", 80), TransportPort("tcp", 81)]
    assert published == [PortBinding("tcp", 80, None, 8080, 8080), PortBinding("tcp", 81)]
    assert requested_ports(profile("28.5.2"), host_config, ["81/tcp"])[1] == [PortBinding("tcp", 81)]


STRUCT = Struct("x.T", (Str("Name"), Bool("Quiet"), Int("Size"), Nullable("Tags"), Str("Note", omit=True)))


def test_absent_fields_have_zero_values_in_the_order_of_the_struct():
    assert list(STRUCT.read({"size": 3}, Place()).items()) == [
        ("Name", ""),
        ("Quiet", False),
        ("Size", 3),
        ("Tags", None),
    ]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"Name": 1}, "cannot unmarshal number into Go struct field T.Name of type string"),
        ({"Quiet": "yes"}, "cannot unmarshal string into Go struct field T.Quiet of type bool"),
        ({"Size": 1.5}, "cannot unmarshal number 1.5 into Go struct field T.Size of type int64"),
        ({"Size": True}, "cannot unmarshal bool into Go struct field T.Size of type int64"),
        ({"Tags": "a"}, r"cannot unmarshal string into Go struct field T.Tags of type \[\]string"),
        ({"Tags": [{}]}, "cannot unmarshal object into Go struct field T.Tags of type string"),
    ],
)
def test_wrong_types_are_refused_in_the_words_of_go(body, text):
    with pytest.raises(GoJsonError, match=text):
        STRUCT.read(body, Place())


@pytest.mark.parametrize(
    ("ipam", "text"),
    [
        ({"Config": [{"Subnet": 1}]}, "field IPAMConfig.IPAM.Config.Subnet of type netip.Prefix"),
        ({"Config": [{"Subnet": "x"}], "Driver": 3}, "netip.ParsePrefix(\"x\"): no '/'"),
        ({"Driver": 3, "Config": [{"Gateway": "x"}]}, 'ParseAddr("x"): unable to parse IP'),
        ({"Driver": 3, "Options": 4}, "cannot unmarshal number into Go struct field IPAM.IPAM.Driver of type string"),
    ],
)  # fmt: skip
def test_a_malformed_address_is_reported_before_values_of_a_wrong_type(ipam, text):
    with pytest.raises(InvalidParameter) as refused:
        read_network_create(profile("29.7.2"), {"Name": "n", "IPAM": ipam})
    assert refused.value.message.endswith(text)
    assert read_network_create(profile("29.7.2"), {"IPAM": {"Config": [{"Subnet": ""}]}})["IPAM"]["Config"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    ["Image", "Cmd", "Env", "HostConfig", "NetworkingConfig", "ExposedPorts", "Labels", "Volumes", "Hostname", "Tty"]
)


@given(st.dictionaries(KEYS, JSON, max_size=4), st.dictionaries(st.text(max_size=8) | KEYS, JSON, max_size=4))
def test_any_body_is_either_accepted_or_refused(config, host_config):
    engine = new_engine()
    try:
        answer = engine.rest.containers.create({"Image": "alpine", "HostConfig": host_config, **config})
    except (InvalidParameter, NotFound):
        assert len(engine.store) == 0
    else:
        engine.rest.containers.inspect(answer["Id"])


def typed(streams, data):
    seen = []
    streams.listen(lambda _stream, output: seen.append(output))
    streams.type(data)
    return b"".join(seen)


def test_terminal_echoes_and_hands_over_whole_lines():
    streams = StandardStreams(Clock(), has_stdin=True, is_terminal=True)
    assert typed(streams, b"lx\x7fs\r") == b"lx\b \bs\r\n"
    assert streams.stdin.getvalue() == b"ls\n"


def test_terminal_turns_newlines_into_cr_lf_and_joins_the_outputs():
    streams = StandardStreams(Clock(), is_terminal=True)
    seen = []
    streams.listen(lambda stream, output: seen.append((stream, output)))
    streams.stderr.write(b"a\nb\r\n")
    assert seen == [("stdout", b"a\r\nb\r\n")]


def test_interrupt_and_end_of_file_are_keys_of_a_terminal():
    streams = StandardStreams(Clock(), has_stdin=True, is_terminal=True)
    interrupts = []
    streams.on_interrupt = lambda: interrupts.append(1)
    streams.type(b"half\x03\x04next\r")
    assert interrupts == [1]
    reads = [Task(streams.clock, streams.stdin.read()) for _ in range(2)]
    streams.clock.run_ready()
    assert [each.result() for each in reads] == [b"", b"next\n"]
    assert not streams.stdin.is_closed


def test_interrupt_discards_what_was_typed_before_it_and_an_end_of_file_too():
    streams = StandardStreams(Clock(), has_stdin=True, is_terminal=True)
    streams.type(b"no\r\x04\x03longer\r")
    (read,) = [Task(streams.clock, streams.stdin.read())]
    streams.clock.run_ready()
    assert read.result() == b"longer\n"


def test_a_read_ends_where_an_end_of_file_was_typed():
    streams = StandardStreams(Clock(), has_stdin=True, is_terminal=True)
    streams.type(b"one\r\x04two\r\x04")
    assert streams.stdin.getvalue() == b"one\n"
    reads = [Task(streams.clock, streams.stdin.read(size)) for size in (2, 9, 9, 2, 9)]
    streams.clock.run_ready()
    assert [each.result() for each in reads] == [b"on", b"e\n", b"", b"tw", b"o\n"]
    assert streams.stdin.getvalue() == b""


def test_each_end_of_file_ends_one_read():
    streams = StandardStreams(Clock(), has_stdin=True, is_terminal=True)
    streams.type(b"\x04one\r\x04two\r\x04\x04")
    reads = [Task(streams.clock, streams.stdin.read()) for _ in range(6)]
    streams.clock.run_ready()
    assert [each.result() for each in reads] == [b"", b"one\n", b"", b"two\n", b"", b""]


def test_a_terminal_is_awaited_while_a_process_reads_and_nothing_is_typed():
    streams = StandardStreams(Clock(), has_stdin=True, is_terminal=True)
    assert not streams.stdin.is_awaited
    read = Task(streams.clock, streams.stdin.read())
    streams.clock.run_ready()
    assert streams.stdin.is_awaited
    streams.type(b"\x04")
    assert not streams.stdin.is_awaited
    streams.clock.run_ready()
    assert (read.result(), streams.stdin.is_awaited) == (b"", False)


def test_a_terminal_is_not_awaited_by_a_read_that_timed_out():
    streams = StandardStreams(Clock(), has_stdin=True, is_terminal=True)

    async def read():
        with pytest.raises(TimeoutError):
            await streams.stdin.read(timeout_s=1)

    Task(streams.clock, read())
    streams.clock.run_for(0.9)
    assert streams.stdin.is_awaited
    streams.clock.run_for(0.2)
    assert not streams.stdin.is_awaited


def test_input_without_a_terminal_arrives_as_it_is():
    streams = StandardStreams(Clock(), has_stdin=True)
    assert typed(streams, b"a\x03b") == b""
    assert streams.stdin.getvalue() == b"a\x03b"


def test_events_are_remembered_selected_and_told():
    engine = new_engine()
    told = []
    end = engine.event_log.subscribe(lambda event: told.append(event.action), Filters({"type": ["network"]}))
    container = engine.containers.run("alpine", "sleep 1d", name="c1", labels={"a": "b"}, detach=True)
    end()
    container.kill()
    assert told == ["connect"]
    selected = engine.rest.system.events({"since": "1", "filters": {"container": ["c1"]}})
    assert [event.action for event in selected.past] == ["create", "start", "kill", "die"]
    assert selected.past[-1].attributes == {
        "a": "b", "image": "alpine", "name": "c1", "execDuration": "0", "exitCode": "137",
    }  # fmt: skip


def test_events_carry_legacy_fields_for_old_clients_only():
    engine = new_engine()
    container = engine.containers.create("alpine", name="c1")
    event = engine.event_log.past[-1]
    new, old = event.view(has_legacy_fields=False), event.view(has_legacy_fields=True)
    assert list(new) == ["Type", "Action", "Actor", "scope", "time", "timeNano"]
    assert (old["status"], old["id"], old["from"]) == ("create", container.id, "alpine")


def test_logs_have_stamps_tails_and_moments():
    engine = new_engine()
    container = engine.containers.run("alpine", "fail 0", detach=True)
    engine.clock.run_for(1)
    assert (
        container.logs(timestamps=True) == b"2026-01-01T00:00:00.000000000Z out\n2026-01-01T00:00:00.000000000Z err\n"
    )
    assert container.logs(tail=1) == b"err\n"
    assert container.logs(since=1_767_225_601) == b""


def test_files_go_in_and_out_as_archives():
    engine = new_engine()
    container = engine.containers.create("alpine", name="c1").record
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        entry = tarfile.TarInfo("sub/file")
        entry.size, entry.mode = 5, 0o755
        tar.addfile(entry, io.BytesIO(b"hello"))
    archive.write_archive(profile(), container, "/etc", buffer.getvalue())
    assert container.files.read("/etc/sub/file") == b"hello"
    with tarfile.open(fileobj=io.BytesIO(archive.read_archive(container, "/etc/sub"))) as tar:
        assert tar.getnames() == ["sub", "sub/file"]
    assert archive.path_stat(container, "/etc/sub/file") | {"mtime": ""} == {
        "name": "file", "size": 5, "mode": 0o755, "mtime": "", "linkTarget": "",
    }  # fmt: skip


def test_archive_cannot_leave_its_folder():
    engine = new_engine()
    container = engine.containers.create("alpine", name="c1").record
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("../../evil"))
    archive.write_archive(profile(), container, "/srv", buffer.getvalue())
    assert container.files.exists("/srv/evil")
    with pytest.raises(InvalidParameter):
        archive.write_archive(profile(), container, "/srv", b"no archive")


def test_changes_name_files_and_their_folders():
    engine = new_engine()
    container = engine.containers.create("alpine", name="c1")
    assert container.diff() is None
    files = container.record.files
    files.put("/srv/new/page", b"x")
    files.put("/etc/passwd", b"changed")
    files.remove("/etc/group")
    assert container.diff() == [
        {"Path": "/etc", "Kind": 0},
        {"Path": "/etc/group", "Kind": 2},
        {"Path": "/etc/passwd", "Kind": 0},
        {"Path": "/srv", "Kind": 0},
        {"Path": "/srv/new", "Kind": 1},
        {"Path": "/srv/new/page", "Kind": 1},
    ]


@pytest.mark.parametrize(
    ("options", "mode"),
    [
        ({}, None), ({"replicas": 3}, {"Replicated": {"Replicas": 3}}),
        ({"mode": "replicated"}, {"Replicated": {"Replicas": 1}}), ({"mode": "global"}, {"Global": {}}),
        ({"mode": "replicated-job", "replicas": 2}, {"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 2}}),
        ({"mode": "global-job"}, {"GlobalJob": {}}), ({"mode": {"Global": {}}}, {"Global": {}}),
    ],
)  # fmt: skip
def test_a_mode_of_a_service_by_its_name(options, mode):
    assert services._mode(dict(options)) == mode
    with pytest.raises(TypeError, match="not 'nosuch'"):
        services._mode({"mode": "nosuch"})


@pytest.mark.parametrize(
    ("privileges", "options"),
    [
        ({"Seccomp": {"Mode": "custom", "Profile": "e30="}}, ["seccomp={}"]),
        ({"Seccomp": {"Mode": "unconfined"}}, ["seccomp=unconfined"]), ({"Seccomp": {"Mode": "default"}}, []),
        ({"AppArmor": {"Mode": "disabled"}}, ["apparmor=unconfined"]),
        ({"NoNewPrivileges": True}, ["no-new-privileges=true"]),
        ({"SELinuxContext": {"Disable": True, "Level": "s0"}}, ["label=disable", "label=level:s0"]),
        ({"CredentialSpec": {"Config": "c"}}, ["credentialspec=config://c"]),
    ],
)  # fmt: skip
def test_privileges_of_a_service_are_security_options_of_its_containers(privileges, options):
    assert task_container._security_options(privileges) == options


MIB = 1 << 20


@pytest.mark.parametrize(
    ("resources", "limits"),
    [
        (None, {}),
        (ResourceRequirements(swap_bytes=MIB, memory_swappiness=1), {}),
        (ResourceRequirements(Resources(7, MIB)), {"NanoCpus": 7, "Memory": MIB}),
        (ResourceRequirements(Resources(0, MIB), None, -1), {"NanoCpus": 0, "Memory": MIB, "MemorySwap": -1}),
        (ResourceRequirements(Resources(0, MIB), None, 0), {"NanoCpus": 0, "Memory": MIB, "MemorySwap": MIB}),
        (ResourceRequirements(Resources(0, MIB), None, MIB), {"NanoCpus": 0, "Memory": MIB, "MemorySwap": 2 * MIB}),
        (ResourceRequirements(Resources(0, MIB), None, -2), {"NanoCpus": 0, "Memory": MIB}),
        (ResourceRequirements(Resources(7), None, MIB), {"NanoCpus": 7, "Memory": 0}),
        (ResourceRequirements(Resources(), None, None, 0), {"NanoCpus": 0, "Memory": 0, "MemorySwappiness": 0}),
    ],
)
def test_limits_of_a_service_are_limits_of_its_containers(resources, limits):
    # moby containerConfig.resources: swap counts beside memory, and only where memory is limited.
    assert task_container._limits(ClusterTask("t", TaskSpec(resources=resources))) == limits


@pytest.mark.parametrize(
    ("network", "network_id"),
    [
        (ClusterNetwork("n1", NetworkSpec(Annotations("net"))), "n1"),
        (ClusterNetwork("n2", NetworkSpec(Annotations("host", {"com.docker.swarm.predefined": "true"}))), None),
    ],
)
def test_an_attachment_of_a_task_names_its_network_and_addresses(network, network_id):
    attachment = NetworkAttachment(network, ("10.0.1.7/24", "fd00::7/64"), driver_attachment_opts={"a": "b"})
    settings = task_container.endpoint_settings(attachment)
    assert settings.get("NetworkID") == network_id
    assert settings["IPAMConfig"] == {"IPv4Address": "10.0.1.7", "IPv6Address": "fd00::7"}
    assert settings["DriverOpts"] == {"a": "b"}
    assert task_container.endpoint_settings(NetworkAttachment(network))["DriverOpts"] is None


@pytest.mark.parametrize("taken", range(8))
def test_a_random_name_has_a_digit_from_the_second_attempt_on_and_six_attempts_are_made(taken: int) -> None:
    tried: list[str] = []

    def is_taken(name: str) -> bool:
        tried.append(name)
        return len(tried) <= taken

    name = free_random_name(Random(1), is_taken, "0123456789abcdef" * 4)
    assert len(tried) == min(taken + 1, 6)
    assert [bool(re.fullmatch("[a-z]+_[a-z]+", text)) for text in tried] == [True] + [False] * (len(tried) - 1)
    assert all(re.fullmatch("[a-z]+_[a-z]+[0-9]", text) for text in tried[1:])
    assert name == (tried[-1] if taken < 6 else "0123456789ab")


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("db", ("db", "db")), ("db:data", ("db", "data")), ("/db", ("db", "db")), ("/db:/web/data", ("db", "data")),
        ("", "empty string specified for links"), ("a:b:c", "bad format for links: a:b:c"),
    ],
)  # fmt: skip
def test_links_are_read_as_docker_reads_them(text: str, link: tuple[str, str] | str) -> None:
    # moby opts/ParseLink; inspect shows /db:/web/alias.
    if isinstance(link, tuple):
        assert parse_link(text) == link
        return
    with pytest.raises(ValueError, match=link):
        parse_link(text)
