"""The bytes of one record in a pack: a slot that says what follows, then a PS3.10 file exactly as it will be read again.

A record is the slot (fixed size), the label (JSON: what the index needs), the file meta information and the data set.
Whoever changes this format adds a database migration too: an older version then refuses to open the database, and so
never takes records it does not know for torn ones.
"""

import hashlib
import json
import struct
import zlib
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Final

from db.seal import Seal
from db.times import from_micros
from domain.errors import UnnameableError
from domain.instances import Caller, Header, Instance, Place

MAGIC: Final = b"ANCPACK\n"
VERSION: Final = 2
SHA_VERSION: Final = 1  # of records before there were seals: they carry the SHA-256 of the data set in its place
LABEL_LIMIT: Final = 8192  # bytes of JSON; honest UIDs and AE titles need about 600
META_LIMIT: Final = 1 << 20
_FIELDS: Final = struct.Struct(">8sHIIQq32s")  # magic, version, label, meta and data length, received_at, seal
_SEAL: Final = struct.Struct(">L28x")
_CRC: Final = struct.Struct(">I")
SLOT: Final = _FIELDS.size + _CRC.size
EMPTY_SLOT: Final = bytes(SLOT)
_encode = json.JSONEncoder(separators=(",", ":")).encode  # ASCII: odd characters are escaped


def label_bytes(header: Header, caller: Caller, association_id: str) -> bytes:
    """What is needed to index the record again, as JSON. Raises UnnameableError when it is absurdly long."""
    series = header.transfer_syntax_uid, header.study_uid, header.series_uid, header.modality
    before, after = _same(header.sop_class_uid, series, caller, association_id)
    label = f"{before}{_encode(header.sop_instance_uid)}{after}".encode("ascii")
    if len(label) > LABEL_LIMIT:
        raise UnnameableError("the identifiers of the object are longer than the Standard allows")
    return label


@lru_cache(maxsize=256)
def _same(sop_class_uid: str, series: tuple[str, ...], caller: Caller, association_id: str) -> tuple[str, str]:
    """What is the same for all labels of a series: the JSON before and behind the SOP Instance UID."""
    after = [*series, caller.calling_ae, caller.called_ae, caller.address, association_id]
    return _encode([sop_class_uid])[:-1] + ",", "," + _encode(after)[1:]


def slot_bytes(label: bytes, meta: bytes, length: int, received_at: int, seal: int) -> bytes:
    """The finished slot; its CRC covers the slot, the label and the meta. ``length`` and ``seal`` (``db.seal``) are of the data
    set alone."""
    fields = _FIELDS.pack(MAGIC, VERSION, len(label), len(meta), length, received_at, _SEAL.pack(seal))
    return fields + _CRC.pack(_crc(fields, label, meta))


def _crc(fields: bytes, label: bytes, meta: bytes) -> int:
    return zlib.crc32(meta, zlib.crc32(label, zlib.crc32(fields)))


@dataclass(frozen=True, slots=True)
class Record:
    """An intact record: what it holds and where the next one begins (bytes from the start of the pack)."""

    instance: Instance
    end: int


def read_record(file: BinaryIO, pack: str, start: int, size: int) -> Record | str:
    """The record at ``start`` of a pack of ``size`` bytes, or in words why it cannot be believed. Memory is constant."""
    file.seek(start)
    slot = file.read(SLOT)
    if len(slot) < SLOT:
        return "the slot is cut off"
    magic, version, label_length, meta_length, length, received_at, seal = _FIELDS.unpack(slot[: _FIELDS.size])
    if magic != MAGIC or version not in (VERSION, SHA_VERSION) or label_length > LABEL_LIMIT or meta_length > META_LIMIT:
        return "the slot was never finished"
    offset = start + SLOT + label_length
    end = offset + meta_length + length
    if end > size:
        return "the record is cut off"
    label, meta = file.read(label_length), file.read(meta_length)
    if _CRC.unpack(slot[_FIELDS.size :]) != (_crc(slot[: _FIELDS.size], label, meta),):
        return "the slot is damaged"
    digest, found = _read(file, length)
    if seal != (digest if version == SHA_VERSION else _SEAL.pack(found)):
        return "the data set is damaged"
    place = Place(pack, offset, end - offset)
    return Record(_instance(label, place, digest, from_micros(received_at)), end)


def only_zeros(file: BinaryIO, start: int) -> bool:
    """Whether nothing but zeros lies behind ``start``: space that was written ahead and never used. Memory is constant."""
    file.seek(start)
    while chunk := file.read(1 << 20):
        if chunk.count(0) < len(chunk):
            return False
    return True


def _read(file: BinaryIO, length: int) -> tuple[bytes, int]:
    """SHA-256 and seal of the next ``length`` bytes."""
    digest, seal = hashlib.sha256(), Seal()
    while length > 0 and (chunk := file.read(min(length, 1 << 20))):
        digest.update(chunk)
        seal.update(chunk)
        length -= len(chunk)
    return digest.digest(), seal.value()


def _instance(label: bytes, place: Place, digest: bytes, received_at: datetime) -> Instance:
    fields = json.loads(label)
    header, caller, association_id = Header(*fields[:6]), Caller(*fields[6:9]), fields[9]
    return Instance(header, place, digest.hex(), caller, association_id, received_at)


def folder_of(study_uid: str) -> Path:
    """Relative folder of a study. UIDs come from the network: they are hashed and never become part of a path."""
    name = hashlib.sha256(study_uid.encode("utf-8", "surrogatepass")).hexdigest()
    return Path(name[:2]) / name[:32]
