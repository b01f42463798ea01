"""Packets a second of a simulated UDP flow across three LANs, of flows among 100 hosts, and of ns-3 for comparison.

`python bench/flow_rate.py [--ns3]`; with `--ns3` the same three LANs (CSMA channels, Ipv4GlobalRouting, UdpClient and
UdpServer) are compiled and run with ns-3, which must be installed: `apt-get install libns3-dev libgsl-dev g++`.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cnmsim import Flow, Lab

PACKETS = 50_000
NS3 = r"""
#include "ns3/core-module.h"
#include "ns3/network-module.h"
#include "ns3/csma-module.h"
#include "ns3/internet-module.h"
#include "ns3/applications-module.h"
#include <ctime>
#include <iostream>
using namespace ns3;
int main() {
  const uint32_t packets = 200000;
  NodeContainer nodes; nodes.Create(4);
  InternetStackHelper stack; stack.Install(nodes);
  Ipv4AddressHelper address; Ipv4InterfaceContainer last;
  for (int i = 0; i < 3; ++i) {
    CsmaHelper csma;
    csma.SetChannelAttribute("DataRate", StringValue("10Gbps"));
    csma.SetChannelAttribute("Delay", TimeValue(MicroSeconds(100)));
    NetDeviceContainer devices = csma.Install(NodeContainer(nodes.Get(i), nodes.Get(i + 1)));
    address.SetBase(("10.0." + std::to_string(i + 1) + ".0").c_str(), "255.255.255.0");
    last = address.Assign(devices);
  }
  Ipv4GlobalRoutingHelper::PopulateRoutingTables();
  UdpServerHelper server(5000);
  ApplicationContainer sink = server.Install(nodes.Get(3)); sink.Start(Seconds(0));
  UdpClientHelper client(last.GetAddress(1), 5000);
  client.SetAttribute("MaxPackets", UintegerValue(packets));
  client.SetAttribute("Interval", TimeValue(MicroSeconds(1000)));
  client.SetAttribute("PacketSize", UintegerValue(1000));
  client.Install(nodes.Get(0)).Start(Seconds(1));
  Simulator::Stop(Seconds(2 + packets * 1e-3));
  std::clock_t begun = std::clock();
  Simulator::Run();
  double seconds = double(std::clock() - begun) / CLOCKS_PER_SEC;
  std::cout << DynamicCast<UdpServer>(sink.Get(0))->GetReceived() / seconds << std::endl;
  Simulator::Destroy();
}
"""
MODULES = ("core", "network", "csma", "internet", "applications")


def three_lans():
    lab = Lab()
    lab.add_host("a", "10.0.1.10/24", gateway="10.0.1.1")
    lab.add_router("r1", "10.0.1.1/24", "10.0.2.1/24", routes=["10.0.3.0/24 via 10.0.2.2"])
    lab.add_router("r2", "10.0.2.2/24", "10.0.3.1/24", routes=["10.0.1.0/24 via 10.0.2.1"])
    lab.add_host("b", "10.0.3.10/24", gateway="10.0.3.1")
    lab.settle()
    return lab


def rate(lab, flows):
    """Run flows. Return delivered messages a second of CPU time."""
    begun = time.process_time()
    report = lab.flows(flows)
    seconds = time.process_time() - begun
    assert report.delivered == report.sent, report
    return report.delivered / seconds


def hundred_hosts(protocol):
    lab = Lab()
    lab.add_router("router", *(f"10.0.{lan}.1/24" for lan in range(10)))
    for number in range(100):
        lan, host = divmod(number, 10)
        lab.add_host(f"h{number}", f"10.0.{lan}.{10 + host}/24", gateway=f"10.0.{lan}.1")
    lab.settle()
    options = {"rate_bps": 8e5, "count": 200, "size": 1000, "protocol": protocol}
    return rate(lab, [Flow(f"h{number}", f"h{(number + 37) % 100}:5000", **options) for number in range(100)])


def ns3():
    with tempfile.TemporaryDirectory() as folder:
        source, program = Path(folder, "three_lans.cc"), Path(folder, "three_lans")
        source.write_text(NS3)
        flags = run("pkg-config", "--cflags", "--libs", *(f"ns3-{module}" for module in MODULES)).split()
        run("g++", "-O2", "-std=c++20", str(source), "-o", str(program), *flags)
        return max(float(run(str(program))) for _ in range(3))


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main():
    ours = max(rate(three_lans(), [Flow("a", "b:5000", rate_bps=8e6, count=PACKETS)]) for _ in range(3))
    print(f"UDP across three LANs: {ours:,.0f} packets/s")
    if "--ns3" in sys.argv:
        if shutil.which("pkg-config") is None:
            sys.exit("pkg-config is not installed")
        theirs = ns3()
        print(f"ns-3, the same topology: {theirs:,.0f} packets/s; ratio {ours / theirs:.2f}")
    print(f"100 UDP flows among 100 hosts on ten LANs: {hundred_hosts('udp'):,.0f} packets/s")
    print(f"100 TCP flows among 100 hosts on ten LANs: {hundred_hosts('tcp'):,.0f} messages/s")


if __name__ == "__main__":
    main()
