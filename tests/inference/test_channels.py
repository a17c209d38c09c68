"""Networks that see several series of a study at once: the right ones, on one grid, or one sentence that says what is missing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from domain.errors import PackageError, Reason, UnsuitableError
from domain.jobs import Outcome
from inference import golden
from inference.admission import read_contract
from inference.analyse import Analyser
from inference.assigning import assign
from inference.channels import read_channels
from inference.keys import Table
from inference.package import Package, load
from inference.series import stack
from inference.source import Source
from inference.volume import read_volume
from inference.windows.entry import field_of
from inference.windows.onto import onto
from tests.inference import sequences
from tests.inference.sequences import Sequence, study
from tests.inference.spheres import CENTRE, TRUE_ML, Ball, turned
from tests.inference.windows.test_windows import INFERER


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    found = load(sequences.build(tmp_path_factory.mktemp("channels") / "p"))
    assert isinstance(found, Package)
    return found


@pytest.fixture(scope="module")
def analyser(package: Package) -> Analyser:
    return Analyser(package)


def of(*series: Ball) -> list[Source]:
    return [source for one in series for source in one.sources()]


def test_each_sphere_comes_back_from_its_own_series_on_the_grid_of_the_first(analyser: Analyser) -> None:
    whole = study()
    found = analyser.analyse(of(*reversed(whole.values())))
    assert found.outcome is Outcome.POSITIVE, found.summary
    assert found.labels is not None
    uids = [str(one.common("0").SeriesInstanceUID) for one in whole.values()]
    assert [(read.channel, read.series_uid, read.series_number) for read in found.channels] == [
        ("T1", uids[0], 3),
        ("T1 with contrast", uids[1], 5),
        ("FLAIR", uids[2], 7),
    ]
    assert found.series_uid == uids[0]
    assert set(found.labels.sop_instance_uids) == {str(ds.SOPInstanceUID) for ds in whole["T1"].datasets()}
    for number, one in enumerate(whole.values(), 1):
        centroid, volume = whole["T1"].found(found.labels, number)
        assert np.abs(centroid - one.centre).max() < 0.8, (number, centroid - one.centre)
        assert volume == pytest.approx(TRUE_ML, rel=0.03)


def test_networks_that_go_slice_by_slice_see_all_channels_of_a_slice(tmp_path: Path) -> None:
    slices = '\n[inferer]\nname = "SliceInferer"\nroi_size = [40, 48]\nspatial_dim = 2\n'
    toml = sequences.TOML.replace(INFERER, slices).replace("NCDHW", "NCHW")
    whole = study()
    found = Analyser(load(sequences.build(tmp_path / "p", toml, (40, 48)))).analyse(of(*whole.values()))  # type: ignore[arg-type]
    assert found.labels is not None
    for number, one in enumerate(whole.values(), 1):
        centroid, volume = whole["T1"].found(found.labels, number)
        assert np.abs(centroid - one.centre).max() < 0.8 and volume == pytest.approx(TRUE_ML, rel=0.03)


def test_a_better_alternative_and_then_more_slices_decide_between_series(analyser: Analyser) -> None:
    """A shorter T1, a scout, and a series with contrast that only its physics tell apart are not taken."""
    whole = study()
    shorter = Sequence(series="short", shape=(40, 72, 80), tags={"SeriesDescription": "Ax T1 fast"})
    physics = Sequence(series="phy", shape=(60, 72, 80), tags={"SeriesDescription": "post", "ContrastBolusAgent": "Gd"})
    scout = Sequence(series="scout", shape=(3, 72, 80), tags={"SeriesDescription": "t1 scout"})
    found = analyser.analyse(of(physics, shorter, scout, *whole.values()))
    assert [read.series_number for read in found.channels] == [3, 5, 7]
    without = analyser.analyse(of(physics, shorter, whole["T1"], whole["FLAIR"]))
    assert [read.series_uid for read in without.channels][1] == str(physics.common("0").SeriesInstanceUID)


@pytest.mark.parametrize("gone", ["T1", "T1 with contrast", "FLAIR"])
def test_a_missing_channel_is_named_in_code_and_words(analyser: Analyser, gone: str) -> None:
    found = analyser.analyse(of(*(one for name, one in study().items() if name != gone)))
    assert (found.outcome, found.reason) == (Outcome.NOT_ANALYSED, Reason.MISSING_SERIES)
    assert found.summary == f"There is no series for {gone}; this model needs T1, T1 with contrast and FLAIR."
    assert found.series_uid


def test_one_series_is_never_two_channels(package: Package) -> None:
    """Both channels would take it; the other one stays without."""
    table = {"channels": [{"name": "A"}, {"name": "B"}]}
    channels = read_channels(Table(table, "input"), package.contract)
    with pytest.raises(UnsuitableError, match=r"no series for B; this model needs A and B\."):
        assign(of(Sequence()), channels)
    uids, stacks = assign(of(Sequence(), Sequence(series="other", shape=(30, 72, 80))), channels)
    assert [len(one.sources) for one in stacks] == [48, 30] and len(set(uids)) == 2


def test_series_of_different_frames_of_reference_are_never_laid_over_each_other(analyser: Analyser) -> None:
    found = analyser.analyse(of(*study(frame="moved").values()))
    assert (found.outcome, found.reason) == (Outcome.NOT_ANALYSED, Reason.FRAME_OF_REFERENCE)
    assert "no common frame of reference" in found.summary
    both = [*study().values(), study(frame="moved")["FLAIR"]]
    both[-1].series = "flair again"
    assert analyser.analyse(of(*both)).outcome is Outcome.POSITIVE


def test_a_channel_that_breaks_the_contract_is_named_with_its_own_reason(analyser: Analyser) -> None:
    whole = study()
    flair = whole["FLAIR"].sources()
    found = analyser.analyse([*of(whole["T1"], whole["T1 with contrast"]), *flair[:10], *flair[17:]])
    assert (found.outcome, found.reason) == (Outcome.NOT_ANALYSED, Reason.GAP)
    assert found.summary == "The series for FLAIR: 7 of 34 slices are missing."


def test_a_channel_that_shows_too_little_of_the_first_is_refused_and_less_than_all_is_said(analyser: Analyser) -> None:
    whole = study()
    whole["FLAIR"].shape = (22, 100, 100)
    found = analyser.analyse(of(*whole.values()))
    assert found.partial and any("The series for FLAIR shows 7" in note for note in found.notes), found.notes
    whole["FLAIR"].shape = (12, 100, 100)
    found = analyser.analyse(of(*whole.values()))
    assert (found.outcome, found.reason) == (Outcome.NOT_ANALYSED, Reason.GEOMETRY)
    assert "this model needs at least 50 %" in found.summary and len(found.channels) == 3


def test_golden_cases_hold_all_channels_and_a_channel_too_few_is_said(package: Package, tmp_path: Path) -> None:
    assert [(case.agrees, case.words) for case in golden.check(package)] == [(True, "")]
    folder = sequences.build(tmp_path / "p")
    arrays = dict(np.load(folder / "golden" / "case-01.npz"))
    np.savez_compressed(folder / "golden" / "case-01.npz", **(arrays | {"values": arrays["values"][:2]}))
    with pytest.raises(PackageError, match="3 channels in 'values'"):
        golden.record(folder)


def test_ct_and_suv_are_two_channels(package: Package) -> None:
    table = {"channels": [{"name": "CT"}, {"name": "PET", "modality": "PT", "min_rows": 8, "pixel_spacing_mm": [1.0, 8.0]}]}
    about = {
        "modality": "CT", "orientation": "axial", "orientation_tolerance_deg": 20, "min_slices": 4, "units": "HU",
        "slice_spacing_mm": [1, 5], "pixel_spacing_mm": [0.3, 1.6], "min_rows": 64, "min_columns": 64,
    }  # fmt: skip
    grid = read_contract(Table(about, "input"))
    ct, suv = read_channels(Table(table, "input"), grid)
    assert (ct.contract.units, suv.contract.units, suv.contract.modality) == ("HU", "BQML", "PT")
    assert (ct.contract.min_rows, suv.contract.min_rows, suv.contract.orientation) == (64, 8, "any")
    table["channels"][1]["units"] = "SUVbw"
    assert read_channels(Table(table, "input"), grid)[1].contract.units == "SUVbw"


GRIDS: dict[str, Ball] = {
    "same": Sequence(),
    "shifted and finer": Sequence(spacing=(1.7, 1.1, 1.3), shape=(60, 100, 90), middle=CENTRE + np.array([3.3, -2.1, 5.7])),
    "sagittal": Sequence(orientation=(0, 1, 0, 0, 0, -1), shape=(50, 72, 72)),
    "oblique": Sequence(orientation=turned((1, 0, 0), (0, 1, 0), (0, 24.0), (2, 31.0))),
    "much smaller": Sequence(shape=(20, 40, 40)),
}


@pytest.mark.parametrize("name", GRIDS)
def test_channels_are_laid_over_the_first_as_monais_resample_to_match_does(package: Package, name: str) -> None:
    monai = pytest.importorskip("monai.transforms", reason="MONAI is not installed (extra 'test')")
    pytest.importorskip("nibabel", reason="nibabel is not installed (extra 'test')")
    import torch
    from monai.data import MetaTensor

    contract = package.manifest.channels[1].contract
    first, other = (read_volume(stack(ball.sources(), contract)) for ball in (Sequence(), GRIDS[name]))
    grid, (theirs, _) = field_of(first)[0], field_of(other)

    def meta(values: np.ndarray, place: np.ndarray, origin: tuple[float, ...]) -> Any:
        there = place.copy()
        there[:3, 3] += origin
        affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ there
        return MetaTensor(torch.from_numpy(np.ascontiguousarray(values))[None], affine=torch.tensor(affine))

    moving, fixed = meta(theirs.values, theirs.place, other.origin), meta(grid.values, grid.place, first.origin)
    expected = monai.ResampleToMatch(mode="bilinear", padding_mode="border")(moving, fixed)[0].numpy()
    ours = onto(grid, first, other).values
    ones = meta(np.ones_like(theirs.values), theirs.place, other.origin)
    inside = monai.ResampleToMatch(mode="nearest", padding_mode="zeros")(ones, fixed)[0].numpy() > 0.5
    agreed = np.abs(ours - np.where(inside, expected, 0)) < 2
    assert agreed.mean() > 0.995  # half-way places at the edge are rounded either way
    assert inside.mean() > 0.05 and (name not in ("much smaller", "oblique") or not inside.all())


def rank(rule: dict[str, Any], header: dict[str, Any], package: Package) -> bool:
    table = {"channels": [{"name": "A", "any_of": [rule]}, {"name": "B"}]}
    ds = Dataset()
    ds.Modality = "MR"
    for keyword, value in header.items():
        setattr(ds, keyword, value)
    return read_channels(Table(table, "input"), package.contract)[0].rank(ds) is not None


def enhanced(ds: Dataset) -> Dataset:
    echo, timing, shared = Dataset(), Dataset(), Dataset()
    echo.EffectiveEchoTime, timing.RepetitionTime = 95.0, 9000.0
    shared.MREchoSequence, shared.MRTimingAndRelatedParametersSequence = Items([echo]), Items([timing])
    ds.SharedFunctionalGroupsSequence = Items([shared])
    return ds


AGENT = Dataset()


@pytest.mark.parametrize(
    ("rule", "header", "fits"),
    [
        ({"description": ["*T2*"]}, {"SeriesDescription": "Ax t2 TSE"}, True),
        ({"description": ["t2*"]}, {"SeriesDescription": "Ax T2"}, False),
        ({"description": ["a?x*"]}, {"ProtocolName": "ax t1"}, False),
        ({"description": ["a?x*"]}, {"ProtocolName": "arx t1"}, True),
        ({"description_excludes": ["*gd*"]}, {"SeriesDescription": "T1 Gd"}, False),
        ({"description_excludes": ["*gd*"]}, {}, True),
        ({"contrast": True}, {"ContrastBolusAgent": "Gadovist"}, True),
        ({"contrast": True}, {"ContrastBolusAgent": "none"}, False),
        ({"contrast": True}, {"ContrastBolusAgentSequence": Items([AGENT])}, True),
        ({"contrast": False}, {}, True),
        ({"repetition_time_ms": [0, 1000]}, {"RepetitionTime": "600"}, True),
        ({"repetition_time_ms": [0, 1000]}, {}, False),
        ({"inversion_time_ms": [0, 0]}, {}, True),
        ({"diffusion_b_value": [500, 1500]}, {"DiffusionBValue": 1000.0}, True),
        ({"diffusion_b_value": [500, 1500]}, {}, False),
        ({"flip_angle_deg": [5, 30]}, {"FlipAngle": "90"}, False),
        ({"scanning_sequence": ["IR"]}, {"ScanningSequence": ["SE", "IR"]}, True),
        ({"scanning_sequence": ["GR", "IR"]}, {"ScanningSequence": "IR"}, False),
        ({"sequence_variant": ["SP"]}, {"SequenceVariant": ["SK", "SP"]}, True),
        ({"mr_acquisition_type": ["3D"]}, {"MRAcquisitionType": "2D"}, False),
        ({"image_type": ["adc"]}, {"ImageType": ["DERIVED", "PRIMARY", "ADC"]}, True),
        ({"image_type_excludes": ["DERIVED"]}, {"ImageType": ["DERIVED", "PRIMARY"]}, False),
        ({"slice_thickness_mm": [0.5, 1.5]}, {"SliceThickness": "1"}, True),
        ({"contrast": False}, {"Modality": "CT"}, False),
    ],
)
def test_every_rule_says_yes_and_no(package: Package, rule: dict[str, Any], header: dict[str, Any], fits: bool) -> None:
    assert rank(rule, header, package) is fits


def test_enhanced_images_are_asked_in_their_functional_groups(package: Package) -> None:
    channel = read_channels(
        Table(
            {
                "channels": [
                    {"name": "A", "any_of": [{"echo_time_ms": [80, 120], "repetition_time_ms": [8000, 10000]}]},
                    {"name": "B"},
                ]
            },
            "i",
        ),
        package.contract,
    )[0]
    ds = Dataset()
    ds.Modality = "MR"
    assert channel.rank(ds) is None and channel.rank(enhanced(ds)) == 0


def test_headers_of_anybody_are_a_no_and_never_a_fault(package: Package) -> None:
    """Values of another kind than their attribute's, sequences where values belong, and back."""
    broken: dict[str, Any] = {
        "SeriesDescription": "x" * 100_000 + "flair",
        "ContrastBolusAgent": Items([AGENT]),
        "EchoTime": "many",
        "InversionTime": ["1", "2"],
        "RepetitionTime": None,
        "ScanningSequence": Items([AGENT, AGENT]),
        "ImageType": [],
        "SharedFunctionalGroupsSequence": Items([]),
        "PerFrameFunctionalGroupsSequence": "none",
    }
    for keywords in ([name] for name in broken):
        ds = Dataset()
        ds.Modality = "MR"
        for name in keywords:
            tag = tag_for_keyword(name)
            assert tag is not None
            ds[tag] = DataElement(tag, "SQ" if isinstance(broken[name], Items) else "LT", broken[name], already_converted=True)
        assert [channel.rank(ds) for channel in package.manifest.channels] == [None, None, None], keywords


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('description = ["*flair*"]', "descriptions = 1", "did you mean 'description'"),
        ('description = ["*flair*"]', 'description = ["[a-z]*"]', r"patterns with \* and \?"),
        ('description = ["*flair*"]', f'description = ["{"*a" * 9}"]', r"at most 8 \*"),
        ('description = ["*flair*"]', "", "has no key"),
        ("inversion_time_ms = [1500, 3500]", "inversion_time_ms = [3500, 1500]", "in this order"),
        ('scanning_sequence = ["IR"]', 'scanning_sequence = ["XX"]', "a list of SE, IR"),
        ('name = "FLAIR"', 'name = "t1"', "two channels have the same name"),
        ("min_coverage = 0.5", "min_coverage = 2", "'min_coverage' must be"),
        ('channels = ["FLAIR"]', 'channels = ["FLAIRE"]', "did you mean 'FLAIR'"),
        ('step = "Spacing"', 'step = "Spacing"\nchannels = ["T1"]', "unknown key 'channels'"),
    ],
)
def test_what_is_wrong_with_channels_is_said(tmp_path: Path, before: str, after: str, words: str) -> None:
    with pytest.raises(PackageError, match=words):
        sequences.build(tmp_path / "p", sequences.TOML.replace(before, after, 1))


def test_one_channel_is_refused(package: Package) -> None:
    with pytest.raises(PackageError, match="two or more channels"):
        read_channels(Table({"channels": [{"name": "A"}]}, "input"), package.contract)
