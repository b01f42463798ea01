"""The door by which plugins act on their host: what runs while an engine waits, and what does not."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from support.patience import PATIENCE_S
from support.plugin_stage import Stage

from cnmsim.api.frames import HEAD, Frame, pack
from cnmsim.lab.labfile import load_lab
from cnmsim.libnetwork.plugins import MainThreadExecutor


def ask(path: Path, wish: dict[str, Any]) -> list[tuple[Frame, bytes]]:
    with socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(PATIENCE_S)
        channel.connect(str(path))
        channel.sendall(json.dumps(wish).encode() + b"\n" + pack(Frame.STDIN, b""))
        found = []
        with channel.makefile("rb") as stream:
            while len(head := stream.read(HEAD.size)) == HEAD.size:
                kind, length = HEAD.unpack(head)
                found.append((Frame(kind), stream.read(length)))
        return found


def run(path: Path, *argv: str, host: str = "node1") -> list[tuple[Frame, bytes]]:
    return ask(path, {"verb": "exec", "host": host, "argv": list(argv)})


@pytest.mark.parametrize(
    ("argv", "host", "wanted"),
    [
        (["ip", "link", "add", "d0", "type", "dummy"], "node1", (Frame.EXIT, bytes(4))),
        (["ip", "link", "show", "none0"], "node1", (Frame.EXIT, b"\0\0\0\1")),
        (["nosuch"], "node1", (Frame.ERROR, b"sh: nosuch: not found")),
        (["ip", "link"], "nowhere", (Frame.ERROR, b"no host named nowhere; there are: node1")),
        (
            ["ping", "-c", "2", "10.0.0.99"],
            "node1",
            (
                Frame.ERROR,
                b"ping -c 2 10.0.0.99: takes time, and time stands still while an engine waits for its plugin",
            ),
        ),
    ],
)
def test_a_program_runs_during_a_call_if_it_takes_no_time(
    stage: Stage, argv: list[str], host: str, wanted: tuple[Frame, bytes]
) -> None:
    said: list[list[tuple[Frame, bytes]]] = []
    with stage.lab.open_plugin_control() as door:

        def reply(_: object) -> dict[str, Any]:
            said.append(run(door.path, *argv, host=host))
            return {}

        stage.plugin.replies["NetworkDriver.CreateNetwork"] = reply
        now = stage.lab.now
        stage.engine.networks.create("f", driver="test")
        assert stage.lab.now == now
    assert said[0][-1] == wanted
    assert not door.path.exists()


def test_a_door_alone_does_nothing_but_run_programs(stage: Stage) -> None:
    with stage.lab.open_plugin_control() as door:
        ((kind, text),) = ask(door.path, {"verb": "trace", "source": "node1", "destination": "node1"})
        assert (kind, text) == (Frame.ERROR, b"the lab is not served: it only runs programs for its plugins")
        ((kind, text),) = ask(door.path, {})
        assert kind is Frame.ERROR and text.startswith(b"bad control request")


def test_what_waits_in_the_world_goes_on_waiting_while_a_plugin_acts(stage: Stage) -> None:
    clock, order = stage.lab.clock, []
    clock.call_soon(order.append, "waiting")

    def act() -> str:
        clock.call_soon(order.append, "caused")
        return "done"

    assert clock.run_isolated(act) == "done"
    assert order == ["caused"]
    clock.run_ready()
    assert order == ["caused", "waiting"]


def test_an_errand_is_done_once_or_taken_back() -> None:
    executor, done = MainThreadExecutor(), []
    first, second = executor.submit(lambda: done.append(1)), executor.submit(lambda: done.append(2))
    assert second.cancel()
    executor.run_until_done(lambda: first.result(5))
    assert done == [1] and not first.cancel()
    with pytest.raises(ZeroDivisionError):
        executor.run_until_done(lambda: 1 // 0)


def test_folders_of_a_lab_file_are_seen_from_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "lab.yml").write_text(
        "plugin-dirs: [a]\nhosts:\n"
        "  one: {addresses: [10.0.0.1/24], docker: true}\n"
        "  two: {addresses: [10.0.0.2/24], docker: true, plugin-dirs: [b, /c]}\n"
    )
    lab = load_lab(tmp_path / "lab.yml")
    folders = {name: list(lab.host(name).docker.controller.plugins.folders) for name in ("one", "two")}  # type: ignore[union-attr]
    assert folders == {"one": [tmp_path / "a"], "two": [tmp_path / "b", Path("/c")]}
    lab.look_for_plugins("/d", give_up_s=0)
    store = lab.host("one").docker.controller.plugins  # type: ignore[union-attr]
    assert (list(store.folders), store.policy.give_up_s) == ([tmp_path / "a", Path("/d")], 0)
