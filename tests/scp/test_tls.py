"""DICOM over TLS: who is let in, who is not, what a client must offer, and certificates that change under way."""

import socket
import ssl
import subprocess
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from domain.errors import ConfigurationError
from scp.tls import TlsSettings
from tests.peers import program
from tests.scp.certificates import Authority, Identity
from tests.scp.conftest import Running, Start
from tests.scp.leaks import counted, wait_until_given_back
from tests.scp.objects import image
from tests.scp.test_dcmtk import write
from tests.scp.wire import CT, RELEASE_RQ, Sender, command, fragments, pdata, pdv


class Pki:
    """Two authorities and what they signed."""

    def __init__(self, folder: Path) -> None:
        self.ours, self.rogue = Authority(folder, "ours"), Authority(folder, "rogue")
        self.server, self.other_server = self.ours.identity("server"), self.ours.identity("other-server")
        self.client, self.expired = self.ours.identity("client"), self.ours.identity("expired", days=0)
        self.stranger = self.rogue.identity("client")

    def settings(self, require: bool = True, server: Identity | None = None) -> TlsSettings:
        given = server or self.server
        return TlsSettings(0, given.cert, given.key, self.ours.cert, require)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def leakless() -> Iterator[None]:
    """Threads and descriptors are as many afterwards as before."""
    before = counted()
    yield
    wait_until_given_back(before)


def begin(start: Start, tls: TlsSettings, **settings: object) -> Running:
    return start(tls=tls, **settings)


def context(pki: Pki, identity: Identity | None = None, trust: Path | None = None) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(trust or pki.ours.cert)
    if identity:
        made.load_cert_chain(identity.cert, identity.key)
    return made


class SecureSender(Sender):
    """The tests' own sender inside TLS."""

    def __init__(self, port: int, tls: ssl.SSLContext) -> None:
        super().__init__(port)
        try:
            self.socket = tls.wrap_socket(self.socket, server_hostname="127.0.0.1")
        except BaseException:
            self.socket.close()
            raise


def turned_away(port: int, tls: ssl.SSLContext) -> str:
    """Why the connection came to nothing; in TLS 1.3 a client hears so only after its own part of the handshake."""
    try:
        with SecureSender(port, tls) as sender:
            sender.associate()
    except AssertionError:
        return "closed"
    except OSError as error:
        return str(error)
    raise AssertionError("it was let in")


def test_a_client_with_a_good_certificate_sends_and_what_it_sends_is_stored_as_it_came(start: Start, pki: Pki) -> None:
    running = begin(start, pki.settings())
    objects = {f"1.2.3.4.{n}": image(n, pixels=100_000 * n + n) for n in (1, 2, 3)}
    with SecureSender(running.receiver.tls_port, context(pki, pki.client)) as sender:
        sender.associate()
        for uid, data in objects.items():
            assert sender.store(data, uid, size=60_000).status == 0
        sender.send(RELEASE_RQ)
        assert sender.expect(6)
        assert sender.read() == b"", "the end is announced (close_notify), else this would be an error"
    assert {one.header.sop_instance_uid: one.data_set for one in running.intake.stored} == objects
    assert running.intake.wait_for("closed")[0][2] == "released"


def test_bytes_that_wait_inside_tls_are_read(start: Start, pki: Pki) -> None:
    """Everything at once: the kernel has nothing more to report when the last records are still to be parsed."""
    running = begin(start, pki.settings())
    with SecureSender(running.receiver.tls_port, context(pki, pki.client)) as sender:
        sender.associate()
        pieces = [pdata(pdv(1, 3, command(1, 1, CT, "1.2.3.4.1")))]
        pieces += [pdata(item) for item in fragments(1, 2, image(pixels=300_000), 700)]
        pieces += [pdata(pdv(1, 3, command(1, 2, CT, "1.2.3.4.2"))), pdata(pdv(1, 2, image(2)))]
        sender.send(b"".join(pieces))
        assert [sender.response().status, sender.response().status] == [0, 0]


def test_the_plain_port_and_that_of_tls_serve_side_by_side(start: Start, pki: Pki) -> None:
    running = begin(start, pki.settings())
    assert running.port != running.receiver.tls_port
    with running.sender().associate() as plain, SecureSender(running.receiver.tls_port, context(pki, pki.client)) as secure:
        secure.associate()
        assert plain.store(image(1), "1.2.3.4.1").status == secure.store(image(2), "1.2.3.4.2").status == 0


def test_without_a_plain_port_there_is_only_tls(start: Start, pki: Pki) -> None:
    running = begin(start, pki.settings(), plain=False)
    assert running.port == running.receiver.tls_port
    with SecureSender(running.port, context(pki, pki.client)) as sender:
        assert sender.associate().store(image(), "1.2.3.4.1").status == 0


@pytest.mark.usefixtures("leakless")
@pytest.mark.parametrize(
    ("who", "words"),
    [
        (None, "peer did not return a certificate"),
        ("stranger", "unable to get local issuer certificate"),
        ("expired", "certificate has expired"),
    ],
)
def test_without_a_good_certificate_nobody_gets_in(start: Start, pki: Pki, who: str | None, words: str) -> None:
    running = begin(start, pki.settings())
    turned_away(running.receiver.tls_port, context(pki, getattr(pki, who) if who else None))
    ((_, caller, said),) = running.intake.wait_for("rejected")
    assert words in str(said) and str(said).startswith("TLS: ")
    assert getattr(caller, "address", "") == "127.0.0.1"
    with SecureSender(running.receiver.tls_port, context(pki, pki.client)) as sender:
        sender.associate().release()
    running.receiver.stop()


def test_a_client_without_certificate_gets_in_where_none_is_required_and_a_bad_one_does_not(start: Start, pki: Pki) -> None:
    running = begin(start, pki.settings(require=False))
    with SecureSender(running.receiver.tls_port, context(pki)) as sender:
        sender.associate().release()
    turned_away(running.receiver.tls_port, context(pki, pki.stranger))


def test_the_ae_title_is_still_asked_for(start: Start, pki: Pki) -> None:
    running = begin(start, pki.settings())
    with SecureSender(running.receiver.tls_port, context(pki, pki.client)) as sender, pytest.raises(AssertionError):
        sender.associate(calling="STRANGER")
    running.intake.wait_for("rejected")


def test_a_revoked_certificate_is_refused(start: Start, pki: Pki) -> None:
    revoked = pki.ours.identity("revoked")
    running = begin(start, replace(pki.settings(), ca=pki.ours.revoked(revoked)))
    turned_away(running.receiver.tls_port, context(pki, revoked))
    assert "revoked" in str(running.intake.wait_for("rejected")[0][2])
    with SecureSender(running.receiver.tls_port, context(pki, pki.client)) as sender:
        sender.associate().release()


def test_a_client_that_does_not_trust_us_goes_away(start: Start, pki: Pki) -> None:
    running = begin(start, pki.settings())
    assert "CERTIFICATE_VERIFY_FAILED" in turned_away(running.receiver.tls_port, context(pki, pki.client, trust=pki.rogue.cert))
    assert "unknown ca" in str(running.intake.wait_for("rejected")[0][2])


def old(version: ssl.TLSVersion, ciphers: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        made.minimum_version = made.maximum_version = version
    made.set_ciphers(f"{ciphers}:@SECLEVEL=0")
    return made


@pytest.mark.parametrize(
    ("version", "ciphers"),
    [
        (ssl.TLSVersion.TLSv1, "ALL"),
        (ssl.TLSVersion.TLSv1_1, "ALL"),
        (ssl.TLSVersion.TLSv1_2, "AES128-GCM-SHA256:AES256-SHA256:AES128-SHA"),  # no forward secrecy
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-SHA256:ECDHE-RSA-AES256-SHA:ECDHE-ECDSA-AES128-SHA"),  # CBC
        (ssl.TLSVersion.TLSv1_2, "aNULL"),
    ],
)
def test_old_versions_and_weak_ciphers_are_refused(start: Start, pki: Pki, version: ssl.TLSVersion, ciphers: str) -> None:
    running = begin(start, pki.settings(require=False))
    with (
        socket.create_connection(("127.0.0.1", running.receiver.tls_port), 10) as plain,
        pytest.raises(OSError, match=r"(?i)alert|eof|reset|no ciphers|unsupported|cipher"),
    ):
        old(version, ciphers).wrap_socket(plain)
    assert "TLS: " in str(running.intake.wait_for("rejected")[0][2])


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_versions_of_the_profile_are_spoken(start: Start, pki: Pki, version: ssl.TLSVersion) -> None:
    running = begin(start, pki.settings())
    offered = context(pki, pki.client)
    offered.minimum_version = offered.maximum_version = version
    with SecureSender(running.receiver.tls_port, offered) as sender:
        assert sender.associate().store(image(), "1.2.3.4.1").status == 0


@pytest.mark.usefixtures("leakless")
def test_plain_dicom_on_the_port_of_tls_is_cut_off(start: Start, pki: Pki) -> None:
    running = begin(start, pki.settings())
    with Sender(running.receiver.tls_port) as sender, pytest.raises((AssertionError, OSError)):
        sender.associate()
    assert "TLS: " in str(running.intake.wait_for("rejected")[0][2])
    running.receiver.stop()


@pytest.mark.usefixtures("leakless")
def test_whoever_shakes_no_hands_keeps_nobody_waiting_and_is_closed(start: Start, pki: Pki) -> None:
    running = begin(start, pki.settings(), request_seconds=1.0)
    silent = [socket.create_connection(("127.0.0.1", running.receiver.tls_port), 10) for _ in range(20)]
    silent[0].send(b"\x16\x03\x01")
    with SecureSender(running.receiver.tls_port, context(pki, pki.client)) as sender:
        sender.associate().release()
    for one in silent:
        with one:
            assert one.recv(100) in (b"", b"\x15\x03\x03\x00\x02\x02\x50")
    running.receiver.stop()


@pytest.mark.usefixtures("leakless")
def test_probes_that_only_connect_leave_nothing_behind(start: Start, pki: Pki) -> None:
    running = begin(start, pki.settings())
    for _ in range(100):
        socket.create_connection(("127.0.0.1", running.receiver.tls_port), 10).close()
    with SecureSender(running.receiver.tls_port, context(pki, pki.client)) as sender:
        sender.associate().release()
    assert running.intake.named("rejected") == []
    running.receiver.stop()


def common_name(port: int, tls: ssl.SSLContext) -> str:
    with SecureSender(port, tls) as sender:
        found = sender.socket.getpeercert()  # type: ignore[attr-defined]
        return str(dict(pair for group in found["subject"] for pair in group)["commonName"])


def test_new_certificates_count_for_new_connections_and_running_ones_go_on(start: Start, pki: Pki) -> None:
    running = begin(start, pki.settings())
    port, tls = running.receiver.tls_port, context(pki, pki.client)
    assert common_name(port, tls) == "server"
    with SecureSender(port, tls) as sender:
        sender.associate()
        assert sender.store(image(1), "1.2.3.4.1").status == 0
        running.receiver.reload_certificates(pki.settings(server=pki.other_server))
        assert common_name(port, tls) == "other-server"
        assert sender.store(image(2), "1.2.3.4.2").status == 0
        running.receiver.reload_certificates(replace(pki.settings(), ca=pki.rogue.cert))
        turned_away(port, tls)
        assert sender.store(image(3), "1.2.3.4.3").status == 0
        sender.send(RELEASE_RQ)
        assert sender.expect(6)


def test_bad_files_are_named_by_their_key_and_change_nothing(start: Start, pki: Pki, tmp_path: Path) -> None:
    running, good = begin(start, pki.settings()), pki.settings()
    (tmp_path / "empty").touch()
    for bad, words in (
        (replace(good, cert=tmp_path / "nothing"), "scp.tls.cert: there is no file"),
        (replace(good, key=pki.client.key), "scp.tls.cert and scp.tls.key cannot be used"),
        (replace(good, ca=tmp_path / "empty"), "scp.tls.ca is not a PEM file"),
        (replace(good, ca=None), "scp.tls.ca is needed"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            running.receiver.reload_certificates(bad)
    assert common_name(running.receiver.tls_port, context(pki, pki.client)) == "server"


def dcmtk(
    name: str, port: int, pki: Pki, identity: Identity | None, trust: Path, *more: object
) -> subprocess.CompletedProcess[str]:
    own = ["+tls", identity.key, identity.cert] if identity else ["+tla"]
    words = [program(name), *own, "+cf", trust, "-aet", "CT01", "-aec", "ANCILLA", "127.0.0.1", port, *more]
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.peer
def test_dcmtk_sends_over_tls(start: Start, pki: Pki, tmp_path: Path) -> None:
    running = begin(start, pki.settings())
    data_sets = write(tmp_path, 10)
    assert dcmtk("echoscu", running.receiver.tls_port, pki, pki.client, pki.ours.cert).returncode == 0
    done = dcmtk("storescu", running.receiver.tls_port, pki, pki.client, pki.ours.cert, "+sd", tmp_path)
    assert done.returncode == 0, done.stderr
    assert {one.header.sop_instance_uid: one.data_set for one in running.intake.stored} == data_sets


@pytest.mark.peer
@pytest.mark.usefixtures("leakless")
@pytest.mark.parametrize("who", ["nobody", "stranger", "expired", "deceived"])
def test_dcmtk_without_a_good_certificate_or_trust_fails(start: Start, pki: Pki, who: str) -> None:
    running = begin(start, pki.settings())
    identity = {"nobody": None, "deceived": pki.client}.get(who) if who in ("nobody", "deceived") else getattr(pki, who)
    trust = pki.rogue.cert if who == "deceived" else pki.ours.cert
    assert dcmtk("echoscu", running.receiver.tls_port, pki, identity, trust).returncode != 0
    running.intake.wait_for("rejected")
    running.receiver.stop()
