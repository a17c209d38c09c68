"""An analysis beside the patient's earlier result of the same model: read from our own results, or not compared at all."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from delivery.priors import studies_of_reports
from domain.errors import TransientError
from domain.jobs import Artifact, Order
from domain.results import Analysis
from inference.source import text
from node.broken import BROKEN
from sr_writer.comparison import Comparison, compare
from sr_writer.context import Reference
from sr_writer.prior import Prior, read_prior


@dataclass(frozen=True, slots=True)
class Compared:
    """The comparison, and the reports it was made with: Study Instance UID and reference of each."""

    comparison: Comparison
    reports: tuple[tuple[str, Reference], ...] = field(default=())


def compared(order: Order, analysis: Analysis, package_id: str, headers: Sequence[Dataset]) -> Compared:
    """The analysis with what changed since the order's earlier result. A result that is gone or unreadable changes nothing."""
    if not headers:
        return Compared(Comparison(analysis))
    reports = [prior for artifact in order.prior if (prior := _read(order, artifact, package_id))]
    reports = reports or _asked(order, package_id, headers[0])
    if not reports:
        return Compared(Comparison(analysis))
    merged = replace(
        reports[0],
        findings={name: known for prior in reversed(reports) for name, known in prior.findings.items()},
        answered=any(prior.answered for prior in reports),
    )
    comparison = compare(analysis, merged, text(headers[0], "StudyDate").strip())
    if comparison.analysis is analysis:
        return Compared(comparison)
    named = [(p.study_uid, Reference(p.sop_class_uid, p.sop_instance_uid, p.series_uid)) for p in reports]
    return Compared(comparison, tuple(named))


def _asked(order: Order, package_id: str, header: Dataset) -> list[Prior]:
    """The reports of the newest earlier study that a PACS has; one that does not answer has none."""
    patient, issuer, date = (text(header, keyword).strip() for keyword in ("PatientID", "IssuerOfPatientID", "StudyDate"))
    for destination in order.prior_from:
        try:
            for study in studies_of_reports(destination, patient, issuer, date, "AI "):
                found = [prior for report in study if (prior := read_prior(report)) and prior.package_id == package_id]
                if any(prior.answered for prior in found):
                    return found
        except TransientError:
            continue
    return []


def _read(order: Order, artifact: Artifact, package_id: str) -> Prior | None:
    if not artifact.role.startswith("sr"):
        return None
    try:
        found = read_prior(pydicom.dcmread(Path(order.data_dir) / artifact.path))
    except (OSError, *BROKEN):
        return None
    return found if found is not None and found.package_id == package_id else None
