"""Structured Reports after TID 1500: device observer, procedure, images, groups, and the answer as a whole in codes and words."""

from collections.abc import Mapping, Sequence

import highdicom as hd
from highdicom.sr import (
    ContainerContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    ImageLibraryEntryDescriptors,
    LanguageOfContentItemAndDescendants,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    RelationshipTypeValues,
    TextContentItem,
)
from pydicom.dataset import Dataset

from domain.jobs import Outcome
from domain.results import Analysis, Evaluation
from sr_writer import codes
from sr_writer.context import Reference
from sr_writer.groups import Group, overall
from sr_writer.heading import Heading
from sr_writer.procedure import reported
from sr_writer.source import stand_in
from sr_writer.words import LANGUAGES, comments, conclusion


class _Report(hd.sr.Comprehensive3DSR):
    """highdicom's, without its copy of patient and study: it fails on SOP Classes it does not know, and ours follows."""

    def copy_patient_and_study_information(self, dataset: Dataset) -> None:
        """Left to Heading.finish."""


def report(
    role: str, words: str, groups: Sequence[Group], images: Sequence[Dataset], evidence: Sequence[Dataset],
    analysis: Analysis, heading: Heading,
) -> Dataset:  # fmt: skip
    """One Comprehensive 3D SR (PS3.3 A.35.13).

    ``images`` are described in the image library; ``evidence`` is whatever else the document refers to. ``words`` go
    into the Series Description.
    """
    study = heading.context.study_uid
    described = [stand_in(image, study) for image in images]
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer(heading)),
        procedure_reported=codes.concept(reported(heading.algorithm, heading.first)),
        imaging_measurements=list(groups),
        referenced_images=[image for image in described if _describable(image)],
        language_of_content_item_and_descendants=LanguageOfContentItemAndDescendants(
            codes.concept(LANGUAGES[heading.context.language].code)
        ),
    )
    if not images:
        _leave_out_measurements(content)
    content[0].ContentSequence.append(_answer(analysis, heading))
    dataset = _Report(
        evidence=[*described, *(stand_in(header, study) for header in evidence)],
        content=content[0],
        is_complete=True,
        is_final=False,
        is_verified=False,
        performed_procedure_codes=[codes.concept(heading.algorithm.procedure)],
        requested_procedures=heading.first.get("ReferencedRequestSequence"),
        **heading.arguments(role),
    )
    _precede(dataset, heading.context.predecessors, study)
    _compared(dataset, heading)
    heading.finish(dataset, heading.describe(words))
    return dataset


def evaluations(analysis: Analysis) -> tuple[Evaluation, ...]:
    """The answer in codes: what became of the analysis, and why it was not made when it was not."""
    partly = codes.PARTLY.get(analysis.outcome) if analysis.partial else None
    answer = [Evaluation(codes.SUMMARY, partly or codes.SUMMARIES[analysis.outcome])]
    if analysis.outcome is Outcome.NOT_ANALYSED and analysis.reason is not None:
        answer.append(Evaluation(codes.REASON, codes.REASONS[analysis.reason]))
    if analysis.outcome is Outcome.FAILED:
        answer.append(Evaluation(codes.REASON, codes.FAILED))
    return tuple(answer)


def observer(heading: Heading) -> ObserverContext:
    """TID 1001 with a device alone (TID 1004): nobody has looked yet."""
    algorithm = heading.algorithm
    attributes = DeviceObserverIdentifyingAttributes(
        uid=heading.context.device_uid,
        name=algorithm.package_id,
        manufacturer_name=algorithm.manufacturer,
        model_name=algorithm.name,
        serial_number=algorithm.digest[:16] or "0",
        physical_location=heading.context.institution or None,
    )
    return ObserverContext(observer_type=codes.concept(codes.DEVICE), observer_identifying_attributes=attributes)


def _answer(analysis: Analysis, heading: Heading) -> ContainerContentItem:
    """TID 1500 rows 12 to 14: the overall statement in codes, then in sentences, the kind of use last."""
    container = ContainerContentItem(
        name=codes.concept(codes.QUALITATIVE_EVALUATIONS), relationship_type=RelationshipTypeValues.CONTAINS
    )
    language = heading.context.language
    sentences = [(codes.CONCLUSION, conclusion(analysis, language))]
    sentences += [(codes.COMMENT, text) for text in comments(analysis, heading.algorithm.disclaimer, language)]
    container.ContentSequence = ContentSequence(
        [
            *overall(evaluations(analysis)),
            *(
                TextContentItem(codes.concept(name), text, RelationshipTypeValues.CONTAINS)
                for name, text in sentences
                if text.strip()
            ),
        ]
    )
    return container


def _leave_out_measurements(content: MeasurementReport) -> None:
    """Without an image no group can have coordinates, and viewers fail on groups without; TID 1500 allows rows 12-14 alone."""
    root = content[0]
    root.ContentSequence = ContentSequence(
        [item for item in root.ContentSequence if item.name != codes.concept(codes.IMAGING_MEASUREMENTS)]
    )


def _describable(image: Dataset) -> bool:
    """Whether TID 1602 can be filled in; older OHIF needs the library, so as many images as possible are in it."""
    try:
        return len(ImageLibraryEntryDescriptors(image)) > 0
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return False


def _compared(dataset: Dataset, heading: Heading) -> None:
    """Pertinent Other Evidence (PS3.3 C.17.2.3): the reports of other studies that changes were computed from."""
    studies = [
        _evidence(study, {reference.series_uid: [reference]})
        for study, reference in heading.context.compared
        if study != heading.context.study_uid
    ]
    if studies:
        dataset.PertinentOtherEvidenceSequence = [*dataset.get("PertinentOtherEvidenceSequence", ()), *studies]


def _precede(dataset: Dataset, predecessors: Sequence[Reference], study_uid: str) -> None:
    """Predecessor Documents (PS3.3 C.17.2): the documents this one replaces, by series; what is no SR does not count."""
    series: dict[str, list[Reference]] = {}
    for reference in sorted(predecessors, key=lambda r: (r.series_uid, r.sop_instance_uid)):
        if reference.sop_class_uid.startswith("1.2.840.10008.5.1.4.1.1.88."):
            series.setdefault(reference.series_uid, []).append(reference)
    if series:
        dataset.PredecessorDocumentsSequence = [_evidence(study_uid, series)]


def _evidence(study_uid: str, series: Mapping[str, Sequence[Reference]]) -> Dataset:
    """Hierarchical SOP Instance Reference (PS3.3 table 10-11 and C.17-3) by Series Instance UID."""
    study = Dataset()
    study.StudyInstanceUID = study_uid
    study.ReferencedSeriesSequence = []
    for uid, references in series.items():
        entry = Dataset()
        entry.SeriesInstanceUID = uid
        entry.ReferencedSOPSequence = [_referenced(reference) for reference in references]
        study.ReferencedSeriesSequence.append(entry)
    return study


def _referenced(reference: Reference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    return item
