"""The worked example of a Python driver, as its own package tests it once it is installed."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

from support.patience import PATIENCE_S

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "switch-driver"


def test_the_switch_driver_conforms_as_an_installed_package(tmp_path):
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    # What pip would write of it, so that nothing need be installed.
    installed = tmp_path / f"cnmsim_switch_driver-{project['version']}.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(
        f"Metadata-Version: 2.4\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (installed / "entry_points.txt").write_text("\n".join(lines))
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-c",
            os.devnull,
            "--rootdir",
            str(EXAMPLE),
            str(EXAMPLE),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(EXAMPLE), str(tmp_path)])},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout and "failed" not in done.stdout
