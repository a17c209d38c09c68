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
