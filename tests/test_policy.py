"""Policies: who may talk to whom, and nobody else; and the assertions they are made of."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from cnmsim import Lab
from cnmsim.cli import cli
from cnmsim.errors import FileError, InvalidParameter, NotFound
from cnmsim.testing.assertions import (
    assert_isolated,
    assert_no_path_from_outside,
    assert_reachable,
    assert_resolves,
)
from cnmsim.testing.policy import check_policy
from cnmsim.testing.snapshot import Snapshot

EXAMPLE = Path(__file__).parent.parent / "examples" / "policy"


@pytest.fixture(scope="module")
def shop():
    return Lab.from_compose(EXAMPLE / "compose.yml")


def violated(lab, policy):
    return {(each.kind, each.subject) for each in check_policy(lab, policy).violations}


def test_the_example_has_a_hole(shop):
    report = check_policy(shop, EXAMPLE / "policy.yml")
    assert {(each.kind, each.subject) for each in report.violations} == {
        ("deny", "metrics -> db:5432"),
        ("deny", "proxy -> metrics:9100"),
        ("deny", "db -> metrics:9100"),
        ("outside", "metrics"),
    }
    assert "metrics reaches db:5432, which the policy does not allow" in report.text(verbose=True)
    hole = next(each for each in report.violations if "db:5432" in each.subject)
    assert "DECIDED BY" in hole.details  # the walk of this very pair
    assert "metrics → db:5432" in hole.details


def test_the_lab_stays_as_it_is(shop):
    before = {name: Snapshot.of(host) for name, host in shop.hosts.items()}
    now = shop.now
    check_policy(shop, EXAMPLE / "policy.yml")
    assert {name: Snapshot.of(host) for name, host in shop.hosts.items()} == before
    assert shop.now == now


def test_a_policy_that_holds(shop):
    everything = {"allow": ["* -> *"], "require": ["api -> db:5432"], "names": {"api": "db"}}
    assert check_policy(shop, everything).passed


@pytest.mark.parametrize("policy", [{}, {"require": []}, {"groups": {"front": ["proxy"]}}])
def test_a_policy_that_checks_nothing_is_refused(shop, policy):
    with pytest.raises(FileError, match="policy: the policy checks nothing: state allow, require"):
        check_policy(shop, policy)


def test_a_misspelt_member_of_a_group_is_refused(shop):
    with pytest.raises(NotFound, match="group front: nothing in the lab is named 'prxy', did you mean proxy"):
        check_policy(shop, {"groups": {"front": ["prxy"]}, "allow": ["* -> *"]})


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (
            {"groups": {"front": ["prxy"]}, "require": ["front -> api"]},
            "group front: nothing in the lab is named 'prxy'",
        ),
        ({"groups": {"front": []}, "require": ["front -> api"]}, "group front has no members"),
        ({"allow": ["* -> *"]}, "the policy checks nothing: every connection of this lab is allowed by it"),
    ],
)
def test_a_group_or_policy_that_means_nothing_is_refused(shop, policy, message):
    with pytest.raises((InvalidParameter, NotFound), match=message):
        check_policy(shop, policy)


def test_the_report_is_a_table_with_a_sentence_for_each_violation(shop):
    report = check_policy(shop, EXAMPLE / "policy.yml")
    lines = str(report).splitlines()
    assert lines[0].split() == ["FROM", "TO", "PORT", "EXPECTED", "RESULT"]
    assert ["metrics", "db", "5432", "no", "answered"] in [line.split() for line in lines]
    assert "DECIDED BY" not in str(report)
    assert "DECIDED BY" in report.text(verbose=True)
    assert lines[-1] == f"{len(report.findings)} checked, 4 violated"


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({"require": ["proxy -> db:5432"]}, {("require", "proxy -> db:5432")}),
        ({"require": ["proxy -> api:81"]}, {("require", "proxy -> api:81")}),
        ({"allow": ["network:back -> network:back", "network:front -> network:front"]}, set()),
        ({"allow": ["front -> front", "back -> *"], "groups": {"front": ["prox*", "api", "metrics"], "back": ["db"]}},
         {("deny", f"{name} -> db:5432") for name in ("api", "metrics")}),
        ({"outside": ["proxy"]}, {("outside", "metrics")}),
        ({"outside": ["metrics:9100", "proxy:80/udp"]}, {("outside", "proxy")}),
        ({"outside": ["metrics", "proxy"]}, set()),
        ({"names": {"db": ["proxy"]}}, {("names", "db: proxy")}),
        ({"unknown_names": {"network:front": ["api"]}},
         {("unknown_names", f"{name}: api") for name in ("proxy", "api", "metrics")}),
    ],
)  # fmt: skip
def test_what_violates_what(shop, policy, expected):
    assert violated(shop, policy) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("allow: [web]", 'write "web -> db:5432"'),
        ("allow: ['web -> db:http']", "'http' is no port"),
        ("allow: ['web -> db:80/sctp']", "is no port"),
        ("alow: []", "alow"),
        ("forbid: []", "there are: groups, allow, require, outside, names, unknown_names"),
        ("outside: web", "outside"),
        ("allow: [{from: web}]", "to"),
    ],
)
def test_a_wrong_policy_file_is_told_by_its_line(tmp_path, text, message):
    file = tmp_path / "policy.yml"
    file.write_text(f"\n{text}\n")
    with pytest.raises(FileError) as wrong:
        check_policy(Lab(), file)
    assert message in str(wrong.value)
    assert "policy.yml:2" in str(wrong.value)


def test_a_name_that_means_nothing_is_refused(shop):
    with pytest.raises(NotFound, match="did you mean proxy"):
        check_policy(shop, {"allow": ["prxy -> api"]})


def test_the_command(tmp_path):
    junit = tmp_path / "report.xml"
    files = [str(EXAMPLE / "compose.yml"), "--policy", str(EXAMPLE / "policy.yml")]
    done = CliRunner().invoke(cli, ["check", *files, "--junit", str(junit), "--json"])
    assert done.exit_code == 1
    report = json.loads(done.stdout)
    assert (report["passed"], report["violated"]) == (False, 4)
    suite = ET.parse(junit).getroot().find("testsuite")
    assert suite.get("failures") == "4"
    assert len(suite.findall("testcase")) == report["checked"]
    assert "which the policy does not allow" in suite.find("testcase/failure").get("message")
    good = tmp_path / "good.yml"
    good.write_text("require: [proxy -> api]\n")
    assert CliRunner().invoke(cli, ["check", files[0], "--policy", str(good)]).exit_code == 0
    good.write_text("allow: [x]\n")
    wrong = CliRunner().invoke(cli, ["check", files[0], "--policy", str(good)])
    assert wrong.exit_code == 2
    assert "good.yml:1" in wrong.stderr


def test_assertions_hold_or_show_the_walk(shop):
    assert assert_reachable(shop, "api", "db:5432").is_reachable
    with pytest.raises(AssertionError, match=r"(?si)proxy does not reach db:5432.*name not found"):
        assert_reachable(shop, "proxy", "db:5432")
    assert_isolated(shop, "proxy", "db")
    assert_isolated(shop, ["proxy"], ["db"], ["tcp/5432"])
    with pytest.raises(AssertionError, match=r"(?s)not isolated from .*db.*DECIDED BY"):
        assert_isolated(shop, "metrics", "db")
    assert assert_resolves(shop, "api", "db") == [shop.container("db").ip("policy_back")]
    with pytest.raises(AssertionError, match=r"(?s)finds no address for db.*asked of 127.0.0.11.*share no network"):
        assert_resolves(shop, "proxy", "db")
    with pytest.raises(AssertionError, match=r"resolves db to .*, not to 10\.0\.0\.1"):
        assert_resolves(shop, "api", "db", to="10.0.0.1")
    assert_no_path_from_outside(shop, "db")
    with pytest.raises(AssertionError, match=r"(?s)reaches metrics from outside.*DECIDED BY"):
        assert_no_path_from_outside(shop, "metrics")
    assert_no_path_from_outside(shop, "metrics", outside=[])


SHARED = """\
services:
  vpn: {image: python, command: python -m http.server 8000}
  torrent: {image: python, command: python -m http.server 9000, network_mode: "service:vpn"}
  web: {image: python, command: python -m http.server 8000 -b 127.0.0.1, ports: ["80:8000"]}
  migrate: {image: alpine, command: "true"}
"""


def test_containers_in_one_network_namespace_are_not_checked_against_each_other():
    report = check_policy(Lab.from_compose(SHARED), {"allow": ["web -> vpn:8000"]})
    assert {each.subject for each in report.violations} == {"web -> torrent:9000"}


STOPPED = f"{SHARED}  broken: {{image: alpine, command: 'false'}}\n"


def test_a_requirement_of_a_container_that_is_not_running_is_violated_and_all_others_are_checked():
    policy = {"require": ["broken -> vpn:8000", "web -> broken:80", "web -> vpn:8000"], "names": {"broken": "vpn"}}
    report = check_policy(Lab.from_compose(STOPPED), policy)
    assert [(each.subject, each.passed, each.found) for each in report.findings] == [
        ("broken -> vpn:8000", False, "not running"),
        ("web -> broken:80", False, "not running"),
        ("web -> vpn:8000", True, "answered"),
        ("broken: vpn", False, "not running"),
    ]
    assert "broken is not running: its container has exited" in str(report)


GROUPS = {"bad": ["broken"], "mixed": ["broken", "web"], "all": ["bad", "mixed"]}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({"require": ["bad -> vpn:8000"]}, {"broken -> vpn:8000": "not running"}),
        ({"require": ["bro* -> vpn:8000"]}, {"broken -> vpn:8000": "not running"}),
        ({"require": ["all -> vpn:8000"]}, {"broken -> vpn:8000": "not running", "web -> vpn:8000": "answered"}),
        ({"require": ["vpn -> bad:80"]}, {"vpn -> broken:80": "not running"}),
        ({"require": ["mixed -> mixed:80/udp"]},
         {"broken -> web:80/udp": "not running", "web -> broken:80/udp": "not running"}),
        ({"allow": ["bad -> vpn", "bro*-1 -> vpn", "web -> vpn:8000"]}, {"web -> torrent:9000": "answered"}),
        ({"outside": ["bad", "web"]}, {"vpn": "not reached", "torrent": "not reached", "web": "not reached"}),
        ({"names": {"all": "vpn"}}, {"broken: vpn": "not running", "web: vpn": "172.18.0.2"}),
    ],
)  # fmt: skip
def test_a_group_or_pattern_may_mean_containers_that_are_not_running_and_each_is_reported(policy, expected):
    report = check_policy(Lab.from_compose(STOPPED), {"groups": GROUPS, **policy})
    assert {each.subject: each.found for each in report.findings} == expected
    assert all(not each.passed for each in report.findings if each.found == "not running")


JOBS = """\
name: shop
services:
  db: {image: postgres, environment: {POSTGRES_PASSWORD: a}, networks: [back]}
  web: {image: nginx, networks: [front]}
  job-migrate: {image: alpine, command: "true", networks: [back]}
  job-notify: {image: hello-world, networks: [front]}
networks: {front: , back: }
"""


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({"require": ["job-migrate -> db:5432"]}, {"job-migrate -> db:5432": "answered"}),
        ({"require": ["job-* -> db:5432"]},
         {"job-migrate -> db:5432": "answered", "job-notify -> db:5432": "name not found"}),
        ({"groups": {"jobs": ["job-*"]}, "require": ["jobs -> web:80"]},
         {"job-migrate -> web:80": "name not found", "job-notify -> web:80": "answered"}),
        ({"require": ["network:back -> db:5432"]}, {"job-migrate -> db:5432": "answered"}),
        ({"require": ["db -> job-migrate:80"]}, {"db -> job-migrate:80": "not running"}),
        ({"require": ["job-notify -> job-migrate:80"]}, {"job-notify -> job-migrate:80": "not running"}),
        ({"names": {"job-*": ["db"]}},
         {"job-migrate: db": "172.19.0.2", "job-notify: db": "not found"}),
        # Only running containers count as sources of what is not allowed, and as targets from outside.
        ({"require": ["job-migrate -> db:5432"], "allow": []},
         {"job-migrate -> db:5432": "answered", "web -> db:5432": "name not found",
          "db -> web:80": "name not found"}),
        ({"names": {"job-migrate": ["db"]}, "outside": []},
         {"job-migrate: db": "172.19.0.2", "db": "not reached", "web": "not reached"}),
    ],
)  # fmt: skip
def test_a_job_that_has_ended_is_asked_from_where_it_ran(policy, expected):
    lab = Lab.from_compose(JOBS)
    report = check_policy(lab, policy)
    assert {each.subject: each.found for each in report.findings} == expected
    assert lab.host("host").docker.containers.get("shop-job-migrate-1").status == "exited"


def test_a_job_of_a_swarm_cannot_be_asked():
    lab = Lab()
    node = lab.add_host("node", "172.31.1.1/24", docker=True)
    node.docker.swarm.init(advertise_addr="172.31.1.1")
    node.docker.services.create("nginx", name="web")
    node.docker.services.create("alpine", "true", name="migrate", mode="replicated-job")
    lab.settle()
    report = check_policy(lab, {"require": ["migrate -> web:80"], "names": {"migrate": "web"}})
    assert report.passed
    assert [(each.subject, each.found) for each in report.skipped] == [
        ("migrate -> web:80", "has ended"),
        ("migrate: web", "has ended"),
    ]
    assert str(report).splitlines()[-1] == "0 checked, 0 violated, 2 cannot be asked"
    assert "migrate -> web:80 cannot be asked: migrate has ended, without an error" in str(report)
    assert (report.to_json()["checked"], report.to_json()["skipped"]) == (0, 2)
    suite = ET.fromstring(report.to_junit()).find("testsuite")
    assert suite.get("skipped") == "2"
    assert "cannot be asked" in suite.find("testcase/skipped").get("message")
    assert "2 cannot be asked" in report._repr_html_()


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"all": ["some"], "some": ["all"]}, "group all contains itself"),
        ({"all": ["some"], "some": ["prxy"]}, "group some: nothing in the lab is named 'prxy', did you mean proxy"),
    ],
)
def test_a_group_in_a_group_has_members(shop, groups, message):
    with pytest.raises((InvalidParameter, NotFound), match=message):
        check_policy(shop, {"groups": groups, "require": ["all -> api"]})


def test_a_name_of_running_containers_on_several_hosts_means_all_of_them():
    lab = Lab()
    for number in (1, 2):
        docker = lab.add_host(f"h{number}", f"10.0.0.{number}/24", docker=True).docker
        for name in ("web", "cc"):
            docker.containers.run("nginx", name=name, detach=True)
    report = check_policy(lab, {"require": ["cc -> web:81"], "names": {"cc": "web"}})
    assert [(each.subject, each.found, each.message) for each in report.findings] == [
        ("cc -> web:81", "nothing listens", "cc -> web:81: nothing listens there"),
        *[("cc: web", "not found", "cc finds no address for web")] * 2,
    ]
    with pytest.raises(NotFound, match="a policy does not accept the name 'h1:cc': write cc"):
        check_policy(lab, {"names": {"h1:cc": "web"}})


def test_a_requirement_of_a_udp_port_is_reported_with_its_protocol():
    report = check_policy(Lab.from_compose(SHARED), {"require": ["web -> vpn:53/udp"]})
    (finding,) = report.findings
    assert finding.row() == ("web", "vpn", "53/udp", "yes", "refused")
    assert finding.message.startswith("web does not reach vpn:53/udp, which the policy requires (web -> vpn:53/udp)")


def test_a_requirement_that_fails_is_reported_with_its_cause():
    report = check_policy(Lab.from_compose(SHARED), {"require": ["vpn -> web:8000"]})
    (finding,) = report.findings
    assert finding.found == "refused"
    assert finding.message.startswith("vpn does not reach web:8000, which the policy requires (vpn -> web:8000): web")
    assert "listens on 127.0.0.1:8000 only" in finding.message


def test_a_port_that_packets_from_outside_reach_without_a_listener_is_reported_as_refused():
    report = check_policy(Lab.from_compose(SHARED), {"outside": []})
    assert next(each.found for each in report.violations if each.subject == "web").endswith(":80 (refused)")


def test_a_replica_is_named_as_the_file_numbers_it():
    lab = Lab.from_compose(
        {"name": "shop", "services": {"app": {"image": "nginx", "scale": 2}, "db": {"image": "redis"}}}
    )
    policy = {"allow": ["app-1 -> db"], "names": {"app-2": "nothing"}}
    report = check_policy(lab, policy)
    assert ("names", "app-2: nothing") in {(each.kind, each.subject) for each in report.violations}
    assert "app-1 -> db:6379" not in {each.subject for each in report.findings}
    assert "app-2 -> db:6379" in {each.subject for each in report.violations}
