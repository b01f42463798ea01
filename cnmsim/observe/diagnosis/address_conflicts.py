"""Remarks on addresses that two machines claim (RFC 5227, section 2.4)."""

from __future__ import annotations

from cnmsim.kernel.address import Address, Mac, format_ip, format_mac
from cnmsim.kernel.events import DuplicateAddress
from cnmsim.kernel.link_events import LinkEventKind
from cnmsim.observe.diagnosis.causes.base import Remark
from cnmsim.observe.diagnosis.causes.remarks import AddressClaimedTwice
from cnmsim.observe.diagnosis.diagnosis_context import DiagnosisContext


def address_conflicts(context: DiagnosisContext) -> list[Remark]:
    """Return a remark for each address that two machines claim.

    An address counts only if it occurs in the trace or is that of the probe's destination.
    """
    claims: dict[Address, tuple[Mac, Mac]] = {}
    for machine in {location.machine.name: location.machine for location in context.directory.locations}.values():
        for event in machine.link_events.events:
            if event.kind is LinkEventKind.DUPLICATE_ADDRESS and _concerns(context, event.address):
                claims.setdefault(event.address, event.macs)
    return [
        AddressClaimedTwice(format_ip(address), *sorted(_claimant(context, mac, address) for mac in macs))
        for address, macs in claims.items()
    ]


def _concerns(context: DiagnosisContext, address: Address) -> bool:
    return address == context.outcome.address or any(
        isinstance(hop.detail, DuplicateAddress) and hop.detail.address == address for hop in context.hops
    )


def _claimant(context: DiagnosisContext, mac: Mac, address: Address) -> str:
    for location in context.directory.locations:
        device = location.device_with(address)
        if device is not None and device.mac == mac:
            return f"{location.label} ({format_mac(mac)})"
    return format_mac(mac)
