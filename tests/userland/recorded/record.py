"""Record what the real busybox and bash print for the scripts in this folder: `sudo python record.py`.

Each `NAME.txt` has one script a line; a line that ends in a backslash, and a here-document, continue on the next. The
scripts of `bash.txt` are run by bash, the others by busybox ash, each in a fresh folder of busybox links that is its
root. The output is written to `NAME.json`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
LIMIT_S = 20
DEVICES = {"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9}


def scripts(path: Path) -> list[str]:
    """Split a file into scripts."""
    found: list[str] = []
    ends: list[str] = []
    for line in path.read_text().splitlines():
        if (ends or found[-1:]) and (ends or found[-1].endswith("\\") or _is_open(found[-1])):
            found[-1] += f"\n{line}"
            if ends and line.strip("\t") == ends[0]:
                ends.pop(0)
        else:
            found.append(line)
        ends += re.findall(r"(?<!<)<<-?'?([A-Z]+)'?$", line)
    return found


def _is_open(script: str) -> bool:
    return script.endswith('z="a')


def make_root(root: Path) -> None:
    """Make a root folder with busybox, bash and devices."""
    for folder in ("bin", "dev", "etc", "proc", "root", "tmp", "usr/bin"):
        (root / folder).mkdir(parents=True)
    (root / "tmp").chmod(0o1777)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n")
    (root / "etc/group").write_text("root:x:0:\nnobody:x:65534:\n")
    for name in ("busybox", "bash"):
        real = shutil.which(name)
        assert real is not None
        shutil.copy(real, root / "bin" / name)
        listed = subprocess.run(["ldd", real], capture_output=True, text=True, check=False).stdout
        for library in re.findall(r"(/\S+) \(0x", listed):
            target = root / library[1:]
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, target)
    subprocess.run(["chroot", root, "/bin/busybox", "--install", "-s", "/bin"], check=True)
    for name, minor in DEVICES.items():
        os.mknod(root / "dev" / name, 0o20666, os.makedev(1, minor))
        (root / "dev" / name).chmod(0o666)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        (root / "dev" / name).symlink_to(f"/proc/self/fd/{number}")
    (root / "dev/fd").symlink_to("/proc/self/fd")
    subprocess.run(["mount", "-t", "proc", "proc", root / "proc"], check=True)


def record(script: str, shell: str) -> dict[str, object]:
    """Run a script in a root of its own. Return it with its exit status and output."""
    root = Path(tempfile.mkdtemp(prefix="cnmsim-record-"))
    try:
        make_root(root)
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
        settings = [f"{name}={value}" for name, value in environment.items()]
        argv = ["chroot", str(root), "/bin/busybox", "env", "-i", *settings, shell, "-c", script]
        done = subprocess.run(
            argv, capture_output=True, env=environment, timeout=LIMIT_S, check=False, stdin=subprocess.DEVNULL
        )
        out, err = (text.decode(errors="surrogateescape") for text in (done.stdout, done.stderr))
        return {"script": script, "status": done.returncode, "out": out, "err": err}
    finally:
        subprocess.run(["umount", root / "proc"], check=False)
        shutil.rmtree(root)


def main() -> None:
    """Record all files, or those named on the command line."""
    for name in sys.argv[1:] or sorted(path.stem for path in HERE.glob("*.txt")):
        results = [record(script, "bash" if name == "bash" else "sh") for script in scripts(HERE / f"{name}.txt")]
        (HERE / f"{name}.json").write_text(json.dumps(results, indent=0) + "\n")
        sys.stdout.write(f"{name}: {len(results)} scripts\n")


if __name__ == "__main__":
    main()
