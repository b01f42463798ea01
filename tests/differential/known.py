"""Differences between an engine and cnmsim that are no fault, each with its reason."""

from __future__ import annotations

from attrs import frozen


@frozen
class Known:
    """Of commands that match `command`, the parts of the output that match `ignored` may differ, for `reason`.

    A group of `ignored` is compared all the same. With `is_a_set` the lines may also come in any order. `command` and
    `ignored` are regular expressions.
    """

    command: str
    ignored: str
    reason: str
    is_a_set: bool = False


KNOWN = (
    Known(
        r"docker run -d",
        r"(?m)^<id:\d+>$",
        "the command prints the id beside the error of the start, and may end first",
    ),
    Known(
        r"^ip route", r" linkdown", "Linux reports that a bridge lost its carrier up to a second later (linkwatch)"
    ),
    Known(
        r"docker (start|restart|inspect)",
        r"(?:could not find a network matching network mode \S+: )?network \S+ not found",
        "a start joins the networks in the order of a Go map, and names the first that is gone; if another one came "
        "before it, what is looked up is the network mode",
    ),
    Known(
        r"docker (run|start|restart|exec|inspect)",
        r"(?m)(OCI runtime .*): unknown(?=\.?$)",
        "Debian's containerd 1.7, with which all engines are played, appends the name of the gRPC code",
    ),
    Known(r"dangling", r"\[200\]", "the list of networks has no order; only its status is compared"),
    Known(
        r"ping ",
        r"(?m)^(?:PING|64 bytes|ping:).*\(\d+\.\d+\.\d+\.\d+\).*$",
        "a name on several networks has several addresses",
    ),
)
