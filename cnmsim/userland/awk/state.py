"""The state of a running awk program: its variables, and the current record with its fields."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from cnmsim.userland.awk.values import AwkError, Text, Value, number_of, string_of

if TYPE_CHECKING:
    from cnmsim.kernel.process import Process

Array = dict[str, Value]


class ProgramState:
    """The variables of an awk program, and the current record.

    `globals` holds the global variables, and `locals` those of each function that is being called.
    """

    def __init__(self, process: Process) -> None:
        self.process = process
        self.globals: dict[str, Value | Array] = {
            "FS": " ", "OFS": " ", "ORS": "\n", "RS": "\n", "NR": 0.0, "FNR": 0.0, "SUBSEP": "\x1c", "FILENAME": "",
            "CONVFMT": "%.6g", "OFMT": "%.6g", "RSTART": 0.0, "RLENGTH": -1.0, "NF": 0.0,
            "ENVIRON": {name: Text(value) for name, value in process.env.items()},
        }  # fmt: skip
        self.locals: list[dict[str, Any]] = []
        self.record = ""
        self._fields: list[str] = []
        self._is_split = True
        self._regexes: dict[str, re.Pattern[str]] = {}

    # --- variables

    def scope(self, name: str) -> dict[str, Any]:
        """Return the dict that holds the variable `name`.

        This is the dict of the function being called if the variable is local to it, otherwise `globals`.
        """
        return self.locals[-1] if self.locals and name in self.locals[-1] else self.globals

    def value(self, name: str) -> Value:
        """Return a variable's value, empty if it is not set. Raises `AwkError` for an array."""
        if name == "NF":
            self._split()
        value = self.scope(name).get(name, "")
        if isinstance(value, dict):
            raise AwkError("Not a scalar")
        return value if value is not None else ""

    def text(self, name: str) -> str:
        """Return a variable's value as a string. Raises `AwkError` for an array."""
        return self.to_text(self.value(name))

    def to_text(self, value: Value) -> str:
        """Return a value as a string.

        A number that is not an integer is formatted as the variable `CONVFMT` requires.
        """
        form = self.globals["CONVFMT"]
        return string_of(value, form if isinstance(form, str) else "%.6g")

    def array(self, name: str) -> Array:
        """Return the array `name`, creating it if it does not exist.

        Raises `AwkError` if `name` is a scalar variable.
        """
        scope = self.scope(name)
        value = scope.get(name)
        if value is None:
            value = scope[name] = {}
        if not isinstance(value, dict):
            raise AwkError("Not an array")
        return value

    def set_variable(self, name: str, value: Value) -> None:
        """Set a variable. A new value of `NF` changes the number of fields, and so the record."""
        self.scope(name)[name] = value
        if name == "NF":
            count = int(number_of(value))
            self._split()
            self._fields = (self._fields + [""] * count)[:count]
            self._join()

    # --- the record

    def set_record(self, text: str) -> None:
        """Set the current record. It is split into fields when they are first used."""
        self.record, self._is_split = text, False

    def _split(self) -> None:
        if not self._is_split:
            self._is_split = True
            self._fields = self.split_text(self.record, self.text("FS"))
            self.globals["NF"] = float(len(self._fields))

    def split_text(self, text: str, separator: str) -> list[str]:
        """Return the fields of `text`, divided by `separator`, which has the syntax of the variable `FS`."""
        if separator == " ":
            return text.split()
        if not text:
            return []
        if separator == "":
            return list(text)
        if len(separator) == 1 and separator not in "\\.^$*+?()[]{}|":
            extra = "\n" if self.text("RS") == "" else ""
            return re.split(f"[{re.escape(separator)}{extra}]", text)
        return self.regex("\\" + separator if len(separator) == 1 and separator != "\\" else separator).split(text)

    def field(self, number: int) -> Value:
        """Return the field `number` of the current record; 0 is the whole record.

        Raises `AwkError` if `number` is negative.
        """
        if number < 0:
            raise AwkError("Access to negative field")
        if number == 0:
            return Text(self.record)
        self._split()
        return Text(self._fields[number - 1]) if number <= len(self._fields) else ""

    def set_field(self, number: int, value: Value) -> None:
        """Set the field `number` of the current record, and update the record's text. 0 is the whole record."""
        if number == 0:
            self.set_record(self.to_text(value))
            return
        self._split()
        while len(self._fields) < number:
            self._fields.append("")
        self._fields[number - 1] = self.to_text(value)
        self._join()

    def _join(self) -> None:
        self.globals["NF"] = float(len(self._fields))
        self.record = self.text("OFS").join(self._fields)

    def split_records(self, data: str) -> list[str]:
        """Return the records of `data`, divided by the variable `RS`."""
        separator = self.text("RS")
        if separator == "":
            return [part for part in re.split(r"\n\n+", data.strip("\n")) if part]
        parts = data.split(separator) if len(separator) == 1 else self.regex(separator).split(data)
        return parts[:-1] if parts and parts[-1] in ("", "\n") else parts

    def regex(self, text: str) -> re.Pattern[str]:
        """Compile an extended regular expression, or return it from the cache. Raises `AwkError` if this fails."""
        pattern = self._regexes.get(text)
        if pattern is None:
            from cnmsim.userland.libc.regex import to_python_regex

            try:
                pattern = re.compile(to_python_regex(text, is_extended=True), re.DOTALL)
            except re.error:
                raise AwkError(f"bad regex '{text}': Invalid preceding regular expression") from None
            self._regexes[text] = pattern
        return pattern
