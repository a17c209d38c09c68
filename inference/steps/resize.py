"""Brings a slice to another size: exact area means, or bilinear between pixel centres, with a fast path for whole factors."""

import threading
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.float32]
_SCRATCH = threading.local()


def resize(image: npt.NDArray[np.number], size: tuple[int, int], mode: str) -> Image:
    """(rows, columns) of any number type to float32 ``size``.

    ``area``: each output pixel is the mean of the area it covers (an axis that grows is bilinear). ``bilinear``: pixel centres
    at half-integers, edges repeated, no anti-aliasing (what PyTorch calls ``align_corners=False``).
    """
    factors = (image.shape[0] // size[0], image.shape[1] // size[1])
    whole = image.shape == (factors[0] * size[0], factors[1] * size[1])
    if whole and factors == (1, 1):
        return image.astype(np.float32)
    if whole and mode == "area" and max(factors) <= 8:
        return _blocks(image, factors)
    down = weights(image.shape[0], size[0], mode)
    across = weights(image.shape[1], size[1], mode)
    result: Image = down @ image.astype(np.float32) @ across.T
    return result


def _blocks(image: npt.NDArray[np.number], factors: tuple[int, int]) -> Image:
    """Mean of whole blocks: sums in int32 for integers, so exact."""
    kind = "int32" if np.issubdtype(image.dtype, np.integer) else "float32"
    rows = _summed([image[i :: factors[0]] for i in range(factors[0])], kind, "rows")
    total = _summed([rows[:, i :: factors[1]] for i in range(factors[1])], kind, "total")
    result: Image = np.multiply(total, np.float32(1 / (factors[0] * factors[1])), dtype=np.float32, casting="unsafe")
    return result


def _summed(parts: list[npt.NDArray[Any]], kind: str, place: str) -> npt.NDArray[Any]:
    """In as few passes over memory as possible, into memory that is used again: fresh pages cost more than the sums."""
    total = _scratch(parts[0].shape, kind, place)
    if len(parts) == 1:
        np.copyto(total, parts[0], casting="unsafe")
        return total
    np.add(parts[0], parts[1], out=total, dtype=kind, casting="unsafe")
    for part in parts[2:]:
        np.add(total, part, out=total, dtype=kind, casting="unsafe")
    return total


def _scratch(shape: tuple[int, ...], kind: str, place: str) -> npt.NDArray[Any]:
    """This thread's own memory for ``place``; what was in it is lost."""
    held: dict[str, npt.NDArray[Any]] = _SCRATCH.__dict__
    found = held.get(place)
    if found is None or found.shape != shape or found.dtype != kind:
        found = held[place] = np.empty(shape, kind)
    return found


@lru_cache(maxsize=8)
def weights(before: int, after: int, mode: str) -> Image:
    """The matrix (after, before) that resamples one axis; every row sums to 1."""
    if mode == "area" and after <= before:
        edges = np.linspace(0, before, after + 1)
        start, stop = np.arange(before), np.arange(1, before + 1)
        cover = np.minimum(edges[1:, None], stop) - np.maximum(edges[:-1, None], start)
        matrix = np.clip(cover, 0, None)
    else:
        centre = np.clip((np.arange(after) + 0.5) * before / after - 0.5, 0, before - 1)
        matrix = np.clip(1 - np.abs(centre[:, None] - np.arange(before)), 0, None)
    result: Image = (matrix / matrix.sum(axis=1, keepdims=True)).astype(np.float32)
    return result


def enlarge(labels: npt.NDArray[np.uint8], out: npt.NDArray[np.uint8]) -> None:
    """Writes ``labels`` into ``out`` (rows, columns) of another size, each pixel from that which covers its centre."""
    rows, columns = labels.shape
    if out.shape == (2 * rows, 2 * columns):
        pairs = (labels.astype(np.uint16, order="C") * np.uint16(0x0101)).view(np.uint8)
        out[::2] = pairs
        out[1::2] = pairs
        return
    down, across = nearest(rows, out.shape[0]), nearest(columns, out.shape[1])
    out[...] = labels.take(across, axis=1).take(down, axis=0)  # whole rows last: they are copied at once


@lru_cache(maxsize=8)
def nearest(before: int, after: int) -> npt.NDArray[np.intp]:
    """For each of ``after`` pixels the index of the pixel of ``before`` that covers its centre."""
    index: npt.NDArray[np.intp] = ((2 * np.arange(after) + 1) * before // (2 * after)).astype(np.intp)
    return index
