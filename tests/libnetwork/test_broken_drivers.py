"""Drivers that each break the contract in one way: the conformance class detects every one of them."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable
from typing import Any

import pytest
from switch_driver import SwitchDriver

from cnmsim import Lab
from cnmsim.errors import NotFound
from cnmsim.kernel.bridge import Bridge
from cnmsim.libnetwork.drivers.registry import DriverHost
from cnmsim.testing.drivers import DriverConformance


class Conformance(DriverConformance):
    driver = "switch"
    interface_prefix = "sw"
    refused_options = {"switch.ports": "none"}  # noqa: RUF012


TESTS = [name for name, _ in inspect.getmembers(Conformance, inspect.isfunction) if name.startswith("test_")]


class Nameless(SwitchDriver):
    name = "swich"


class KeepsTheSwitch(SwitchDriver):
    def delete_network(self, network_id: str) -> None:
        self._switch(network_id)
        self.switches["old " + network_id] = self.switches.pop(network_id)


class KeepsTheCable(SwitchDriver):
    def delete_endpoint(self, network_id: str, endpoint_id: str) -> None:
        self._cable(network_id, endpoint_id)
        del self._switch(network_id).cables[endpoint_id]


class OverwritesMac(SwitchDriver):
    def create_endpoint(self, network_id: str, endpoint_id: str, interface: Any, options: Any) -> None:
        interface.mac = self._draw_mac()
        super().create_endpoint(network_id, endpoint_id, interface, options)


class OneMacForAll(SwitchDriver):
    def _draw_mac(self) -> bytes:
        return b"\x06\0\0\0\0\1"


class DrawsFromNowhere(SwitchDriver):
    def _draw_mac(self) -> bytes:
        return b"\x06" + random.SystemRandom().randbytes(5)


class ChangesTheAddress(SwitchDriver):
    def create_endpoint(self, network_id: str, endpoint_id: str, interface: Any, options: Any) -> None:
        super().create_endpoint(network_id, endpoint_id, interface, options)
        if interface.ipv4 is not None:
            interface.ipv4 = interface.ipv4[0][:3] + b"\xc8", interface.ipv4[1]


class RaisesWhatItLikes(SwitchDriver):
    def create_network(self, request: Any) -> None:
        int(request.options.get("switch.ports", "32"))
        super().create_network(request)


class LooksTooLate(SwitchDriver):
    def create_network(self, request: Any) -> None:
        self.machine.root.add_device(Bridge(f"half-{request.id[:4]}", self._draw_mac(), self.machine.clock))
        super().create_network(request)

    def delete_network(self, network_id: str) -> None:
        super().delete_network(network_id)
        self.machine.root.remove_device(self.machine.root.devices[f"half-{network_id[:4]}"])


class TakesAnything(SwitchDriver):
    def create_network(self, request: Any) -> None:
        request.options.pop("switch.ports", None)
        super().create_network(request)


class KnowsNoNotFound(SwitchDriver):
    def _switch(self, network_id: str) -> Any:
        return self.switches[network_id]


class ForgetsTheNearEnd(SwitchDriver):
    def leave(self, network_id: str, endpoint_id: str) -> None:
        """Leave the cable plugged in, and a second join falls over it."""

    def join(self, network_id: str, endpoint_id: str, sandbox: Any, info: Any) -> None:
        near, _ = self._cable(network_id, endpoint_id)
        if near.master is not None:
            raise NotFound("the cable is plugged in already")
        super().join(network_id, endpoint_id, sandbox, info)


class PlugsNothingIn(SwitchDriver):
    def join(self, network_id: str, endpoint_id: str, sandbox: Any, info: Any) -> None:
        super().join(network_id, endpoint_id, sandbox, info)
        self._cable(network_id, endpoint_id)[0].set_down()


class NamesItOtherwise(SwitchDriver):
    def join(self, network_id: str, endpoint_id: str, sandbox: Any, info: Any) -> None:
        super().join(network_id, endpoint_id, sandbox, info)
        info.destination_prefix = "port"


class TellsNothing(SwitchDriver):
    def operational_info(self, network_id: str, endpoint_id: str) -> Any:
        return None


class OneSwitchForAll(SwitchDriver):
    def delete_network(self, network_id: str) -> None:
        for switch in self.switches.values():
            switch.bridge.set_down()
        super().delete_network(network_id)


class DropsIpv6(SwitchDriver):
    def create_endpoint(self, network_id: str, endpoint_id: str, interface: Any, options: Any) -> None:
        super().create_endpoint(network_id, endpoint_id, interface, options)
        interface.ipv6 = None


BREAKAGES: list[tuple[type[SwitchDriver], str]] = [
    (Nameless, "test_it_keeps_to_the_protocol"),
    (KeepsTheSwitch, "test_a_network_leaves_nothing"),
    (KeepsTheCable, "test_a_container_leaves_nothing"),
    (OverwritesMac, "test_what_is_asked_for_is_kept"),
    (OneMacForAll, "test_what_is_asked_for_is_kept"),
    (DrawsFromNowhere, "test_two_labs_alike_behave_alike"),
    (ChangesTheAddress, "test_what_is_asked_for_is_kept"),
    (RaisesWhatItLikes, "test_a_refused_network_changes_nothing"),
    (LooksTooLate, "test_a_refused_network_changes_nothing"),
    (TakesAnything, "test_a_refused_network_changes_nothing"),
    (KnowsNoNotFound, "test_what_it_does_not_know_is_an_engine_error_or_nothing"),
    (ForgetsTheNearEnd, "test_an_endpoint_may_leave_and_join_again"),
    (PlugsNothingIn, "test_containers_reach_each_other_by_name"),
    (NamesItOtherwise, "test_the_interface_has_the_addresses_of_the_endpoint"),
    (TellsNothing, "test_operational_info"),
    (OneSwitchForAll, "test_one_network_does_not_end_with_another"),
    (DropsIpv6, "test_containers_reach_each_other_by_ipv6"),
]


def run(test: str, make: Callable[[DriverHost], SwitchDriver]) -> None:
    lab = Lab(engine="29.7.2")
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    lab.add_host("beside", "10.0.0.50/24", web=True)
    docker = lab.host("node1").docker
    drivers = docker.controller.drivers
    drivers.register("switch", make(drivers.host))
    method = getattr(Conformance(), test)
    method(lab, *(["29.7.2"] if "release" in inspect.signature(method).parameters else []))


@pytest.mark.parametrize("test", TESTS)
def test_the_driver_that_is_whole_passes(test: str) -> None:
    run(test, SwitchDriver)


@pytest.mark.parametrize(("driver", "test"), BREAKAGES, ids=[driver.__name__ for driver, _ in BREAKAGES])
def test_a_broken_driver_fails_the_test_that_names_what_is_broken(driver: type[SwitchDriver], test: str) -> None:
    with pytest.raises((Exception, pytest.fail.Exception)):
        run(test, driver)
