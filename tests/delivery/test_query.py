"""How many images a PACS has, asked of PACS that count, that do not, and that misbehave."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]

from delivery.query import count
from domain.destinations import Destination
from domain.errors import TransientError
from tests import peers
from tests.ct_series import Series, part10

STUDY = "1.2.3"
Answers = Callable[[Any], Iterator[tuple[int, Dataset | None]]]


def destination(port: int, ae_title: str = "PACS") -> Destination:
    return Destination("pacs", "dicom", "127.0.0.1", port, ae_title, "ANCILLA", timeout_seconds=5.0, count=True)


@pytest.fixture
def pacs() -> Iterator[Callable[[Answers], Destination]]:
    servers = []

    def begin(answers: Answers) -> Destination:
        port = peers.free_port()
        ae = AE("PACS")
        ae.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
        servers.append(ae.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_FIND, answers)]))
        return destination(port)

    yield begin
    for server in servers:
        server.shutdown()


def study(number: object = "", uid: str = STUDY) -> Dataset:
    ds = Dataset()
    ds.StudyInstanceUID = uid
    if number is not None:
        ds.NumberOfStudyRelatedInstances = number
    return ds


def test_the_number_the_pacs_gives_is_returned(pacs: Callable[[Answers], Destination]) -> None:
    asked = []

    def answer(event: Any) -> Iterator[tuple[int, Dataset | None]]:
        asked.append(event.identifier)
        yield 0xFF00, study(300)

    assert count(pacs(answer), STUDY) == 300
    assert (asked[0].QueryRetrieveLevel, asked[0].StudyInstanceUID) == ("STUDY", STUDY)
    assert "NumberOfStudyRelatedInstances" in asked[0]


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        ([], 0),
        ([study(None)], None),
        ([study("")], None),
        ([study(7), study(9)], 9),
        ([study(7, "9.9")], 0),
        ([study(10**9)], None),
    ],
    ids=["unknown study", "no number", "an empty number", "two answers", "another study", "nonsense"],
)
def test_other_answers_are_understood(pacs: Callable[[Answers], Destination], answer: list[Dataset], number: int | None) -> None:
    def answers(_: Any) -> Iterator[tuple[int, Dataset | None]]:
        for one in answer:
            yield 0xFF00, one

    assert count(pacs(answers), STUDY) == number


def test_a_failure_of_the_query_is_tried_again_later(pacs: Callable[[Answers], Destination]) -> None:
    def answers(_: Any) -> Iterator[tuple[int, Dataset | None]]:
        yield 0xA700, None

    with pytest.raises(TransientError):
        count(pacs(answers), STUDY)


def test_nobody_there_is_tried_again_later() -> None:
    with pytest.raises(TransientError):
        count(destination(peers.free_port()), STUDY)


@pytest.mark.peer
def test_a_pacs_without_queries_is_tried_again_later() -> None:
    with peers.storescp() as peer, pytest.raises(TransientError):
        count(destination(peer.port, peer.ae_title), STUDY)


@pytest.mark.peer
def test_orthanc_counts_what_it_has(tmp_path: Any) -> None:
    images = Series(slices=5).datasets()
    extra = {"DicomModalities": {"us": ["ANCILLA", "127.0.0.1", 104]}}
    with peers.orthanc(extra=extra) as orthanc:
        for image in images:
            orthanc.post("/instances", part10(image))
        here = destination(orthanc.port, orthanc.ae_title)
        assert count(here, str(images[0].StudyInstanceUID)) == 5
        assert count(here, generate_uid()) == 0
