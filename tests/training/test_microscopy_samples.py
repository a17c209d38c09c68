"""The microscopic samples of the demo: valid DICOM, small, of nobody, the same each time."""

import io
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest

from tests.peers import program
from training.sample_study import microscopy

FOLDER = Path(__file__).resolve().parents[2] / "node" / "sample"


@pytest.fixture(scope="module", params=["tb-smear-afb", "cervical-lbc"])
def images(request):
    with zipfile.ZipFile(FOLDER / f"{request.param}.zip") as archive:
        return [archive.read(name) for name in archive.namelist()]


def test_a_sample_is_small_and_one_study_of_nobody(images):
    headers = [pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True) for content in images]
    assert sum(map(len, images)) < 2_000_000
    assert len({ds.StudyInstanceUID for ds in headers}) == 1
    assert all(ds.PatientName.family_name == "Synthetic" and "ynthetic" in ds.ImageComments for ds in headers)
    assert len({ds.SOPInstanceUID for ds in headers}) == len(headers)


def test_fields_are_jpeg_that_decodes_to_colour(images):
    ds = pydicom.dcmread(io.BytesIO(images[1]))
    assert ds.LossyImageCompression == "01" and float(ds.LossyImageCompressionRatio) > 2
    assert ds.pixel_array.shape == (ds.Rows, ds.Columns, 3)


@pytest.mark.peer
def test_dciodvfy_finds_no_error(images, tmp_path):
    file = tmp_path / "field.dcm"
    file.write_bytes(images[0])
    done = subprocess.run([program("dciodvfy"), "-new", str(file)], capture_output=True, text=True, check=False)
    assert "Error" not in done.stderr, done.stderr


def test_the_same_field_is_made_each_time():
    small = microscopy.Sample("x", "A^B", "S-1", "words", [np.full((64, 64, 3), 90, np.uint8)])
    assert microscopy.image(small, 1).PixelData == microscopy.image(small, 1).PixelData
