"""A sphere of known place and size comes back from every geometry, through a real network; and every modality's own values."""

import numpy as np
import openvino as ov
import openvino.opset13 as op
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import JPEG2000Lossless, RLELossless

from domain.errors import Reason, UnsuitableError
from domain.jobs import Outcome
from domain.results import Analysis
from inference import golden, package
from inference.admission import Contract
from inference.analyse import Analyser
from inference.package import load
from inference.series import stack
from inference.source import open_source
from inference.volume import read_volume
from tests.ct_series import part10
from tests.inference import small_package
from tests.inference.spheres import GEOMETRIES, TRUE_ML, Ball

TOML = (
    small_package.TOML.split("[[postprocessing]]")[0]
    .replace('orientation = "axial"', 'orientation = "any"')
    .replace("size = [64, 64]", "size = [80, 80]")
    .replace("channels_mm = [-5.0, 0.0, 5.0]", "channels_slices = [0]")
    .replace("labels = [1, 2]", "labels = [1]")
    .replace('[[network.outputs]]\nname = "opacity"\nlabels = [3, 4]\n', "")
    .replace('mode = "area"', 'mode = "bilinear"')
    + small_package.TOML[small_package.TOML.index("[precision]") :]
)
SEGMENTS = {"segmentAttributes": [[small_package.segment(1, "Ball", ("123037004", "SCT", "Body structure"))]]}
BALL = small_package.code(("123037004", "SCT", "Body structure"))
REPORT = {
    "quantities": {"volume": {"measure": "Volume", "segments": [1]}, "mean": {"measure": "Mean", "segments": [1]}},
    "positive": [{"quantity": "volume", "at_least": 1.0}],
    "summary": {"positive": "{volume:.1f} ml, mean {mean:.1f}.", "negative": "Nothing."},
    "findings": [
        {
            "name": "ball",
            "when": "positive",
            "segment": 1,
            "finding": BALL,
            "outline": True,
            "measurements": [{"quantity": "volume"}, {"quantity": "mean"}],
        }
    ],
    "statements": [
        {"name": "none", "when": "negative", "finding": BALL, "measurements": [{"quantity": "volume"}]},
    ],
    "key_images": {"window": [40, 400], "caption": "{label}"},
}


def graph(threshold: float, size: int = 80) -> ov.Model:
    """Everything of at least ``threshold`` is the ball."""
    image = op.parameter([-1, 1, size, size], np.float32, name="hu")
    image.get_output_tensor(0).set_names({"hu"})
    above = op.greater_equal(op.squeeze(image, [1]), op.constant(np.float32(threshold)))
    labels = op.convert(above, "u8")
    labels.output(0).get_tensor().set_names({"lungs"})
    return ov.Model([op.result(labels)], [image], "ball")


def build(folder_factory: pytest.TempPathFactory, toml: str, threshold: float) -> Analyser:
    folder = folder_factory.mktemp("ball") / "package"
    small_package.write(folder, toml=toml, segments=SEGMENTS, report=REPORT, model=graph(threshold))
    if 'units = "HU"' not in toml:
        values = np.maximum(small_package.chest() + 1024, 0).astype(np.float32)
        np.savez_compressed(folder / "golden" / "case-01.npz", values=values, spacing=np.array([5.0, 5.0, 5.0]))
    golden.record(folder)
    package.seal(folder)
    return Analyser(load(folder))


@pytest.fixture(scope="module")
def ct(tmp_path_factory: pytest.TempPathFactory) -> Analyser:
    return build(tmp_path_factory, TOML, -470)


def for_modality(modality: str, units: str) -> str:
    toml = TOML.replace('modality = "CT"', f'modality = "{modality}"').replace('units = "HU"', f'units = "{units}"')
    return toml.replace('value = "HU"', f'value = "{units}"')


@pytest.fixture(scope="module")
def mr(tmp_path_factory: pytest.TempPathFactory) -> Analyser:
    return build(tmp_path_factory, for_modality("MR", "arbitrary"), 530)


def check(ball: Ball, found: Analysis) -> None:
    assert found.outcome is Outcome.POSITIVE, found.summary
    assert found.labels is not None
    centroid, volume = ball.found(found.labels)
    assert np.abs(centroid - ball.centre).max() < min(ball.spacing[1:]) / 2, centroid - ball.centre
    assert volume == pytest.approx(TRUE_ML, rel=0.02)


@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_sphere_comes_back_from_every_geometry(ct: Analyser, name: str) -> None:
    ball = GEOMETRIES[name]
    found = ct.analyse(ball.sources())
    check(ball, found)
    measured = {m.name.meaning: m.value for m in found.findings[0].measurements}
    assert measured["Volume"] == pytest.approx(TRUE_ML, rel=0.02)


@pytest.mark.parametrize("orientation", ["axial", "coronal", "sagittal"])
def test_a_reader_would_know_the_slices_the_network_sees(ct: Analyser, orientation: str) -> None:
    """Rows go to the back or to the feet, columns to the patient's left or to the back."""
    down = {"axial": (1, 1), "coronal": (2, -1), "sagittal": (2, -1)}[orientation]
    across = {"axial": (0, 1), "coronal": (0, 1), "sagittal": (1, 1)}[orientation]
    axes = np.eye(3)
    row, column = axes[across[0]], axes[down[0]]
    for row_sense in (1, -1):
        for column_sense in (1, -1):
            for first, second in ((row * row_sense, column * column_sense), (column * column_sense, row * row_sense)):
                ball = Ball(orientation=(*first, *second), shape=(5, 12, 12))
                volume = read_volume(stack(ball.sources(), ct.package.contract))
                points = ball.points(2)
                assert (np.diff(volume.seen(points[..., down[0]]), axis=0) * down[1] > 0).all()
                assert (np.diff(volume.seen(points[..., across[0]]), axis=1) * across[1] > 0).all()


def test_frames_of_an_enhanced_ct_are_slices_and_labels_name_them(ct: Analyser) -> None:
    ball = Ball(orientation=(1, 0, 0, 0, -1, 0), order=list(range(48)))
    found = ct.analyse([open_source(part10(ball.enhanced()))])
    check(ball, found)
    assert found.labels is not None
    assert set(found.labels.sop_instance_uids) == {str(ball.common("enhanced").SOPInstanceUID)}
    assert sorted(found.labels.frames) == list(range(1, 49)) and found.labels.frames[0] == 48
    outline = found.findings[0].outline
    assert outline is not None and outline.frame == found.key_images[0].frame
    assert found.labels.mask(1)[found.labels.frames.index(outline.frame)].any()


def test_only_the_phase_with_most_frames_is_read_and_every_frame_has_its_own_rescale(ct: Analyser) -> None:
    order = [i for i in range(48) for phase in range(3) if phase == 2 or i % 2 == 0]
    ball = Ball(order=order)
    source = open_source(part10(ball.enhanced(phases=3, shared_rescale=False)))
    assert np.abs(read_volume(stack([source], ct.package.contract)).hu - ball.values()).max() <= 3
    found = ct.analyse([source])
    check(ball, found)
    assert found.labels is not None and len(found.labels.frames) == 48
    assert found.notes == ("1 of 3 stacks or phases of the multi-frame image analysed",)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_compressed_frames_are_told_apart(ct: Analyser, syntax: str) -> None:
    ball = Ball(order=list(range(48)))
    ds = ball.enhanced()
    ds.compress(syntax, generate_instance_uid=False)
    check(ball, ct.analyse([open_source(part10(ds))]))


def test_an_enhanced_mr_is_read_too(mr: Analyser) -> None:
    ball = Ball(modality="MR", orientation=(0, 1, 0, 0, 0, -1), shape=(50, 72, 72), order=list(range(50)))
    ds = ball.enhanced()
    for item in ds.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence:
        item.RescaleIntercept = "-24"  # stored 24 is 0: the sphere is 1060
    found = mr.analyse([open_source(part10(ds))])
    check(ball, found)
    assert {m.name.value: m.unit.value for m in found.findings[0].measurements}["110852"] == "1"


def test_mr_needs_no_rescale_and_follows_that_of_each_slice(mr: Analyser) -> None:
    ball = Ball(modality="MR", orientation=(1, 0, 0, 0, 0, -1), shape=(50, 72, 72))
    check(ball, mr.analyse(ball.sources()))
    sources = []
    for i, ds in enumerate(ball.datasets()):
        slope = 1 + i % 4
        stored = np.frombuffer(ds.PixelData, "<i2") / slope + 7
        ds.PixelData = np.rint(stored).astype("<i2").tobytes()
        ds.RescaleSlope, ds.RescaleIntercept = str(slope), str(-7 * slope)
        sources.append(open_source(part10(ds)))
    check(ball, mr.analyse(sources))


def pet(ds: Dataset, **changes: object) -> Dataset:
    """Activity of 1060 x slope Bq/ml in the sphere; 74 kg, 370 MBq injected one half-life (1 h) before the scan."""
    ds.Units, ds.DecayCorrection, ds.CorrectedImage = "BQML", "START", ["DECY", "ATTN", "SCAT"]
    ds.RescaleSlope, ds.RescaleIntercept = str(10 + int(ds.InstanceNumber) % 3), "0"
    stored = np.frombuffer(ds.PixelData, "<i2") * 10 / float(ds.RescaleSlope)
    ds.PixelData = np.rint(stored).astype("<i2").tobytes()
    ds.PatientWeight, ds.SeriesDate, ds.SeriesTime = "74", "20260101", "110000"
    ds.AcquisitionDate, ds.AcquisitionTime = "20260101", "110500"
    drug = Dataset()
    drug.RadionuclideTotalDose, drug.RadionuclideHalfLife = "370000000", "3600"
    drug.RadiopharmaceuticalStartTime = "100000"
    ds.RadiopharmaceuticalInformationSequence = Sequence([drug])
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    return ds


def test_pet_activity_has_a_slope_in_every_slice(tmp_path_factory: pytest.TempPathFactory) -> None:
    analyser = build(tmp_path_factory, for_modality("PT", "BQML"), 5300)
    ball = Ball(modality="PT")
    found = analyser.analyse([open_source(part10(pet(ds))) for ds in ball.datasets()])
    check(ball, found)
    assert [m.value for m in found.findings[0].measurements if m.unit.value == "Bq/ml"] == [pytest.approx(10300, rel=0.03)]


def test_suv_follows_weight_dose_and_decay(tmp_path_factory: pytest.TempPathFactory) -> None:
    """10 600 Bq/ml x 74 000 g / (370 MBq / 2) = 4.24."""
    analyser = build(tmp_path_factory, for_modality("PT", "SUVbw"), 2.12)
    ball = Ball(modality="PT")
    found = analyser.analyse([open_source(part10(pet(ds))) for ds in ball.datasets()])
    check(ball, found)
    volume = read_volume(stack([open_source(part10(pet(ds))) for ds in ball.datasets()], analyser.package.contract))
    assert volume.hu.max() == pytest.approx(4.24, rel=0.001)
    before_midnight = [open_source(part10(pet(ds, SeriesTime="003000", AcquisitionTime="003100"))) for ds in ball.datasets()[:12]]
    for source in before_midnight:
        source.header.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartTime = "233000"
    assert read_volume(stack(before_midnight, analyser.package.contract)).hu.max() == pytest.approx(4.24, rel=0.001)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Units": "CNTS"}, "are in CNTS"),
        ({"CorrectedImage": ["DECY"]}, "not corrected for attenuation"),
        ({"PatientWeight": None}, "weight"),
        ({"DecayCorrection": "NONE"}, "to which time"),
        ({"SeriesTime": "120000"}, "when the scan began"),
        ({"RadiopharmaceuticalInformationSequence": None}, "what was injected"),
        ({"RescaleSlope": None}, "Rescale Slope"),
        ({"RescaleIntercept": "5"}, "Rescale Slope"),
    ],
)
def test_what_keeps_a_pet_image_from_being_suv_is_said(changes: dict[str, object], words: str) -> None:
    from inference.units import scale

    ds = pet(Ball(modality="PT", shape=(5, 8, 8)).datasets()[0], **changes)
    with pytest.raises(UnsuitableError, match=words) as error:
        scale(ds, "SUVbw")
    assert error.value.reason is Reason.RESCALE


def test_corrected_to_injection_needs_no_decay_and_values_in_suv_are_taken_as_they_are() -> None:
    from inference.units import scale

    ds = pet(Ball(modality="PT", shape=(5, 8, 8)).datasets()[0], DecayCorrection="ADMIN", RescaleSlope="2")
    assert scale(ds, "SUVbw")[0] == pytest.approx(2 * 74000 / 370e6)
    ds.Units = "GML"
    assert scale(ds, "SUVbw") == (2.0, 0.0)
    ds.SUVType = "LBM"
    with pytest.raises(UnsuitableError, match="are in GML"):
        scale(ds, "SUVbw")


def damaged(contract: Contract, **changes: object) -> Reason | None:
    ball = Ball(shape=(6, 16, 16), order=list(range(6)))
    ds = ball.enhanced()
    for keyword, value in changes.items():
        setattr(ds, keyword, value)
    source = open_source(part10(ds))
    try:
        read_volume(stack([source], contract))
    except UnsuitableError as error:
        return error.reason
    return None


def test_enhanced_images_that_contradict_themselves_are_answered(ct: Analyser) -> None:
    contract = ct.package.contract
    assert damaged(contract) is None
    assert damaged(contract, NumberOfFrames=7) is Reason.GEOMETRY
    assert damaged(contract, NumberOfFrames=10**9) is Reason.GEOMETRY
    assert damaged(contract, PerFrameFunctionalGroupsSequence=None) is Reason.GEOMETRY
    assert damaged(contract, SharedFunctionalGroupsSequence=None) is Reason.GEOMETRY
    assert damaged(contract, PixelData=bytes(100)) is Reason.DECODE
    assert damaged(contract, Rows=60000) is Reason.DECODE
