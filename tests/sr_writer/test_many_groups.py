"""A report of many findings is the one that highdicom alone would have written, byte for byte, in a tenth of the time."""

from dataclasses import replace

import numpy as np
import pytest

from domain.errors import PermanentError
from domain.results import Finding, Line, Measurement, Outline
from sr_writer.results import documents
from tests.ct_series import Series
from tests.sr_writer import cases, colour_cases, grids
from tests.sr_writer.reading import by_role, groups, saved, tracking


def findings(case: cases.Case, count: int, frame: int | None = None) -> list[Finding]:
    """Findings of three shapes in turn, with and without measurements, polygons of three to eight corners."""
    rng = np.random.default_rng(count)
    model = cases.positive(numbers=(3,)).analysis.findings[0]
    found = []
    for number in range(count):
        angles = np.sort(rng.random(3 + number % 6)) * 6
        points = 25 + 15 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        image = str(case.headers[number % len(case.headers)].SOPInstanceUID)
        line = Line(cases.Code("103339001", "SCT", "Long axis"), image, points[:2], frame)
        volume = Measurement(cases.VOLUME, float(rng.random() * 10 ** (number % 9)), cases.MM3)
        finding = replace(
            model, tracking_id=f"chest-demo/spot/{number}", segment=None, outline=Outline(image, points, frame), lines=(line,),
            label=f"Spot {number}", measurements=(volume,),
        )  # fmt: skip
        if number % 3 == 1:
            finding = replace(finding, laterality=cases.RIGHT, evaluations=(), site=None if number % 2 else finding.site)
        elif number % 3 == 2:
            finding = replace(finding, measurements=(), outline_measurements=())
        found.append(finding)
    return found


def with_findings(case: cases.Case, found: list[Finding]) -> cases.Case:
    return replace(case, analysis=replace(case.analysis, findings=tuple(found)))


def report(case: cases.Case, role: str = "sr") -> bytes:
    (data,) = [saved(document) for document in documents(*case.arguments) if document.role == role]
    return data


CASES = {
    "plain": cases.positive(Series(), outputs=("sr",)),
    "compared": cases.positive(
        Series(), outputs=("sr",), time_points={f"chest-demo/spot/{n}": ("20250101", 1) for n in range(0, 51, 7)}
    ),
    "other language": cases.positive(Series(), outputs=("sr",), language="zh"),
    "latin names": cases.positive(
        Series(tags={"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Müller^Jörg"}), outputs=("sr",)
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_fifty_one_findings_make_the_same_file_both_ways(name: str) -> None:
    case = with_findings(CASES[name], findings(CASES[name], 51))
    assert report(case) == report(grids.slow(case))


def test_findings_on_frames_of_a_loop_make_the_same_file_both_ways() -> None:
    loop = colour_cases.without_pixels(colour_cases.loop(outputs=("sr",)))
    case = with_findings(loop, findings(loop, 51, frame=2))
    assert report(case) == report(grids.slow(case))


def test_a_plainer_report_has_all_findings_too() -> None:
    base = cases.positive(Series(), outputs=("sr", "sr-comprehensive"))
    case = with_findings(base, findings(base, 51))
    assert report(case, "sr-comprehensive") == report(grids.slow(case), "sr-comprehensive")


def test_findings_stand_in_their_order_each_with_its_own_tracking_uid() -> None:
    case = with_findings(CASES["plain"], findings(CASES["plain"], 70))
    found = [tracking(group) for group in groups(by_role(documents(*case.arguments))["sr"])]
    assert [name for name, _ in found if "/spot/" in name] == [f"chest-demo/spot/{n}" for n in range(70)]
    assert len({uid for _, uid in found}) == len(found)


@pytest.mark.parametrize("fault", ["twice", "outside", "no image", "no number", "no corners"])
def test_faults_are_found_among_many_too(fault: str) -> None:
    case = CASES["plain"]
    found = findings(case, 60)
    outline = found[40].outline
    assert outline is not None
    last = {
        "twice": replace(found[40], tracking_id=found[4].tracking_id),
        "outside": replace(found[40], outline=replace(outline, points=outline.points + 60)),
        "no image": replace(found[40], outline=replace(outline, sop_instance_uid="1.2.3")),
        "no number": replace(found[40], measurements=(Measurement(cases.VOLUME, float("nan"), cases.MM3),)),
        "no corners": replace(found[40], outline=replace(outline, points=outline.points[:2])),
    }[fault]
    with pytest.raises(PermanentError):
        documents(*with_findings(case, [*found[:40], last, *found[41:]]).arguments)
