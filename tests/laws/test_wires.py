"""Laws of the wires of any lab: right checksums everywhere, replies that come back translated, the same bytes each
time."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.layers.l2 import Ether

from cnmsim import Lab
from cnmsim.kernel.device import Device
from cnmsim.observe.capture.capture import Capture
from cnmsim.observe.diagnosis.verdict import Verdict
from cnmsim.testing.strategies import CLIENT, LabSpec, frames, lab_specs, malformed_frames

RUN = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
CHECKED = (IP, TCP, UDP, ICMP)
CHECKED6 = (TCP, UDP, ICMPv6EchoRequest, ICMPv6EchoReply)
EVERYWHERE = "*"


def probes(spec: LabSpec, lab: Lab) -> list[tuple[str, str, str]]:
    """Who asks whom by what: every container every other, the host and the machine beside it, and that the host's
    ports."""
    boxes = [each.name for each in spec.containers]
    asked = [
        (source, f"[{address}]:80" if ":" in address else f"{address}:80", protocol)
        for source in (*boxes, CLIENT)
        for target in boxes
        for name in spec_networks(spec, target)
        for address in (lab.container(target).ip(name), lab.container(target).ip(name, family=6))
        if address and source != target
        for protocol in ("tcp", "udp")
    ]
    asked += [(source, host, "icmp") for source in boxes for host in ("10.0.0.50", "10.0.0.15")]
    asked += [(CLIENT, f"10.0.0.15:{port}", protocol) for port in (8080, 8090) for protocol in ("tcp", "udp")]
    return asked


def spec_networks(spec: LabSpec, name: str) -> tuple[str, ...]:
    return next(each.networks or ("bridge",) for each in spec.containers if each.name == name)


def run_traffic(spec: LabSpec, limit: int = 14) -> tuple[Lab, Capture, list[str]]:
    """Build a lab, tap everything, send, and give what was seen."""
    lab = spec.build()
    taps = lab.capture(EVERYWHERE)
    verdicts = [
        f"{source} {target} {protocol}: {lab.trace(source, target, protocol=protocol, timeout_s=1).verdict}"
        for source, target, protocol in probes(spec, lab)[:limit]
    ]
    for each in spec.containers:
        # Fragments, and the ICMP errors that routers and closed ports send.
        done = lab.container(each.name).exec(
            "ping -c 1 -W 1 -s 3000 10.0.0.50; traceroute -n -q 1 -w 1 -m 3 10.0.0.50"
        )
        verdicts.append(f"{each.name}: {done.exit_code}")
    taps.stop()
    return lab, taps, verdicts


def wrong_checksums(frame: bytes) -> Iterator[str]:
    """Give the layers whose checksum scapy would have written otherwise."""
    packet = Ether(frame)
    layers = CHECKED6 if packet.haslayer(IPv6) and not packet.haslayer(IP) else CHECKED
    is_fragment = packet.haslayer(IP) and (packet[IP].frag or packet[IP].flags.MF)
    for layer in layers:
        if not packet.haslayer(layer) or (is_fragment and layer is not IP):
            continue
        name = "cksum" if layer in {ICMPv6EchoRequest, ICMPv6EchoReply} else "chksum"
        written = getattr(packet[layer], name)
        fresh = Ether(frame)
        delattr(fresh[layer], name)
        if getattr(Ether(bytes(fresh))[layer], name) != written:
            yield f"{layer.__name__} {written:#06x}: {packet.summary()}"


@RUN
@given(spec=lab_specs(min_containers=2))
def test_every_checksum_on_every_wire_is_right(spec: LabSpec) -> None:
    _, taps, _ = run_traffic(spec)
    assume(taps.frames)  # containers of two internal networks find no wire to send on
    wrong = [text for frame in dict.fromkeys(each.data for each in taps.frames) for text in wrong_checksums(frame)]
    assert not wrong


@RUN
@given(spec=lab_specs(min_containers=1))
def test_every_translated_reply_comes_back_from_the_address_that_was_asked(spec: LabSpec) -> None:
    lab = spec.build()
    taps = lab.capture(f"{CLIENT}:eth0")
    published = [
        int(binding["HostPort"])
        for each in spec.containers
        for port, bindings in lab.container(each.name).ports.items()
        if port == "80/tcp"
        for binding in bindings or ()
    ]
    for port in dict.fromkeys(published):
        assert lab.trace(CLIENT, f"10.0.0.15:{port}").verdict is Verdict.ANSWERED
    taps.stop()
    seen = [Ether(frame.data) for frame in taps.frames]
    addresses = {packet[IP].src for packet in seen if packet.haslayer(IP)}
    assert addresses <= {"10.0.0.15", "10.0.0.50"}
    asked = {packet[TCP].dport for packet in seen if packet.haslayer(TCP) and packet[IP].src == "10.0.0.50"}
    answered = {packet[TCP].sport for packet in seen if packet.haslayer(TCP) and packet[IP].src == "10.0.0.15"}
    assert asked == answered == set(published)


@RUN
@given(spec=lab_specs(min_containers=1))
def test_every_request_that_leaves_the_host_bears_its_address_and_is_answered_to_the_container(spec: LabSpec) -> None:
    lab = spec.build()
    taps = lab.capture(f"{CLIENT}:eth0")
    for each in spec.containers:
        inside = [network.name for network in spec.networks if network.internal]
        leads_out = any(name not in inside for name in spec_networks(spec, each.name))
        walk = lab.trace(each.name, "10.0.0.50", timeout_s=1)
        assert walk.is_reachable == leads_out, str(walk)
    taps.stop()
    sources = {packet[IP].src for packet in map(Ether, (frame.data for frame in taps.frames)) if packet.haslayer(IP)}
    assert sources <= {"10.0.0.15", "10.0.0.50"}


@settings(RUN, max_examples=12)
@given(spec=lab_specs(min_containers=2))
def test_one_seed_gives_one_capture_byte_for_byte(spec: LabSpec) -> None:
    first, second = run_traffic(spec)[1], run_traffic(spec)[1]
    assert first.to_bytes() == second.to_bytes()


@settings(RUN, max_examples=12)
@given(spec=lab_specs(min_containers=2), seed=st.integers(1, 1 << 16))
def test_another_seed_gives_the_same_verdicts(spec: LabSpec, seed: int) -> None:
    other = LabSpec(spec.release, spec.networks, spec.containers, spec.userland_proxy, seed)
    assert run_traffic(other)[2] == run_traffic(spec)[2]


def all_devices(lab: Lab) -> list[Device]:
    machines = [host.machine for host in lab.hosts.values()]
    spaces = [space for machine in machines for space in (machine.root, *machine.namespaces.values())]
    return [device for space in spaces for device in space.devices.values()]


@RUN
@given(
    spec=lab_specs(max_networks=2, max_containers=2),
    fuzzed=st.lists(malformed_frames() | frames(), min_size=1, max_size=30),
    data=st.data(),
)
def test_no_frame_whatever_raises_in_any_device(spec: LabSpec, fuzzed: list[bytes], data: st.DataObject) -> None:
    lab = spec.build()
    devices = all_devices(lab)
    addresses = [each.address for device in devices for each in device.addresses if len(each.address) == 4]
    own = st.sampled_from([device.mac for device in devices])
    aimed = data.draw(
        st.lists(
            malformed_frames(
                whole=frames(
                    family=4, destinations=st.sampled_from(addresses), sources=st.sampled_from(addresses), macs=own
                )
            ),
            max_size=20,
        )
    )
    for frame in (*fuzzed, *aimed):
        for device in devices:
            device.receive(frame)
        lab.clock.run_ready()
    lab.run(2)
    assert lab.host(CLIENT).ping("10.0.0.15").succeeded
