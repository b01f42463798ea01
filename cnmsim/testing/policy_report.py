"""The report of a policy's checks: a table and sentences, HTML, JSON and JUnit XML."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

from attrs import frozen

from cnmsim.observe.display import Displayable, wrapped
from cnmsim.observe.trace.table import plain_grid
from cnmsim.observe.trace.trace import Trace

_COLUMNS = ("FROM", "TO", "PORT", "EXPECTED", "RESULT")
#: The kinds of checks whose row in the table already says what their message says.
_PLAIN = frozenset({"deny", "outside"})


@frozen
class Finding:
    """The result of one check of a policy: whether it `passed`, and what it checked.

    `kind` is the kind of check, for example `deny` or `require`; `subject` is the connection, for example `web ->
    db:5432`. `found` is the observation: the verdict of a probe, the endpoints reached, or the addresses of a name.
    If the check failed, `message` states the reason, and `evidence` is the trace, or the text of the DNS queries.
    With `skipped` the question could not be asked, and `message` states why; `passed` is then True.
    """

    kind: str
    subject: str
    passed: bool
    message: str = ""
    evidence: Trace | str | None = None
    found: str = ""
    skipped: bool = False

    @property
    def mark(self) -> str:
        """The result as one character; a question that could not be asked has a question mark."""
        return "?" if self.skipped else "✓" if self.passed else "✕"

    @property
    def details(self) -> str:
        """The evidence as text; "" if the check passed."""
        return "" if self.evidence is None else str(self.evidence)

    def details_for(self, width: int) -> str:
        """Return the evidence as text of at most `width` columns; 0 means the default width of a trace."""
        if width and isinstance(self.evidence, Trace):
            return self.evidence.text(width=width)
        return self.details

    def row(self) -> tuple[str, str, str, str, str]:
        """Return the finding as the row of a table: from, to, port, the expectation, and the observation."""
        source, arrow, service = self.subject.partition(" -> ")
        if self.kind in {"names", "unknown_names"}:
            source, _, name = self.subject.partition(": ")
            return source, name, "", "name" if self.kind == "names" else "no name", self.found
        if not arrow:
            return "outside", self.subject, "", "no", self.found
        target, colon, port = service.rpartition(":")
        wanted = "yes" if self.kind == "require" else "no"
        return source, target if colon else service, port if colon else "", wanted, self.found


@frozen(eq=False)
class Report(Displayable):
    """The results of all checks of a policy, in the order of the policy."""

    findings: tuple[Finding, ...]

    @property
    def violations(self) -> tuple[Finding, ...]:
        """The findings that failed."""
        return tuple(finding for finding in self.findings if not finding.passed)

    @property
    def skipped(self) -> tuple[Finding, ...]:
        """The findings whose question could not be asked."""
        return tuple(finding for finding in self.findings if finding.skipped)

    @property
    def summary(self) -> str:
        """The numbers of checks: `12 checked, 1 violated`, with those that could not be asked if there are any."""
        asked = f"{len(self.findings) - len(self.skipped)} checked, {len(self.violations)} violated"
        return f"{asked}, {len(self.skipped)} cannot be asked" if self.skipped else asked

    @property
    def passed(self) -> bool:
        """Whether no check failed."""
        return not self.violations

    def text(self, *, verbose: bool = False, width: int = 0) -> str:
        """Return the report as text: a table of the violations, and the causes of those that have one.

        Checks whose question could not be asked are in the table, too.

        With `verbose` the table contains all checks, and a sentence and the trace of each violation follow. `width`
        is the maximum width in columns; 0 means no limit for the table, and the default width for traces.
        """
        notable = [finding for finding in self.findings if finding.skipped or not finding.passed]
        shown = self.findings if verbose else notable
        lines = [plain_grid(_COLUMNS, [finding.row() for finding in shown], width), ""] if shown else []
        explained = [finding for finding in notable if verbose or finding.kind not in _PLAIN]
        for finding in explained:
            lines += wrapped(finding.message, width) if width else [finding.message]
            lines += ["", finding.details_for(width), ""] if verbose and finding.details else []
        lines += [""] if explained else []
        return "\n".join([*lines, self.summary])

    def __str__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        from cnmsim.observe.views.markup import BAD, GOOD, LOST, banner, card, folded, table

        rows = [(finding.mark, finding.kind, finding.subject, finding.message) for finding in self.findings]
        marks = ["" if finding.passed else LOST for finding in self.findings]
        verdict = banner("holds", self.summary, GOOD) if self.passed else banner("violated", self.summary, BAD)
        walks = [folded(finding.message, finding.details) for finding in self.violations if finding.details]
        return card("policy", "", verdict, table(("", "kind", "subject", "finding"), rows, marks), *walks)

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON-compatible values."""
        return {
            "passed": self.passed,
            "checked": len(self.findings) - len(self.skipped),
            "violated": len(self.violations),
            "skipped": len(self.skipped),
            "findings": [
                {"kind": finding.kind, "subject": finding.subject, "passed": finding.passed,
                 "skipped": finding.skipped, "message": finding.message, "details": finding.details}
                for finding in self.findings
            ],
        }  # fmt: skip

    def to_junit(self) -> str:
        """Return the report as JUnit XML, with a test case for each finding."""
        suite = ET.Element(
            "testsuite",
            name="cnmsim policy",
            tests=str(len(self.findings)),
            failures=str(len(self.violations)),
            errors="0",
            skipped=str(len(self.skipped)),
        )
        for finding in self.findings:
            case = ET.SubElement(suite, "testcase", classname=f"policy.{finding.kind}", name=finding.subject)
            if finding.skipped:
                ET.SubElement(case, "skipped", message=finding.message)
            elif not finding.passed:
                ET.SubElement(case, "failure", message=finding.message).text = finding.details
        root = ET.Element("testsuites")
        root.append(suite)
        ET.indent(root)
        return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"
