"""Draw random mutants of four strata by a seed, run the tests that cover each, and print which mutants survive."""

import argparse
import ast
import copy
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from importlib.util import cache_from_source
from pathlib import Path

from attrs import frozen
from coverage import CoverageData

STRATA = ("kernel", "libnetwork", "swarm", "engine")
KILLED = ("killed", "timeout")
COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
TEXT_FUNCTIONS = {"__repr__", "__str__", "__rich__", "_repr_html_", "__format__"}
SKIPPED_CALLS = {"isinstance", "issubclass", "cast", "debug", "info", "warning", "TypeVar", "print", "super"}
#: Fields of a node that hold no behaviour to mutate.
SKIPPED_FIELDS = {
    "annotation",
    "returns",
    "decorator_list",
    "type_params",
    "bases",
    "type_comment",
    "msg",
    "slice_type",
}


@frozen
class Mutant:
    """One change of one file; `function` is False in code that runs at import."""

    path: str
    line: int
    end_line: int
    statement: int
    begin: int
    end: int
    before: str
    after: str
    function: bool

    def __str__(self) -> str:
        """Return file:line and the change on one line."""
        return f"{self.path}:{self.line}: {' '.join(self.before.split())}  ->  {self.after}"


def holds_type_check(node: ast.AST) -> bool:
    """Return whether a node is a type check or a log call, or a statement whose condition holds one."""
    if isinstance(node, ast.If | ast.While):
        return any(holds_type_check(child) for child in ast.walk(node.test))
    function = node.func if isinstance(node, ast.Call) else node
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in SKIPPED_CALLS if isinstance(node, ast.Call) else name == "TYPE_CHECKING"


def changes(node: ast.AST) -> Iterator[ast.AST | str]:
    """Yield the replacements of one node."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in COMPARISONS:
            changed = copy.copy(node)
            changed.ops = [COMPARISONS[type(op)]()]
            yield changed
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield ast.Constant(value + 1)
            yield ast.Constant(value - 1)
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.BoolOp(op=op):
            yield ast.BoolOp(ast.Or() if isinstance(op, ast.And) else ast.And(), node.values)
        case ast.BinOp(op=op, left=left, right=right) if type(op) in ARITHMETIC:
            if not any(
                isinstance(side, ast.JoinedStr) or isinstance(getattr(side, "value", 0), str | bytes)
                for side in (left, right)
            ):
                yield ast.BinOp(left, ARITHMETIC[type(op)](), right)
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            if not isinstance(test, ast.UnaryOp | ast.Compare | ast.BoolOp | ast.Constant):
                yield ast.UnaryOp(ast.Not(), test)
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.AugAssign():
            yield "pass"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield "pass"


def mutants_of(path: str, source: bytes) -> Iterator[Mutant]:
    """Yield every mutant of a file, in the order of its syntax tree."""
    starts = [0]
    for text in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(text))

    def visit(node: ast.AST, statement: int, *, function: bool) -> Iterator[Mutant]:
        if isinstance(node, ast.JoinedStr | ast.Raise | ast.Assert | ast.Import | ast.ImportFrom):
            return
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name in TEXT_FUNCTIONS:
                return
            function = True
        if holds_type_check(node):
            for child in getattr(node, "body", []) if isinstance(node, ast.If | ast.While) else []:
                yield from visit(child, child.lineno, function=function)
            return
        if isinstance(node, ast.stmt):
            statement = node.lineno
        for changed in changes(node):
            target = node.test if isinstance(node, ast.If | ast.While | ast.IfExp) else node
            text = changed if isinstance(changed, str) else f"({ast.unparse(ast.fix_missing_locations(changed))})"
            begin, end = (
                starts[target.lineno - 1] + target.col_offset,
                starts[target.end_lineno - 1] + target.end_col_offset,
            )
            before = source[begin:end].decode()
            yield Mutant(path, target.lineno, target.end_lineno, statement, begin, end, before, text, function)
        for name, value in ast.iter_fields(node):
            if name in SKIPPED_FIELDS:
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from visit(child, statement, function=function)

    yield from visit(ast.parse(source), 1, function=False)


def record(tree: Path, stratum: str, data: Path) -> None:
    """Run a stratum's tests once and record which test covers which line, and the seconds all take."""
    config = data / f"{stratum}.rc"
    config.write_text(f"[run]\nrelative_files = true\nsource = cnmsim/{stratum}\n", encoding="utf-8")
    options = [f"--cov=cnmsim/{stratum}", f"--cov-config={config}", "--cov-context=test", "--cov-report="]
    partial = data / f"{stratum}.partial"
    begin = time.monotonic()
    done = pytest(tree, [*options, f"tests/{stratum}"], None, {"COVERAGE_FILE": str(partial)})
    if done[0] != 0:
        sys.exit(f"tests/{stratum} fails without a mutant:\n{done[1][-3000:]}")
    (data / f"{stratum}.json").write_text(json.dumps({"seconds": time.monotonic() - begin}), encoding="utf-8")
    partial.rename(data / f"{stratum}.coverage")


def pytest(
    tree: Path, arguments: list[str], seconds: float | None, environment: dict[str, str]
) -> tuple[int | None, str]:
    """Run pytest in a tree; return its exit status, None after `seconds`, and its output."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not root", *arguments]
    variables = {**os.environ, "PYTHONPATH": str(tree), **environment}
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=tree, env=variables, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            status: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(0)
        return status, output.read().decode(errors="replace")


def covering_tests(data: CoverageData, mutant: Mutant) -> list[str]:
    """Return the tests that run a mutant's line; for code that runs at import, all that run a line of its file."""
    contexts = data.contexts_by_lineno(mutant.path)
    if mutant.function:
        lines = {*range(mutant.line, mutant.end_line + 1), mutant.statement}
        contexts = {line: contexts.get(line, []) for line in lines}
    return sorted(
        {context.rpartition("|")[0] for of_line in contexts.values() for context in of_line if "|" in context}
    )


def outcome(tree: Path, mutant: Mutant, tests: list[str], seconds: float) -> str:
    """Apply a mutant, run its tests, restore the file; return killed, timeout or survived."""
    if not tests:
        return "survived"
    path = tree / mutant.path
    source = path.read_bytes()
    compiled = Path(cache_from_source(str(path)))
    try:
        compiled.unlink(missing_ok=True)  # two sources of one size and second would share it
        path.write_bytes(source[: mutant.begin] + mutant.after.encode() + source[mutant.end :])
        status, output = pytest(tree, ["-x", *tests], seconds, {})
    finally:
        path.write_bytes(source)
        compiled.unlink(missing_ok=True)
    if status is None:
        return "timeout"
    if status == 0:
        return "survived"
    if status == 5 or (status == 4 and "not found:" in output):
        sys.exit(f"{mutant}\npytest does not find the recorded tests:\n{output[-2000:]}")
    return "killed"


def main() -> None:
    """Draw, run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=200, help="mutants over all strata (200)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--strata", nargs="+", choices=STRATA, default=STRATA)
    parser.add_argument("--timeout", type=float, help="seconds a mutant (60 and three times the recorded run)")
    parser.add_argument("--data", type=Path, help="folder of the recorded coverage, made if it is not there")
    options = parser.parse_args()
    root = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory(prefix="cnmsim-mutants-") as scratch:
        tree = Path(scratch, "tree")
        tree.mkdir()
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=root, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x"], cwd=tree, input=archive, check=True)
        data = options.data or Path(scratch, "data")
        data.mkdir(exist_ok=True)
        totals: dict[str, Counter[str]] = {}
        survivors = []
        for stratum in options.strata:
            if not (data / f"{stratum}.coverage").exists():
                record(tree, stratum, data)
            recorded = CoverageData(str(data / f"{stratum}.coverage"))
            recorded.read()
            seconds = options.timeout or 60 + 3 * json.loads((data / f"{stratum}.json").read_text())["seconds"]
            paths = sorted(path.relative_to(tree) for path in (tree / "cnmsim" / stratum).rglob("*.py"))
            mutants = [mutant for path in paths for mutant in mutants_of(str(path), (tree / path).read_bytes())]
            chosen = random.Random(f"{options.seed} {stratum}").sample(mutants, options.n // len(options.strata))
            totals[stratum] = Counter()
            for mutant in chosen:
                tests = covering_tests(recorded, mutant)
                result = outcome(tree, mutant, tests, seconds)
                totals[stratum][result] += 1
                print(f"{result:8} {len(tests):4} tests  {mutant}", flush=True)
                if result == "survived":
                    survivors.append((mutant, len(tests)))
    print("\nsurvivors:")
    for mutant, tests in survivors:
        print(f"{mutant}  ({f'{tests} tests run it' if tests else 'no test runs it'})")
    for stratum, counts in totals.items():
        dead = sum(counts[result] for result in KILLED)
        share = dead / max(1, counts.total())
        print(
            f"{stratum}: {dead} of {counts.total()} killed ({share:.0%}), {counts['timeout']} of them by the time-out"
        )


if __name__ == "__main__":
    main()
