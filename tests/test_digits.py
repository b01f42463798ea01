"""A number is made of the digits 0 to 9, in every parser that text from outside reaches."""

import sys
import unicodedata

import pytest

from cnmsim.digits import is_number, parse_c_number
from cnmsim.engine.logdrivers.options import facility_number
from cnmsim.engine.wire.ports import parse_host_range
from cnmsim.engine.wire.ports import parse_port as parse_api_port
from cnmsim.engine.wire.signals import parse_signal
from cnmsim.engine.wire.timestamps import parse_duration_ns, parse_timestamp
from cnmsim.errors import CnmsimError
from cnmsim.gostrconv import atoi, parse_float, parse_uint
from cnmsim.gounits import from_human_size, ram_in_bytes
from cnmsim.kernel.address import Prefix, parse_interface, parse_ip, parse_mac
from cnmsim.lab.compose.port_syntax import parse_exposed, parse_port
from cnmsim.lab.stack.quantities import duration_ns, nano_cpus

#: All characters that Unicode calls numbers, except the ten of ASCII.
DIGITS = [
    char for char in map(chr, range(128, sys.maxunicode + 1)) if unicodedata.category(char) in ("Nd", "Nl", "No")
]
#: Each parser with a text in which {} is a number.
PARSERS = [
    (atoi, "{}"), (parse_uint, "1{}"), (parse_float, "1.{}"), (parse_c_number, "{}"), (parse_c_number, "0x{}"),
    (parse_ip, "10.0.0.{}"), (parse_ip, "fd00::{}"), (parse_mac, "02:00:00:00:00:0{}"), (Prefix.parse, "10.0.0.0/{}"),
    (parse_interface, "10.0.0.1/{}"), (parse_api_port, "{}/tcp"), (parse_host_range, "8{}-9000"),
    (parse_signal, "{}"), (parse_duration_ns, "{}s"), (parse_duration_ns, "1.{}s"), (from_human_size, "{}MB"),
    (ram_in_bytes, "{}m"), (parse_port, "808{}:80"), (parse_port, "80-8{}"), (parse_exposed, "{}"),
    (duration_ns, "{}s"), (nano_cpus, "0.{}"), (lambda text: parse_timestamp(text, 0), "{}"),
    (lambda text: parse_timestamp(text, 0), "2026-01-0{}"), (facility_number, "{}"),
]  # fmt: skip


@pytest.mark.parametrize(("parse", "text"), PARSERS)
def test_a_parser_refuses_digits_of_other_scripts(parse, text):
    parse(text.replace("{}", "8" if "{}-9000" not in text else "000"))
    for digit in DIGITS:
        with pytest.raises((ValueError, CnmsimError)):
            parse(text.replace("{}", digit))


def test_digits_of_other_scripts_are_no_numbers():
    assert len(DIGITS) > 1000
    assert not any(map(is_number, DIGITS))


@pytest.mark.parametrize("text", ["", " 1", "1 ", "1_0", "0b1", "0o7", "08", "0x", "--1", "9" * 4301, "1.0"])
def test_strtol_stops_before_what_is_no_digit(text):
    with pytest.raises(ValueError, match="invalid"):
        parse_c_number(text)


def test_numbers_of_c_have_three_bases():
    assert [parse_c_number(text) for text in ("0", "10", "-10", "+3", "010", "0x1F")] == [0, 10, -10, 3, 8, 31]
