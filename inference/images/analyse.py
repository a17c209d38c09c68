"""A package over images, frames or slides at work: from the objects of a study to one answer."""

from collections.abc import Callable, Sequence
from pathlib import Path

from domain.early import EarlyAnswer
from domain.errors import PackageError, UnsuitableError
from domain.jobs import Outcome
from domain.results import Algorithm, Analysis
from inference.images import album, report
from inference.images.judge import Reading, judge
from inference.images.network import Networks
from inference.images.package import ImagePackage
from inference.images.read import read
from inference.kept import Kept
from inference.running import PRECISIONS, Compiled, Way
from inference.slides import pyramid
from inference.slides.read import SlideReader, SlideViews
from inference.source import Source


class ImageAnalyser:
    """One package, compiled. Raises PackageError when a network does not fit."""

    def __init__(
        self,
        package: ImagePackage,
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
        self._networks = Networks(package, way)

    @property
    def network(self) -> Compiled:
        """The main network, ready to run."""
        return self._networks.network

    def algorithm(self, slot: int = 0) -> Algorithm:
        """Who says so, with the precision in use."""
        return self.package.algorithm(slot, self._networks.precision)

    def begin(self, sources: Sequence[Source], kept: Kept, go: Callable[[], bool]) -> EarlyAnswer:  # noqa: ARG002 - the seam
        """Nothing: images are read when the study is complete."""
        return EarlyAnswer(0, complete=True)

    def analyse(self, sources: Sequence[Source], kept: Kept | None = None) -> Analysis:  # noqa: ARG002 - nothing is kept
        """The answer to one study; never raises UnsuitableError: NOT_ANALYSED is an answer."""
        series_uid, chosen = self._choose(sources)
        try:
            if isinstance(chosen, UnsuitableError):
                raise chosen
            if isinstance(chosen, pyramid.Slide):
                return report.analysis(self.package, self.read_slide(chosen), SlideViews(chosen), series_uid)
            return report.analysis(self.package, self.read(chosen), chosen, series_uid)
        except UnsuitableError as error:
            return Analysis(Outcome.NOT_ANALYSED, str(error), series_uid, reason=error.reason)

    def read(self, images: album.Album) -> Reading:
        """Everything found and measured in an album; raises UnsuitableError when a requirement of the package does not hold."""
        tally, indices, left = read(self.package, self._networks, images)
        return judge(self.package, tally, indices, left.words(len(images.heads)))

    def read_slide(self, slide: pyramid.Slide) -> Reading:
        """The same of a slide."""
        return judge(self.package, SlideReader(self.package, self._networks, slide).read(), [0], "")

    def _choose(self, sources: Sequence[Source]) -> tuple[str, album.StudyAlbum | pyramid.Slide | UnsuitableError]:
        contract = self.package.contract
        if contract.kind == "slide":
            return pyramid.choose(sources, contract)
        images = album.choose(sources, contract)
        if contract.kind == "images" or not isinstance(images[1], UnsuitableError):
            return images
        slide = pyramid.choose(sources, contract)
        return slide if slide[0] else images
