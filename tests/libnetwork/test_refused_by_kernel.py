"""Kernel errors for a container's interface, in libnetwork's words; the device is moved back."""

import pytest
from support.docker_host import VERSIONS

from cnmsim import Lab
from cnmsim.errors import EngineError


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("driver_options", "options", "said"),
    [
        (
            {"com.docker.network.container_iface_prefix": "averyveryverylong"}, {},
            'error renaming interface "{veth}" to "averyveryverylong0": numerical result out of range',
        ),
        (
            {"com.docker.network.container_iface_prefix": "a/b"}, {},
            'error renaming interface "{veth}" to "a/b0": invalid argument',
        ),
        (
            {}, {"mac_address": "01:02:03:04:05:06"},
            'error setting interface "{veth}" MAC to "01:02:03:04:05:06": cannot assign requested address',
        ),
        (
            {}, {"mac_address": "00:00:00:00:00:00"},
            'error setting interface "{veth}" MAC to "00:00:00:00:00:00": cannot assign requested address',
        ),
    ],
)  # fmt: skip
def test_an_interface_that_cannot_be_is_refused_in_so_many_words(version, driver_options, options, said):
    host = Lab(version).add_host("node1", "10.0.0.15/24", docker=True)
    host.docker.networks.create("net", options=driver_options)
    before = set(host.namespace.devices)
    with pytest.raises(EngineError) as error:
        host.docker.containers.run("alpine", "sleep 1d", name="c1", network="net", detach=True, **options)
    veth = error.value.message.partition("failed to add interface ")[2].partition(" ")[0]
    assert said.format(veth=veth) in error.value.message
    assert set(host.namespace.devices) == before


@pytest.mark.parametrize("mac", ["01:00:5e:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"])
def test_ip_link_sets_no_address_of_a_group(mac):
    host = Lab().add_host("node1", "10.0.0.15/24")
    before = host.exec("ip link show eth0").output
    assert (
        host.exec(f"ip link set eth0 address {mac}").output == "RTNETLINK answers: Cannot assign requested address\n"
    )
    assert host.exec("ip link show eth0").output == before


@pytest.mark.parametrize("name", ["a/b", "a:b", ".."])
def test_a_device_whose_new_name_is_none_stays_what_it_was(name):
    host = Lab().add_host("node1", "10.0.0.15/24")
    assert host.exec(f"ip link set eth0 name '{name}'").status != 0
    assert "eth0" in host.namespace.devices
