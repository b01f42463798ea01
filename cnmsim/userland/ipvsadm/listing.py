"""The output of ipvsadm 1.31: virtual services, destinations, connections and rules."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen

from cnmsim.kernel.address import Address, bracketed
from cnmsim.kernel.ipvs import Counters, Destination, Ipvs, IpvsConnection, Service
from cnmsim.kernel.ipvs.service import PROTOCOL_NAMES
from cnmsim.kernel.netfilter.option_values import port_text

BANNER = "IP Virtual Server version 1.2.1 (size=4096)\n"
_METHOD_OPTIONS = {"masq": "-m", "dr": "-g", "tunnel": "-i"}


@frozen
class Format:
    """The options of a listing.

    `is_numeric` prints ports as numbers, `is_sorted` sorts the entries, `is_exact` prints counters without K, M or G.
    """

    is_numeric: bool = False
    is_sorted: bool = True
    is_exact: bool = False


def _endpoint(address: Address, port: int, style: Format) -> str:
    return f"{bracketed(address)}:{_port(port, style)}"


def _port(port: int, style: Format) -> str:
    return port_text(port, is_numeric=style.is_numeric)


def ordered_services(services: Iterable[Service], style: Format) -> list[Service]:
    """Return the services in the order in which the listing prints them."""
    unordered = list(services)
    if not style.is_sorted:
        # The kernel dumps services identified by address before those identified by firewall mark.
        return sorted(unordered, key=lambda service: bool(service.fwmark))
    return sorted(unordered, key=lambda s: (s.fwmark, s.family, s.protocol, s.address, s.port))


def _ordered(destinations: Iterable[Destination], style: Format) -> list[Destination]:
    unordered = list(destinations)
    return sorted(unordered, key=lambda d: (d.address, d.port)) if style.is_sorted else unordered


def _name(service: Service, style: Format) -> str:
    if service.fwmark:
        return f"FWM  {service.fwmark}{' IPv6' if service.family == 6 else ''}"
    return f"{PROTOCOL_NAMES[service.protocol]}  {_endpoint(service.address, service.port, style)}"


def _number(value: int, style: Format) -> str:
    """Format a counter in nine columns.

    A counter that does not fit is abbreviated with K, M, G or T, unless `style.is_exact` is set.
    """
    if style.is_exact:
        return f"{value:>{max(9, len(str(value)) + 2)}}"
    if value < 100_000_000:
        return f"{value:>9}"
    for unit, divisor, limit in (("K", 10**3, 10**9), ("M", 10**6, 10**11), ("G", 10**9, 10**14)):
        if value < limit:
            return f"{value // divisor:>8}{unit}"
    return f"{value // 10**12:>8}T"


_COLUMNS = "Prot LocalAddress:Port "
_ARROW = "  -> RemoteAddress:Port"
_HEADERS = {
    "": f"{_COLUMNS}Scheduler Flags\n{_ARROW}           Forward Weight ActiveConn InActConn\n",
    "stats": f"{_COLUMNS}              Conns   InPkts  OutPkts  InBytes OutBytes\n{_ARROW}\n",
    "thresholds": f"{_COLUMNS}           Uthreshold Lthreshold ActiveConn InActConn \n{_ARROW}\n",
    "persistent-conn": f"{_COLUMNS}           Weight    PersistConn ActiveConn InActConn \n{_ARROW}\n",
}
#: The line of a destination, for each kind of listing.
_ROWS = {
    "": "  -> {name:<28} {method:<7} {weight:<6} {active:<10} {inactive:<10}\n",
    "thresholds": "  -> {name:<28} {0:<10} {0:<10} {active:<10} {inactive:<10}\n",
    "persistent-conn": "  -> {name:<28} {weight:<9} {0:<11} {active:<10} {inactive:<10}\n",
}


def header(kind: str) -> str:
    """Return the two header lines of a listing.

    `kind` is `stats`, `thresholds`, `persistent-conn`, or "" for the plain listing.
    """
    return _HEADERS[kind]


def service_text(service: Service, kind: str, style: Format) -> str:
    """Format a service and its destinations, one line each. `kind` is the kind of listing, as for `header`."""
    name = _name(service, style)
    if kind == "stats":
        rows = [_counters(name, service.counters, style)]
        for destination in _ordered(service.destinations, style):
            remote = f"  -> {_endpoint(destination.address, destination.port, style)}"
            rows.append(_counters(remote, destination.counters, style))
        return "".join(rows)
    rows = [_row(kind, destination, style) for destination in _ordered(service.destinations, style)]
    return "".join([f"{name} {service.scheduler.name}\n", *rows])


def _row(kind: str, destination: Destination, style: Format) -> str:
    return _ROWS[kind].format(
        0,
        name=_endpoint(destination.address, destination.port, style),
        method=destination.method.title,
        weight=destination.weight,
        active=destination.active,
        inactive=destination.inactive,
    )


def _counters(name: str, counters: Counters, style: Format) -> str:
    values = (
        counters.connections, counters.in_packets, counters.out_packets, counters.in_bytes, counters.out_bytes,
    )  # fmt: skip
    return f"{name:<33}{''.join(_number(value, style) for value in values)}\n"


def connections_text(ipvs: Ipvs, style: Format) -> str:
    """Return the output of `ipvsadm -Lc`, with the oldest connection first."""
    rows = ["IPVS connection entries\npro expire state       source             virtual            destination\n"]
    rows += [_connection(ipvs, connection, style) for connection in ipvs.connections.entries()]
    return "".join(rows)


def _connection(ipvs: Ipvs, connection: IpvsConnection, style: Format) -> str:
    minutes, seconds = divmod(ipvs.remaining_s(connection), 60)
    source = _endpoint(connection.client, connection.client_port, style)
    virtual = _endpoint(connection.virtual, connection.virtual_port, style)
    real = _endpoint(connection.real, connection.real_port, style)
    protocol = PROTOCOL_NAMES[connection.protocol]
    return f"{protocol} {minutes:02}:{seconds:02}  {connection.state.name:<11} {source:<18} {virtual:<18} {real}\n"


def rules_text(services: Iterable[Service], style: Format) -> str:
    """Return the output of `ipvsadm -S`: the arguments of ipvsadm commands that would create the services again."""
    rows = []
    for service in ordered_services(services, style):
        if service.fwmark:
            name = f"-f {service.fwmark}{' -6' if service.family == 6 else ''}"
        else:
            option = PROTOCOL_NAMES[service.protocol][0].lower()
            name = f"-{option} {_endpoint(service.address, service.port, style)}"
        rows.append(f"-A {name} -s {service.scheduler.name}\n")
        for destination in _ordered(service.destinations, style):
            real = _endpoint(destination.address, destination.port, style)
            tunnel = " --tun-type ipip" if destination.method.value == "tunnel" else ""
            rows.append(
                f"-a {name} -r {real} {_METHOD_OPTIONS[destination.method.value]} -w {destination.weight}{tunnel}\n"
            )
    return "".join(rows)
