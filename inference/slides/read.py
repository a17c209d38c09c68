"""Reads a slide with the networks: tiles that overlap, one after the other, however many there are; memory does not grow."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from domain.errors import Reason, UnsuitableError
from inference.images import fit
from inference.images.calibration import Region
from inference.images.collect import Collector, Map
from inference.images.contract import Manifest, ObjectRule
from inference.images.network import Networks
from inference.images.package import ImagePackage
from inference.images.quality import look
from inference.images.read import classes_of, looked_at
from inference.images.tally import Seen, Tally
from inference.objects import crops as cropping
from inference.objects import suppress
from inference.objects.table import Objects, empty, joined
from inference.running import ahead
from inference.slides.drawing import Drawing
from inference.slides.pyramid import Slide
from inference.slides.tissue import TissueMap, is_tissue, tissue_map

RGB = npt.NDArray[np.uint8]
_DECODING = 2  # threads
_BLOCK = 2048  # pixels of a level
_SLACK = 0.25  # of the overlap, as in inference.images.collect
_SPECKS = 0.02  # a tile of a slide without a small level is looked at coarsely


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile to be looked at: where it lies, and what of the level it is read from (left, top, columns, rows)."""

    place: fit.Place
    part: tuple[int, int, int, int]


class SlideReader:
    """One slide, read for one package."""

    def __init__(self, package: ImagePackage, networks: Networks, slide: Slide) -> None:
        self._manifest, self._networks, self._slide = package.manifest, networks, slide
        network = package.network
        self._level = slide.level_for(network.um_per_pixel)
        level = slide.levels[self._level]
        # Pixels of the input per pixel of the level, and of the finest level.
        self._factor = (level.um[0] / network.um_per_pixel, level.um[1] / network.um_per_pixel)
        self._scale = tuple(f * n / b for f, n, b in zip(
            self._factor, (level.columns, level.rows), (slide.base.columns, slide.base.rows), strict=True
        ))  # fmt: skip

    def read(self) -> Tally:
        """Everything found; raises UnsuitableError when there is nothing to look at or a tile cannot be decoded."""
        parts, scores, area, looked = [], [], 0.0, 0
        drawing = Drawing(self._manifest, self._slide, (self._scale[0], self._scale[1]))
        covered: dict[int, float] = {}
        for tile, answers in self._networks.images(self._inputs()):
            wide = replace(tile.place, core=self._widened(tile.place.core))
            collector = Collector(self._manifest.network, self._manifest.objects, 0, wide, self._manifest.network.size)
            collector.add(tile.place, answers)
            found = collector.found()
            parts.append(found.objects.take(inside(found.objects, wide.core)))
            scores.append(found.scores)
            for number, pixels in covered_by(found.maps, self._manifest, tile.place.core).items():
                covered[number] = covered.get(number, 0.0) + pixels
            drawing.paint(found.maps, found.scores, tile.place.core)
            area += (tile.place.core[2] - tile.place.core[0]) * (tile.place.core[3] - tile.place.core[1])
            looked += 1
        if not looked:
            raise UnsuitableError(Reason.OTHER, "There is no tissue on the slide.")
        objects = self._second_look(self._once(joined([part for part in parts if len(part)] or [empty()])))
        of_tiles = {name: np.stack([score[name] for score in scores]) for name in scores[0]}
        return Tally((self._seen(of_tiles, area, covered),), objects, objects, drawing.finished(objects))

    def _seen(self, scores: dict[str, npt.NDArray[np.float32]], area: float, covered: dict[int, float]) -> Seen:
        base, contract = self._slide.base, self._manifest.contract
        part = min(1.0, area / (base.rows * base.columns))
        millimetres = (base.um[0] / 1000, base.um[1] / 1000)
        mm2 = base.rows * base.columns * millimetres[0] * millimetres[1] * part
        whole = Region(0, 0, base.columns, base.rows, *millimetres)
        return Seen(
            uid=base.source.uid,
            series_uid=base.source.series_uid,
            frame=None,
            group=0,
            rows=base.rows,
            columns=base.columns,
            calibrated=(whole,),
            look=look(_middle(self._slide)),
            scores=scores,
            share={number: pixels / (base.rows * base.columns) for number, pixels in covered.items()},
            scale=float(np.mean(self._scale)),
            part=part,
            fields=mm2 / contract.field_mm2 if contract.field_mm2 else 1.0,
        )

    def _tiles(self) -> Iterator[Tile]:
        """Every tile, row by row."""
        network, level = self._manifest.network, self._slide.levels[self._level]
        rows, columns = round(level.rows * self._factor[1]), round(level.columns * self._factor[0])
        down, across = (fit.starts(n, side, network.overlap) for n, side in zip((rows, columns), network.size, strict=True))
        for top, (core_top, core_bottom) in zip(down, fit.cores(down, network.size[0], rows), strict=True):
            for left, (core_left, core_right) in zip(across, fit.cores(across, network.size[1], columns), strict=True):
                core = (
                    core_left / self._scale[0], core_top / self._scale[1],
                    core_right / self._scale[0], core_bottom / self._scale[1],
                )  # fmt: skip
                part = (
                    round(left / self._factor[0]), round(top / self._factor[1]),
                    max(1, round(network.size[1] / self._factor[0])), max(1, round(network.size[0] / self._factor[1])),
                )  # fmt: skip
                yield Tile(fit.Place((self._scale[0], self._scale[1]), (float(left), float(top)), core), part)

    def _inputs(self) -> Iterator[tuple[Tile, RGB]]:
        """The tiles with tissue; the next ones are decoded in background threads."""
        tissue, least = tissue_map(self._slide, self._manifest.tissue), self._manifest.tissue.min_fraction
        wanted = (tile for tile in self._tiles() if tissue is None or self._fraction(tissue, tile) >= least)
        with ahead(wanted, self._pixels, _DECODING, _DECODING + self._networks.network.way.streams) as pieces:
            for tile, image in pieces:
                if tissue is None and is_tissue(image[::4, ::4], self._manifest.tissue).mean() < max(least, _SPECKS):
                    continue
                yield tile, image

    def _fraction(self, tissue: TissueMap, tile: Tile) -> float:
        size = self._manifest.network.size
        corners = tile.place.to_image(np.array([[0, 0, size[1], size[0]]], np.float64))[0]
        return tissue.fraction(*(float(v) for v in corners))

    def _pixels(self, tile: Tile) -> RGB:
        return fit.resized(self._slide.read(self._level, *tile.part), *self._manifest.network.size)

    def _widened(self, core: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """The core with a little slack, within the slide: what lies on a border is seen by both tiles, and one goes later."""
        x, y = (self._manifest.network.overlap * _SLACK / scale for scale in self._scale)
        base = self._slide.base
        return max(core[0] - x, 0), max(core[1] - y, 0), min(core[2] + x, base.columns), min(core[3] + y, base.rows)

    def _once(self, objects: Objects) -> Objects:
        """Each thing once, though two tiles saw it."""
        kept = [self._once_of(rule, objects.take(np.isin(objects.kind, rule.classes))) for rule in self._manifest.objects]
        return joined([part for part in kept if len(part)] or [empty()])

    def _once_of(self, rule: ObjectRule, found: Objects) -> Objects:
        near = max(rule.min_distance, 1.0) / float(np.mean(self._scale))
        found = found.take(suppress.by_distance(found.centre, found.score, found.kind, near))
        return found.take(suppress.by_overlap(found.box, found.score, found.kind, rule.iou)) if rule.iou < 1 else found

    def _second_look(self, objects: Objects) -> Objects:
        crops = self._manifest.crops
        if crops is None:
            return objects
        wanted = np.flatnonzero(np.isin(objects.kind, crops.classes))
        wanted = wanted[np.argsort(-objects.score[wanted], kind="stable")[: crops.most]]
        # Neighbours one after the other: they lie on the same tiles.
        wanted = wanted[np.lexsort((objects.centre[wanted, 0], objects.centre[wanted, 1] // 2048))]
        scale = float(np.mean(self._scale))

        def cut(i: int) -> RGB:
            left, top, side = cropping.square(objects.box[i], crops.margin, crops.side / scale)
            image = fit.resized(view(self._slide, left, top, side, side, crops.size), crops.size, crops.size)
            if not crops.mask:
                return image
            mask = cropping.mask_of(objects, i, left, top, side, crops.size)
            return np.concatenate([image, mask[:, :, np.newaxis]], axis=2)

        with ahead((int(i) for i in wanted), cut, _DECODING, _DECODING + self._networks.network.way.streams) as pieces:
            return looked_at(crops, objects, self._networks.crops(pieces))


def _middle(slide: Slide) -> RGB:
    """The smallest level, or its middle where it is large: corners of a slide are glass."""
    small = slide.levels[-1]
    columns, rows = min(small.columns, _BLOCK), min(small.rows, _BLOCK)
    return slide.read(len(slide.levels) - 1, (small.columns - columns) // 2, (small.rows - rows) // 2, columns, rows)


def covered_by(maps: Mapping[str, Map], manifest: Manifest, core: tuple[float, float, float, float]) -> dict[int, float]:
    """How many pixels of the slide each segment of the maps of a tile covers within its core."""
    found: dict[int, float] = {}
    for output in manifest.network.outputs:
        if output.name not in maps:
            continue
        width, height, left, top = maps[output.name].cell
        columns, rows = (
            slice(max(round((core[i] - start) / step), 0), max(round((core[i + 2] - start) / step), 0))
            for i, (start, step) in enumerate(((left, width), (top, height)))
        )
        for number, mask in classes_of(maps[output.name], output, manifest):
            found[number] = float(np.count_nonzero(mask[rows, columns])) * width * height
    return found


def inside(objects: Objects, box: tuple[float, float, float, float]) -> npt.NDArray[np.bool_]:
    """Objects whose centre lies in a rectangle."""
    x, y = objects.centre[:, 0], objects.centre[:, 1]
    there: npt.NDArray[np.bool_] = (x >= box[0]) & (x < box[2]) & (y >= box[1]) & (y < box[3])
    return there


class SlideViews:
    """Pictures of one slide for people."""

    def __init__(self, slide: Slide) -> None:
        self._slide = slide

    def view(self, index: int, part: tuple[int, int, int, int] | None, longest: int) -> RGB:  # noqa: ARG002 - there is one
        """The slide, or a part of it in pixels of its finest level, with at most ``longest`` pixels on its longer side."""
        base = self._slide.base
        return view(self._slide, *(part or (0, 0, base.columns, base.rows)), longest)


def view(slide: Slide, left: int, top: int, columns: int, rows: int, longest: int) -> RGB:
    """A part of a slide (pixels of the finest level), from the level that shows it with at least ``longest`` pixels, if any
    does; reduced to ``longest`` pixels where it is larger."""
    wanted = max(columns, rows) / longest
    ratios = [slide.base.columns / level.columns for level in slide.levels]
    number = max((i for i, ratio in enumerate(ratios) if ratio <= max(wanted, 1.0)), default=0)
    ratio = ratios[number]
    part = (round(left / ratio), round(top / ratio), max(1, round(columns / ratio)), max(1, round(rows / ratio)))
    factor = min(1.0, longest / max(part[2:]))
    shown = np.zeros((max(1, round(part[3] * factor)), max(1, round(part[2] * factor)), 3), np.uint8)
    # Block by block: a slide without low levels is never in memory as a whole.
    for top_row, bottom_row in _blocks(shown.shape[0], factor):
        for left_column, right_column in _blocks(shown.shape[1], factor):
            corner = (round(left_column / factor), round(top_row / factor))
            size = (round(right_column / factor) - corner[0], round(bottom_row / factor) - corner[1])
            block = slide.read(number, part[0] + corner[0], part[1] + corner[1], max(1, size[0]), max(1, size[1]))
            inner = fit.resized(block, bottom_row - top_row, right_column - left_column)
            shown[top_row:bottom_row, left_column:right_column] = inner
    return shown


def _blocks(length: int, factor: float) -> Iterator[tuple[int, int]]:
    """First and last but one pixel of pieces of a side that come from about 2048 pixels of the level."""
    step = max(1, int(_BLOCK * factor))
    return ((start, min(start + step, length)) for start in range(0, length, step))
