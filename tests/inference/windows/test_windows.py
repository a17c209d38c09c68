"""Windows against MONAI's own sliding, the way back to the source, memory, and whole packages through the Analyser."""

import tracemalloc
from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset13 as op
import pytest

from domain.errors import PackageError
from domain.jobs import Outcome
from inference import archive
from inference.analyse import Analyser
from inference.package import load, understand
from inference.windows import placing
from inference.windows.discrete import Decision, decided
from inference.windows.sliding import Slab, blended
from tests.inference import small_package
from tests.inference.spheres import GEOMETRIES, TRUE_ML, Ball
from tests.inference.test_geometry import REPORT, SEGMENTS, check

BEHIND = small_package.TOML[small_package.TOML.index("[precision]") :]
HEAD = (
    small_package.TOML.split("[network]")[0]
    .replace('orientation = "axial"', 'orientation = "any"')
    .replace("[input]", '[input]\nkind = "volume"')
)
NETWORK = """
[network]
file = "network.xml"
input = "image"
layout = "NCDHW"
value = "HU"
[[network.outputs]]
name = "scores"
labels = [1]
"""
INFERER = """
[inferer]
name = "SlidingWindowInferer"
roi_size = [48, 40, 32]
overlap = 0.25
mode = "gaussian"
"""
STEPS = """
[[preprocessing]]
step = "Orientation"
axcodes = "RAS"
[[preprocessing]]
step = "Spacing"
pixdim = [2.0, 2.0, 2.0]
[[preprocessing]]
step = "ScaleIntensityRange"
a_min = -1000
a_max = 60
b_min = 0.0
b_max = 1.0
clip = true
[[postprocessing]]
step = "Activations"
softmax = true
[[postprocessing]]
step = "AsDiscrete"
argmax = true
"""


def scores(shape: tuple[int, ...], right_only: bool = False) -> ov.Model:
    """Two classes, the second wins above 0.5; ``right_only``: only where the first axis lies in the upper half of the window."""
    image = op.parameter([-1, 1, *shape], np.float32, name="image")
    image.get_output_tensor(0).set_names({"image"})
    ball = op.multiply(op.subtract(image, op.constant(np.float32(0.5))), op.constant(np.float32(2)))
    if right_only:
        gate = (np.arange(shape[0]) >= shape[0] / 2).astype(np.float32).reshape(1, 1, -1, *[1] * (len(shape) - 1))
        ball = op.subtract(op.multiply(ball, op.constant(gate)), op.constant((1 - gate) * 9))
    both = op.concat([op.multiply(ball, op.constant(np.float32(-1))), ball], 1)
    both.output(0).get_tensor().set_names({"scores"})
    return ov.Model([op.result(both)], [image], "scores")


def analyser(folder: Path, model: ov.Model, inferer: str = INFERER, steps: str = STEPS, network: str = NETWORK) -> Analyser:
    toml = HEAD + network + inferer + steps + BEHIND
    small_package.build(folder, toml=toml, segments=SEGMENTS, report=REPORT, model=model)
    return Analyser(load(folder))


@pytest.fixture(scope="module")
def sliding(tmp_path_factory: pytest.TempPathFactory) -> Analyser:
    return analyser(tmp_path_factory.mktemp("sliding") / "package", scores((48, 40, 32)))


@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_sphere_comes_back_from_every_geometry_through_windows(sliding: Analyser, name: str) -> None:
    check(GEOMETRIES[name], sliding.analyse(GEOMETRIES[name].sources()))


def test_missing_slices_are_bridged_and_the_labels_are_of_those_there(sliding: Analyser) -> None:
    ball = Ball()
    found = sliding.analyse([source for i, source in enumerate(ball.sources()) if i not in (20, 31)])
    assert found.labels is not None and len(found.labels.layers[0]) == 46
    assert found.notes == ("2 of 48 slices are missing",)
    area = ball.spacing[1] * ball.spacing[2]
    full = sliding.analyse(ball.sources())
    assert full.labels is not None
    gone = sum(int(full.labels.mask(1)[i].sum()) for i in (20, 31)) * area * ball.spacing[0] / 1000
    assert ball.found(found.labels)[1] == pytest.approx(TRUE_ML - gone, rel=0.02)


@pytest.mark.parametrize(("axcodes", "sense"), [("RAS", -1), ("LPS", 1)])
def test_right_is_right_and_left_is_left(tmp_path: Path, axcodes: str, sense: int) -> None:
    """The network answers in the upper half of the first axis: that is the patient's right in RAS and the left in LPS."""
    whole = '\n[inferer]\nname = "SimpleInferer"\nroi_size = [64, 64, 64]\n'
    steps = STEPS.replace('"RAS"', f'"{axcodes}"').replace("pixdim = [2.0, 2.0, 2.0]", "pixdim = [2.2, 2.2, 2.2]")
    pad = '[[preprocessing]]\nstep = "SpatialPad"\nspatial_size = [64, 64, 64]\n'
    crop = '[[preprocessing]]\nstep = "CenterSpatialCrop"\nroi_size = [64, 64, 64]\n'
    steps = steps.replace("[[postprocessing]]", pad + crop + "[[postprocessing]]", 1)
    found = analyser(tmp_path / "p", scores((64, 64, 64), right_only=True), whole, steps)
    for name in ("axial", "feet first", "coronal", "sagittal"):
        ball = GEOMETRIES[name]
        answer = found.analyse(ball.sources())
        assert answer.outcome is Outcome.POSITIVE and answer.labels is not None
        centroid, volume = ball.found(answer.labels)
        assert (centroid[0] - ball.centre[0]) * sense > 8 and 0.3 * TRUE_ML < volume < 0.7 * TRUE_ML


@pytest.mark.parametrize("nearest", [True, False])
def test_two_dimensional_windows_and_both_ways_back(tmp_path: Path, nearest: bool) -> None:
    slices = '\n[inferer]\nname = "SliceInferer"\nroi_size = [40, 48]\nspatial_dim = 2\noverlap = 0.5\n'
    back = '[[postprocessing]]\nstep = "Invert"\nnearest_interp = true\n' if nearest else ""
    found = analyser(tmp_path / "p", scores((40, 48)), slices, STEPS + back, NETWORK.replace("NCDHW", "NCHW"))
    for name in ("axial", "oblique", "5 mm slices of flat pixels"):
        check(GEOMETRIES[name], found.analyse(GEOMETRIES[name].sources()))


@pytest.mark.parametrize("patch", [[32, 40, 48], [64, 48]])
def test_nnunets_way_from_end_to_end(tmp_path: Path, patch: list[int]) -> None:
    inferer = f'\n[inferer]\nname = "nnUNetPredictor"\npatch_size = {patch}\n'
    steps = """
[[preprocessing]]
step = "Orientation"
axcodes = "SAL"
[[preprocessing]]
step = "CropToNonzero"
[[preprocessing]]
step = "CTNormalization"
mean = -1000
std = 1060
percentile_00_5 = -1000
percentile_99_5 = 60
[[preprocessing]]
step = "ResampleToSpacing"
spacing = [2.5, 1.8, 1.8]
[[postprocessing]]
step = "AsDiscrete"
argmax = true
[[postprocessing]]
step = "KeepLargestConnectedComponent"
segments = [1]
"""
    layout = NETWORK if len(patch) == 3 else NETWORK.replace("NCDHW", "NCHW")
    found = analyser(tmp_path / "p", scores(tuple(patch)), inferer, steps, layout)
    for name in ("axial", "sagittal", "5 mm slices of flat pixels"):
        check(GEOMETRIES[name], found.analyse(GEOMETRIES[name].sources()))


@pytest.mark.parametrize("shape", [(50, 41, 37), (32, 24, 90), (20, 60, 33)])
@pytest.mark.parametrize(("mode", "overlap"), [("constant", 0.25), ("gaussian", 0.5), ("gaussian", 0.6)])
def test_windows_blend_as_monais_do(shape: tuple[int, ...], mode: str, overlap: float) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed (extra 'test')")
    monai = pytest.importorskip("monai.inferers", reason="MONAI is not installed (extra 'test')")
    values = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    roi = (32, 24, 16)
    bias = np.random.default_rng(2).normal(size=(3, *roi)).astype(np.float32)
    expected = monai.SlidingWindowInferer(roi, 1, overlap, mode)(
        torch.from_numpy(values)[None, None], lambda window: window * 0.5 + torch.from_numpy(bias)[None]
    )[0].numpy()
    missing = [max(0, r - n) for r, n in zip(roi, shape, strict=True)]
    padded = np.pad(values, [(m // 2, m - m // 2) for m in missing])
    starts = placing.monai_starts(padded.shape, roi, (overlap,) * 3)
    inner = tuple(slice(m // 2, m // 2 + n) for m, n in zip(missing, shape, strict=True))
    for axis in range(3):
        slabs = blended(
            padded.shape,
            placing.in_order(starts, axis),
            axis,
            placing.monai_weights(roi, mode),
            lambda places: ((p, cut(padded, p, roi)[None] * np.float32(0.5) + bias) for p in places),
        )
        whole = np.concatenate([np.moveaxis(slab.scores, 1, axis + 1) for slab in slabs], axis=axis + 1)
        whole = whole[(slice(None), *(slice(0, n) for n in padded.shape))]
        assert np.allclose(whole[(slice(None), *inner)], expected, atol=1e-5)


def cut(values: np.ndarray, start: tuple[int, ...], roi: tuple[int, ...]) -> np.ndarray:
    return values[tuple(slice(a, a + n) for a, n in zip(start, roi, strict=True))]


def test_nnunet_spreads_its_windows_evenly() -> None:
    assert placing.nnunet_starts((100, 64, 90), (64, 64, 40), 0.5) == [[0, 18, 36], [0], [0, 17, 33, 50]]
    weights = placing.nnunet_weights((16, 24, 32))
    assert weights.max() == pytest.approx(10) and weights[8, 12, 16] == weights.max() and weights.min() > 0


SEVERAL = dict.fromkeys(range(1, 5), 0)


def bumps(classes: int, shape: tuple[int, int, int], seed: int = 5) -> np.ndarray:
    from scipy import ndimage

    noise = np.random.default_rng(seed).normal(size=(classes, *shape))
    return np.array([ndimage.gaussian_filter(one, 2.5) for one in noise], np.float32) * 60


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("turn", ["straight", "flipped and exchanged"])
def test_scores_come_back_as_monai_inverts_them(axis: int, turn: str) -> None:
    """Interpolated to the source first, decided there: as Activations, Invert (bilinear), AsDiscrete."""
    from scipy import ndimage

    shape, source = (20, 24, 18), (31, 29, 40)
    order = [0, 1, 2] if turn == "straight" else [2, 0, 1]
    to_network = np.eye(4)
    to_network[:3, :3] = 0
    for a, p in enumerate(order):
        step = (shape[a] - 1) / (source[p] - 1)
        to_network[a, p] = step
        if turn != "straight" and a == 1:
            to_network[a, p], to_network[a, 3] = -step, shape[a] - 1
    raw = bumps(5, shape)
    decision = Decision("softmax", None, (1, 2, 3, 4), False, SEVERAL)
    out = np.zeros((1, *source), np.uint8)
    lines = np.moveaxis(raw, axis + 1, 1)
    decided((Slab(i, lines[:, i : i + 3]) for i in range(0, shape[axis], 3)), axis, decision, shape, to_network, out)
    soft = np.exp(raw) / np.exp(raw).sum(axis=0)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in source), indexing="ij"), axis=-1)
    places = grid @ to_network[:3, :3].T + to_network[:3, 3]
    full = np.array([ndimage.map_coordinates(one, np.moveaxis(places, -1, 0), order=1, mode="nearest") for one in soft])
    assert (out[0] == full.argmax(axis=0)).mean() > 0.9999


def test_several_labels_reach_a_threshold_and_each_has_its_layer() -> None:
    shape = (12, 14, 16)
    raw = bumps(3, shape)
    decision = Decision("sigmoid", 0.5, (1, 2, 3), False, {1: 0, 2: 1, 3: 1})
    out = np.zeros((2, *shape), np.uint8)
    decided([Slab(0, raw)], 0, decision, shape, np.eye(4), out)
    assert np.array_equal(out[0] == 1, raw[0] >= 0)
    assert np.array_equal(out[1] == 3, raw[2] >= 0)
    assert np.array_equal(out[1] == 2, (raw[1] >= 0) & (raw[2] < 0))


def test_what_lies_outside_the_network_grid_is_background() -> None:
    shape, source = (6, 6, 6), (10, 10, 10)
    to_network = np.eye(4)
    to_network[:3, 3] = -2
    for nearest in (False, True):
        decision = Decision("softmax", None, (1,), nearest, {1: 0})
        out = np.zeros((1, *source), np.uint8)
        decided([Slab(0, np.stack([np.zeros(shape), np.ones(shape)]).astype(np.float32))], 0, decision, shape, to_network, out)
        assert out.sum() == 216 and out[0, 2:8, 2:8, 2:8].all()


def test_class_scores_of_the_whole_volume_are_never_held(tmp_path: Path) -> None:
    """30 classes of 80 x 80 x 160 voxels are 117 MiB in float32; less than a third of that is ever held."""
    classes, shape, roi = 30, (80, 80, 160), (40, 40, 20)
    starts = placing.monai_starts(shape, roi, (0.25,) * 3)
    answer = np.random.default_rng(0).normal(size=(classes, *roi)).astype(np.float32)
    decision = Decision("softmax", None, tuple(range(1, classes)), False, dict.fromkeys(range(1, classes), 0))
    out = np.zeros((1, *shape), np.uint8)
    tracemalloc.start()
    try:
        slabs = blended(
            shape,
            placing.in_order(starts, 2),
            2,
            placing.monai_weights(roi, "gaussian"),
            lambda places: ((p, answer) for p in places),
        )
        decided(slabs, 2, decision, shape, np.eye(4), out)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < classes * np.prod(shape) * 4 / 3
    assert len(np.unique(out)) == classes


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('name = "SlidingWindowInferer"', 'name = "SlidingWindow"', "did you mean 'SlidingWindowInferer'"),
        ("roi_size = [48, 40, 32]", "roi_size = [1024, 1024, 1024]", "more than"),
        ("overlap = 0.25", "overlap = 1.0", "'overlap' must be"),
        ('step = "Orientation"\naxcodes = "RAS"', 'step = "DivisiblePad"\nk = [1, 1, 1]', "must be 'Orientation'"),
        ("softmax = true", "softmax = false", "exactly one of 'sigmoid' and 'softmax'"),
        ("argmax = true", "argmax = false", "exactly one of 'argmax' and 'threshold'"),
        ("labels = [1]", "labels = [1, 2]", "2 is not there"),
        ('step = "AsDiscrete"', 'step = "FillHoles"', "must begin with"),
        ('layout = "NCDHW"', 'layout = "NDHWC"', "'layout' must be"),
        ('kind = "volume"', 'kind = "volumes"', "'kind' must be"),
    ],
)
def test_what_package_toml_gets_wrong_about_windows_is_named(tmp_path: Path, before: str, after: str, words: str) -> None:
    toml = (HEAD + NETWORK + INFERER + STEPS + BEHIND).replace(before, after, 1)
    path = small_package.write(tmp_path / "p", toml=toml, segments=SEGMENTS, report=REPORT, model=scores((48, 40, 32)))
    with pytest.raises(PackageError, match=words.replace("(", r"\(")):
        understand(archive.read_files(path))


def test_a_network_of_another_number_of_classes_is_refused(tmp_path: Path) -> None:
    toml = HEAD + NETWORK + INFERER + STEPS.replace("argmax = true", "threshold = 0.5") + BEHIND
    path = small_package.write(tmp_path / "p", toml=toml, segments=SEGMENTS, report=REPORT, model=scores((48, 40, 32)))
    with pytest.raises(PackageError, match="must be scores, float32"):
        Analyser(understand(archive.read_files(path)))
