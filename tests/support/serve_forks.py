"""Serves labs in processes that are forked from one that has imported everything: a start takes no second.

Run as a program, it reads one command line of `cnmsim serve` a line, as JSON, and prints the process id. It waits for
a process before it reads the next line.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

PROGRAM = """
import json, os, sys
import cnmsim.api.server, cnmsim.cli, cnmsim.lab.state.statefile, cnmsim.swarm.persistence.serialization
from cnmsim.engine.cluster import cluster
for line in sys.stdin:
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            sys.argv[1:] = json.loads(line)
            cnmsim.cli.main()
        except SystemExit as end:
            os._exit(end.code if isinstance(end.code, int) else 1)
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class ServeForks:
    """Starts and kills servers of one lab, one after the other. Used as a context manager."""

    def __init__(self, folder, lab, *options, directory="d"):
        self.folder = folder
        self.directory = folder / directory
        (folder / "lab.yml").write_text(lab)
        self._words = json.dumps(["serve", "lab.yml", "--dir", directory, "--state", "state", *options])
        self._pid = 0

    def __enter__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=self.folder, env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        )  # fmt: skip
        return self

    def __exit__(self, *_):
        if self._pid:
            os.kill(self._pid, 9)
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def start(self):
        """Start a server, and give the folder of its sockets once they are open."""
        ready = self.directory / "ready"
        ready.unlink(missing_ok=True)
        self._process.stdin.write(self._words + "\n")
        self._process.stdin.flush()
        self._pid = int(self._process.stdout.readline())
        while not ready.exists():
            if not Path(f"/proc/{self._pid}").exists():
                self._pid = 0
                raise AssertionError(f"the server ended with {self._process.stdout.readline()}")
            time.sleep(0.002)
        return self.directory

    @property
    def pid(self):
        """The process id of the server."""
        return self._pid

    def kill(self, number=9):
        """Send the server a signal, and give its exit status once it is gone."""
        os.kill(self._pid, number)
        self._pid = 0
        return int(self._process.stdout.readline())
