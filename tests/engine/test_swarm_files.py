"""The files of a swarm's node on its host: certificates, keys, addresses; `openssl x509` prints them."""

import subprocess
from shutil import which

import pytest

from cnmsim import Lab
from cnmsim.swarm.identity import parse_unlock_key

x509 = pytest.importorskip("cryptography.x509", reason="cryptography is not installed")
FOLDER = "/var/lib/docker/swarm/certificates"
SUBJECT = f"openssl x509 -in {FOLDER}/swarm-node.crt -noout -subject"


def two_nodes(seed=7):
    lab = Lab(seed=seed)
    first, second = (lab.add_host(f"node{n}", f"10.0.0.1{n}/24", docker=True) for n in (1, 2))
    first.docker.swarm.init(advertise_addr="10.0.0.11")
    second.docker.swarm.join(remote_addrs=["10.0.0.11"], join_token=first.docker.swarm.attrs["JoinTokens"]["Worker"])
    lab.run(5)
    return lab, first, second


def certificates_of(host):
    return x509.load_pem_x509_certificates(host.exec(f"cat {FOLDER}/swarm-node.crt").output.encode())


def root_of(host):
    return x509.load_pem_x509_certificate(host.exec(f"cat {FOLDER}/swarm-root-ca.crt").output.encode())


@pytest.fixture(scope="module")
def swarm():
    return two_nodes()


def test_a_nodes_certificate_is_signed_by_the_root_and_names_cluster_role_and_node(swarm):
    _, first, second = swarm
    for host, role in ((first, "swarm-manager"), (second, "swarm-worker")):
        (certificate,) = certificates_of(host)
        certificate.verify_directly_issued_by(root_of(host))
        info = host.docker.info()["Swarm"]
        expected = f"subject=O={first.docker.swarm.id}, OU={role}, CN={info['NodeID']}\n"
        assert host.exec(SUBJECT).output == expected
        key = host.exec(f"cat {FOLDER}/swarm-node.key").output
        assert key.splitlines()[:2] == ["-----BEGIN PRIVATE KEY-----", "kek-version: 0"]


def test_the_certificates_are_the_same_in_each_run_and_kept_in_a_fork(swarm):
    lab, first, _ = swarm
    _, again, _ = two_nodes()
    assert certificates_of(again) == certificates_of(first)
    assert certificates_of(lab.fork().host("node1")) == certificates_of(first)


def test_promotion_rotation_and_expiry_change_the_certificates():
    lab, first, second = two_nodes()
    node = first.docker.nodes.get("node2")
    node.update({**node.attrs["Spec"], "Role": "manager"})
    lab.run(20)
    assert "OU=swarm-manager" in second.exec(SUBJECT).output
    old = root_of(second)
    spec = first.docker.swarm.attrs["Spec"]
    first.docker.swarm.update(CAConfig={**spec["CAConfig"], "NodeCertExpiry": 2 * 3600 * 10**9, "ForceRotate": 1})
    lab.run(60)
    leaf, intermediate = certificates_of(second)
    new = root_of(second)
    assert new != old
    leaf.verify_directly_issued_by(new)
    intermediate.verify_directly_issued_by(old)
    assert intermediate.public_key() == new.public_key()
    assert (leaf.not_valid_after_utc - leaf.not_valid_before_utc).total_seconds() == 3 * 3600
    node.reload()
    node.update({**node.attrs["Spec"], "Role": "worker"})
    lab.run(20)
    assert "OU=swarm-worker" in second.exec(SUBJECT).output
    second.docker.swarm.leave()
    lab.run(5)
    assert second.exec("ls /var/lib/docker/swarm").output == ""


def test_autolock_encrypts_the_private_key_and_a_restart_locks_the_manager():
    lab, first, _ = two_nodes()
    first.docker.swarm.update(EncryptionConfig={"AutoLockManagers": True})
    lab.run(1)
    key = first.docker.swarm.get_unlock_key()["UnlockKey"]
    text = first.exec(f"cat {FOLDER}/swarm-node.key").output
    assert text.startswith("-----BEGIN ENCRYPTED PRIVATE KEY-----\nkek-version: ")
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    pem = "\n".join(line for line in text.splitlines() if line and not line.startswith("kek-version"))
    private = load_pem_private_key(pem.encode(), parse_unlock_key(key))
    assert private.public_key() == certificates_of(first)[0].public_key()
    assert first.exec("systemctl restart docker").status == 0
    assert first.docker.info()["Swarm"]["LocalNodeState"] == "locked"
    assert "ENCRYPTED" in first.exec(f"cat {FOLDER}/swarm-node.key").output
    first.docker.swarm.unlock(key)
    assert first.docker.info()["Swarm"]["LocalNodeState"] == "active"


def test_wrong_files_and_options_of_openssl_are_answered_as_by_openssl(swarm):
    _, first, _ = swarm
    first.machine.files.put("/bad", b"hello\n")
    hint = "x509: Use -help for summary.\n"
    for options, text in (
        ("-in /bad", "Could not find certificate from /bad\n"),
        ("-in /no", "Could not open file or uri for loading certificate from /no: No such file or directory\n"),
        ("-bad", f"x509: Unknown option or message digest: bad\n{hint}"),
        ("extra", f'x509: Extra option: "extra"\n{hint}'),
        ("-in", f"x509: Option -in needs a value\n{hint}"),
    ):
        result = first.exec(f"openssl x509 {options}")
        assert (result.status, result.output) == (1, text)
    assert first.exec("openssl s_client").output == "openssl: s_client is not simulated; x509 is\n"
    assert first.exec("openssl nosuch").output == "Invalid command 'nosuch'; type \"help\" for a list.\n"


def is_comparable():
    """Return True if the installed openssl is one of those whose output is compared."""
    if which("openssl") is None:
        return False
    version = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=True).stdout
    return version.startswith(("OpenSSL 3.2", "OpenSSL 3.3", "OpenSSL 3.4", "OpenSSL 3.5"))


@pytest.mark.skipif(not is_comparable(), reason="no openssl 3.2 to 3.5, whose output is compared, is installed")
def test_openssl_prints_what_the_real_one_prints(swarm, tmp_path):
    _, first, second = swarm
    for host in (first, second):
        for name in ("swarm-node.crt", "swarm-root-ca.crt"):
            text = host.exec(f"cat {FOLDER}/{name}").output
            (tmp_path / name).write_text(text)
            for options in (
                "-text -noout", "-subject -issuer -noout", "-noout -dates -enddate -fingerprint -serial",
                "-fingerprint -sha256 -pubkey", "-noout -ext keyUsage,subjectAltName -dateopt iso_8601 -startdate",
            ):  # fmt: skip
                real = subprocess.run(
                    ["openssl", "x509", "-in", str(tmp_path / name), *options.split()], capture_output=True,
                    text=True,
                    check=False,
                )  # fmt: skip
                simulated = host.exec(f"openssl x509 -in {FOLDER}/{name} {options}")
                assert simulated.output == real.stdout
