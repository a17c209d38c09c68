"""Small objects, encoded by pydicom, to be sent."""

import zlib

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from tests.scp.wire import CT


def dataset(number: int = 1, pixels: int = 200, **elements: object) -> Dataset:
    """A CT image; ``elements`` replace or, when None, remove."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = CT, f"1.2.3.4.{number}"
    ds.Modality, ds.PatientName = "CT", "Secret^Patient"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3.1", "1.2.3.2"
    ds.Rows = ds.Columns = 10
    ds.add_new(0x7FE00010, "OW", bytes(index * number % 251 for index in range(pixels)))
    for name, value in elements.items():
        if value is None:
            del ds[name]
        else:
            setattr(ds, name, value)
    return ds


def encoded(ds: Dataset, implicit: bool = False, big: bool = False, deflated: bool = False) -> bytes:
    """The bytes of a data set as they go over the network."""
    stream = DicomBytesIO()
    stream.is_implicit_VR, stream.is_little_endian = implicit, not big
    ds.set_original_encoding(None, None)  # type: ignore[arg-type]
    write_dataset(stream, ds)
    data = stream.getvalue()
    if not deflated:
        return bytes(data)
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def image(number: int = 1, pixels: int = 200, **elements: object) -> bytes:
    """Explicit VR Little Endian bytes of ``dataset``."""
    return encoded(dataset(number, pixels, **elements))


def deepened(data_set: bytes, depth: int, implicit: bool = False, defined: bool = False) -> bytes:
    """A data set (little endian) with sequences in sequences, ``depth`` deep, before its Study Instance UID.

    ``defined``: with lengths instead of delimiters.
    """
    head = b"\x08\x00\x40\x11" + (b"" if implicit else b"SQ\x00\x00")  # Referenced Image Sequence
    if defined:
        size = len(head) + 12  # of the headers of one sequence and its item
        lengths = [(left * size - len(head) - 4, (left - 1) * size) for left in range(depth, 0, -1)]
        deep = b"".join(head + a.to_bytes(4, "little") + b"\xfe\xff\x00\xe0" + b.to_bytes(4, "little") for a, b in lengths)
    else:
        begin = head + b"\xff" * 4 + b"\xfe\xff\x00\xe0" + b"\xff" * 4
        end = b"\xfe\xff\x0d\xe0" + bytes(4) + b"\xfe\xff\xdd\xe0" + bytes(4)
        deep = begin * depth + end * depth
    at = data_set.index(b"\x10\x00\x10\x00")  # Patient's Name: group 0008 ends here
    return data_set[:at] + deep + data_set[at:]
