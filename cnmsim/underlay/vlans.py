"""VLAN configuration of a switch port: which VLANs it carries, tagged or untagged (IEEE 802.1Q-2022 §8.6)."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import field, frozen

_TAG = b"\x81\x00"
#: The VLAN of an unconfigured port, and of untagged frames on a trunk.
DEFAULT_VLAN = 1
_LAST_VLAN = 4094


def _vlan_id(_owner: object, _attribute: object, value: int | None) -> None:
    if value is not None and (isinstance(value, bool) or not 1 <= value <= _LAST_VLAN):
        raise ValueError(f"a VLAN id is between 1 and {_LAST_VLAN}: {value}")


def _vlan_ids(value: Iterable[int] | None) -> frozenset[int] | None:
    if value is None:
        return None
    ids = frozenset(value)
    for vlan in ids:
        _vlan_id(None, None, vlan)
    return ids


@frozen
class PortVlans:
    """The VLANs of one port. Raises `ValueError` for an invalid VLAN id.

    Untagged frames belong to the VLAN `native`; if that is `None`, the port drops them. `tagged` are the VLANs whose
    frames carry a tag; `None` means all except `native`.
    """

    native: int | None = field(default=DEFAULT_VLAN, validator=_vlan_id)
    tagged: frozenset[int] | None = field(default=frozenset(), converter=_vlan_ids)

    @classmethod
    def access(cls, vlan: int) -> PortVlans:
        """Return the configuration of an access port, which carries only `vlan`, untagged."""
        return cls(vlan)

    @classmethod
    def trunk(cls, vlans: Iterable[int] | None = None, native: int | None = DEFAULT_VLAN) -> PortVlans:
        """Return the configuration of a trunk port, which carries `vlans` tagged and `native` untagged.

        `vlans` `None` means all VLANs.
        """
        return cls(native, None if vlans is None else frozenset(vlans))

    @property
    def is_trunk(self) -> bool:
        """Whether the port carries tagged frames."""
        return self.tagged is None or bool(self.tagged)

    def has_tagged(self, vlan: int) -> bool:
        """Return True if frames of the VLAN `vlan` carry a tag on this port."""
        return vlan != self.native and (self.tagged is None or vlan in self.tagged)

    def carries(self, vlan: int) -> bool:
        """Return True if the port carries the VLAN, tagged or untagged."""
        return vlan == self.native or self.has_tagged(vlan)

    def admit(self, frame: bytes) -> tuple[int, bytes] | None:
        """Return the VLAN of a received frame, and the frame without its tag.

        Return `None` if the port drops the frame, because it does not carry the VLAN.
        """
        if frame[12:14] != _TAG:
            return None if self.native is None else (self.native, frame)
        vlan = int.from_bytes(frame[14:16]) & 0xFFF
        if not vlan:  # a priority tag
            return None if self.native is None else (self.native, frame[:12] + frame[16:])
        return (vlan, frame[:12] + frame[16:]) if self.carries(vlan) else None

    def emit(self, vlan: int, frame: bytes) -> bytes:
        """Return a frame of the VLAN `vlan` as the port sends it: with a tag, or untagged in the native VLAN."""
        return frame if vlan == self.native else frame[:12] + _TAG + vlan.to_bytes(2) + frame[12:]

    def __str__(self) -> str:
        if not self.is_trunk:
            return f"access to VLAN {self.native}"
        listed = "all VLANs" if self.tagged is None else f"VLAN {', '.join(map(str, sorted(self.tagged)))}"
        return f"trunk for {listed}" + (f", {self.native} untagged" if self.native is not None else "")
