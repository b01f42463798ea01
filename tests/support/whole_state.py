"""Everything of a Docker host that a user can see, as one value to compare: what a failed call must not change.

Unlike `cnmsim.testing.snapshot`, it includes answers of the API, events, files and the order of rules. Left out are
the daemon's log, the next index of a device, and the cursors of host ports, VXLAN ids and swarm ports. A real engine
releases what a failed call allocated, but never moves a cursor back (moby `portallocator.go`, ReleasePort;
`bitmap/sequence.go`, Unset).
"""

import json

from cnmsim.engine.wire.filters import Filters
from cnmsim.userland.ip.device import flags_of

#: What changes by itself: times, and counts of what the caller itself opens.
_VOLATILE = frozenset({"SystemTime", "NEventsListener", "NFd", "NGoroutines", "Status", "Log"})


def whole_state(host):
    """Return the state of a Docker host as a dictionary from a place to its text."""
    state = {}
    machine, engine = host.machine, host.docker
    for space in [machine.root, *machine.namespaces.values()]:
        for kind, text in _namespace(space):
            state[f"{space.name} {kind}"] = text
    state["processes"] = "\n".join(sorted(" ".join(process.argv) for process in machine.processes.values()))
    for path, inode in machine.files.root.walk():
        if path != "/var/log/syslog":  # the daemon logs its errors
            state[f"file {path}"] = _file(inode)
    for kind, value in _allocators(engine):
        state[f"allocator {kind}"] = str(value)
    for number, event in enumerate(engine.backend.context.events.select(None, None, Filters())):
        state[f"event {number}"] = f"{event.type} {event.action} {event.attributes.get('name', event.actor)}"
    for target, answer in _answers(engine):
        state[f"GET {target}"] = json.dumps(_lasting(answer), indent=1, sort_keys=True)
    return state


def difference(before, after):
    """Return the lines that differ between two states, each with its place."""
    lines = []
    for place in sorted(before.keys() | after.keys()):
        old, new = before.get(place), after.get(place)
        if old != new:
            olds, news = ([] if text is None else text.split("\n") for text in (old, new))
            changed = [f"- {place}: {line}" for line in olds if line not in news]
            changed += [f"+ {place}: {line}" for line in news if line not in olds]
            lines += changed or [f"! {place}: in another order"]
    return lines


def _namespace(space):
    for device in space.devices.values():
        yield (
            f"link {device.name}",
            f"{device.index} {device.kind} {flags_of(device)} mtu {device.mtu} mac {device.mac.hex(':')}",
        )
        yield f"master of {device.name}", getattr(device.master, "name", "none")
        yield (
            f"addresses of {device.name}",
            "\n".join(
                f"{address} {address.scope} {address.flags if hasattr(address, 'flags') else ''}"
                for address in device.addresses
            ),
        )
    for family, table in (("4", space.routes4), ("6", space.routes6)):
        yield f"routes {family}", "\n".join(map(str, table.routes))
    for family in (4, 6):
        yield f"iptables-save {family}", space.netfilter.iptables(family).save()
    yield "nft", space.netfilter.rules_outside_iptables_nft()
    listeners = space.sockets.listeners()
    yield (
        "listeners",
        "\n".join(sorted(f"{each.protocol} {each.local} {each.local_port} {each.program}" for each in listeners)),
    )


def _file(inode):
    target = getattr(inode, "target", None)
    content = getattr(inode, "content", b"") if target is None else target
    return f"{inode.mode:o} {inode.uid}:{inode.gid} {content!r}"


def _allocators(engine):
    controller = engine.controller
    for name, ipam in controller.ipams.items():
        yield (
            f"addresses {name}",
            "\n".join(map(repr, (getattr(ipam, "_spaces", None), getattr(ipam, "_predefined", None)))),
        )
    yield "ports", {key: sorted(table.used) for key, table in controller.allocator._tables.items() if table.used}
    manager_node = engine.cluster.manager_node
    allocator = manager_node.manager.allocator if manager_node is not None else None
    if allocator is not None:
        networks, ports = allocator.networks, allocator.ports
        yield "VXLAN ids", networks.vnis._taken
        yield "swarm addresses", {id_: sorted(state.endpoints) for id_, state in networks._networks.items()}
        for protocol, space in ports._spaces.items():
            yield f"swarm ports {protocol}", (space.all._taken, space.dynamic._taken)
    yield "bound ports", [str(bound.binding) for bound in controller.allocator.bound]


def _answers(engine):
    rest = engine.rest
    info = rest.system.info(engine.api_version)
    yield "/info", info
    yield "/images/json", rest.images.list({})
    yield "/volumes", rest.volumes.list({})
    containers = rest.containers.list({"all": "1"})
    yield "/containers/json", containers
    for each in containers:
        shown = rest.containers.inspect(each["Id"], {}, engine.api_version)
        yield f"/containers/{each['Names'][0]}/json", shown
        for identity in shown["ExecIDs"] or ():
            yield f"/exec/{identity}/json", rest.execs.inspect(identity)
        yield f"/containers/{each['Names'][0]}/changes", rest.containers.changes(each["Id"])
    networks = rest.networks.list({})
    for each in networks:
        yield f"/networks/{each['Name']}", rest.networks.inspect(each["Id"], {"verbose": "1"})
    if info["Swarm"]["ControlAvailable"]:
        yield from _swarm_answers(engine)


def _swarm_answers(engine):
    rest = engine.rest
    yield "/swarm", engine.complete(rest.swarm.inspect())
    for kind in ("nodes", "services", "tasks", "secrets", "configs"):
        for each in engine.complete(getattr(rest, kind).list({})):
            yield f"/{kind}/{each['ID']}", each


def _lasting(value):
    if isinstance(value, dict):
        return {name: _lasting(item) for name, item in value.items() if name not in _VOLATILE}
    if isinstance(value, list):
        return [_lasting(item) for item in value]
    return value
