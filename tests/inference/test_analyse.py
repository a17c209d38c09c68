"""From DICOM bytes to the answer, through a real network."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from domain.errors import Reason
from domain.jobs import Outcome
from domain.results import Analysis
from inference import golden
from inference.analyse import Analyser
from inference.engine import channel_slices
from inference.outline import area
from inference.package import Package, load, seal
from inference.report import windowed
from inference.source import Source, open_source
from tests.ct_series import Series, Volume, part10
from tests.inference import small_package


@dataclass
class Chest(Series):
    """The series of the golden case: lungs, and a box of some HU in the patient's left lung."""

    slices: int = 12
    lesion: int | None = -600
    paint: Callable[[Volume], None] | None = None

    def hu(self) -> Volume:
        hu = small_package.chest(self.slices, self.size, self.lesion)
        if self.paint is not None:
            self.paint(hu)
        return hu


def sources(series: Series) -> list[Source]:
    return [open_source(part10(ds)) for ds in series.datasets()]


def measured(analysis: Analysis, finding: str) -> dict[str, float]:
    found = next(f for f in analysis.findings if f.tracking_id == f"test-lungs/{finding}/1")
    return {m.name.meaning: m.value for m in found.measurements}


def test_a_lesion_is_found_measured_and_outlined(analyser: Analyser) -> None:
    found = analyser.analyse(sources(Chest()))
    assert found.outcome is Outcome.POSITIVE
    assert found.summary == "Opacities in 1.9 % of the lungs, score 1."
    assert [f.tracking_id for f in found.findings] == [
        "test-lungs/left-lung/1",
        "test-lungs/right-lung/1",
        "test-lungs/ground-glass-opacity/1",
    ]
    assert measured(found, "ground-glass-opacity") == {"Volume": 12.0, "Attenuation Coefficient": -600.0}
    glass = found.findings[2]
    assert glass.outline is not None and glass.segment == 3
    assert glass.outline.points.min(axis=0).tolist() == [42, 28]
    assert glass.outline.points.max(axis=0).tolist() == [48, 36]
    assert [(m.name.meaning, m.value) for m in glass.outline_measurements] == [("Area", 48 * 25.0)]
    assert [image.sop_instance_uid for image in found.key_images] == [glass.outline.sop_instance_uid]
    assert found.key_images[0].caption == "Ground-glass opacity, 1.9 %"
    assert {m.name.value: m.value for m in found.statements[0].measurements}["ct-severity"] == 1
    assert [s.number for s in found.segments] == [1, 2, 3]


def test_labels_lie_on_the_images_they_name(analyser: Analyser) -> None:
    series = Chest()
    found = analyser.analyse(sources(series)[::-1])
    assert found.labels is not None
    assert found.labels.layers.dtype == np.uint8
    by_uid = {str(ds.SOPInstanceUID): hu for ds, hu in zip(series.datasets(), series.hu(), strict=True)}
    glass = found.labels.mask(3)
    assert glass.sum() == 96
    for uid, mask in zip(found.labels.sop_instance_uids, glass, strict=True):
        assert np.array_equal(mask, by_uid[uid] == -600)


def test_a_negative_study_says_so_and_has_no_outline(analyser: Analyser) -> None:
    found = analyser.analyse(sources(Chest(lesion=None)))
    assert found.outcome is Outcome.NEGATIVE
    assert found.summary == "No opacity found. Lung volume 644 ml."
    assert all(f.outline is None for f in found.findings) and len(found.findings) == 2
    assert [s.tracking_id for s in found.statements] == ["test-lungs/negative/1"]
    assert found.statements[0].evaluations[0].value.meaning == "Absent"
    (picture,) = found.key_images
    assert found.labels is not None
    areas = found.labels.layers.any(axis=0).sum(axis=(1, 2))
    assert areas[found.labels.sop_instance_uids.index(picture.sop_instance_uid)] == areas.max()


def test_what_is_below_the_threshold_is_not_in_the_labels(analyser: Analyser) -> None:
    def speck(hu: Volume) -> None:
        hu[5, 30:33, 45:49] = -600  # 1.5 ml: enough to stay, too little to be positive

    found = analyser.analyse(sources(Chest(lesion=None, paint=speck)))
    assert found.outcome is Outcome.NEGATIVE
    assert found.labels is not None and not found.labels.layers[1].any()
    assert [s.number for s in found.segments] == [1, 2]


def test_two_kinds_of_lesion_have_an_outline_each_and_the_larger_comes_first(analyser: Analyser) -> None:
    def dense(hu: Volume) -> None:
        hu[3, 26:38, 15:21] = 100

    found = analyser.analyse(sources(Chest(paint=dense)))
    assert [image.caption.split(",")[0] for image in found.key_images] == ["Consolidation", "Ground-glass opacity"]
    outlines = [f.outline for f in found.findings if f.outline is not None]
    assert {o.sop_instance_uid for o in outlines} == {image.sop_instance_uid for image in found.key_images}
    assert [area(o.points) for o in outlines] == [48, 72]


def test_the_worst_slices_are_key_images_too_and_keep_their_distance(tmp_path: Path) -> None:
    report = {
        **small_package.REPORT,
        "key_images": {**small_package.REPORT["key_images"], "worst": {"segments": [3, 4], "count": 3, "apart_mm": 9}},
    }

    def growing(hu: Volume) -> None:
        for level in range(3, 9):
            hu[level, 26:38, 15 : 17 + level // 2] = -600

    folder = small_package.write(tmp_path / "package", report=report)
    golden.record(folder)
    seal(folder)
    found = Analyser(load(folder)).analyse(sources(Chest(lesion=None, paint=growing)))
    assert found.labels is not None
    areas = found.labels.mask(3).sum(axis=(1, 2))
    keys = [found.labels.sop_instance_uids.index(image.sop_instance_uid) for image in found.key_images]
    assert len(keys) == 3 and keys[0] == int(areas.argmax())
    assert all(abs(a - b) >= 2 for a in keys for b in keys if a != b)
    assert areas[keys].tolist() == sorted(areas[keys], reverse=True) and areas[keys].min() > 0


def test_without_lungs_the_study_is_not_analysed(analyser: Analyser) -> None:
    def nothing(hu: Volume) -> None:
        hu[:] = 40

    found = analyser.analyse(sources(Chest(paint=nothing)))
    assert (found.outcome, found.reason, found.summary) == (Outcome.NOT_ANALYSED, Reason.OTHER, "The lungs were not found.")


def test_the_series_with_the_most_slices_that_fits_is_chosen(analyser: Analyser) -> None:
    small, large = Chest(slices=8, seed="small"), Chest(slices=10, seed="large")
    coronal = Chest(slices=14, seed="coronal", orientation=(1, 0, 0, 0, 0, -1))
    found = analyser.analyse([*sources(small), *sources(coronal), *sources(large)])
    assert found.series_uid == str(large.datasets()[0].SeriesInstanceUID)


def test_when_none_fits_the_reason_of_the_largest_ct_series_is_given(analyser: Analyser) -> None:
    mr = Chest(slices=14, seed="mr", tags={"Modality": "MR"})
    coronal = Chest(slices=6, seed="coronal", orientation=(1, 0, 0, 0, 0, -1))
    found = analyser.analyse([*sources(mr), *sources(coronal)])
    assert (found.outcome, found.reason) == (Outcome.NOT_ANALYSED, Reason.ORIENTATION)
    assert found.series_uid == str(coronal.datasets()[0].SeriesInstanceUID)
    assert analyser.analyse([]).reason is Reason.NO_IMAGES


def test_an_image_that_cannot_be_decoded_is_an_answer(analyser: Analyser) -> None:
    def cut(ds: Dataset) -> None:
        if ds.InstanceNumber == 3:
            ds.PixelData = ds.PixelData[:100]

    assert analyser.analyse(sources(Chest(change=cut))).reason is Reason.DECODE


@pytest.mark.parametrize("seed", range(40))
def test_images_damaged_anywhere_give_an_answer_and_never_an_exception(analyser: Analyser, seed: int) -> None:
    random = np.random.default_rng(seed)
    content = [bytearray(part10(ds)) for ds in Chest(slices=4, size=16).datasets()]
    for image in content:
        for at in random.integers(132, len(image), 6):
            image[at] = random.integers(256)
    assert analyser.analyse([open_source(bytes(image)) for image in content]).outcome in Outcome


def test_equal_input_gives_equal_output(analyser: Analyser) -> None:
    first, second = (analyser.analyse(sources(Chest())) for _ in range(2))
    assert first.labels is not None and second.labels is not None
    assert np.array_equal(first.labels.layers, second.labels.layers)
    assert (first.summary, first.statements) == (second.summary, second.statements)


SPACINGS = [(2.5, 2.5, 2.5), (5.0, 2.5, 2.5), (2.5, 2.0, 3.0)]
ORIENTATIONS = [(1, 0, 0, 0, 1, 0), (-1, 0, 0, 0, -1, 0), (1, 0, 0, 0, -1, 0), (0, 1, 0, 1, 0, 0)]


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_a_sphere_comes_back_where_it_is_and_as_large_as_it_is(
    analyser: Analyser, spacing: tuple[float, float, float], orientation: tuple[float, ...]
) -> None:
    row, column = np.array(orientation[:3], float), np.array(orientation[3:], float)
    normal = np.cross(row, column)
    slices, size, radius = 28, 64, 26.0
    shape = (slices, size, size)
    axes = np.stack([normal * spacing[0], column * spacing[1], row * spacing[2]])
    places = np.indices(shape).reshape(3, -1).T @ axes
    centre = np.array([13.3, 31.4, 30.8]) @ axes
    # Left or right does not matter to a lung-like ball in one half; keep the whole ball in the patient's left half.
    half = (np.array([0, 31.5, 31.5]) @ axes)[0]
    centre = centre + np.array([half + radius + 3 - centre[0], 0, 0])
    distance = np.linalg.norm(places - centre, axis=1).reshape(shape)

    class Ball(Series):
        def hu(self) -> Volume:
            return np.where(distance < radius, -850, 40).astype(np.int16)

    series = Ball(slices=slices, size=size, spacing=spacing, orientation=orientation, origin=(0, 0, 0))
    found = analyser.analyse(sources(series))
    assert found.labels is not None, found.summary
    ml = 4 / 3 * np.pi * radius**3 / 1000
    assert measured(found, "left-lung")["Volume"] == pytest.approx(ml, rel=0.02)
    order = {str(ds.SOPInstanceUID): i for i, ds in enumerate(series.datasets())}
    index = np.argwhere(found.labels.mask(1)).astype(float)
    index[:, 0] = [order[found.labels.sop_instance_uids[int(i)]] for i in index[:, 0]]
    off = np.linalg.solve(axes.T, index.mean(axis=0) @ axes - centre)
    assert np.abs(off).max() < 0.5


def test_channels_are_the_slices_nearest_to_their_offset(package: Package) -> None:
    network = package.network
    assert channel_slices(network, (0, 5, 10, 15)).tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3]]
    assert channel_slices(network, tuple(range(12)))[6].tolist() == [1, 6, 11]
    # 2 mm slices: 4 and 6 mm are equally near to 5; the one nearer to the slice itself is taken.
    assert channel_slices(network, tuple(range(0, 40, 2)))[8].tolist() == [6, 8, 10]
    assert channel_slices(network, tuple(range(0, 70, 7)))[4].tolist() == [3, 4, 5]


def test_channels_may_be_given_in_slices(tmp_path: Path) -> None:
    toml = small_package.TOML.replace("channels_mm = [-5.0, 0.0, 5.0]", "channels_slices = [-2, 0, 1]")
    network = load(small_package.build(tmp_path / "p", toml=toml)).network
    assert channel_slices(network, (0, 1, 2, 3)).tolist() == [[0, 0, 1], [0, 1, 2], [0, 2, 3], [1, 3, 3]]


def test_one_thread_and_a_model_cache_give_the_same_answer(package: Package, analyser: Analyser, tmp_path: Path) -> None:
    for _ in range(2):
        other = Analyser(package, precision="fp32", threads=1, cache_dir=tmp_path / "cache")
        a, b = other.analyse(sources(Chest())), analyser.analyse(sources(Chest()))
        assert a.labels is not None and b.labels is not None
        assert np.array_equal(a.labels.layers, b.labels.layers)
    assert any((tmp_path / "cache").iterdir())
    assert other.algorithm(2).precision == "fp32" and other.algorithm(2).slot == 2


def test_the_window_runs_from_black_to_white(package: Package) -> None:
    pixels = windowed(np.array([[-2000, -1350, -600, 149, 3000]], np.int16), package.plan)
    assert pixels.tolist() == [[0, 0, 128, 255, 255]]


def test_a_real_chest_is_read_from_compressed_files(analyser: Analyser, real_images: Path) -> None:
    paths = sorted((real_images / "chest_ct" / "covid_ct_md_normal001").rglob("*.dcm"))
    images = sorted((open_source(path.read_bytes()) for path in paths), key=lambda s: float(s.header.ImagePositionPatient[2]))
    found = analyser.analyse(images[60:80])
    assert found.outcome in (Outcome.POSITIVE, Outcome.NEGATIVE), found.summary
    assert found.labels is not None and found.labels.layers.shape == (2, 20, 512, 512)
