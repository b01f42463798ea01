"""The same lab does the same in every run: whatever Python's hashes of text, which order its sets, happen to be."""

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"
#: A stack in a swarm, losses, a node that is cut off, and all that can be seen of it.
PLAY = """
import hashlib, json, sys
from cnmsim import Lab

def said(name, data):
    print(name, hashlib.sha256(data).hexdigest(), len(data))

lab = Lab.from_file(sys.argv[1])
capture = lab.capture("*")
with capture:
    print(lab.trace("customer", "node4:80"))
    print(lab.trace("appserver", "database:5432"))
    print(lab.explain("reverse_proxy", "database"))
    manager = lab.host("node1").docker
    manager.services.get("shop_appserver").scale(5)
    lab.lose("node2", "node3", 0.3)
    lab.cut("node4")
    lab.run(40)
    lab.heal()
    print(lab.settle())
said("capture", capture.to_bytes())
for service in manager.services.list():
    said(service.name, json.dumps(service.attrs).encode())
for name, host in lab.hosts.items():
    for command in ("iptables-save -c", "ip neigh", "conntrack -L", "ss -tan"):
        said(f"{name} {command}", host.exec(command).output.encode())
    if name != "customer":
        for kind in (host.docker.containers, host.docker.networks):
            said(name, json.dumps([each.attrs for each in kind.list()]).encode())
for notice in lab.events:
    print(notice)
print(lab.doctor())
print(lab.clock.now_ns)
"""


def play(seed):
    words = [sys.executable, "-c", PLAY, str(EXAMPLES / "sample-shop" / "lab.yml")]
    env = {**os.environ, "PYTHONHASHSEED": str(seed)}
    return subprocess.run(words, env=env, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()


def test_hashes_of_text_change_nothing():
    first, other = play(1), play(2)
    assert len(first) > 100
    assert first == other
