"""STOW-RS over real sockets: what is answered 200 is durable, bit by bit; hostile and broken requests leave nothing."""

import gzip
import http.client
import json
import resource
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from node.config import PeerSettings
from scp import file_deposit
from tests.console.conftest import DICOM, Start, Web, multipart
from tests.ct_series import Series, part10
from tests.peers import program, wait_for


@pytest.fixture(scope="module")
def images() -> list[Dataset]:
    return Series(slices=4, size=16).datasets()


@pytest.fixture(scope="module")
def files(images: list[Dataset]) -> list[bytes]:
    return [part10(ds) for ds in images]


def data_set(content: bytes) -> bytes:
    return content[144 + int.from_bytes(content[140:144], "little") :]


def packs(web: Web) -> int:
    return sum(path.stat().st_size for path in (web.folder / "spool").rglob("*.pack"))


def test_what_is_answered_200_is_stored_bit_by_bit(start: Start, images: list[Dataset], files: list[bytes]) -> None:
    web = start()
    answer = web.post(files, Accept="application/dicom+json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/dicom+json")
    said = Dataset.from_json(answer.content.decode())
    uids = [str(ds.SOPInstanceUID) for ds in images]
    assert [one.ReferencedSOPInstanceUID for one in said.ReferencedSOPSequence] == uids
    assert {uid: data_set(one) for uid, one in web.kept().items()} == {
        uid: data_set(one) for uid, one in zip(uids, files, strict=True)
    }
    rows = list(web.store.audit())
    assert [row.event for row in rows] == ["association-opened", *["stored"] * 4, "association-closed"]
    assert {row.actor for row in rows} == {"CT01@127.0.0.1"} and web.ended() == "released"


def test_again_is_200_and_the_same_uid_with_other_content_a_warning(start: Start, files: list[bytes]) -> None:
    web = start()
    assert [web.post(files[:1]).status for _ in range(2)] == [200, 200]
    answer = web.post([files[0][:-1] + b"!"])
    assert answer.status == 202
    assert Dataset.from_json(answer.content.decode()).ReferencedSOPSequence[0].WarningReason == 0xB409
    assert [one for one in web.events() if one in ("stored", "duplicate", "conflict")] == ["stored", "duplicate", "conflict"]


def test_a_study_in_the_url_holds_for_every_file(start: Start, images: list[Dataset], files: list[bytes]) -> None:
    web = start()
    study = str(images[0].StudyInstanceUID)
    assert web.post(files, f"/dicom-web/studies/{study}").status == 200
    stranger = part10(Series(slices=1, size=16, seed="other").datasets()[0])
    mixed = web.post([files[0], stranger], f"/dicom-web/studies/{study}")
    assert mixed.status == 202
    assert Dataset.from_json(mixed.content.decode()).FailedSOPSequence[0].FailureReason == 0xC409
    only = web.post([stranger], f"/dicom-web/studies/{study}")
    assert only.status == 409 and "another study" in only.headers["warning"]
    assert len(web.store.studies()) == 1
    for wrong in ("1.2.x", "1" * 65, "..%2f..%2fetc"):
        assert web.post(files, f"/dicom-web/studies/{wrong}").status in (400, 404)


def test_what_is_no_dicom_file_is_a_failure_of_its_own(start: Start, files: list[bytes]) -> None:
    web = start()
    answer = web.post([b"\x89PNG", files[0]])
    assert answer.status == 202
    assert Dataset.from_json(answer.content.decode()).OtherFailuresSequence[0].FailureReason == 0xC000
    assert web.post([b"\x89PNG"]).status == 409
    body = multipart([b"<xml/>"], "b", "application/dicom+xml")
    assert web.ask("POST", "/dicom-web/studies", body, Content_Type=DICOM + "b").status == 409
    assert web.events().count("refused") == 3


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content_Type": "application/dicom"}, 415),
        ({"Content_Type": "multipart/form-data; boundary=b"}, 415),
        ({"Content_Type": 'multipart/related; type="application/dicom+json"; boundary=b'}, 415),
        ({"Content_Type": 'multipart/related; type="application/dicom"'}, 400),
        ({"Content_Type": DICOM + "x" * 201}, 400),
        ({"Content_Type": ""}, 415),
        ({"Content_Type": DICOM + "b", "Accept": "application/dicom+xml"}, 406),
        ({"Content_Type": DICOM + "b", "Content_Encoding": "gzip"}, 415),
        ({"Content_Type": DICOM + "b", "Content_Length": "99999999999999"}, 413),
        ({"Content_Type": DICOM + "other"}, 400),
        ({"Content_Type": 'Multipart/Related; Boundary="b"; TYPE="Application/DICOM"', "Accept": "text/html, */*;q=0.1"}, 200),
    ],
)
def test_headers_decide_before_anything_is_stored(start: Start, files: list[bytes], headers: dict[str, str], status: int) -> None:
    web = start()
    body = multipart(files[:1], "b")
    body = gzip.compress(body) if "Content_Encoding" in headers else body
    assert web.ask("POST", "/dicom-web/studies", body, **headers).status == status
    assert len(web.kept()) == (status == 200)


@pytest.mark.parametrize(
    ("change", "stored"),
    [
        (lambda body: body[: len(body) * 3 // 4], 2),
        (lambda body: body[: len(body) // 2], 1),
        (lambda body: b"", 0),
        (lambda body: b"--b--\r\n", 0),
        (lambda body: b"x" * 100_000, 0),
        (lambda body: b"--b\r\n" + b"A: b\r\n" * 10_000, 0),
    ],
)
def test_a_body_that_breaks_the_rules_is_400_and_leaves_no_half_object(
    start: Start, files: list[bytes], change: "object", stored: int
) -> None:
    web = start()
    answer = web.ask("POST", "/dicom-web/studies", change(multipart(files[:3], "b")), Content_Type=DICOM + "b")  # type: ignore[operator]
    assert answer.status == 400 and answer.headers["content-type"].startswith("text/plain")
    assert len(web.kept()) == stored and web.ended() == "aborted"
    assert web.post(files).status == 200 and len(web.kept()) == 4


def test_without_space_it_is_503_and_come_again(start: Start, files: list[bytes]) -> None:
    answer = start(reserve=1 << 62).post(files)
    assert answer.status == 503 and int(answer.headers["retry-after"]) > 0
    assert {one.FailureReason for one in Dataset.from_json(answer.content.decode()).FailedSOPSequence} == {0xA700}


def test_sizes_and_numbers_have_limits(start: Start, files: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    web = start(parts=3, body=20_000)
    assert web.post(files).status == 413
    assert web.post([files[0] + bytes(30_000)]).status == 413
    client = http.client.HTTPConnection("127.0.0.1", web.port, timeout=30)
    client.request(
        "POST", "/dicom-web/studies", (bytes(5000) for _ in range(6)), {"Content-Type": DICOM + "b"}, encode_chunked=True
    )
    assert client.getresponse().status in (400, 413)
    client.close()


def test_an_object_that_is_too_large_is_413(
    tmp_path: Path, files: list[bytes], monkeypatch: pytest.MonkeyPatch, start: Start
) -> None:
    monkeypatch.setattr(file_deposit.FileDeposit.__init__, "__defaults__", (1000, ""))
    web = start()
    assert web.post(files[:1]).status == 413
    assert packs(web) == 0


def test_a_refusal_reaches_a_sender_in_the_middle_of_a_long_body(start: Start, files: list[bytes]) -> None:
    web = start(peers=())
    assert web.post([files[0] + bytes(30_000_000)]).status == 403
    assert packs(web) == 0


def test_nobody_may_send_by_default_and_who_tried_is_listed(start: Start, files: list[bytes]) -> None:
    web = start(peers=(PeerSettings("ANY", "", 0), PeerSettings("FAR", "192.0.2.0/24", 0)))
    answer = web.post(files)
    assert answer.status == 403 and web.store.studies() == []
    ((stranger),) = web.store.strangers()
    assert (stranger.caller.calling_ae, stranger.caller.address) == ("STOW-RS", "127.0.0.1")
    forged = web.post(files, X_Forwarded_For="192.0.2.7", Forwarded="for=192.0.2.7")
    assert forged.status == 403
    assert web.ask("GET", "/health").content == b"ok"


def test_a_token_admits_and_can_be_taken_away(start: Start, files: list[bytes], tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("# gateway\n0123456789abcdef\nfedcba9876543210\n")
    tokens.chmod(0o600)
    web = start(peers=(), token_file=tokens)
    assert web.post(files, Authorization="Bearer fedcba9876543210").status == 200
    assert {row.actor for row in web.store.audit()} == {"STOW-RS@127.0.0.1"}
    for wrong in ("Bearer fedcba987654321", "Bearer ", "Basic fedcba9876543210", "Bearer # gateway", "Bearer \xe9" * 2):
        assert web.post(files, Authorization=wrong).status == 403
    tokens.write_text("0123456789abcdef\n")
    assert web.post(files, Authorization="Bearer fedcba9876543210").status == 403
    tokens.unlink()
    assert web.post(files, Authorization="Bearer 0123456789abcdef").status == 403
    assert "fedcba" not in "".join(row.details for row in web.store.audit())


def test_a_client_that_is_cut_off_leaves_what_is_complete_and_nothing_half(start: Start, files: list[bytes]) -> None:
    web = start()
    body = multipart([files[0], files[1] + bytes(500_000)], "b")
    with socket.create_connection(("127.0.0.1", web.port)) as client:
        head = f"POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\nContent-Type: {DICOM}b\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body[:-100_000])
        wait_for(lambda: len(web.kept()) == 1 and packs(web) > 200_000, "the second object to be half written")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, as from a machine that died
    assert web.ended() == "lost"
    ((kept),) = web.kept().values()
    assert data_set(kept) == data_set(files[0])
    assert packs(web) < 20_000
    assert web.post(files[1:]).status == 200 and len(web.kept()) == 4


def test_a_sender_that_falls_silent_is_answered_408(start: Start, files: list[bytes]) -> None:
    web = start(idle_seconds=0.3)
    with socket.create_connection(("127.0.0.1", web.port), timeout=30) as client:
        head = f"POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\nContent-Type: {DICOM}b\r\nContent-Length: 9999\r\n\r\n"
        client.sendall(head.encode() + multipart(files[:1], "b")[:500])
        assert client.recv(100).startswith(b"HTTP/1.1 408")
    assert web.ended() == "aborted" and packs(web) == 0


def test_a_sender_that_trickles_is_cut_off_in_the_end(start: Start, files: list[bytes]) -> None:
    web = start(total_seconds=1.0)
    answers: list[bytes] = []
    with socket.create_connection(("127.0.0.1", web.port), timeout=30) as client:
        head = f"POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\nContent-Type: {DICOM}b\r\nContent-Length: 9999\r\n\r\n"
        client.sendall(head.encode())
        listener = threading.Thread(target=lambda: answers.append(client.recv(100)))
        listener.start()
        while listener.is_alive():
            client.sendall(b"x")
            listener.join(0.05)
    assert answers[0].startswith(b"HTTP/1.1 408")


def test_one_request_too_many_is_503_and_the_others_go_on(start: Start, files: list[bytes]) -> None:
    web = start(requests=1)
    body = multipart(files, "b")
    head = f"POST /dicom-web/studies HTTP/1.1\r\nHost: x\r\nContent-Type: {DICOM}b\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", web.port), timeout=30) as client:
        client.sendall(head.encode() + body[:-10])
        wait_for(lambda: web.kept(), "the first image")
        busy = web.post(files)
        assert busy.status == 503 and "retry-after" in busy.headers
        client.sendall(body[-10:])
        assert client.recv(100).startswith(b"HTTP/1.1 200")


def test_senders_at_the_same_time_do_not_mix(start: Start) -> None:
    web = start()
    studies = [[part10(ds) for ds in Series(slices=6, size=32, seed=f"s{n}").datasets()] for n in range(6)]
    found: list[int] = []
    threads = [threading.Thread(target=lambda one=one: found.append(web.post(one).status)) for one in studies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [200] * 6
    assert {data_set(one) for one in web.kept().values()} == {data_set(one) for study in studies for one in study}


def test_memory_stays_small_whatever_the_size(start: Start, files: list[bytes]) -> None:
    web = start()
    web.post(files)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    mark, zeros, count = b"--b\r\nContent-Type: application/dicom\r\n\r\n", bytes(1 << 20), 300

    def body() -> "object":
        yield mark + files[0]
        for _ in range(count):
            yield zeros
        yield b"\r\n--b--"

    client = http.client.HTTPConnection("127.0.0.1", web.port, timeout=60)
    client.request("POST", "/dicom-web/studies", body(), {"Content-Type": DICOM + "b"}, encode_chunked=True)
    assert client.getresponse().status == 202  # same UID as before, other content
    client.close()
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 64
    assert packs(web) > count << 20


def test_curl_can_send(start: Start, files: list[bytes], tmp_path: Path) -> None:
    web = start()
    (tmp_path / "body").write_bytes(multipart(files, "b"))
    curl = shutil.which("curl") or program("curl")
    url = f"http://127.0.0.1:{web.port}/dicom-web/studies"
    command = [curl, "-sS", "-H", f"Content-Type: {DICOM}b", "-H", "Accept: application/dicom+json", "--data-binary"]
    done = subprocess.run([*command, f"@{tmp_path / 'body'}", url], capture_output=True, timeout=60, check=True)
    assert len(json.loads(done.stdout)["00081199"]["Value"]) == 4
