"""QIDO-RS and WADO-RS against a real archive and against services that misbehave."""

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from delivery import retrieving
from delivery.dicomweb import send
from domain.errors import PermanentError, TransientError
from tests import peers
from tests.ct_series import Series, part10
from tests.delivery.test_dicomweb import Handler, says, serving, to


def item(tag: str, value: object) -> dict[str, object]:
    return {tag: {"vr": "UI", "Value": [value]}}


def listing(uids: list[str], pages: bool = True) -> Callable[[Handler], None]:
    """A service with these studies; without ``pages`` it always sends all of them."""

    def answer(request: Handler) -> None:
        asked = parse_qs(urlsplit(request.path).query)
        start, size = (int(asked["offset"][0]), int(asked["limit"][0])) if pages else (0, len(uids))
        says(200, json.dumps([item("0020000D", uid) for uid in uids[start : start + size]]).encode())(request)

    return answer


@pytest.mark.peer
def test_orthanc_lists_what_matches_and_gives_back_the_bytes_it_got(tmp_path: Path) -> None:
    files = []
    for seed, date in (("a", "20250110"), ("b", "20250301")):
        for number, ds in enumerate(Series(slices=3, seed=seed, tags={"StudyDate": date}).datasets()):
            files.append(tmp_path / f"{seed}{number}.dcm")
            files[-1].write_bytes(part10(ds))
    first = str(Series(slices=1, seed="a").datasets()[0].StudyInstanceUID)
    with peers.orthanc(web=True) as pacs:
        service = to(f"http://127.0.0.1:{pacs.http_port}/dicom-web")
        assert list(retrieving.studies(service)) == []
        assert {one.status for one in send(service, files)} == {0}
        assert len(list(retrieving.studies(service))) == 2
        january = [("StudyDate", "20250101-20250131"), ("ModalitiesInStudy", "CT")]
        assert list(retrieving.studies(service, january)) == [first]
        assert list(retrieving.studies(service, [("ModalitiesInStudy", "MR")])) == []
        assert len(list(retrieving.instances(service, first))) == 3
        with retrieving.study(service, first) as arriving:
            body = b"".join(arriving.pieces)
        assert "boundary" in arriving.content_type and body.count(b"DICM") == 3
        with pytest.raises((PermanentError, TransientError), match="web answered"), retrieving.study(service, "1.2.3.4"):
            pass


@pytest.mark.parametrize("pages", [True, False])
def test_long_lists_come_page_by_page_or_all_at_once(pages: bool) -> None:
    uids = [f"1.2.{number}" for number in range(2 * retrieving.PAGE + 7)]
    with serving(listing(uids, pages)) as server:
        assert list(retrieving.studies(to(f"http://127.0.0.1:{server.port}"))) == uids


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (200, b"{", TransientError, "cannot be read"),
        (200, b"{}", TransientError, "is no list"),
        (200, b'[{"0020000D": {"Value": ["Doe^John"]}}]', TransientError, "without a usable UID"),
        (200, b"[3]", TransientError, "without a usable UID"),
        (503, b"", TransientError, "web answered 503"),
        (400, b"", PermanentError, "web answered 400"),
    ],
)
def test_what_is_no_list_of_studies_is_said_in_one_sentence(status: int, body: bytes, error: type[Exception], words: str) -> None:
    with serving(says(status, body)) as server, pytest.raises(error, match=words) as caught:
        list(retrieving.studies(to(f"http://127.0.0.1:{server.port}")))
    assert "Doe" not in str(caught.value)


def test_no_content_is_no_study() -> None:
    with serving(says(204)) as server:
        assert list(retrieving.studies(to(f"http://127.0.0.1:{server.port}"))) == []


def test_an_endless_list_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieving, "MOST", 500)
    uids = [f"1.2.{number}" for number in range(1000)]
    with serving(listing(uids)) as server, pytest.raises(TransientError, match="without end"):
        list(retrieving.studies(to(f"http://127.0.0.1:{server.port}")))


def test_a_service_that_drips_is_given_up_and_the_readers_own_errors_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(says(200, b"x" * 1000)) as server:
        service = to(f"http://127.0.0.1:{server.port}")
        with pytest.raises(OSError, match="No space left"), retrieving.study(service, "1.2"):
            raise OSError(28, "No space left on device")
        monkeypatch.setattr("delivery.web.SLOWEST", 1)
        times = iter(range(0, 100_000, 2000))
        monkeypatch.setattr("delivery.web.time.monotonic", lambda: next(times))
        with pytest.raises(TransientError, match="sends too slowly"), retrieving.study(service, "1.2") as arriving:
            list(arriving.pieces)
