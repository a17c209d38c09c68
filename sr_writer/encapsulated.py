"""Encapsulated PDF (PS3.3 A.45.1), Modality DOC: the page for archives that take documents, beside the images of its study."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import EncapsulatedPDFStorage

from domain.results import Algorithm, Analysis
from sr_writer.capture import burned_in, reference, sizes_of
from sr_writer.codes import MEASUREMENT_REPORT, concept
from sr_writer.heading import Heading
from sr_writer.page import page
from sr_writer.words import LANGUAGES, conclusion

ROLE: Final = "pdf"


def _in_language(analysis: Analysis, heading: Heading) -> tuple[Analysis, Algorithm]:
    """What the reader is told in the language of the node; the English sentence, with its numbers, follows."""
    language, algorithm = heading.context.language, heading.algorithm
    if language == "en":
        return analysis, algorithm
    told = f"{conclusion(analysis, language)} ({analysis.summary})"
    return replace(analysis, summary=told), replace(algorithm, disclaimer=LANGUAGES[language].disclaimer)


def document(analysis: Analysis, images: Mapping[str, Dataset], heading: Heading, words: str) -> list[tuple[str, Dataset]]:
    """The one document. It burns nothing of the patient in: the header says whose it is."""
    dataset = heading.begin(EncapsulatedPDFStorage, "DOC", ROLE)
    dataset.SOPInstanceUID = heading.uid(ROLE)
    dataset.ConversionType = "WSD"
    dataset.AcquisitionDateTime = ""
    dataset.DocumentTitle = heading.describe(words)
    dataset.ConceptNameCodeSequence = [concept(MEASUREMENT_REPORT)]
    dataset.VerificationFlag = "UNVERIFIED"
    keys = {key.sop_instance_uid: key for key in analysis.key_images if key.sop_instance_uid in images}
    dataset.BurnedInAnnotation = burned_in(images[uid] for uid in keys)
    if keys:
        dataset.SourceInstanceSequence = [reference(images[uid]) for uid in keys]
    data = page(*_in_language(analysis, heading), sizes_of(images), heading.context.language)
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    dataset.EncapsulatedDocument = data + b"\x00" * (len(data) % 2)
    dataset.EncapsulatedDocumentLength = len(data)
    heading.finish(dataset, heading.describe(words))
    return [(ROLE, dataset)]
