"""The `cnmsim` command.

The exit status of `trace` and `explain` is 0 if the destination was reached, 1 if not, 2 for wrong arguments or a
wrong file. The verdict `path open` (the packets arrive, but it is not known whether a program listens) counts as
reached, unless `--strict` is given.
"""

from __future__ import annotations

import atexit
import gc
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cnmsim import __version__
from cnmsim.api.commands import add_commands
from cnmsim.api.control_commands import explain_served, trace_served
from cnmsim.cli_arguments import LabCommand, Question, probe_options, question_options
from cnmsim.cli_fix import fix_faults, fix_question
from cnmsim.cli_loading import FILE, lab_options, load
from cnmsim.cli_output import echo_json, plain_width, progress, say, say_fix, screen_width, show_walk, trying
from cnmsim.printable import echo

if TYPE_CHECKING:
    from cnmsim.lab import Lab
    from cnmsim.observe.diagnosis.verdict import Verdict
    from cnmsim.observe.directory import Directory
    from cnmsim.observe.location import Location
    from cnmsim.observe.trace.trace import Trace

#: The number of objects after which the cycle collector runs: about 100 MB of them, so `serve` stays small.
_GC_THRESHOLD = 1_000_000


_SERVED = {"trace": trace_served, "explain": explain_served}


class _Commands(click.Group):
    """The command group. With `--dir`, `trace` and `explain` query a served lab instead of reading a file."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] in _SERVED and any(word.partition("=")[0] == "--dir" for word in args[1:]):
            return args[0], _SERVED[args[0]], args[1:]
        return super().resolve_command(ctx, args)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cnmsim", message="%(prog)s %(version)s")
def cli() -> None:
    """Docker networking without Docker: which service of a Compose file reaches which, and why."""


@cli.command(cls=LabCommand)
@lab_options
@question_options
@click.option("--pcap", type=click.Path(dir_okay=False, path_type=Path), help="Write a pcapng file of all devices.")
@click.option("--mermaid", is_flag=True, help="Print a mermaid sequence diagram.")
@click.pass_context
def trace(context: click.Context, lab: Lab, question: Question, pcap: Path | None, mermaid: bool) -> None:
    """Send real packets from SRC to DST and show whether they arrive, by what, and their path.

    SRC is a service, container or host; DST a name, address or URL. Without PORT it is an echo request.

    \b
        cnmsim trace compose.yml web db:5432
        cnmsim trace compose.yml client http://host:8080/
        cnmsim trace lab.yml node1 server:53/udp --pcap dns.pcapng
        cnmsim trace --dir DIR web db:5432    (in a served lab, as it is now)
    """  # noqa: D301 - click's own mark
    from cnmsim.observe.trace.tracer import capture as start_capture
    from cnmsim.observe.trace.tracer import trace as run_trace

    capture = start_capture(lab, "*") if pcap else None
    with progress(f"{question.source} → {question.destination}"):
        walk = run_trace(lab, question.source, question.destination, **question.options)
    if capture is not None and pcap is not None:
        capture.stop()
        capture.save(pcap, walk)
    if question.as_json:
        echo_json(walk.to_json())
    elif mermaid:
        echo(walk.to_mermaid(), nl=False)
    else:
        _show(walk, question.verbosity)
    if capture is not None and not question.as_json:
        echo(f"{len(capture)} frames of {len(capture.points)} devices written to {pcap}", err=True)
    context.exit(_status(lab, is_reachable=walk.is_reachable, verdict=walk.verdict))


def _show(walk: Trace, verbosity: int) -> None:
    """Print the answer of a trace, and its table of hops if `verbosity` is 1 or more."""
    for part in trying(walk.summary_parts(screen_width() or plain_width())):
        say(part)
    if verbosity:
        show_walk(walk, verbosity)


@cli.command(cls=LabCommand)
@lab_options
@question_options
@click.option("--fixes", is_flag=True, help="Show the fixes that worked on a copy of the lab.")
@click.pass_context
def explain(context: click.Context, lab: Lab, question: Question, fixes: bool) -> None:
    """Show whether SRC reaches DST, and what decides it. The exit status is that of `trace`.

    \b
        cnmsim explain compose.yml web db:5432
        cnmsim explain compose.yml web db:5432 --fixes
        cnmsim explain --dir DIR web db:5432    (in a served lab, as it is now)
    """  # noqa: D301 - click's own mark
    with progress(f"{question.source} → {question.destination}"):
        explanation = lab.explain(question.source, question.destination, **question.options)
    if question.as_json:
        shown = explanation.to_json() | ({"fixes": [fix.to_json() for fix in explanation.fixes]} if fixes else {})
        echo_json(shown)
    else:
        for part in trying(explanation.parts(screen_width() or plain_width())):
            say(part)
        with progress("trying fixes on a copy of the lab"):
            working = explanation.fixes if fixes else ()
        for fix in working:
            say_fix("works" if fix.was_tried else "not tried", fix)
        if fixes and not working and not explanation.reachable:
            say("\nno fix that was tried works")
        if question.verbosity:
            show_walk(explanation.trace, question.verbosity)
    context.exit(_status(lab, is_reachable=explanation.reachable, verdict=explanation.verdict))


@cli.command(cls=LabCommand)
@lab_options
@partial(question_options, is_optional=True)
@click.option("--write", is_flag=True, help="Write the fix to the file.")
@click.pass_context
def fix(context: click.Context, lab: Lab, question: Question, write: bool) -> None:
    """Show edits of FILE after which SRC reaches DST, as unified diffs; without SRC and DST, the doctor's fixes.

    Each fix was tried on a copy of the lab, and each edit of FILE on a lab built from the edited FILE. A fix that no
    edit of FILE can express is shown as commands. With SRC and DST, --write writes the first fix that is an edit;
    without them, the fixes of all errors and warnings. If the engine refuses FILE, the fix is an edit after which the
    engine accepts it.

    Exit status: 0 if there is nothing to fix or there are fixes, 1 if there is none for the failed probe, or for an
    error or a warning, 2 for wrong arguments or a wrong file; with --write, 1 also if a fix is no edit of FILE.

    \b
        cnmsim fix compose.yml
        cnmsim fix compose.yml web db:5432
        cnmsim fix compose.yml web db:5432 --write
        cnmsim fix compose.yml web db:5432 | patch -p0
    """  # noqa: D301 - click's own mark
    if question.source and question.destination:
        context.exit(fix_question(lab, question, write=write))
    if question.source:
        raise click.UsageError(f"from {question.source} to where? Add DST[:PORT], or leave SRC out, too", context)
    context.exit(fix_faults(lab, as_json=question.as_json, write=write))


def _status(lab: Lab, *, is_reachable: bool, verdict: Verdict | None) -> int:
    """Return the exit status of `trace` and `explain`: 0 if the destination was reached, else 1.

    With `--strict` in the lab's options, the verdict "path open" does not count as reached.
    """
    is_open = verdict is not None and verdict.value == "path open"
    return 0 if is_reachable and not (is_open and lab.images.is_strict) else 1


@cli.command(cls=LabCommand)
@lab_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor(context: click.Context, lab: Lab, as_json: bool) -> None:
    """List the latent faults of a lab, a Compose file or (with --stack) a stack file, most severe first.

    Exit status: 0 if there are none or only notes, 1 if there are warnings or errors, 2 if FILE is wrong.

    \b
        cnmsim doctor compose.yml
        cnmsim doctor --stack stack.yml --managers 1 --workers 4
    """  # noqa: D301 - click's own mark
    checkup = lab.doctor()
    if as_json:
        echo_json(checkup.to_json())
    else:
        say(checkup.text(screen_width() or plain_width()))
    context.exit(0 if checkup else 1)


@cli.command(cls=LabCommand)
@lab_options
@click.option("--policy", "policy_file", type=FILE, required=True, help="The policy file (docs/policy.md).")
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="Write a JUnit report to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("-v", "--verbose", is_flag=True, help="Show all checks, and the walk of each violation.")
@click.pass_context
def check(
    context: click.Context, lab: Lab, policy_file: Path, junit: Path | None, as_json: bool, verbose: bool
) -> None:
    """Verify FILE against a policy of allowed connections; all others must fail.

    Exit status: 0 if the policy holds, 1 if not, 2 if a file is wrong.

    \b
        cnmsim check compose.yml --policy policy.yml --junit report.xml
    """  # noqa: D301 - click's own mark
    from cnmsim.testing.policy import check_policy

    with progress("checking the policy"):
        report = check_policy(lab, policy_file)
    if junit is not None:
        junit.write_text(report.to_junit(), encoding="utf-8")
    if as_json:
        echo_json(report.to_json())
    else:
        say(report.text(verbose=verbose, width=screen_width()))
    context.exit(0 if report.passed else 1)


@cli.command(cls=LabCommand)
@lab_options
@click.argument("sources", nargs=-1, metavar="[SRC]...")
@click.option("--port", metavar="PORT", help="Probe this port of every container, not those on which they listen.")
@probe_options
@click.option("-v", "--verbose", is_flag=True, help="Show the cause of each failure, and all assumptions.")
def reachability(
    lab: Lab, sources: tuple[str, ...], port: str | None, protocol: str | None, family: int, timeout: float,
    as_json: bool, verbose: bool,
) -> None:  # fmt: skip
    """Show which containers of FILE reach which, by real probes: from all of them, or from SRC.

    Probes go by name to each port on which a container listens (by TCP, or with --udp by UDP). Published ports and
    addresses outside are not probed; use `trace` for them.

    \b
        cnmsim reachability compose.yml
        cnmsim reachability compose.yml web worker --port 5432
    """  # noqa: D301 - click's own mark
    from cnmsim.observe.reachability.matrix_text import matrix_text

    with progress("probing all pairs"):
        matrix = lab.reachability(
            list(sources) or None, port=port, protocol=protocol or "tcp", family=family, timeout_s=timeout
        )
    if as_json:
        echo_json(matrix.to_json())
    else:
        say(matrix_text(matrix, screen_width(), verbose=verbose))


@cli.command("ls", cls=LabCommand)
@lab_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_lab(lab: Lab, as_json: bool) -> None:
    """List the hosts, networks and containers of FILE with their addresses."""
    from cnmsim.observe.inventory import inventory, inventory_text

    if as_json:
        echo_json(inventory(lab))
    else:
        say(inventory_text(lab, width=screen_width()))


@cli.command(
    "exec", cls=LabCommand, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@lab_options
@click.argument("container")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_context
def exec_(context: click.Context, lab: Lab, container: str, command: tuple[str, ...]) -> None:
    """Run a command in a container (or on a host) of FILE and exit with its status.

    \b
        cnmsim exec compose.yml web -- nslookup db
        cnmsim exec compose.yml host -- iptables-save -t nat
    """  # noqa: D301 - click's own mark
    # The command has options of its own: click leaves the separator before them in place.
    words = list(command[1:] if command[0] == "--" else command)
    location = _find(lab, container)
    if not location.is_container:
        done = lab.host(location.name).exec(words)
        click.echo(done.output, nl=False)
        context.exit(done.status)
    engine = lab.host(location.host).docker
    status, output = engine.containers.get(location.id).exec_run(words)
    click.echo(output, nl=False)
    context.exit(status or 0)


@cli.command(cls=LabCommand)
@lab_options
@click.argument("host")
@click.option("-t", "--table", type=click.Choice(["raw", "mangle", "nat", "filter"]), help="Print this table only.")
@click.option("-6", "is_v6", is_flag=True, help="Print ip6tables' rules instead.")
def iptables(lab: Lab, host: str, table: str | None, is_v6: bool) -> None:
    """Print the packet filter of a host (or a container) of FILE as iptables-save does."""
    tables = _find(lab, host).namespace.netfilter.iptables(6 if is_v6 else 4)
    echo(tables.save(table).rstrip("\n"))


def _find(lab: Lab, name: str) -> Location:
    from cnmsim.observe.trace.tracer import directory_of

    directory: Directory = directory_of(lab)
    return directory.find(name)


# Clients of a served lab compare its time of day with their own. A lab file's engines begin as the recorded ones did.
add_commands(cli, lambda file, engine: load((file,), engine, epoch_s=int(time.time()), images="recorded"))


def main() -> None:
    """Run the command line.

    Python's cycle collector is run less often, and not at the end: what a command creates lives until the process
    ends, and examining it again and again would take a quarter of the time of a short command.
    """
    if hasattr(gc, "freeze"):  # PyPy's collector has neither
        gc.set_threshold(_GC_THRESHOLD)
        atexit.register(gc.freeze)
    cli()
