"""The network's options decide how often addresses are announced, in releases that announce them."""

import pytest

from cnmsim import Lab
from cnmsim.errors import CnmsimError
from cnmsim.testing.snapshot import Snapshot

COUNT, PAUSE = "com.docker.network.advertise_addr_nmsgs", "com.docker.network.advertise_addr_ms"


def new_lab(engine):
    lab = Lab(engine=engine)
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    return lab


@pytest.mark.parametrize("engine", ["28.5.2", "29.7.2"])
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({COUNT: "x"}, f'value for option {COUNT} "x" must be an integer'),
        ({COUNT: ""}, f'value for option {COUNT} "" must be an integer'),
        ({COUNT: "-1"}, f"{COUNT} must be in the range 0 to 3"),
        ({COUNT: "4"}, f"{COUNT} must be in the range 0 to 3"),
        ({PAUSE: "1s"}, f'value for option {PAUSE} "1s" must be integer milliseconds'),
        ({PAUSE: "99"}, f"{PAUSE} must be in the range 100 to 2000"),
        ({PAUSE: "2001"}, f"{PAUSE} must be in the range 100 to 2000"),
        ({COUNT: "9", PAUSE: "9"}, f"{COUNT} must be in the range 0 to 3\n{PAUSE} must be in the range 100 to 2000"),
    ],
)
def test_what_is_out_of_range_is_refused_and_nothing_is_made(engine, options, text):
    lab = new_lab(engine)
    before = Snapshot.of(lab.host("node1"))
    with pytest.raises(CnmsimError) as refused:
        lab.host("node1").docker.networks.create("net", options=options)
    assert (refused.value.message, refused.value.status) == (text, 500)
    assert before.difference(Snapshot.of(lab.host("node1"))) == []


def test_an_older_release_knows_no_such_option():
    lab = new_lab("26.1.5")
    lab.host("node1").docker.networks.create("net", options={COUNT: "many"})


@pytest.mark.parametrize(
    ("options", "times_ms"),
    [
        ({}, [0, 1000, 2000]),
        ({COUNT: "0"}, []),
        ({COUNT: "1"}, [0]),
        ({COUNT: "2", PAUSE: "100"}, [0, 100]),
        ({PAUSE: "2000"}, [0, 2000, 4000]),
    ],
)
def test_announcements_come_as_often_and_as_far_apart_as_asked(options, times_ms):
    lab = new_lab("29.7.2")
    docker = lab.host("node1").docker
    docker.networks.create("net", options={"com.docker.network.bridge.name": "br-net", **options})
    with lab.capture("node1:br-net") as taken:
        began = lab.clock.now_ns
        docker.containers.run("alpine", ["sleep", "1d"], network="net", detach=True)
        lab.run(6)
    own = [
        frame
        for frame in taken.frames
        if frame.data[12:14] == b"\x08\x06" and frame.data[28:32] == frame.data[38:42] and frame.direction == "in"
    ]
    assert [round((frame.time_ns - began) / 1e6) for frame in own] == times_ms
