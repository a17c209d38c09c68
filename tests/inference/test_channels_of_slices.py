"""Networks that see several series slice by slice, with neighbours: each channel is a series and an offset, on one grid."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from domain.errors import PackageError, Reason
from domain.jobs import Outcome
from domain.results import Analysis
from inference import golden
from inference.analyse import Analyser
from inference.engine import channel_slices
from inference.kept import Kept
from inference.package import Package, load, seal
from inference.source import Source
from tests.inference import sequences
from tests.inference.sequences import Sequence
from tests.inference.spheres import CENTRE, RADIUS, turned

X, Y = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    found = load(sequences.build_of_slices(tmp_path_factory.mktemp("slices") / "p"))
    assert isinstance(found, Package)
    return found


@pytest.fixture(scope="module")
def analyser(package: Package) -> Analyser:
    return Analyser(package)


def t1(**changes: object) -> Sequence:
    return replace(Sequence(tags={"SeriesDescription": "Ax T1 SE", "SeriesNumber": 3}), **changes)  # type: ignore[arg-type]


def flair(**changes: object) -> Sequence:
    """Thicker slices, shifted and turned against those of T1, with a sphere of its own."""
    about = {"SeriesDescription": "Ax FLAIR", "SeriesNumber": 7, "EchoTime": "100", "InversionTime": "2500"}
    made = Sequence(
        series="flair", orientation=turned(X, Y, (0, 12.0), (2, 7.0)), spacing=(4.0, 1.3, 1.3), shape=(38, 120, 120),
        centre=CENTRE + np.array([9.0, -6.0, 12.0]), middle=CENTRE + np.array([2.0, 3.0, 4.0]), scale=2.0, tags=about,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def of(*series: Sequence) -> list[Source]:
    return [source for one in series for source in one.sources()]


def truth(first: Sequence, second: Sequence, slices: list[int], up: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the network must find in these slices of the first series, by where its voxels are in the patient."""
    normal = np.cross(first.orientation[:3], first.orientation[3:])
    places = {index: float(first.positions()[index] @ normal) * np.sign(normal[2]) for index in slices}

    def at(index: int, offset: float) -> int:
        wanted = places[index] + offset
        return min(slices, key=lambda i: (round(abs(places[i] - wanted), 2), abs(places[i] - places[index])))

    def inside(index: int, centre: np.ndarray) -> np.ndarray:
        return np.asarray(np.linalg.norm(first.points(index) - centre, axis=2) < RADIUS)

    here = np.array([inside(i, first.centre) for i in slices])
    above = np.array([inside(at(i, up), second.centre) for i in slices])
    below = np.array([inside(at(i, -5), first.centre) for i in slices])
    return here & above, above & ~below, below


def check(found: Analysis, first: Sequence, second: Sequence, up: float = 10) -> None:
    assert found.outcome is Outcome.POSITIVE, found.summary
    assert found.labels is not None
    uids = {str(first.common(str(i)).SOPInstanceUID): i for i in range(first.shape[0])}
    slices = [uids[uid] for uid in found.labels.sop_instance_uids]
    for number, expected in enumerate(truth(first, second, slices, up), 1):
        mask = found.labels.mask(number)
        assert expected.sum() > 1000, number
        assert 2 * (mask & expected).sum() / (mask.sum() + expected.sum()) > 0.95, number  # the second has slices of 4 mm


def test_every_channel_is_its_series_at_its_offset(analyser: Analyser) -> None:
    first, second = t1(), flair()
    found = analyser.analyse(of(second, first))
    check(found, first, second)
    assert [(read.channel, read.series_number) for read in found.channels] == [("T1", 3), ("FLAIR", 7)]
    assert found.series_uid == str(first.common("0").SeriesInstanceUID)
    assert found.labels is not None
    assert set(found.labels.sop_instance_uids) == {str(ds.SOPInstanceUID) for ds in first.datasets()}


@pytest.mark.parametrize(
    "first",
    [
        t1(descending=True, spacing=(5.0, 1.6, 1.6), shape=(24, 72, 80)),
        t1(orientation=(-1.0, 0.0, 0.0, 0.0, -1.0, 0.0)),  # prone
        t1(orientation=turned(X, Y, (0, 15.0), (1, -9.0))),
        t1(shear=0.2),
    ],
    ids=["5 mm, from head to feet", "prone", "oblique", "tilted"],
)
def test_the_first_series_may_lie_as_it_likes(analyser: Analyser, first: Sequence) -> None:
    check(analyser.analyse(of(first, flair())), first, flair())


def test_the_answer_depends_on_both_series_and_on_the_offset(tmp_path: Path) -> None:
    toml = sequences.SLICES_TOML.replace('["FLAIR", 10.0]', '["FLAIR", -10.0]')
    other = Analyser(load(sequences.build_of_slices(tmp_path / "p", toml)))  # type: ignore[arg-type]
    check(other.analyse(of(t1(), flair())), t1(), flair(), up=-10)
    moved = flair(centre=CENTRE + np.array([-9.0, 6.0, 24.0]))
    check(other.analyse(of(t1(), moved)), t1(), moved, up=-10)
    answers = [truth(t1(), second, list(range(48)), up)[0] for second, up in ((flair(), 10), (flair(), -10), (moved, -10))]
    for one, two in ((0, 1), (0, 2), (1, 2)):  # they are told apart
        assert 2 * (answers[one] & answers[two]).sum() / (answers[one].sum() + answers[two].sum()) < 0.9


def test_offsets_in_slices_count_on_the_grid_of_the_first(tmp_path: Path) -> None:
    """Slices of 5 mm: two up are 10 mm, one down is 5 mm."""
    toml = sequences.SLICES_TOML.replace(
        'channels_mm = [["T1", 0.0], ["FLAIR", 10.0], ["T1", -5.0]]', 'channels_slices = [["T1", 0], ["FLAIR", 2], ["T1", -1]]'
    )
    package = load(sequences.build_of_slices(tmp_path / "p", toml))
    assert isinstance(package, Package)
    first = t1(spacing=(5.0, 1.6, 1.6), shape=(24, 72, 80))
    check(Analyser(package).analyse(of(first, flair())), first, flair())
    assert channel_slices(package.network, (0.0, 5.0, 10.0, 15.0)).tolist() == [[0, 6, 0], [1, 7, 0], [2, 7, 1], [3, 7, 2]]


def test_missing_slices_of_the_first_leave_the_others_in_their_places(analyser: Analyser) -> None:
    sources = [source for i, source in enumerate(t1().sources()) if i not in (20, 31)]
    found = analyser.analyse([*sources, *flair().sources()])
    assert found.labels is not None and len(found.labels.layers[0]) == 46
    check(found, t1(), flair())
    assert found.notes[0] == "2 of 48 slices are missing"


def test_a_missing_series_and_one_of_another_frame_of_reference_are_named(analyser: Analyser) -> None:
    found = analyser.analyse(of(t1()))
    assert (found.reason, found.summary) == (
        Reason.MISSING_SERIES,
        "There is no series for FLAIR; this model needs T1 and FLAIR.",
    )
    assert analyser.analyse(of(t1(), flair(frame="moved"))).reason is Reason.FRAME_OF_REFERENCE
    small = flair(shape=(8, 120, 120))
    assert analyser.analyse(of(t1(), small)).reason is Reason.GEOMETRY


def test_nothing_is_computed_before_all_series_are_there(analyser: Analyser, tmp_path: Path) -> None:
    """Every slice of the others is laid over the first as a whole, so nothing is begun early, and nothing kept is looked for."""
    kept = Kept(tmp_path / "kept")
    begun = analyser.begin(of(t1()), kept, lambda: True)
    assert (begun.slices, begun.complete) == (0, True)
    alone, beside = analyser.analyse(of(t1(), flair())), analyser.analyse(of(t1(), flair()), kept)
    assert alone.labels is not None and beside.labels is not None
    assert kept.used == 0 and np.array_equal(alone.labels.layers, beside.labels.layers)


def test_golden_cases_hold_both_series(package: Package, tmp_path: Path) -> None:
    assert [(case.agrees, case.words) for case in golden.check(package)] == [(True, "")]
    folder = sequences.build_of_slices(tmp_path / "p")
    arrays = dict(np.load(folder / "golden" / "case-01.npz"))
    assert [bool(layer.any()) for layer in arrays["labels"]] == [True, True, True]
    swapped = arrays | {"values": arrays["values"][::-1]}
    np.savez_compressed(folder / "golden" / "case-01.npz", **swapped)
    seal(folder)
    [case] = golden.check(load(folder))
    assert not case.agrees and "Dice" in case.words


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('["FLAIR", 10.0]', '["FLAIRE", 10.0]', r"channels_mm\[1\]: 'channel' must be one of T1, FLAIR \(did you mean 'FLAIR'"),
        ('["FLAIR", 10.0], ', "", "no channel of the network is of 'FLAIR', which 'input' names"),
        (
            '[["T1", 0.0], ["FLAIR", 10.0], ["T1", -5.0]]',
            "[0.0, 10.0, -5.0]",
            r"a list of pairs of a channel .*\[\[\"T1\", 0\]\]",
        ),
        ('["FLAIR", 10.0]', '["FLAIR", 10.0, 3]', "a list of pairs"),
        ('["FLAIR", 10.0]', '["FLAIR", "10"]', r"channels_mm\[1\]: 'offset' must be a number from -1000 to 1000"),
        ("channels_mm = ", "channels_slices = ", None),
        ('channels_mm = [["T1", 0.0]', 'channels_slices = [["T1", 0.5]', "a whole number of slices"),
        ('channels = ["FLAIR"]', 'channels = ["PET"]', "'PET' is not one"),
        ('mode = "bilinear"', 'mode = "bilinear"\nchannels = ["T1"]', "unknown key 'channels'"),
    ],
)
def test_what_is_wrong_with_channels_of_slices_is_said(tmp_path: Path, before: str, after: str, words: str | None) -> None:
    assert before in sequences.SLICES_TOML
    toml = sequences.SLICES_TOML.replace(before, after, 1)
    if words is None:
        sequences.build_of_slices(tmp_path / "p", toml)
        return
    with pytest.raises(PackageError, match=words):
        sequences.build_of_slices(tmp_path / "p", toml)


def test_pairs_without_named_series_are_refused(tmp_path: Path) -> None:
    start, end = sequences.SLICES_TOML.index("[[input.channels]]"), sequences.SLICES_TOML.index("[network]")
    toml = sequences.SLICES_TOML[:start] + sequences.SLICES_TOML[end:]
    with pytest.raises(PackageError, match=r"pairs of a channel and an offset need \[\[input.channels\]\]"):
        sequences.build_of_slices(tmp_path / "p", toml)
