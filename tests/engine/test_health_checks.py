"""Health checks: when they run, what a result says, and when a container is unhealthy.

Source: moby docker-v29.7.2 `daemon/health.go`.
"""

from __future__ import annotations

from typing import Any

import pytest

from cnmsim import Lab
from cnmsim.engine.client.containers import Container
from cnmsim.engine.wire.timestamps import duration_text, parse_duration_ns

S = 1_000_000_000


@pytest.fixture
def lab() -> Lab:
    lab = Lab()
    lab.add_host("node1", "10.0.0.15/24", docker=True)
    return lab


def run(lab: Lab, *test: str, **options: Any) -> Container:
    docker = lab.host("node1").docker
    assert docker is not None
    return docker.containers.run("alpine", "sleep 1d", healthcheck={"test": list(test), **options}, detach=True)


def health(container: Container) -> dict[str, Any]:
    found: dict[str, Any] = container.attrs["State"]["Health"]
    return found


@pytest.mark.parametrize(
    ("timeout_ns", "script", "output"),
    [
        (S, "sleep 99", "Health check exceeded timeout (1s)"),
        (90 * S, "sleep 99", "Health check exceeded timeout (1m30s)"),
        (S // 2, "sleep 99", "Health check exceeded timeout (500ms)"),
        (S, "echo waiting; sleep 99", "Health check exceeded timeout (1s): waiting\n"),
    ],
)
def test_a_check_that_exceeds_its_timeout_has_the_status_minus_1(
    lab: Lab, timeout_ns: int, script: str, output: str
) -> None:
    container = run(lab, "CMD-SHELL", script, interval=S, timeout=timeout_ns)
    lab.run(1 + timeout_ns / S - 0.1)
    assert health(container)["Log"] == []
    lab.run(0.2)
    (result,) = health(container)["Log"]
    assert (result["ExitCode"], result["Output"]) == (-1, output)
    assert health(container)["FailingStreak"] == 1
    assert container.exec("ps").output.count("sleep 99") == 0  # it was killed


def test_a_check_has_30_s_and_comes_every_30_s(lab: Lab) -> None:
    container = run(lab, "CMD-SHELL", "sleep 99")
    lab.run(59.9)
    assert health(container)["Log"] == []
    lab.run(0.2)
    assert health(container)["Log"][0]["Output"] == "Health check exceeded timeout (30s)"
    lab.run(59.8)  # the interval counts from the end of a check
    assert len(health(container)["Log"]) == 1
    lab.run(0.2)
    assert len(health(container)["Log"]) == 2


def test_a_container_is_unhealthy_after_three_failures_and_keeps_five_results(lab: Lab) -> None:
    container = run(lab, "CMD-SHELL", "echo no; exit 3", interval=S)
    lab.run(2.5)
    assert (container.health, health(container)["FailingStreak"]) == ("starting", 2)
    lab.run(1)
    assert (container.health, health(container)["FailingStreak"]) == ("unhealthy", 3)
    lab.run(5)
    assert [(result["ExitCode"], result["Output"]) for result in health(container)["Log"]] == [(3, "no\n")] * 5


@pytest.mark.parametrize(("count", "end"), [(4096, ""), (4097, "...")])
def test_the_output_of_a_check_is_cut_after_4096_bytes(lab: Lab, count: int, end: str) -> None:
    container = run(lab, "CMD-SHELL", f"printf %0{count}d 0", interval=S)
    lab.run(1.5)
    assert health(container)["Log"][0]["Output"] == "0" * 4096 + end


def test_failures_of_checks_that_began_in_the_start_period_do_not_count(lab: Lab) -> None:
    container = run(lab, "CMD-SHELL", "sleep 2; exit 1", interval=10 * S, start_period=11 * S, retries=1)
    lab.run(7.5)  # began at 5 s, ended at 7 s
    assert (len(health(container)["Log"]), health(container)["FailingStreak"]) == (1, 0)
    lab.run(7)  # began at 12 s: the period is over
    assert (len(health(container)["Log"]), container.health) == (2, "unhealthy")


def test_a_check_that_began_before_and_ended_after_the_start_period_does_not_count(lab: Lab) -> None:
    container = run(lab, "CMD-SHELL", "sleep 4; exit 1", interval=10 * S, start_period=8 * S, retries=1)
    lab.run(9.5)  # began at 5 s, ended at 9 s
    assert (len(health(container)["Log"]), health(container)["FailingStreak"], container.health) == (1, 0, "starting")
    lab.run(13)  # after the period the interval is that of every check
    assert len(health(container)["Log"]) == 1
    lab.run(1)  # began at 19 s, ended at 23 s
    assert container.health == "unhealthy"


def test_a_start_period_has_a_check_every_5_s_until_one_passes(lab: Lab) -> None:
    container = run(lab, "CMD", "true", interval=20 * S, start_period=60 * S)
    lab.run(4.9)
    assert container.health == "starting"
    lab.run(0.2)
    assert container.health == "healthy"
    lab.run(19.8)
    assert len(health(container)["Log"]) == 1
    lab.run(0.2)
    assert len(health(container)["Log"]) == 2


@pytest.mark.parametrize("test", [["NONE"], ["NONE", "true"], ["HTTP", "http://localhost"]])
def test_what_is_no_command_is_never_checked(lab: Lab, test: list[str]) -> None:
    container = run(lab, *test, interval=S)
    lab.run(3)
    assert "Health" not in container.attrs["State"]


@pytest.mark.parametrize(
    "text",
    ["0s", "1ns", "999ns", "1.5µs", "1ms", "1.000001ms", "999.999999ms", "1s", "1.5s", "59.999s", "1m0s", "1m30s",
     "59m59s", "1h0m0s", "1h0m0.5s", "100h1m1s"],
)  # fmt: skip
def test_a_duration_is_printed_as_go_prints_it(text: str) -> None:
    assert duration_text(parse_duration_ns(text)) == text
