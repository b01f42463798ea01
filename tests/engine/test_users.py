"""The user of a container's processes: by name or number, and refused where /etc/passwd has none."""

from __future__ import annotations

import pytest
from support.engine_lab import VERSIONS, new_engine, state_of

from cnmsim import Lab
from cnmsim.engine.containers.exec_user import find_user, home_of, with_groups
from cnmsim.errors import InvalidParameter, SystemFault
from cnmsim.kernel.credentials import Credentials
from cnmsim.kernel.files import FileSystem
from cnmsim.libnetwork.profile import profile

PASSWD = "root:x:0:0::/root:/bin/sh\nnonsense\nweb:x:33:34::/srv:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
GROUP = "root:x:0:\nweb:x:34:\nlog:x:4:web,nobody\nmail:x:8:root,web\n"


@pytest.fixture
def files() -> FileSystem:
    tree = FileSystem()
    tree.write("/etc/passwd", PASSWD.encode())
    tree.write("/etc/group", GROUP.encode())
    return tree


@pytest.mark.parametrize(
    ("wanted", "uid", "gid", "groups"),
    [
        ("", 0, 0, (0, 8)),
        ("web", 33, 34, (34, 4, 8)),
        ("33", 33, 34, (34, 4, 8)),
        ("web:mail", 33, 8, (8,)),
        ("web:77", 33, 77, (77,)),
        ("1234", 1234, 0, (0,)),
        ("1234:log", 1234, 4, (4,)),
        (":mail", 0, 8, (8,)),
    ],
)
def test_a_user_is_found_by_name_or_number(
    files: FileSystem, wanted: str, uid: int, gid: int, groups: tuple[int, ...]
) -> None:
    assert find_user(wanted, files) == Credentials(uid, gid, groups)


@pytest.mark.parametrize(
    ("version", "name", "message"),
    [
        ("28.5.2", "nosuch", "Unable to find group nosuch: no matching entries in group file"),
        ("29.7.2", "nosuch", "unable to find group nosuch: no matching entries in group file"),
        ("26.1.5", "-1", "uids and gids must be in range 0-2147483647"),
    ],
)
def test_a_further_group_that_does_not_exist_is_refused(
    files: FileSystem, version: str, name: str, message: str
) -> None:
    with pytest.raises(SystemFault) as caught:
        with_groups(profile(version), Credentials(0, 0), ["mail", name], files)
    assert caught.value.message == message


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("nosuch", "unable to find user nosuch: no matching entries in passwd file"),
        ("nosuch:mail", "unable to find user nosuch: no matching entries in passwd file"),
        ("web:nosuch", "unable to find group nosuch: no matching entries in group file"),
        ("-1", "uids and gids must be in range 0-2147483647"),
        ("0:2147483648", "uids and gids must be in range 0-2147483647"),
    ],
)
def test_an_unknown_user_is_refused(files: FileSystem, wanted: str, message: str) -> None:
    with pytest.raises(SystemFault) as refused:
        find_user(wanted, files)
    assert refused.value.message == message


def test_a_container_without_passwd_knows_root_and_numbers() -> None:
    files = FileSystem()
    assert find_user("", files) == find_user("0:0", files) == Credentials()
    assert home_of(Credentials(), files) == "/"
    with pytest.raises(SystemFault):
        find_user("root", files)


def test_home_is_that_of_the_user(files: FileSystem) -> None:
    assert [home_of(Credentials(uid), files) for uid in (0, 33, 5)] == ["/root", "/srv", "/"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_container_of_an_unknown_user_does_not_start(version: str) -> None:
    engine = new_engine(version)
    container = engine.containers.create("alpine", "sleep 1d", user="nosuch")
    before = state_of(engine)
    with pytest.raises(SystemFault, match=r"^unable to find user nosuch: no matching entries in passwd file$"):
        container.start()
    after = state_of(engine)
    state = after.pop("containers")[container.id]["State"]
    assert (state["Status"], state["ExitCode"]) == ("created", 128)
    assert state["Error"] == "unable to find user nosuch: no matching entries in passwd file"
    before.pop("containers")
    assert after == before


def test_an_exec_of_an_unknown_user_prints_why() -> None:
    engine = new_engine("26.1.5")
    container = engine.containers.run("alpine", "sleep 1d", detach=True)
    result = container.exec_run("true", user="nosuch")
    assert result == (126, b"unable to find user nosuch: no matching entries in passwd file\r\n")
    assert not engine.store.get(container.id).execs


@pytest.mark.parametrize("version", VERSIONS[1:])
def test_from_28_on_an_exec_of_an_unknown_user_is_not_created(version: str) -> None:
    # moby daemon/exec.go (ContainerExecCreate), v28.5.2 and docker-v29.7.2
    engine = new_engine(version)
    container = engine.containers.run("alpine", "sleep 1d", detach=True)
    with pytest.raises(InvalidParameter, match=r"^unable to find user nosuch: no matching entries in passwd file$"):
        container.exec_run("true", user="nosuch")
    assert container.exec_run("true", user="1000").exit_code == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_no_exec_is_created_while_a_linked_container_is_gone(version: str) -> None:
    # 26.1.5 printed this for a container whose link's target was removed and made anew by the same name.
    engine = new_engine(version)
    engine.containers.run("alpine", "sleep 1d", name="db", detach=True)
    web = engine.containers.run("alpine", "sleep 1d", name="web", links={"db": "data"}, detach=True)
    engine.containers.get("db").remove(force=True)
    engine.containers.run("alpine", "sleep 1d", name="db", detach=True)
    with pytest.raises(SystemFault, match=r"^Cannot link to a non running container: /db AS /web/data$"):
        web.exec_run("true")


def test_programs_know_whom_they_run_as() -> None:
    lab = Lab()
    docker = lab.add_host("node1", "10.0.0.1/24", docker=True).docker
    container = docker.containers.run("nginx", "sleep 1d", name="web", user="www-data", detach=True)

    def told(command: str, **options: str) -> tuple[int, str]:
        result = container.exec_run(command, **options)
        return result.exit_code, result.output.decode()

    assert told("id") == (0, "uid=33(www-data) gid=33(www-data) groups=33(www-data)\n")
    assert told("sh -c 'whoami; echo $HOME'") == (0, "www-data\n/var/www\n")
    assert told("id", user="root") == (0, "uid=0(root) gid=0(root) groups=0(root)\n")
    assert told("id", user="1234:5678") == (0, "uid=1234 gid=5678 groups=5678\n")
    assert told("id -un", user="nobody") == (0, "nobody\n")
    assert told("id -G nginx") == (0, "101\n")
    assert told("id nosuch") == (1, "id: unknown user nosuch\n")
    assert told("whoami", user="1234") == (1, "whoami: unknown uid 1234\n")
    assert "    1 www-data  0:00 sleep 1d" in told("ps")[1]
    assert container.top()["Processes"][0][0] == "33"


@pytest.mark.parametrize(("tag", "is_present"), [("3.10", True), ("3.9.6", True), ("3.22", False)])
def test_early_releases_of_alpine_have_a_user_postgres(tag, is_present):
    docker = Lab().add_host("node1", "10.0.0.2/24", docker=True).docker
    container = docker.containers.run(f"alpine:{tag}", "sleep infinity", detach=True)
    found = container.exec_run("id postgres")
    assert (b"(postgres)" in found.output) == (found.exit_code == 0) == is_present
