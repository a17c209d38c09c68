"""Each step for volumes against MONAI, scikit-image, or nnU-Net's published rule."""

import numpy as np
import pytest
from scipy import ndimage

from domain.errors import PackageError
from inference.keys import Table
from inference.windows import intensity, nnunet, spatial
from inference.windows.field import Field
from inference.windows.plan import STEPS, read_steps

pytest.importorskip("nibabel", reason="nibabel is not installed (extra 'test')")
monai = pytest.importorskip("monai.transforms", reason="MONAI is not installed (extra 'test')")
from monai.data import MetaTensor  # noqa: E402

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def volume(shape: tuple[int, int, int] = (17, 14, 11), seed: int = 3) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=shape)
    return ndimage.gaussian_filter(noise, 1.0).astype(np.float32) * 100


def place(spacing: tuple[float, ...] = (0.9, 1.3, 4.0), turn: float = 20.0, flips: tuple[int, ...] = (1, 1, 1)) -> np.ndarray:
    a, b = np.radians(turn), np.radians(turn / 2)
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    matrix = np.eye(4)
    matrix[:3, :3] = about_z @ about_x @ np.diag(np.array(spacing) * np.array(flips))
    matrix[:3, 3] = (3, -7, 11)
    return matrix


def theirs(field: Field) -> MetaTensor:
    import torch

    return MetaTensor(torch.from_numpy(np.ascontiguousarray(field.values))[None], affine=torch.tensor(LPS_TO_RAS @ field.place))


def same(ours: Field, expected: MetaTensor, atol: float = 1e-3) -> None:
    assert ours.values.shape == tuple(expected.shape[1:])
    assert np.allclose(ours.values, expected[0].numpy(), atol=atol)
    assert np.allclose(LPS_TO_RAS @ ours.place, expected.affine.numpy(), atol=1e-5)


GRIDS = {
    "straight": place(turn=0),
    "turned": place(),
    "flipped": place(turn=8, flips=(-1, 1, -1)),
    "exchanged": place(turn=5)[:, [2, 0, 1, 3]],
    "slanted": place(turn=0) @ np.array([[1, 0, 0, 0], [0, 1, 0.4, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
}


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("axcodes", ["RAS", "LPS", "SAL", "PIR"])
def test_orientation_is_monais(grid: str, axcodes: str) -> None:
    field = Field(volume(), GRIDS[grid])
    labels = (("L", "R"), ("P", "A"), ("I", "S"))
    same(spatial.orientation(field, axcodes), monai.Orientation(axcodes, labels=labels)(theirs(field)))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("pixdim", [(1.47, 1.61, 2.3), (0.7, 2.9, 4.0)])
def test_spacing_is_monais(grid: str, mode: str, pixdim: tuple[float, ...]) -> None:
    field = Field(volume(), GRIDS[grid])
    ours, expected = spatial.spacing(field, pixdim, mode), monai.Spacing(pixdim, mode=mode)(theirs(field))
    if mode == "bilinear":
        same(ours, expected)
    else:  # half-way places are rounded either way
        assert ours.values.shape == tuple(expected.shape[1:])
        assert (np.abs(ours.values - expected[0].numpy()) < 1e-3).mean() > 0.97
    assert np.allclose(ours.spacing, pixdim)


@pytest.mark.parametrize("mode", ["area", "trilinear", "nearest"])
@pytest.mark.parametrize("size", [(8, 7, 22), (17, 30, 5)])
def test_resize_is_monais(mode: str, size: tuple[int, ...]) -> None:
    field = Field(volume(), GRIDS["turned"])
    expected = monai.Resize(size, mode=mode)(theirs(field))
    ours = spatial.resize(field, size, mode)
    assert np.allclose(ours.values, expected[0].numpy(), atol=1e-3)
    back = ours.place @ np.array([0, 0, 0, 1])
    corner = (np.array(field.values.shape) / np.array(size) - 1) / 2
    assert np.allclose(back, field.place @ np.append(corner, 1))


@pytest.mark.parametrize(("margin", "k", "smaller"), [(0, 1, False), (3, 1, False), (3, 8, False), (4, 1, True)])
def test_crop_foreground_is_monais(margin: int, k: int, smaller: bool) -> None:
    values = np.zeros((20, 18, 12), np.float32)
    values[2:9, 5:17, 3:8] = volume((7, 12, 5)) + 50
    field = Field(values, GRIDS["turned"])
    expected = monai.CropForeground(margin=margin, k_divisible=k, allow_smaller=smaller)(theirs(field))
    same(spatial.crop_foreground((field,), margin, k, smaller)[0], expected)
    nothing = Field(values * 0, GRIDS["turned"])
    assert spatial.crop_foreground((nothing,))[0].values.shape == values.shape


def test_pads_and_crops_are_monais() -> None:
    field = Field(volume(), GRIDS["turned"])
    same(spatial.spatial_pad(field, (20, 9, 16)), monai.SpatialPad((20, 9, 16))(theirs(field)))
    same(spatial.spatial_pad(field, (-1, 21, -1)), monai.SpatialPad((-1, 21, -1))(theirs(field)))
    same(spatial.divisible_pad(field, (16, 5, 4)), monai.DivisiblePad((16, 5, 4))(theirs(field)))
    same(spatial.center_spatial_crop(field, (8, 9, 50)), monai.CenterSpatialCrop((8, 9, 50))(theirs(field)))


@pytest.mark.parametrize("clip", [True, False])
def test_scale_intensity_range_is_monais(clip: bool) -> None:
    values = volume()
    expected = monai.ScaleIntensityRange(-60, 80, -1, 1, clip)(values)
    assert np.allclose(intensity.scale_intensity_range(values, -60, 80, -1, 1, clip), expected, atol=1e-5)


@pytest.mark.parametrize(("least", "greatest"), [(0, 1), (-3, 5)])
def test_scale_intensity_is_monais(least: float, greatest: float) -> None:
    values = volume()
    assert np.allclose(
        intensity.scale_intensity(values, least, greatest), monai.ScaleIntensity(least, greatest)(values), atol=1e-5
    )
    flat = np.full((3, 3, 3), 7, np.float32)
    assert np.allclose(intensity.scale_intensity(flat, 0, 1), monai.ScaleIntensity(0, 1)(flat))


@pytest.mark.parametrize("nonzero", [True, False])
@pytest.mark.parametrize(("subtrahend", "divisor"), [(None, None), (12.0, 3.0)])
def test_normalize_intensity_is_monais(nonzero: bool, subtrahend: float | None, divisor: float | None) -> None:
    values = np.where(volume() > 0, volume(), 0).astype(np.float32)
    expected = monai.NormalizeIntensity(subtrahend, divisor, nonzero=nonzero, channel_wise=False)(values[None].copy())[0]
    assert np.allclose(intensity.normalize_intensity(values, subtrahend, divisor, nonzero), expected, atol=1e-4)
    wise = monai.NormalizeIntensity(nonzero=nonzero, channel_wise=True)(values[None].copy())[0]
    assert np.allclose(intensity.normalize_intensity(values, nonzero=nonzero), wise, atol=1e-4)
    nothing = np.zeros((3, 4, 5), np.float32)
    assert not intensity.normalize_intensity(nothing, nonzero=True).any()


def test_nnunets_normalisations_are_what_its_documentation_says() -> None:
    values = volume()
    expected = (np.clip(values, -50, 70) - 4.5) / 12.25
    assert np.allclose(intensity.ct_normalization(values, 4.5, 12.25, -50, 70), expected, atol=1e-5)
    assert np.allclose(intensity.zscore_normalization(values), (values - values.mean()) / values.std(), atol=1e-4)
    masked = values * 0
    masked[3:12, 3:10, 2:9] = values[3:12, 3:10, 2:9] + 200
    masked[6, 6, 5] = 0  # a hole counts as inside
    inside = np.zeros(values.shape, bool)
    inside[3:12, 3:10, 2:9] = True
    found = intensity.zscore_normalization(masked, intensity.nonzero_mask([masked]))
    assert np.allclose(found[inside], (masked[inside] - masked[inside].mean()) / masked[inside].std(), atol=1e-4)
    assert not found[~inside].any()
    scaled = intensity.rescale_to_01(values)
    assert (scaled.min(), scaled.max()) == (0, 1)


def test_nnunet_resamples_with_cubic_splines_as_scikit_image_does() -> None:
    skimage = pytest.importorskip("skimage.transform", reason="scikit-image is not installed")
    field = Field(volume((20, 18, 16)), place((1.0, 1.2, 1.5), turn=0))
    ours = nnunet.resample_to_spacing(field, (1.3, 0.9, 1.1))
    shape = tuple(np.round(np.array((20, 18, 16)) * (1.0, 1.2, 1.5) / np.array((1.3, 0.9, 1.1))).astype(int))
    expected = skimage.resize(field.values, shape, 3, mode="edge", anti_aliasing=False, clip=False)
    assert ours.values.shape == shape and np.allclose(ours.values, expected, atol=0.05)


def test_nnunet_resamples_long_voxels_slice_by_slice() -> None:
    skimage = pytest.importorskip("skimage.transform", reason="scikit-image is not installed")
    field = Field(volume((9, 20, 22)), place((5.0, 1.0, 1.0), turn=0))
    assert nnunet.separate_axis(field.spacing, np.array((5.0, 1.0, 1.0))) == 0
    ours = nnunet.resample_to_spacing(field, (3.0, 0.8, 1.25))
    planes = np.stack([skimage.resize(p, (25, 18), 3, mode="edge", anti_aliasing=False, clip=False) for p in field.values])
    nearest = np.rint(np.clip((np.arange(15) + 0.5) * 9 / 15 - 0.5, 0, 8)).astype(int)
    assert ours.values.shape == (15, 25, 18) and np.allclose(ours.values, planes[nearest], atol=0.05)


@pytest.mark.parametrize(
    ("spacing", "axis"), [((1, 1, 2), None), ((1, 1, 4), 2), ((4, 1, 1), 0), ((4, 4, 1), None), ((1, 1, 3), None)]
)
def test_nnunets_anisotropy_rule(spacing: tuple[float, ...], axis: int | None) -> None:
    assert nnunet.separate_axis(np.array(spacing, float), np.ones(3)) == axis


def test_the_place_of_a_voxel_survives_every_step() -> None:
    """The brightest voxel stays where it is in the patient."""
    values = np.zeros((40, 36, 20), np.float32)
    values[22:26, 11:15, 9:11] = 100
    field = Field(ndimage.gaussian_filter(values, 2), place((1.5, 1.5, 3.0), turn=12, flips=(1, -1, 1)))
    expected = field.place @ np.append(ndimage.center_of_mass(field.values), 1)
    tables = [
        {"step": "Orientation", "axcodes": "SAR"},
        {"step": "CropForeground", "margin": 2, "k_divisible": 4},
        {"step": "Spacing", "pixdim": [2.0, 1.2, 1.7]},
        {"step": "SpatialPad", "spatial_size": [50, 40, 44]},
        {"step": "Resize", "spatial_size": [25, 50, 48], "mode": "trilinear"},
        {"step": "ResampleToSpacing", "spacing": [2.1, 1.4, 1.6]},
        {"step": "DivisiblePad", "k": [16, 16, 16]},
        {"step": "CenterSpatialCrop", "roi_size": [60, 60, -1]},
    ]
    for step in read_steps([Table(table, "steps") for table in tables]):
        (field,) = step((field,))
        found = field.place @ np.append(ndimage.center_of_mass(field.values), 1)
        assert np.abs(found - expected).max() < 0.12


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"step": "Spacing2", "pixdim": [1, 1, 1]}, "did you mean 'Spacing'"),
        ({"step": "Spacing", "pixdim": [1, 1]}, "list of 3"),
        ({"step": "Orientation", "axcodes": "RAR"}, "three letters"),
        ({"step": "ScaleIntensityRange", "a_min": 1, "a_max": 0, "b_min": 0, "b_max": 1}, "below"),
        ({"step": "NormalizeIntensity", "divisor": 0}, "other than 0"),
        ({"step": "Resize", "spatial_size": [4, 4, 4], "mode": "cubic"}, "one of area"),
        ({"step": "SpatialPad", "spatial_size": [4, 4, 4], "extra": 1}, "unknown key"),
    ],
)
def test_what_is_wrong_with_a_step_is_said(table: dict[str, object], words: str) -> None:
    tables = [Table({"step": "Orientation", "axcodes": "RAS"}, "p")] if table["step"] != "Orientation" else []
    with pytest.raises(PackageError, match=words):
        read_steps([*tables, Table(table, "p")])


def test_a_volume_that_a_step_would_swell_beyond_measure_is_refused() -> None:
    with pytest.raises(PackageError, match="more voxels"):
        spatial.spacing(Field(volume(), place((400.0, 400.0, 400.0))), (0.1, 0.1, 0.1))


def test_every_step_has_a_name_monai_or_nnunet_knows() -> None:
    own = {"CTNormalization", "ZScoreNormalization", "RescaleTo01Normalization", "CropToNonzero", "ResampleToSpacing"}
    assert all(hasattr(monai, name) for name in set(STEPS) - own)


def several() -> tuple[Field, ...]:
    """Three channels, 0 outside different boxes."""
    fields = []
    for i in range(3):
        values = np.zeros((20, 18, 12), np.float32)
        values[2 + i : 9 + i, 5 - i : 17 - i, 3:8] = volume((7, 12, 5), seed=i) + 50 * (i + 1)
        fields.append(Field(values, GRIDS["turned"]))
    return tuple(fields)


def stacked(fields: tuple[Field, ...]) -> MetaTensor:
    import torch

    values = np.ascontiguousarray(np.stack([field.values for field in fields]))
    return MetaTensor(torch.from_numpy(values), affine=torch.tensor(LPS_TO_RAS @ fields[0].place))


@pytest.mark.parametrize(
    ("table", "theirs_"),
    [
        (
            {"step": "NormalizeIntensity", "nonzero": True, "channel_wise": True},
            monai.NormalizeIntensity(nonzero=True, channel_wise=True),
        ),
        ({"step": "NormalizeIntensity", "nonzero": True}, monai.NormalizeIntensity(nonzero=True)),
        ({"step": "NormalizeIntensity"}, monai.NormalizeIntensity()),
        ({"step": "ScaleIntensity"}, monai.ScaleIntensity()),
        ({"step": "ScaleIntensity", "channel_wise": True}, monai.ScaleIntensity(channel_wise=True)),
        ({"step": "CropForeground", "margin": 1}, monai.CropForeground(margin=1)),
        ({"step": "Spacing", "pixdim": [1.5, 1.5, 3.0]}, monai.Spacing((1.5, 1.5, 3.0))),
        ({"step": "Resize", "spatial_size": [8, 9, 10]}, monai.Resize((8, 9, 10))),
        ({"step": "SpatialPad", "spatial_size": [24, 24, 24]}, monai.SpatialPad((24, 24, 24))),
    ],
)  # fmt: skip
def test_steps_over_several_channels_are_monais(table: dict[str, object], theirs_: object) -> None:
    fields = several()
    step = STEPS[str(table["step"])](Table(table, "step"))
    found, expected = step(fields), theirs_(stacked(fields))  # type: ignore[operator]
    assert np.allclose(np.stack([field.values for field in found]), expected.numpy(), atol=1e-3)
    assert all(np.allclose(field.place, found[0].place) for field in found)


def test_nnunets_inside_is_that_of_all_channels_together() -> None:
    fields = several()
    (cropped,) = {field.values.shape for field in nnunet.crop_to_nonzero(fields)}
    assert cropped == (9, 14, 5)
    found = STEPS["ZScoreNormalization"](Table({"step": "x", "use_mask_for_norm": True}, "step"))(fields)
    inside = np.any([field.values != 0 for field in fields], axis=0)
    for before, after in zip(fields, found, strict=True):
        chosen = before.values[inside]
        assert np.allclose(after.values[inside], (chosen - chosen.mean()) / chosen.std(), atol=1e-3)
        assert not after.values[~inside].any()


def test_a_step_for_some_channels_leaves_the_others_alone() -> None:
    tables = [
        {"step": "Orientation", "axcodes": "RAS"},
        {"step": "ScaleIntensityRange", "a_min": 0, "a_max": 10, "b_min": 0, "b_max": 1, "channels": ["b", "c"]},
    ]
    turned, scaled = read_steps([Table(table, "steps") for table in tables], ("a", "b", "c"))
    before = turned(several())
    found = scaled(before)
    assert [np.allclose(f.values, b.values / n) for f, b, n in zip(found, before, (1, 10, 10), strict=True)] == [True] * 3
