"""Work done before the last image: quicker, and never another answer."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from domain.results import Analysis
from inference import volume
from inference.analyse import Analyser
from inference.contract import Network
from inference.early import certain
from inference.engine import channel_slices
from inference.kept import SUFFIX, Kept, bound
from inference.package import Package, load
from inference.source import Source, open_source
from tests.ct_series import Series, part10
from tests.inference.test_analyse import Chest

SLICES = 12


def sources(series: Series) -> list[Source]:
    return [replace(open_source(part10(ds)), digest=f"{i:064d}") for i, ds in enumerate(series.datasets())]


def always() -> bool:
    return True


def begun(analyser: Analyser, images: list[Source], folder: Path) -> int:
    """Slices computed from these images and kept in ``folder``."""
    kept = Kept(folder)
    answer = analyser.begin(images, kept, always)
    assert answer.complete
    kept.save()
    return answer.slices


def same(one: Analysis, other: Analysis) -> None:
    assert one.labels is not None and other.labels is not None and one.labels.layers.any()
    assert one.labels.layers.tobytes() == other.labels.layers.tobytes()
    assert repr(replace(one, labels=None)) == repr(replace(other, labels=None))


@pytest.fixture(scope="module")
def images() -> list[Source]:
    return sources(Chest(slices=SLICES))


@pytest.fixture(scope="module")
def fresh(analyser: Analyser, images: list[Source]) -> Analysis:
    return analyser.analyse(images)


@pytest.mark.parametrize(("there", "computed"), [(SLICES, SLICES - 2), (7, 5), (4, 0)])
def test_all_half_or_nothing_begun_gives_the_same_answer(
    analyser: Analyser, images: list[Source], fresh: Analysis, tmp_path: Path, there: int, computed: int
) -> None:
    assert begun(analyser, images[:there], tmp_path) == computed
    kept = Kept(tmp_path)
    same(analyser.analyse(images, kept), fresh)
    assert kept.used == computed


@pytest.mark.parametrize("there", [24, 12])
def test_the_shipped_model_gives_the_same_answer_too(tmp_path: Path, there: int) -> None:
    shipped = Analyser(load(Path(__file__).parents[2] / "models" / "chest-ct-opacity"), threads=2)
    images = sources(Chest(slices=24, size=256, spacing=(5.0, 1.3, 1.3)))
    assert begun(shipped, images[:there], tmp_path) == there - 2
    kept = Kept(tmp_path)
    same(shipped.analyse(images, kept), shipped.analyse(images))
    assert kept.used == there - 2


def test_images_in_any_order_are_begun_and_give_the_same_answer(
    analyser: Analyser, images: list[Source], fresh: Analysis, tmp_path: Path
) -> None:
    mixed = [images[i] for i in np.random.default_rng(3).permutation(SLICES)]
    assert sum(begun(analyser, mixed[:count], tmp_path) for count in range(5, SLICES + 1)) >= SLICES - 2
    kept = Kept(tmp_path)
    same(analyser.analyse(images, kept), fresh)
    assert kept.used >= SLICES - 2


def test_work_goes_on_where_it_was_stopped(analyser: Analyser, images: list[Source], fresh: Analysis, tmp_path: Path) -> None:
    kept, answers = Kept(tmp_path), iter([True, True, False])
    stopped = analyser.begin(images, kept, lambda: next(answers))
    kept.save()
    assert (stopped.slices, stopped.complete) == (3, False)
    assert begun(analyser, images, tmp_path) == SLICES - 2 - 3
    assert begun(analyser, images, tmp_path) == 0
    kept = Kept(tmp_path)
    same(analyser.analyse(images, kept), fresh)
    assert kept.used == SLICES - 2


def test_other_pixels_another_turn_or_another_precision_find_nothing(
    analyser: Analyser, package: Package, images: list[Source], tmp_path: Path
) -> None:
    begun(analyser, images, tmp_path)
    others = [replace(image, digest=f"{i:0>64x}") for i, image in enumerate(images, 77)]
    kept = Kept(tmp_path)
    analyser.analyse(others, kept)
    assert kept.used == 0
    turned = [replace(image, digest=image.digest) for image in sources(Chest(orientation=(-1, 0, 0, 0, -1, 0)))]
    analyser.analyse(turned, kept)
    assert kept.used == 0
    Analyser(package, "bf16", threads=1).analyse(images, kept)
    assert kept.used == 0


def test_images_without_a_digest_are_never_looked_up(analyser: Analyser, images: list[Source], tmp_path: Path) -> None:
    nameless = [replace(image, digest="") for image in images]
    assert begun(analyser, nameless, tmp_path) == 0
    begun(analyser, images, tmp_path)
    kept = Kept(tmp_path)
    analyser.analyse(nameless, kept)
    assert kept.used == 0


def damages(whole: bytes) -> Iterator[bytes]:
    yield b""
    yield whole[:5]
    yield whole[: len(whole) // 2]
    yield whole + b"more"
    yield b"\xff" * len(whole)
    yield whole[:8] + b"\xff" * 72 + whole[80:]
    for at in range(9, len(whole), 97):
        yield whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :]


def test_damaged_files_are_ignored_and_computed_again(
    analyser: Analyser, images: list[Source], fresh: Analysis, tmp_path: Path
) -> None:
    begun(analyser, images, tmp_path)
    (file,) = tmp_path.glob(f"*{SUFFIX}")
    for damaged in damages(file.read_bytes()):
        file.write_bytes(damaged)
        same(analyser.analyse(images, Kept(tmp_path)), fresh)


def compressed(ds: Dataset) -> None:
    ds.compress(RLELossless)


def test_compressed_images_are_decoded_once(analyser: Analyser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = sources(Chest(slices=SLICES, change=compressed))
    fresh = analyser.analyse(packed)
    begun(analyser, packed, tmp_path)
    decoded: list[Source] = []
    really = volume.read_hu

    def counted(source: Source, out: np.ndarray) -> None:
        decoded.append(source)
        really(source, out)

    monkeypatch.setattr(volume, "read_hu", counted)
    same(analyser.analyse(packed, Kept(tmp_path)), fresh)
    assert not decoded
    same(analyser.analyse(packed), fresh)
    assert len(decoded) == SLICES


def test_an_image_that_cannot_be_decoded_ends_the_work_quietly(analyser: Analyser, images: list[Source], tmp_path: Path) -> None:
    cut = [replace(image, data=image.data[:100]) if i == 6 else image for i, image in enumerate(images)]
    kept = Kept(tmp_path)
    answer = analyser.begin(cut, kept, always)
    assert answer.complete and answer.slices < SLICES - 2
    kept.save()
    assert repr(analyser.analyse(cut, Kept(tmp_path))) == repr(analyser.analyse(cut))


def network(mm: tuple[float, ...] = (), slices: tuple[int, ...] = ()) -> Network:
    return Network("network.xml", "hu", (64, 64), mm, slices, ())


@pytest.mark.parametrize(
    ("feeding", "places", "expected"),
    [
        (network(mm=(-5, 0, 5)), (0, 5, 10, 15, 20), [1, 2, 3]),
        (network(mm=(-5, 0, 5)), (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11), [5, 6]),
        (network(mm=(-5, 0, 5)), (0, 7.5, 15, 22.5, 30), [1, 2, 3]),
        (network(mm=(-5, 0, 5)), (0, 5, 10, 20, 25, 30, 35), [1, 4, 5]),
        (network(slices=(-1, 0, 1)), (0, 5, 10, 20, 25, 30, 35), [1, 4, 5]),
        (network(slices=(0,)), (0, 5, 10, 20), [0, 1, 2, 3]),
    ],
)
def test_only_slices_whose_neighbours_are_there_are_certain(
    feeding: Network, places: tuple[float, ...], expected: list[int]
) -> None:
    positions = tuple(float(place) for place in places)
    assert certain(feeding, positions, channel_slices(feeding, positions)) == expected


def test_the_studies_worked_on_longest_ago_go_first(tmp_path: Path) -> None:
    for number in range(4):
        kept = Kept(tmp_path / f"study-{number}" / "package")
        kept.add(bytes([number]) * 32, bytes(1000), pack=False)
        kept.save()
        os.utime(tmp_path / f"study-{number}", (number, number))
    bound(tmp_path, 2500)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["study-2", "study-3"]
    bound(tmp_path, 0)
    assert not list(tmp_path.iterdir())
