"""cat, grep, sed, sort and the others in pipes."""

import pytest
from support.program_host import World

from cnmsim.userland.busybox.echo import echo_text, format_printf
from cnmsim.userland.libc.regex import to_python_regex

CASES = [
    ("printf 'b\\na\\nb\\n' | sort -u", "a\nb\n"),
    ("printf 'x 10\\ny 9\\n' | sort -k2 -n", "y 9\nx 10\n"),
    ("printf 'a\\na\\nb\\n' | uniq -c", "      2 a\n      1 b\n"),
    ("printf 'inet 10.0.0.1/24\\nlink\\n' | grep -o 'inet [0-9./]*'", "inet 10.0.0.1/24\n"),
    ("printf 'a\\nb\\n' | grep -c a", "1\n"),
    ("printf 'a\\nb\\n' | grep -v a", "b\n"),
    ("printf 'ab\\ncd\\n' | grep -E '^(ab|x)$'", "ab\n"),
    ("echo host=abc client=x | sed 's/host=[^ ]*//'", " client=x\n"),
    ("echo 10.70.0.3 | sed 's/10.70.0.[0-9]*/10.70.0.X/'", "10.70.0.X\n"),
    ("printf '1\\n2\\n3\\n' | sed -n 2p", "2\n"),
    ("printf '1\\n2\\n3\\n' | sed '/2/d'", "1\n3\n"),
    ("echo aXbXc | sed 's/X/-/g; s/\\(a\\)-/<\\1>/'", "<a>b-c\n"),
    ("echo a:b:c | cut -d: -f2-", "b:c\n"),
    ("echo hello | cut -c1-3", "hel\n"),
    ("echo abc | tr a-c A-C", "ABC\n"),
    ("echo aabb | tr -d a", "bb\n"),
    ("printf '1\\n2\\n3\\n4\\n' | tail -2 | head -1", "3\n"),
    ("printf 'a b\\nc\\n' | wc", "        2         3         6\n"),
    ("seq 2 2 6", "2\n4\n6\n"),
    ("busybox --list | grep -xE 'ls|nc|curl|nginx|service'", "ls\nnc\n"),
    ("expr 2 + 3 '*' 4", "14\n"),
    ("mkdir -p /a/b; touch /a/c; ls /a; rm -r /a; ls /a 2>/dev/null || echo gone", "b\nc\ngone\n"),
    ("basename /x/y.txt .txt; dirname /x/y", "y\n/x\n"),
    ("echo hi | tee /tmp/t | cat - /tmp/t", "hi\nhi\n"),
    ("hostname; hostname -s", "one\none\n"),
    ("echo 10.9.9.9 one.lab one >/etc/hosts; hostname -f; hostname -d; hostname -i", "one.lab\nlab\n10.9.9.9\n"),
    ("date -u +%Y-%m-%d", "2026-01-01\n"),
]


@pytest.mark.parametrize("script,out", CASES, ids=[case[0][:40] for case in CASES])
def test_program_prints_what_busybox_prints(script, out):
    result = World().sh(script)
    assert (result.out, result.err) == (out, "")


def test_echo_and_printf_know_their_escapes():
    assert echo_text(["-n", "a", "b"]) == "a b"
    assert echo_text(["-e", r"a\tb\c", "x"]) == "a\tb"
    assert format_printf(r"%5s|%-3s|%x\n", ["a", "b", "255"]) == "    a|b  |ff\n"


def test_basic_regular_expressions_are_translated():
    assert to_python_regex(r"\(a\|b\)*c+", is_extended=False) == r"(a|b)*c\+"
    assert to_python_regex(r"^a$b^*c$", is_extended=False) == r"^a\$b\^*c$"
    assert to_python_regex(r"\(^*a$\)", is_extended=False) == r"(^\*a$)"
    assert to_python_regex("[[:digit:]]+", is_extended=True) == "[0-9]+"
