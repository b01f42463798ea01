"""The sed applet: all commands of POSIX, busybox's address `,+N`, and the options -i, -E, -s and -z."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cnmsim.digits import is_number
from cnmsim.kernel.errno_text import strerror
from cnmsim.userland.busybox.applet import complain, show_usage
from cnmsim.userland.busybox.sed_script import ESCAPES, Address, Command, Parser
from cnmsim.userland.busybox.text_input import read_inputs
from cnmsim.userland.invocation import absolute_path
from cnmsim.userland.libc.getopt import UsageError, getopt

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

_SYNOPSIS = "[-i[SFX]] [-nrE] [-f FILE]... [-e CMD]... [FILE]..."


class _Quit(Exception):
    pass


class _NextCycle(Exception):
    pass


class _Branch(Exception):
    def __init__(self, label: str) -> None:
        self.label = label


class _Editor:
    """Runs a sed script on lines and collects its output."""

    def __init__(self, process: Process, commands: list[Command], lines: list[str], *, is_quiet: bool) -> None:
        self.process, self.commands, self.is_quiet = process, commands, is_quiet
        self._lines: Iterator[str] = iter(lines)
        self._left = len(lines)
        self.number = 0
        self.space = self.hold = ""
        self.output: list[str] = []
        self._appended: list[str] = []
        self._substituted = self._restarts = False
        self._last_pattern: re.Pattern[str] | None = None
        self.status = 0
        self.is_over = False

    def run(self) -> list[str]:
        """Run the script once for each input line. Return the output lines."""
        while self._restarts or self._next_line():
            self._restarts = False
            try:
                self._script()
            except _NextCycle:
                self._flush()
                continue
            except _Quit:
                self.is_over = True
            if not self.is_quiet and self.number >= 0:
                self.output.append(self.space)
            self._flush()
            if self.is_over:
                break
        return self.output

    def _next_line(self) -> bool:
        line = next(self._lines, None)
        if line is None:
            return False
        self.space = line
        self.number += 1
        self._left -= 1
        self._substituted = False
        return True

    def _flush(self) -> None:
        self.output += self._appended
        self._appended = []

    def _script(self) -> None:
        commands = self.commands
        while True:
            try:
                self._run(commands)
            except _Branch as branch:
                if not branch.label:
                    return
                commands = _after(self.commands, branch.label)
                continue
            return

    def _run(self, commands: list[Command]) -> None:
        for command in commands:
            if self._applies(command):
                self._execute(command)

    def _matches(self, address: Address) -> bool:
        if address.pattern is not None:
            return address.pattern.search(self.space) is not None
        return self.number == address.line or (address.line == -1 and not self._left)

    def _applies(self, command: Command) -> bool:
        first, second = command.first, command.second
        if first is None:
            is_match = True
        elif second is None:
            is_match = self._matches(first)
        elif command.until:
            is_match = command.until < 0 or self.number <= command.until
            if (command.until < 0 and self._matches(second)) or 0 < command.until <= self.number:
                command.until = 0
        else:
            is_match = self._matches(first)
            if is_match:
                if second.more:
                    command.until = self.number + max(second.more, 0)
                elif second.line > 0:
                    command.until = second.line
                else:
                    command.until = -1 if self._left else 0
                if 0 < command.until <= self.number:
                    command.until = 0
        return is_match != command.is_negated

    def _execute(self, command: Command) -> None:
        letter = command.letter
        if letter == "{":
            self._run(command.body)
        elif letter == "s":
            self._substitute(command)
        elif letter == "y":
            source, target = (re.sub(r"\\(.)", lambda m: ESCAPES.get(m[1], m[1]), text)
                              for text in (command.text, command.flags))  # fmt: skip
            self.space = self.space.translate({ord(a): b for a, b in zip(source, target, strict=False)})
        elif letter in "gGhHx":
            self._hold(letter)
        elif letter in "pPl=i":
            shown = {
                "p": self.space, "P": self.space.split("\n")[0], "=": str(self.number), "i": command.text,
                "l": self.space.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n") + "$",
            }  # fmt: skip
            self.output.append(shown[letter])
        elif letter == "a":
            self._appended.append(command.text)
        elif letter == "c":
            if command.second is None or not command.until:
                self.output.append(command.text)
            raise _NextCycle
        elif letter == "d":
            raise _NextCycle
        elif letter == "D":
            _, newline, rest = self.space.partition("\n")
            if newline:
                self.space, self._restarts = rest, True
            raise _NextCycle
        elif letter in "nN":
            self._read_next(letter)
        elif letter in "qQ":
            self.status = command.number
            if letter == "Q":
                self.is_quiet = True
            raise _Quit
        elif letter in "btT":
            if letter == "b" or self._substituted == (letter == "t"):
                self._substituted = False
                raise _Branch(command.text)
        elif letter == "r":
            path = absolute_path(self.process, command.text)
            if self.process.files.exists(path):
                self._appended += self.process.files.read(path).decode(errors="surrogateescape").splitlines()
        elif letter == "w":
            self._write(command.text)

    def _hold(self, letter: str) -> None:
        if letter == "x":
            self.space, self.hold = self.hold, self.space
        elif letter == "g":
            self.space = self.hold
        elif letter == "G":
            self.space = f"{self.space}\n{self.hold}"
        elif letter == "h":
            self.hold = self.space
        else:
            self.hold = f"{self.hold}\n{self.space}"

    def _read_next(self, letter: str) -> None:
        before = self.space
        if letter == "n" and self._left and not self.is_quiet:
            self.output.append(before)
        self._flush()
        if not self._next_line():
            raise _Quit
        if letter == "N":
            self.space = f"{before}\n{self.space}"

    def _substitute(self, command: Command) -> None:
        pattern = command.pattern or self._last_pattern
        if pattern is None:
            raise UsageError("no previous regexp")
        self._last_pattern = pattern
        count = 0

        def value(match: re.Match[str]) -> str:
            nonlocal count
            count += 1
            if count < command.number or (count > command.number and "g" not in command.flags):
                return match[0]
            return _replacement(command.text, match)

        changed = pattern.sub(value, self.space)
        if count < command.number:
            return
        self.space, self._substituted = changed, True
        if "p" in command.flags.partition("w")[0]:
            self.output.append(self.space)
        if "w" in command.flags:
            self._write(command.flags.partition("w")[2])

    def _write(self, name: str) -> None:
        if name == "/dev/stdout":
            self.output.append(self.space)
            return
        data = f"{self.space}\n".encode(errors="surrogateescape")
        self.process.files.append(absolute_path(self.process, name), data)


def _replacement(text: str, match: re.Match[str]) -> str:
    def part(found: re.Match[str]) -> str:
        if found[0] == "&":
            return match[0]
        if is_number(found[1]):
            return match[int(found[1])] or "" if int(found[1]) <= (match.re.groups or 0) else ""
        return ESCAPES.get(found[1], found[1])

    return re.sub(r"\\(.)|&", part, text, flags=re.DOTALL)


def _after(commands: list[Command], label: str) -> list[Command]:
    """Return the commands that follow the label `label`. Raises `UsageError` if there is no such label."""
    for number, command in enumerate(commands):
        if command.letter == ":" and command.text == label:
            return commands[number + 1 :]
    raise UsageError(f"can't find label for jump to '{label}'")


async def sed(process: Process) -> int:
    """Run `sed [-nErsz] [-i[SUFFIX]] [-e SCRIPT]… [-f FILE]… [SCRIPT] [FILE]…`."""
    suffix: str | None = None
    arguments: list[str] = []
    for word in process.argv[1:]:
        match = re.fullmatch(r"(?:-([nErsz]*)i|--in-place=?)(.*)", word)
        if match is not None and arguments[-1:] != ["-e"]:
            suffix = match[2]
            arguments += [f"-{match[1]}"] if match[1] else []
        else:
            arguments.append(word)
    try:
        long = {"expression=": "e", "file=": "f", "quiet": "n", "silent": "n", "regexp-extended": "E"}
        options = getopt(arguments, "nrEe:f:sz", long)
        scripts = options.every("e")
        for name in options.every("f"):
            data = process.files.read(absolute_path(process, name)).decode(errors="surrogateescape")
            scripts = [*scripts, data.rstrip("\n")]
        operands = list(options.operands)
        if not scripts:
            if not operands:
                return show_usage(process, _SYNOPSIS)
            scripts = [operands.pop(0)]
        commands = Parser("\n".join(scripts), is_extended="E" in options or "r" in options).commands()
    except UsageError as error:
        text = str(error)
        return show_usage(process, _SYNOPSIS, text) if "option" in text else complain(process, text)
    except OSError as error:
        return complain(process, f"{name}: {strerror(error)}")
    inputs, status = await read_inputs(process, operands)
    end = "\0" if "z" in options else "\n"
    is_quiet = "n" in options
    groups = [[source] for source in inputs] if suffix is not None or "s" in options else [inputs]
    for group in groups:
        text = "".join(source.data.decode(errors="surrogateescape") for source in group)
        lines = text.split(end)
        has_end = lines[-1] == ""
        editor = _Editor(process, commands, lines[:-1] if has_end else lines, is_quiet=is_quiet)
        try:
            output = editor.run()
        except OSError as error:
            return complain(process, strerror(error))
        result = "".join(f"{line}{end}" for line in output)
        if not has_end and result and editor.number == len(lines):
            result = result[: -len(end)]
        encoded = result.encode(errors="surrogateescape")
        if suffix is None:
            process.write(encoded)
        else:
            path = absolute_path(process, group[0].name)
            if suffix:
                process.files.write(path + suffix, group[0].data)
            process.files.write(path, encoded)
        status = editor.status or status
        if editor.is_over and suffix is None:
            break
    return status
