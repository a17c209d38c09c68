"""Whole slides and smears through a whole analysis: pace and memory do not depend on how many tiles there are.

``python -m bench.slides PACKAGE SIDE`` analyses one slide of SIDE x SIDE pixels in this process (a child of ``measure``).
"""

import json
import mmap
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import simplejpeg
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, VLMicroscopicImageStorage, VLWholeSlideMicroscopyImageStorage, generate_uid

from bench.rows import Row, UnmeasurableError, alone
from inference.analyse import analyser_of
from inference.images.package import ImagePackage
from inference.package import load
from inference.source import open_source

MODELS: Final = Path(__file__).resolve().parents[1] / "models"
SIDES: Final = (6_144, 20_480, 43_008)  # tiles of 256 pixels: 576, 6,400 and 28,224
FIELD: Final = (1944, 2592)
TILE: Final = 256


def measure(rounds: int, fields: int, folder: Path, most: int = SIDES[-1]) -> Iterator[Row]:
    """Slides of growing size through the cervical package, then a smear of ``fields`` fields through the smear package."""
    slides = _package("cervical-lbc")
    samples = [_child(slides, side, folder) for side in SIDES if side <= most]
    for sample in samples:
        yield alone(
            f"slide of {sample['side']} x {sample['side']} pixels, tiles of the network per core", "1/s", [sample["pace"]]
        )
    paces = [sample["pace"] for sample in samples]
    yield alone("- slowest of these over fastest: 1 is flat", "", [min(paces) / max(paces)])
    yield alone("- resident memory grows from first to last by", "MB", [samples[-1]["grown"] - samples[0]["grown"]], 50.0)
    analyser = analyser_of(load(_package("tb-smear-afb")), "int8")
    study = [open_source(_field(number)) for number in range(fields)]
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        analyser.analyse(study)
        seconds.append(time.perf_counter() - started)
    yield alone(f"smear of {fields} fields of 2592 x 1944, JPEG to answer", "s", seconds, fields * 60 / 300)


def _package(name: str) -> Path:
    if not (MODELS / name / "package.toml").is_file():
        raise UnmeasurableError(f"the package {name} is not shipped")
    return MODELS / name


def _child(package: Path, side: int, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.slides", str(package), str(side), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UnmeasurableError(f"slide of {side}: {done.stderr[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def slide(path: Path, side: int, um: float) -> None:
    """A TILED_FULL level that is the same stained tile over and over, JPEG."""
    count = (side // TILE) ** 2
    ds = _head("SM", VLWholeSlideMicroscopyImageStorage, _stained(TILE, TILE), count)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.TotalPixelMatrixRows = ds.TotalPixelMatrixColumns = side
    ds.DimensionOrganizationType = "TILED_FULL"
    measures, shared = Dataset(), Dataset()
    measures.PixelSpacing = [f"{um / 1000:.6f}"] * 2
    shared.PixelMeasuresSequence = [measures]
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.save_as(path, enforce_file_format=True)


def _field(number: int) -> bytes:
    stream = BytesIO()
    _head("GM", VLMicroscopicImageStorage, _stained(*FIELD, seed=number % 4), 1).save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _head(modality: str, sop_class: str, pixels: Any, frames: int) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.Modality = "2.25.1", "2.25.2", modality
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = *pixels.shape[:2], 3, "YBR_FULL_422"
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation, ds.PlanarConfiguration, ds.NumberOfFrames = 7, 0, 0, frames
    stream = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), 90, "RGB", "422")
    ds.PixelData = encapsulate([stream] * frames)
    ds["PixelData"].is_undefined_length = True
    return ds


def _stained(rows: int, columns: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(120, 230, (rows // 8 + 1, columns // 8 + 1, 3))
    smooth = np.kron(coarse, np.ones((8, 8, 1), int))[:rows, :columns]
    return np.clip(smooth + rng.normal(0, 5, (rows, columns, 3)), 0, 255).astype(np.uint8)


def main(package: Path, side: int, folder: Path) -> dict[str, float]:
    """Analyses one slide; the pace counts CPU seconds, so that other work on the machine does not matter."""
    loaded = load(package)
    if not isinstance(loaded, ImagePackage) or not loaded.contract.um_per_pixel:
        raise UnmeasurableError(f"{loaded.id} reads no slides")
    analyser = analyser_of(loaded, threads=1)
    path = folder / f"slide-{side}.dcm"
    slide(path, side, loaded.network.um_per_pixel)
    low = folder / "slide-low.dcm"
    small = max(TILE, side // 16 // TILE * TILE)
    slide(low, small, loaded.network.um_per_pixel * side / small)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
        source, thumbnail = open_source(view), open_source(low.read_bytes())
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.process_time()
        analyser.analyse([source, thumbnail])
        seconds = time.process_time() - started
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1000
        del source
    step = max(32, (min(loaded.network.size) - loaded.network.overlap) // 32 * 32)
    path.unlink()
    low.unlink()
    return {"side": side, "pace": (side / step) ** 2 / seconds, "grown": grown}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))))
