"""Volumes of Hounsfield units for benchmarks: a golden case of the package, enlarged, with noise; and as compressed images."""

from dataclasses import replace
from typing import Final

import imagecodecs
import numpy as np
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLosslessSV1

from inference.golden import _volume
from inference.package import Package
from inference.source import Source, open_source
from inference.steps.resize import nearest
from inference.volume import Volume
from tests.ct_series import Series, part10

SIZE: Final = 512


def volume(package: Package, slices: int, size: int = SIZE) -> Volume:
    """A golden case, brought to that many slices of ``size`` x ``size``, with the noise of a scanner."""
    small, _ = _volume(package, package.golden_cases()[-1])
    where = [nearest(before, after) for before, after in zip(small.hu.shape, (slices, size, size), strict=True)]
    hu = np.ascontiguousarray(small.hu[where[0]][:, where[1]][:, :, where[2]], np.int16)  # as slices are read
    hu += np.random.default_rng(0).integers(-20, 21, hu.shape, dtype=np.int16)
    along, down, across = (mm * a / b for mm, a, b in zip(small.spacing, small.hu.shape, hu.shape, strict=True))
    positions = tuple(along * index for index in range(slices))
    return Volume(hu, (along, down, across), positions, tuple(map(str, range(slices))))


def compressed(voxels: Volume) -> list[bytes]:
    """The same as CT images in JPEG Lossless SV1, which most scanners compress to: PS3.10 files, one per slice."""
    series = Series(slices=len(voxels.hu), size=8, spacing=voxels.spacing)
    files = []
    for ds, plane in zip(series.datasets(), voxels.hu, strict=True):
        ds.Rows, ds.Columns = plane.shape
        stored = (plane.astype(np.int32) + 1024).clip(0, 65535).astype(np.uint16)
        ds.PixelRepresentation = 0
        ds.PixelData = encapsulate([imagecodecs.ljpeg_encode(stored, bitspersample=16)])
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
        ds.file_meta.TransferSyntaxUID = JPEGLosslessSV1
        files.append(part10(ds))
    return files


def sources(files: list[bytes]) -> list[Source]:
    """Opened as the node opens them, with the digests that early work needs."""
    return [replace(open_source(memoryview(content)), digest=f"{i:064d}") for i, content in enumerate(files)]
