"""Reads the images of an album with the networks: decoding, quality, the ways through an image, objects and their crops."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from domain.errors import Reason, UnsuitableError
from inference.images import fit
from inference.images.album import Album, Head
from inference.images.calibration import tissue_view
from inference.images.collect import Collector, Found, Map
from inference.images.contract import Crops, Manifest, Output
from inference.images.network import Answers, Networks
from inference.images.package import ImagePackage
from inference.images.quality import Look, look, unfit
from inference.images.tally import Probability, Seen, Tally
from inference.objects import crops as cropping
from inference.objects import tracks
from inference.objects.table import Objects, joined
from inference.running import ahead

RGB = npt.NDArray[np.uint8]
_DECODING = 2  # threads
_ROOM = 64 * 1024**2  # bytes of probability maps that are kept for the report


@dataclass(frozen=True, slots=True)
class Left:
    """Images that were left out, counted by why."""

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, why: str) -> None:
        """One more."""
        self.counts[why] = self.counts.get(why, 0) + 1

    def words(self, total: int) -> str:
        """One sentence, or nothing."""
        if not self.counts:
            return ""
        why = ", ".join(f"{count} {words}" for words, count in sorted(self.counts.items()))
        return f"{sum(self.counts.values())} of {total} images were left out ({why})."


@dataclass(frozen=True, slots=True)
class Opened:
    """An image in memory, while the network is at it. ``position`` is its place among the images that were good enough."""

    index: int
    position: int
    image: RGB
    look: Look
    whole: fit.Place
    canvas: tuple[int, int]
    pieces: int


@dataclass(frozen=True, slots=True)
class Piece:
    """One input of the network. ``last``: the image it is of has no more."""

    opened: Opened
    place: fit.Place
    last: bool


def read(package: ImagePackage, networks: Networks, album: Album) -> tuple[Tally, list[int], Left]:
    """Everything found in the album, the index in the album of each image read, and what was left out.

    Raises UnsuitableError when no image is good enough.
    """
    manifest, left = package.manifest, Left()
    seen: list[Seen] = []
    tables: list[Objects] = []
    indices: list[int] = []
    room = _ROOM
    for opened, found in _found(manifest, networks, album, left):
        objects = found.objects
        if manifest.crops is not None:
            objects = second_look(manifest.crops, networks, opened.image, objects, float(np.mean(opened.whole.scale)))
        tables.append(objects)
        image = _seen(album.heads[opened.index], opened, found, manifest)
        maps = probabilities(found, manifest)
        room -= sum(one.values.nbytes for one in maps.values())
        seen.append(replace(image, maps=maps) if room > 0 else image)
        indices.append(opened.index)
    if not seen:
        words = left.words(len(album.heads)) or "There are no images."
        reason = Reason.DECODE if set(left.counts) == {"undecodable"} else Reason.OTHER
        raise UnsuitableError(reason, f"None of the images can be analysed. {words}")
    return tally(manifest, seen, tables), indices, left


def tally(manifest: Manifest, seen: list[Seen], tables: list[Objects]) -> Tally:
    """Tables of single images put together; objects of a cine linked where the package asks for it."""
    objects = joined(tables)
    if not manifest.frames.together:
        return Tally(tuple(seen), objects, objects)
    groups = np.array([image.group for image in seen])
    frames = manifest.frames
    objects = tracks.averaged(tracks.linked(objects, groups, frames.iou, frames.gap, frames.min_frames))
    return Tally(tuple(seen), objects, objects.take(tracks.representatives(objects, frames.best)))


def _found(manifest: Manifest, networks: Networks, album: Album, left: Left) -> Iterator[tuple[Opened, Found]]:
    collector: Collector | None = None
    for piece, answers in networks.images(_pieces(manifest, album, left)):
        opened = piece.opened
        if collector is None:
            collector = Collector(manifest.network, manifest.objects, opened.position, opened.whole, opened.canvas)
        collector.add(piece.place, answers)
        if piece.last:
            yield opened, collector.found()
            collector = None


def _pieces(manifest: Manifest, album: Album, left: Left) -> Iterator[tuple[Piece, RGB]]:
    """Inputs of the network; the next images are decoded in background threads meanwhile."""

    def decoded(index: int) -> tuple[RGB, Look] | str:
        try:
            image = album.pixels(index)
        except UnsuitableError as error:
            if len(album.heads) == 1:
                raise
            return "undecodable" if error.reason is Reason.DECODE else "unsuitable"
        found = look(image)
        return unfit(found, manifest.quality) or (image, found)

    position = 0
    with ahead(range(len(album.heads)), decoded, _DECODING, _DECODING + 1) as images:
        for index, found in images:
            if isinstance(found, str):
                left.add(found)
                continue
            yield from _inputs(manifest, album.heads[index], index, position, *found)
            position += 1


def _inputs(manifest: Manifest, head: Head, index: int, position: int, image: RGB, found: Look) -> Iterator[tuple[Piece, RGB]]:
    network, origin, shown = manifest.network, (0.0, 0.0), image
    view = tissue_view(head.calibrated) if manifest.contract.view == "region" else None
    if view is not None:
        origin = (float(int(view.left)), float(int(view.top)))
        shown = np.ascontiguousarray(image[int(view.top) : int(view.bottom), int(view.left) : int(view.right)])
    if network.way == "whole":
        fitted = fit.stretched if network.fit == "stretch" else fit.letterbox
        pixels, place = fitted(shown, network.size, origin)
        yield Piece(Opened(index, position, image, found, place, network.size, 1), place, True), pixels
        return
    pieces = list(fit.tiles(shown, network.size, network.overlap, network.scale, origin))
    whole, canvas = whole_of([place for _, place in pieces], network.size)
    opened = Opened(index, position, image, found, whole, canvas, len(pieces))
    for number, (pixels, place) in enumerate(pieces, 1):
        yield Piece(opened, place, number == len(pieces)), pixels


def whole_of(places: list[fit.Place], size: tuple[int, int]) -> tuple[fit.Place, tuple[int, int]]:
    """The place of the canvas that all tiles lie on, and its (rows, columns) in pixels of the input."""
    first, last = places[0], places[-1]
    whole = replace(first, core=(first.core[0], first.core[1], last.core[2], last.core[3]))
    width, height = (round(last.shift[i] - first.shift[i]) + size[1 - i] for i in (0, 1))
    return whole, (height, width)


def _seen(head: Head, opened: Opened, results: Found, manifest: Manifest) -> Seen:
    return Seen(
        head.uid, head.series_uid, head.frame, head.group, head.rows, head.columns, head.calibrated, opened.look,
        results.scores, _shares(results, manifest, head.rows * head.columns), float(np.mean(opened.whole.scale)),
    )  # fmt: skip


def _shares(results: Found, manifest: Manifest, pixels: int) -> Mapping[int, float]:
    """What part of the image each segment of a map covers."""
    shares: dict[int, float] = {}
    for output in manifest.network.outputs:
        if output.name in results.maps:
            found = results.maps[output.name]
            for number, mask in classes_of(found, output, manifest):
                shares[number] = float(np.count_nonzero(mask)) * found.cell[0] * found.cell[1] / pixels
    return shares


def classes_of(found: Map, output: Output, manifest: Manifest) -> Iterator[tuple[int, npt.NDArray[np.bool_]]]:
    """Where each class of a map is: its label, or a probability of at least the threshold of its objects (else one half)."""
    threshold = next((rule.threshold for rule in manifest.objects if rule.source == output.name), 0.5)
    for channel, number in enumerate(output.classes):
        labels = output.kind == "labels"
        yield number, np.asarray(found.values == number if labels else np.asarray(found.values)[channel] >= threshold)


def probabilities(results: Found, manifest: Manifest) -> dict[int, Probability]:
    """The probability maps of an image in bytes."""
    found = {}
    for output in manifest.network.outputs:
        if output.kind == "probability" and output.name in results.maps:
            made = results.maps[output.name]
            for number, values in zip(output.classes, np.asarray(made.values), strict=True):
                found[number] = Probability(np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8), made.cell)
    return found


def second_look(crops: Crops, networks: Networks, image: RGB, objects: Objects, scale: float) -> Objects:
    """The objects with what the second network says of them; some get another class, some are dropped."""
    wanted = np.flatnonzero(np.isin(objects.kind, crops.classes))
    wanted = wanted[np.argsort(-objects.score[wanted], kind="stable")[: crops.most]]
    return looked_at(crops, objects, networks.crops(cropping.inputs(image, objects, wanted, crops, scale)))


def looked_at(crops: Crops, objects: Objects, answers: Iterable[tuple[int, Answers]]) -> Objects:
    """The objects with the answers of the second network; ``answers`` name the object they are of."""
    features = {head.name: np.full((len(objects), len(head.values)), np.nan, np.float32) for head in crops.heads}
    for index, found in answers:
        for name, values in found.items():
            features[name][index] = values
    return renamed(crops, replace(objects, features=features))


def renamed(crops: Crops, objects: Objects) -> Objects:
    """Class and score by the heads that name classes; class 0 is no object."""
    kind, score = objects.kind.copy(), objects.score.copy()
    for head in crops.heads:
        if not head.classes:
            continue
        values = objects.features[head.name]
        looked = np.flatnonzero(np.isfinite(values).all(axis=1))
        best = values[looked].argmax(axis=1)
        kind[looked] = np.array(head.classes, np.uint8)[best]
        score[looked] = values[looked, best]
    return replace(objects, kind=kind, score=score).take(kind > 0)
