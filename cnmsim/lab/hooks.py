"""Hooks by which lower layers use modules above them: to render objects as HTML, send packets, and create machines.

A hook imports the module that it needs only when it is first called.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cnmsim.libnetwork.place import set_packet_sender
from cnmsim.libnetwork.renderer import set_renderer
from cnmsim.libnetwork.standalone import set_defaults

if TYPE_CHECKING:
    from cnmsim.kernel.machine import Machine
    from cnmsim.kernel.process import Program


def register() -> None:
    """Register the hooks."""
    set_renderer(_render)
    set_packet_sender(_PacketSender())
    set_defaults(_new_machine, _sandbox_programs)


def _render(what: object) -> str | None:
    from cnmsim.observe.views import render

    return render(what)


class _PacketSender:
    """Sends packets from a host or container. scapy and the tracing code are imported with the first packet."""

    def send(self, place: object, packets: object, **options: Any) -> Any:
        from cnmsim.observe.packets.sender import send

        return send(place, packets, **options)

    def ask(self, place: object, packets: object, **options: Any) -> Any:
        from cnmsim.observe.packets.sender import ask

        return ask(place, packets, **options)


def _new_machine() -> Machine:
    from cnmsim.lab.controllers import new_machine

    return new_machine()


def _sandbox_programs() -> Mapping[str, Program]:
    from cnmsim.userland import CONTAINER_PROGRAMS

    return CONTAINER_PROGRAMS
