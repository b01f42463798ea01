"""ipset 7: create, destroy, add, del, test, flush, list and save the sets that iptables' `set` match refers to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.address import Prefix, format_ip, from_int
from cnmsim.kernel.netfilter.ipset import IpSet

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

_PROTOCOLS = {6: "tcp", 17: "udp"}


class _Failure(Exception):
    pass


async def main(process: Process) -> int:
    """Run `ipset COMMAND SETNAME …`."""
    words = [word for word in process.argv[1:] if word not in ("-exist", "-!", "-q", "-quiet")]
    is_lenient = len(words) < len(process.argv) - 1
    if not words:
        process.error("ipset v7.22: No command specified.\n")
        return 1
    try:
        process.write(_run(process, words[0].lstrip("-"), words[1:], is_lenient=is_lenient))
    except _Failure as failure:
        process.error(f"ipset v7.22: {failure}\n")
        return 1
    return 0


def _run(process: Process, command: str, words: list[str], *, is_lenient: bool) -> str:
    netfilter = process.namespace.netfilter
    sets: dict[str, IpSet] = netfilter.ip_sets
    if command in ("list", "L", "save", "S"):
        chosen = [_find_set(sets, words[0])] if words else list(sets.values())
        return "".join(_save_text(one) if command in ("save", "S") else _list_text(one) for one in chosen)
    if command in ("flush", "F", "destroy", "X") and not words:
        for name in list(sets):
            _change(process, command, sets[name])
        return ""
    if not words:
        raise _Failure("Missing mandatory argument to command")
    if command in ("create", "N"):
        if words[0] in sets:
            if is_lenient:
                return ""
            raise _Failure("Set cannot be created: set with the same name already exists")
        kind = words[1] if len(words) > 1 else "hash:ip"
        _check_create(words[2:])
        try:
            netfilter.create_set(words[0], kind, 6 if "inet6" in words else 4)
        except ValueError:
            raise _Failure(f"Syntax error: unknown settype {kind}") from None
        return ""
    ip_set = _find_set(sets, words[0])
    if command in ("flush", "F", "destroy", "X"):
        _change(process, command, ip_set)
        return ""
    if len(words) < 2:
        raise _Failure("Missing second mandatory argument to command")
    if words[2:]:
        raise _Failure(f"Unknown argument: `{words[2]}'")
    return _member(ip_set, command, words[1], is_lenient=is_lenient)


def _check_create(words: list[str]) -> None:
    """Raise `_Failure` if `ipset create` has options that are not modelled, such as timeouts or counters."""
    fine = {"family": ("inet", "inet6"), "hashsize": ("1024",), "maxelem": ("65536",)}
    rest = [word for word in words if word not in ("inet", "inet6")]
    while rest:
        name, *values = rest[:2]
        if name not in fine:
            raise _Failure(f"Unknown argument: `{name}'")
        if name == "family":
            rest = rest[1:]
            continue
        if not values or values[0] not in fine[name]:
            raise _Failure(f"Syntax error: '{values[0] if values else ''}' is out of range")
        rest = rest[2:]


def _find_set(sets: dict[str, IpSet], name: str) -> IpSet:
    if name not in sets:
        raise _Failure("The set with the given name does not exist")
    return sets[name]


def _change(process: Process, command: str, ip_set: IpSet) -> None:
    if command in ("flush", "F"):
        ip_set._members.clear()
        ip_set._lengths.clear()
        return
    try:
        process.namespace.netfilter.destroy_set(ip_set.name)
    except ValueError:
        raise _Failure("Set cannot be destroyed: it is in use by a kernel component") from None


def _member(ip_set: IpSet, command: str, member: str, *, is_lenient: bool) -> str:
    try:
        is_in = ip_set._key(member) in ip_set._members
        if command in ("test", "T"):
            if is_in:
                return f"{member} is in set {ip_set.name}.\n"
            raise _Failure(f"{member} is NOT in set {ip_set.name}.")
        if command in ("add", "A"):
            if is_in and not is_lenient:
                raise _Failure("Element cannot be added to the set: it's already added")
            ip_set.add(member)
        elif command in ("del", "D"):
            if is_in:
                ip_set.remove(member)
            elif not is_lenient:
                raise _Failure("Element cannot be deleted from the set: it's not added")
        else:
            raise _Failure(f"Unknown command {command}")
    except (ValueError, KeyError):
        raise _Failure(
            f"Syntax error: cannot parse {member}: resolving to IPv{ip_set.family} address failed"
        ) from None
    return ""


def _members(ip_set: IpSet) -> list[str]:
    texts: list[str] = []
    for key in sorted(ip_set._members):
        address = from_int(key[0], ip_set.family)
        if ip_set.kind == "hash:net":
            bits = len(address) * 8
            texts.append(format_ip(address) if key[1] == bits else str(Prefix(address, key[1])))
        elif ip_set.kind == "hash:ip":
            texts.append(format_ip(address))
        else:
            texts.append(f"{format_ip(address)},{_PROTOCOLS.get(key[1], key[1])}:{key[2]}")
    return texts


def _header(ip_set: IpSet) -> str:
    return f"family {'inet6' if ip_set.family == 6 else 'inet'} hashsize 1024 maxelem 65536"


def _save_text(ip_set: IpSet) -> str:
    head = f"create {ip_set.name} {ip_set.kind} {_header(ip_set)}\n"
    return head + "".join(f"add {ip_set.name} {text}\n" for text in _members(ip_set))


def _list_text(ip_set: IpSet) -> str:
    members = _members(ip_set)
    return (
        f"Name: {ip_set.name}\nType: {ip_set.kind}\nRevision: 6\nHeader: {_header(ip_set)}\nSize in memory: "
        f"{200 + 72 * len(members)}\n"
        f"References: 0\nNumber of entries: {len(members)}\nMembers:\n" + "".join(f"{text}\n" for text in members)
    )
