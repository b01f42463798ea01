"""The error texts of Go's `netip.ParseAddr` and `netip.ParsePrefix` (go1.26, net/netip/netip.go)."""

from __future__ import annotations

import re

from cnmsim.gostrconv import quote

_BITS = re.compile(r"0|[1-9][0-9]*", re.ASCII)
_IPV4_GROUPS, _IPV6_GROUPS = 4, 8


def addr_error(text: str) -> str:
    """Return the error text of `ParseAddr(text)`, "" if `text` is a valid address."""
    for char in text:
        if char == ".":
            return _error(text, _ipv4_fault(text))
        if char == ":":
            return _error(text, _ipv6_fault(text))
        if char == "%":
            return _error(text, ("missing IPv6 address", ""))
    return _error(text, ("unable to parse IP", ""))


def prefix_error(text: str) -> str:
    """Return the error text of `ParsePrefix(text)`, "" if `text` is a valid prefix."""
    address, slash, bits = text.rpartition("/")
    if not slash:
        fault = "no '/'"
    elif fault := addr_error(address):
        pass
    elif "%" in address:
        fault = "IPv6 zones cannot be present in a prefix"
    elif not _BITS.fullmatch(bits):
        fault = f"bad bits after slash: {quote(bits)}"
    elif int(bits[:4]) > (128 if ":" in address else 32):
        fault = "prefix length out of range"
    return f"netip.ParsePrefix({quote(text)}): {fault}" if fault else ""


def _error(text: str, fault: tuple[str, str]) -> str:
    message, at = fault
    if not message:
        return ""
    return f"ParseAddr({quote(text)}): {message}" + (f" (at {quote(at)})" if at else "")


def _ipv4_fault(text: str) -> tuple[str, str]:
    value = digits = groups = 0
    for at, char in enumerate(text):
        if char in "0123456789":
            if digits == 1 and value == 0:
                return "IPv4 field has octet with leading zero", ""
            value, digits = value * 10 + int(char), digits + 1
            if value > 255:
                return "IPv4 field has value >255", ""
        elif char == ".":
            if at in {0, len(text) - 1} or text[at - 1] == ".":
                return "IPv4 field must have at least one digit", text[at:]
            groups += 1
            if groups == _IPV4_GROUPS:
                return "IPv4 address too long", ""
            value = digits = 0
        else:
            return "unexpected character", text[at:]
    return ("IPv4 address too short", "") if groups < _IPV4_GROUPS - 1 else ("", "")


def _ipv6_fault(text: str) -> tuple[str, str]:
    rest, percent, zone = text.partition("%")
    if percent and not zone:
        return "zone must be a non-empty string", ""
    has_ellipsis = rest.startswith("::")
    if has_ellipsis:
        rest = rest[2:]
    groups = 0
    while (rest and groups < _IPV6_GROUPS) or not (groups or has_ellipsis):
        digits = re.match(r"[0-9a-fA-F]*", rest, re.ASCII)
        assert digits is not None
        if len(digits[0]) > 4:
            return "each group must have 4 or less digits", rest
        if not digits[0]:
            return "each colon-separated field must have at least one digit", rest
        if rest[digits.end() :].startswith("."):
            if not has_ellipsis and groups != _IPV6_GROUPS - 2:
                return "embedded IPv4 address must replace the final 2 fields of the address", rest
            if groups + 2 > _IPV6_GROUPS:
                return "too many hex fields to fit an embedded IPv4 at the end of the address", rest
            message, at = _ipv4_fault(rest)
            if message:
                return message, at
            groups, rest = groups + 2, ""
            break
        groups, rest = groups + 1, rest[digits.end() :]
        if not rest:
            break
        if rest[0] != ":":
            return "unexpected character, want colon", rest
        if len(rest) == 1:
            return "colon must be followed by more characters", rest
        rest = rest[1:]
        if rest[0] == ":":
            if has_ellipsis:
                return "multiple :: in address", rest
            has_ellipsis, rest = True, rest[1:]
    if rest:
        return "trailing garbage after address", rest
    if groups < _IPV6_GROUPS and not has_ellipsis:
        return "address string too short", ""
    if groups == _IPV6_GROUPS and has_ellipsis:
        return "the :: must expand to at least one field of zeros", ""
    return "", ""
