"""Draw random mutants of four strata by a seed, run the tests that cover each, and print which mutants survive."""

import argparse
import ast
import contextlib
import copy
import gc
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from importlib.util import cache_from_source
from inspect import CO_OPTIMIZED
from itertools import accumulate
from pathlib import Path
from types import CodeType, FunctionType

import pytest
from attrs import frozen
from coverage import CoverageData

STRATA = ("kernel", "libnetwork", "swarm", "engine")
#: The folders of each stratum's tests. tests/cnm tests libnetwork through its public face.
SUITES = {stratum: [f"tests/{stratum}"] for stratum in STRATA}
SUITES["libnetwork"].append("tests/cnm")
KILLED = ("killed", "timeout")
OPTIONS = ("-q", "-p", "no:cacheprovider", "-m", "not root")
#: A line of `pytest --durations=0 -vv`.
DURATION = re.compile(r"([0-9.]+)s (?:setup|call|teardown) +(.*)")
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
        if isinstance(node, ast.keyword) and node.arg == "repr":
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
    """Run a stratum's tests once and record which test covers which line, and the seconds of each test."""
    config = data / f"{stratum}.rc"
    config.write_text(f"[run]\nrelative_files = true\nsource = cnmsim/{stratum}\n", encoding="utf-8")
    options = [f"--cov=cnmsim/{stratum}", f"--cov-config={config}", "--cov-context=test", "--cov-report="]
    options += ["-vv", "--durations=0", "--durations-min=0"]
    partial = data / f"{stratum}.partial"
    status, output = run_pytest(tree, [*options, *SUITES[stratum]], None, {"COVERAGE_FILE": str(partial)})
    if status != 0:
        sys.exit(f"{' '.join(SUITES[stratum])}: failures without a mutant:\n{output[-3000:]}")
    seconds: dict[str, float] = defaultdict(float)
    for line in output.splitlines():
        if match := DURATION.fullmatch(line):
            seconds[match[2]] += float(match[1])
    (data / f"{stratum}.json").write_text(json.dumps(seconds), encoding="utf-8")
    partial.rename(data / f"{stratum}.coverage")


def run_pytest(
    tree: Path, arguments: list[str], seconds: float | None, environment: dict[str, str]
) -> tuple[int | None, str]:
    """Run pytest in a tree; return its exit status, None after `seconds`, and its output."""
    command = [sys.executable, "-m", "pytest", *OPTIONS, *arguments]
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


def covering_tests(data: CoverageData, mutant: Mutant) -> tuple[list[str], bool]:
    """Return the tests that run a mutant's line, or one of its file if it runs at import, and whether it does."""
    contexts = data.contexts_by_lineno(mutant.path)
    lines = {*range(mutant.line, mutant.end_line + 1), mutant.statement}
    at_import = not mutant.function or any("" in contexts.get(line, []) for line in lines)
    chosen = contexts if at_import else {line: contexts.get(line, []) for line in lines}
    tests = {context.rpartition("|")[0] for names in chosen.values() for context in names if "|" in context}
    return sorted(tests), at_import


def imported_names(source: bytes) -> set[str]:
    """Return the dotted names of the modules and objects that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def mutated_function(source: bytes, mutant: Mutant, path: str) -> tuple[CodeType, CodeType] | None:
    """Return the code of the outermost function that holds a mutant, without and with the change."""

    def functions(code: CodeType) -> Iterator[CodeType]:
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                if constant.co_flags & CO_OPTIMIZED:
                    yield constant
                else:
                    yield from functions(constant)  # a class body

    mutated = source[: mutant.begin] + mutant.after.encode() + source[mutant.end :]
    pairs = zip(functions(compile(source, path, "exec")), functions(compile(mutated, path, "exec")), strict=True)
    holders = [pair for pair in pairs if without_lines(pair[0]) != without_lines(pair[1])]
    return holders[0] if len(holders) == 1 and holders[0][0].co_freevars == holders[0][1].co_freevars else None


def without_lines(code: CodeType) -> tuple[object, ...]:
    """Return what a code object does, without its line numbers."""
    constants = tuple(without_lines(c) if isinstance(c, CodeType) else (type(c), c) for c in code.co_consts)
    return code.co_code, code.co_names, constants


class Judge:
    """A pytest plugin: one process collects the tests of all strata, and a fork of it runs those of each mutant.

    The fork replaces the code of the mutant's function. A mutant that runs at import needs a process of its own.
    """

    def __init__(
        self, tree: Path, candidates: list[tuple[Mutant, list[str], bool]], seconds: dict[str, float]
    ) -> None:
        self.tree = tree
        self.candidates = candidates
        self.seconds = seconds
        self.outcomes: list[str] = []
        self.output = os.fdopen(os.dup(1), "w")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Judge every mutant."""
        items = {item.nodeid: item for item in session.items}
        for mutant, tests, at_import in self.candidates:
            begin = time.monotonic()
            outcome = "survived"
            if tests:
                functions = None if at_import else self.functions(mutant)
                if functions is None:
                    outcome = self.in_a_process(mutant, tests)
                else:
                    outcome = self.in_a_fork(*functions, [items[test] for test in tests])
            self.outcomes.append(outcome)
            took = time.monotonic() - begin
            print(f"{outcome:8} {len(tests):4} tests {took:6.1f} s  {mutant}", file=self.output, flush=True)
        return True

    def functions(self, mutant: Mutant) -> tuple[list[FunctionType], CodeType] | None:
        """Return the loaded functions with the code that a mutant changes, and the changed code."""
        path = str(self.tree / mutant.path)
        codes = mutated_function(Path(path).read_bytes(), mutant, path)
        if codes is None:
            return None
        key = (path, codes[0].co_firstlineno, codes[0].co_name)
        loaded = [
            function
            for function in gc.get_objects()
            if isinstance(function, FunctionType)
            and (function.__code__.co_filename, function.__code__.co_firstlineno, function.__code__.co_name) == key
        ]
        return (loaded, codes[1]) if loaded else None

    def in_a_fork(self, functions: list[FunctionType], code: CodeType, items: list[pytest.Item]) -> str:
        """Run tests in a fork whose functions have other code."""
        child = os.fork()
        if not child:
            os.setsid()
            for function in functions:
                function.__code__ = code
            for item, following in zip(items, [*items[1:], None], strict=True):
                signal.setitimer(signal.ITIMER_REAL, self.limit(item.nodeid))  # SIGALRM ends the process
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if item.session.testsfailed:
                    os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # what its tests started
        if os.WIFSIGNALED(status):
            return "timeout" if os.WTERMSIG(status) == signal.SIGALRM else "killed"
        return "killed" if status else "survived"

    def limit(self, test: str) -> float:
        """Return the seconds a test has."""
        return 30 + 10 * self.seconds.get(test, 0)

    def in_a_process(self, mutant: Mutant, tests: list[str]) -> str:
        """Apply a mutant to the file, run its tests in another process, and restore the file."""
        path = self.tree / mutant.path
        source = path.read_bytes()
        compiled = Path(cache_from_source(str(path)))
        try:
            compiled.unlink(missing_ok=True)  # two sources of one size and second would share it
            path.write_bytes(source[: mutant.begin] + mutant.after.encode() + source[mutant.end :])
            seconds = 120 + 5 * sum(self.seconds.get(test, 0) for test in tests)
            status, output = run_pytest(self.tree, ["-x", *tests], seconds, {})
        finally:
            path.write_bytes(source)
            compiled.unlink(missing_ok=True)
        if status == 5 or (status == 4 and "not found:" in output):
            sys.exit(f"{mutant}\npytest does not find the recorded tests:\n{output[-2000:]}")
        return {None: "timeout", 0: "survived"}.get(status, "killed")


def main() -> None:
    """Draw, run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=200, help="mutants over all strata (200)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--strata", nargs="+", choices=STRATA, default=STRATA)
    parser.add_argument(
        "--seconds", type=float, default=60, help="recorded seconds of tests a mutant, fastest first (60)"
    )
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
        candidates = []
        imports = {
            str(path.relative_to(tree)): imported_names(path.read_bytes()) for path in tree.glob("tests/**/*.py")
        }
        seconds: dict[str, float] = {}
        for stratum in options.strata:
            if not (data / f"{stratum}.coverage").exists():
                record(tree, stratum, data)
            recorded = CoverageData(str(data / f"{stratum}.coverage"))
            recorded.read()
            seconds |= json.loads((data / f"{stratum}.json").read_text())
            paths = sorted(path.relative_to(tree) for path in (tree / "cnmsim" / stratum).rglob("*.py"))
            mutants = [mutant for path in paths for mutant in mutants_of(str(path), (tree / path).read_bytes())]
            for mutant in random.Random(f"{options.seed} {stratum}").sample(
                mutants, options.n // len(options.strata)
            ):
                tests, at_import = covering_tests(recorded, mutant)
                module = mutant.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
                naming: set[str] = set()
                if at_import:  # a test of constants runs no line of their module, but its file imports the module
                    suites = tuple(f"{suite}/" for suite in SUITES[stratum])
                    every = [test for test in seconds if test.startswith(suites)]
                    naming = {test for test in every if module in imports.get(test.partition("::")[0], ())}
                    tests = sorted(naming.union(tests)) or every
                tests.sort(key=lambda test: (test not in naming, seconds.get(test, 0)))
                sums = accumulate(seconds.get(test, 0) for test in tests)
                affordable = sum(total <= options.seconds for total in sums)
                candidates.append((mutant, tests[: max(affordable, 1)], at_import))
        judge = Judge(tree, candidates, seconds)
        os.chdir(tree)
        os.environ["PYTHONPATH"] = str(tree)
        sys.path.insert(0, str(tree))
        with Path(scratch, "output").open("w") as output, contextlib.redirect_stdout(output):
            pytest.main(
                [*OPTIONS, f"--basetemp={scratch}/tests", *(suite for s in options.strata for suite in SUITES[s])],
                [judge],
            )
    print("\nsurvivors:")
    totals: dict[str, Counter[str]] = {stratum: Counter() for stratum in options.strata}
    for (mutant, tests, _), outcome in zip(candidates, judge.outcomes, strict=True):
        totals[mutant.path.split("/")[1]][outcome] += 1
        if outcome == "survived":
            print(f"{mutant}  ({f'{len(tests)} tests run it' if tests else 'no test runs it'})")
    for stratum, counts in totals.items():
        dead = sum(counts[result] for result in KILLED)
        share = dead / max(1, counts.total())
        print(
            f"{stratum}: {dead} of {counts.total()} killed ({share:.0%}), {counts['timeout']} of them by the time-out"
        )


if __name__ == "__main__":
    main()
