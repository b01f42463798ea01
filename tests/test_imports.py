"""The core works where scapy and Hypothesis can't be loaded, and importing it is light."""

import subprocess
import sys

WITHOUT = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("scapy", "hypothesis", "pytest"):
            raise ImportError(name)
sys.meta_path.insert(0, Block())
"""

WALK = """
import importlib, pkgutil, cnmsim
for module in pkgutil.walk_packages(cnmsim.__path__, "cnmsim."):
    if not module.name.startswith(("cnmsim.testing", "cnmsim.__main__")):
        importlib.import_module(module.name)
from cnmsim import Lab
lab = Lab()
host = lab.add_host("node", "10.0.0.2/24", docker=True)
host.docker.networks.create("net")
host.docker.containers.run("nginx", name="web", network="net", detach=True)
client = host.docker.containers.run("alpine", "sleep 1d", name="c1", network="net", detach=True)
assert "1 packets received" in client.exec("ping -c 1 web").text
assert lab.explain("c1", "web", "tcp/80").reachable
print("fine")
"""

LIGHT = """
import sys, cnmsim
from cnmsim import Lab
libraries = {
    "scapy", "networkx", "hypothesis", "dns", "yaml", "rich", "click", "h11", "jsonschema", "cattrs", "wsproto"
}
heavy = libraries & set(sys.modules)
assert not heavy, heavy
print("fine")
"""

#: Modules that a question about a plain Compose project must not load: each costs a part of its answer's time.
ANSWER = """
import sys
from cnmsim import Lab
lab = Lab.from_compose({"services": {"web": {"image": "nginx"}, "db": {"image": "postgres"}}})
assert lab.trace("web", "db:5432")
unused = ("cnmsim.swarm", "cnmsim.kernel.netfilter.nftables", "cnmsim.libnetwork.drivers.overlay",
    "cnmsim.libnetwork.agent", "cnmsim.libnetwork.networkdb.messages", "cnmsim.kernel.vxlan",
    "cnmsim.engine.logdrivers.tcp", "cnmsim.engine.logdrivers.remote", "cnmsim.underlay.dhcpserver",
    "cnmsim.userland.sh.syntax", "cnmsim.userland.netfilter",
    "cnmsim.gotemplate", "cnmsim.kernel.xfrm", "cnmsim.observe.doctor.looks", "cnmsim.userland.tcpdump",
    "scapy", "networkx", "rich")
loaded = [name for name in unused if name in sys.modules]
from importlib.util import find_spec
assert all(map(find_spec, unused)), "a module of the list has another name now"
assert not loaded, loaded
print("fine")
"""


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "fine\n", done.stderr


def test_the_core_works_without_scapy_and_hypothesis():
    run(WITHOUT + WALK)


def test_importing_the_lab_loads_nothing_heavy():
    run(LIGHT)


def test_an_answer_about_a_compose_project_loads_no_swarm_and_no_nftables():
    run(ANSWER)
