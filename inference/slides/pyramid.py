"""The levels of a whole slide (VL Whole Slide Microscopy, PS3.3 A.32.8): any part of one is read by decoding only its tiles."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from domain.errors import Reason, UnsuitableError
from inference.images import pixels
from inference.images.album import WHOLE_SLIDE, made_here
from inference.images.calibration import measured
from inference.images.contract import Contract
from inference.images.frames import FrameIndex
from inference.source import Source, first, integer, items, text, words

RGB = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]
MOST_TILES = 4_000_000
_KEPT = 96 * 1024**2  # bytes of decoded tiles: two rows of a slide of 60,000 pixels
_WHITE = 255  # where a sparse slide has no tile


@dataclass(frozen=True, slots=True)
class Level:
    """One level: ``rows`` and ``columns`` of its total pixel matrix, micrometres per pixel (x, y); ``frames`` and ``places``
    (tiles, 2) of (top, left) from 0 are its tiles, of one optical path and one focal plane."""

    source: Source
    layout: pixels.Layout
    rows: int
    columns: int
    um: tuple[float, float]
    frames: Places
    places: Places


class Slide:
    """The pyramid of one series, the finest level first. Thread-safe; holds at most 96 MiB of decoded tiles."""

    def __init__(self, levels: Sequence[Level]) -> None:
        self.levels = tuple(sorted(levels, key=lambda level: (-level.columns * level.rows, level.source.uid)))
        self._indices: dict[int, FrameIndex] = {}
        self._tiles: OrderedDict[tuple[int, int], RGB] = OrderedDict()
        self._bytes, self._lock = 0, Lock()

    @property
    def base(self) -> Level:
        """The finest level: places on the slide are told in its pixels."""
        return self.levels[0]

    def level_for(self, um: float) -> int:
        """The coarsest level that still is as fine as ``um`` micrometres per pixel (2 % are forgiven), else the finest."""
        fine = [number for number, level in enumerate(self.levels) if max(level.um) <= um * 1.02]
        return fine[-1] if fine else 0

    def read(self, number: int, left: int, top: int, columns: int, rows: int) -> RGB:
        """A part of a level in its own pixels, uint8 (rows, columns, 3); white where there is no tile, black beyond the level.

        Raises UnsuitableError for a tile that cannot be decoded.
        """
        level = self.levels[number]
        found = np.full((rows, columns, 3), _WHITE, np.uint8)
        tile_rows, tile_columns = level.layout.rows, level.layout.columns
        tops, lefts = level.places[:, 0], level.places[:, 1]
        there = (tops < top + rows) & (tops + tile_rows > top) & (lefts < left + columns) & (lefts + tile_columns > left)
        for tile in np.flatnonzero(there):
            self._paste(found, self._tile(number, int(level.frames[tile])), int(tops[tile]) - top, int(lefts[tile]) - left)
        found[max(level.rows - top, 0) :] = 0
        found[:, max(level.columns - left, 0) :] = 0
        found[: max(-top, 0)] = 0
        found[:, : max(-left, 0)] = 0
        return found

    @staticmethod
    def _paste(canvas: RGB, tile: RGB, row: int, column: int) -> None:
        first_row, first_column = max(row, 0), max(column, 0)
        last_row, last_column = min(row + tile.shape[0], canvas.shape[0]), min(column + tile.shape[1], canvas.shape[1])
        part = tile[first_row - row : last_row - row, first_column - column : last_column - column]
        canvas[first_row:last_row, first_column:last_column] = part

    def _tile(self, number: int, frame: int) -> RGB:
        key = (number, frame)
        with self._lock:
            if key in self._tiles:
                self._tiles.move_to_end(key)
                return self._tiles[key]
            index = self._index(number)
        level = self.levels[number]
        tile = pixels.read_rgb(level.source, level.layout, index, frame)
        with self._lock:
            if key not in self._tiles:
                self._tiles[key] = tile
                self._bytes += tile.nbytes
            while self._bytes > _KEPT and len(self._tiles) > 1:
                self._bytes -= self._tiles.popitem(last=False)[1].nbytes
        return tile

    def _index(self, number: int) -> FrameIndex:
        if number not in self._indices:
            level = self.levels[number]
            self._indices[number] = FrameIndex(level.source, level.layout.frames, level.layout.frame_bytes)
        return self._indices[number]


def choose(sources: Sequence[Source], contract: Contract) -> tuple[str, Slide | UnsuitableError]:
    """The series whose finest level has the most pixels among those that meet the contract, or why there is none."""
    groups: dict[str, list[Source]] = {}
    for source in sources:
        if text(source.header, "SOPClassUID") == WHOLE_SLIDE and not source.fault and not made_here(source):
            groups.setdefault(source.series_uid, []).append(source)
    if not groups:
        return "", UnsuitableError(Reason.MODALITY, "There is no whole-slide image.")
    answers = {uid: _slide(members, contract) for uid, members in sorted(groups.items())}
    good = {uid: slide for uid, slide in answers.items() if isinstance(slide, Slide)}
    if good:
        uid = max(good, key=lambda uid: good[uid].base.rows * good[uid].base.columns)
        return uid, good[uid]
    return next(iter(answers.items()))


def _slide(members: Sequence[Source], contract: Contract) -> Slide | UnsuitableError:
    levels, why = [], UnsuitableError(Reason.MODALITY, "The slide has no image of its specimen (VOLUME).")
    for source in members:
        if "VOLUME" not in words(source.header, "ImageType"):
            continue  # a label, or an overview of the glass
        try:
            levels.append(level(source, contract))
        except UnsuitableError as error:
            why = error
    if not levels:
        return why
    slide = Slide(levels)
    low, high = contract.um_per_pixel
    if not low <= max(slide.base.um) <= high:
        words_ = f"The slide has {max(slide.base.um):.2f} micrometres per pixel; this model needs {low:g} to {high:g}."
        return UnsuitableError(Reason.GEOMETRY, words_)
    return slide


def level(source: Source, contract: Contract) -> Level:
    """One instance as a level; raises UnsuitableError when it contradicts itself or is too large."""
    header = source.header
    layout = pixels.layout(source, contract.max_pixels)
    rows, columns = integer(header, "TotalPixelMatrixRows") or 0, integer(header, "TotalPixelMatrixColumns") or 0
    if rows < 1 or columns < 1:
        raise UnsuitableError(Reason.GEOMETRY, "A level of the slide does not say how large it is.")
    if rows * columns > contract.max_slide_pixels or layout.frames > MOST_TILES:
        raise UnsuitableError(Reason.TOO_LARGE, f"A slide of {columns} x {rows} pixels is larger than this model takes.")
    um = _micrometres(header, columns)
    frames, places = _sparse(header, layout) if _is_sparse(header) else _full(header, layout, rows, columns)
    inside = (places[:, 0] < rows) & (places[:, 1] < columns) & (places >= 0).all(axis=1)
    return Level(source, layout, rows, columns, um, frames[inside], places[inside])


def _micrometres(header: Dataset, columns: int) -> tuple[float, float]:
    found, width = measured(header), first(header, "ImagedVolumeWidth")
    if found is None and width is not None and 0 < width < 1000:
        found = (width / columns, width / columns)
    if found is None or not 1e-5 < min(found) <= max(found) < 1:
        raise UnsuitableError(Reason.GEOMETRY, "The slide does not say what a pixel measures.")
    return found[1] * 1000, found[0] * 1000


def _is_sparse(header: Dataset) -> bool:
    return text(header, "DimensionOrganizationType") != "TILED_FULL" and "PerFrameFunctionalGroupsSequence" in header


def _full(header: Dataset, layout: pixels.Layout, rows: int, columns: int) -> tuple[Places, Places]:
    """TILED_FULL (PS3.3 C.7.6.17.3): tiles row by row, for each focal plane, for each optical path. The first path and the
    middle plane are looked at."""
    down, across = -(-rows // layout.rows), -(-columns // layout.columns)
    count = down * across
    planes = max(1, integer(header, "TotalPixelMatrixFocalPlanes") or 1)
    if count > layout.frames or count > MOST_TILES:
        raise UnsuitableError(Reason.GEOMETRY, "The slide has fewer tiles than its size asks for.")
    planes = min(planes, max(1, layout.frames // count))
    tiles = np.arange(count)
    places = np.stack([tiles // across * layout.rows, tiles % across * layout.columns], axis=1)
    return tiles + planes // 2 * count, places.astype(np.int64)


def _sparse(header: Dataset, layout: pixels.Layout) -> tuple[Places, Places]:
    """TILED_SPARSE (PS3.3 C.8.12.14): each frame says where it lies. One optical path and one focal plane are looked at:
    those of the first frame."""
    rows: list[tuple[int, int, int, str, float]] = []
    for frame, item in enumerate(items(header, "PerFrameFunctionalGroupsSequence", layout.frames)):
        position, path = (items(item, name, 1) for name in ("PlanePositionSlideSequence", "OpticalPathIdentificationSequence"))
        top = integer(position[0], "RowPositionInTotalImagePixelMatrix") if position else None
        left = integer(position[0], "ColumnPositionInTotalImagePixelMatrix") if position else None
        if top is None or left is None:
            raise UnsuitableError(Reason.GEOMETRY, "A tile of the slide does not say where it lies.")
        name = text(path[0], "OpticalPathIdentifier") if path else ""
        rows.append((frame, top - 1, left - 1, name, first(position[0], "ZOffsetInSlideCoordinateSystem") or 0.0))
    if not rows:
        raise UnsuitableError(Reason.GEOMETRY, "The slide has no tiles.")
    path_name, plane = rows[0][3], rows[0][4]
    kept = [row for row in rows if row[3] == path_name and abs(row[4] - plane) < 1e-6]
    return np.array([row[0] for row in kept], np.int64), np.array([row[1:3] for row in kept], np.int64)
