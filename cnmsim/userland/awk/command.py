"""The `awk` command: awk as POSIX defines it, with busybox's error messages.

The mathematical functions (`sin`, `exp` and so on) are rejected, as in Debian's build of busybox.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnmsim.kernel.errno_text import strerror
from cnmsim.userland.awk.interpreter import Interpreter
from cnmsim.userland.awk.parser import AwkSyntaxError, Parser, unescape
from cnmsim.userland.awk.values import AwkError, Text
from cnmsim.userland.busybox.applet import complain, read_options, show_usage
from cnmsim.userland.invocation import absolute_path

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

_SYNOPSIS = "[OPTIONS] [AWK_PROGRAM] [FILE]..."


async def main(process: Process) -> int:
    """Run `awk [-F SEPARATOR] [-v NAME=VALUE]… PROGRAM|-f FILE [FILE | NAME=VALUE]…`."""
    options = read_options(process, "F:v:f:e:E:W:", _SYNOPSIS, stop_at_operand=True)
    operands = list(options.operands)
    sources = options.every("e")
    try:
        for name in options.every("f") + options.every("E"):
            sources = [*sources, process.files.read(absolute_path(process, name)).decode(errors="surrogateescape")]
    except OSError as error:
        return complain(process, f"can't open '{name}': {strerror(error)}")
    if not sources:
        if not operands:
            return show_usage(process, _SYNOPSIS)
        sources = [operands.pop(0)]
    try:
        interpreter = Interpreter(process, Parser("\n".join(sources)).program())
        if "F" in options:
            separator = unescape(options.get("F") or "")
            interpreter.globals["FS"] = "\t" if separator == "t" else separator
        for text in options.every("v"):
            name, equals, value = text.partition("=")
            if not equals:
                return show_usage(process, _SYNOPSIS)
            interpreter.globals[name] = Text(unescape(value))
        interpreter.globals["ARGC"] = float(len(operands) + 1)
        interpreter.globals["ARGV"] = {str(at): Text(word) for at, word in enumerate(["awk", *operands])}
        return await interpreter.run(operands)
    except (AwkSyntaxError, AwkError) as error:
        return complain(process, f"cmd. line:1: {error}")
