"""Play the examples with what is installed.

Run as `python .ci/core.py [EXTRA]`, by the interpreter of a fresh virtual environment.

An example that needs an extra is left out, with that reason printed; with the name of an extra, only those that need
it are played. One that misses anything else has found what `pyproject.toml` forgot, and fails.
"""

from __future__ import annotations

import importlib
import os
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from click.testing import CliRunner

import cnmsim
from cnmsim.cli import cli

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
CNMSIM = Path(sys.executable).with_name("cnmsim")
#: Commands and the status they exit with.
COMMANDS = {
    "explain examples/mistakes/compose.yml web admin:8000 --fixes": 1,
    "trace examples/mistakes/compose.yml web db:5432 --json": 1,
    "doctor examples/voting-app/compose.yml": 0,
    "check examples/policy/compose.yml --policy examples/policy/policy.yml": 1,
    "exec examples/shop/compose.yml app -- nslookup db": 0,
    "iptables examples/labs/single.yml node1": 0,
    "trace examples/voting-app/compose.yml vote redis:6379 --pcap {folder}/walk.pcapng": 0,
}
#: Examples that need an extra.
NEEDS = {
    "examples/scripts/segmentation.py": "testing",
    "examples/testing/mistakes.py": "testing",
}


def script(path: Path) -> None:
    """Run a script as a program."""
    with redirect_stdout(StringIO()):
        runpy.run_path(str(path), run_name="__main__")


def pain(path: Path) -> None:
    """Play an example of the gallery: it must be ill, and well after its fix."""
    sys.path.insert(0, str(ROOT / "docs"))
    gallery = importlib.import_module("gallery")
    module = gallery.load(path)
    answer, _, after = gallery.play(module)
    before, later = (" ".join(str(found).split()) for found in (answer, after))  # answers are wrapped
    missing = [text for text in module.SAYS if text not in before]
    missing += [text for text in module.THEN if text not in later]
    assert not missing, f"not said: {missing}"


def command(words: str, status: int = 0) -> None:
    """Run a command of cnmsim."""
    with tempfile.TemporaryDirectory() as folder:
        done = CliRunner().invoke(cli, words.format(folder=folder).split())
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == status, f"exit status {done.exit_code}, not {status}\n{done.output}"


def served() -> None:
    """Serve a lab, and run a program on one of its hosts."""
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen([CNMSIM, "serve", EXAMPLES / "labs" / "single.yml", "--dir", folder], stdout=-3)
        try:
            until = time.monotonic() + 20
            while not (Path(folder) / "node1" / "docker.sock").exists() and time.monotonic() < until:
                time.sleep(0.05)
            done = subprocess.run(
                [CNMSIM, "sh", "--dir", folder, "client", "--", "curl", "-s", "http://10.0.0.15:8080/"],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
        finally:
            server.terminate()
            server.wait()
    assert "Welcome to nginx!" in done.stdout, done.stdout + done.stderr


def plays() -> Iterator[tuple[str, Callable[[], None]]]:
    """Give every example with its name."""
    for path in sorted(EXAMPLES.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if path.parent.name in {"scripts", "testing"}:
            yield name, lambda path=path: script(path)
        elif path.parent.name == "pains" and path.name[0].isdigit():
            yield name, lambda path=path: pain(path)
    for path in sorted(EXAMPLES.rglob("*.yml")):
        if path.name in {"compose.yml", "lab.yml"} or path.parent.name == "labs":
            words = f"ls {path.relative_to(ROOT)}"
            yield f"cnmsim {words}", lambda words=words: command(words)
    for words, status in COMMANDS.items():
        yield f"cnmsim {words}", lambda words=words, status=status: command(words, status)
    yield "cnmsim serve, cnmsim sh", served


def main(extra: str | None = None) -> int:
    """Play what needs the extra, or none; gives the exit status."""
    assert "site-packages" in str(cnmsim.__file__), "cnmsim is to be installed, not found in the work tree"
    os.chdir(ROOT)
    played, failed = 0, 0
    for name, play in plays():
        if NEEDS.get(name) != extra:
            if extra is None:
                print(f"left out: {name} needs cnmsim[{NEEDS[name]}]")
            continue
        played += 1
        try:
            play()
        except Exception as error:  # whatever it is, the others are still played
            failed += 1
            print(f"FAILED {name}: {type(error).__name__}: {error}")
    print(f"{played} examples played, {failed} failed")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
