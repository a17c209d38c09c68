"""Key Object Selection (PS3.3 A.35.4, PS3.16 TID 2010): which images a reader should look at first, and why."""

from collections.abc import Mapping
from typing import Final

import highdicom as hd
from pydicom.dataset import Dataset

from domain.results import Analysis
from sr_writer import codes
from sr_writer.heading import Heading
from sr_writer.report import observer
from sr_writer.source import stand_in
from sr_writer.telling import DISCLAIMER

ROLE: Final = "kos"


class _Selection(hd.ko.KeyObjectSelectionDocument):
    """highdicom's, without its copy of patient and study, which fails on SOP Classes it does not know; ours follows."""

    def copy_patient_and_study_information(self, dataset: Dataset) -> None:
        """Left to Heading.finish."""


def selection(analysis: Analysis, images: Mapping[str, Dataset], heading: Heading, words: str) -> list[tuple[str, Dataset]]:
    """One document that names the key images, best first; nothing where there are none."""
    keys = list(
        {(key.sop_instance_uid, key.frame): key for key in analysis.key_images if key.sop_instance_uid in images}.values()
    )
    if not keys:
        return []
    study = heading.context.study_uid
    evidence = [stand_in(images[uid], study) for uid in dict.fromkeys(key.sop_instance_uid for key in keys)]
    content = hd.ko.KeyObjectSelection(
        document_title=codes.concept(codes.OF_INTEREST),
        referenced_objects=[stand_in(images[key.sop_instance_uid], study) for key in keys],
        observer_device_context=observer(heading),
        description=f"{analysis.summary} {DISCLAIMER}.",
    )
    pointed = [item for item in content[0].ContentSequence if item.ValueType == "IMAGE"]
    for item, key in zip(pointed, keys, strict=True):
        if key.frame is not None and int(images[key.sop_instance_uid].get("NumberOfFrames") or 1) > 1:
            item.ReferencedSOPSequence[0].ReferencedFrameNumber = key.frame
    dataset = _Selection(evidence=evidence, content=content, **heading.arguments(ROLE))
    for item in dataset.ContentSequence:  # TID 2010 gives its images no name; highdicom does
        if item.ValueType == "IMAGE":
            item.pop("ConceptNameCodeSequence", None)
    heading.finish(dataset, heading.describe(words))
    return [(ROLE, dataset)]
