"""DICOM to the PACS by C-STORE: one association per batch, the bytes of the file as they are, one answer per instance."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import dcmread, read_partial
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.dsutils import split_dataset

from delivery.association import MAX_CONTEXTS, Association, Kind
from domain.destinations import Destination, Sent
from domain.errors import PermanentError, TransientError

VERIFICATION: Final = Kind("1.2.840.10008.1.1", str(ImplicitVRLittleEndian))
SOP_CLASS_NOT_SUPPORTED: Final = 0x0122  # PS3.7 C.5.7
PROCESSING_FAILURE: Final = 0x0110  # PS3.7 C.5.10
RESOURCE_LIMITATION: Final = 0x0213  # PS3.7 C.5.18
SOP_INSTANCE_UID: Final = 0x00080018
LONGEST_COMMENT: Final = 64  # Error Comment is LO (PS3.7 E.2)


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    kind: Kind
    sop_instance_uid: str
    data_set_at: int  # offset of the data set behind the file meta information

    @property
    def plain(self) -> Kind | None:
        """The same object in the one transfer syntax that every archive has (PS3.5 10.1), if it can be written in it."""
        if self.kind.transfer_syntax_uid == ExplicitVRLittleEndian:
            return Kind(self.kind.sop_class_uid, str(ImplicitVRLittleEndian))
        return None


def send(destination: Destination, files: Sequence[Path]) -> list[Sent]:
    """Send PS3.10 files; returns one answer per file, in their order.

    Nothing is decoded: each file is offered in exactly the transfer syntax it is written in (so compressed images go too).
    Explicit VR Little Endian is also offered as Implicit, and written anew for an archive that takes nothing else.
    A file whose SOP class or transfer syntax the PACS does not take is answered 0x0122 here, and the others still go.
    Raises TransientError when the PACS cannot be reached, rejects or breaks the association (nobody knows then which instances
    it kept: send all again, under the same UIDs); PermanentError when a file is no DICOM file.
    """
    described = [_describe(path, number) for number, path in enumerate(files, 1)]
    answers: dict[Path, Sent] = {}
    for batch in _batches(described):
        with Association(destination, _proposed(batch)) as association:
            answers.update((file.path, _store(association, file)) for file in batch)
    return [answers[path] for path in files]


def echo(destination: Destination) -> None:
    """Ask the PACS whether it is there (C-ECHO). Raises TransientError with the reason when it is not, or not for us."""
    with Association(destination, [VERIFICATION]) as association:
        if not association.accepts(VERIFICATION):
            raise TransientError(f"{destination.name} accepts the association but not the verification service")
        status = association.echo(VERIFICATION).status
    if status:
        raise TransientError(f"{destination.name} answered C-ECHO with status {status:#06x}")


def is_transient(status: int) -> bool:
    """Whether sending the same instance again later may help: out of resources (PS3.4 B.2.3) or a failure in processing."""
    return status >> 8 == 0xA7 or status in (PROCESSING_FAILURE, RESOURCE_LIMITATION)


def _describe(path: Path, number: int) -> _File:
    """``number`` names the file in errors: a scanner's file name may hold a patient's."""
    try:
        meta, offset = split_dataset(path)
        with path.open("rb") as stream:  # the data set names the instance: file meta information in the field is often incomplete
            header = read_partial(stream, stop_when=lambda tag, *_: tag > SOP_INSTANCE_UID)
        kind = Kind(str(header.SOPClassUID), str(meta.TransferSyntaxUID))
        instance = str(header.SOPInstanceUID)
    except OSError as error:
        raise PermanentError(f"file {number} cannot be read: {error.strerror}") from None
    except (InvalidDicomError, AttributeError, ValueError, TypeError, KeyError, NotImplementedError, EOFError):
        raise PermanentError(f"file {number} is not a DICOM file with file meta information (PS3.10)") from None
    if not all(UID(uid).is_valid for uid in (*kind, instance)):
        raise PermanentError(f"file {number} names its SOP class, instance or transfer syntax by an unusable UID")
    return _File(path, kind, instance, offset)


def _batches(files: Sequence[_File]) -> Iterator[list[_File]]:
    """One batch, unless there are more kinds than presentation contexts on an association."""
    kinds = iter(dict.fromkeys(file.kind for file in files))
    while chunk := set(islice(kinds, MAX_CONTEXTS)):
        yield [file for file in files if file.kind in chunk]


def _proposed(batch: Sequence[_File]) -> list[Kind]:
    """Each kind, and behind all of them their plain forms as far as there is room."""
    kinds = [file.kind for file in batch]
    return list(dict.fromkeys([*kinds, *(plain for file in batch if (plain := file.plain) is not None)]))[:MAX_CONTEXTS]


def _store(association: Association, file: _File) -> Sent:
    if not association.accepts(file.kind):
        if file.plain is not None and association.accepts(file.plain):
            return _store_plain(association, file, file.plain)
        return Sent(file.sop_instance_uid, SOP_CLASS_NOT_SUPPORTED, _not_taken(file.kind))
    with file.path.open("rb") as stream:
        length = os.fstat(stream.fileno()).st_size - file.data_set_at
        stream.seek(file.data_set_at)
        response = association.store(file.kind, file.sop_instance_uid, stream, length)
    return Sent(file.sop_instance_uid, response.status, response.comment[:LONGEST_COMMENT])


def _store_plain(association: Association, file: _File, kind: Kind) -> Sent:
    """Written anew on the disk first: the length is not needed, but a file that cannot be written must not end in the middle."""
    with TemporaryFile() as stream:
        try:
            dataset = Dataset(dcmread(file.path))  # without preamble and file meta information
            dcmwrite(stream, dataset, implicit_vr=True, little_endian=True, enforce_file_format=False)
        except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError, EOFError):
            return Sent(file.sop_instance_uid, SOP_CLASS_NOT_SUPPORTED, _not_taken(file.kind))
        length = stream.tell()
        stream.seek(0)
        response = association.store(kind, file.sop_instance_uid, stream, length)
    return Sent(file.sop_instance_uid, response.status, response.comment[:LONGEST_COMMENT])


def _not_taken(kind: Kind) -> str:
    return f"not accepted: {UID(kind.sop_class_uid).name} in {UID(kind.transfer_syntax_uid).name}"
