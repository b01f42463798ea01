"""The shell prints what ash prints and exits with its status."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.program_host import World

from cnmsim.userland import CONTAINER_PROGRAMS
from cnmsim.userland.sh.arithmetic import ShellArithmeticError, evaluate
from cnmsim.userland.sh.parser import parse
from cnmsim.userland.sh.syntax import ShellSyntaxError

CASES = [
    ("echo hi; echo there", 0, "hi\nthere\n"),
    ("false || echo no && echo y", 0, "no\ny\n"),
    ("true && false", 1, ""),
    ("! true", 1, ""),
    ("exit 7", 7, ""),
    ('x=\'a b\'; for i in "$x" $x; do echo "[$i]"; done', 0, "[a b]\n[a]\n[b]\n"),
    ("for i in 1 2 3; do echo $i; done | sort -r | head -1", 0, "3\n"),
    (
        "i=0; while [ $i -lt 4 ]; do i=$((i+1)); [ $i = 2 ] && continue; [ $i = 4 ] && break; echo $i; done",
        0,
        "1\n3\n",
    ),
    ("until false; do echo once; break; done", 0, "once\n"),
    ("case abc in x) echo x;; a*|b) echo m;; *) echo other;; esac", 0, "m\n"),
    ("if [ -d /tmp ] && test -f /nofile; then echo a; elif [ 2 -gt 1 ]; then echo b; else echo c; fi", 0, "b\n"),
    ('f() { local v=in; echo "$1 $# $v"; return 3; }; v=out; f x y; echo $? $v', 0, "x 2 in\n3 out\n"),
    ("echo $(echo a; echo b) `echo c` \"$(printf 'd\\n\\n')\"", 0, "a b c d\n"),
    ("x=$(false); echo $?", 0, "1\n"),
    ("echo ${u:-d e} ${u-x} ${u:+no}; u=1; echo ${u:+yes} ${#u}", 0, "d e x\nyes 1\n"),
    ("p=/a/b.tar.gz; echo ${p##*/} ${p#/} ${p%.*} ${p%%.*}", 0, "b.tar.gz a/b.tar.gz /a/b.tar /a/b\n"),
    ("echo $((3*4+1)) $((10/3)) $((7%4)) $((1<2 ? 5 : 6)) $((0x10)) $((-7/2))", 0, "13 3 3 5 16 -3\n"),
    ('set -- 1 2 3; echo $# "$@"; shift; echo "$*"', 0, "3 1 2 3\n2 3\n"),
    ("cat <<EOF\nhi $((1+2))\nEOF\necho after", 0, "hi 3\nafter\n"),
    ("cat <<'EOF'\nhi $x\nEOF", 0, "hi $x\n"),
    ("echo a > /tmp/f; echo b >> /tmp/f; cat < /tmp/f; wc -l < /tmp/f", 0, "a\nb\n2\n"),
    ("{ echo out; echo err >&2; } 2>/dev/null", 0, "out\n"),
    ("{ echo err >&2; } 2>&1 | cat", 0, "err\n"),
    ("(cd /etc; pwd; exit 4); echo $? $PWD", 0, "/etc\n4 /\n"),
    ('a=1 env | grep ^a=; echo "[$a]"', 0, "a=1\n[]\n"),
    ("export k=v; printenv k", 0, "v\n"),
    ("echo 'a b' c | while read x y; do echo \"$y|$x\"; done", 0, "b c|a\n"),
    ("echo abcdef | { read -n 2 x; read y; echo $x $y; }", 0, "ab cdef\n"),
    ("read -t 0 x; echo $?; echo y | read -t 1 x && echo $?; read -t none x; echo $?", 0, "0\n0\n2\n"),
    ("printf '%s-%03d\\n' a 1 b 22", 0, "a-001\nb-022\n"),
    ("cd /; echo et* '*' \"*\"", 0, "etc * *\n"),
    ("set -e; false; echo never", 1, ""),
    ("set -e; if false; then :; fi; false || true; echo here", 0, "here\n"),
    ("sleep 1 & wait; echo $(($(date +%s) % 10))", 0, "1\n"),
    ("while true; do echo x; sleep 1; done | head -2", 0, "x\nx\n"),
    ("timeout 2 sleep 9; echo $?", 0, "143\n"),
    ("exec echo last; echo never", 0, "last\n"),
    ("seq 3 | true; echo ok", 0, "ok\n"),
    ("eval 'echo $((1+1))'", 0, "2\n"),
    ('set --; for i in "$@"; do echo "[$i]"; done; IFS=-; echo a-b', 0, "a-b\n"),
    ("x=1; (x=2); x=3 true; echo $x; f() { x=4; }; f; echo $x", 0, "1\n4\n"),
]
BASH_CASES = [
    ("sleep 3; echo $SECONDS; SECONDS=10; sleep 2; echo $SECONDS", "3\n12\n"),
    ("printf '#!/bin/bash\\na=(x y); echo ${a[1]} $0 $1\\n' > /tmp/s; chmod +x /tmp/s; /tmp/s arg", "y /tmp/s arg\n"),
    ("printf '#!/bin/sh\\necho ${BASH_VERSION-ash}\\n' > /tmp/s; chmod +x /tmp/s; /tmp/s", "ash\n"),
    ("while read -r x; do echo got $x; done < <(echo 1; sleep 5; echo 2); echo $SECONDS", "got 1\ngot 2\n5\n"),
]


@pytest.mark.parametrize("script,out", BASH_CASES, ids=[case[0][:40] for case in BASH_CASES])
def test_bash_prints_what_bash_prints(script, out):
    result = World().argv(["bash", "-c", script])
    assert (result.status, result.out) == (0, out)


def test_the_descriptors_of_exec_lead_to_their_files():
    result = World().sh("exec > /tmp/log; echo a; exec 3> /tmp/three; echo b >&3; cat /tmp/log /tmp/three >&2")
    assert (result.status, result.out, result.err) == (0, "", "a\nb\n")


def test_bash_times_a_command():
    result = World().argv(["bash", "-c", "time sleep 2"])
    assert (result.status, result.out) == (0, "")
    assert result.err == "\nreal\t0m2.000s\nuser\t0m0.000s\nsys\t0m0.000s\n"


def test_random_numbers_repeat_in_an_equal_lab_and_differ_within_it():
    numbers = [World().argv(["bash", "-c", "echo $RANDOM; echo $RANDOM"]).out.split() for _ in range(2)]
    assert numbers[0] == numbers[1] and len(set(numbers[0])) == 2


@pytest.mark.parametrize("script", ["a=(1)", "cat <<< x", "for ((;;)); do :; done", "echo ${a[0]}", "echo ${a^^}"])
def test_ash_refuses_the_syntax_of_bash(script):
    result = World().sh(script)
    assert result.status == 2 and "syntax error" in result.err


@pytest.mark.parametrize("script,status,out", CASES, ids=[case[0][:40] for case in CASES])
def test_script_prints_what_a_shell_prints(script, status, out):
    result = World().sh(script)
    assert (result.status, result.out) == (status, out)


FAULTS = [
    ("nosuch", 127, "sh: nosuch: not found\n"),
    ("/nofile", 127, "sh: /nofile: not found\n"),
    ("/tmp", 126, "sh: /tmp: Permission denied\n"),
    ('echo "x', 2, "sh: syntax error: unterminated quoted string\n"),
    ("if true; echo", 2, 'sh: syntax error: unexpected end of file (expecting "then")\n'),
    ("cat /nofile", 1, "cat: can't open '/nofile': No such file or directory\n"),
    ("cat < /nofile", 1, "sh: can't open /nofile: no such file\n"),
    ("echo $((1/0))", 2, "sh: divide by zero\n"),
    ("echo ${u:?must be set}", 2, "sh: u: must be set\n"),
    ("kill 99999", 1, "sh: can't kill pid 99999: No such process\n"),
]


@pytest.mark.parametrize("script,status,err", FAULTS, ids=[case[0] for case in FAULTS])
def test_mistake_is_told_in_the_words_of_ash(script, status, err):
    result = World().sh(script)
    assert (result.status, result.err) == (status, err)


def test_script_file_names_its_line():
    world = World()
    world.one.files.write("/s.sh", b"echo hi\nnosuch $1\n")
    result = world.run("sh /s.sh x")
    assert (result.status, result.out, result.err) == (127, "hi\n", "/s.sh: line 2: nosuch: not found\n")


def test_shell_reads_commands_from_stdin_and_a_terminal_gets_prompts():
    world = World()
    assert world.run("sh", stdin=b"echo hi\nif true\nthen echo x\nfi\nexit 3\n").out == "hi\nx\n"
    shown = world.run("sh", stdin=b"cd /etc\nexit\n", env={"TERM": "xterm"})
    assert shown.err == "/ # /etc # "


def test_loop_that_waits_for_nothing_lets_time_pass():
    world = World()
    result = world.sh("while true; do :; done", limit_s=0.1)
    assert result.status is None
    assert world.clock.now >= 0.1


def test_writer_whose_reader_is_gone_ends():
    world = World()
    assert world.sh("while true; do echo x; done | head -1").out == "x\n"


@given(st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(ShellSyntaxError):
        parse(text)


@given(st.integers(-1000, 1000), st.integers(-1000, 1000), st.sampled_from(["+", "-", "*", "<", "==", "&", "|", "^"]))
def test_arithmetic_agrees_with_python(a, b, operator):
    assert evaluate(f"({a}) {operator} ({b})", {}) == int(eval(f"({a}) {operator} ({b})"))


def test_arithmetic_refuses_nonsense():
    for text in ("1 +", "(1", "1 2", "@"):
        with pytest.raises(ShellArithmeticError):
            evaluate(text, {})


@pytest.mark.parametrize(
    ("script", "status", "out"),
    [
        ("trap 'echo got; exit 4' TERM; kill -TERM $$; echo not here", 4, "got\n"),
        ("trap 'echo $?' USR1; false; kill -USR1 $$; echo on $?", 0, "0\non 0\n"),
        ("trap '' TERM; kill $$; echo alive", 0, "alive\n"),
        ("trap 'echo no' TERM; trap - TERM; kill $$; echo dead", 143, ""),
        ("trap 'echo no' TERM; trap 15; kill $$; echo dead", 143, ""),
        ("trap 'echo bye' EXIT; exit 3", 3, "bye\n"),
        ("trap 'echo bye; exit 5' 0; true", 5, "bye\n"),
        ("trap \"echo 'x'\" SIGTERM; trap '' int; trap", 0, "trap -- '' INT\ntrap -- 'echo '\"'\"'x'\"'\"'' TERM\n"),
        ("trap 'echo now' TERM; (sleep 1; kill $$) & wait; echo $?", 0, "now\n143\n"),
        ("trap 'echo late' TERM; (sleep 1; kill $$) & sleep 5; echo slept", 0, "late\nslept\n"),
        ("trap : NOPE", 1, ""),
    ],
)
def test_trap_runs_its_command_when_the_signal_arrives(script, status, out):
    result = World().sh(script)
    assert (result.status, result.out) == (status, out)


def test_usleep_takes_microseconds():
    world = World()
    assert world.sh("usleep 2500000; usleep x; echo $?; usleep; echo $?").out == "1\n1\n"
    assert 2.5 <= world.clock.now < 2.6


@pytest.mark.parametrize("body", ["usleep 10", "nosuch 2>/dev/null", ":", "/bin/true", "sleep 0", "x=$(:)"])
def test_busy_loop_costs_few_rounds_a_second_of_lab_time(body):
    world = World()
    process = world.one.spawn(
        CONTAINER_PROGRAMS["sh"],
        ["sh", "-c", f"n=0; while true; do {body}; n=$((n+1)); echo; done"],
        programs=CONTAINER_PROGRAMS,
    )
    world.clock.run_for(1)
    assert process.is_running
    assert len(process.stdout.getvalue()) < 60_000
