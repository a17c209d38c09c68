"""A modality that says what belongs to a study: MPPS (PS3.4 Annex F) on associations of its own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, generate_uid
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import ModalityPerformedProcedureStep  # type: ignore[attr-defined]

from tests import serving


class Step:
    """One performed procedure step of a study."""

    def __init__(self, node: serving.Node, study_uid: str) -> None:
        self.node, self.study_uid, self.uid = node, study_uid, generate_uid()

    def begin(self) -> None:
        """N-CREATE, IN PROGRESS."""
        ds, scheduled = Dataset(), Dataset()
        scheduled.StudyInstanceUID = self.study_uid
        ds.ScheduledStepAttributesSequence = [scheduled]
        ds.PerformedProcedureStepStatus = "IN PROGRESS"
        with self._association() as association:
            answer, _ = association.send_n_create(ds, ModalityPerformedProcedureStep, self.uid)
        assert answer.Status == 0x0000

    def end(self, series_uid: str, images: Sequence[str]) -> None:
        """N-SET, COMPLETED, with all images it made."""
        ds, series = Dataset(), Dataset()
        ds.PerformedProcedureStepStatus = "COMPLETED"
        series.SeriesInstanceUID = series_uid
        series.ReferencedImageSequence = [_reference(uid) for uid in images]
        ds.PerformedSeriesSequence = [series]
        with self._association() as association:
            answer, _ = association.send_n_set(ds, ModalityPerformedProcedureStep, self.uid)
        assert answer.Status == 0x0000

    @contextmanager
    def _association(self) -> Iterator[Association]:
        ae = AE(serving.CALLER)
        ae.add_requested_context(ModalityPerformedProcedureStep)
        association = ae.associate("127.0.0.1", self.node.port, ae_title="ANCILLA")
        assert association.is_established
        yield association
        association.release()


def _reference(uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = CTImageStorage, uid
    return item
