"""`ip xfrm state|policy` (iproute2), for the part of IPsec that is simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from cnmsim.digits import is_number, parse_c_number
from cnmsim.kernel.address import IPV4_ANY, IPV6_ANY, Address, Prefix, family_of, parse_ip
from cnmsim.kernel.xfrm import Limits, Mark, Selector, Template, XfrmPolicy, XfrmState, xfrm_of
from cnmsim.userland.ip.arguments import IpCommandError, Words, parse_prefix_argument, wrong_argument

if TYPE_CHECKING:
    from collections.abc import Callable

    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.process import Process
    from cnmsim.kernel.xfrm import Xfrm

_USAGE = "Usage: ip xfrm XFRM-OBJECT { COMMAND | help }\nwhere  XFRM-OBJECT := state | policy | monitor\n"
_PROTOCOLS = {"tcp": 6, "udp": 17, "icmp": 1, "ipv6-icmp": 58, "sctp": 132}
_IDS = ("esp", "ah", "comp", "route2", "hao")


def _wrong(text: str, what: str) -> IpCommandError:
    return wrong_argument(text, f"{what} value is invalid")


def _integer(words: Words, what: str) -> int:
    text = words.take()
    try:
        value = parse_c_number(text)
    except ValueError:
        value = -1
    if not 0 <= value <= 0xFFFFFFFF:
        raise _wrong(text, what)
    return value


def _address(words: Words) -> Address:
    text = words.take()
    try:
        return parse_ip(text.partition("/")[0])
    except ValueError:
        raise IpCommandError(f'Error: any valid prefix is expected rather than "{text}".') from None


def _mark(words: Words) -> Mark:
    value = _integer(words, "MARK")
    if words.first == "mask":
        words.take()
        return Mark(value, _integer(words, "MASK"))
    return Mark(value, 0xFFFFFFFF)


class _Id:
    """The fields that identify an IPsec state (SA).

    On the command line they are `src A dst A proto esp spi N`, optionally with `reqid` and `mode`.
    """

    def __init__(self) -> None:
        self.src: Address | None = None
        self.dst: Address | None = None
        self.protocol = ""
        self.spi = 0
        self.reqid = 0
        self.mode = "transport"

    def take(self, word: str, words: Words) -> bool:
        """If `word` is the keyword of an identifying field, parse the field's value from `words` and return True.

        Otherwise return False. Raises `IpCommandError` for an invalid value.
        """
        if word == "src":
            self.src = _address(words)
        elif word == "dst":
            self.dst = _address(words)
        elif word == "proto":
            text = words.take()
            if text not in _IDS:
                raise _wrong(text, "XFRM-PROTO")
            self.protocol = text
        elif word == "spi":
            self.spi = _integer(words, "SPI")
        elif word == "reqid":
            self.reqid = _integer(words, "REQID")
        elif word == "mode":
            self.mode = words.take()
            if self.mode not in ("transport", "tunnel", "beet", "ro", "in_trigger"):
                raise _wrong(self.mode, "MODE")
        else:
            return False
        return True

    def ends(self) -> tuple[Address, Address]:
        """Return the source and the destination address.

        An address that was not given is returned as the unspecified address, `0.0.0.0` or `::`.
        """
        wildcard = IPV6_ANY if 16 in (len(self.src or b""), len(self.dst or b"")) else IPV4_ANY
        return self.src or wildcard, self.dst or wildcard


def _take_limit(limits: Limits, words: Words) -> Limits:
    name = words.take()
    value = _integer(words, "LIMIT")
    if name == "byte-hard":
        return evolve(limits, size=value)
    if name == "packet-hard":
        return evolve(limits, packets=value)
    if name == "time-hard":
        return evolve(limits, seconds=float(value))
    if name not in ("byte-soft", "packet-soft", "time-soft", "time-use-soft", "time-use-hard"):
        raise _wrong(name, "LIMIT")
    return limits


class _States:
    def __init__(self, process: Process, xfrm: Xfrm) -> None:
        self.process = process
        self.xfrm = xfrm

    def add(self, words: Words) -> None:
        self._put(words, update=False)

    def update(self, words: Words) -> None:
        self._put(words, update=True)

    def _put(self, words: Words, *, update: bool) -> None:
        name, mark, limits = _Id(), Mark(), Limits()
        algorithm, key, icv, window = "", b"", 0, 0
        selector: Selector | None = None
        while words:
            word = words.take()
            if word == "mark":
                mark = _mark(words)
            elif word == "replay-window":
                window = _integer(words, "SIZE")
            elif word == "limit":
                limits = _take_limit(limits, words)
            elif word == "aead":
                algorithm, key, icv = _algorithm(words)
            elif word == "sel":
                selector = _selector(words)
            elif word in ("flag", "seq", "extra-flag", "if_id", "replay-seq", "replay-oseq"):
                words.take()
            elif not name.take(word, words):
                raise wrong_argument(word, "unknown")
        if not name.protocol:
            raise IpCommandError('Error: argument "XFRM-PROTO" is required', 255)
        if not algorithm:
            raise IpCommandError('ALGO-TYPE value "enc" or "aead" is required with XFRM-PROTO value "esp"')
        if name.protocol != "esp" or name.mode != "transport":
            raise IpCommandError("Error: Requested type not found.", 2)
        src, dst = name.ends()
        state = XfrmState(
            src, dst, name.spi, key, icv, name.reqid, window, mark, limits, algorithm, selector
        )  # fmt: skip
        self.xfrm.add_state(state, update=update)

    def _named(self, words: Words) -> tuple[_Id, Mark | None]:
        name, mark = _Id(), None
        while words:
            word = words.take()
            if word == "mark":
                mark = _mark(words)
            elif not name.take(word, words):
                raise wrong_argument(word, "unknown")
        return name, mark

    def delete(self, words: Words) -> None:
        name, mark = self._named(words)
        self.xfrm.remove_state(name.ends()[1], name.spi, mark)

    def get(self, words: Words) -> None:
        name, mark = self._named(words)
        self.process.write(str(self.xfrm.get_state(name.ends()[1], name.spi, mark)))

    def _chosen(self, words: Words) -> list[XfrmState]:
        if words.first == "nokeys":
            words.take()
        name, _ = self._named(words)
        return [
            state
            for state in self.xfrm.states
            if name.src in (None, state.src)
            and name.dst in (None, state.dst)
            and name.spi in (0, state.spi)
            and name.reqid in (0, state.reqid)
            and name.protocol in ("", "esp")
        ]

    def list(self, words: Words) -> None:
        has_keys = words.first != "nokeys"
        for state in self._chosen(words):
            text = str(state)
            self.process.write(text if has_keys else text.replace(f"0x{state.key.hex()}", "<<Keys hidden>>"))

    def deleteall(self, words: Words) -> None:
        for state in self._chosen(words):
            self.xfrm.remove_state(*state.identity)

    def flush(self, words: Words) -> None:
        if not words or words.rest == ["proto", "esp"]:
            self.xfrm.flush_states()

    def count(self, words: Words) -> None:  # noqa: ARG002 - a command
        self.process.write(f"\t SAD count {len(self.xfrm.states)}\n")


def _algorithm(words: Words) -> tuple[str, bytes, int]:
    values = []
    for name in ("ALGO-NAME", "ALGO-KEYMAT", "ALGO-ICV-LEN"):
        if not words:
            raise IpCommandError(f'Error: argument "{name}" is required', 255)
        values.append(words.take())
    algorithm, text, icv = values
    try:
        key = bytes.fromhex(text.removeprefix("0x")) if text.startswith("0x") else text.encode()
    except ValueError:
        raise _wrong(text, "ALGO-KEYMAT") from None
    if not is_number(icv):
        raise _wrong(icv, "ALGO-ICV-LEN")
    return algorithm, key, int(icv)


_SELECTOR_WORDS = ("src", "dst", "proto", "sport", "dport", "dev", "type", "code")


def _selector(words: Words) -> Selector:
    """Parse a selector, `src P dst P proto P dport N`. Raises `IpCommandError` for an invalid selector."""
    prefixes: dict[str, Prefix] = {}
    numbers = {"sport": 0, "dport": 0}
    protocol = 0
    while words and words.first in _SELECTOR_WORDS:
        word = words.take()
        if word in ("src", "dst"):
            text = words.take()
            prefixes[word] = parse_prefix_argument(text, 6 if ":" in text else 4)
        elif word == "proto":
            text = words.take()
            protocol = _PROTOCOLS.get(text) or (int(text) if is_number(text) else 0)
            if not protocol:
                raise _wrong(text, "PROTO")
        elif word in numbers:
            numbers[word] = _integer(words, "PORT")
        else:
            words.take()
    family = next((family_of(prefix.network) for prefix in prefixes.values()), 4)
    anything = Selector.match_all(family)
    return Selector(prefixes.get("src", anything.src), prefixes.get("dst", anything.dst), protocol, **numbers)


class _Policies:
    def __init__(self, process: Process, xfrm: Xfrm) -> None:
        self.process = process
        self.xfrm = xfrm

    def _read(self, words: Words) -> XfrmPolicy:
        selector, direction, mark, action, priority = Selector.match_all(), "", Mark(), "allow", 0
        templates: list[Template] = []
        while words:
            word = words.first
            if word in _SELECTOR_WORDS:
                selector = _selector(words)
                continue
            words.take()
            if word == "dir":
                if direction:
                    raise IpCommandError('Error: duplicate "dir": "dir" is the second value.', 255)
                direction = words.take()
                if direction not in ("in", "out", "fwd"):
                    raise _wrong(direction, "DIR")
            elif word == "mark":
                mark = _mark(words)
            elif word == "action":
                action = words.take()
                if action not in ("allow", "block"):
                    raise _wrong(action, "ACTION")
            elif word == "priority":
                priority = _integer(words, "PRIORITY")
            elif word == "tmpl":
                templates.append(_template(words, family_of(selector.src.network)))
            elif word in ("ptype", "index", "if_id", "flag"):
                words.take()
            else:
                raise wrong_argument(word, "unknown")
        if not direction:
            raise IpCommandError("Not enough information: DIR is required.")
        return XfrmPolicy(direction, selector, tuple(templates), mark, priority, action)

    def add(self, words: Words) -> None:
        self.xfrm.add_policy(self._read(words))

    def update(self, words: Words) -> None:
        self.xfrm.add_policy(self._read(words), update=True)

    def delete(self, words: Words) -> None:
        self.xfrm.remove_policy(*self._read(words).identity)

    def get(self, words: Words) -> None:
        self.process.write(str(self.xfrm.get_policy(*self._read(words).identity)))

    def list(self, words: Words) -> None:
        direction = ""
        while words:
            word = words.take()
            value = words.take() if words else ""
            direction = value if word == "dir" else direction
        for policy in self.xfrm.policies:
            if direction in ("", policy.direction):
                self.process.write(str(policy))

    def flush(self, words: Words) -> None:  # noqa: ARG002 - a command
        self.xfrm.flush_policies()

    def count(self, words: Words) -> None:  # noqa: ARG002 - a command
        counts = [sum(one.direction == direction for one in self.xfrm.policies) for direction in ("in", "out", "fwd")]
        self.process.write("\t SPD IN  {} OUT {} FWD {}\n".format(*counts))


def _template(words: Words, family: int) -> Template:
    name = _Id()
    while words and words.first in ("src", "dst", "proto", "spi", "reqid", "mode", "level"):
        word = words.take()
        if word == "level":
            words.take()
        else:
            name.take(word, words)
    wildcard = IPV4_ANY if family == 4 else IPV6_ANY
    return Template(name.src or wildcard, name.dst or wildcard, name.spi, name.reqid, mode=name.mode)


def run(process: Process, namespace: NetworkNamespace, words: Words) -> int:
    """Run `ip xfrm state|policy COMMAND`. Return the exit status.

    Raises `IpCommandError` for invalid words, and `OSError` if the kernel refuses the command.
    """
    kind = words.match_keyword(("state", "policy", "monitor"))
    if kind is None or kind == "monitor":
        process.error(_USAGE)
        return 255
    words.take()
    xfrm = xfrm_of(namespace)
    target: _States | _Policies = _States(process, xfrm) if kind == "state" else _Policies(process, xfrm)
    names = ["add", "update", "delete", "get", "list", "flush", "count"] + (["deleteall"] if kind == "state" else [])
    aliases = {"show": "list", "lst": "list", "deleteall": "deleteall" if kind == "state" else "flush"}
    chosen = words.match_keyword((*names, *aliases)) if words else "list"
    if chosen is None:
        process.error(f'Command "{words.first}" is unknown, try "ip xfrm {kind} help".\n')
        return 255
    if words:
        words.take()
    command: Callable[[Words], None] = getattr(target, aliases.get(chosen, chosen))
    command(words)
    return 0
