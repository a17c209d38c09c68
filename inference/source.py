"""Opens one received image: its header as a data set, its pixel data as a view of the bytes, nothing copied or decoded."""

import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from typing import Any

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian

# Values that break the rules of their VR are judged here, where they are used. A warning about them would quote them, and they
# are a patient's.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE

MOST_INFLATED = 256 * 1024**2
_PREAMBLE = 132
_META_LOOK = 1024  # the Transfer Syntax UID is among the first elements of group 0002


@dataclass(frozen=True, slots=True)
class Source:
    """One image. ``header`` has no pixel data, but its ``file_meta``; ``data`` starts at the tag of the pixel data (empty: there
    is none). ``fault`` says in words why the image cannot be read at all. ``digest`` is that of its bytes, where it is known.

    ``frame`` is 0, or the number (from 1) of the one frame of a multi-frame image that this is: then the header has what the
    functional groups say of this frame, and ``data`` is its pixels alone (compressed: its code stream), without any tag."""

    header: Dataset
    data: memoryview
    fault: str = ""
    digest: str = ""
    frame: int = 0

    @property
    def series_uid(self) -> str:
        """Series Instance UID, or nothing."""
        return text(self.header, "SeriesInstanceUID")

    @property
    def uid(self) -> str:
        """SOP Instance UID, or nothing."""
        return text(self.header, "SOPInstanceUID")

    @property
    def transfer_syntax(self) -> str:
        """Transfer Syntax UID of the bytes, or nothing."""
        return text(self.header.file_meta, "TransferSyntaxUID") if hasattr(self.header, "file_meta") else ""


def open_source(part10: memoryview | bytes) -> Source:
    """PS3.10 bytes as a Source; never raises: what cannot be read has a ``fault`` and is answered "undecodable"."""
    view = memoryview(part10)
    try:
        if _is_deflated(view):
            return _inflated(view)
        stream = io.BytesIO(view)
        with warnings.catch_warnings():
            # Warnings about values would quote them, and they are a patient's.
            warnings.simplefilter("ignore")
            header = pydicom.dcmread(stream, stop_before_pixels=True)
        at = stream.tell()
        header.buffer = None  # or the header would keep a copy of the pixels alive
        return Source(header, view[at:])
    except Exception as error:  # noqa: BLE001 - a hostile file can make the parser raise anything
        return _unreadable(type(error).__name__)


def _unreadable(words: str) -> Source:
    header = Dataset()
    header.file_meta = FileMetaDataset()
    return Source(header, memoryview(b""), f"an image cannot be read ({words})")


def _meta_end(view: memoryview) -> int:
    """Where the data set begins, by the length that group 0002 begins with (PS3.10 7.1)."""
    (length,) = struct.unpack_from("<I", view, _PREAMBLE + 8)
    return _PREAMBLE + 12 + int(length)


def _is_deflated(view: memoryview) -> bool:
    """Looked for before anything is parsed: pydicom inflates the whole data set, however much that is."""
    if len(view) < _PREAMBLE + 12 or DeflatedExplicitVRLittleEndian.encode() not in bytes(view[:_META_LOOK]):
        return False
    return text(_meta(view), "TransferSyntaxUID") == DeflatedExplicitVRLittleEndian


def _meta(view: memoryview) -> FileMetaDataset:
    found: FileMetaDataset = pydicom.dcmread(io.BytesIO(view[: _meta_end(view)])).file_meta
    return found


def _inflated(view: memoryview) -> Source:
    """The deflated transfer syntax (PS3.5 A.5), inflated to a bounded size."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    data = inflater.decompress(view[_meta_end(view) :], MOST_INFLATED)
    if inflater.unconsumed_tail:
        return _unreadable("it inflates to more than an image may hold")
    stream = io.BytesIO(data)
    body = pydicom.filereader.read_dataset(stream, False, True, stop_when=lambda tag, _vr, _length: tag >= 0x7FE00008)
    dataset = Dataset(body)
    dataset.file_meta = _meta(view)
    return Source(dataset, memoryview(data)[stream.tell() :])


def text(header: Dataset, keyword: str) -> str:
    """A value as text, or nothing where it is absent or malformed."""
    value = _value(header, keyword)
    return "" if value is None else str(value)


def numbers(header: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """``count`` finite numbers of a multi-valued element, or None where it is absent or malformed."""
    value = _value(header, keyword)
    try:
        found = tuple(float(v) for v in (value if count > 1 else (value,)))
    except (TypeError, ValueError):
        return None
    return found if len(found) == count and all(abs(v) < 1e12 for v in found) else None


def words(header: Dataset, keyword: str) -> tuple[str, ...]:
    """All values as texts."""
    value = _value(header, keyword)
    if value is None or isinstance(value, str):
        return (str(value),) if value else ()
    try:
        return tuple(str(v) for v in value)
    except TypeError:
        return (str(value),)


def items(header: Dataset, keyword: str, most: int) -> list[Dataset]:
    """The first ``most`` items of a sequence; empty where it is absent, malformed or no sequence."""
    try:
        value = header.get(keyword)
        return [value[i] for i in range(min(len(value), most))] if isinstance(value, Sequence) else []
    except Exception:  # noqa: BLE001 - pydicom converts lazily and raises whatever a malformed sequence leads to
        return []


def first(header: Dataset, keyword: str) -> float | None:
    """The first number of an element that may have several, or None where it is absent or malformed."""
    value = _value(header, keyword)
    try:
        several = hasattr(value, "__len__") and not isinstance(value, str | bytes)
        number = float(value[0] if several else value)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return number if abs(number) < 1e12 else None


def integer(header: Dataset, keyword: str) -> int | None:
    """A whole number, or None where it is absent or malformed."""
    found = numbers(header, keyword, 1)
    return None if found is None or found[0] != int(found[0]) else int(found[0])


def _value(header: Dataset, keyword: str) -> Any:
    try:
        value = header.get(keyword)
        return None if isinstance(value, Sequence) else value  # a sequence where a value belongs; its items are not looked at
    except Exception:  # noqa: BLE001 - pydicom converts lazily and raises whatever a malformed value leads to
        return None
