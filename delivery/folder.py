"""DICOM to a folder: each file appears whole, under its SOP Instance UID, or not at all."""

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info

from domain.destinations import Destination, Sent
from domain.errors import PermanentError, TransientError

SAFE_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)*")  # PS3.5 9.1; nothing else becomes part of a path
LONGEST_UID: Final = 64


def send(destination: Destination, files: Sequence[Path]) -> list[Sent]:
    """Copy PS3.10 files to ``destination.path`` as "<SOP Instance UID>.dcm"; one answer per file, in their order.

    The folder is made when only its last part is missing: a parent that is absent is more likely a share that is not mounted.
    A file of that name is replaced, so that sending again gives the same. Raises TransientError when the folder cannot be
    written, PermanentError when a file has no usable SOP Instance UID.
    """
    folder = Path(destination.path)
    uids = [_instance_uid(path, number) for number, path in enumerate(files, 1)]
    try:
        folder.mkdir(exist_ok=True)
        for path, uid in zip(files, uids, strict=True):
            _copy(path, folder / f"{uid}.dcm")
        _sync(folder)
    except OSError as error:
        raise TransientError(f"folder {destination.name} ({folder}) cannot be written: {error.strerror}") from None
    return [Sent(uid, 0) for uid in uids]


def _instance_uid(path: Path, number: int) -> str:
    try:
        uid = str(read_file_meta_info(path).MediaStorageSOPInstanceUID)
    except (OSError, InvalidDicomError, AttributeError, ValueError):
        raise PermanentError(f"file {number} is not a DICOM file with file meta information (PS3.10)") from None
    if len(uid) > LONGEST_UID or not SAFE_UID.fullmatch(uid):
        raise PermanentError(f"file {number} has an unusable SOP Instance UID")
    return uid


def _copy(source: Path, target: Path) -> None:
    """A reader of the folder never sees half a file: written beside, made durable, then renamed."""
    part = target.with_name(f".{target.name}.part")
    try:
        with source.open("rb") as reader, part.open("wb") as writer:
            shutil.copyfileobj(reader, writer)
            writer.flush()
            os.fsync(writer.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
