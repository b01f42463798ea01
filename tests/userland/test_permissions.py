"""Files are protected by owner, permission bits and capabilities, as Linux protects them."""

from __future__ import annotations

import pytest
from support.program_host import World

from cnmsim.kernel.credentials import Credentials

USER = Credentials(1000, 1000, (1000,), capabilities=0)
PASSWD = b"root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000:ann:/home/ann:/bin/sh\n"


def run(script: str, user: Credentials = USER) -> tuple[int, str, str]:
    """Run a script as a user, after root has made some files."""
    world = World()
    world.one.files.put("/etc/passwd", PASSWD)
    world.one.files.put("/etc/group", b"root:x:0:\nann:x:1000:\n")
    world.sh("mkdir -p /root /home/ann /secret; chmod 700 /root /secret; echo s > /secret/f; echo r > /root/own; "
             "chown 1000:1000 /home/ann; echo t > /tmp/roots; echo x > /etc/private; mkdir -p /t/ro; cd /t; "
             "mkdir -m 700 secret; echo s > secret/f; echo p > private; chmod 600 private; "
             "echo 'echo ran' > tool; chmod 744 tool; "
             "echo g > shared; chown 0:7 shared; chmod 640 shared")  # fmt: skip
    process = world.one.spawn(
        world_programs()["sh"], ["sh", "-c", script], programs=world_programs(), credentials=user,
    )  # fmt: skip
    out, err = process.stdout, process.stderr
    world.clock.run_for(60, stop=lambda: not process.is_running)
    assert process.exit_status is not None
    return process.exit_status, out.getvalue().decode(), err.getvalue().decode()


def world_programs():
    from cnmsim.userland import CONTAINER_PROGRAMS

    return CONTAINER_PROGRAMS


#: What the busybox 1.37.0 of Debian printed for these scripts, run by user 1000 in a folder of root's.
REAL = [
    ("cat private", 1, "cat: can't open 'private': Permission denied\n"),
    ("cat secret/f", 1, "cat: can't open 'secret/f': Permission denied\n"),
    ("ls secret", 1, "ls: can't open 'secret': Permission denied\n"),
    ("echo x > new", 1, "sh: can't create new: Permission denied\n"),
    ("echo x >> private", 1, "sh: can't create private: Permission denied\n"),
    ("mkdir new", 1, "mkdir: can't create directory 'new': Permission denied\n"),
    ("rm -f private", 1, "rm: can't remove 'private': Permission denied\n"),
    ("rm -f /tmp/roots", 1, "rm: can't remove '/tmp/roots': Operation not permitted\n"),
    ("chmod 666 private", 1, "chmod: private: Operation not permitted\n"),
    ("chown 1000 private", 1, "chown: private: Operation not permitted\n"),
    ("touch new", 1, "touch: new: Permission denied\n"),
    ("./tool", 126, "sh: ./tool: Permission denied\n"),
    ("cd secret", 2, "sh: cd: line 0: can't cd to secret: Permission denied\n"),
    ("ls -l secret/f", 1, "ls: secret/f: Permission denied\n"),
    ("cp tool new", 1, "cp: can't create 'new': Permission denied\n"),
    ("mv tool t2", 1, "mv: can't rename 'tool': Permission denied\n"),
    ("ln -s x new", 1, "ln: new: Permission denied\n"),
    ("cat < private", 1, "sh: can't open private: Permission denied\n"),
    ("find secret", 1, "secret\nfind: secret: Permission denied\n"),
    ("rm -rf secret", 1, ""),
    ("rmdir ro", 1, "rmdir: 'ro': Permission denied\n"),
    ("dd if=private", 1, "dd: can't open 'private': Permission denied\n"),
    ("tee new </dev/null", 1, "tee: new: Permission denied\n"),
    ("sh tool", 0, "ran\n"),
    (". ./secret/f", 2, "sh: .: line 0: can't open './secret/f': Permission denied\n"),
    ("head private", 1, "head: private: Permission denied\n"),
    ("tail private", 1, "tail: can't open 'private': Permission denied\ntail: no files\n"),
    ("grep x private", 2, "grep: private: Permission denied\n"),
    ("wc private", 1, "wc: private: Permission denied\n"),
    ("stat secret/f", 1, "stat: can't stat 'secret/f': Permission denied\n"),
    ("mktemp /t/XXXXXX", 1, "mktemp: : Permission denied\n"),
    ("truncate -s 1 new", 1, "truncate: new: open: Permission denied\n"),
    ("touch private", 1, "touch: private: Permission denied\n"),
    (
        "test -r private; echo $?; test -w private; echo $?; test -x tool; echo $?; test -w .; echo $?",
        0,
        "1\n1\n1\n1\n",
    ),
    ("tar cf new tool", 1, "tar: can't open 'new': Permission denied\n"),
]


@pytest.mark.parametrize(("script", "status", "printed"), REAL, ids=[case[0][:30] for case in REAL])
def test_another_users_files_are_protected_as_by_the_real_kernel(script, status, printed):
    result = run(f"cd /t; {script}")
    assert (result[0], result[1] + result[2]) == (status, printed)


def test_own_files_get_the_user_and_the_umask():
    script = (
        "umask 027; cd; cd /home/ann; echo a > f; mkdir d; ln -s f l; stat -c '%n %a %u:%g' f d l; rm -r f d l; ls"
    )
    assert run(script) == (0, "f 640 1000:1000\nd 750 1000:1000\nl 777 1000:1000\n", "")


def test_root_passes_and_root_without_dac_override_does_not():
    assert run("cat /secret/f /etc/private; echo y > /etc/new && cat /etc/new", Credentials())[:2] == (0, "s\nx\ny\n")
    weak = Credentials(0, 0, (0,), capabilities=0)
    denied = "sh: can't create /home/ann/new: Permission denied\n"
    assert run("cat /root/own; echo x > /home/ann/new", weak) == (1, "r\n", denied)


def test_a_world_readable_file_is_read_and_a_group_file_by_its_group():
    assert run("cat /tmp/roots") == (0, "t\n", "")
    member = Credentials(1000, 1000, (1000, 7), capabilities=0)
    assert run("cat /t/shared", member) == (0, "g\n", "")
    assert run("cat /t/shared") == (1, "", "cat: can't open '/t/shared': Permission denied\n")
