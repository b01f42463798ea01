"""What the README and the pages show is run, as it stands, and prints what they show.

The site itself runs the pages with cells (MyST-NB) when it is built; of these, the quick start is run here too.
"""

from __future__ import annotations

import doctest
import importlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from support.documents import ROOT, Block, blocks, commands, is_as_shown, is_notebook, pages, run_cell
from support.patience import PATIENCE_S, eventually, until_ready

import cnmsim.testing
from cnmsim import EngineError, Lab
from cnmsim.cli import cli

#: Blocks that need more than Python, and who runs them.
ELSEWHERE = {
    ("README.md", "sh", 0): ".ci/run sets up and tests in this way",
    ("docs/drivers.md", "python", 1): "tests/libnetwork/plugins starts programs as plugins",
    ("docs/serving.md", "python", 0): "tests/api runs testcontainers where it is installed",
}
BLOCKS = [
    block
    for path in pages()
    if not is_notebook(path)
    for block in blocks(path)
    if (block.page, block.kind, block.number) not in ELSEWHERE
]


def _of(kind: str) -> list[Block]:
    return [block for block in BLOCKS if block.kind == kind]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with the examples and the files that pages speak of."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "shop.yml").write_text("services: {web: {image: nginx, ports: ['8080:80']}}", encoding="utf-8")
    (tmp_path / "stack.yml").write_text("services: {web: {image: nginx}}", encoding="utf-8")
    (tmp_path / "password.txt").write_text("secret", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT / "examples" / "switch-driver")
    return tmp_path


def _host_lab() -> dict[str, Any]:
    lab = Lab()
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    lab.add_host("client", "10.0.0.50/24")
    return {"lab": lab, "engine": lab.host("node1").docker}


def _lent_addresses() -> dict[str, Any]:
    lab = Lab()
    lab.add_host("router", "10.0.0.1/24", dhcp="10.0.0.100-10.0.0.199")
    return {"lab": lab}


def _plugin_lab(desk: Path) -> dict[str, Any]:
    from cnmsim.testing.plugin import PluginServer

    folder = desk / "plugins"
    folder.mkdir()
    lab = Lab(plugin_dirs=[folder])
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    return {
        "lab": lab, "engine": lab.host("node1").docker, "folder": folder, "PluginServer": PluginServer,
        "pytest": pytest,
        "EngineError": EngineError,
    }  # fmt: skip


def _given(page: str, desk: Path) -> dict[str, Any]:
    """What a page's blocks take for granted."""
    match page:
        case "docs/serving.md":
            return _host_lab()
        case "docs/physical-networks.md":
            return _lent_addresses()
        case "docs/drivers.md":
            return _plugin_lab(desk)
    return {}


@pytest.mark.parametrize("page", sorted({block.page for block in _of("python")}))
def test_python_runs(page: str, desk: Path) -> None:
    names = {"__name__": "page", **_given(page, desk)}
    for block in _of("python"):
        if block.page == page:
            printed = run_cell(block, names)
            assert block.output is None or is_as_shown(block.output, printed), printed


def test_the_quick_start_prints_what_it_speaks_of(desk: Path) -> None:
    (desk / "_walks").mkdir()
    names: dict[str, Any] = {"__name__": "page"}
    cells = [block for block in blocks(ROOT / "docs" / "quickstart.md") if block.kind == "code-cell"]
    printed = "".join(f"[{block.number}]\n{run_cell(block, names)}" for block in cells)
    assert is_as_shown((Path(__file__).parent / "quickstart.txt").read_text(encoding="utf-8"), printed), printed


def test_what_is_shown_is_the_whole_output() -> None:
    assert is_as_shown("a\n…\nd …\n", "a\nb\nc\nd 1\n")
    assert is_as_shown("a\n…\n", "a\n")
    assert not is_as_shown("a\n", "a\nb\n")
    assert not is_as_shown("b\n", "a\nb\n")


#: What the files of a page leave out of a whole lab.
AROUND = {
    ("docs/physical-networks.md", 0): {
        "hosts": {
            name: {"addresses": [address]}
            for name, address in (
                ("node1", "172.16.0.1/24"), ("other", "10.9.9.9/24"), ("printer", "10.0.0.9/24"),
                ("vm", "172.16.0.9/24"),
            )
        }
    },
}  # fmt: skip


@pytest.mark.parametrize("block", _of("yaml"), ids=lambda block: f"{block.page}-{block.number}")
def test_files_are_read(block: Block, desk: Path) -> None:
    known = yaml.safe_load(block.text)
    if block.page == "docs/policy.md":
        from cnmsim.testing.policy import Policy

        policy = Policy.of(known)
        assert [str(each) for each in policy.require]
        return
    path = desk / "lab.yml"
    path.write_text(
        yaml.safe_dump({**AROUND.get((block.page, block.number), {}), **known}, sort_keys=False), encoding="utf-8"
    )
    lab = Lab.from_file(path)
    assert set(known.get("hosts", {})) <= set(lab.hosts)
    assert set(known.get("segments", {})) <= set(lab.segments)


def _is_served(block: Block) -> bool:
    return any(" serve " in command for command, _ in commands(block))


@pytest.mark.parametrize(
    "block",
    [block for block in _of("console") if not _is_served(block)],
    ids=lambda block: f"{block.page}-{block.number}",
)
def test_commands_say_what_is_shown(block: Block, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")  # readline, which other tests load, exports the terminal's width
    for command, shown in commands(block):
        words = shlex.split(command, comments=True)
        assert words[0] == "cnmsim"
        done = CliRunner().invoke(cli, words[1:])
        assert done.exit_code in {0, 1}, done.output
        assert not shown or is_as_shown(shown, done.output), done.output


@pytest.mark.skipif(shutil.which("docker") is None, reason="no docker command on this machine")
@pytest.mark.parametrize(
    "block",
    [block for block in _of("console") if _is_served(block)],
    ids=lambda block: f"{block.page}-{block.number}",
)
def test_commands_of_a_served_lab_say_what_is_shown(block: Block, desk: Path) -> None:
    """A shell runs the block line by line; in place of the reader's pause, it waits until the lab is served."""
    (desk / "cnmsim").write_text(f'#!/bin/sh\nexec {sys.executable} -m cnmsim "$@"\n', encoding="utf-8")
    (desk / "cnmsim").chmod(0o755)
    path = os.pathsep.join([str(desk), os.environ["PATH"]])
    environment = {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": str(ROOT),
        "DOCKER_CONFIG": str(desk),
        "XDG_RUNTIME_DIR": str(desk),
    }
    exported, server, log = "", None, (desk / "serve.log").open("wb")
    try:
        for command, shown in commands(block):
            if command.endswith("&"):
                server = subprocess.Popen(
                    ["bash", "-c", f"exec {command.removesuffix('&')}"], stdout=log, stderr=log, env=environment
                )
                folder = re.findall(r"--dir (\S+)", command)[0].replace("$XDG_RUNTIME_DIR", str(desk))
                until_ready(Path(folder), server)
                if shown:  # the server prints once its sockets are open
                    eventually(lambda path=Path(log.name): path.stat().st_size)
                printed = Path(log.name).read_text(encoding="utf-8")
            elif command.startswith("export "):
                exported += command + "\n"
                printed = ""
            else:
                done = subprocess.run(
                    ["bash", "-c", exported + command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                    env=environment, timeout=PATIENCE_S, check=False, stdin=subprocess.DEVNULL,
                )  # fmt: skip
                printed = done.stdout
                assert done.returncode == 0, printed
            assert not shown or is_as_shown(shown, printed), printed
    finally:
        log.close()
        if server is not None:
            server.send_signal(signal.SIGTERM)
            server.wait(PATIENCE_S)


@pytest.mark.parametrize("block", _of("toml"), ids=lambda block: block.page)
def test_metadata_is_that_of_the_example(block: Block) -> None:
    shown = tomllib.loads(block.text)["project"]["entry-points"]
    example = tomllib.loads((ROOT / "examples" / "switch-driver" / "pyproject.toml").read_text(encoding="utf-8"))
    assert shown.items() <= example["project"]["entry-points"].items()


def test_the_two_commands_of_the_readme_are_those_that_ci_runs() -> None:
    block = next(block for block in blocks(ROOT / "README.md") if block.kind == "sh")
    lines = block.text.splitlines()
    assert len(lines) == 2
    assert all(line.startswith("python3 -m venv") for line in lines)
    assert "grep '^python3 -m venv' README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_no_block_is_of_another_kind() -> None:
    assert {block.kind for block in BLOCKS} <= {"python", "yaml", "console", "toml", "text"}


def test_links_lead_somewhere() -> None:
    for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists() or target.startswith("_walks"), f"{path}: {target}"


def test_every_public_name_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"auto(?:class|function):: (\S+)", page))
    modules = [importlib.import_module(name) for name in re.findall(r"automodule:: (\S+)", page)]
    objects = [value for module in modules for value in vars(module).values()]
    objects += [getattr(importlib.import_module(name.rpartition(".")[0]), name.rpartition(".")[2]) for name in listed]
    missing = [
        f"{package.__name__}.{name}"
        for package in (cnmsim, cnmsim.testing)
        for name in package.__all__
        if name != "__version__" and not any(getattr(package, name) is each for each in objects)
    ]
    assert missing == []


WITH_EXAMPLES = ["cnmsim", "cnmsim.cnm", "cnmsim.lab.lab"]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_in_docstrings_run(name: str) -> None:
    done = doctest.testmod(importlib.import_module(name))
    assert done.attempted > 0
    assert done.failed == 0


def test_no_other_docstring_has_an_example() -> None:
    found = {
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
        for path in (ROOT / "cnmsim").rglob("*.py")
        if re.search(r"^ *>>> (?!.*\+SKIP)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert found == set(WITH_EXAMPLES)
