"""Tables of a host or container, as text and HTML: packet filter rules with counters, routes, name lookups.

If a trace is given, the listing marks the rules that decided about its packets, the jumps that led to those rules,
and the chains that its packets traversed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from attrs import frozen

from cnmsim.errors import InvalidParameter, NotFound
from cnmsim.kernel.address import format_ip, parse_ip
from cnmsim.kernel.clock import NS_PER_S
from cnmsim.kernel.events import Step
from cnmsim.kernel.fibrules import MAIN, TABLE_NAMES, decision_text
from cnmsim.kernel.netfilter.hooks import LEGACY, NFT
from cnmsim.kernel.netfilter.nftables import NfTables
from cnmsim.kernel.netfilter.nftables.statements import Counter
from cnmsim.kernel.netfilter.save import rule_line
from cnmsim.kernel.process import Process
from cnmsim.observe.diagnosis.file_names import in_file_names, names_of
from cnmsim.observe.display import Displayable
from cnmsim.observe.trace.lookup import Lookup, look_up
from cnmsim.observe.trace.rule_decision import RuleDecision
from cnmsim.observe.trace.table import plain_grid
from cnmsim.observe.trace.tracer import LabView, directory_of, location_of
from cnmsim.observe.views.markup import BAD, DECIDED, GOOD, LED, LOST, WELL, banner, card, heading, note, table

if TYPE_CHECKING:
    from cnmsim.kernel.namespace import NetworkNamespace
    from cnmsim.kernel.netfilter.netfilter import Netfilter
    from cnmsim.kernel.netfilter.nftables.tables import Chain as NftChain
    from cnmsim.kernel.netfilter.table import Chain
    from cnmsim.observe.trace.trace import Trace

_LEGACY = "iptables-legacy "
_LIMIT_S = 60.0


@frozen
class RuleRow:
    """One rule in the listing of a chain.

    `number` is its position in the chain, or its handle in an nftables table. `mark` is "decided" if the rule decided
    about a packet of the trace, "jumped" if a packet followed its jump, otherwise "".
    """

    number: int
    packets: int
    bytes: int
    text: str
    mark: str = ""


@frozen
class ChainView:
    """A chain with its rules.

    `policy` is "" for a user-defined chain. `is_visited` is True if a packet of the trace traversed the chain. `hook`
    is the chain's hook in nft's syntax, "" if it has none. Chains of nftables have no packet counters of their own.
    """

    name: str
    policy: str
    packets: int
    bytes: int
    rows: tuple[RuleRow, ...]
    is_visited: bool = False
    hook: str = ""

    @property
    def title(self) -> str:
        """The chain's name with its policy and counters, as in the heading of `iptables -L -v`."""
        policy = f" (policy {self.policy}, {self.packets} packets, {self.bytes} bytes)" if self.policy else ""
        policy = f" ({self.hook.rstrip(';')})" if self.hook else policy
        return f"{self.name}{policy}{' ◂ passed' if self.is_visited else ''}"

    def cells(self) -> list[tuple[str, ...]]:
        """Return the rules as rows of a table."""
        return [(str(row.number), str(row.packets), str(row.bytes), row.text, _WORDS[row.mark]) for row in self.rows]


@frozen
class RulesView(Displayable):
    """The chains of one table on a host or in a container. A notebook shows it as HTML, a terminal as text."""

    place: str
    table: str
    chains: tuple[ChainView, ...]
    family: int = 4

    def __str__(self) -> str:
        return "\n\n".join(f"Chain {chain.title}\n" + plain_grid(_HEADERS, chain.cells()) for chain in self.chains)

    def _repr_html_(self) -> str:
        parts = []
        for chain in self.chains:
            parts.append(heading(chain.title))
            rows, colours = (
                chain.cells(),
                [{"decided": DECIDED, "jumped": LED}.get(row.mark, "") for row in chain.rows],
            )
            parts.append(table(_HEADERS, rows, colours, numbers=(0, 1, 2), rigid=(4,)) if rows else note("no rules"))
        return card(self.place, self._command(), *parts)

    def _command(self) -> str:
        if self.table.startswith("nft "):
            return f"nft list table {self.table.removeprefix('nft ')}"
        program = "ip6tables" if self.family == 6 else "iptables"
        suffix = "-legacy" if self.table.startswith(_LEGACY) else ""
        return f"{program}{suffix} -t {self.table.removeprefix(_LEGACY)}"


_HEADERS = ("num", "pkts", "bytes", "rule", "")
_WORDS = {"": "", "decided": "◂ decided", "jumped": "◂ jumped"}


def rules(
    lab: LabView, where: object, table_name: str = "filter", chain: str | None = None, *, trace: Trace | None = None,
    family: int = 4
) -> RulesView:  # fmt: skip
    """Return the rules of a table on a host or in a container, with their counters.

    `table_name` is an iptables table (`filter`), an iptables-legacy table (`iptables-legacy filter`) or an nftables
    table (`nft ip docker-bridges`). With `chain`, only that chain of the table is returned. With `trace`, the
    traversed chains and the rules that decided are marked. `family` is the IP version, 4 or 6. Raises `NotFound` for
    an unknown host, container or chain, `InvalidParameter` for an unknown table.
    """
    directory = directory_of(lab)
    location = location_of(directory, where)
    passed, decided = _visits(trace, location.namespace.name, table_name)
    views = _views(location.namespace.netfilter, table_name, family, passed, decided)
    if chain is not None:
        views = [view for view in views if view.name == chain]
        if not views:
            raise NotFound(f"no chain {chain!r} in table {table_name} of {location.label}")
    return RulesView(in_file_names(location.label, names_of(directory)), table_name, tuple(views), family)


def _views(
    netfilter: Netfilter, table_name: str, family: int, passed: set[tuple[str, str]], decided: set[str]
) -> list[ChainView]:
    if table_name.startswith("nft "):
        tables = {table.label: table for table in NfTables.of(netfilter).tables.values()}
        if table_name not in tables:
            raise InvalidParameter(f"no table {table_name!r}; there are: {', '.join(tables) or 'none'}")
        return [_nft_chain_view(chain, passed, decided) for chain in tables[table_name].chains.values()]
    is_legacy = table_name.startswith(_LEGACY)
    iptables = netfilter.iptables(family, LEGACY if is_legacy else NFT).tables
    name = table_name.removeprefix(_LEGACY)
    if name not in iptables:
        raise InvalidParameter(f"no table {table_name!r}; there are: {', '.join(iptables)}")
    return [_chain_view(chain, passed, decided) for chain in iptables[name].chains_in_order()]


def _nft_chain_view(chain: NftChain, passed: set[tuple[str, str]], decided: set[str]) -> ChainView:
    rows = []
    for entry in chain.rules:
        text = entry.rule.text()
        counter = next(
            (statement for statement in entry.rule.statements if isinstance(statement, Counter)), Counter()
        )
        leads = {name for statement in entry.rule.statements for name in statement.chains()}
        jumped = any((chain.name, name) in passed for name in leads)
        mark = "decided" if text in decided else "jumped" if jumped else ""
        rows.append(RuleRow(entry.handle, counter.packets, counter.bytes, text, mark))
    is_visited = any(name == chain.name for _, name in passed)
    hook = chain.base.text(chain.policy) if chain.base is not None else ""
    return ChainView(chain.name, "", 0, 0, tuple(rows), is_visited, hook)


def _visits(trace: Trace | None, place: str, table_name: str) -> tuple[set[tuple[str, str]], set[str]]:
    """Return (steps, rules): what the packets of a trace did in one table of the namespace `place`.

    `steps` are pairs (previous chain, chain) for each chain entered; the previous chain of the first one is "".
    `rules` are the texts of the rules that decided about a packet.
    """
    steps: set[tuple[str, str]] = set()
    decided: set[str] = set()
    for event in trace.events if trace is not None else ():
        decision = RuleDecision.parse(event.decision) if event.place == place else None
        if decision is not None and decision.table_label == table_name:
            steps |= set(zip(["", *decision.chains], decision.chains, strict=False))
            decided.add(decision.rule or f"policy {decision.policy}")
    return steps, decided


def _chain_view(chain: Chain, passed: set[tuple[str, str]], decided: set[str]) -> ChainView:
    rows = []
    for number, entry in enumerate(chain.rules, 1):
        line = rule_line(chain.name, entry)
        is_only_jump = sum(other.chain_name == entry.chain_name for other in chain.rules) == 1
        jumped = entry.chain_name and (chain.name, entry.chain_name) in passed and is_only_jump
        mark = "decided" if line in decided else "jumped" if jumped else ""
        rows.append(RuleRow(number, entry.packets, entry.bytes, line, mark))
    is_visited = any(name == chain.name for _, name in passed)
    return ChainView(chain.name, chain.policy or "", chain.packets, chain.bytes, tuple(rows), is_visited)


@frozen
class RoutesView(Displayable):
    """The routing tables of one host or container, as `ip route` and `ip -6 route` list them.

    `chosen` are the routes to highlight: the route to a given address, and the routes that traced packets used.
    """

    place: str
    ipv4: tuple[str, ...]
    ipv6: tuple[str, ...] = ()
    chosen: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return "\n".join(f"{route} ◂ chosen" if route in self.chosen else route for route in (*self.ipv4, *self.ipv6))

    def _repr_html_(self) -> str:
        parts = [self._table(self.ipv4) if self.ipv4 else note("no routes")]
        if self.ipv6:
            parts += [heading("IPv6"), self._table(self.ipv6)]
        return card(self.place, "routes", *parts)

    def _table(self, routes: Sequence[str]) -> str:
        rows = []
        for text in routes:
            words = text.split()
            kinds = {"unreachable", "blackhole", "prohibit", "local", "broadcast", "multicast"} & set(words[:1])
            head = " ".join(words[: 1 + len(kinds)])
            values = dict(zip(words[1 + len(kinds) :: 2], words[2 + len(kinds) :: 2], strict=False))
            rest = " ".join(f"{key} {value}" for key, value in values.items() if key not in {"via", "dev", "src"})
            mark = "◂ chosen" if text in self.chosen else ""
            rows.append((head, values.get("via", ""), values.get("dev", ""), values.get("src", ""), rest, mark))
        colours = [DECIDED if text in self.chosen else "" for text in routes]
        return table(("destination", "via", "device", "source", "", ""), rows, colours, rigid=(0, 1, 2, 3, 5))


def routes(lab: LabView, where: object, *, to: str = "", trace: Trace | None = None) -> RoutesView:
    """Return the routes of a host or container.

    The route to the address `to`, and the routes that the packets of `trace` used, are marked. Raises `NotFound` for
    an unknown host or container, `InvalidParameter` for an invalid address.
    """
    directory = directory_of(lab)
    location = location_of(directory, where)
    space = location.namespace
    chosen = {
        _in_table(event.decision)
        for event in (trace.events if trace is not None else ())
        if event.place == space.name and event.step is Step.ROUTED
    }
    if to:
        try:
            address = parse_ip(to)
        except ValueError:
            raise InvalidParameter(f"{to!r} is no IP address") from None
        route = space.find_route(address)
        chosen |= {_in_table(decision_text(route, space.route_rule(address)))} if route is not None else set()
    ipv4, ipv6 = (tuple(_route_texts(space, family)) for family in (4, 6))
    return RoutesView(in_file_names(location.label, names_of(directory)), ipv4, ipv6, frozenset(chosen))


_BY_RULE = re.compile(r"(.*), by rule \d+: .* lookup (\S+).*")


def _in_table(decision: str) -> str:
    """Convert the text of a routing decision to the form in which `RoutesView` lists the route.

    If a routing rule (`ip rule`) selected a table other than main, the result ends with `table NAME`.
    """
    match = _BY_RULE.fullmatch(decision)
    if match is None:
        return decision
    return match[1] if match[2] == "main" else f"{match[1]} table {match[2]}"


def _route_texts(space: NetworkNamespace, family: int) -> Iterator[str]:
    yield from map(str, space.routes(family).routes)
    rules = space.rules4 if family == 4 else space.rules6
    for number in rules.table_numbers() if rules is not None else ():
        if rules is not None and number != MAIN:
            yield from (f"{route} table {TABLE_NAMES.get(number, number)}" for route in rules.tables[number].routes)


@frozen
class LookupView(Displayable):
    """The result of a name lookup: the addresses, all queries, and the duration in seconds of virtual time.

    In a boolean context it is True if at least one address was found.
    """

    place: str
    lookup: Lookup
    elapsed_s: float

    def __bool__(self) -> bool:
        return bool(self.lookup.addresses)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses that were found, as text."""
        return tuple(format_ip(address) for address in self.lookup.addresses)

    @property
    def questions(self) -> str:
        """The queries with their servers and results as text, one a line."""
        lines = [
            f"{query.name} {query.record}, asked of {query.server}: {query.result}" for query in self.lookup.queries
        ]
        return "\n".join(lines) or "no server was asked"

    def _rows(self) -> list[tuple[str, ...]]:
        return [(query.record, query.name, query.server, query.result) for query in self.lookup.queries]

    def __str__(self) -> str:
        addresses = ", ".join(self.addresses) or "not found"
        return f"{self.lookup.name} in {self.place}: {addresses}\n" + plain_grid(
            ("TYPE", "NAME", "SERVER", "RESULT"), self._rows()
        )

    def _repr_html_(self) -> str:
        queries = self.lookup.queries
        rows = [(str(number), *row) for number, row in enumerate(self._rows(), 1)]
        marks = [WELL if any(address in query.result for address in self.addresses) else LOST for query in queries]
        addresses = ", ".join(self.addresses)
        return card(
            self.lookup.name, f"looked up in {self.place}",
            banner("found" if addresses else "not found", addresses, GOOD if addresses else BAD),
            table(("#", "type", "name", "server", "result"), rows, marks, numbers=(0,), rigid=(1, 2, 3)),
            note(f"took {self.elapsed_s * 1000:.1f} ms"),
        )  # fmt: skip


def lookup(lab: LabView, where: object, name: str, *, family: int = 0) -> LookupView:
    """Resolve a name on a host or in a container as its C library does, with real DNS packets.

    `family` is 4 or 6; 0 tries IPv4 first, then IPv6. Raises `NotFound` for an unknown host or container.
    """
    directory = directory_of(lab)
    location = location_of(directory, where)
    clock = lab.clock
    begun_ns = clock.now_ns
    lookups: list[Lookup] = []

    async def resolve(process: Process) -> int:
        lookups.append(await look_up(process, name, family=family))
        return 0

    process = location.spawn(resolve, ["getent", "hosts", name])
    clock.run_for(_LIMIT_S, stop=lambda: not process.is_running)
    if not lookups:
        process.kill()
        lookups.append(Lookup(name))
    return LookupView(
        in_file_names(location.label, names_of(directory)), lookups[0], (clock.now_ns - begun_ns) / NS_PER_S
    )
