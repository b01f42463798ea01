"""Explanations of connections that IPVS balances."""

import pytest

from cnmsim import Lab


@pytest.fixture
def lab():
    lab = Lab()
    lab.add_host("client", "10.5.0.2/24")
    balancer = lab.add_host("lb", "10.5.0.1/24", "10.6.0.1/24")
    lab.add_host("b", "10.6.0.2/24", gateway="10.6.0.1")
    balancer.exec("sysctl -w net.ipv4.ip_forward=1")
    balancer.exec("ipvsadm -A -t 10.5.0.1:80 -s rr")
    return lab


def explained(lab):
    return " ".join(str(lab.explain(lab.hosts["client"], lab.hosts["lb"], "tcp/80")).split())


def test_a_service_without_destinations(lab):
    text = explained(lab)
    assert "no, refused" in text
    assert "refused on lb by TCP 10.5.0.1:80 rr: IPVS has no destination to choose: there is none" in text
    assert "`ipvsadm -Ln` on lb" in text


def test_a_service_whose_destinations_are_quiesced(lab):
    lab.hosts["lb"].exec("ipvsadm -a -t 10.5.0.1:80 -r 10.6.0.2:80 -m -w 0")
    assert "IPVS has no destination to choose: the only one has weight 0" in explained(lab)


def test_a_destination_where_nothing_listens(lab):
    lab.hosts["lb"].exec("ipvsadm -a -t 10.5.0.1:80 -r 10.6.0.2:80 -m")
    assert "b answers, but nothing listens on 10.6.0.2:80" in explained(lab)


def test_a_destination_that_serves(lab):
    lab.hosts["lb"].exec("ipvsadm -a -t 10.5.0.1:80 -r 10.6.0.2:80 -m")
    lab.hosts["b"].exec("sh -c 'nc -lk -p 80 -e cat &'")
    text = explained(lab)
    assert "yes, answered: client → lb:80" in text
