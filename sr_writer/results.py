"""From an analysis to the DICOM objects that say it: checked against the viewer rules before anybody else sees them."""

from collections.abc import Mapping, Sequence
from typing import Final

from highdicom.seg import SegmentationTypeValues as Type
from pydicom.dataset import Dataset

from domain.errors import PermanentError
from domain.jobs import Outcome
from domain.results import Algorithm, Analysis, Finding, Statement
from sr_writer import codes
from sr_writer.companions import companions
from sr_writer.content import Content, contents
from sr_writer.context import Context
from sr_writer.document import Document
from sr_writer.groups import Group, Place, planar, volumetric, whole_image
from sr_writer.heading import Heading
from sr_writer.many_groups import many
from sr_writer.parametric_map import maps
from sr_writer.report import evaluations, report
from sr_writer.rules import check, errors
from sr_writer.rungs import plainer
from sr_writer.segmentation import segmentation
from sr_writer.source import by_uid, first_of, is_image, readable

_WORDS: Final = {
    Outcome.POSITIVE: "findings",
    Outcome.NEGATIVE: "no findings",
    Outcome.NOT_ANALYSED: "NOT ANALYSED",
    Outcome.FAILED: "FAILED",
}


def documents(analysis: Analysis, algorithm: Algorithm, headers: Sequence[Dataset], context: Context) -> tuple[Document, ...]:
    """Everything to be sent for one analysis; never empty when "sr" is among ``context.outputs``.

    ``headers`` are those of the series analysed (or that should have been), without pixels. The main report ("sr")
    holds groups that all have coordinates on an image; see docs/dicom-results.md for the reasons.
    Raises PermanentError when the analysis contradicts the images, or a document breaks a rule.
    """
    headers = [readable(header) for header in headers]
    heading = Heading(algorithm, context, first_of(analysis, headers))
    made: list[Document] = []
    places: dict[int, Place] = {}
    evidence: list[Dataset] = []
    for content in contents(analysis, context.outputs):
        document, looked_at = segmentation(content, headers, heading, context.fast)
        made.append(_checked(document, headers, looked_at))
        if content.type is Type.BINARY:
            places |= _places(content, document.dataset, by_uid(headers))
            evidence.append(_named(document.dataset))
    if "pm" in context.outputs:
        made += [_checked(each, headers) for each in maps(analysis, headers, heading)]
    if "sr" in context.outputs:
        writer = _Reports(analysis, places, headers, heading, evidence)
        reports = writer.documents()
        reports += [Document(*each) for each in plainer(reports[0].dataset, heading)]
        made += [_checked(each, headers) for each in reports]
        writer.outlined.extend(*(each.dataset for each in reports if each.role != "sr-volumetric"))
    made += [_checked(Document(*each), headers) for each in companions(analysis, headers, heading, _WORDS[analysis.outcome])]
    return tuple(made)


def _places(content: Content, seg: Dataset, images: Mapping[str, Dataset]) -> dict[int, Place]:
    """Where each segment of the analysis is kept."""
    uid, series = str(seg.SOPInstanceUID), str(images[content.uids[0]].SeriesInstanceUID)
    return {segment.number: Place(uid, number, series) for number, segment in content.segments.items()}


def _named(dataset: Dataset) -> Dataset:
    """What a reference needs to know of an object, without its frames."""
    name = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID"):
        setattr(name, keyword, dataset[keyword].value)
    return name


def _checked(document: Document, headers: Sequence[Dataset], looked_at: Dataset | None = None) -> Document:
    """The document; PermanentError when it, or the part of it that stands for all of it, breaks a rule."""
    broken = errors(check(document.dataset if looked_at is None else looked_at, headers))
    if broken:
        raise PermanentError(f"The {document.role} breaks a rule: {broken[0].rule}: {broken[0].words}")
    return document


class _Reports:
    """The documents of one analysis: findings go where their coordinates allow."""

    def __init__(
        self,
        analysis: Analysis,
        places: Mapping[int, Place],
        headers: Sequence[Dataset],
        heading: Heading,
        evidence: Sequence[Dataset],
    ) -> None:
        self._analysis, self._heading = analysis, heading
        self._places, self._segmentations = places, evidence
        self._images = {uid: header for uid, header in by_uid(headers).items() if is_image(header)}
        self._others = [header for header in by_uid(headers).values() if not is_image(header)]
        outlined = [(f, f.outline) for f in analysis.findings if f.outline is not None]
        self.outlined = many(outlined, self._images, heading)

    def documents(self) -> list[Document]:
        return [self._main(), *self._volumetric()]

    def _main(self) -> Document:
        """The answer first, then what is true of the study as a whole, then every outlined finding."""
        image, frame = self._telling_place()
        said: list[Statement | Finding] = [self._answer(), *self._analysis.statements, *self._unplaced()]
        groups: list[Group] = [self._whole(each, image, frame) for each in said]
        groups += [planar(f, o, self._images, self._heading) for f, o in self.outlined.described]
        shown = dict.fromkeys(o.sop_instance_uid for _, o in self.outlined.all)
        shown |= dict.fromkeys(s.sop_instance_uid for s in self._analysis.statements if s.sop_instance_uid in self._images)
        seen = (image, *(self._images[uid] for uid in shown), *self._of_channels())
        images = {str(i.SOPInstanceUID): i for i in seen if i is not None}
        words = _WORDS[self._analysis.outcome] + (", partly analysed" if self._analysis.partial else "")
        return self._report("sr", words, groups, list(images.values()))

    def _whole(self, said: Statement | Finding, telling: Dataset | None, frame: int) -> Group:
        """A statement about one image is drawn around that image, everything else around the telling one."""
        if isinstance(said, Statement) and said.sop_instance_uid in self._images:
            telling, frame = self._images[said.sop_instance_uid], said.frame or 1
        return whole_image(said, telling, self._heading, frame)

    def _volumetric(self) -> list[Document]:
        """Numbers of whole segments; a finding whose numbers are all those of its outline has been told already."""
        placed = [
            (f, place)
            for f in self._analysis.findings
            if (place := self._places.get(f.segment or 0)) is not None and (f.measurements or f.outline is None)
        ]
        groups = [volumetric(finding, place, self._heading) for finding, place in placed]
        if not groups:
            return []
        return [self._report("sr-volumetric", "volumes", groups, self._key_images() + self._of_channels(), self._segmentations)]

    def _answer(self) -> Statement:
        """The overall statement as a group of its own: it is what a viewer lists when there is nothing else."""
        name = f"{self._heading.algorithm.package_id}/answer"
        return Statement(tracking_id=name, finding=codes.SUMMARY, evaluations=evaluations(self._analysis))

    def _unplaced(self) -> list[Finding]:
        """Findings with neither an outline nor a segment that was written."""
        return [f for f in self._analysis.findings if f.outline is None and f.segment not in self._places]

    def _report(
        self, role: str, words: str, groups: Sequence[Group], images: Sequence[Dataset], evidence: Sequence[Dataset] = ()
    ) -> Document:
        rest = evidence if evidence or images else self._others[:1]
        return Document(role, report(role, words, groups, images, rest, self._analysis, self._heading))

    def _key_images(self) -> list[Dataset]:
        uids = dict.fromkeys(key.sop_instance_uid for key in self._analysis.key_images)
        return [self._images[uid] for uid in uids if uid in self._images]

    def _of_channels(self) -> list[Dataset]:
        """The middle image of each further series that the network saw: the report refers to all that it was made from."""
        found = []
        for read in self._analysis.channels[1:]:
            images = [header for header in self._images.values() if header.SeriesInstanceUID == read.series_uid]
            found += images[len(images) // 2 :][:1]
        return found

    def _telling_place(self) -> tuple[Dataset | None, int]:
        """Image and frame a viewer jumps to: the best key image, else the first outline, else the middle of the series."""
        shown = [(key.sop_instance_uid, key.frame) for key in self._analysis.key_images]
        shown += [(outline.sop_instance_uid, outline.frame) for _, outline in self.outlined.all]
        for uid, frame in shown:
            if uid in self._images:
                return self._images[uid], frame or 1
        images = [h for h in self._images.values() if h.SeriesInstanceUID == self._analysis.series_uid]
        images = images or list(self._images.values())
        if not images:
            return None, 1
        middle = images[len(images) // 2]
        return middle, int(middle.get("NumberOfFrames") or 1) // 2 + 1
