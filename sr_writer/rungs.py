"""The main report in the plainer report IODs of older archives: Comprehensive SR (PS3.3 A.35.3) and Enhanced SR (A.35.2).

Its content needs nothing that these lack (coordinates are 2D, no content is referenced), so only the kind of document differs.
"""

from copy import deepcopy
from typing import Final

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import UID, ComprehensiveSRStorage, EnhancedSRStorage

from sr_writer.heading import Heading

RUNGS: Final = {"sr-comprehensive": ComprehensiveSRStorage, "sr-enhanced": EnhancedSRStorage}


def plainer(report: Dataset, heading: Heading) -> list[tuple[str, Dataset]]:
    """The plainer reports that ``heading.context.outputs`` asks for, as role and data set, each with UIDs of its own."""
    found = []
    for role, sop_class in RUNGS.items():
        if role in heading.context.outputs:
            copy = Dataset()
            copy.update(report)  # the content is shared, not copied: it may hold thousands of findings and is only read
            copy.preamble, copy.file_meta = report.preamble, deepcopy(report.file_meta)
            series = heading.uid(role + "/series")
            named = {"SOPClassUID": sop_class, "SOPInstanceUID": heading.uid(role), "SeriesInstanceUID": series}
            for keyword, value in named.items():
                copy[keyword] = DataElement(keyword, "UI", value)
            copy.file_meta.MediaStorageSOPClassUID = UID(sop_class)
            copy.file_meta.MediaStorageSOPInstanceUID = UID(heading.uid(role))
            found.append((role, copy))
    return found
