"""The file around a data set."""

from io import BytesIO

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import UnnameableError
from domain.implementation import IMPLEMENTATION_CLASS_UID
from domain.instances import Header
from scp.part10 import meta_bytes, split
from tests.scp.objects import image
from tests.scp.wire import CT, EXPLICIT

HEADER = Header(CT, "1.2.3.4.1", EXPLICIT, "1.2.3.1", "1.2.3.2", "CT")


def test_meta_and_data_set_are_a_file_that_pydicom_reads() -> None:
    ds = pydicom.dcmread(BytesIO(meta_bytes(HEADER, "CT01") + image()))
    meta = ds.file_meta
    assert (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID) == (CT, "1.2.3.4.1")
    assert (meta.TransferSyntaxUID, meta.SourceApplicationEntityTitle) == (EXPLICIT, "CT01")
    assert (meta.ImplementationClassUID, meta.ImplementationVersionName) == (IMPLEMENTATION_CLASS_UID, "ANCILLA")
    assert meta.FileMetaInformationVersion == b"\0\1" and ds.StudyInstanceUID == "1.2.3.1"


@given(calling=st.text(max_size=30), instance=st.from_regex(r"[0-9.]{1,64}", fullmatch=True))
def test_whatever_the_caller_is_called_the_file_can_be_split_again(calling: str, instance: str) -> None:
    header = Header(CT, instance, EXPLICIT, "1.2.3.1", "1.2.3.2")
    meta = meta_bytes(header, calling)
    assert len(meta) % 2 == 0
    syntax, data_set = split(meta + b"data")
    assert (syntax, bytes(data_set)) == (EXPLICIT, b"data")
    assert int.from_bytes(meta[140:144], "little") == len(meta) - 144


def test_a_wrong_group_length_does_not_matter() -> None:
    meta = bytearray(meta_bytes(HEADER, "CT01"))
    meta[140:144] = b"\xff\xff\xff\xff"
    assert bytes(split(bytes(meta) + b"data")[1]) == b"data"


@pytest.mark.parametrize("length", [0, 131, 132, 140, 150, 200, 300])
def test_a_file_cut_off_in_its_meta_information_is_none(length: int) -> None:
    with pytest.raises(UnnameableError):
        split(meta_bytes(HEADER, "CT01")[:length])


@given(noise=st.binary(max_size=300))
def test_noise_behind_the_prefix_is_refused_or_split(noise: bytes) -> None:
    try:
        syntax, data_set = split(bytes(128) + b"DICM" + noise)
    except UnnameableError:
        return
    assert syntax and len(data_set) < len(noise)
