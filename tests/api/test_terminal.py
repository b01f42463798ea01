"""A shell at a terminal in a container: what Ctrl-C, Ctrl-D and the arrows do to it and to what it runs."""

import pytest

from cnmsim import Lab


class Terminal:
    """A `docker run -it alpine sh` or a `docker exec -it … sh`, and who types there."""

    def __init__(self, engine, streams, is_running):
        self.engine, self.streams, self.is_running = engine, streams, is_running
        self.shown = b""
        streams.listen(lambda _stream, data: self.take(data))

    def take(self, data):
        self.shown += data

    def type(self, keys, seconds=0.5):
        """Type, let time pass and give what was shown meanwhile."""
        before = len(self.shown)
        self.streams.type(keys)
        self.engine.clock.run_for(seconds)
        return self.shown[before:].decode()


@pytest.fixture
def engine():
    return Lab().add_host("node1", "10.0.0.15/24", docker=True).docker


@pytest.fixture(params=["run", "exec"])
def terminal(engine, request):
    if request.param == "run":
        body = {"Image": "alpine", "Cmd": ["sh"], "Tty": True, "OpenStdin": True, "AttachStdin": True}
        made = engine.rest.containers.create(body, {"name": "c1"})
        container = engine.store.get(made["Id"])
        found = Terminal(engine, engine.lifecycle.open_streams(container), lambda: container.is_running)
        engine.complete(engine.rest.containers.start("c1"))
    else:
        engine.containers.run("alpine", "sleep 1d", name="c1", detach=True)
        made = engine.rest.execs.create(
            "c1",
            {"Cmd": ["sh"], "Tty": True, "AttachStdin": True, "AttachStdout": True, "Env": ["TERM=xterm"]},
        )
        execution = engine.execs[made["Id"]]
        found = Terminal(engine, execution.streams, lambda: execution.is_running)
        engine.rest.execs.start(made["Id"], {"Tty": True})
    assert found.type(b"") == "/ # "
    return found


def test_ctrl_c_ends_what_runs_and_not_the_shell(terminal):
    assert terminal.type(b"sleep 100\r", 2) == "sleep 100\r\n"
    assert terminal.type(b"\x03") == "^C\r\n/ # "
    assert terminal.type(b"echo $?\r") == "echo $?\r\n130\r\n/ # "


def test_ctrl_c_ends_a_loop_and_a_pipeline(terminal):
    terminal.type(b"while true; do sleep 1; done\r", 3)
    assert terminal.type(b"\x03", 3) == "^C\r\n/ # "
    terminal.type(b"sleep 50 | cat; echo not reached\r", 1)
    assert terminal.type(b"\x03", 60) == "^C\r\n/ # "


def test_ctrl_c_lets_ping_tell_its_statistics(terminal):
    terminal.type(b"ping 127.0.0.1\r", 2.5)
    shown = terminal.type(b"\x03")
    assert "3 packets transmitted, 3 packets received, 0% packet loss" in shown
    assert shown.endswith("/ # ")


def test_ctrl_c_at_the_prompt_drops_the_line_and_the_lines_before(terminal):
    assert terminal.type(b"echo half\x03") == "echo half^C\r\n/ # "
    assert terminal.type(b"if true\r") == "if true\r\n> "
    assert terminal.type(b"\x03") == "^C\r\n/ # "
    assert terminal.type(b"echo whole\r") == "echo whole\r\nwhole\r\n/ # "


def test_what_runs_in_the_background_is_not_interrupted(terminal):
    terminal.type(b"sleep 5 &\r")
    terminal.type(b"sleep 100\r")
    terminal.type(b"\x03")
    assert "sleep 5" in terminal.type(b"ps\r")


def test_ctrl_d_ends_the_input_of_what_reads_and_then_that_of_the_shell(terminal):
    terminal.type(b"cat\r")
    assert terminal.type(b"a\r") == "a\r\na\r\n"
    assert terminal.type(b"half\x04") == "halfhalf"
    assert terminal.type(b"\x04") == "/ # "
    assert terminal.is_running()
    terminal.type(b"\x04")
    assert not terminal.is_running()


def test_an_arrow_recalls_a_line(terminal):
    terminal.type(b"echo one\r")
    assert terminal.type(b"\x1b[A\x7f\x7f\x7ftwo\r").endswith("\r\ntwo\r\n/ # ")
