"""A link of 2 Mbit/s between two routers: its queue grows while 4 Mbit/s arrive, and drains afterwards."""

from cnmsim import Flow, Lab

lab = Lab()
lab.add_segment("wan", "10.0.2.0/24", latency_s=0.01, bandwidth_bps=2e6)
lab.add_host("a", "10.0.1.10/24", gateway="10.0.1.1")
lab.add_router("r1", "10.0.1.1/24", "10.0.2.1/24", routes=["10.0.3.0/24 via 10.0.2.2"])
lab.add_router("r2", "10.0.2.2/24", "10.0.3.1/24", routes=["10.0.1.0/24 via 10.0.2.1"])
lab.add_host("b", "10.0.3.10/24", gateway="10.0.3.1")
lab.settle()

report = lab.flows(
    [
        Flow("a", "b:5000", name="steady", rate_bps=1e6, duration_s=4),
        Flow("a", "b:5001", name="burst", rate_bps=3e6, duration_s=1, start_s=1),
    ]
)
print(report)
wan = report.link("r1:eth1 → wan")
for time_s, size in list(zip(wan.times_s, wan.queue_bytes, strict=True))[::8]:
    print(f"{time_s:5.2f} s  {'▒' * (size // 6000)} {size:,} bytes")
