"""What the README and the pages show is run: Python as it stands, files are read, commands say what they are said to say.

Pages whose cells the site itself runs when it is built (MyST-NB) are not among these.
"""

from __future__ import annotations

import doctest
import importlib
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from attrs import frozen
from click.testing import CliRunner

import cnmsim.observe
import cnmsim.testing
from cnmsim import EngineError, Lab
from cnmsim.cli import cli

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
#: Blocks that need more than Python, and who runs them.
ELSEWHERE = {
    ("README.md", "sh", 0): ".ci/run sets up and tests in this way",
    ("docs/drivers.md", "python", 1): "tests/libnetwork/plugins starts programs as plugins",
    ("docs/serving.md", "python", 0): "tests/api runs testcontainers where it is installed",
}


@frozen
class Block:
    page: str
    kind: str
    number: int
    text: str


def _blocks() -> list[Block]:
    found = []
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        text = path.read_text(encoding="utf-8")
        if text.startswith("---\nfile_format: mystnb"):
            continue
        counts: dict[str, int] = {}
        for kind, body in _FENCE.findall(text):
            number = counts[kind] = counts.get(kind, -1) + 1
            block = Block(path.relative_to(ROOT).as_posix(), kind, number, body)
            if (block.page, kind, number) not in ELSEWHERE:
                found.append(block)
    return found


BLOCKS = _blocks()


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
        "lab": lab, "engine": lab.host("node1").docker, "folder": folder, "PluginServer": PluginServer, "pytest": pytest,
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
            exec(compile(block.text, f"{page} block {block.number}", "exec"), names)


#: What the files of a page leave out of a whole lab.
AROUND = {
    ("docs/physical-networks.md", 0): {
        "hosts": {
            name: {"addresses": [address]}
            for name, address in (
                ("node1", "172.16.0.1/24"), ("other", "10.9.9.9/24"), ("printer", "10.0.0.9/24"), ("vm", "172.16.0.9/24"),
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


@pytest.mark.parametrize("block", _of("console"), ids=lambda block: f"{block.page}-{block.number}")
def test_commands_say_what_is_shown(block: Block, desk: Path) -> None:
    lines = block.text.splitlines()
    for number, line in enumerate(lines):
        words = shlex.split(line.removeprefix("$ "), comments=True)
        if not line.startswith("$ cnmsim") or "serve" in words or "--dir" in words:
            continue  # served labs, and the docker command, are the business of tests/api
        done = CliRunner().invoke(cli, words[1:], env={"COLUMNS": "200"})
        assert done.exit_code in {0, 1}, done.output
        for shown in lines[number + 1 :]:
            if shown.startswith("$ "):
                break
            assert shown in {"…", ""} or shown in done.output


@pytest.mark.parametrize("block", _of("toml"), ids=lambda block: block.page)
def test_metadata_is_that_of_the_example(block: Block) -> None:
    shown = tomllib.loads(block.text)["project"]["entry-points"]
    example = tomllib.loads((ROOT / "examples" / "switch-driver" / "pyproject.toml").read_text(encoding="utf-8"))
    assert shown.items() <= example["project"]["entry-points"].items()


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
        for package in (cnmsim, cnmsim.observe, cnmsim.testing)
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
