"""The sandbox's own authority: what it signs, when it signs anew, and who may read the keys."""

import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID

from sandbox import pki
from sandbox.pki import Authority, KeyPair, write_private


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.at(tmp_path / "pki", "test CA")


def read(pair: KeyPair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate.read_bytes())


def handshake(server: KeyPair, trusted: Path, host: str, client: KeyPair | None = None) -> str:
    """Shake hands with ``server`` as a client that trusts ``trusted`` and calls it ``host``; return the protocol."""
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(trusted))
    serving.load_cert_chain(server.certificate, server.key)
    if client:
        serving.verify_mode = ssl.CERT_REQUIRED
    trusting = ssl.create_default_context(cafile=str(trusted))
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT
    if client:
        trusting.load_cert_chain(client.certificate, client.key)

    def answer(listening: socket.socket) -> None:
        accepted, _ = listening.accept()
        with accepted:
            try:
                with serving.wrap_socket(accepted, server_side=True) as wrapped:
                    wrapped.sendall(b"welcome")
            except (ssl.SSLError, OSError):
                return

    with socket.create_server(("127.0.7.41", 0)) as listening:
        thread = threading.Thread(target=answer, args=(listening,))
        thread.start()
        try:
            with (
                socket.create_connection(listening.getsockname()) as plain,
                trusting.wrap_socket(plain, server_hostname=host) as wrapped,
            ):
                return wrapped.recv(7).decode()
        finally:
            thread.join()


def test_a_server_is_trusted_on_the_addresses_and_names_that_it_was_given(authority: Authority) -> None:
    pair = authority.issue("api", hosts=["127.0.7.41", "kubernetes.default"])
    assert handshake(pair, authority.certificate, "127.0.7.41") == "welcome"
    assert handshake(pair, authority.certificate, "kubernetes.default") == "welcome"
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(pair, authority.certificate, "127.0.7.42")


def test_a_server_of_another_authority_is_not_trusted(authority: Authority, tmp_path: Path) -> None:
    other = Authority.at(tmp_path / "other", "test CA")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(authority.issue("api", hosts=["127.0.7.41"]), other.certificate, "127.0.7.41")


def test_a_pair_without_hosts_is_for_clients_only(authority: Authority) -> None:
    server, client = authority.issue("api", hosts=["127.0.7.41"]), authority.issue("admin")
    assert handshake(server, authority.certificate, "127.0.7.41", client) == "welcome"
    purposes = read(client).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(client, authority.certificate, "127.0.7.41")


def test_a_client_is_the_user_and_the_group_that_kubernetes_reads(authority: Authority) -> None:
    pair = authority.issue("node-a", common_name="system:node:a", organization="system:nodes")
    assert read(pair).subject.rfc4514_string() == "CN=system:node:a,O=system:nodes"
    assert read(authority.issue("kubelet")).subject.rfc4514_string() == "CN=kubelet"


def test_every_key_is_readable_by_its_owner_only(authority: Authority) -> None:
    authority.issue("api", hosts=["127.0.7.41"])
    keys = sorted(authority.folder.glob("*.key"))
    assert [key.name for key in keys] == ["api.key", "ca.key"]
    assert [stat.S_IMODE(key.stat().st_mode) for key in keys] == [0o600, 0o600]


def test_an_authority_and_its_pairs_stay_as_they_are(authority: Authority) -> None:
    first = authority.issue("api", hosts=["127.0.7.41"])
    certificate, key = first.certificate.read_bytes(), first.key.read_bytes()
    again = Authority.at(authority.folder, "test CA").issue("api", hosts=["127.0.7.41"])
    assert (again.certificate.read_bytes(), again.key.read_bytes()) == (certificate, key)


@pytest.mark.parametrize("hosts", [["127.0.7.42"], ["127.0.7.41", "api.test"], []])
def test_a_pair_is_renewed_when_its_hosts_change(authority: Authority, hosts: list[str]) -> None:
    before = read(authority.issue("api", hosts=["127.0.7.41"])).serial_number
    assert read(authority.issue("api", hosts=hosts)).serial_number != before


def test_the_order_of_hosts_or_one_named_twice_is_no_change(authority: Authority) -> None:
    before = read(authority.issue("api", hosts=["127.0.7.41", "api.test"])).serial_number
    assert read(authority.issue("api", hosts=["api.test", "127.0.7.41", "api.test"])).serial_number == before


def test_a_pair_is_renewed_a_month_before_it_runs_out_or_when_its_key_is_gone(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pki, "LIFETIME", timedelta(days=31))
    fresh = read(authority.issue("api", hosts=["127.0.7.41"]))
    assert read(authority.issue("api", hosts=["127.0.7.41"])).serial_number == fresh.serial_number
    monkeypatch.setattr(pki, "LIFETIME", timedelta(days=29))
    short = read(authority.issue("short", hosts=["127.0.7.41"]))
    monkeypatch.setattr(pki, "LIFETIME", timedelta(days=365))
    renewed = authority.issue("short", hosts=["127.0.7.41"])
    assert read(renewed).serial_number != short.serial_number
    assert read(renewed).not_valid_after_utc > datetime.now(UTC) + timedelta(days=300)
    serial = read(renewed).serial_number
    renewed.key.unlink()
    again = authority.issue("short", hosts=["127.0.7.41"])
    assert read(again).serial_number != serial
    assert handshake(again, authority.certificate, "127.0.7.41") == "welcome"


def test_a_client_that_becomes_a_server_is_renewed_too(authority: Authority) -> None:
    before = read(authority.issue("api")).serial_number
    assert read(authority.issue("api")).serial_number == before
    assert read(authority.issue("api", hosts=["127.0.7.41"])).serial_number != before


def test_an_authority_with_a_key_of_another_kind_says_how_to_have_a_new_one(authority: Authority) -> None:
    other = ed25519.Ed25519PrivateKey.generate()
    pem = other.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (authority.folder / "ca.key").write_bytes(pem)
    with pytest.raises(TypeError, match=f"delete {authority.folder}"):
        Authority.at(authority.folder, "test CA")


def test_a_private_file_is_written_whole_over_a_readable_one_and_after_a_crash(tmp_path: Path) -> None:
    target = tmp_path / "new" / "secret"
    write_private(target, b"first")
    target.chmod(0o644)
    target.with_name(".secret.new").write_bytes(b"left by a crash")
    write_private(target, b"second")
    assert target.read_bytes() == b"second"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [file.name for file in target.parent.iterdir()] == ["secret"]
