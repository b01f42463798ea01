"""`ip xfrm` prints what iproute2 6.15 prints on Linux, where the kernel has ESP."""

import pytest
from support.program_host import World

from cnmsim.userland import HOST_PROGRAMS

KEY = "0x000102030405060708090a0b0c0d0e0f00001000"
STATE = "src 10.9.0.1 dst 10.9.0.2 proto esp spi 0x1000 reqid 13681891 mode transport"
POLICY = (
    "src 10.9.0.1/32 dst 10.9.0.2/32 proto udp dport 4789 dir out mark 0xd0c4e3 mask 0xffffffff "
    "tmpl src 10.9.0.1 dst 10.9.0.2 proto esp spi 0x1000 reqid 13681891 mode transport"
)
STATE_LISTING = f"""\
src 10.9.0.1 dst 10.9.0.2
\tproto esp spi 0x00001000 reqid 13681891 mode transport
\treplay-window 32 
\taead rfc4106(gcm(aes)) {KEY} 64
\tanti-replay context: seq 0x0, oseq 0x0, bitmap 0x00000000
\tsel src 0.0.0.0/0 dst 0.0.0.0/0 
"""  # noqa: W291
POLICY_LISTING = """\
src 10.9.0.1/32 dst 10.9.0.2/32 proto udp dport 4789 
\tdir out priority 0 ptype main 
\tmark 0xd0c4e3/0xffffffff 
\ttmpl src 10.9.0.1 dst 10.9.0.2
\t\tproto esp spi 0x00001000 reqid 13681891 mode transport
"""  # noqa: W291


@pytest.fixture
def world():
    return World()


def state(world, verb, more=""):
    return world.argv(
        ["ip", "xfrm", "state", verb, *STATE.split(), *more.split(), "aead", "rfc4106(gcm(aes))", KEY, "64"],
        programs=HOST_PROGRAMS,
    )


def test_states_are_added_listed_and_flushed(world):
    assert state(world, "add", "replay-window 32").status == 0
    assert world.host("ip xfrm state").out == STATE_LISTING
    assert "aead rfc4106(gcm(aes)) <<Keys hidden>> 64" in world.host("ip xfrm state list nokeys").out
    assert world.host("ip xfrm state count").out == "\t SAD count 1\n"
    again = state(world, "add")
    assert (again.status, again.err) == (2, "RTNETLINK answers: File exists\n")
    assert state(world, "update").status == 0
    assert "replay-window 0" in world.host("ip xfrm state get dst 10.9.0.2 proto esp spi 0x1000").out
    gone = world.host("ip xfrm state delete src 10.9.0.1 dst 10.9.0.2 proto esp spi 3")
    assert (gone.status, gone.err) == (2, "RTNETLINK answers: No such process\n")
    assert world.host("ip xfrm state delete src 10.9.0.1 dst 10.9.0.2 proto esp spi 0x1000").status == 0
    assert state(world, "add").status == 0
    assert world.host("ip xfrm state flush").status == 0
    assert world.host("ip xfrm state").out == ""


def test_policies_are_added_listed_and_flushed(world):
    assert world.host(f"ip xfrm policy add {POLICY}").status == 0
    assert world.host("ip xfrm policy").out == POLICY_LISTING
    again = world.host(f"ip xfrm policy add {POLICY}")
    assert (again.status, again.err) == (2, "RTNETLINK answers: File exists\n")
    assert (
        world.host(
            "ip xfrm policy add dst 10.9.0.1/32 proto udp dport 77 dir in tmpl proto esp mode transport"
        ).status
        == 0
    )
    assert (
        world.host(
            "ip xfrm policy add src 10.9.0.1/32 dst 10.9.0.2/32 proto udp dport 99 dir out action block"
        ).status
        == 0
    )
    shown = world.host("ip xfrm policy").out
    assert shown.startswith(
        "src 10.9.0.1/32 dst 10.9.0.2/32 proto udp dport 99 \n\tdir out action block priority 0 ptype main \n"
    )
    assert "\ttmpl src 0.0.0.0 dst 0.0.0.0\n\t\tproto esp reqid 0 mode transport\n" in shown
    assert world.host("ip xfrm policy count").out == "\t SPD IN  1 OUT 2 FWD 0\n"
    gone = world.host("ip xfrm policy delete src 10.9.0.1/32 dst 10.9.0.3/32 proto udp dport 4789 dir out")
    assert (gone.status, gone.err) == (2, "RTNETLINK answers: No such file or directory\n")
    assert world.host(f"ip xfrm policy update {POLICY.replace('0x1000', '0x2000')}").status == 0
    assert world.host("ip xfrm policy").out.startswith(POLICY_LISTING.replace("0x00001000", "0x00002000"))
    assert world.host("ip xfrm policy flush").status == 0
    assert world.host("ip xfrm policy").out == ""


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        ("policy add src 10.9.0.1/32 dir", 255, 'Command line is not complete. Try option "help"\n'),
        ("policy add src 10.9.0.1/32", 1, "Not enough information: DIR is required.\n"),
        ("policy add dir foo", 255, 'Error: argument "foo" is wrong: DIR value is invalid\n'),
        ("policy bar", 255, 'Command "bar" is unknown, try "ip xfrm policy help".\n'),
        ("state bar", 255, 'Command "bar" is unknown, try "ip xfrm state help".\n'),
        (
            "state add src 1.1.1.1 dst 2.2.2.2 proto esp spi 0x1 mode transport", 1,
            'ALGO-TYPE value "enc" or "aead" is required with XFRM-PROTO value "esp"\n',
        ),
        (
            "state add src 1.1.1.1 dst 2.2.2.2 proto esp spi 0x1 aead rfc4106(gcm(aes)) 0x00", 255,
            'Error: argument "ALGO-ICV-LEN" is required\n',
        ),
        ("state add src 1.1.1.1 proto foo", 255, 'Error: argument "foo" is wrong: XFRM-PROTO value is invalid\n'),
        ("state add src 1.1.1.1 dst 2.2.2.2", 255, 'Error: argument "XFRM-PROTO" is required\n'),
        ("state add dst 2.2.2.2 proto esp spi zz", 255, 'Error: argument "zz" is wrong: SPI value is invalid\n'),
        (
            "state add dst 2.2.2.2 proto esp spi 1 aead foo 0x00 64", 2,
            "Error: Requested AEAD algorithm not found.\n",
        ),
        (
            "foo", 255,
            "Usage: ip xfrm XFRM-OBJECT { COMMAND | help }\nwhere  XFRM-OBJECT := state | policy | monitor\n",
        ),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(world, words, status, complaint):
    result = world.host(f"ip xfrm {words}")
    assert (result.status, result.err) == (status, complaint)
    assert world.host("ip xfrm state").out == world.host("ip xfrm policy").out == ""


def test_what_is_stopped_is_counted(world):
    world.host("ip xfrm policy add dst 10.0.0.2/32 proto udp dport 53 dir out action block")
    assert "XfrmOutPolBlock         \t0\n" in world.host("cat /proc/net/xfrm_stat").out
    world.run("nslookup two")
    lines = dict(line.split() for line in world.host("cat /proc/net/xfrm_stat").out.splitlines())
    assert int(lines["XfrmOutPolBlock"]) > 0
    assert len(lines) == 28
