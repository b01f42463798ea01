"""The certificate authority of a swarm: its certificate, what nodes state of theirs, and its replacement."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from random import Random

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import (
    BasicConstraints,
    DNSName,
    KeyUsage,
    SubjectAlternativeName,
    load_pem_x509_certificate,
)
from support.cluster import Cluster

from cnmsim.errors import NotSimulated, SystemFault
from cnmsim.swarm.ca import x509
from cnmsim.swarm.ca.certificates import RootCa
from cnmsim.swarm.ca.join_token import parse_join_token

pytestmark = pytest.mark.skipif(not x509.is_available(), reason="cryptography 45 or newer is not installed")

SUBJECT = "MBMxETAPBgNVBAMTCHN3YXJtLWNh"  # CN=swarm-ca, as every swarm of a real engine has it


def rotate(cluster: Cluster) -> None:
    swarm = cluster.docker(1).swarm
    config = swarm.attrs["Spec"]["CAConfig"]
    swarm.update(CAConfig={**config, "ForceRotate": config.get("ForceRotate", 0) + 1})


def is_rotating(cluster: Cluster) -> bool:
    return cluster.docker(1).swarm.attrs["RootRotationInProgress"]


def trust(cluster: Cluster) -> set[tuple[str, str]]:
    infos = [node.attrs["Description"]["TLSInfo"] for node in cluster.docker(1).nodes.list()]
    return {(info["TrustRoot"], info["CertIssuerPublicKey"]) for info in infos}


def test_the_root_certificate_is_one_of_its_own_and_tokens_name_it() -> None:
    cluster = Cluster(2)
    cluster.lab.settle()
    attrs = cluster.docker(1).swarm.attrs
    pem = attrs["TLSInfo"]["TrustRoot"]
    certificate = load_pem_x509_certificate(pem.encode())
    certificate.verify_directly_issued_by(certificate)
    assert certificate.subject.rfc4514_string() == "CN=swarm-ca"
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert b64encode(key).decode() == attrs["TLSInfo"]["CertIssuerPublicKey"]
    assert attrs["TLSInfo"]["CertIssuerSubject"] == SUBJECT
    assert parse_join_token(attrs["JoinTokens"]["Worker"])[0] == sha256(pem.encode()).hexdigest()
    assert trust(cluster) == {(pem, attrs["TLSInfo"]["CertIssuerPublicKey"])}


def test_every_node_changes_to_the_new_root_and_nothing_stops() -> None:
    cluster = Cluster(4, managers=3)
    one = cluster.docker(1)
    service = one.services.create("nginx", name="web", replicas=4)
    cluster.lab.settle()
    tasks = {task["ID"] for task in service.tasks({"desired-state": "running"})}
    old, tokens = one.swarm.attrs["TLSInfo"]["TrustRoot"], one.swarm.tokens
    rotate(cluster)
    assert is_rotating(cluster)
    assert one.swarm.attrs["TLSInfo"]["TrustRoot"] == old, "nodes trust the old one until all are ready for the new"
    cluster.lab.run(10)
    assert not is_rotating(cluster)
    attrs = one.swarm.attrs
    new = attrs["TLSInfo"]["TrustRoot"]
    assert new != old
    assert trust(cluster) == {(new, attrs["TLSInfo"]["CertIssuerPublicKey"])}
    assert one.swarm.tokens != tokens
    assert {node.status for node in one.nodes.list()} == {"ready"}
    assert {task["ID"] for task in service.tasks({"desired-state": "running"})} == tasks
    late = cluster.lab.add_host("late", "10.9.0.9/24", docker=True).docker
    assert late is not None
    with pytest.raises(SystemFault, match="remote CA does not match fingerprint"):
        late.swarm.join(tokens.worker, "10.9.0.1:2377")
    late.swarm.join(one.swarm.tokens.worker, "10.9.0.1:2377")


def test_a_node_that_is_off_keeps_a_rotation_waiting() -> None:
    cluster = Cluster(3)
    cluster.lab.settle()
    cluster.hosts[2].power_off()
    rotate(cluster)
    cluster.lab.run(40)
    assert is_rotating(cluster)
    assert len(trust(cluster)) == 2
    cluster.hosts[2].power_on()
    cluster.lab.run(20)
    assert not is_rotating(cluster)
    assert len(trust(cluster)) == 1
    cluster.hosts[2].power_off()
    cluster.lab.run(30)
    rotate(cluster)
    cluster.lab.run(20)
    assert is_rotating(cluster)
    next(node for node in cluster.docker(1).nodes.list() if node.hostname == "node3").remove(force=True)
    cluster.lab.run(5)
    assert not is_rotating(cluster)


def test_a_new_leader_goes_on_with_a_rotation() -> None:
    cluster = Cluster(4, managers=3)
    cluster.lab.settle()
    cluster.hosts[3].power_off()
    rotate(cluster)
    cluster.lab.run(10)
    cluster.hosts[0].power_off()
    cluster.lab.run(60)
    cluster.hosts[0].power_on()
    cluster.hosts[3].power_on()
    cluster.lab.run(60)
    assert not is_rotating(cluster)
    assert len(trust(cluster)) == 1


def test_a_certificate_of_ones_own_is_not_simulated() -> None:
    cluster = Cluster(1)
    with pytest.raises(NotSimulated):
        cluster.docker(1).swarm.update(CAConfig={"SigningCACert": "x", "SigningCAKey": "y"})


def test_without_the_cryptography_package_there_is_no_certificate_but_all_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(x509, "is_available", lambda: False)
    cluster = Cluster(2)
    cluster.lab.settle()
    assert cluster.docker(1).swarm.attrs["TLSInfo"].get("TrustRoot", "") == ""
    tokens = cluster.docker(1).swarm.tokens
    rotate(cluster)
    cluster.lab.run(10)
    assert not is_rotating(cluster)
    assert cluster.docker(1).swarm.tokens != tokens


def test_the_same_seed_makes_the_same_certificate() -> None:
    assert RootCa.create(Random(5), 1e9) == RootCa.create(Random(5), 1e9)
    assert RootCa.create(Random(5), 1e9) != RootCa.create(Random(6), 1e9)


@pytest.mark.parametrize("role", ["swarm-manager", "swarm-worker"])
def test_a_nodes_certificate_states_what_swarmkit_has_it_state(role: str) -> None:
    # moby/swarmkit ca/certificates.go: a profile of usages "signing", "key encipherment", "server auth" and "client
    # auth"; cfssl marks the key usage and the basic constraints critical (RFC 5280 4.2.1.3, 4.2.1.9).
    pem = x509.node_certificate(1, 2, ("org", role, "node"), 0, 3600)
    certificate = load_pem_x509_certificate(pem.encode())
    assert certificate.subject.rfc4514_string() == f"CN=node,OU={role},O=org"
    assert {extension.oid._name: extension.critical for extension in certificate.extensions} == {
        "keyUsage": True, "extendedKeyUsage": False, "basicConstraints": True, "subjectKeyIdentifier": False,
        "authorityKeyIdentifier": False, "subjectAltName": False,
    }  # fmt: skip
    usage = certificate.extensions.get_extension_for_class(KeyUsage).value
    assert (usage.digital_signature, usage.key_encipherment, usage.key_cert_sign, usage.crl_sign) == (
        True, True, False, False,
    )  # fmt: skip
    assert not certificate.extensions.get_extension_for_class(BasicConstraints).value.ca
    names = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value.get_values_for_type(DNSName)
    assert names == [role, "node", *(["swarm-ca"] if role == "swarm-manager" else [])]
