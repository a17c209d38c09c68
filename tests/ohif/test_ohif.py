"""What a radiologist sees in OHIF: every segment, every outline, and no broken viewport for an answer without a finding."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from sr_writer.results import documents
from tests import peers
from tests.ct_series import Series, part10
from tests.ohif.viewer import Viewer, coloured, viewer
from tests.sr_writer import cases
from tests.sr_writer.reading import by_role, saved

pytestmark = pytest.mark.viewer


@dataclass(frozen=True)
class Sent:
    """A study in the PACS: its UID and the series description of each result by role."""

    study_uid: str
    descriptions: dict[str, str]
    case: cases.Case


def send(pacs: peers.Orthanc, case: cases.Case, series: Series) -> Sent:
    for dataset in series.datasets():
        pacs.post("/instances", part10(dataset))
    made = documents(*case.arguments)
    for document in made:
        stored = pacs.post("/instances", saved(document))
        assert pacs.file(stored["ID"]) == saved(document)
    described = {role: str(ds.SeriesDescription) for role, ds in by_role(made).items()}
    return Sent(case.context.study_uid, described, case)


@pytest.fixture(scope="module")
def pacs() -> Iterator[peers.Orthanc]:
    with peers.orthanc(web=True) as peer:
        yield peer


@pytest.fixture(scope="module")
def screen(pacs: peers.Orthanc) -> Iterator[Viewer]:
    with viewer(pacs.http_port) as shown:
        yield shown


@pytest.fixture(scope="module")
def positive(pacs: peers.Orthanc) -> Sent:
    series = Series()
    return send(pacs, cases.positive(series), series)


def test_ohif_lists_every_segment_of_the_seg_and_colours_the_picture(screen: Viewer, positive: Sent) -> None:
    with screen.study(positive.study_uid) as shown:
        plain = coloured(shown.picture())
        layers = [name for role, name in positive.descriptions.items() if role.startswith("seg")]
        for number, name in enumerate(layers, 1):  # one object for each layer of segments that overlap
            shown.load(name)
            state = shown.until(f"s.segments.length >= {number} && s.segments.every(list => list.length > 0)")
        labels = {label for segments in state["segments"] for label in segments}
        assert {segment.label for segment in positive.case.analysis.segments} <= labels
        shown.picture_until(lambda picture: coloured(picture) > plain + 2000)
        assert "Something went wrong" not in shown.text()


def test_ohif_loads_every_outline_of_the_report(screen: Viewer, positive: Sent) -> None:
    with screen.study(positive.study_uid) as shown:
        shown.load(positive.descriptions["sr"])
        state = shown.until("s.tracked.some(list => list.length > 0 && list.some(m => m.loaded))")
        (listed,) = [entries for entries in state["tracked"] if len(entries) > 3]
        expected = {finding.tracking_id for finding in positive.case.analysis.findings}
        assert expected <= {entry["id"] for entry in listed}
        assert "Something went wrong" not in shown.text()


def test_ohif_opens_a_report_without_a_finding(screen: Viewer, pacs: peers.Orthanc) -> None:
    series = Series(seed="negative")
    sent = send(pacs, cases.negative(series), series)
    with screen.study(sent.study_uid) as shown:
        shown.load(sent.descriptions["sr"])
        shown.until("s.tracked.some(list => list.some(m => m.loaded))")
        assert "Something went wrong" not in shown.text()
        assert shown.picture().mean() > 5  # not a black viewport
