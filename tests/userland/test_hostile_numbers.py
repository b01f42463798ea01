"""Programs refuse what is no number in a sentence; none of them ends with an error of ours."""

import pytest

from cnmsim import Lab
from cnmsim.digits import is_number


@pytest.fixture(scope="module")
def host():
    lab = Lab()
    return lab.add_host("node1", "10.0.0.15/24", docker=True)


@pytest.mark.parametrize(
    "number", ["\u00b2", "\u0664\u0662", "9" * 5000, "-" + "9" * 5000, "0x" + "f" * 5000], ids=ascii
)
@pytest.mark.parametrize(
    "words",
    ["ping -c {} 10.0.0.15", "ping -c 1 -t {} 10.0.0.15", "cut -f {} /etc/hosts", "tail -c {} /etc/hosts",
     "httpd -p {}",
     "kill {}", "chown {} /etc/hosts", "ip link set eth0 mtu {}", "ip link add v type vxlan id {}", "usleep {}",
     "iptables -D INPUT {}", "iptables -A INPUT -p {}", "iptables -A INPUT -m limit --limit {}",
     "tcpdump -c {} -i eth0",
     "tcpdump -i eth0 port {}", "grep -A {} x /etc/hosts", "xxd -c {} /etc/hosts", "conntrack -U -t {}",
     "install -d /etc/{}/x/y"],
)  # fmt: skip
def test_a_program_refuses_what_is_no_number(host, words, number):
    done = host.exec([word.replace("{}", number) for word in words.split()])
    assert done.status in range(256)


def test_digits_of_other_scripts_are_no_numbers():
    assert is_number("0") and is_number("9" * 4300)
    assert not any(map(is_number, ["", "\u00b2", "\u0664", "-1", "+1", " 1", "1\n", "9" * 4301]))
