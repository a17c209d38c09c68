"""From the images of a study to one answer: the seam between the worker and everything in this folder."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from domain.early import EarlyAnswer
from domain.errors import PackageError, Reason, UnsuitableError
from domain.jobs import Outcome
from domain.results import Algorithm, Analysis, SeriesRead
from inference import report
from inference.admission import Contract
from inference.assigning import assign
from inference.assigning import nearest as nearest_series
from inference.channels import Channel
from inference.early import begin
from inference.engine import Engine
from inference.images.analyse import ImageAnalyser
from inference.kept import Kept
from inference.package import AnyPackage, Package
from inference.running import PRECISIONS, Compiled, Way
from inference.series import Stack, stack
from inference.source import Source, integer, text
from inference.steps.grid import Grid
from inference.steps.resize import enlarge
from inference.volume import Ready, Volume, all_ready, opened, read_volume
from inference.windows.engine import WindowEngine
from inference.windows.onto import check_coverage


def _there(_index: int) -> None:
    """For volumes that are complete."""


class Analyser:
    """One model package, compiled. Made once per worker and package; raises PackageError when the network does not fit."""

    def __init__(
        self,
        package: Package,
        precision: str = "auto",
        threads: int = 0,
        cache_dir: Path | None = None,
        streams: int = 0,
        batch: int = 1,
    ) -> None:
        """``precision`` "auto" is fp32 here: what acceptance has chosen is for the caller to know (inference.acceptance)."""
        self.package = package
        if precision not in PRECISIONS:
            raise PackageError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")
        way = Way("fp32" if precision == "auto" else precision, threads, streams, batch, cache_dir)
        self._engine = Engine(package, way) if package.manifest.windows is None else WindowEngine(package, way)

    @property
    def network(self) -> Compiled:
        """The main network, ready to run."""
        return self._engine.network

    def algorithm(self, slot: int = 0) -> Algorithm:
        """Who says so, with the precision in use."""
        return self.package.algorithm(slot, self._engine.precision)

    def analyse(self, sources: Sequence[Source], kept: Kept | None = None) -> Analysis:
        """The answer to one study. Chooses the series; never raises UnsuitableError: NOT_ANALYSED is an answer.

        ``kept`` makes it quicker and never another answer.
        """
        if self.package.manifest.channels:
            return self._together(sources)
        series_uid, chosen = choose(sources, self.package.contract)
        if isinstance(chosen, UnsuitableError):
            return _not_analysed(series_uid, chosen)
        try:
            volume, ready = opened(chosen, kept)
            found = self.read(volume, kept, ready)
            return report.analysis(self.package, found, volume, series_uid, chosen.notes)
        except UnsuitableError as error:
            return _not_analysed(series_uid, error)

    def _together(self, sources: Sequence[Source]) -> Analysis:
        """The answer of a network that sees several series of a study at once."""
        channels = self.package.manifest.channels
        try:
            uids, stacks = assign(sources, channels)
        except UnsuitableError as error:
            return _not_analysed(nearest_series(sources, channels), error)
        read = tuple(
            SeriesRead(channel.name, uid, integer(found.sources[0].header, "SeriesNumber"))
            for channel, uid, found in zip(channels, uids, stacks, strict=True)
        )
        try:
            volume, notes = _volumes(stacks, channels)
            found = report.analysis(self.package, self.read(volume), volume, uids[0], notes)
        except UnsuitableError as error:
            return replace(_not_analysed(uids[0], error), channels=read)
        return replace(found, channels=read)

    def begin(self, sources: Sequence[Source], kept: Kept, go: Callable[[], bool]) -> EarlyAnswer:
        """Computes and keeps what more images will not change, while ``go`` says so. Never raises UnsuitableError."""
        if not isinstance(self._engine, Engine) or self.package.manifest.channels:
            return EarlyAnswer(0, complete=True)  # windows reach over many slices, and series are laid over each other as wholes
        return begin(self._engine, self.package, sources, kept, go)

    def read(self, volume: Volume, kept: Kept | None = None, ready: Ready = _there) -> report.Reading:
        """Labels and measurements of one volume; raises UnsuitableError when the package's requirements do not hold.

        ``ready`` is called before a slice is looked at, see ``inference.volume.opened``.
        """
        if isinstance(self._engine, Engine):
            grid = self._engine.segment(volume, kept, ready)
            all_ready(volume, ready)  # those whose labels were kept
        else:
            all_ready(volume, ready)  # windows reach over many slices
            grid = self._engine.segment(volume, kept)
        for step in self.package.postprocessing:
            step(grid)
        return report.read(self.package, to_source(grid, volume), volume)


AnyAnalyser = Analyser | ImageAnalyser


def analyser_of(
    package: AnyPackage,
    precision: str = "auto",
    threads: int = 0,
    cache_dir: Path | None = None,
    streams: int = 0,
    batch: int = 1,
) -> AnyAnalyser:
    """The analyser for a package of any kind, compiled; raises PackageError."""
    if isinstance(package, Package):
        return Analyser(package, precision, threads, cache_dir, streams, batch)
    return ImageAnalyser(package, precision, threads, cache_dir, streams, batch)


def choose(sources: Sequence[Source], contract: Contract) -> tuple[str, Stack | UnsuitableError]:
    """The series with the most slices among those that meet the contract, or why the most promising one does not."""
    groups: dict[str, list[Source]] = {}
    for source in sources:
        groups.setdefault(source.series_uid, []).append(source)
    if not groups:
        return "", UnsuitableError(Reason.NO_IMAGES, "There are no images.")
    answers = {uid: _stack(images, contract) for uid, images in groups.items()}
    good = {uid: found for uid, found in answers.items() if isinstance(found, Stack)}
    if good:
        uid = min(good, key=lambda uid: (-len(good[uid].sources), good[uid].spacing[0], uid))
        return uid, good[uid]
    uid = min(groups, key=lambda uid: (not _is_of(groups[uid], contract.modality), -len(groups[uid]), uid))
    return uid, answers[uid]


def _stack(images: list[Source], contract: Contract) -> Stack | UnsuitableError:
    try:
        return stack(images, contract)
    except UnsuitableError as error:
        return error


def _is_of(images: list[Source], modality: str) -> bool:
    return any(text(image.header, "Modality") == modality for image in images)


def _volumes(stacks: Sequence[Stack], channels: Sequence[Channel]) -> tuple[Volume, tuple[str, ...]]:
    """The first channel with the others beside it, and notes on each of them."""
    notes = list(stacks[0].notes)
    volume, others = read_volume(stacks[0]), []
    for found, channel in zip(stacks[1:], channels[1:], strict=True):
        other = read_volume(found)
        notes += [f"{channel.name}: {note}" for note in found.notes]
        notes += check_coverage(volume, other, channel.name, channel.min_coverage)
        others.append(other)
    return replace(volume, others=tuple(others)), tuple(notes)


def to_source(grid: Grid, volume: Volume) -> npt.NDArray[np.uint8]:
    """Label layers of the network's grid on the source grid, by nearest neighbour: (layers, slices, rows, columns)."""
    layers = np.zeros((grid.layers.shape[0], *volume.hu.shape), np.uint8)
    for layer in range(grid.layers.shape[0]):
        for s in np.flatnonzero(grid.layers[layer].any(axis=(1, 2))):
            enlarge(grid.layers[layer, s], volume.seen(layers[layer, s]))
    return layers


def _not_analysed(series_uid: str, error: UnsuitableError) -> Analysis:
    return Analysis(Outcome.NOT_ANALYSED, str(error), series_uid, reason=error.reason)
