"""Candidate fixes for a failed probe. Only candidates that are verified to work are offered (`fixes.fix`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from cnmsim.observe.fixes.changes import AskOther, Change, DeleteRule, steps_of
from cnmsim.observe.fixes.search import FailedProbe, Question
from cnmsim.observe.trace.rule_decision import RuleSet

if TYPE_CHECKING:
    from cnmsim.observe.directory import Directory
    from cnmsim.observe.trace.hops import Hop


@frozen
class FixCandidate:
    """A change that may help, and the probe that should succeed after it."""

    change: Change
    question: Question


def fix_candidates(failed: FailedProbe) -> Iterator[FixCandidate]:
    """Yield candidates for fixes of a failed probe, the best first.

    These are the changes that the diagnosis proposes, and then, if a packet filter rule dropped the packet on which
    the verdict is based, the deletion of this rule.
    """
    finding = failed.walk.finding
    changes = finding.changes if finding is not None else ()
    for change in (*changes, *_deciding_rule(failed)):
        if change.is_applicable:
            yield FixCandidate(change, _question_after(failed, change))


def _question_after(failed: FailedProbe, change: Change) -> Question:
    question = failed.question
    for step in steps_of(change):
        if isinstance(step, AskOther):
            protocol, port = step.protocol or failed.target.protocol, step.port or failed.target.port
            service = "icmp" if protocol == "icmp" else f"{protocol}/{port}"
            if step.host or not question.is_place:
                # The failed probe's target has the name that is looked up, `web`; the question may have a label
                # (`node1:web`).
                question = evolve(question, destination=step.host or failed.target.host, is_place=False)
            question = evolve(question, service=service)
    return question


def _deciding_rule(failed: FailedProbe) -> Iterator[Change]:
    hop = failed.walk.finding.hop if failed.walk.finding is not None else None
    if hop is not None:
        yield from deciding_rule(hop, failed.directory)


def deciding_rule(hop: Hop, directory: Directory) -> Iterator[Change]:
    """Yield the change that deletes the iptables rule which dropped a packet at `hop`.

    Yield nothing if there is no such rule, or if Docker wrote it.
    """
    rule, location = hop.rule, directory.at(hop.place)
    if rule is None or location is None or rule.rule_set is not RuleSet.IPTABLES or not rule.rule:
        return
    if is_dockers_own(rule.rule):
        return
    namespace = ""
    if location.is_container:
        paths = location.machine.namespaces.items()
        namespace = next((path for path, space in paths if space is location.namespace), "")
        if not namespace:
            return
    program = "ip6tables" if hop.is_ipv6 else "iptables"
    yield DeleteRule(location.host, program, rule.table, rule.rule, namespace)


def is_dockers_own(rule: str) -> bool:
    """Return True if Docker wrote the rule, given as iptables-save prints it.

    Docker's rules are those in chains named DOCKER…, except DOCKER-USER, and the rules in table raw that protect a
    container's address.
    """
    words = rule.split()
    if words[1].startswith("DOCKER"):
        return words[1] != "DOCKER-USER"
    return words[1:3] == ["PREROUTING", "-d"] and words[4:6] == ["!", "-i"]
