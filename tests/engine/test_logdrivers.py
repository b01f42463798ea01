"""Logging drivers: what they keep, where they send it, and what is refused."""

import gzip
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnmsim import Lab
from cnmsim.engine.logdrivers import drivers
from cnmsim.engine.logdrivers import storage as storage_module
from cnmsim.engine.logdrivers.description import details, extra_attributes
from cnmsim.engine.logdrivers.encodings import JsonEncoding, LocalEncoding
from cnmsim.engine.logdrivers.fluentd import FluentdFormat
from cnmsim.engine.logdrivers.message import LogLine
from cnmsim.engine.logdrivers.storage import LogStorage
from cnmsim.errors import EngineError, InvalidParameter, NotSimulated, NotSupported, SystemFault
from cnmsim.gounits import from_human_size, ram_in_bytes
from cnmsim.kernel.inode import Directory, File
from cnmsim.libnetwork.profile import profile


@pytest.fixture(scope="module")
def lab():
    lab = Lab()
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    lab.add_host("client", "10.0.0.50/24")
    return lab


def config(driver="", **options):
    return {"Type": driver, "Config": {key.replace("_", "-"): value for key, value in options.items()}}


def start(lab, script, log_config, **options):
    docker = lab.host("node1").docker
    return docker.containers.run("alpine", ["sh", "-c", script], detach=True, log_config=log_config, **options)


def entries(content):
    return [json.loads(line) for line in content.decode().splitlines()]


def numbered(number):
    return LogLine(number * 1_000_000_000, "stdout", f"line {number}\n".encode())


def test_the_file_at_log_path_is_on_the_host(lab):
    container = start(lab, "echo one; echo two >&2; printf three", config(tag="{{.Name}}"), name="plain")
    lab.run(1)
    container.reload()
    content = lab.host("node1").exec(["cat", container.attrs["LogPath"]]).output.encode()
    assert [(entry["log"], entry["stream"], entry["attrs"]) for entry in entries(content)] == [
        ("one\n", "stdout", {"tag": "plain"}),
        ("two\n", "stderr", {"tag": "plain"}),
        ("three", "stdout", {"tag": "plain"}),
    ]
    folder = container.attrs["LogPath"].rpartition("/")[0]
    assert lab.host("node1").exec(["ls", folder]).output.split()[-3:] == ["hostname", "hosts", "resolv.conf"]
    container.remove()
    assert not lab.host("node1").machine.files.exists(folder)


def test_emptying_the_file_empties_the_log(lab):
    container = start(lab, "echo one; sleep 2; echo two", config())
    lab.run(1)
    container.reload()
    lab.host("node1").exec(f": > {container.attrs['LogPath']}")
    assert container.logs() == b""
    lab.run(3)
    assert container.logs() == b"two\n"


def test_a_fork_has_a_log_of_its_own(lab):
    container = start(lab, "echo one", config())
    lab.run(1)
    path = f"/var/lib/docker/containers/{container.id}/{container.id}-json.log"
    copy = lab.fork()
    copy.host("node1").machine.files.write(path, b"")
    assert copy.host("node1").docker.containers.get(container.id).logs() == b""
    assert container.logs() == b"one\n"


@pytest.mark.parametrize(
    ("options", "capacity", "files", "compresses"),
    [
        # moby daemon/logger/local: defaultMaxFileSize 20 MiB, defaultMaxFileCount 5; sizes count in thousands.
        ({}, 20 * 1024 * 1024, 5, True), ({"max-size": "1m"}, 1_000_000, 5, True),
        ({"max-file": "2"}, 20 << 20, 2, True),
        ({"max-file": "1", "compress": "false"}, 20 << 20, 1, False),
    ],
)  # fmt: skip
def test_the_local_driver_keeps_five_compressed_files_of_20_mib(options, capacity, files, compresses):
    storage = drivers._local_storage(profile(), options)
    assert (storage.capacity, storage.max_files, storage.compresses) == (capacity, files, compresses)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max-file": "-1"}, "max-file must not be negative"),
        ({"compress": "x"}, 'invalid boolean value for compress: strconv.ParseBool: parsing "x": invalid syntax'),
        ({"max-file": "1"}, "compression cannot be enabled when max file count is 1"),
        ({"max-file": "0"}, "compression cannot be enabled when max file count is 1"),
        ({"max-file": "x"}, 'invalid value for max-file: x: strconv.Atoi: parsing "x": invalid syntax'),
    ],
)
def test_limits_of_the_local_driver_that_are_refused(options, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        drivers._local_storage(profile(), options)


def test_rotation_keeps_the_newest_files():
    storage, folder = LogStorage(JsonEncoding(), capacity=150, max_files=3, compresses=True), Directory()
    storage.store_in(folder, "log")
    for number in range(20):
        storage.append(numbered(number))
    assert folder.names() == ["log", "log.1.gz", "log.2.gz"]
    files = [folder.get(name) for name in ("log.2.gz", "log.1.gz", "log")]
    contents = [
        gzip.decompress(file.content) if file.size and index < 2 else file.content for index, file in enumerate(files)
    ]
    assert [entry["log"] for content in contents for entry in entries(content)] == [
        line.text.decode() for line in storage.lines
    ]
    assert files[1].mtime_ns == storage.lines[-len(entries(contents[2])) - 1].time_ns


@given(
    st.integers(1, 400),
    st.integers(1, 5),
    st.lists(st.tuples(st.binary(max_size=60), st.sampled_from(["stdout", "stderr"])), max_size=60),
)
def test_the_files_contain_what_can_be_read(capacity, max_files, messages):
    storage, folder = LogStorage(JsonEncoding(), capacity, max_files), Directory()
    storage.store_in(folder, "log")
    for number, (text, stream) in enumerate(messages):
        storage.append(LogLine(number, stream, storage.encoding.stored(text)))
    names = sorted(folder.names(), reverse=True)
    assert len(names) <= max_files
    stored = [entry.get("log", "") for name in names for entry in entries(folder.get(name).content)]
    assert [text.encode() for text in stored] == [line.text for line in storage.lines]
    assert storage.lines == [] or storage.lines[-1].time_ns == len(messages) - 1


def test_a_log_without_a_limit_uses_bounded_memory(monkeypatch):
    monkeypatch.setattr(storage_module, "MEMORY_LIMIT", 20_000)
    storage = LogStorage()
    for number in range(1000):
        storage.append(numbered(number))
    assert 100 < len(storage.lines) < 200
    assert storage.lines[-1] == numbered(999)
    assert entries(storage.content(0))[-1]["log"] == "line 999\n"


def test_local_files_are_length_prefixed_protobuf_messages():
    line = LogLine(300, "stdout", b"hi\n")
    entry = b"\x0a\x06stdout\x10\xac\x02\x1a\x02hi"
    length = len(entry).to_bytes(4, "big")
    assert LocalEncoding().encode(line) == length + entry + length
    # attrs are field 6 of api/types/plugins/logdriver/entry.proto: key 1, value 2
    entry += b"\x32\x06\x0a\x01a\x12\x01b"
    length = len(entry).to_bytes(4, "big")
    assert LocalEncoding((("a", "b"),)).encode(line) == length + entry + length


def test_the_local_driver_stores_labels_and_a_tag_with_each_message(lab):
    container = start(
        lab, "echo one", config("local", labels="team", tag="{{.Name}}"), name="c1", labels={"team": "blue", "x": "y"}
    )
    lab.run(1)
    machine = lab.host("node1").machine
    content = machine.files.read(f"{drivers.ROOT}/{container.id}/local-logs/container.log")
    pairs = [(b"tag", b"c1"), (b"team", b"blue")]
    attributes = [b"\x0a%c%s\x12%c%s" % (len(name), name, len(value), value) for name, value in pairs]
    assert b"".join(b"\x32%c%s" % (len(entry), entry) for entry in attributes) in content
    assert container.logs() == b"one\n"


@pytest.mark.parametrize(
    "log_config", [config("none"), config("gelf", gelf_address="udp://10.0.0.50:1", cache_disabled="true")]
)
def test_a_driver_that_keeps_nothing_cannot_be_read(lab, log_config):
    container = start(lab, "echo one", log_config)
    lab.run(1)
    with pytest.raises(NotSupported, match="configured logging driver does not support reading"):
        container.logs()
    assert lab.host("node1").docker.containers.run("alpine", "echo hi", log_config=config("none")) == b""


def test_syslog_and_gelf_send_datagrams_and_keep_a_cache(lab):
    lab.host("client").start(["sh", "-c", "nc -lu -p 514 > /tmp/syslog"])
    lab.host("client").start(["sh", "-c", "nc -lu -p 12201 > /tmp/gelf"])
    options = {"syslog_address": "udp://10.0.0.50", "syslog_facility": "local0", "tag": "{{.Name}}"}
    sender = start(lab, "echo one; sleep 1; echo two >&2", config("syslog", **options), name="talk")
    start(lab, "echo one", config("gelf", gelf_address="udp://10.0.0.50:12201", gelf_compression_type="none"))
    lab.run(3)
    files = lab.host("client").machine.files
    assert [line.split(b" ", 3)[0] + line.partition(b"]")[2] for line in files.read("/tmp/syslog").splitlines()] == [
        b"<134>Jan: one",
        b"<131>Jan: two",
    ]
    assert b" talk[" in files.read("/tmp/syslog")
    message = json.loads(files.read("/tmp/gelf"))
    assert (message["short_message"], message["level"], message["host"]) == ("one", 6, "node1")
    assert sender.logs() == b"one\ntwo\n"


def test_syslog_gelf_and_fluentd_send_over_tcp(lab):
    client = lab.host("client")
    for port in (601, 602, 603):
        client.start(["sh", "-c", f"nc -l -p {port} > /tmp/tcp{port}"])
    lab.run(1)
    script = "echo one; sleep 1; printf two >&2"
    at = "10.0.0.50"
    start(lab, script, config("syslog", syslog_address=f"tcp://{at}:601", tag="t"))
    start(lab, script, config("gelf", gelf_address=f"tcp://{at}:602"))
    kept = start(lab, script, config("fluentd", fluentd_address=f"{at}:603", tag="docker"), name="forward")
    lab.run(4)
    files = client.machine.files
    assert [line.rpartition(b": ")[2] for line in files.read("/tmp/tcp601").splitlines()] == [b"one", b"two"]
    assert [json.loads(text)["level"] for text in files.read("/tmp/tcp602").split(b"\0")[:-1]] == [6, 3]
    first = files.read("/tmp/tcp603")
    assert first.startswith(b"\x94\xa6docker\xd2")
    fields = b"\xac" + b"container_id\xd9\x40" + kept.id.encode() + b"\xae" + b"container_name\xa8/forward"
    assert fields + b"\xa6source\xa6stdout\xa3log\xa3one\x80" in first
    assert b"\xa6source\xa6stderr\xa3log\xa3two\xafpartial_message\xa4true\xaa" in first
    assert first.endswith(b"\xafpartial_ordinal\xa11\xac" + b"partial_last\xa5false\x80")
    assert kept.logs() == b"one\ntwo"


def test_fluentd_numbers_the_parts_of_a_line():  # daemon/logger/fluentd/fluentd.go and copier.go of moby
    form = FluentdFormat("t", {})
    sent = [form.format(LogLine(7, stream, text)) for stream, text in (
        ("stdout", b"a"), ("stderr", b"whole\n"), ("stdout", b"b"), ("stdout", b"c\n"), ("stdout", b"whole\n")
    )]  # fmt: skip
    parts = [re.search(rb"partial_ordinal\xa1(.)\xacpartial_last.(true|false)", message) for message in sent]
    assert [match and match.groups() for match in parts] == [
        (b"1", b"false"), None, (b"2", b"false"), (b"3", b"true"), None
    ]  # fmt: skip
    ids = {match[1] for message in sent if (match := re.search(rb"partial_id\xd9\x40(.{64})", message))}
    assert len(ids) == 1


def test_labels_and_variables_that_a_container_does_not_have_are_not_logged(lab):
    options = config("json-file", labels="a,absent", env="B,ABSENT", labels_regex="^c", env_regex="^D")
    kept = start(lab, "echo x", options, labels={"a": "1", "c1": "2", "z": "3"}, environment={"B": "4", "D": "5"})
    lab.run(2)
    attributes = extra_attributes(kept.record)
    assert attributes == {"a": "1", "c1": "2", "B": "4", "D": "5"}
    assert details(attributes) == "B=4,D=5,a=1,c1=2"


@pytest.mark.parametrize(
    ("options", "text"),
    [  # daemon/logger/factory.go and daemon/logger/jsonfilelog/jsonfilelog.go of moby
        ({"compress": "true"}, "compress cannot be true when max-file is less than 2 or max-size is not set"),
        ({"compress": "true", "max_file": "2"}, "compress cannot be true when max-file is less than 2 or max-size"),
        ({"compress": "true", "max_size": "1k"}, "compress cannot be true when max-file is less than 2 or max-size"),
        ({"max_size": "0"}, "max-size must be a positive number"),
        ({"max_file": "0"}, "max-file cannot be less than 1"),
        ({"mode": "x"}, "logger: logging mode not supported: x"),
        ({"max_buffer_size": "1m"}, "max-buffer-size option is only supported with 'mode=non-blocking'"),
        ({"mode": "blocking", "max_buffer_size": "1m"}, "max-buffer-size option is only supported with"),
        ({"mode": "non-blocking", "max_buffer_size": "x"}, "error parsing option max-buffer-size"),
    ],
)
def test_options_that_do_not_go_together_are_refused(lab, options, text):
    with pytest.raises(EngineError, match=re.escape(text)):
        start(lab, "true", config("json-file", **options))


@pytest.mark.parametrize(
    "options",
    [
        {"compress": "true", "max_file": "2", "max_size": "1k"}, {"compress": "false"},
        {"mode": "non-blocking", "max_buffer_size": "1m"}, {"mode": "blocking"},
    ],
)  # fmt: skip
def test_options_that_go_together_are_accepted(lab, options):
    assert start(lab, "sleep 1d", config("json-file", **options)).status == "running"


def test_a_long_gelf_message_is_sent_in_chunks(lab):
    client = lab.host("client")
    client.start(["sh", "-c", "nc -lu -p 12202 > /tmp/chunks"])
    options = {"gelf_address": "udp://10.0.0.50:12202", "gelf_compression_type": "none"}
    start(lab, "head -c 3000 /dev/zero | tr '\\0' x; echo", config("gelf", **options))
    lab.run(2)
    data = client.machine.files.read("/tmp/chunks")
    chunks = [data[at : at + 1420] for at in range(0, len(data), 1420)]
    assert [chunk[:2] + chunk[10:12] for chunk in chunks] == [b"\x1e\x0f" + bytes([n, 3]) for n in range(3)]
    assert json.loads(b"".join(chunk[12:] for chunk in chunks))["short_message"] == "x" * 3000


def test_a_server_that_refuses_loses_the_message_from_the_cache_too(lab):
    container = start(
        lab, "echo one; sleep 1; echo two; sleep 1; echo three", config("gelf", gelf_address="udp://10.0.0.50:9")
    )
    lab.run(4)
    assert container.logs() == b"one\nthree\n"


def test_options_that_are_wrong_only_at_the_start_are_refused_there(lab):
    with pytest.raises(SystemFault, match=r"failed to initialize logging driver: invalid size: 'x'$"):
        start(lab, "true", config(max_size="x"))
    for log_config, text in (
        (config("fluentd"), r"dial tcp 127.0.0.1:24224: connect: connection refused$"),
        (
            config("syslog", syslog_address="tcp://10.0.0.50:515"),
            r"dial tcp 10.0.0.50:515: connect: connection refused$",
        ),
        (config("gcplogs"), r"Please specify a project$"),
        (config("awslogs", awslogs_group="g"), r"^.*cannot determine region for awslogs driver: .* i/o timeout$"),
        (config("splunk", splunk_url="x", splunk_token="t"), "expected format scheme://dns_name_or_ip:port"),
    ):
        with pytest.raises(SystemFault, match=text):
            start(lab, "true", log_config)
    with pytest.raises(NotSimulated, match="splunk is not simulated"):
        start(lab, "true", config("splunk", splunk_url="http://10.0.0.50:8088", splunk_token="t"))
    with pytest.raises(InvalidParameter, match="unknown log opt 'nosuch' for json-file log driver"):
        start(lab, "true", config(nosuch="1"))


def test_a_long_line_is_several_messages(lab):
    container = start(lab, "head -c 40000 /dev/zero | tr '\\0' x; echo; echo short", config())
    lab.run(1)
    assert [len(line.text) for line in container.record.log.lines] == [16384, 16384, 40001 - 2 * 16384, 6]
    assert container.logs(tail=1) == b"short\n"


@pytest.mark.parametrize(
    ("text", "decimal", "binary"),
    [("10", 10, 10), ("1k", 1000, 1024), ("1.5MB", 1_500_000, 1_572_864), ("2 GiB", 2 * 10**9, 2 << 30)],
)
def test_sizes_have_decimal_or_binary_units(text, decimal, binary):
    assert (from_human_size(text), ram_in_bytes(text)) == (decimal, binary)


@pytest.mark.parametrize("text", ["", "x", "-1", "1q", "1kx", "1kilo"])
def test_a_size_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="invalid"):
        from_human_size(text)


def test_a_file_of_a_log_is_a_file():
    storage, folder = LogStorage(), Directory()
    storage.store_in(folder, "log")
    assert isinstance(folder.get("log"), File)
    with pytest.raises(OSError, match="Operation not permitted"):
        folder.get("log").content = b"{}"


def test_daemon_json_sets_the_default_driver_and_its_options():
    lab = Lab()
    options = {
        "log-driver": "local",
        "log-opts": {"max-size": "5m", "cache-max-file": "2"},
        "debug": True,
        "labels": ["a=b"],
    }
    docker = lab.add_host("node1", "10.0.0.15/24", docker=options).docker
    plain = docker.containers.create("alpine", "true")
    other = docker.containers.create("alpine", "true", log_config=config("json-file", max_file="3"))
    assert plain.attrs["HostConfig"]["LogConfig"] == config("local", max_size="5m", cache_max_file="2")
    assert other.attrs["HostConfig"]["LogConfig"] == config("json-file", max_file="3", cache_max_file="2")
    info = docker.info()
    assert (info["LoggingDriver"], info["Debug"], info["Labels"]) == ("local", True, ["a=b"])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"log-level": "nosuch"}, "failed: invalid logging level: nosuch"),
        ({"labels": ["a"]}, "failed: bad attribute format: a"),
        ({"log-opts": {"nosuch": "1"}}, "failed to set log opts: unknown log opt 'nosuch' for json-file log driver"),
        ({"log-opts": ["x"]}, "log-opts: must be a mapping"),
    ],
)
def test_a_daemon_does_not_start_with_wrong_logging_options(options, text):
    with pytest.raises(InvalidParameter) as refusal:
        Lab().add_host("node1", "10.0.0.15/24", docker=options)
    assert text in refusal.value.message
