"""A scanner that keeps book: which images it sent and which of them were acknowledged."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from delivery.association import Association, Kind
from domain.destinations import Destination
from domain.errors import TransientError
from tests import serving
from tests.ct_series import Series, part10

CT = Kind(str(CTImageStorage), str(ExplicitVRLittleEndian))


@dataclass
class Scanner:
    """Sends CT images; ``acknowledged`` holds the UIDs answered 0x0000."""

    images: dict[str, Path]
    study_uid: str
    acknowledged: set[str] = field(default_factory=set)

    def send(self, node: serving.Node, only: Sequence[str] = ()) -> None:
        """Send what is not acknowledged yet on one association; when the node vanishes, stop."""
        destination = Destination("node", "dicom", "127.0.0.1", node.port, "ANCILLA", serving.CALLER, timeout_seconds=20.0)
        try:
            with Association(destination, [CT]) as association:
                for uid in [uid for uid in (only or self.images) if uid not in self.acknowledged]:
                    with self.images[uid].open("rb") as stream:
                        start = data_set_at(stream.read(144))
                        stream.seek(start)
                        response = association.store(CT, uid, stream, self.images[uid].stat().st_size - start)
                    if response.status == 0:
                        self.acknowledged.add(uid)
        except TransientError:
            return

    def digests(self) -> dict[str, str]:
        """SHA-256 (hex) of the data set of each acknowledged image, as it was sent."""
        found = {}
        for uid in self.acknowledged:
            content = self.images[uid].read_bytes()
            found[uid] = hashlib.sha256(content[data_set_at(content) :]).hexdigest()
        return found


def data_set_at(content: bytes) -> int:
    """Where the data set of a PS3.10 file begins: behind group 0002, whose length stands in its first element (PS3.10 7.1)."""
    return 144 + int.from_bytes(content[140:144], "little")


def scanner(folder: Path, series: Series | None = None) -> Scanner:
    """One study of small CT images, written to ``folder``."""
    folder.mkdir(exist_ok=True)
    images, study = {}, ""
    for number, ds in enumerate((series or Series()).datasets()):
        file = folder / f"{number:03d}.dcm"
        file.write_bytes(part10(ds))
        images[str(ds.SOPInstanceUID)] = file
        study = str(ds.StudyInstanceUID)
    return Scanner(images, study)
