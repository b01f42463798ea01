"""iperf3: what client and server print, compared with iperf3 3.18 over a real veth pair (ports aside)."""

from __future__ import annotations

import re

import pytest

from cnmsim import Lab

UNABLE = (
    "iperf3: error - unable to connect to server - server may have stopped running or use a different port, "
    "firewall issue, etc.: Connection refused"
)


def run(*arguments: str, loss: float = 0.0) -> tuple[str, str, bool]:
    """Run a client against `iperf3 -s -1`. Return both outputs, and whether the client succeeded."""
    lab = Lab(latency_s=0.0005)
    lab.add_host("a", "10.77.0.1/24")
    host = lab.add_host("b", "10.77.0.2/24")
    server = host.machine.spawn(host.programs["iperf3"], ["iperf3", "-s", "-1"])
    lab.settle()
    lab.segment("10.77.0.0/24").configure(loss=loss)
    done = lab.host("a").exec(["iperf3", *arguments])
    lab.run(2)
    hide = re.compile(r"port \d+( connected to 10\.77\.0\.\d port 5201)?")
    return (
        hide.sub(r"port P\1", done.output),
        hide.sub(r"port P\1", server.stdout.getvalue().decode()),
        done.succeeded,
    )


def test_tcp_client_and_server_print_what_the_real_ones_print():
    client, server, succeeded = run("-c", "10.77.0.2", "-t", "2", "-b", "50M")
    assert succeeded
    assert re.sub(r"0 +\S+ [KM]Bytes       $", "0    273 KBytes       ", client, flags=re.MULTILINE) == (
        "Connecting to host 10.77.0.2, port P\n"
        "[  5] local 10.77.0.1 port P connected to 10.77.0.2 port 5201\n"
        "[ ID] Interval           Transfer     Bitrate         Retr  Cwnd\n"
        "[  5]   0.00-1.00   sec  6.00 MBytes  50.3 Mbits/sec    0    273 KBytes       \n"
        "[  5]   1.00-2.00   sec  6.00 MBytes  50.3 Mbits/sec    0    273 KBytes       \n"
        "- - - - - - - - - - - - - - - - - - - - - - - - -\n"
        "[ ID] Interval           Transfer     Bitrate         Retr\n"
        "[  5]   0.00-2.00   sec  12.0 MBytes  50.3 Mbits/sec    0            sender\n"
        "[  5]   0.00-2.00   sec  12.0 MBytes  50.3 Mbits/sec                  receiver\n"
        "\n"
        "iperf Done.\n"
    )
    assert server.splitlines()[1] == "Server listening on 5201 (test #1)"
    assert server.splitlines()[-1] == "[  5]   0.00-2.00   sec  12.0 MBytes  50.3 Mbits/sec                  receiver"


def test_udp_prints_datagrams_jitter_and_loss():
    client, server, _ = run("-c", "10.77.0.2", "-t", "2", "-u", "-b", "10M")
    assert "[  5]   0.00-1.00   sec  1.19 MBytes  10.0 Mbits/sec  864  \n" in client
    summary = "[  5]   0.00-2.00   sec  2.38 MBytes  10.0 Mbits/sec  0.000 ms  0/1727 (0%)  "
    assert client.splitlines()[-4:-2] == [f"{summary}sender", f"{summary}receiver"]
    assert "[  5]   0.00-1.00   sec  1.19 MBytes  10.0 Mbits/sec  0.000 ms  0/863 (0%)  \n" in server


def test_udp_counts_what_a_lossy_link_loses():
    client, _, succeeded = run("-c", "10.77.0.2", "-t", "2", "-u", "-b", "10M", loss=0.1)
    if not succeeded:
        pytest.fail(client)
    lost, total = re.search(r"(\d+)/(\d+) \([\d.]+%\)  receiver", client).groups()
    assert 0.05 < int(lost) / int(total) < 0.15


@pytest.mark.parametrize(
    "arguments", [("-R", "-b", "20M"), ("-P", "2", "-b", "20M"), ("-u", "-R", "-b", "5M"), ("-n", "1M")]
)
def test_reverse_parallel_and_limited_tests_end(arguments):
    client, server, succeeded = run("-c", "10.77.0.2", "-t", "2", *arguments)
    assert succeeded
    assert client.endswith("\niperf Done.\n")
    if "-P" in arguments:
        assert "[SUM]   0.00-2.00   sec  9.75 MBytes  40.9 Mbits/sec    0             sender\n" in client
        assert "[  8] local 10.77.0.2" in server
    if "-R" in arguments:
        assert client.splitlines()[1] == "Reverse mode, remote host 10.77.0.2 is sending"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "iperf3: parameter error - must either be a client (-c) or server (-s)"),
        (["-Q"], "iperf3: invalid option -- 'Q'"),
        (["-c", "a", "-s"], "iperf3: parameter error - cannot be both server and client"),
        (["-s", "-u"], "iperf3: parameter error - some option you are trying to set is client only"),
        (["-c", "10.77.0.2", "-p", "99"], UNABLE),
        (["-c", "10.77.0.2", "-J"], "iperf3: the option -J is not simulated"),
    ],
)  # fmt: skip
def test_wrong_calls_fail_with_the_text_of_the_real_program(arguments, text):
    client, _, succeeded = run(*arguments)
    assert not succeeded
    assert client.splitlines()[0] == text
