"""Every registered program can be imported, and survives an invalid command line."""

import pytest
from support.program_host import World

from cnmsim.userland import CONTAINER_PROGRAMS, HOST_PROGRAMS
from cnmsim.userland.libc.getopt import UsageError, getopt

# Seconds after which these programs, which run until killed and print all the time, are stopped.
LIMITS_S = {"yes": 0.1}


@pytest.mark.parametrize("name", sorted(HOST_PROGRAMS))
def test_host_program_takes_nonsense_without_a_traceback(name):
    for words in ([], ["-~"], ["--nonsense=1", "x"], ["\x00", "-"]):
        World().argv([name, *words], programs=HOST_PROGRAMS, limit_s=LIMITS_S.get(name, 30))


@pytest.mark.parametrize("name", sorted(CONTAINER_PROGRAMS))
def test_container_program_takes_nonsense_without_a_traceback(name):
    for words in ([], ["-~"], ["--nonsense=1", "x"], ["999.1.1.1", "70000"]):
        World().argv([name, *words], limit_s=LIMITS_S.get(name, 30))


def test_getopt_reads_clusters_long_names_and_operands_anywhere():
    options = getopt(["-qO-", "url", "--header", "a: b", "--header=c", "--", "-x"], "qO:", ("header=",))
    assert options.operands == ["url", "-x"]
    assert options.get("O") == "-"
    assert options.every("header") == ["a: b", "c"]
    assert "q" in options


@pytest.mark.parametrize(
    "words,message",
    [(["-z"], "invalid option -- 'z'"), (["-c"], "option requires an argument -- 'c'"),
     (["--no"], "unrecognized option '--no'"), (["--h"], "option '--h' requires an argument")],
)  # fmt: skip
def test_getopt_refuses_in_its_own_words(words, message):
    with pytest.raises(UsageError, match=message):
        getopt(words, "c:", ("h=",))
