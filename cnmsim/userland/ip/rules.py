"""`ip rule`, and the names of routing tables, for iproute2 and for busybox (`iprule.c`)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

from cnmsim.digits import is_number, parse_c_number
from cnmsim.kernel.fibrules import LOCAL, MAIN, TABLE_NAMES, FibRule, FibRules, default_mask
from cnmsim.userland.ip.arguments import IpCommandError, Words, parse_integer_argument, parse_prefix_argument

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.process import Process
    from cnmsim.kernel.route import RoutingTable

NO_TABLE = "FIB table does not exist"
_NAMES_FILE = "/etc/iproute2/rt_tables"
_MOST_TABLES = 0xFFFFFFFF
_ACTIONS = ("blackhole", "unreachable", "prohibit")
_NOT_MODELLED = (
    "tos", "dsfield", "ipproto", "sport", "dport", "uidrange", "realms", "goto", "nat", "map-to", "l3mdev",
)  # fmt: skip


class IpRules:
    """The routing rules and tables of one namespace, for the address family `family`: 4 or 6, or 0 for IPv4."""

    def __init__(self, process: Process, namespace: NetworkNamespace, family: int) -> None:
        self.process = process
        self.namespace = namespace
        self.family = family or 4

    # ---- tables

    def names(self) -> dict[int, str]:
        """Return the names of routing tables by number.

        They are those that Linux predefines, and those in /etc/iproute2/rt_tables.
        """
        try:
            text = self.process.files.read(_NAMES_FILE).decode(errors="replace")
        except OSError:
            return TABLE_NAMES
        names = dict(TABLE_NAMES)
        for line in text.splitlines():
            words = line.partition("#")[0].split()
            if len(words) >= 2 and is_number(words[0]):
                names[int(words[0])] = words[1]
        return names

    def number(self, text: str) -> int:
        """Return the number of the table that `text` gives as a name or number.

        Raises `IpCommandError` for an invalid text.
        """
        known = next((number for number, name in self.names().items() if name == text), None)
        if known is not None:
            return known
        if not (is_number(text) and 0 < int(text) <= _MOST_TABLES):
            raise IpCommandError(f'argument "{text}" is wrong: invalid table ID\n', 255)
        return int(text)

    def table(self, text: str, family: int, *, create: bool = False) -> RoutingTable:
        """Return the routing table of address family `family` with this name or number; "" means the main table.

        If there is no such table, it is created if `create` is set; otherwise `OSError(ENOENT)` is raised. Raises
        `IpCommandError` for an invalid name.
        """
        number = self.number(text) if text else MAIN
        if number == MAIN:
            return self.namespace.routes(family)
        rules = self.namespace.rules4 if family == 4 else self.namespace.rules6
        if create:
            return self.namespace.fib_rules(family).table(number)
        if rules is None or number not in rules.tables:
            raise OSError(errno.ENOENT, NO_TABLE)
        return rules.tables[number]

    # ---- rules

    @property
    def _rules(self) -> FibRules | None:
        return self.namespace.rules4 if self.family == 4 else self.namespace.rules6

    def show(self, end: str = "", words: Words | None = None) -> None:
        """Run `rule show [table T] [priority N] [from P] [to P] [iif D] [oif D] [fwmark M]`.

        `words` are the words after `show`, `None` for none. `end` is appended to the line of each rule with the
        action `lookup`.
        """
        names = self.names()
        parts = self._selection_texts(words or Words([]), names)
        first = f"0:\tfrom all lookup {names[255]}"
        if all(part in f"{first} " for part in parts):
            self.process.write(f"{first}{end}\n")
        known = self._rules or FibRules(self.namespace.routes(self.family), lambda: None)
        for rule in known.rules:
            text = rule.text(names)
            for word, device in (("iif", rule.indev), ("oif", rule.outdev)):
                if device and device not in self.namespace.devices:
                    text = text.replace(f" {word} {device}", f" {word} {device} [detached]", 1)
            if not all(part in f"{text} " for part in parts):
                continue
            self.process.write(f"{text}{end if rule.action == 'lookup' else ''}\n")

    def _selection_texts(self, words: Words, names: dict[int, str]) -> list[str]:
        """Parse the criteria of `rule show`. Return texts such as ` lookup main ` that a rule's line must contain.

        A rule is shown if its line contains all of them. `names` maps the numbers of routing tables to their names.
        Raises `IpCommandError` for an invalid criterion.
        """
        parts = []
        while words:
            word = words.take()
            if word in ("table", "lookup"):
                number = self.number(words.take())
                parts.append(f" lookup {names.get(number, str(number))} ")
            elif word in ("pref", "preference", "priority", "prio", "order"):
                parts.append(f"{parse_integer_argument(words.take())}:\t")
            elif word in ("from", "to"):
                parts.append(f"{word} {str(parse_prefix_argument(words.take(), self.family)).removesuffix('/32')} ")
            elif word in ("iif", "dev", "oif", "fwmark"):
                parts.append(f" {'iif' if word == 'dev' else word} {words.take()} ")
            else:
                raise IpCommandError(f'inet prefix is expected rather than "{word}".')
        return parts

    def add(self, words: Words) -> None:
        """Run `rule add SELECTOR ACTION`.

        Raises `OSError(EEXIST)` if the rule exists, `IpCommandError` for invalid words.
        """
        if not words:
            raise IpCommandError('"ip rule add" requires arguments.')
        self.process.credentials.require("NET_ADMIN")
        fields = self._read(words)
        rules = self.namespace.fib_rules(self.family)
        if "priority" not in fields:
            fields["priority"] = rules.default_priority()
        rules.add(FibRule(**fields))

    def delete(self, words: Words) -> None:
        """Run `rule del SELECTOR ACTION`: delete the first matching rule (rule_find).

        Raises `OSError(ENOENT)` if none matches, `OSError(EOPNOTSUPP)` if it is the local table's rule, which cannot
        be deleted, and `IpCommandError` for invalid words.
        """
        if not words:
            raise IpCommandError('"ip rule del" requires arguments.')
        self.process.credentials.require("NET_ADMIN")
        fields = self._read(words)
        conditions = {key: value for key, value in fields.items() if _is_condition(key, value)}
        rules = self.namespace.fib_rules(self.family)
        for rule in (FibRule(0, LOCAL), *rules.rules):
            if all(getattr(rule, key) == value for key, value in conditions.items()):
                if rule.table == LOCAL:
                    raise OSError(errno.EOPNOTSUPP, "Operation not supported")
                rules.remove(rule)
                return
        raise OSError(errno.ENOENT, "No such file or directory")

    def flush(self) -> None:
        """Run `rule flush`: delete all rules except the local table's."""
        self.process.credentials.require("NET_ADMIN")
        rules = self.namespace.fib_rules(self.family)
        for rule in list(rules.rules):
            rules.remove(rule)

    def _read(self, words: Words) -> dict[str, Any]:
        """Parse the description of a rule. Return the arguments for `FibRule` that the words specify.

        Raises `IpCommandError` for an invalid word, and for one that is not simulated.
        """
        fields: dict[str, Any] = {}
        while words:
            word = words.take()
            if word == "not":
                fields["is_inverted"] = True
            elif word in ("from", "to"):
                self._read_prefix(word, words.take(), fields)
            elif word in ("preference", "pref", "order", "priority"):
                fields["priority"] = self._priority(words.take())
            elif word == "fwmark":
                self._read_mark(words.take(), fields)
            elif word in ("iif", "dev", "oif"):
                fields["outdev" if word == "oif" else "indev"] = words.take()
            elif word in ("table", "lookup"):
                fields["table"] = self.number(words.take())
            elif word in ("suppress_prefixlength", "sup_pl"):
                fields["suppress_length"] = parse_integer_argument(words.take())
            elif word in ("proto", "protocol"):
                words.take()
            elif word in _NOT_MODELLED:
                raise IpCommandError(f"{word}: not simulated", 255)
            else:
                kind = words.take() if word == "type" else word
                if kind not in _ACTIONS:
                    raise IpCommandError(f'argument "{kind}" is wrong: Failed to parse rule type', 255)
                fields["action"] = kind
        return fields

    @staticmethod
    def _priority(text: str) -> int:
        if not is_number(text):
            raise IpCommandError(f'argument "{text}" is wrong: preference value is invalid\n', 255)
        return int(text)

    def _read_prefix(self, word: str, text: str, fields: dict[str, Any]) -> None:
        prefix = parse_prefix_argument(text, self.family)
        if prefix.family != self.family:
            raise IpCommandError(f"Error: Invalid {'source' if word == 'from' else 'destination'} address.", 2)
        fields["source" if word == "from" else "destination"] = prefix if prefix.length else None

    def _read_mark(self, text: str, fields: dict[str, Any]) -> None:
        mark_text, slash, mask_text = text.partition("/")
        try:
            mark = parse_c_number(mark_text)
            mask = parse_c_number(mask_text) if slash else default_mask(mark)
        except ValueError:
            raise IpCommandError(f'argument "{text}" is wrong: fwmark value is invalid\n', 255) from None
        fields["mark"], fields["mask"] = mark, mask


def _is_condition(key: str, value: Any) -> bool:
    """Return True if `rule del` deletes only rules whose field `key` is `value`, the value in its command line.

    Return False for a value that the kernel ignores in this comparison, such as a mark of 0.
    """
    if key == "is_inverted" or value is None:
        return False
    return bool(value) or key not in ("mark", "mask")
