"""The interpreter of awk: rules, statements, expressions and functions."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cnmsim.kernel.errno_text import strerror
from cnmsim.userland.awk.parser import Node, Program, unescape
from cnmsim.userland.awk.state import ProgramState
from cnmsim.userland.awk.streams import Streams
from cnmsim.userland.awk.values import AwkError, Number, Text, Value, compare, number_of, sprintf, string_of, truth

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

_OPERATIONS: dict[str, Callable[[float, float], float]] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b,
    "%": math.fmod, "^": lambda a, b: float(a**b),
}  # fmt: skip


class _Jump(Exception):
    """Raised by `next`, `break`, `continue`, `return` and `exit` to leave the enclosing statements.

    `kind` is the name of the statement that raised it, `value` the operand of `return` or `exit`, if any.
    """

    def __init__(self, kind: str, value: Value | None = None) -> None:
        self.kind, self.value = kind, value


class Interpreter(ProgramState):
    """Runs a parsed awk program on its input."""

    def __init__(self, process: Process, program: Program) -> None:
        super().__init__(process)
        self.program = program
        self.status = 0
        self._streams = Streams(process)
        self._ranges: set[int] = set()
        self._records: list[str] = []
        self._files: list[str] = []

    # --- running

    async def run(self, operands: list[str]) -> int:
        """Run the program and return its exit status.

        Each operand is a file to read or, in the form `NAME=VALUE`, an assignment to a variable.
        """
        self._files = list(operands)
        try:
            try:
                for action in self.program.begin:
                    await self._execute(action)
                if self.program.rules or self.program.end:
                    await self._main_loop()
            except _Jump as jump:
                self._exit(jump)
            try:
                for action in self.program.end:
                    await self._execute(action)
            except _Jump as jump:
                self._exit(jump)
        finally:
            await self._streams.close_all()
        return self.status

    def _exit(self, jump: _Jump) -> None:
        if jump.kind != "exit":
            raise AwkError(f"{jump.kind} used outside of a loop or function")
        if jump.value is not None:
            self.status = int(number_of(jump.value)) & 255

    async def _main_loop(self) -> None:
        while (record := await self._next_record()) is not None:
            self.set_record(record)
            try:
                for number, (first, second, action) in enumerate(self.program.rules):
                    if await self._matches(number, first, second):
                        if action is None:
                            self.process.write(self.record + self.text("ORS"))
                        else:
                            await self._execute(action)
            except _Jump as jump:
                if jump.kind != "next":
                    raise

    async def _matches(self, number: int, first: Node | None, second: Node | None) -> bool:
        if first is None:
            return True
        if second is None:
            return truth(await self._eval(first))
        if number not in self._ranges:
            if not truth(await self._eval(first)):
                return False
            self._ranges.add(number)
        if truth(await self._eval(second)):
            self._ranges.discard(number)
        return True

    async def _next_record(self) -> str | None:
        while not self._records:
            has_input = bool(self.globals.get("_started"))
            operand = None
            while self._files:
                word = self._files.pop(0)
                name, equals, value = word.partition("=")
                if equals and name.isidentifier():
                    self.globals[name] = Text(unescape(value))
                    continue
                operand = word
                break
            if operand is None:
                if has_input:
                    return None
                operand = "-"
            self.globals["_started"] = 1.0
            self.globals["FNR"] = 0.0
            self.globals["FILENAME"] = Text("" if operand == "-" else operand)
            try:
                data = await self._streams.read(operand)
            except OSError as error:
                raise AwkError(f"{operand}: {strerror(error)}") from None
            self._records = self.split_records(data)
        self.globals["NR"] = number_of(self.value("NR")) + 1
        self.globals["FNR"] = number_of(self.value("FNR")) + 1
        return self._records.pop(0)

    # --- variables

    async def _key(self, keys: list[Node]) -> str:
        texts = [self.to_text(await self._eval(key)) for key in keys]
        return self.text("SUBSEP").join(texts)

    async def _assign(self, target: Node, value: Value) -> Value:
        if target[0] == "var":
            self.set_variable(target[1], value)
        elif target[0] == "field":
            self.set_field(int(number_of(await self._eval(target[1]))), value)
        else:
            self.array(target[1])[await self._key(target[2])] = value
        return value

    # --- statements

    async def _execute(self, node: Node) -> None:
        kind = node[0]
        if kind == "block":
            for statement in node[1]:
                await self._execute(statement)
        elif kind == "expr":
            await self._eval(node[1])
        elif kind in ("print", "printf"):
            await self._print(node)
        elif kind == "if":
            branch = node[2] if truth(await self._eval(node[1])) else node[3]
            if branch is not None:
                await self._execute(branch)
        elif kind == "while":
            while truth(await self._eval(node[1])):
                if not await self._loop_body(node[2]):
                    break
        elif kind == "do":
            while await self._loop_body(node[1]) and truth(await self._eval(node[2])):
                pass
        elif kind == "for":
            await self._for(node)
        elif kind == "forin":
            for key in list(self.array(node[2])):
                await self._assign(node[1], Text(key))
                if not await self._loop_body(node[3]):
                    break
        elif kind == "delete":
            if node[2] is None:
                self.array(node[1]).clear()
            else:
                self.array(node[1]).pop(await self._key(node[2]), None)
        elif kind in ("exit", "return"):
            raise _Jump(kind, await self._eval(node[1]) if node[1] is not None else None)
        elif kind == "nextfile":
            self._records = []
            raise _Jump("next")
        else:
            raise _Jump(kind)

    async def _loop_body(self, body: Node) -> bool:
        """Run a loop's body once. Return False if it executed `break`, so that the loop ends."""
        try:
            await self._execute(body)
        except _Jump as jump:
            if jump.kind == "break":
                return False
            if jump.kind != "continue":
                raise
        return True

    async def _for(self, node: Node) -> None:
        if node[1] is not None:
            await self._execute(node[1])
        while node[2] is None or truth(await self._eval(node[2])):
            if not await self._loop_body(node[4]):
                break
            if node[3] is not None:
                await self._execute(node[3])

    async def _print(self, node: Node) -> None:
        values = [await self._eval(argument) for argument in node[1]]
        if node[0] == "printf":
            if not values:
                raise AwkError("Too few arguments")
            text = sprintf(self.to_text(values[0]), values[1:], self.to_text)
        else:
            form = self.text("OFMT")
            shown = [string_of(value, form) for value in values] if values else [self.record]
            text = self.text("OFS").join(shown) + self.text("ORS")
        data = text.encode(errors="surrogateescape")
        if node[2] is None:
            self.process.write(data)
            return
        await self._streams.write(node[2][0], self.to_text(await self._eval(node[2][1])), data)

    # --- expressions

    async def _eval(self, node: Node) -> Value:
        kind = node[0]
        if kind in ("num", "str"):
            value: Value = node[1]
            return value
        if kind == "var":
            return self.value(node[1])
        if kind == "field":
            return self.field(int(number_of(await self._eval(node[1]))))
        if kind == "group":
            return await self._eval(node[1])
        if kind == "index":
            return self.array(node[1]).setdefault(await self._key(node[2]), "")
        if kind == "regex":
            return float(self.regex(node[1]).search(self.record) is not None)
        if kind == "cat":
            left = self.to_text(await self._eval(node[1]))
            return left + self.to_text(await self._eval(node[2]))
        method: Callable[[Node], Any] = getattr(self, f"_eval_{kind}", self._unexpected)
        result: Value = await method(node)
        return result

    async def _unexpected(self, _: Node) -> Value:
        raise AwkError("Unexpected token")

    async def _eval_math(self, node: Node) -> Value:
        left, right = number_of(await self._eval(node[2])), number_of(await self._eval(node[3]))
        return self._calculate(node[1], left, right)

    def _calculate(self, operator: str, left: float, right: float) -> float:
        if operator in "/%" and not right:
            raise AwkError("Division by zero")
        try:
            return _OPERATIONS[operator](left, right)
        except OverflowError:
            return math.inf

    async def _eval_neg(self, node: Node) -> Value:
        return -number_of(await self._eval(node[1]))

    async def _eval_pos(self, node: Node) -> Value:
        return number_of(await self._eval(node[1]))

    async def _eval_not(self, node: Node) -> Value:
        return float(not truth(await self._eval(node[1])))

    async def _eval_and(self, node: Node) -> Value:
        return float(truth(await self._eval(node[1])) and truth(await self._eval(node[2])))

    async def _eval_or(self, node: Node) -> Value:
        return float(truth(await self._eval(node[1])) or truth(await self._eval(node[2])))

    async def _eval_cond(self, node: Node) -> Value:
        return await self._eval(node[2] if truth(await self._eval(node[1])) else node[3])

    async def _eval_cmp(self, node: Node) -> Value:
        left, right = await self._eval(node[2]), await self._eval(node[3])
        return float(compare(node[1], left, right, self.to_text))

    async def _eval_match(self, node: Node) -> Value:
        text = self.to_text(await self._eval(node[2]))
        return float((self.regex(await self._pattern(node[3])).search(text) is not None) != node[1])

    async def _eval_in(self, node: Node) -> Value:
        return float(await self._key(node[1]) in self.array(node[2]))

    async def _eval_assign(self, node: Node) -> Value:
        value = await self._eval(node[3])
        if node[1]:
            value = self._calculate(node[1], number_of(await self._eval(node[2])), number_of(value))
        return await self._assign(node[2], value)

    async def _eval_incr(self, node: Node) -> Value:
        before = number_of(await self._eval(node[3]))
        after = before + (1 if node[2] == "+" else -1)
        await self._assign(node[3], after)
        return after if node[1] else before

    async def _eval_call(self, node: Node) -> Value:
        function = self.program.functions.get(node[1])
        if function is None:
            raise AwkError("Call to undefined function")
        parameters, body = function
        frame: dict[str, Any] = dict.fromkeys(parameters)
        for name, argument in zip(parameters, node[2], strict=False):
            if argument[0] == "var":
                frame[name] = self.scope(argument[1]).get(argument[1])
                if frame[name] is None and name in _arrays_in(body):
                    frame[name] = self.array(argument[1])
            else:
                frame[name] = await self._eval(argument)
        self.locals.append(frame)
        try:
            await self._execute(body)
        except _Jump as jump:
            if jump.kind != "return":
                raise
            return jump.value if jump.value is not None else ""
        finally:
            self.locals.pop()
        return ""

    async def _eval_getline(self, node: Node) -> Value:
        if node[1] == "":
            record = await self._next_record()
        else:
            name = self.to_text(await self._eval(node[2]))
            try:
                lines = await self._streams.lines(name, node[1], self.split_records)
            except OSError:
                return -1.0
            record = lines.pop(0) if lines else None
            if record is not None and node[1] == "|":
                self.globals["NR"] = number_of(self.value("NR")) + 1
        if record is None:
            return 0.0
        if node[3] is None:
            self.set_record(record)
        else:
            await self._assign(node[3], Text(record))
        return 1.0

    # --- functions

    async def _pattern(self, node: Node) -> str:
        return node[1] if node[0] == "regex" else self.to_text(await self._eval(node))

    async def _eval_builtin(self, node: Node) -> Value:
        name, arguments = node[1], node[2]
        if name in ("sub", "gsub"):
            return await self._substitute(arguments, is_global=name == "gsub")
        if name == "split":
            return await self._split_function(arguments)
        if name == "length" and arguments and arguments[0][0] == "var":
            present = self.scope(arguments[0][1]).get(arguments[0][1])
            if isinstance(present, dict):
                return float(len(present))
        if name == "match":
            text = self.to_text(await self._eval(arguments[0]))
            found = self.regex(await self._pattern(arguments[1])).search(text)
            self.globals["RSTART"] = float(found.start() + 1 if found else 0)
            self.globals["RLENGTH"] = float(found.end() - found.start() if found else -1)
            return self.value("RSTART")
        values = [await self._eval(argument) for argument in arguments]
        if name == "system":
            self.process.write("")
            return float(await self._streams.start_shell(self.to_text(values[0])).exited)
        if name == "close":
            return float(await self._streams.close(self.to_text(values[0])))
        return self._call_plain(name, values)

    def _call_plain(self, name: str, values: list[Value]) -> Value:
        texts = [self.to_text(value) for value in values]
        if name == "length":
            return float(len(texts[0] if texts else self.record))
        if name == "substr":
            return _substr(texts[0], [number_of(value) for value in values[1:]])
        if name == "index":
            return float(texts[0].find(texts[1]) + 1)
        if name in ("tolower", "toupper"):
            return texts[0].lower() if name == "tolower" else texts[0].upper()
        if name == "sprintf":
            return sprintf(texts[0], values[1:], self.to_text)
        if name == "int":
            return float(math.trunc(number_of(values[0])))
        if name in ("rand", "srand"):
            return self.process.machine.random.random() if name == "rand" else 0.0
        if name == "systime":
            return float(self.process.clock.unix_s)
        if name == "strftime":
            seconds = number_of(values[1]) if len(values) > 1 else self.process.clock.unix_s
            return time.strftime(texts[0] if texts else "%c", time.gmtime(seconds))
        if name == "fflush":
            return 0.0
        # Debian's busybox is built without a mathematical library.
        raise AwkError("Math support is not compiled in")

    async def _substitute(self, arguments: list[Node], *, is_global: bool) -> Value:
        pattern = self.regex(await self._pattern(arguments[0]))
        replacement = self.to_text(await self._eval(arguments[1]))
        target = arguments[2] if len(arguments) > 2 else ("field", ("num", 0.0))
        text = self.to_text(await self._eval(target))

        def value(match: re.Match[str]) -> str:
            parts = re.sub(r"\\(&|\\)|&", lambda part: part[1] or "\0", replacement)
            return parts.replace("\0", match[0])

        changed, count = pattern.subn(value, text, count=0 if is_global else 1)
        if count:
            await self._assign(target, changed)
        return float(count)

    async def _split_function(self, arguments: list[Node]) -> Value:
        text = self.to_text(await self._eval(arguments[0]))
        array = self.array(arguments[1][1])
        array.clear()
        if len(arguments) > 2:
            separator = await self._pattern(arguments[2])
            parts = (
                self.regex(separator).split(text) if arguments[2][0] == "regex" and text
                else self.split_text(text, separator)
            )  # fmt: skip
        else:
            parts = self.split_text(text, self.text("FS"))
        for number, part in enumerate(parts, 1):
            array[str(number)] = Text(part)
        return float(len(parts))


def _arrays_in(node: Any) -> set[str]:
    """Return the names that the function body `node` uses as arrays.

    They matter because awk passes arrays to functions by reference.
    """
    names: set[str] = set()
    if isinstance(node, tuple):
        if node and node[0] in ("index", "delete"):
            names.add(node[1])
        elif node and node[0] in ("in", "forin"):
            names.add(node[2])
        elif node and node[0] == "builtin" and node[1] == "split" and len(node[2]) > 1:
            names.add(node[2][1][1])
    if isinstance(node, (tuple, list)):
        for item in node:
            names |= _arrays_in(item)
    return names


def _substr(text: str, numbers: list[Number]) -> str:
    start = round(numbers[0])
    end = len(text) + 1 if len(numbers) < 2 else start + round(numbers[1])
    return text[max(start, 1) - 1 : max(end - 1, 0)]
